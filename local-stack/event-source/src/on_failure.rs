//! Where batches go that were given up: an SQS queue (metadata) or an S3 bucket (metadata and payload).
//!
//! Source: Lambda developer guide, "Retain discarded batch records for a Kinesis Data Streams event source".

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use crate::kinesis::explain;
use crate::record::{Millis, Record};
use crate::shard::Condition;

const LONGEST_BACK_OFF: Duration = Duration::from_secs(30);

/// What somebody asked for, as an ARN or a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `arn:aws:sqs:<region>:<account>:<queue>`
    QueueNamed(String),
    /// The queue's URL.
    QueueAt(String),
    /// `arn:aws:s3:::<bucket>`
    Bucket(String),
}

/// The destination cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("on-failure destination {destination:?}: {reason}")]
pub struct DestinationError {
    destination: String,
    reason: String,
}

impl std::str::FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        match parts[..] {
            ["arn", _, "sqs", _, _, queue] if !queue.is_empty() => Ok(Self::QueueNamed(queue.to_owned())),
            ["arn", _, "s3", "", "", bucket] if !bucket.is_empty() => Ok(Self::Bucket(bucket.to_owned())),
            ["http" | "https", ..] => Ok(Self::QueueAt(text.to_owned())),
            _ => Err(DestinationError {
                destination: text.to_owned(),
                reason: "must be an SQS queue's ARN or URL, or an S3 bucket's ARN (SNS and Kafka are not supported)"
                    .to_owned(),
            }),
        }
    }
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct InvocationRecord<'a> {
    request_context: RequestContext<'a>,
    response_context: ResponseContext,
    version: &'static str,
    timestamp: String,
    #[serde(rename = "KinesisBatchInfo")]
    kinesis_batch_info: KinesisBatchInfo<'a>,
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

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct KinesisBatchInfo<'a> {
    shard_id: &'a str,
    start_sequence_number: &'a str,
    end_sequence_number: &'a str,
    approximate_arrival_of_first_record: String,
    approximate_arrival_of_last_record: String,
    batch_size: usize,
    stream_arn: &'a str,
}

impl Discarded<'_> {
    /// The JSON document that Lambda sends: with the whole event as a string for S3, without it for SQS.
    ///
    /// # Panics
    /// When there are no records.
    pub fn invocation_record(&self, payload: Option<&str>) -> String {
        let (first, last) = (&self.records[0], &self.records[self.records.len() - 1]);
        let record = InvocationRecord {
            request_context: RequestContext {
                request_id: self.request_id,
                function_arn: self.function_arn,
                condition: self.condition.to_string(),
                approximate_invoke_count: self.invocations,
            },
            response_context: ResponseContext {
                status_code: 200,
                executed_version: "$LATEST",
                function_error: "Unhandled",
            },
            version: "1.0",
            timestamp: iso(self.at),
            kinesis_batch_info: KinesisBatchInfo {
                shard_id: self.shard,
                start_sequence_number: first.sequence_number.as_str(),
                end_sequence_number: last.sequence_number.as_str(),
                approximate_arrival_of_first_record: iso(first.arrival),
                approximate_arrival_of_last_record: iso(last.arrival),
                batch_size: self.records.len(),
                stream_arn: self.stream_arn,
            },
            payload,
        };
        serde_json::to_string(&record).unwrap_or_default()
    }

    /// `aws/lambda/<ESM-UUID>/<shardID>/YYYY/MM/DD/YYYY-MM-DDTHH.MM.SS-<Random UUID>`
    pub fn object_key(&self, mapping: Uuid, random: Uuid) -> String {
        let at = timestamp(self.at);
        format!(
            "aws/lambda/{mapping}/{}/{}-{random}",
            self.shard,
            at.strftime("%Y/%m/%d/%Y-%m-%dT%H.%M.%S")
        )
    }
}

fn timestamp(millis: Millis) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn iso(millis: Millis) -> String {
    format!("{:.3}", timestamp(millis))
}

/// A destination that was found.
#[derive(Debug)]
pub enum OnFailure {
    /// A queue.
    Queue {
        /// Sends to it.
        client: aws_sdk_sqs::Client,
        /// Its URL.
        url: String,
    },
    /// A bucket.
    Bucket {
        /// Puts into it.
        client: aws_sdk_s3::Client,
        /// Its name.
        bucket: String,
        /// The mapping's identity, part of the keys.
        mapping: Uuid,
    },
}

impl OnFailure {
    /// Finds the destination, so that a wrong one is an error at the start and not when it is needed.
    pub async fn find(
        destination: &Destination,
        config: &aws_config::SdkConfig,
        mapping: Uuid,
    ) -> Result<Self, DestinationError> {
        let failed = |destination: &str, reason: String| DestinationError {
            destination: destination.to_owned(),
            reason,
        };
        match destination {
            Destination::QueueNamed(name) => {
                let client = aws_sdk_sqs::Client::new(config);
                let answer = client.get_queue_url().queue_name(name).send().await;
                let url = answer
                    .map_err(|error| failed(name, explain(&error)))?
                    .queue_url;
                let url = url.ok_or_else(|| failed(name, "has no URL".to_owned()))?;
                Ok(Self::Queue { client, url })
            }
            Destination::QueueAt(url) => {
                let client = aws_sdk_sqs::Client::new(config);
                let answer = client.get_queue_attributes().queue_url(url).send().await;
                answer.map_err(|error| failed(url, explain(&error)))?;
                Ok(Self::Queue {
                    client,
                    url: url.clone(),
                })
            }
            Destination::Bucket(bucket) => {
                let path_style = config.endpoint_url().is_some();
                let config = aws_sdk_s3::config::Builder::from(config).force_path_style(path_style);
                let client = aws_sdk_s3::Client::from_conf(config.build());
                let answer = client.head_bucket().bucket(bucket).send().await;
                answer.map_err(|error| failed(bucket, explain(&error)))?;
                Ok(Self::Bucket {
                    client,
                    bucket: bucket.clone(),
                    mapping,
                })
            }
        }
    }

    /// Delivers, and does not give up: the records have no other place.
    pub async fn deliver(&self, discarded: &Discarded<'_>, payload: impl Fn() -> Vec<u8>) {
        let mut wait = Duration::from_millis(500);
        while let Err(reason) = self.try_deliver(discarded, &payload).await {
            tracing::warn!(
                shard = discarded.shard,
                next_in_ms = wait.as_millis(),
                "the on-failure destination did not take a batch: {reason}"
            );
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_BACK_OFF);
        }
    }

    async fn try_deliver(
        &self,
        discarded: &Discarded<'_>,
        payload: impl Fn() -> Vec<u8>,
    ) -> Result<(), String> {
        match self {
            Self::Queue { client, url } => {
                let body = discarded.invocation_record(None);
                let request = client.send_message().queue_url(url).message_body(body);
                request.send().await.map_err(|error| explain(&error))?;
            }
            Self::Bucket {
                client,
                bucket,
                mapping,
            } => {
                let event = String::from_utf8(payload()).map_err(|error| error.to_string())?;
                let body = discarded.invocation_record(Some(&event));
                let request = client
                    .put_object()
                    .bucket(bucket)
                    .key(discarded.object_key(*mapping, Uuid::new_v4()))
                    .content_type("application/json")
                    .body(ByteStream::from(body.into_bytes()));
                request.send().await.map_err(|error| explain(&error))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SequenceNumber;

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

    #[test]
    fn destinations_are_queues_and_buckets_and_nothing_else() {
        let read = |text: &str| {
            text.parse::<Destination>()
                .map_err(|error| error.to_string())
        };
        assert_eq!(
            read("arn:aws:sqs:us-east-1:000000000000:failed"),
            Ok(Destination::QueueNamed("failed".to_owned()))
        );
        assert_eq!(
            read("arn:aws:s3:::failed"),
            Ok(Destination::Bucket("failed".to_owned()))
        );
        let url = "http://127.0.0.1:4566/000000000000/failed";
        assert_eq!(read(url), Ok(Destination::QueueAt(url.to_owned())));
        for text in [
            "failed",
            "arn:aws:sns:us-east-1:000000000000:failed",
            "arn:aws:s3:::",
            "",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
