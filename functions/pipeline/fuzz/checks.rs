//! What must hold whatever the bytes: no panic, no allocation without a bound, and the rules below. The fuzz targets run
//! one of these each; `tests/corpus.rs` runs all of them over the kept corpus.

use std::collections::BTreeSet;

use bytes::Bytes;
use events::contract::ColumnType;
use events::{Contract, Event};
use md5::{Digest, Md5};
use pipeline::decode::Batch;
use pipeline::dedupe::{IdHasher, SeenIds};
use pipeline::filter::Filter;
use pipeline::parse::Value;
use pipeline::rollup::{self, Lateness};
use pipeline::{cells, decode, parse, recover};
use serde::de::IgnoredAny;

const ARRIVAL_MS: i64 = 1_795_348_800_000;
const HASHER: IdHasher = IdHasher::new(42);
const LATENESS: Lateness = Lateness { bound_ms: 0 };

/// A Lambda Kinesis event: an error, or records of which each is written, filtered, a duplicate or in quarantine.
pub(crate) fn envelope(event: &[u8]) {
    if let Ok(batch) = decode::kinesis(event) {
        adds_up(&batch);
    }
}

/// The same of a Lambda Kafka event, partition by partition; no partition comes twice.
pub(crate) fn kafka_envelope(event: &[u8]) {
    let Ok(batches) = decode::kafka(event) else {
        return;
    };
    for batch in &batches {
        assert!(!batch.is_empty());
        assert!(batch.shard.bytes().all(|byte| byte.is_ascii_digit()));
        adds_up(batch);
    }
    let partitions: BTreeSet<_> = batches
        .iter()
        .map(|batch| (&batch.stream, &batch.shard))
        .collect();
    assert_eq!(partitions.len(), batches.len());
}

fn adds_up(batch: &Batch) {
    let mut window = SeenIds::default();
    let mut received = 0;
    for cell in cells(batch, Contract::ours(), Filter::default(), HASHER) {
        received += cell.records().len();
        let plan = cell.plan(&window);
        let duplicates = cell.accepted() - plan.len();
        let accounted = plan.len() + duplicates + cell.rejected().len();
        assert_eq!(
            cell.records().len() as u64,
            accounted as u64 + cell.filtered()
        );
        assert_eq!(cell.quarantine().is_some(), !cell.rejected().is_empty());
        let object = cell.encode(&plan).expect("rows are encoded");
        assert_eq!(object.is_some(), !plan.is_empty());
        if let Some(object) = object {
            let bytes = object.body.len() as u64;
            let ids = recover::event_ids(object.body, bytes, HASHER).expect("an object of ours");
            assert!(ids.into_iter().eq(cell.ids(&plan)));
        }
        window.insert(cell.ids(&plan));
    }
    assert_eq!(received, batch.len());
}

/// A payload; or a contract's file, a byte 0, and a payload for it.
pub(crate) fn record(input: &[u8]) {
    match input.iter().position(|byte| *byte == 0) {
        Some(end) => record_of(&input[..end], &input[end + 1..]),
        None => record_of_ours(input),
    }
}

/// What is accepted has what the contract requires, and no more.
fn record_of(file: &[u8], payload: &[u8]) {
    let Ok(contract) = Contract::of_file("contract.toml", file) else {
        return;
    };
    let Ok(row) = parse::parse(payload, ARRIVAL_MS, &contract) else {
        return;
    };
    assert!(!row.event_id.is_empty());
    assert!(row.event_duration >= 0.0 && row.event_duration.is_finite());
    assert_eq!(row.columns.len(), contract.columns().len());
    for (value, column) in row.columns.iter().zip(contract.columns()) {
        let is_of_type = match (column.column_type, value) {
            (_, Value::Null) => column.nullable,
            (ColumnType::String, Value::Text(_))
            | (ColumnType::Integer, Value::Integer(_))
            | (ColumnType::Boolean, Value::Boolean(_))
            | (ColumnType::Timestamp, Value::Time(_)) => true,
            (ColumnType::Double, Value::Double(number)) => number.is_finite(),
            (ColumnType::Json, Value::Text(json)) => {
                serde_json::from_str::<IgnoredAny>(json).is_ok()
            }
            _ => false,
        };
        assert!(is_of_type, "{}: {value:?}", column.name);
    }
    is_json(row.attributes.as_deref());
}

/// What is accepted is the event that the contract's own type reads.
fn record_of_ours(payload: &[u8]) {
    let Ok(row) = parse::parse(payload, ARRIVAL_MS, Contract::ours()) else {
        return;
    };
    let event: Event = serde_json::from_slice(payload).expect("accepted, so of the contract");
    assert_eq!(row.event_id, event.event_id);
    assert_eq!(row.device_id, event.device_id);
    assert_eq!(row.device_type, event.device_type);
    // One zero: the pipeline does not keep the sign of -0.0.
    let bits = |number: f64| (number + 0.0).to_bits();
    assert_eq!(row.event_duration.to_bits(), bits(event.event_duration));
    assert_eq!(row.value.map(f64::to_bits), event.value.map(bits));
    assert_eq!(row.filtered, event.test);
    is_json(row.attributes.as_deref());
}

fn is_json(attributes: Option<&str>) {
    if let Some(attributes) = attributes {
        // Not into values: a number may be larger than a double, and a surrogate may stand alone.
        serde_json::from_str::<IgnoredAny>(attributes).expect("attributes are JSON");
        assert!(attributes.starts_with('{'));
    }
}

/// What begins like gzip (an even first byte) or like zstd (an odd one).
pub(crate) fn compressed(input: &[u8]) {
    let Some((kind, rest)) = input.split_first() else {
        return;
    };
    let magic: &[u8] = if kind % 2 == 0 {
        &[0x1F, 0x8B]
    } else {
        &[0x28, 0xB5, 0x2F, 0xFD]
    };
    envelope(&event_of(&[magic, rest].concat()));
}

/// The message of a KPL aggregate, under a checksum that holds.
pub(crate) fn aggregate(message: &[u8]) {
    let magic: &[u8] = &[0xF3, 0x89, 0x9A, 0xC2];
    let checksum: &[u8] = &Md5::digest(message);
    envelope(&event_of(&[magic, message, checksum].concat()));
}

/// The end of what lies under a row object's name. Two bytes say how much of its beginning is missing.
pub(crate) fn window_rebuild(input: &[u8]) {
    let Some(([high, low], tail)) = input.split_first_chunk() else {
        return;
    };
    let object_bytes = tail.len() as u64 + u64::from(u16::from_be_bytes([*high, *low]));
    let tail = Bytes::copy_from_slice(tail);
    let _ = recover::event_ids(tail.clone(), object_bytes, HASHER);
    let _ = rollup::of_object(tail, LATENESS, 7);
}

fn event_of(record: &[u8]) -> Vec<u8> {
    let data = base64_simd::STANDARD.encode_to_string(record);
    let seconds = ARRIVAL_MS / 1000;
    format!(
        r#"{{"Records":[{{"kinesis":{{"partitionKey":"d","sequenceNumber":"1","data":"{data}","approximateArrivalTimestamp":{seconds}}},"eventID":"shardId-000000000001:1","eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/orders"}}]}}"#
    )
    .into_bytes()
}
