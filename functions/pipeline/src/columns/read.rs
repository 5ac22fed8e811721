//! A file comes from the lake, where others can write too: whatever its bytes, the result is values or an error.

use std::sync::Arc;

use parquet::basic::Encoding;
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::ColumnReaderImpl;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::serialized_reader::SerializedPageReader;

use super::{Kind, Tail, delta};

/// More rows than any object of ours holds: the 4.5 MB of a batch have room for 140,000 user records. A footer can
/// promise any number of them, and a page of a few bytes can repeat a value as often.
const MAX_ROWS: u64 = 1_000_000;
/// More bytes than a column of texts of ours has: a batch of 6 MB, inflated 16 times, is as much.
const MAX_TEXT_BYTES: usize = 96 << 20;
/// So many at a time.
const RECORDS: usize = 1024;

/// Runs the Parquet reader, which panics on some pages that no writer makes (parquet 60: lengths of `DELTA_BYTE_ARRAY`
/// that overflow).
fn or_panicked<T>(read: impl FnOnce() -> Result<T, ParquetError>) -> Result<T, ParquetError> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(failed("the Parquet reader panicked".into())))
}

/// A Parquet file to read columns of.
pub(crate) struct File {
    tail: Arc<Tail>,
    metadata: ParquetMetaData,
}

impl File {
    /// Reads the footer.
    pub(crate) fn open(tail: Tail) -> Result<Self, ParquetError> {
        let metadata = or_panicked(|| ParquetMetaDataReader::new().parse_and_finish(&tail))?;
        let mut sum = 0_u64;
        for group in metadata.row_groups() {
            let rows = u64::try_from(group.num_rows()).unwrap_or(u64::MAX);
            sum = sum.saturating_add(rows);
        }
        if sum > MAX_ROWS {
            return Err(failed(format!("{sum} rows, expected up to {MAX_ROWS}")));
        }
        let tail = Arc::new(tail);
        Ok(Self { tail, metadata })
    }

    /// The footer.
    pub(crate) fn metadata(&self) -> &ParquetMetaData {
        &self.metadata
    }

    /// The place of a column among the columns.
    pub(crate) fn place(&self, name: &str) -> Result<usize, ParquetError> {
        let columns = self.metadata.file_metadata().schema_descr().columns();
        columns
            .iter()
            .position(|column| column.path().string() == name)
            .ok_or_else(|| failed(format!("no column {name}")))
    }

    /// Hands over the values of a column of texts one by one, so that not all of them are in memory.
    pub(crate) fn each_text(
        &self,
        name: &str,
        mut take: impl FnMut(&str),
    ) -> Result<(), ParquetError> {
        self.each::<ByteArrayType>(name, Kind::Text, |text| {
            if let Some(text) = text {
                take(text.as_utf8()?);
            }
            Ok(())
        })
    }

    /// The values of a column of texts, as many as there are rows.
    pub(crate) fn texts(&self, name: &str) -> Result<Vec<Option<ByteArray>>, ParquetError> {
        let mut texts = Vec::new();
        let mut bytes = 0;
        self.each::<ByteArrayType>(name, Kind::Text, |text| {
            bytes += text.as_ref().map_or(0, ByteArray::len);
            if bytes > MAX_TEXT_BYTES {
                return Err(failed(format!("{name} has over {MAX_TEXT_BYTES} bytes")));
            }
            texts.push(text);
            Ok(())
        })?;
        Ok(texts)
    }

    /// The values of a column of times, as many as there are rows.
    pub(crate) fn times(&self, name: &str) -> Result<Vec<Option<i64>>, ParquetError> {
        self.all::<Int64Type>(name, Kind::Time)
    }

    /// The values of a column of doubles, as many as there are rows.
    pub(crate) fn doubles(&self, name: &str) -> Result<Vec<Option<f64>>, ParquetError> {
        self.all::<DoubleType>(name, Kind::Double)
    }

    fn all<T: DataType>(&self, name: &str, kind: Kind) -> Result<Vec<Option<T::T>>, ParquetError> {
        let mut values = Vec::new();
        self.each::<T>(name, kind, |value| {
            values.push(value);
            Ok(())
        })?;
        Ok(values)
    }

    fn each<T: DataType>(
        &self,
        name: &str,
        kind: Kind,
        mut take: impl FnMut(Option<T::T>) -> Result<(), ParquetError>,
    ) -> Result<(), ParquetError> {
        let place = self.place(name)?;
        let column = self.metadata.file_metadata().schema_descr().column(place);
        if !kind.is_of(&column) || column.max_rep_level() > 0 {
            return Err(failed(format!("{name} is not of the kind {kind:?}")));
        }
        for group in self.metadata.row_groups() {
            or_panicked(|| {
                let mut left = usize::try_from(group.num_rows()).unwrap_or_default();
                let chunk = group.column(place);
                let pages = Pages {
                    pages: SerializedPageReader::new(self.tail.clone(), chunk, left, None)?,
                    nullable: column.max_def_level() > 0,
                };
                let mut reader = ColumnReaderImpl::<T>::new(column.clone(), Box::new(pages));
                let (mut levels, mut values) = (Vec::new(), Vec::new());
                while left > 0 {
                    let records = left.min(RECORDS);
                    let (read, ..) =
                        reader.read_records(records, Some(&mut levels), None, &mut values)?;
                    if read == 0 {
                        return Err(failed(format!("{name} ends before the rows do")));
                    }
                    left -= read;
                    let mut values = values.drain(..);
                    if column.max_def_level() == 0 {
                        values.try_for_each(|value| take(Some(value)))?;
                        continue;
                    }
                    for level in levels.drain(..) {
                        let is_value = level == column.max_def_level();
                        take(if is_value { values.next() } else { None })?;
                    }
                }
                Ok(())
            })?;
        }
        Ok(())
    }
}

/// Pages that do not say that they have more values than they can: the reader makes room for as many, and a process
/// that is out of memory is not one that has panicked.
struct Pages {
    pages: SerializedPageReader<Tail>,
    nullable: bool,
}

impl Pages {
    fn is_believable(&self, page: &Page) -> bool {
        let most = page.num_values() as usize;
        let (buf, levels) = match page {
            Page::DictionaryPage { buf, .. } => return most <= buf.len(),
            Page::DataPage { buf, .. } if self.nullable => {
                let levels = buf.first_chunk().map_or(0, |of| u32::from_le_bytes(*of));
                (buf, (levels as usize).saturating_add(4))
            }
            Page::DataPage { buf, .. } => (buf, 0),
            Page::DataPageV2 {
                buf,
                def_levels_byte_len,
                rep_levels_byte_len,
                ..
            } => (buf, (def_levels_byte_len + rep_levels_byte_len) as usize),
        };
        let mut values = buf.get(levels..).unwrap_or_default();
        let lists = match page.encoding() {
            Encoding::DELTA_BYTE_ARRAY => 2,
            Encoding::DELTA_LENGTH_BYTE_ARRAY => 1,
            _ => 0,
        };
        (0..lists).all(|_| delta::pass(&mut values).is_none_or(|count| count <= most as u64))
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>, ParquetError> {
        let page = self.pages.get_next_page()?;
        match &page {
            Some(page) if !self.is_believable(page) => {
                let kind = page.page_type();
                Err(failed(format!(
                    "a page ({kind}) says it has more values than it can have"
                )))
            }
            _ => Ok(page),
        }
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>, ParquetError> {
        self.pages.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<(), ParquetError> {
        self.pages.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page, ParquetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

fn failed(why: String) -> ParquetError {
    ParquetError::General(why)
}
