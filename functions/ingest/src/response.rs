//! What Lambda is told: the partial batch responses of `ReportBatchItemFailures`, or an error.

use serde::Serialize;

use crate::config::PartialResponses;
use crate::environment::Broker;
use crate::handler::Outcome;

/// The answer to an event: an empty list says that all of it is done with.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchResponse {
    batch_item_failures: Vec<ItemFailure>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct ItemFailure {
    item_identifier: Identifier,
}

/// A record.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(untagged)]
enum Identifier {
    /// Of a stream.
    SequenceNumber(String),
    /// Of a topic, in the form of the developer guide.
    Partition {
        /// `<topic>-<partition>`, as the event names it.
        partition: String,
        offset: u64,
    },
    /// Of a topic, in the form of the guide's first edition.
    TopicPartition {
        #[serde(rename = "topic-partition")]
        topic_partition: String,
        offset: u64,
    },
}

/// Records were not committed, and the mapping does not read partial responses.
#[derive(Debug, thiserror::Error)]
#[error("{failed} of {batches} batches were not committed: {first}")]
pub struct BatchFailed {
    failed: usize,
    batches: usize,
    /// The first of them, and why.
    first: String,
}

/// The answer to an event whose batches ended so.
///
/// A stream's mapping is told the position from which to deliver again. A topic's is told every record that is not
/// committed: the guide says that Lambda retries "just those specific items", so naming only the first of a partition
/// might skip the others.
///
/// # Errors
/// Without partial responses, when a batch failed: an error is the one answer that skips nothing then.
pub fn of(
    broker: Broker,
    outcomes: &[Outcome],
    partial_responses: PartialResponses,
) -> Result<BatchResponse, BatchFailed> {
    if partial_responses == PartialResponses::Off {
        return all_or_nothing(outcomes);
    }
    let mut failures = Vec::new();
    for outcome in outcomes {
        match broker {
            Broker::Kinesis => {
                let from = outcome.failed_from.iter().cloned();
                failures.extend(from.map(Identifier::SequenceNumber));
            }
            Broker::Kafka => {
                let offsets = outcome.failed.iter();
                failures.extend(offsets.map(|offset| of_topic(outcome, offset, partial_responses)));
            }
        }
    }
    let failures = failures.into_iter();
    Ok(BatchResponse {
        batch_item_failures: failures
            .map(|item_identifier| ItemFailure { item_identifier })
            .collect(),
    })
}

fn of_topic(outcome: &Outcome, offset: &str, form: PartialResponses) -> Identifier {
    let partition = format!("{}-{}", outcome.counts.stream, outcome.counts.shard);
    // It was read as one from the event.
    let offset = offset.parse().unwrap_or_default();
    if form == PartialResponses::TopicPartition {
        Identifier::TopicPartition {
            topic_partition: partition,
            offset,
        }
    } else {
        Identifier::Partition { partition, offset }
    }
}

fn all_or_nothing(outcomes: &[Outcome]) -> Result<BatchResponse, BatchFailed> {
    let mut failed = outcomes.iter().filter_map(|outcome| {
        let from = outcome.failed_from.as_ref()?;
        Some((outcome, from))
    });
    let Some((outcome, from)) = failed.next() else {
        return Ok(BatchResponse::default());
    };
    let (stream, shard) = (&outcome.counts.stream, &outcome.counts.shard);
    let cause = outcome.error.as_ref().map(ToString::to_string);
    Err(BatchFailed {
        failed: 1 + failed.count(),
        batches: outcomes.len(),
        first: format!(
            "{stream}-{shard} from {from}: {}",
            cause.unwrap_or_default()
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::BatchCounts;
    use crate::error::BatchError;

    fn outcome(shard: &str, failed: &[&str]) -> Outcome {
        Outcome {
            failed_from: failed.first().map(ToString::to_string),
            failed: failed.iter().map(ToString::to_string).collect(),
            error: (!failed.is_empty()).then_some(BatchError::Deadline),
            counts: BatchCounts {
                stream: "orders".into(),
                shard: shard.into(),
                ..BatchCounts::default()
            },
        }
    }

    fn answer(broker: Broker, outcomes: &[Outcome], form: PartialResponses) -> String {
        let response = of(broker, outcomes, form).expect("a partial response");
        serde_json::to_string(&response).expect("JSON")
    }

    #[test]
    fn a_stream_is_told_the_first_position_that_is_not_committed() {
        let answer = |failed: &[&str]| {
            let outcomes = [outcome("shardId-000000000000", failed)];
            answer(Broker::Kinesis, &outcomes, PartialResponses::SequenceNumber)
        };
        assert_eq!(answer(&[]), r#"{"batchItemFailures":[]}"#);
        assert_eq!(
            answer(&["4959", "4960"]),
            r#"{"batchItemFailures":[{"itemIdentifier":"4959"}]}"#
        );
    }

    #[test]
    fn a_topic_is_told_every_record_that_is_not_committed_in_the_form_asked_for() {
        let outcomes = [outcome("0", &[]), outcome("12", &["7", "9"])];
        assert_eq!(
            answer(Broker::Kafka, &outcomes, PartialResponses::Partition),
            r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-12","offset":7}},{"itemIdentifier":{"partition":"orders-12","offset":9}}]}"#
        );
        assert_eq!(
            answer(Broker::Kafka, &outcomes, PartialResponses::TopicPartition),
            r#"{"batchItemFailures":[{"itemIdentifier":{"topic-partition":"orders-12","offset":7}},{"itemIdentifier":{"topic-partition":"orders-12","offset":9}}]}"#
        );
    }

    #[test]
    fn without_partial_responses_one_failed_batch_fails_the_invocation_of_either_broker() {
        for broker in [Broker::Kinesis, Broker::Kafka] {
            let off = PartialResponses::Off;
            let done = of(broker, &[outcome("0", &[]), outcome("1", &[])], off);
            assert_eq!(done.expect("done"), BatchResponse::default());
            let failed = of(broker, &[outcome("0", &[]), outcome("1", &["7"])], off);
            assert_eq!(
                failed.expect_err("failed").to_string(),
                "1 of 2 batches were not committed: orders-1 from 7: the deadline is too near for another request to the lake"
            );
        }
    }
}
