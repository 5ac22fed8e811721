//! Lambda events and their payloads, for all tests of the flow.

use pipeline::dedupe::IdHasher;

/// 2026-11-22T12:00:00Z, a line of the grid.
pub(crate) const NOON: i64 = 1_795_348_800_000;
pub(crate) const HASHER: IdHasher = IdHasher::new(42);

/// A Lambda event of `(arrival in ms, payload)` records; sequence numbers count from 1000.
pub(crate) fn event<P: AsRef<[u8]>>(records: &[(i64, P)]) -> Vec<u8> {
    let records: Vec<String> = records
        .iter()
        .enumerate()
        .map(|(index, (arrival_ms, payload))| {
            let position = 1000 + index;
            let data = base64_simd::STANDARD.encode_to_string(payload);
            let seconds = format!("{}.{:03}", arrival_ms / 1000, arrival_ms % 1000);
            format!(
                r#"{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"d","sequenceNumber":"{position}","data":"{data}","approximateArrivalTimestamp":{seconds}}},"eventSource":"aws:kinesis","eventID":"shardId-000000000001:{position}","eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/orders"}}"#
            )
        })
        .collect();
    format!(r#"{{"Records":[{}]}}"#, records.join(",")).into_bytes()
}

pub(crate) fn payload(id: &str) -> String {
    format!(
        r#"{{"schema_version":1,"event_id":"{id}","device_id":"d-1","device_type":"door","event_time":"2026-11-22T11:59:00.000001Z","event_duration":12.5,"value":null,"firmware":"4.2"}}"#
    )
}
