//! A batch that was given up: why, and the JSON document that stands for it.
//!
//! Source: Lambda developer guide, "Retain discarded batch records for a Kinesis Data Streams event source"
//! (<https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html>) and "Capturing discarded batches
//! for Amazon MSK and self-managed Apache Kafka event sources"
//! (<https://docs.aws.amazon.com/lambda/latest/dg/kafka-on-failure-destination.html>).

use std::fmt;

use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::position::Millis;

/// Why records were given up. Displayed as Lambda writes it into an invocation record (`requestContext.condition`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `MaximumRetryAttempts` is used up.
    RetryAttemptsExhausted,
    /// The records are older than `MaximumRecordAgeInSeconds`.
    RecordAgeExceeded,
    /// A single record exceeds the limit of an invocation's payload and can never be invoked.
    InvokePayloadSizeExceeded,
    /// The same of a Kafka record, for which Lambda has a word of its own.
    MaximumPayloadSizeExceeded,
}

impl fmt::Display for Condition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, formatter)
    }
}

/// A batch as its broker describes it, in the form of an invocation record: `KinesisBatchInfo` or `KafkaBatchInfo`.
pub trait BatchInfo {
    /// The shard or the topic, a part of an object's key.
    fn of(&self) -> &str;

    /// The description, under its name.
    ///
    /// # Panics
    /// When there are no records.
    fn describe(&self) -> impl Serialize;
}

/// The facts of one batch that was given up.
#[derive(Debug)]
pub struct GivenUp<'a, B> {
    /// The last invocation's request id.
    pub request_id: Uuid,
    /// The function's ARN.
    pub function_arn: &'a str,
    /// The records.
    pub batch: B,
    /// Why.
    pub condition: Condition,
    /// How often they were invoked.
    pub invocations: u32,
    /// When they were given up.
    pub at: Millis,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InvocationRecord<'a, B> {
    request_context: RequestContext<'a>,
    response_context: Option<ResponseContext>,
    version: &'static str,
    timestamp: String,
    #[serde(flatten)]
    batch: B,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext<'a> {
    request_id: Uuid,
    function_arn: &'a str,
    condition: String,
    approximate_invoke_count: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResponseContext {
    status_code: u16,
    executed_version: &'static str,
    function_error: &'static str,
}

impl<B: BatchInfo> GivenUp<'_, B> {
    /// The JSON document that Lambda sends: with the whole event as a string for S3, without it for SQS.
    ///
    /// # Panics
    /// When there are no records.
    pub fn invocation_record(&self, payload: Option<&str>) -> String {
        let never_invoked = self.condition == Condition::MaximumPayloadSizeExceeded;
        let record = InvocationRecord {
            request_context: RequestContext {
                request_id: self.request_id,
                function_arn: self.function_arn,
                condition: self.condition.to_string(),
                approximate_invoke_count: self.invocations,
            },
            response_context: (!never_invoked).then_some(ResponseContext {
                status_code: 200,
                executed_version: "$LATEST",
                function_error: "Unhandled",
            }),
            version: "1.0",
            timestamp: iso(self.at),
            batch: self.batch.describe(),
            payload,
        };
        serde_json::to_string(&record).unwrap_or_default()
    }

    /// The key of its object in a bucket: `aws/lambda/<ESM-UUID>/<shard or topic>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>`.
    /// `mapping`: the mapping's identity; `random` keeps keys apart.
    pub fn object_key(&self, mapping: Uuid, random: Uuid) -> String {
        let at = timestamp(self.at).strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S");
        format!("aws/lambda/{mapping}/{}/{at}-{random}", self.batch.of())
    }
}

fn timestamp(millis: Millis) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

pub(crate) fn iso(millis: Millis) -> String {
    format!("{:.3}", timestamp(millis))
}
