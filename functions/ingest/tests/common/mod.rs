//! Kinesis events and lakes for the tests of the handler.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses its part")]

pub mod faulty;

use std::collections::BTreeMap;
use std::time::Duration;

use arrow::array::AsArray;
use bytes::Bytes;
use events::Contract;
use ingest::error::LineageError;
use ingest::handler::{Handler, Outcome, Settings};
use ingest::lake::{Lake, Memory};
use ingest::lineage::{Lineage, Relatives};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use pipeline::decode;
use pipeline::filter::Filter;
use pipeline::rollup::Lateness;
use tokio::time::Instant;

/// 2026-11-22T12:00:00Z, a line of the time grid.
pub const NOON: i64 = 1_795_348_800_000;
/// Seconds and minutes, in milliseconds.
pub const SECOND: i64 = 1000;
pub const MINUTE: i64 = 60 * SECOND;

pub const SETTINGS: Settings = Settings {
    filter: Filter {
        keep_test_events: false,
    },
    lateness: Lateness {
        bound_ms: 60 * MINUTE,
    },
    horizon_ms: 15 * MINUTE,
    memory_mb: 512,
};

/// One record of a shard.
#[derive(Clone, Debug)]
pub struct Record {
    pub position: u64,
    pub arrival_ms: i64,
    pub payload: String,
}

/// A record with a valid event of the given id.
pub fn record(position: u64, arrival_ms: i64, event_id: &str) -> Record {
    let payload = format!(
        r#"{{"schema_version":1,"event_id":"{event_id}","device_id":"d","device_type":"door","event_time":"2026-11-22T11:59:00Z","event_duration":1}}"#
    );
    Record {
        position,
        arrival_ms,
        payload,
    }
}

/// A record that no rule accepts.
pub fn garbage(position: u64, arrival_ms: i64) -> Record {
    Record {
        position,
        arrival_ms,
        payload: format!("garbage {position}"),
    }
}

/// The Lambda event that delivers the records.
pub fn event(records: &[Record]) -> Vec<u8> {
    let records: Vec<String> = records
        .iter()
        .map(|Record { position, arrival_ms, payload }| {
            let data = base64_simd::STANDARD.encode_to_string(payload);
            let seconds = format!("{}.{:03}", arrival_ms / 1000, arrival_ms % 1000);
            format!(
                r#"{{"kinesis":{{"partitionKey":"d","sequenceNumber":"{position}","data":"{data}","approximateArrivalTimestamp":{seconds}}},"eventID":"shardId-000000000000:{position}","eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s"}}"#
            )
        })
        .collect();
    format!(r#"{{"Records":[{}]}}"#, records.join(",")).into_bytes()
}

/// The Lambda event that delivers the records of each `(topic, partition)`.
pub fn kafka_event(partitions: &[(&str, u32, &[Record])]) -> Vec<u8> {
    let list = |(topic, partition, records): &(&str, u32, &[Record])| {
        let records: Vec<String> = records
            .iter()
            .map(|Record { position, arrival_ms, payload }| {
                let value = base64_simd::STANDARD.encode_to_string(payload);
                format!(
                    r#"{{"topic":"{topic}","partition":{partition},"offset":{position},"timestamp":{arrival_ms},"timestampType":"LOG_APPEND_TIME","key":"ZA==","value":"{value}","headers":[]}}"#
                )
            })
            .collect();
        format!(r#""{topic}-{partition}":[{}]"#, records.join(","))
    };
    let partitions: Vec<_> = partitions.iter().map(list).collect();
    let partitions = partitions.join(",");
    format!(r#"{{"eventSource":"SelfManagedKafka","bootstrapServers":"b:9092","records":{{{partitions}}}}}"#)
        .into_bytes()
}

/// The relatives of every shard of a stream, or why nobody can say.
#[derive(Clone, Debug)]
pub struct Family(pub Result<Relatives, &'static str>);

impl Lineage for Family {
    async fn relatives(&self, stream: &str, _shard: &str) -> Result<Relatives, LineageError> {
        self.0.clone().map_err(|cause| LineageError {
            stream: stream.to_owned(),
            cause: cause.to_owned(),
        })
    }
}

/// A handler with an empty window, as after a cold start.
pub fn environment<L: Lake + Sync>(lake: L) -> Handler<L, Family> {
    Handler::new(
        lake,
        Family(Ok(Relatives::default())),
        Contract::ours().clone(),
        SETTINGS,
        7,
    )
}

/// Delivers records with a minute to go.
pub async fn deliver<L: Lake + Sync>(
    handler: &mut Handler<L, Family>,
    records: &[Record],
) -> Outcome {
    let deadline = Instant::now() + Duration::from_mins(1);
    deliver_by(handler, records, deadline).await
}

/// Delivers records before a deadline.
pub async fn deliver_by<L: Lake + Sync>(
    handler: &mut Handler<L, Family>,
    records: &[Record],
    deadline: Instant,
) -> Outcome {
    let event = event(records);
    let batch = decode::kinesis(&event).expect("a Kinesis event");
    let outcomes = handler.begin(&[batch], deadline).deliver().await;
    outcomes.into_iter().next().expect("a batch")
}

/// Delivers the records of each `(topic, partition)` with a minute to go.
pub async fn deliver_kafka<L: Lake + Sync>(
    handler: &mut Handler<L, Family>,
    partitions: &[(&str, u32, &[Record])],
) -> Vec<Outcome> {
    let deadline = Instant::now() + Duration::from_mins(1);
    let event = kafka_event(partitions);
    let batches = decode::kafka(&event).expect("a Kafka event");
    handler.begin(&batches, deadline).deliver().await
}

/// The event ids of every row object, by key.
pub fn committed(lake: &Memory) -> BTreeMap<String, Vec<String>> {
    let objects = lake
        .objects()
        .into_iter()
        .filter(|(key, _)| key.starts_with("events/"));
    objects.map(|(key, body)| (key, event_ids(body))).collect()
}

/// Every committed event id, sorted, as often as it is committed.
pub fn committed_ids(lake: &Memory) -> Vec<String> {
    let mut ids: Vec<_> = committed(lake).into_values().flatten().collect();
    ids.sort();
    ids
}

fn event_ids(object: Bytes) -> Vec<String> {
    let reader = ParquetRecordBatchReaderBuilder::try_new(object)
        .expect("Parquet")
        .build()
        .expect("Parquet");
    reader
        .flat_map(|rows| {
            let rows = rows.expect("rows");
            let ids = rows
                .column_by_name("event_id")
                .expect("event_id")
                .as_string::<i32>();
            ids.iter()
                .map(|id| id.expect("not null").to_owned())
                .collect::<Vec<_>>()
        })
        .collect()
}
