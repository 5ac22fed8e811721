//! KPL aggregates, from Lambda's envelope to rows and quarantine: what AWS's module for Python made, and what `prost`
//! encodes and decodes by the published message format.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{HASHER, NOON, event, payload};
use events::{Contract, Reason};
use md5::{Digest, Md5};
use pipeline::dedupe::SeenIds;
use pipeline::encode::Audit;
use pipeline::filter::Filter;
use pipeline::{cells, decode, parse};
use proptest::prelude::*;
use proptest::sample::Index;
use prost::Message;

const MAGIC: &[u8] = &[0xF3, 0x89, 0x9A, 0xC2];

/// What is read of <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>.
#[derive(Clone, PartialEq, Message)]
struct AggregatedRecord {
    #[prost(string, repeated, tag = "1")]
    partition_key_table: Vec<String>,
    #[prost(message, repeated, tag = "3")]
    records: Vec<UserRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct UserRecord {
    #[prost(uint64, optional, tag = "1")]
    partition_key_index: Option<u64>,
    #[prost(bytes = "vec", optional, tag = "3")]
    data: Option<Vec<u8>>,
}

fn user_record(partition_key_index: u64, data: impl Into<Vec<u8>>) -> UserRecord {
    UserRecord {
        partition_key_index: Some(partition_key_index),
        data: Some(data.into()),
    }
}

fn message<D: Into<Vec<u8>>>(data: impl IntoIterator<Item = D>) -> AggregatedRecord {
    AggregatedRecord {
        partition_key_table: vec!["k".to_owned()],
        records: data.into_iter().map(|data| user_record(0, data)).collect(),
    }
}

fn aggregate(message: &[u8]) -> Vec<u8> {
    [MAGIC, message, &Md5::digest(message)].concat()
}

/// Sub-sequence number, partition key, bytes.
type Part<'b> = (Option<u32>, &'b str, &'b [u8]);

fn parts<'b>(batch: &'b decode::Batch) -> Vec<Part<'b>> {
    let part = |record: decode::Record<'b>| {
        let number = record.sub_sequence_number;
        (number, record.partition_key, record.sent)
    };
    batch.records().map(part).collect()
}

/// Why the one record that comes out of `record` is rejected; it must hold all of its bytes.
fn rejected_whole(record: &[u8]) -> (Reason, String) {
    let event = event(&[(NOON, record)]);
    let batch = decode::kinesis(&event).unwrap();
    assert_eq!(parts(&batch), [(None, "d", record)]);
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    let [(0, rejected)] = cells[0].rejected() else {
        panic!("not rejected: {:?}", batch.record(0));
    };
    (rejected.reason, rejected.detail.clone())
}

#[test]
fn what_the_aggregation_module_of_aws_made_is_read_record_by_record() {
    let aggregate = base64_simd::STANDARD
        .decode_to_vec(include_str!("fixtures/aggregate.base64").trim())
        .unwrap();
    let event = event(&[(NOON, payload("before").as_bytes()), (NOON, &aggregate)]);
    let batch = decode::kinesis(&event).unwrap();
    let lines: Vec<String> = batch
        .records()
        .map(|record| {
            let (position, number) = (record.position, record.sub_sequence_number);
            let row =
                parse::parse(record.payload.unwrap(), record.arrival_ms, Contract::ours()).unwrap();
            let key = record.partition_key;
            format!(
                "{position} {number:?} {key}: {} {}",
                row.event_id, row.device_id
            )
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    1000 None d: before d-1
    1001 Some(0) door-1: a door-1
    1001 Some(1) caméra-2: b caméra-2
    1001 Some(2) door-1: c door-1
    1001 Some(3) door-3: d door-3
    1001 Some(4) door-1: e door-1
    ");
    assert_eq!(
        batch.payload_bytes(),
        payload("before").len() + aggregate.len()
    );
}

#[test]
fn the_audit_and_the_quarantine_count_user_records() {
    let good = aggregate(&message(["a", "b", "a"].map(payload)).encode_to_vec());
    let mixed = [
        payload("c"),
        "oops".to_owned(),
        payload("b"),
        payload("t").replace("null", r#"null,"test":true"#),
    ];
    let mixed = aggregate(&message(mixed).encode_to_vec());
    let event = event(&[(NOON, good), (NOON + 1, mixed), (NOON + 2, MAGIC.to_vec())]);
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    let object = cells[0]
        .encode(&cells[0].plan(&SeenIds::default()))
        .unwrap()
        .unwrap();
    let expected = Audit {
        first_position: "1000".to_owned(),
        last_position: "1002".to_owned(),
        received: 8,
        written: 3,
        duplicates: 2,
        filtered: 1,
        rejected: 2,
        contract: Contract::ours().hash().to_owned(),
    };
    assert_eq!(object.audit, expected);
    let (_, lines) = cells[0].quarantine().unwrap();
    insta::assert_snapshot!(std::str::from_utf8(&lines).unwrap(), @r#"
    {"stream":"orders","shard":"shardId-000000000001","position":"1001","sub_sequence_number":1,"arrival_time":"2026-11-22T12:00:00.001Z","partition_key":"k","reason":"invalid_json","detail":"expected value at line 1 column 1","data":"b29wcw=="}
    {"stream":"orders","shard":"shardId-000000000001","position":"1002","arrival_time":"2026-11-22T12:00:00.002Z","partition_key":"d","reason":"corrupt_aggregate","detail":"the aggregate is shorter than its checksum","data":"84mawg=="}
    "#);
}

#[test]
fn a_partition_key_that_user_records_share_is_in_quarantine_once() {
    // As many and as long as an aggregate may have; each byte of a key is six as JSON.
    let key = |first: char| format!("{first}{}", "\u{1}".repeat(1023));
    let records = (0..20_000).map(|n| user_record(n % 2, *b"no event, but 32 bytes of it ."));
    let message = AggregatedRecord {
        partition_key_table: vec![key('a'), key('b')],
        records: records.collect(),
    };
    let event = event(&[(NOON, aggregate(&message.encode_to_vec()))]);
    let batch = decode::kinesis(&event).unwrap();
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    assert_eq!(cells[0].rejected().len(), 20_000);
    let (_, lines) = cells[0].quarantine().unwrap();
    assert!(
        lines.len() < 12 * batch.payload_bytes(),
        "{} bytes",
        lines.len()
    );
    let lines: Vec<_> = std::str::from_utf8(&lines).unwrap().lines().collect();
    let keys = lines
        .iter()
        .filter(|line| line.contains(r#""partition_key":"#));
    assert_eq!(keys.count(), 2);
    assert!(lines[19_999].contains(r#""sub_sequence_number":19999"#));
    assert!(lines[19_999].contains(r#""partition_key_of":1,"#));
}

#[test]
fn a_corrupt_aggregate_goes_to_quarantine_whole() {
    let encoded = message([payload("a")]).encode_to_vec();
    let with = |message: AggregatedRecord| aggregate(&message.encode_to_vec());
    let with_record = |record| {
        with(AggregatedRecord {
            records: vec![record],
            ..message::<&str>([])
        })
    };
    let bad_key = [b"\x0A\x02k\xFF".as_slice(), b"\x1A\x04\x08\x00\x1A\x00"].concat();
    let long_key = AggregatedRecord {
        partition_key_table: vec!["k".repeat(1025)],
        ..message(["a"])
    };
    let without_data = UserRecord {
        data: None,
        ..user_record(0, "")
    };
    let without_key = UserRecord {
        partition_key_index: None,
        ..user_record(0, "")
    };
    for (detail, records) in [
        (
            "the aggregate is shorter than its checksum",
            vec![MAGIC.to_vec(), [MAGIC, &[0; 15]].concat()],
        ),
        (
            "the aggregate's MD5 checksum does not match",
            vec![[MAGIC, &encoded, &[0; 16]].concat()],
        ),
        (
            "the aggregate has no user record",
            vec![aggregate(b""), with(message::<&str>([]))],
        ),
        (
            "a user record has partition key 1 of a table of 1",
            vec![with_record(user_record(1, payload("a")))],
        ),
        (
            "a user record has partition key 18446744073709551615 of a table of 1",
            vec![with_record(user_record(u64::MAX, ""))],
        ),
        (
            "a user record has no partition key index or no data",
            vec![with_record(without_data), with_record(without_key)],
        ),
        (
            "the aggregate is not a protobuf AggregatedRecord",
            vec![
                aggregate(&encoded[..encoded.len() - 1]),
                // A varint without an end, one over 64 bits, a tag over 32; a group; field 0.
                aggregate(&[0xFF; 20]),
                aggregate(b"\x0A\x01k\x1A\x0D\x08\x80\x80\x80\x80\x80\x80\x80\x80\x80\x02\x1A\x00"),
                aggregate(b"\x0A\x01k\x9A\x80\x80\x80\x10\x04\x08\x00\x1A\x00"),
                aggregate(b"\x2B\x2C"),
                aggregate(b"\x02\x00"),
                // A number where bytes belong, and the other way round.
                aggregate(b"\x18\x01"),
                aggregate(b"\x0A\x01k\x1A\x04\x0A\x00\x1A\x00"),
                aggregate(&bad_key),
                with(long_key),
            ],
        ),
    ] {
        for record in records {
            let expected = (Reason::CorruptAggregate, detail.to_owned());
            assert_eq!(rejected_whole(&record), expected, "{record:?}");
        }
    }
}

#[test]
fn other_fields_are_skipped() {
    let known = message([payload("a")]).encode_to_vec();
    for unknown in [
        b"\x28\x07".as_slice(),
        b"\x2A\x02ab",
        b"\x2D1234",
        b"\x2912345678",
    ] {
        let record = [user_record(0, "b").encode_to_vec().as_slice(), unknown].concat();
        let record = [
            &[0x1A, u8::try_from(record.len()).unwrap()],
            record.as_slice(),
        ]
        .concat();
        let message = [unknown, &known, unknown, &record].concat();
        let event = event(&[(NOON, aggregate(&message))]);
        let batch = decode::kinesis(&event).unwrap();
        assert_eq!(
            parts(&batch),
            [
                (Some(0), "k", payload("a").as_bytes()),
                (Some(1), "k", b"b")
            ]
        );
    }
}

#[test]
fn an_aggregate_has_as_many_user_records_as_events_fit_into_it_and_not_many_more() {
    let shortest = r#"{"schema_version":1,"event_id":"a","device_id":"d","device_type":"t","event_time":"2026-11-22T00:00:00Z","event_duration":0}"#;
    let full = aggregate(&message(vec![shortest; 8_000]).encode_to_vec());
    assert!(full.len() > 1_000_000);
    let event = event(&[(NOON, &full)]);
    assert_eq!(decode::kinesis(&event).unwrap().len(), 8_000);

    // In an aggregate of 1 MiB: records without data, a list of keys that nobody uses.
    let record = b"\x1A\x04\x08\x00\x1A\x00";
    let key = b"\x0A\x00";
    for (many, of) in [(record.as_slice(), 170_000), (key, 500_000)] {
        let message = [b"\x0A\x01k".as_slice(), record, &many.repeat(of)].concat();
        let (reason, detail) = rejected_whole(&aggregate(&message));
        assert_eq!(reason, Reason::CorruptAggregate);
        assert!(detail.starts_with("the aggregate has over 3"), "{detail}");
    }
    // However small, an aggregate has room for 16.
    for (records, expected) in [(16, 16), (17, 1)] {
        let event = self::event(&[(
            NOON,
            aggregate(&message(vec!["x"; records]).encode_to_vec()),
        )]);
        assert_eq!(decode::kinesis(&event).unwrap().len(), expected);
    }
}

#[test]
fn an_aggregate_within_an_aggregate_is_not_opened() {
    let inner = aggregate(&message([payload("a")]).encode_to_vec());
    let event = event(&[(NOON, aggregate(&message([inner.clone()]).encode_to_vec()))]);
    let batch = decode::kinesis(&event).unwrap();
    assert_eq!(parts(&batch), [(Some(0), "k", inner.as_slice())]);
    let cells = cells(&batch, Contract::ours(), Filter::default(), HASHER);
    assert_eq!(cells[0].rejected()[0].1.reason, Reason::InvalidUtf8);
}

fn any_message() -> impl Strategy<Value = AggregatedRecord> {
    use proptest::collection::vec;
    let keys = vec("[a-zé]{0,20}", 1..5);
    let records = vec((any::<Index>(), vec(any::<u8>(), 40..80)), 1..12);
    (keys, records).prop_map(|(partition_key_table, records)| AggregatedRecord {
        records: records
            .into_iter()
            .map(|(key, data)| user_record(key.index(partition_key_table.len()) as u64, data))
            .collect(),
        partition_key_table,
    })
}

/// What a message says, by prost's reading.
fn expected(message: &AggregatedRecord) -> Vec<Part<'_>> {
    (0..)
        .zip(&message.records)
        .map(|(number, record)| {
            let key = usize::try_from(record.partition_key_index.unwrap()).unwrap();
            let data = record.data.as_deref().unwrap();
            let key = message.partition_key_table[key].as_str();
            (Some(number), key, data)
        })
        .collect()
}

proptest! {
    #[test]
    fn whatever_is_aggregated_comes_out_again(message in any_message()) {
        let event = event(&[(NOON, aggregate(&message.encode_to_vec()))]);
        let batch = decode::kinesis(&event).unwrap();
        prop_assert_eq!(parts(&batch), expected(&message));
    }

    #[test]
    fn a_flipped_byte_anywhere_rejects_the_whole_record(
        message in any_message(), at in any::<Index>(), flip in 1..=u8::MAX
    ) {
        let mut record = aggregate(&message.encode_to_vec());
        *at.get_mut(&mut record) ^= flip;
        // Without its magic it is no aggregate, and no UTF-8 either.
        let (reason, _) = rejected_whole(&record);
        prop_assert!(matches!(reason, Reason::CorruptAggregate | Reason::InvalidUtf8), "{:?}", reason);
    }

    #[test]
    fn a_forged_message_is_read_as_prost_reads_it_or_rejected(
        message in any_message(), edits in proptest::collection::vec((any::<Index>(), any::<u8>()), 0..4),
        cut in any::<Index>(),
    ) {
        let mut bytes = message.encode_to_vec();
        for (at, byte) in edits {
            *at.get_mut(&mut bytes) = byte;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        let event = event(&[(NOON, aggregate(&bytes))]);
        let batch = decode::kinesis(&event).unwrap();
        match batch.record(0).payload {
            Err(rejected) if rejected.reason == Reason::CorruptAggregate => prop_assert_eq!(batch.len(), 1),
            _ => {
                let message = AggregatedRecord::decode(bytes.as_slice()).unwrap();
                prop_assert_eq!(parts(&batch), expected(&message));
            }
        }
    }

    #[test]
    fn hostile_messages_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let event = event(&[(NOON, aggregate(&bytes)), (NOON, [MAGIC, &bytes].concat())]);
        prop_assert!(decode::kinesis(&event).unwrap().len() >= 2);
    }
}
