//! Tests of the envelope: the guide's examples, and each field broken.

use super::super::Record;
use super::*;
use events::Reason;
use proptest::prelude::*;

/// The example of "Using Lambda with self-managed Apache Kafka".
const SELF_MANAGED: &str = r#"{"eventSource":"SelfManagedKafka","bootstrapServers":"b-2.demo-cluster-1.a1bcde.c1.kafka.us-east-1.amazonaws.com:9092,b-1.demo-cluster-1.a1bcde.c1.kafka.us-east-1.amazonaws.com:9092","records":{"mytopic-0":[{"topic":"mytopic","partition":0,"offset":15,"timestamp":1545084650987,"timestampType":"CREATE_TIME","key":"abcDEFghiJKLmnoPQRstuVWXyz1234==","value":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","headers":[{"headerKey":[104,101,97,100,101,114,86,97,108,117,101]}]}]}}"#;

/// The example of "Using Lambda with Amazon MSK".
const MSK: &str = r#"{"eventSource":"aws:kafka","eventSourceArn":"arn:aws:kafka:us-east-1:123456789012:cluster/vpc-2priv-2pub/751d2973-a626-431c-9d4e-d7975eb44dd7-2","bootstrapServers":"b-2.demo-cluster-1.a1bcde.c1.kafka.us-east-1.amazonaws.com:9092","records":{"mytopic-0":[{"topic":"mytopic","partition":0,"offset":15,"timestamp":1545084650987,"timestampType":"CREATE_TIME","key":"abcDEFghiJKLmnoPQRstuVWXyz1234==","value":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","headers":[{"headerKey":[-104,101,97]}]}]}}"#;

fn event(partitions: &str) -> String {
    format!(
        r#"{{"eventSource":"SelfManagedKafka","bootstrapServers":"b:9092","records":{{{partitions}}}}}"#
    )
}

/// A record of `orders-7` with what one test changes.
fn record(fields: &str) -> String {
    format!(r#"{{"topic":"orders","partition":7,{fields},"headers":[]}}"#)
}

const FIELDS: &str = r#""offset":9007199254740993,"timestamp":1795348800000,"timestampType":"LOG_APPEND_TIME","key":"a8Op","value":"SGVsbG8=""#;

fn one(record: &str) -> String {
    event(&format!(r#""orders-7":[{record}]"#))
}

#[track_caller]
fn refused(event: &str) -> String {
    kafka(event.as_bytes())
        .expect_err("not an event that Lambda makes")
        .to_string()
}

#[test]
fn the_records_of_the_guides_examples_are_read_field_by_field() {
    for example in [SELF_MANAGED, MSK] {
        // The guide's key is no base64 of anything: its padding bits are not zero.
        let example = example.replace("abcDEFghiJKLmnoPQRstuVWXyz1234==", "cmVjb3JkS2V5");
        let batches = kafka(example.as_bytes()).expect("the guide's example");
        assert_eq!(batches.len(), 1);
        let batch = &batches[0];
        assert_eq!((&*batch.stream, &*batch.shard), ("mytopic", "0"));
        assert_eq!(batch.len(), 1);
        assert_eq!(
            batch.record(0),
            Record {
                position: "15",
                sub_sequence_number: None,
                partition_key: "recordKey",
                arrival_ms: 1_545_084_650_987,
                sent: b"Hello, this is a test.",
                payload: Ok(b"Hello, this is a test."),
            }
        );
    }
}

#[test]
fn partitions_are_batches_by_topic_and_number_whatever_order_the_event_has_them_in() {
    let partition = |topic: &str, partition: u32, offsets: &[u64]| {
        let records = offsets.iter().map(|offset| {
            format!(r#"{{"topic":"{topic}","partition":{partition},"offset":{offset},"timestamp":{offset},"value":""}}"#)
        });
        let records: Vec<_> = records.collect();
        format!(r#""{topic}-{partition}":[{}]"#, records.join(","))
    };
    let text = event(
        &[
            partition("b", 10, &[3, 4]),
            partition("b", 9, &[1]),
            partition("b.1", 0, &[2]),
            partition("a-1", 2, &[5]),
            partition("b", 11, &[]),
        ]
        .join(","),
    );
    let batches = kafka(text.as_bytes()).expect("an event");
    let found: Vec<_> = batches
        .iter()
        .map(|batch| {
            let positions: Vec<_> = batch.records().map(|record| record.position).collect();
            (&*batch.stream, &*batch.shard, positions)
        })
        .collect();
    assert_eq!(
        found,
        [
            ("a-1", "2", vec!["5"]),
            ("b", "9", vec!["1"]),
            ("b", "10", vec!["3", "4"]),
            ("b.1", "0", vec!["2"]),
        ]
    );
}

#[test]
fn an_offset_keeps_every_digit_and_a_key_is_text() {
    let text = one(&record(FIELDS));
    let batches = kafka(text.as_bytes()).expect("an event");
    let record = batches[0].record(0);
    assert_eq!(record.position, "9007199254740993");
    assert_eq!(record.partition_key, "ké");
    assert_eq!(record.arrival_ms, 1_795_348_800_000);
}

#[test]
fn a_record_may_have_no_key_no_value_and_headers_of_any_kind() {
    for (key, value) in [
        ("", ""),
        (r#""key":null,"#, r#""value":null,"#),
        (r#""key":"","#, r#""value":"","#),
    ] {
        for headers in [
            "{}",
            "[]",
            "null",
            r#"[{"a":[-1,255]},{"a":[]},{"b":null}]"#,
        ] {
            let text = one(&format!(
                r#"{{"topic":"orders","partition":7,{key}{value}"offset":1,"timestamp":2,"headers":{headers}}}"#
            ));
            let batches = kafka(text.as_bytes()).expect("an event");
            let record = batches[0].record(0);
            assert_eq!((record.partition_key, record.payload), ("", Ok(&b""[..])));
        }
    }
}

#[test]
fn what_is_not_utf8_in_a_key_is_replaced_and_the_record_is_kept() {
    let text = one(&record(&FIELDS.replace("a8Op", "//5h")));
    let batches = kafka(text.as_bytes()).expect("an event");
    assert_eq!(batches[0].record(0).partition_key, "\u{FFFD}\u{FFFD}a");
}

#[test]
fn a_record_whose_arrival_no_name_can_hold_is_rejected_and_the_others_go_on() {
    for (timestamp, nearest) in [
        ("-1", layout::ARRIVALS.start()),
        ("-9223372036854775808", layout::ARRIVALS.start()),
        ("253402300799999", layout::ARRIVALS.end()),
        ("9223372036854775807", layout::ARRIVALS.end()),
    ] {
        let text = one(&record(&FIELDS.replace("1795348800000", timestamp)));
        let batches = kafka(text.as_bytes()).expect(timestamp);
        let record = batches[0].record(0);
        assert_eq!(record.arrival_ms, *nearest, "{timestamp}");
        let rejected = record.payload.expect_err(timestamp);
        assert_eq!(rejected.reason, Reason::ArrivalOutOfRange);
        assert!(rejected.detail.contains(timestamp), "{}", rejected.detail);
    }
}

#[test]
fn an_event_without_records_has_no_batch() {
    assert!(kafka(event("").as_bytes()).expect("an event").is_empty());
    assert!(kafka(one("").as_bytes()).expect("an event").is_empty());
}

#[test]
fn what_is_not_a_kafka_event_is_an_error_without_the_payload_in_it() {
    for text in [
        r#"{"eventSource":"SelfManagedKafka","records":{"a-0":[{"value":"c2VjcmV0"#,
        r#"{"Records":[{"kinesis":{"data":"c2VjcmV0"}}]}"#,
        r#"{"eventSource":"aws:kafka"}"#,
        r#"{"eventSource":"aws:kafka","records":[]}"#,
        "[]",
    ] {
        let error = refused(text);
        assert!(
            error.starts_with("the event is not a Kafka batch: "),
            "{error}"
        );
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
    assert_eq!(
        refused(r#"{"eventSource":"aws:kinesis","records":{}}"#),
        r#"the event is not a Kafka batch: eventSource is "aws:kinesis", expected aws:kafka or SelfManagedKafka"#
    );
}

#[test]
fn a_bad_field_is_named_with_its_partition_value_and_rule() {
    let offset = "expected a whole number from 0 to 9223372036854775807";
    let timestamp = "expected milliseconds since 1970";
    for (from, to, error) in [
        (
            "9007199254740993",
            "-1",
            format!("record 0: offset is \"-1\", {offset}"),
        ),
        (
            "9007199254740993",
            "1.5",
            format!("record 0: offset is \"1.5\", {offset}"),
        ),
        (
            "9007199254740993",
            "1e3",
            format!("record 0: offset is \"1e3\", {offset}"),
        ),
        (
            "9007199254740993",
            "null",
            format!("record 0: offset is \"null\", {offset}"),
        ),
        (
            "9007199254740993",
            "\"1\"",
            format!("record 0: offset is \"\\\"1\\\"\", {offset}"),
        ),
        (
            "9007199254740993",
            "9223372036854775808",
            format!("record 0: offset is \"9223372036854775808\", {offset}"),
        ),
        (
            "1795348800000",
            "1795348800000.5",
            format!("record 0: timestamp is \"1795348800000.5\", {timestamp}"),
        ),
        (
            "1795348800000",
            "null",
            format!("record 0: timestamp is \"null\", {timestamp}"),
        ),
        (
            "SGVsbG8=",
            "***",
            r#"record 0: value is "***", expected base64"#.to_owned(),
        ),
        (
            "a8Op",
            "***",
            r#"record 0: key is "***", expected base64"#.to_owned(),
        ),
    ] {
        let text = one(&record(&FIELDS.replace(from, to)));
        assert_eq!(refused(&text), format!("orders-7: {error}"));
    }
}

#[test]
fn a_partition_that_is_none_is_an_error() {
    for partition in ["-1", "07", "2147483648", "\"7\"", "null", "7.0"] {
        let text =
            one(&record(FIELDS).replace("\"partition\":7", &format!("\"partition\":{partition}")));
        let error = refused(&text);
        // A leading zero is not JSON.
        let named = error.starts_with("orders-7: record 0: partition is ")
            || error.starts_with("the event is not a Kafka batch: ");
        assert!(named, "{error}");
    }
}

#[test]
fn a_topic_that_no_broker_has_never_becomes_a_key_of_the_lake() {
    for topic in ["", ".", "..", "a/b", "a b", "é", &"a".repeat(250)] {
        let text = event(&format!(
            r#""{topic}-7":[{}]"#,
            record(FIELDS).replace("\"orders\"", &format!("\"{topic}\""))
        ));
        let error = refused(&text);
        assert!(error.contains("record 0: topic is "), "{error}");
    }
}

#[test]
fn records_of_two_partitions_are_not_one_list() {
    let one_record = record(FIELDS);
    for (from, to, found) in [
        ("\"partition\":7", "\"partition\":8", "orders-8"),
        ("\"orders\"", "\"other\"", "other-7"),
        ("\"partition\":7", "\"partition\":77", "orders-77"),
    ] {
        let other = one_record.replace(from, to);
        assert_eq!(
            refused(&one(&format!("{one_record},{other}"))),
            format!("orders-7: record 1 is of shard {found}, the batch is of orders-7")
        );
        assert_eq!(
            refused(&one(&other)),
            format!("orders-7: record 0 is of shard {found}, the batch is of orders-7")
        );
    }
}

#[test]
fn a_partition_that_occurs_twice_is_an_error_and_no_record_is_lost() {
    let list = format!(r#""orders-7":[{}]"#, record(FIELDS));
    assert_eq!(
        refused(&event(&format!("{list},{list}"))),
        "orders-7: the event is not a Kafka batch: the partition occurs twice"
    );
}

proptest! {
    #[test]
    fn hostile_events_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = kafka(&bytes);
    }

    #[test]
    fn an_event_with_one_byte_broken_never_panics(at in 0_usize..SELF_MANAGED.len(), byte: u8) {
        let mut text = SELF_MANAGED.as_bytes().to_vec();
        text[at] = byte;
        let _ = kafka(&text);
    }
}
