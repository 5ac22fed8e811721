//! Tests of the envelope: the guide's example, and each field broken.

use super::super::Record;
use super::*;
use proptest::prelude::*;

fn event(arrival: &str) -> String {
    format!(
        r#"{{"Records":[{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"k\u00e9","sequenceNumber":"49590338271490256608559692538361571095921575989136588898","data":"SGVsbG8=","approximateArrivalTimestamp":{arrival}}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}}]}}"#
    )
}

#[test]
fn a_record_of_the_lambda_guide_is_read_field_by_field() {
    let event = event("1545084650.987");
    let batch = kinesis(event.as_bytes()).expect("the guide's example");
    assert_eq!(
        (batch.stream.as_str(), batch.shard.as_str()),
        ("lambda-stream", "shardId-000000000006")
    );
    assert_eq!(
        batch.record(0),
        Record {
            position: "49590338271490256608559692538361571095921575989136588898",
            sub_sequence_number: None,
            partition_key: "ké",
            arrival_ms: 1_545_084_650_987,
            sent: b"Hello",
            payload: Ok(b"Hello"),
        }
    );
}

#[test]
fn arrival_milliseconds_that_end_in_zero_keep_their_place() {
    for (text, ms) in [
        ("1545084650.5", 1_545_084_650_500),
        ("1545084650.57", 1_545_084_650_570),
        ("1545084650.05", 1_545_084_650_050),
        ("1545084650", 1_545_084_650_000),
        ("1545084650.9879", 1_545_084_650_987),
        ("1.545084650987E9", 1_545_084_650_987),
        ("-1", -1000),
        ("1e300", i64::MAX),
        ("99999999999999999999", i64::MAX),
    ] {
        assert_eq!(milliseconds(text), Some(ms), "{text}");
    }
    for text in ["", ".", "1.2.3", "\"1\"", "null"] {
        assert_eq!(milliseconds(text), None, "{text}");
    }
}

#[test]
fn a_record_whose_arrival_no_name_can_hold_is_rejected_and_does_not_block_its_shard() {
    for (seconds, nearest) in [
        ("-1", layout::ARRIVALS.start()),
        ("253402300799.999", layout::ARRIVALS.end()),
        ("1e300", layout::ARRIVALS.end()),
    ] {
        let event = event(seconds);
        let batch = kinesis(event.as_bytes()).expect(seconds);
        let record = batch.record(0);
        assert_eq!(record.arrival_ms, *nearest, "{seconds}");
        let rejected = record.payload.expect_err(seconds);
        assert_eq!(rejected.reason, events::Reason::ArrivalOutOfRange);
    }
}

#[test]
fn an_empty_batch_is_a_batch() {
    assert!(
        kinesis(br#"{"Records":[]}"#)
            .expect("an empty batch")
            .is_empty()
    );
}

#[test]
fn what_is_not_a_kinesis_event_is_an_error_without_the_payload_in_it() {
    let error = kinesis(br#"{"Records":[{"kinesis":{"data":"c2VjcmV0"#)
        .expect_err("truncated")
        .to_string();
    assert!(
        error.starts_with("the event is not a Kinesis batch: "),
        "{error}"
    );
    assert!(!error.contains("c2VjcmV0"), "{error}");
}

#[test]
fn a_bad_field_is_named_with_its_value_and_rule() {
    let text = event("1545084650.987").replace("SGVsbG8=", "***");
    assert_eq!(
        kinesis(text.as_bytes())
            .expect_err("bad base64")
            .to_string(),
        r#"record 0: data is "***", expected base64"#
    );
}

#[test]
fn a_record_that_is_from_nowhere_is_an_error() {
    let text = event("1545084650.987");
    for (from, to, error) in [
        (
            "shardId-000000000006:4",
            ":4",
            r#"record 0: eventID is ":49590338271490256608559692538361571095921575989136588898", expected <shard id>:<sequence number>"#,
        ),
        (
            "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
            "",
            r#"record 0: eventSourceARN is "", expected arn:…:stream/<name>"#,
        ),
    ] {
        let text = text.replace(from, to);
        let found = kinesis(text.as_bytes()).expect_err(from).to_string();
        assert_eq!(found, error);
    }
}

#[test]
fn records_of_two_shards_or_streams_are_not_one_batch() {
    let one = event("1545084650.987");
    for (from, to, from_where) in [
        (
            "shardId-000000000006:",
            "shardId-000000000007:",
            "lambda-stream/shardId-000000000007",
        ),
        // One name begins with the other.
        (
            "shardId-000000000006:",
            "shardId-0000000000061:",
            "lambda-stream/shardId-0000000000061",
        ),
        (
            "stream/lambda-stream",
            "stream/orders",
            "orders/shardId-000000000006",
        ),
    ] {
        let other = one.replace(from, to);
        let text = [
            one.trim_end_matches("]}"),
            other.trim_start_matches(r#"{"Records":["#),
        ]
        .join(",");
        assert_eq!(
            kinesis(text.as_bytes()).expect_err(to).to_string(),
            format!(
                "record 1 is of shard {from_where}, the batch is of lambda-stream/shardId-000000000006"
            ),
        );
    }
}

#[test]
fn the_stream_of_an_enhanced_fan_out_consumer_is_the_stream() {
    assert_eq!(
        stream_of_arn("arn:aws:kinesis:us-east-2:1:stream/orders/consumer/lake:1"),
        Some("orders")
    );
}

proptest! {
    #[test]
    fn every_arrival_millisecond_survives_its_printing_as_seconds(ms in layout::ARRIVALS) {
        let printed = format!("{}.{:03}", ms / 1000, ms % 1000);
        prop_assert_eq!(milliseconds(&printed), Some(ms));
        prop_assert_eq!(milliseconds(printed.trim_end_matches('0').trim_end_matches('.')).filter(|_| ms % 1000 != 0),
                        Some(ms).filter(|_| ms % 1000 != 0));
    }

    #[test]
    fn hostile_events_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = kinesis(&bytes);
    }
}

/// The records of a stream as Lambda writes them, and in ways in which it might.
fn events() -> impl Strategy<Value = Vec<u8>> {
    let key = prop_oneof![
        4 => "[a-z0-9-]{0,12}",
        1 => any::<String>(),
        1 => Just("a\\\"b".to_owned()),
    ];
    let timestamp = prop_oneof![
        4 => (1_545_084_650_000_i64..1_545_084_700_000).prop_map(|ms| format!("{}.{:03}", ms / 1000, ms % 1000)),
        1 => prop::sample::select(vec!["1545084650", "0", "01", "1.545084650987E9", "-1", "1.", "null"]).prop_map(str::to_owned),
    ];
    let form = prop_oneof![8 => Just(0), 1 => Just(1), 1 => Just(2)];
    let record = (key, "[1-9][0-9]{0,20}", prop::collection::vec(any::<u8>(), 0..40), timestamp, form).prop_map(
        |(key, sequence, data, timestamp, form)| {
            let key = serde_json::to_string(&key).expect("JSON");
            let data = base64_simd::STANDARD.encode_to_string(data);
            let data = if form == 1 { data.replace('/', "\\/") } else { data };
            let space = if form == 2 { " " } else { "" };
            format!(
                r#"{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":{key},"sequenceNumber":"{sequence}","data":{space}"{data}","approximateArrivalTimestamp":{timestamp}}},"eventSource":"aws:kinesis","eventID":"shardId-000000000006:{sequence}","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/s"}}"#
            )
        },
    );
    prop::collection::vec(record, 0..6)
        .prop_map(|records| format!(r#"{{"Records":[{}]}}"#, records.join(",")).into_bytes())
}

/// All that a batch says, or why there is none.
fn seen(batch: Result<Batch<'_>, EnvelopeError>) -> Result<String, String> {
    let batch = batch.map_err(|error| error.to_string())?;
    let records: Vec<Record> = batch.records().collect();
    Ok(format!("{} {} {records:?}", batch.stream, batch.shard))
}

#[test]
fn events_as_lambda_writes_them_are_read_by_comparing() {
    let one = event("1545084650.987").replace("k\\u00e9", "device-1");
    let other = one
        .replace("device-1", "device-22")
        .replace("650.987", "651.1");
    let text = [
        one.trim_end_matches("]}"),
        other.trim_start_matches(r#"{"Records":["#),
    ]
    .join(",");
    assert_eq!(alike(text.as_bytes()).map(|records| records.len()), Some(2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn comparing_and_parsing_agree_on_every_event(
        mut event in events(),
        change in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
    ) {
        if let Some((place, byte)) = change {
            let place = place.index(event.len());
            event[place] = byte;
        }
        prop_assert_eq!(seen(kinesis(&event)), seen(carefully(&event)));
    }
}
