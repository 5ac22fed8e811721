//! A batch of a shard that was given up: what its invocation record says of it, and reading that record back.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::record::Record;
use crate::lambda::MAXIMUM_PAYLOAD_BYTES;
use crate::mapping::given_up::{BatchInfo, iso};
use crate::mapping::position::Position;

/// The batch.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The stream's ARN.
    pub stream_arn: &'a str,
    /// The shard.
    pub shard: &'a str,
    /// The records, not empty.
    pub records: &'a [Record],
}

#[derive(Serialize)]
struct Described<'a> {
    #[serde(rename = "KinesisBatchInfo")]
    info: KinesisBatchInfo<'a>,
}

/// What is skipped when reading is not needed then, and AWS may leave it out.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KinesisBatchInfo<'a> {
    shard_id: Cow<'a, str>,
    start_sequence_number: Position,
    end_sequence_number: Position,
    #[serde(skip_deserializing)]
    approximate_arrival_of_first_record: String,
    #[serde(skip_deserializing)]
    approximate_arrival_of_last_record: String,
    #[serde(skip_deserializing)]
    batch_size: usize,
    #[serde(skip_deserializing)]
    stream_arn: &'a str,
}

impl BatchInfo for Batch<'_> {
    fn of(&self) -> &str {
        self.shard
    }

    fn describe(&self) -> impl Serialize {
        let (first, last) = (&self.records[0], &self.records[self.records.len() - 1]);
        let info = KinesisBatchInfo {
            shard_id: self.shard.into(),
            start_sequence_number: first.sequence_number.clone(),
            end_sequence_number: last.sequence_number.clone(),
            approximate_arrival_of_first_record: iso(first.arrival),
            approximate_arrival_of_last_record: iso(last.arrival),
            batch_size: self.records.len(),
            stream_arn: self.stream_arn,
        };
        Described { info }
    }
}

/// A batch that was given up, as an S3 on-failure destination keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBatch {
    /// The shard.
    pub shard: String,
    /// Position of the first record, as the metadata says.
    pub first: Position,
    /// Position of the last record, as the metadata says.
    pub last: Position,
    /// Positions of the records in the payload, of which there is at least one.
    pub positions: Vec<Position>,
    /// The event, as the function was given it.
    pub payload: String,
}

/// The text is no batch that was given up, or none that can be invoked.
#[derive(Debug, thiserror::Error)]
pub enum NotGivenUp {
    /// Another document, or none.
    #[error("is not Lambda's invocation record of a Kinesis batch ({0})")]
    NotAnInvocationRecord(serde_json::Error),
    /// As for an SQS queue.
    #[error(
        "has no payload; only an S3 on-failure destination gets one, so replay the stream instead"
    )]
    NoPayload,
    /// Over the limit of an invocation.
    #[error("has a payload of {0} bytes; Lambda invokes with at most {MAXIMUM_PAYLOAD_BYTES}")]
    PayloadTooLarge(usize),
    /// Not what a function is invoked with.
    #[error("has a payload that is not an event of a Kinesis stream ({0})")]
    NotAnEvent(serde_json::Error),
    /// An event without records.
    #[error("has a payload without records")]
    NoRecords,
}

#[derive(Deserialize)]
struct InvocationRecord<'a> {
    #[serde(rename = "KinesisBatchInfo", borrow)]
    batch: KinesisBatchInfo<'a>,
    payload: Option<Cow<'a, str>>,
}

/// As much of an event as is needed to understand the function's answer.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    records: Vec<EventRecord>,
}

#[derive(Deserialize)]
struct EventRecord {
    kinesis: EventRecordPosition,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EventRecordPosition {
    sequence_number: Position,
}

impl StoredBatch {
    /// Reads the content of an object that an S3 on-failure destination holds.
    pub fn read(object: &[u8]) -> Result<Self, NotGivenUp> {
        let record: InvocationRecord<'_> =
            serde_json::from_slice(object).map_err(NotGivenUp::NotAnInvocationRecord)?;
        let payload = record.payload.ok_or(NotGivenUp::NoPayload)?.into_owned();
        if payload.len() > MAXIMUM_PAYLOAD_BYTES {
            return Err(NotGivenUp::PayloadTooLarge(payload.len()));
        }
        let event: Event = serde_json::from_str(&payload).map_err(NotGivenUp::NotAnEvent)?;
        if event.records.is_empty() {
            return Err(NotGivenUp::NoRecords);
        }
        let batch = record.batch;
        Ok(Self {
            shard: batch.shard_id.into_owned(),
            first: batch.start_sequence_number,
            last: batch.end_sequence_number,
            positions: event
                .records
                .into_iter()
                .map(|record| record.kinesis.sequence_number)
                .collect(),
            payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::envelope::Envelope;
    use super::*;
    use crate::mapping::given_up::{Condition, GivenUp};
    use crate::mapping::position::Millis;

    fn record(sequence_number: &str, arrival: Millis) -> Record {
        Record {
            sequence_number: Position::parse(sequence_number).expect("decimal"),
            partition_key: "key".into(),
            data: bytes::Bytes::new(),
            arrival,
            payload_bytes: 0,
        }
    }

    /// The developer guide's example, as far as it goes.
    fn given_up(records: &[Record]) -> GivenUp<'_, Batch<'_>> {
        GivenUp {
            request_id: Uuid::nil(),
            function_arn: "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
            batch: Batch {
                stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/mystream",
                shard: "shardId-000000000001",
                records,
            },
            condition: Condition::RetryAttemptsExhausted,
            invocations: 1,
            at: 1_573_691_886_021,
        }
    }

    fn example() -> [Record; 2] {
        [
            record(
                "49601189658422359378836298521827638475320189012309704722",
                1_573_691_884_835,
            ),
            record(
                "49601189658422359378836298522902373528957594348623495186",
                1_573_691_885_580,
            ),
        ]
    }

    #[test]
    fn a_queue_gets_the_metadata_of_the_developer_guides_example() {
        insta::assert_snapshot!(given_up(&example()).invocation_record(None));
    }

    #[test]
    fn a_bucket_gets_the_whole_event_as_a_string_besides() {
        let text = given_up(&example()).invocation_record(Some(r#"{"Records":[]}"#));
        assert!(
            text.ends_with(r#","payload":"{\"Records\":[]}"}"#),
            "{text}"
        );
    }

    #[test]
    fn objects_are_named_by_mapping_shard_and_time() {
        assert_eq!(
            given_up(&example()).object_key(Uuid::nil(), Uuid::max()),
            "aws/lambda/00000000-0000-0000-0000-000000000000/shardId-000000000001/2019/11/14/2019-11-14T00.38.06-ffffffff-ffff-ffff-ffff-ffffffffffff"
        );
    }

    proptest::proptest! {
        #[test]
        fn what_was_written_for_a_bucket_is_read_back(
            numbers in proptest::collection::vec("[0-9]{1,60}", 1..4),
            key in ".{1,40}",
        ) {
            let records: Vec<Record> = numbers
                .iter()
                .map(|number| Record { partition_key: key.as_str().into(), ..record(number, 0) })
                .collect();
            let payload = Envelope::new("shardId-000000000001", "stream", "region", "role").payload(&records);
            let payload = String::from_utf8(payload).expect("UTF-8");
            let positions: Vec<_> = records.iter().map(|record| record.sequence_number.clone()).collect();
            let written = given_up(&records).invocation_record(Some(&payload));
            proptest::prop_assert_eq!(
                StoredBatch::read(written.as_bytes()).expect("given up"),
                StoredBatch {
                    shard: "shardId-000000000001".to_owned(),
                    first: positions[0].clone(),
                    last: positions[positions.len() - 1].clone(),
                    positions,
                    payload,
                }
            );
        }
    }

    const BATCH: &str =
        r#""KinesisBatchInfo":{"shardId":"s","startSequenceNumber":"1","endSequenceNumber":"2"}"#;

    #[test]
    fn only_shard_positions_and_payload_are_needed_for_reading() {
        let event = r#"{\"Records\":[{\"kinesis\":{\"sequenceNumber\":\"1\"}}]}"#;
        let text = format!(r#"{{"responseContext":null,{BATCH},"payload":"{event}"}}"#);
        assert_eq!(
            StoredBatch::read(text.as_bytes()).expect("given up").shard,
            "s"
        );
    }

    #[test]
    fn what_is_no_invocation_record_is_refused_with_its_reason() {
        let with_payload = |payload: &str| format!(r#"{{{BATCH},"payload":{payload}}}"#);
        let table = [
            (String::new(), "is not Lambda's invocation record"),
            ("[]".to_owned(), "is not Lambda's invocation record"),
            (
                r#"{"payload":"{}"}"#.to_owned(),
                "missing field `KinesisBatchInfo`",
            ),
            (with_payload("{}"), "is not Lambda's invocation record"),
            (
                with_payload(r#""{}""#).replace(r#""1""#, r#""one""#),
                "\"one\" is not a decimal number",
            ),
            (with_payload("null"), "has no payload"),
            (
                given_up(&example()).invocation_record(None),
                "has no payload",
            ),
            (with_payload(r#""Records""#), "not an event"),
            (with_payload(r#""{}""#), "missing field `Records`"),
            (
                with_payload(r#""{\"Records\":[{}]}""#),
                "missing field `kinesis`",
            ),
            (with_payload(r#""{\"Records\":[]}""#), "without records"),
            (
                with_payload(&format!("\"{}\"", " ".repeat(MAXIMUM_PAYLOAD_BYTES + 1))),
                "has a payload of 6291457 bytes",
            ),
        ];
        for (text, reason) in table {
            let refused = StoredBatch::read(text.as_bytes())
                .expect_err(reason)
                .to_string();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
