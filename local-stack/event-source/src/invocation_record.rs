//! The JSON document that stands for a batch that was given up, for writing it and for reading it back.
//!
//! Source: Lambda developer guide, "Retain discarded batch records for a Kinesis Data Streams event source".

use std::borrow::Cow;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::record::{Millis, Record, SequenceNumber};
use crate::shard::{Condition, MAXIMUM_PAYLOAD_BYTES};

/// A batch that was given up, as a destination takes it.
pub trait GivenUpBatch {
    /// Where it came from, for the log.
    fn name(&self) -> &str;

    /// The JSON document that Lambda sends: with the whole event as a string for S3, without it for SQS.
    ///
    /// # Panics
    /// When there are no records.
    fn invocation_record(&self, payload: Option<&str>) -> String;

    /// The key of its object in a bucket. `mapping`: the mapping's identity; `random` keeps keys apart.
    fn object_key(&self, mapping: Uuid, random: Uuid) -> String;
}

/// The facts of one batch that was given up.
#[derive(Debug)]
pub struct Discarded<'a> {
    /// The last invocation's request id.
    pub request_id: Uuid,
    /// The function's ARN.
    pub function_arn: &'a str,
    /// The stream's ARN.
    pub stream_arn: &'a str,
    /// The shard.
    pub shard: &'a str,
    /// The records, not empty.
    pub records: &'a [Record],
    /// Why.
    pub condition: Condition,
    /// How often they were invoked.
    pub invocations: u32,
    /// When they were given up.
    pub at: Millis,
}

/// What is skipped when reading is not needed then, and AWS may leave it out: a batch that was never invoked has no
/// response.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct InvocationRecord<'a> {
    #[serde(skip_deserializing)]
    request_context: RequestContext<'a>,
    #[serde(skip_deserializing)]
    response_context: ResponseContext,
    #[serde(skip_deserializing)]
    version: &'static str,
    #[serde(skip_deserializing)]
    timestamp: String,
    #[serde(rename = "KinesisBatchInfo")]
    kinesis_batch_info: KinesisBatchInfo<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<Cow<'a, str>>,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RequestContext<'a> {
    pub(crate) request_id: Uuid,
    pub(crate) function_arn: &'a str,
    pub(crate) condition: String,
    pub(crate) approximate_invoke_count: u32,
}

#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResponseContext {
    status_code: u16,
    executed_version: &'static str,
    function_error: &'static str,
}

impl ResponseContext {
    pub(crate) fn of_an_error() -> Self {
        Self {
            status_code: 200,
            executed_version: "$LATEST",
            function_error: "Unhandled",
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KinesisBatchInfo<'a> {
    shard_id: Cow<'a, str>,
    start_sequence_number: SequenceNumber,
    end_sequence_number: SequenceNumber,
    #[serde(skip_deserializing)]
    approximate_arrival_of_first_record: String,
    #[serde(skip_deserializing)]
    approximate_arrival_of_last_record: String,
    #[serde(skip_deserializing)]
    batch_size: usize,
    #[serde(skip_deserializing)]
    stream_arn: &'a str,
}

impl GivenUpBatch for Discarded<'_> {
    fn name(&self) -> &str {
        self.shard
    }

    fn invocation_record(&self, payload: Option<&str>) -> String {
        let (first, last) = (&self.records[0], &self.records[self.records.len() - 1]);
        let record = InvocationRecord {
            request_context: RequestContext {
                request_id: self.request_id,
                function_arn: self.function_arn,
                condition: self.condition.to_string(),
                approximate_invoke_count: self.invocations,
            },
            response_context: ResponseContext::of_an_error(),
            version: "1.0",
            timestamp: iso(self.at),
            kinesis_batch_info: KinesisBatchInfo {
                shard_id: self.shard.into(),
                start_sequence_number: first.sequence_number.clone(),
                end_sequence_number: last.sequence_number.clone(),
                approximate_arrival_of_first_record: iso(first.arrival),
                approximate_arrival_of_last_record: iso(last.arrival),
                batch_size: self.records.len(),
                stream_arn: self.stream_arn,
            },
            payload: payload.map(Cow::from),
        };
        serde_json::to_string(&record).unwrap_or_default()
    }

    /// `aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>`
    fn object_key(&self, mapping: Uuid, random: Uuid) -> String {
        let (shard, at) = (self.shard, time_of_key(self.at));
        format!("aws/lambda/{mapping}/{shard}/{at}-{random}")
    }
}

/// `YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS`
pub(crate) fn time_of_key(at: Millis) -> impl std::fmt::Display {
    timestamp(at).strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S")
}

fn timestamp(millis: Millis) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(crate) fn iso(millis: Millis) -> String {
    format!("{:.3}", timestamp(millis))
}

/// A batch that was given up, as an S3 on-failure destination keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// The shard.
    pub shard: String,
    /// Position of the first record, as the metadata says.
    pub first: SequenceNumber,
    /// Position of the last record, as the metadata says.
    pub last: SequenceNumber,
    /// Positions of the records in the payload, of which there is at least one.
    pub positions: Vec<SequenceNumber>,
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
    sequence_number: SequenceNumber,
}

impl GivenUp {
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
        let batch = record.kinesis_batch_info;
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
    use super::*;
    use crate::envelope::Envelope;

    fn record(sequence_number: &str, arrival: Millis) -> Record {
        Record {
            sequence_number: SequenceNumber::parse(sequence_number).expect("decimal"),
            partition_key: "key".into(),
            data: bytes::Bytes::new(),
            arrival,
            payload_bytes: 0,
        }
    }

    /// The developer guide's example, as far as it goes.
    fn discarded(records: &[Record]) -> Discarded<'_> {
        Discarded {
            request_id: Uuid::nil(),
            function_arn: "arn:aws:lambda:us-east-2:123456789012:function:myfunction",
            stream_arn: "arn:aws:kinesis:us-east-2:123456789012:stream/mystream",
            shard: "shardId-000000000001",
            records,
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
        insta::assert_snapshot!(discarded(&example()).invocation_record(None));
    }

    #[test]
    fn a_bucket_gets_the_whole_event_as_a_string_besides() {
        let text = discarded(&example()).invocation_record(Some(r#"{"Records":[]}"#));
        assert!(
            text.ends_with(r#","payload":"{\"Records\":[]}"}"#),
            "{text}"
        );
    }

    #[test]
    fn objects_are_named_by_mapping_shard_and_time() {
        assert_eq!(
            discarded(&example()).object_key(Uuid::nil(), Uuid::max()),
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
            let written = discarded(&records).invocation_record(Some(&payload));
            proptest::prop_assert_eq!(
                GivenUp::read(written.as_bytes()).expect("given up"),
                GivenUp {
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
        assert_eq!(GivenUp::read(text.as_bytes()).expect("given up").shard, "s");
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
                discarded(&example()).invocation_record(None),
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
            let refused = GivenUp::read(text.as_bytes())
                .expect_err(reason)
                .to_string();
            assert!(refused.contains(reason), "{refused}");
        }
    }
}
