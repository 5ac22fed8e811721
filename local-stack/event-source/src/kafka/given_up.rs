//! A batch of a topic that was given up, as its invocation record describes it.

use std::collections::BTreeMap;

use serde::Serialize;

use super::record::Record;
use crate::mapping::given_up::{BatchInfo, iso};

/// The batch.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The topic.
    pub topic: &'a str,
    /// The brokers, as the mapping was given them.
    pub brokers: &'a str,
    /// The records, not empty.
    pub records: &'a [Record],
    /// Bytes of the event with them.
    pub payload_bytes: usize,
}

#[derive(Serialize)]
struct Described<'a> {
    #[serde(rename = "KafkaBatchInfo")]
    info: KafkaBatchInfo<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KafkaBatchInfo<'a> {
    batch_size: usize,
    bootstrap_servers: &'a str,
    payload_size: usize,
    records_info: BTreeMap<String, RecordsInfo>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RecordsInfo {
    first_record_offset: String,
    last_record_offset: String,
    first_record_timestamp: String,
    last_record_timestamp: String,
}

impl BatchInfo for Batch<'_> {
    fn of(&self) -> &str {
        self.topic
    }

    fn describe(&self) -> impl Serialize {
        let mut records_info: BTreeMap<String, RecordsInfo> = BTreeMap::new();
        for record in self.records {
            let offset = record.offset.to_string();
            let timestamp = iso(record.timestamp);
            let name = format!("{}-{}", self.topic, record.partition);
            records_info
                .entry(name)
                .and_modify(|info| {
                    info.last_record_offset.clone_from(&offset);
                    info.last_record_timestamp.clone_from(&timestamp);
                })
                .or_insert(RecordsInfo {
                    first_record_offset: offset.clone(),
                    last_record_offset: offset,
                    first_record_timestamp: timestamp.clone(),
                    last_record_timestamp: timestamp,
                });
        }
        Described {
            info: KafkaBatchInfo {
                batch_size: self.records.len(),
                bootstrap_servers: self.brokers,
                payload_size: self.payload_bytes,
                records_info,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::super::envelope::Envelope;
    use super::super::record::{Message, TimestampType};
    use super::*;
    use crate::mapping::given_up::{Condition, GivenUp};

    fn records() -> Vec<Record> {
        let envelope = Envelope::new("Topic", "b:9092");
        let message = |partition, offset, timestamp| Message {
            partition,
            offset,
            timestamp,
            timestamp_type: TimestampType::LogAppendTime,
            key: None,
            value: None,
            headers: &[],
        };
        [
            message(0, 7, 1_573_691_884_835),
            message(1, 3, 1_573_691_884_900),
            message(0, 9, 1_573_691_885_580),
        ]
        .map(|message| envelope.record(&message))
        .to_vec()
    }

    fn given_up(records: &[Record], condition: Condition) -> GivenUp<'_, Batch<'_>> {
        GivenUp {
            request_id: Uuid::nil(),
            function_arn: "arn:aws:lambda:us-east-1:123456789012:function:myfunction",
            batch: Batch {
                topic: "Topic",
                brokers: "b:9092",
                records,
                payload_bytes: 500,
            },
            condition,
            invocations: 1,
            at: 1_573_691_886_021,
        }
    }

    #[test]
    fn a_queue_gets_the_metadata_of_the_developer_guides_example() {
        let records = records();
        let text = given_up(&records, Condition::RetryAttemptsExhausted).invocation_record(None);
        insta::assert_snapshot!(text, @r#"{"requestContext":{"requestId":"00000000-0000-0000-0000-000000000000","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:myfunction","condition":"RetryAttemptsExhausted","approximateInvokeCount":1},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"version":"1.0","timestamp":"2019-11-14T00:38:06.021Z","KafkaBatchInfo":{"batchSize":3,"bootstrapServers":"b:9092","payloadSize":500,"recordsInfo":{"Topic-0":{"firstRecordOffset":"7","lastRecordOffset":"9","firstRecordTimestamp":"2019-11-14T00:38:04.835Z","lastRecordTimestamp":"2019-11-14T00:38:05.580Z"},"Topic-1":{"firstRecordOffset":"3","lastRecordOffset":"3","firstRecordTimestamp":"2019-11-14T00:38:04.900Z","lastRecordTimestamp":"2019-11-14T00:38:04.900Z"}}}}"#);
    }

    #[test]
    fn a_record_that_is_too_large_was_never_answered_and_a_bucket_gets_the_event() {
        let records = records();
        let given_up = given_up(&records, Condition::MaximumPayloadSizeExceeded);
        let text = given_up.invocation_record(Some(r#"{"records":{}}"#));
        assert!(text.contains(r#""responseContext":null"#), "{text}");
        assert!(
            text.ends_with(r#","payload":"{\"records\":{}}"}"#),
            "{text}"
        );
        assert_eq!(
            given_up.object_key(Uuid::nil(), Uuid::max()),
            "aws/lambda/00000000-0000-0000-0000-000000000000/Topic/2019/11/14/2019-11-14T00.38.06-ffffffff-ffff-ffff-ffff-ffffffffffff"
        );
    }
}
