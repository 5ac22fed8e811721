//! The JSON document that stands for a batch of a topic that was given up.
//!
//! Source: Lambda developer guide, "Capturing discarded batches for Amazon MSK and self-managed Apache Kafka event
//! sources".

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use uuid::Uuid;

use super::envelope::Record;
use crate::invocation_record::{GivenUpBatch, RequestContext, ResponseContext, iso, time_of_key};
use crate::record::Millis;
use crate::shard::Condition;

/// The facts of one batch that was given up.
#[derive(Debug)]
pub struct Discarded<'a> {
    /// The last invocation's request id.
    pub request_id: Uuid,
    /// The function's ARN.
    pub function_arn: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// The brokers, as the mapping was given them.
    pub brokers: &'a str,
    /// The records, not empty.
    pub records: &'a [Arc<Record>],
    /// Bytes of the event with them.
    pub payload_bytes: usize,
    /// Why.
    pub condition: Condition,
    /// How often they were invoked.
    pub invocations: u32,
    /// When they were given up.
    pub at: Millis,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InvocationRecord<'a> {
    request_context: RequestContext<'a>,
    response_context: Option<ResponseContext>,
    version: &'static str,
    timestamp: String,
    #[serde(rename = "KafkaBatchInfo")]
    kafka_batch_info: KafkaBatchInfo<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
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

impl GivenUpBatch for Discarded<'_> {
    fn name(&self) -> &str {
        self.topic
    }

    fn invocation_record(&self, payload: Option<&str>) -> String {
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
        let too_large = self.condition == Condition::MaximumPayloadSizeExceeded;
        let record = InvocationRecord {
            request_context: RequestContext {
                request_id: self.request_id,
                function_arn: self.function_arn,
                condition: self.condition.to_string(),
                approximate_invoke_count: self.invocations,
            },
            response_context: (!too_large).then(ResponseContext::of_an_error),
            version: "1.0",
            timestamp: iso(self.at),
            kafka_batch_info: KafkaBatchInfo {
                batch_size: self.records.len(),
                bootstrap_servers: self.brokers,
                payload_size: self.payload_bytes,
                records_info,
            },
            payload,
        };
        serde_json::to_string(&record).unwrap_or_default()
    }

    /// `aws/lambda/<ESM-UUID>/<topic>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>`
    fn object_key(&self, mapping: Uuid, random: Uuid) -> String {
        let (topic, at) = (self.topic, time_of_key(self.at));
        format!("aws/lambda/{mapping}/{topic}/{at}-{random}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::envelope::{Envelope, Message, TimestampType};
    use super::*;

    fn records() -> Vec<Arc<Record>> {
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
        .map(|message| Arc::new(envelope.record(&message)))
        .to_vec()
    }

    fn discarded(records: &[Arc<Record>], condition: Condition) -> Discarded<'_> {
        Discarded {
            request_id: Uuid::nil(),
            function_arn: "arn:aws:lambda:us-east-1:123456789012:function:myfunction",
            topic: "Topic",
            brokers: "b:9092",
            records,
            payload_bytes: 500,
            condition,
            invocations: 1,
            at: 1_573_691_886_021,
        }
    }

    #[test]
    fn a_queue_gets_the_metadata_of_the_developer_guides_example() {
        let records = records();
        let text = discarded(&records, Condition::RetryAttemptsExhausted).invocation_record(None);
        insta::assert_snapshot!(text, @r#"{"requestContext":{"requestId":"00000000-0000-0000-0000-000000000000","functionArn":"arn:aws:lambda:us-east-1:123456789012:function:myfunction","condition":"RetryAttemptsExhausted","approximateInvokeCount":1},"responseContext":{"statusCode":200,"executedVersion":"$LATEST","functionError":"Unhandled"},"version":"1.0","timestamp":"2019-11-14T00:38:06.021Z","KafkaBatchInfo":{"batchSize":3,"bootstrapServers":"b:9092","payloadSize":500,"recordsInfo":{"Topic-0":{"firstRecordOffset":"7","lastRecordOffset":"9","firstRecordTimestamp":"2019-11-14T00:38:04.835Z","lastRecordTimestamp":"2019-11-14T00:38:05.580Z"},"Topic-1":{"firstRecordOffset":"3","lastRecordOffset":"3","firstRecordTimestamp":"2019-11-14T00:38:04.900Z","lastRecordTimestamp":"2019-11-14T00:38:04.900Z"}}}}"#);
    }

    #[test]
    fn a_record_that_is_too_large_was_never_answered_and_a_bucket_gets_the_event() {
        let records = records();
        let discarded = discarded(&records, Condition::MaximumPayloadSizeExceeded);
        let text = discarded.invocation_record(Some(r#"{"records":{}}"#));
        assert!(text.contains(r#""responseContext":null"#), "{text}");
        assert!(
            text.ends_with(r#","payload":"{\"records\":{}}"}"#),
            "{text}"
        );
        assert_eq!(
            discarded.object_key(Uuid::nil(), Uuid::max()),
            "aws/lambda/00000000-0000-0000-0000-000000000000/Topic/2019/11/14/2019-11-14T00.38.06-ffffffff-ffff-ffff-ffff-ffffffffffff"
        );
    }
}
