//! What Lambda is told: the partial batch responses of `ReportBatchItemFailures`.

use serde::Serialize;

use crate::config::KafkaPartialResponse;
use crate::handler::Outcome;

/// The answer to a batch: an empty list says that all of it is done with.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer<Identifier> {
    batch_item_failures: Vec<ItemFailure<Identifier>>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure<Identifier> {
    item_identifier: Identifier,
}

impl<Identifier> FromIterator<Identifier> for BatchAnswer<Identifier> {
    fn from_iter<I: IntoIterator<Item = Identifier>>(identifiers: I) -> Self {
        let failures = identifiers
            .into_iter()
            .map(|item_identifier| ItemFailure { item_identifier });
        Self {
            batch_item_failures: failures.collect(),
        }
    }
}

/// For Kinesis, the position from which Lambda is to deliver again
/// (<https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>).
pub fn kinesis(outcome: &Outcome) -> BatchAnswer<String> {
    outcome.failed_from.iter().cloned().collect()
}

/// A record of a partition, in one of the two forms that AWS has documented.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum KafkaIdentifier {
    /// The form of the developer guide.
    Partition {
        /// `<topic>-<partition>`, as the event names it.
        partition: String,
        /// The record's offset.
        offset: u64,
    },
    /// The form of the guide's first edition.
    TopicPartition {
        /// `<topic>-<partition>`, as the event names it.
        #[serde(rename = "topic-partition")]
        topic_partition: String,
        /// The record's offset.
        offset: u64,
    },
}

/// Partitions failed, and the mapping does not read partial responses.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {partitions} partitions were not committed: {first}")]
pub struct PartitionsFailed {
    failed: usize,
    partitions: usize,
    /// The first of them, and why.
    first: String,
}

/// For Kafka, every record that is not committed
/// (<https://docs.aws.amazon.com/lambda/latest/dg/kafka-retry-configurations.html>). The guide says that Lambda retries
/// "just those specific items": naming only the first of a partition might skip the others.
///
/// # Errors
/// Without partial responses, when a partition failed: an error is the one answer that skips nothing then.
pub fn kafka(
    outcomes: &[Outcome],
    partial_response: KafkaPartialResponse,
) -> Result<BatchAnswer<KafkaIdentifier>, PartitionsFailed> {
    if partial_response == KafkaPartialResponse::Off {
        return all_or_nothing(outcomes);
    }
    let identifiers = outcomes.iter().flat_map(|outcome| {
        let name = format!("{}-{}", outcome.report.stream, outcome.report.shard);
        outcome.failed.iter().map(move |offset| {
            // It was read as one from the event.
            let (partition, offset) = (name.clone(), offset.parse().unwrap_or_default());
            match partial_response {
                KafkaPartialResponse::TopicPartition => KafkaIdentifier::TopicPartition {
                    topic_partition: partition,
                    offset,
                },
                _ => KafkaIdentifier::Partition { partition, offset },
            }
        })
    });
    Ok(identifiers.collect())
}

fn all_or_nothing(outcomes: &[Outcome]) -> Result<BatchAnswer<KafkaIdentifier>, PartitionsFailed> {
    let mut failed = outcomes.iter().filter_map(|outcome| {
        let from = outcome.failed_from.as_ref()?;
        Some((outcome, from))
    });
    let Some((outcome, from)) = failed.next() else {
        return Ok(BatchAnswer::from_iter([]));
    };
    let (topic, partition) = (&outcome.report.stream, &outcome.report.shard);
    let cause = outcome.error.as_ref().map(ToString::to_string);
    Err(PartitionsFailed {
        failed: 1 + failed.count(),
        partitions: outcomes.len(),
        first: format!(
            "{topic}-{partition} from {from}: {}",
            cause.unwrap_or_default()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::BatchError;
    use crate::report::Report;

    fn outcome(partition: &str, failed: &[&str]) -> Outcome {
        Outcome {
            failed_from: failed.first().map(ToString::to_string),
            failed: failed.iter().map(ToString::to_string).collect(),
            error: (!failed.is_empty()).then_some(BatchError::Deadline),
            report: Report {
                stream: "orders".into(),
                shard: partition.into(),
                ..Report::default()
            },
        }
    }

    fn json(answer: &impl Serialize) -> String {
        serde_json::to_string(answer).expect("JSON")
    }

    #[test]
    fn kinesis_is_told_the_first_position_that_is_not_committed() {
        assert_eq!(
            json(&kinesis(&outcome("0", &[]))),
            r#"{"batchItemFailures":[]}"#
        );
        assert_eq!(
            json(&kinesis(&outcome("0", &["4959", "4960"]))),
            r#"{"batchItemFailures":[{"itemIdentifier":"4959"}]}"#
        );
    }

    #[test]
    fn kafka_is_told_every_record_that_is_not_committed_in_the_form_asked_for() {
        let outcomes = [outcome("0", &[]), outcome("12", &["7", "9"])];
        let answer = |form| json(&kafka(&outcomes, form).expect("a partial response"));
        assert_eq!(
            answer(KafkaPartialResponse::Partition),
            r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-12","offset":7}},{"itemIdentifier":{"partition":"orders-12","offset":9}}]}"#
        );
        assert_eq!(
            answer(KafkaPartialResponse::TopicPartition),
            r#"{"batchItemFailures":[{"itemIdentifier":{"topic-partition":"orders-12","offset":7}},{"itemIdentifier":{"topic-partition":"orders-12","offset":9}}]}"#
        );
    }

    #[test]
    fn without_partial_responses_one_failed_partition_fails_the_invocation() {
        let off = KafkaPartialResponse::Off;
        let done = kafka(&[outcome("0", &[]), outcome("1", &[])], off);
        assert_eq!(json(&done.expect("done")), r#"{"batchItemFailures":[]}"#);
        let error = kafka(&[outcome("0", &[]), outcome("1", &["7"])], off);
        assert_eq!(
            error.expect_err("failed").to_string(),
            "1 of 2 partitions were not committed: orders-1 from 7: the deadline is too near for another request to the lake"
        );
    }
}
