//! A file is written column by column, each from all of the rows.

use std::sync::Arc;

use bytes::Bytes;
use parquet::data_type::{ByteArray, ByteArrayType, DataType};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use parquet::schema::types::TypePtr;

/// Makes a Parquet file of one row group: `write` adds its columns. `rows` is how many there are: of none, there is no row
/// group, which some readers take for broken.
pub(crate) fn file(
    schema: TypePtr,
    properties: WriterPropertiesBuilder,
    metadata: Vec<KeyValue>,
    rows: usize,
    write: impl FnOnce(&mut Columns) -> Result<(), ParquetError>,
) -> Result<Bytes, ParquetError> {
    let properties = properties.set_key_value_metadata(Some(metadata)).build();
    // Mostly enough, and what is not written to takes no memory.
    let buffer = Vec::with_capacity(4096 + rows * 64);
    let mut file = SerializedFileWriter::new(buffer, schema, Arc::new(properties))?;
    if rows > 0 {
        let mut columns = Columns(file.next_row_group()?);
        write(&mut columns)?;
        columns.close()?;
    }
    Ok(file.into_inner()?.into())
}

/// The columns of a row group, to be added in the order of the schema.
pub(crate) struct Columns<'f>(SerializedRowGroupWriter<'f, Vec<u8>>);

impl Columns<'_> {
    /// Adds a column of which every row has a value.
    pub(crate) fn add<T: DataType>(
        &mut self,
        values: impl Iterator<Item = T::T>,
    ) -> Result<(), ParquetError> {
        self.write::<T>(&values.collect::<Vec<_>>(), None)
    }

    /// Adds a column of which a row may have no value, if the schema lets it.
    pub(crate) fn add_optional<T: DataType>(
        &mut self,
        values: impl Iterator<Item = Option<T::T>>,
    ) -> Result<(), ParquetError> {
        let mut present = Vec::with_capacity(values.size_hint().0);
        let mut levels = Vec::with_capacity(values.size_hint().0);
        for value in values {
            levels.push(i16::from(value.is_some()));
            present.extend(value);
        }
        self.write::<T>(&present, Some(&levels))
    }

    /// Adds a column of which every row has the same text.
    pub(crate) fn add_text(&mut self, text: &str, rows: usize) -> Result<(), ParquetError> {
        let text = ByteArray::from(Bytes::copy_from_slice(text.as_bytes()));
        self.add::<ByteArrayType>(std::iter::repeat_n(text, rows))
    }

    /// [`add`](Self::add), of texts.
    pub(crate) fn add_texts<'t>(
        &mut self,
        texts: impl Iterator<Item = &'t str> + Clone,
    ) -> Result<(), ParquetError> {
        self.add::<ByteArrayType>(in_one_buffer(texts.map(Some)).map(Option::unwrap_or_default))
    }

    /// [`add_optional`](Self::add_optional), of texts.
    pub(crate) fn add_optional_texts<'t>(
        &mut self,
        texts: impl Iterator<Item = Option<&'t str>> + Clone,
    ) -> Result<(), ParquetError> {
        self.add_optional::<ByteArrayType>(in_one_buffer(texts))
    }

    fn close(self) -> Result<(), ParquetError> {
        self.0.close().map(drop)
    }

    fn write<T: DataType>(
        &mut self,
        values: &[T::T],
        definition_levels: Option<&[i16]>,
    ) -> Result<(), ParquetError> {
        let none_left = || ParquetError::General("more columns than the schema has".into());
        let mut column = self.0.next_column()?.ok_or_else(none_left)?;
        column
            .typed::<T>()
            .write_batch(values, definition_levels, None)?;
        column.close()
    }
}

/// The writer shares the bytes of texts instead of copying them: so they are copied once, and not allocated one by one.
fn in_one_buffer<'t>(
    texts: impl Iterator<Item = Option<&'t str>> + Clone,
) -> impl Iterator<Item = Option<ByteArray>> {
    let mut bytes = Vec::with_capacity(texts.clone().flatten().map(str::len).sum());
    let mut ends = Vec::with_capacity(texts.size_hint().0);
    for text in texts {
        bytes.extend_from_slice(text.unwrap_or_default().as_bytes());
        ends.push(text.map(|_| bytes.len()));
    }
    let bytes = Bytes::from(bytes);
    let mut start = 0;
    ends.into_iter().map(move |end| {
        let end = end?;
        Some(bytes.slice(std::mem::replace(&mut start, end)..end).into())
    })
}
