//! Rows → Parquet bytes, and the audit that every object carries.

mod typed;

use std::sync::Arc;

use arrow::array::builder::{
    Float64Builder, Int32Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use events::Contract;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{
    EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion,
};
use parquet::schema::types::ColumnPath;

use crate::decode::Batch;
use crate::parse::Row;
use typed::TypedColumn;

/// Name of the last column. It lies next to the footer, so that one suffix-range GET recovers the ids of an object.
pub const EVENT_ID: &str = "event_id";

/// Columns of `events`, in order: every lake's, with the contract's typed ones before the id.
pub fn events_schema(contract: &Contract) -> SchemaRef {
    let utc = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("event_time", utc(), false),
        Field::new("device_type", DataType::Utf8, false),
        Field::new("device_id", DataType::Utf8, false),
        Field::new("event_duration", DataType::Float64, false),
        Field::new("value", DataType::Float64, true),
        Field::new("attributes", DataType::Utf8, true),
        Field::new("arrival_time", utc(), false),
        Field::new("shard", DataType::Utf8, false),
        Field::new("position", DataType::Utf8, false),
        Field::new("schema_version", DataType::Int32, false),
    ];
    fields.extend(contract.columns().iter().map(typed::field));
    fields.push(Field::new(EVENT_ID, DataType::Utf8, false));
    Arc::new(Schema::new(fields))
}

/// The counts of one object's records: `received = written + duplicates + filtered + rejected`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Audit {
    /// Position of the first record that the object accounts for.
    pub first_position: String,
    /// Position of the last one.
    pub last_position: String,
    /// Records of the delivery in the object's grid cell.
    pub received: u64,
    /// Rows in the object.
    pub written: u64,
    /// Rows left out because their event id was committed before or came earlier in the batch.
    pub duplicates: u64,
    /// Rows dropped on purpose.
    pub filtered: u64,
    /// Records put into quarantine.
    pub rejected: u64,
    /// The hash of the contract that the records were held to.
    pub contract: String,
}

impl Audit {
    /// Names and values, the same in the Parquet footer and in the S3 object metadata.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        vec![
            ("tributary-first-position", self.first_position.clone()),
            ("tributary-last-position", self.last_position.clone()),
            ("tributary-received", self.received.to_string()),
            ("tributary-written", self.written.to_string()),
            ("tributary-duplicates", self.duplicates.to_string()),
            ("tributary-filtered", self.filtered.to_string()),
            ("tributary-rejected", self.rejected.to_string()),
            ("tributary-contract", self.contract.clone()),
            ("tributary-version", env!("CARGO_PKG_VERSION").to_owned()),
        ]
    }
}

/// Encodes rows of one shard as one Parquet file with one row group.
///
/// `rows` are pairs of a row, which the contract's parser made, and the index of its record in `batch`.
///
/// # Errors
/// None that input can cause; the writer's signature has one.
pub fn events<'r>(
    batch: &Batch,
    contract: &Contract,
    rows: impl ExactSizeIterator<Item = (usize, &'r Row<'r>)>,
    audit: &Audit,
) -> Result<Bytes, ParquetError> {
    let metadata = audit
        .entries()
        .into_iter()
        .map(|(name, value)| KeyValue::new(name.to_owned(), value))
        .collect();
    let properties = typed::properties(contract, events_properties());
    file(&columns(batch, contract, rows)?, properties, metadata)
}

/// One Parquet file with one row group.
pub(crate) fn file(
    rows: &RecordBatch,
    properties: WriterPropertiesBuilder,
    metadata: Vec<KeyValue>,
) -> Result<Bytes, ParquetError> {
    let properties = properties.set_key_value_metadata(Some(metadata)).build();
    let mut file = Vec::with_capacity(rows.get_array_memory_size() / 4);
    let mut writer = ArrowWriter::try_new(&mut file, rows.schema(), Some(properties))?;
    writer.write(rows)?;
    writer.close()?;
    Ok(file.into())
}

fn columns<'r>(
    batch: &Batch,
    contract: &Contract,
    rows: impl ExactSizeIterator<Item = (usize, &'r Row<'r>)>,
) -> Result<RecordBatch, ParquetError> {
    let n = rows.len();
    let texts = |bytes_each| StringBuilder::with_capacity(n, n * bytes_each);
    let times = || TimestampMicrosecondBuilder::with_capacity(n).with_timezone("UTC");
    let mut event_time = times();
    let mut device_type = texts(16);
    let mut device_id = texts(24);
    let mut event_duration = Float64Builder::with_capacity(n);
    let mut value = Float64Builder::with_capacity(n);
    let mut attributes = texts(0);
    let mut arrival_time = times();
    let mut shard = texts(batch.shard.len());
    let mut position = texts(batch.position_digits);
    let mut schema_version = Int32Builder::with_capacity(n);
    let typed = contract.columns().iter();
    let mut typed: Vec<_> = typed.map(|column| TypedColumn::new(column, n)).collect();
    let mut event_id = texts(36);
    for (index, row) in rows {
        let record = batch.record(index);
        event_time.append_value(row.event_time_us);
        device_type.append_value(&row.device_type);
        device_id.append_value(&row.device_id);
        event_duration.append_value(row.event_duration);
        value.append_option(row.value);
        attributes.append_option(row.attributes.as_deref());
        arrival_time.append_value(record.arrival_ms * 1000);
        shard.append_value(&batch.shard);
        position.append_value(record.position);
        schema_version.append_value(row.schema_version.cast_signed());
        for (column, value) in typed.iter_mut().zip(&row.columns) {
            column.append(value);
        }
        event_id.append_value(&row.event_id);
    }
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(event_time.finish()),
        Arc::new(device_type.finish()),
        Arc::new(device_id.finish()),
        Arc::new(event_duration.finish()),
        Arc::new(value.finish()),
        Arc::new(attributes.finish()),
        Arc::new(arrival_time.finish()),
        Arc::new(shard.finish()),
        Arc::new(position.finish()),
        Arc::new(schema_version.finish()),
    ];
    columns.extend(typed.into_iter().map(TypedColumn::finish));
    columns.push(Arc::new(event_id.finish()));
    Ok(RecordBatch::try_new(events_schema(contract), columns)?)
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_writer_version(WriterVersion::PARQUET_2_0)
        .set_created_by(concat!("tributary ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_offset_index_disabled(true)
}

/// As for rows: a dictionary is for names only.
pub(crate) fn rollups_properties() -> WriterPropertiesBuilder {
    let mut properties = properties().set_dictionary_enabled(false);
    for name in ["device_id", "device_type"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(name), true);
    }
    for name in ["window_start", "events", "value_count", "late_events"] {
        properties =
            properties.set_column_encoding(ColumnPath::from(name), Encoding::DELTA_BINARY_PACKED);
    }
    for name in [
        "value_sum",
        "value_min",
        "value_max",
        "duration_sum",
        "duration_min",
        "duration_max",
    ] {
        properties = properties.set_column_encoding(ColumnPath::from(name), Encoding::PLAIN);
    }
    properties
}

/// Tuned by measurement on batches of 10,000 events: half the time and three quarters of the bytes of the defaults.
/// Dictionaries only where values repeat; deltas for times and for the near-sequential text of ids and positions.
fn events_properties() -> WriterPropertiesBuilder {
    let column = |name: &str| ColumnPath::from(name);
    let mut properties = properties();
    for (name, encoding) in [
        ("event_time", Encoding::DELTA_BINARY_PACKED),
        ("arrival_time", Encoding::DELTA_BINARY_PACKED),
        ("event_duration", Encoding::PLAIN),
        ("value", Encoding::PLAIN),
        ("position", Encoding::DELTA_BYTE_ARRAY),
        (EVENT_ID, Encoding::DELTA_BYTE_ARRAY),
    ] {
        properties = properties
            .set_column_dictionary_enabled(column(name), false)
            .set_column_encoding(column(name), encoding);
    }
    // Their minimum and maximum let no reader skip anything.
    for name in ["position", EVENT_ID] {
        properties =
            properties.set_column_statistics_enabled(column(name), EnabledStatistics::None);
    }
    properties
}
