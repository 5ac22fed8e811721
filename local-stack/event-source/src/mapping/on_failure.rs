//! Where batches go that were given up: an SQS queue (metadata) or an S3 bucket (metadata and payload).

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use uuid::Uuid;

use super::given_up::{BatchInfo, GivenUp};

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
                    .map_err(|error| failed(name, aws::explain(&error)))?
                    .queue_url;
                let url = url.ok_or_else(|| failed(name, "has no URL".to_owned()))?;
                Ok(Self::Queue { client, url })
            }
            Destination::QueueAt(url) => {
                let client = aws_sdk_sqs::Client::new(config);
                let answer = client.get_queue_attributes().queue_url(url).send().await;
                answer.map_err(|error| failed(url, aws::explain(&error)))?;
                Ok(Self::Queue {
                    client,
                    url: url.clone(),
                })
            }
            Destination::Bucket(bucket) => {
                let client = aws_sdk_s3::Client::from_conf(aws::s3(config).build());
                let answer = client.head_bucket().bucket(bucket).send().await;
                answer.map_err(|error| failed(bucket, aws::explain(&error)))?;
                Ok(Self::Bucket {
                    client,
                    bucket: bucket.clone(),
                    mapping,
                })
            }
        }
    }

    /// Delivers, and does not give up: the records have no other place. `event`: what the function was invoked with.
    pub async fn deliver<B: BatchInfo>(&self, given_up: &GivenUp<'_, B>, event: &str) {
        let mut wait = Duration::from_millis(500);
        while let Err(reason) = self.try_deliver(given_up, event).await {
            tracing::warn!(
                of = given_up.batch.of(),
                next_in_ms = wait.as_millis(),
                "the on-failure destination did not take a batch: {reason}"
            );
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LONGEST_BACK_OFF);
        }
    }

    async fn try_deliver<B: BatchInfo>(
        &self,
        given_up: &GivenUp<'_, B>,
        event: &str,
    ) -> Result<(), String> {
        match self {
            Self::Queue { client, url } => {
                let body = given_up.invocation_record(None);
                let request = client.send_message().queue_url(url).message_body(body);
                request.send().await.map_err(|error| aws::explain(&error))?;
            }
            Self::Bucket {
                client,
                bucket,
                mapping,
            } => {
                let body = given_up.invocation_record(Some(event));
                let request = client
                    .put_object()
                    .bucket(bucket)
                    .key(given_up.object_key(*mapping, Uuid::new_v4()))
                    .content_type("application/json")
                    .body(ByteStream::from(body.into_bytes()));
                request.send().await.map_err(|error| aws::explain(&error))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
