//! What the lake's objects hold.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::AsArray;
use arrow::datatypes::{Float64Type, TimestampMicrosecondType};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use pipeline::layout::{EVENTS, QUARANTINE};

/// A row as the lake has it.
#[derive(Clone, Debug)]
pub(crate) struct Landed {
    pub(crate) position: u64,
    pub(crate) arrival_ms: i64,
    pub(crate) shard: String,
    pub(crate) duration: f64,
    pub(crate) key: String,
}

/// A line of quarantine: what makes it another line than any other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Line {
    pub(crate) shard: String,
    pub(crate) position: u64,
    pub(crate) sub_sequence_number: Option<u64>,
    /// The bytes as sent, in base64.
    pub(crate) data: String,
}

/// What has come into the lake, kept up as objects appear, so that it can be asked at every answer.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Rows by event id.
    pub(crate) rows: BTreeMap<String, Vec<Landed>>,
    /// Row objects by key, as first created.
    pub(crate) created: BTreeMap<String, Bytes>,
    /// Lines of quarantine by object.
    quarantine: BTreeMap<String, BTreeSet<Line>>,
    /// Keys of objects that were deleted.
    pub(crate) deleted: BTreeSet<String>,
}

impl Contents {
    /// An object appears, or takes the place of one.
    pub(crate) fn add(&mut self, key: &str, body: &Bytes) {
        if key.starts_with(EVENTS) {
            for (id, landed) in rows(key, body.clone()) {
                self.rows.entry(id).or_default().push(landed);
            }
            let created = self.created.entry(key.to_owned());
            created.or_insert_with(|| body.clone());
        } else if key.starts_with(QUARANTINE) {
            self.quarantine.insert(key.to_owned(), lines(body));
        }
    }

    pub(crate) fn is_in_quarantine(&self, line: &Line) -> bool {
        let mut objects = self.quarantine.values();
        objects.any(|lines| lines.contains(line))
    }
}

/// The lines of a quarantine object.
pub(crate) fn lines(body: &Bytes) -> BTreeSet<Line> {
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.is_empty());
    let line = |line: &[u8]| {
        let line: serde_json::Value = serde_json::from_slice(line).expect("a JSON line");
        let text = |name: &str| line[name].as_str().expect("text").to_owned();
        Line {
            shard: text("shard"),
            position: text("position").parse().expect("a position"),
            sub_sequence_number: line["sub_sequence_number"].as_u64(),
            data: text("data"),
        }
    };
    lines.map(line).collect()
}

/// An entry of the audit in an object's footer.
pub(crate) fn audit_value(object: &Bytes, name: &str) -> String {
    let reader = SerializedFileReader::new(object.clone()).expect("Parquet");
    let entries = reader.metadata().file_metadata().key_value_metadata();
    let name = format!("tributary-{name}");
    let entry = entries
        .expect("the audit")
        .iter()
        .find(|entry| entry.key == name);
    let entry = entry.expect("an audit entry");
    entry.value.clone().expect("a value")
}

/// Event ids and rows of an object.
pub(crate) fn rows(key: &str, object: Bytes) -> Vec<(String, Landed)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(object).expect("Parquet");
    // Reading every column takes a third of the simulation's time.
    let columns = [
        "event_id",
        "position",
        "arrival_time",
        "shard",
        "event_duration",
    ];
    let mask = ProjectionMask::columns(builder.parquet_schema(), columns);
    let reader = builder.with_projection(mask).build().expect("Parquet");
    let mut landed = Vec::new();
    for batch in reader {
        let batch = batch.expect("rows");
        let column = |name| batch.column_by_name(name).expect("a column");
        let text = |name, row| column(name).as_string::<i32>().value(row).to_owned();
        let arrivals = column("arrival_time").as_primitive::<TimestampMicrosecondType>();
        let durations = column("event_duration").as_primitive::<Float64Type>();
        for row in 0..batch.num_rows() {
            let of_row = Landed {
                position: text("position", row).parse().expect("a number"),
                arrival_ms: arrivals.value(row) / 1000,
                shard: text("shard", row),
                duration: durations.value(row),
                key: key.to_owned(),
            };
            landed.push((text("event_id", row), of_row));
        }
    }
    landed
}
