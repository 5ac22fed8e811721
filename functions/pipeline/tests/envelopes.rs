//! The decoders against AWS's own types: whatever Lambda sends, both read the same.
//!
//! Arrivals are left out: `aws_lambda_events` takes them through a double and is a millisecond off, the decoders read
//! their digits.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use aws_lambda_events::kafka::KafkaEvent;
use aws_lambda_events::kinesis::KinesisEvent;
use pipeline::decode;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

fn base64(bytes: &[u8]) -> String {
    base64_simd::STANDARD.encode_to_string(bytes)
}

fn decoded(text: Option<&String>) -> Vec<u8> {
    text.map(|text| base64_simd::STANDARD.decode_to_vec(text).unwrap())
        .unwrap_or_default()
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..40)
}

fn any_text() -> impl Strategy<Value = String> {
    vec(any::<char>(), 1..20).prop_map(String::from_iter)
}

fn kinesis_record(
    source: &(String, String),
    (position, key, data): &(String, String, Vec<u8>),
) -> Value {
    let (stream, shard) = source;
    json!({
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": position,
            "data": base64(data),
            "approximateArrivalTimestamp": 1_795_348_800.25,
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": format!("{shard}:{position}"),
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:aws:iam::123456789012:role/r",
        "awsRegion": "us-east-2",
        "eventSourceARN": format!("arn:aws:kinesis:us-east-2:123456789012:stream/{stream}"),
    })
}

fn kafka_record(
    (topic, partition): &(String, u32),
    (offset, timestamp, key, value): &(i64, i64, Option<Vec<u8>>, Option<Vec<u8>>),
) -> Value {
    json!({
        "topic": topic,
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp,
        "timestampType": "LOG_APPEND_TIME",
        "key": key.as_deref().map(base64),
        "value": value.as_deref().map(base64),
        "headers": [{"h": [104, -1]}],
    })
}

proptest! {
    #[test]
    fn a_kinesis_event_is_read_as_awss_type_reads_it(
        source in ("[a-zA-Z0-9_.-]{1,128}", "shardId-[0-9]{12}"),
        records in vec(("[1-9][0-9]{0,55}", any_text(), bytes()), 1..8),
    ) {
        let records: Vec<Value> = records.iter().map(|record| kinesis_record(&source, record)).collect();
        let text = json!({ "Records": records }).to_string();
        let theirs: KinesisEvent = serde_json::from_str(&text).unwrap();
        let ours = decode::kinesis(text.as_bytes()).unwrap();
        prop_assert_eq!(ours.len(), theirs.records.len());
        for (index, theirs) in theirs.records.iter().enumerate() {
            let record = ours.record(index);
            let kinesis = &theirs.kinesis;
            prop_assert_eq!(record.position, &kinesis.sequence_number);
            prop_assert_eq!(record.partition_key, &kinesis.partition_key);
            prop_assert_eq!(record.sent, &kinesis.data[..]);
            let event_id = format!("{}:{}", ours.shard, record.position);
            prop_assert_eq!(Some(event_id), theirs.event_id.clone());
            let stream = theirs.event_source_arn.as_deref().unwrap().split_once('/').unwrap().1;
            prop_assert_eq!(&ours.stream, stream);
        }
    }

    #[test]
    fn a_kafka_event_is_read_as_awss_type_reads_it(
        partitions in btree_map(
            ("[a-zA-Z0-9_-][a-zA-Z0-9_.-]{0,39}", 0..u32::try_from(i32::MAX).unwrap()),
            vec((0..i64::MAX, 0..200_000_000_000_000_i64, proptest::option::of(bytes()), proptest::option::of(bytes())), 1..5),
            0..4,
        ),
    ) {
        let records: BTreeMap<String, Vec<Value>> = partitions
            .iter()
            .map(|(source, records)| {
                let records = records.iter().map(|record| kafka_record(source, record)).collect();
                (format!("{}-{}", source.0, source.1), records)
            })
            .collect();
        let text = json!({ "eventSource": "aws:kafka", "records": records }).to_string();
        let theirs: KafkaEvent = serde_json::from_str(&text).unwrap();
        let ours = decode::kafka(text.as_bytes()).unwrap();
        prop_assert_eq!(ours.len(), theirs.records.len());
        for batch in ours {
            let theirs = &theirs.records[&format!("{}-{}", batch.stream, batch.shard)];
            prop_assert_eq!(batch.len(), theirs.len());
            for (index, theirs) in theirs.iter().enumerate() {
                let record = batch.record(index);
                prop_assert_eq!(Some(&batch.stream), theirs.topic.as_ref());
                prop_assert_eq!(&batch.shard, &theirs.partition.to_string());
                prop_assert_eq!(record.position, theirs.offset.to_string());
                let key = decoded(theirs.key.as_ref());
                prop_assert_eq!(record.partition_key, String::from_utf8_lossy(&key));
                prop_assert_eq!(record.sent, decoded(theirs.value.as_ref()));
            }
        }
    }
}
