//! What a function's answer means for its batch.
//!
//! Source: Lambda developer guide, "Configuring partial batch response with Kinesis Data Streams and Lambda"
//! (success and failure conditions).

use std::collections::HashMap;

use crate::mapping::answer::{self, Identifier};
use crate::mapping::position::Position;

/// What a function is told whose mapping reads partial answers.
pub const PARTIAL_RESPONSES: &str = "on";

/// The meaning of an invocation's end. Records before the position of a partial answer are done; the one there and
/// everything after it are to be retried.
pub type Answer = answer::Answer<Position>;

/// Reads the body that the function answered for `batch`, given as records or as their positions.
///
/// Without `ReportBatchItemFailures` every answer is a success.
pub fn read(
    body: &[u8],
    report_batch_item_failures: bool,
    batch: &[impl AsRef<Position>],
) -> Answer {
    answer::read(body, report_batch_item_failures, |identifiers| {
        lowest(identifiers, batch)
    })
}

fn lowest(
    identifiers: &mut dyn Iterator<Item = Identifier<'_>>,
    batch: &[impl AsRef<Position>],
) -> Result<Position, &'static str> {
    let positions: HashMap<&str, &Position> = batch
        .iter()
        .map(|record| (record.as_ref().as_str(), record.as_ref()))
        .collect();
    let mut lowest: Option<&Position> = None;
    for identifier in identifiers {
        let identifier = identifier?
            .as_str()
            .ok_or("an itemIdentifier is not a string")?;
        if identifier.is_empty() {
            return Err("an itemIdentifier is empty");
        }
        let reported = *positions
            .get(identifier)
            .ok_or("an itemIdentifier is not in the batch")?;
        if lowest.is_none_or(|lowest| reported < lowest) {
            lowest = Some(reported);
        }
    }
    lowest.cloned().ok_or("no itemIdentifier")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::record::Record;

    fn batch(numbers: &[u64]) -> Vec<Record> {
        numbers
            .iter()
            .map(|number| Record {
                sequence_number: Position::from(*number),
                partition_key: "key".into(),
                data: bytes::Bytes::new(),
                arrival: 0,
                payload_bytes: 300,
            })
            .collect()
    }

    fn shown(body: &str) -> String {
        match read(body.as_bytes(), true, &batch(&[9, 10, 11])) {
            Answer::Success => "success".to_owned(),
            Answer::Failed(reason) => format!("failed: {reason}"),
            Answer::Partial(number) => format!("from {number}"),
        }
    }

    #[test]
    fn every_shape_of_answer_is_read_as_lambda_reads_it() {
        let table = [
            ("", "success"),
            (" \n", "success"),
            ("null", "success"),
            ("{}", "success"),
            (r#"{"unrelated":1}"#, "success"),
            (r#"{"batchItemFailures":null}"#, "success"),
            (r#"{"batchItemFailures":[]}"#, "success"),
            (
                r#"{"batchItemFailures":[{"itemIdentifier":"10"}]}"#,
                "from 10",
            ),
            (
                r#"{"batchItemFailures":[{"itemIdentifier":"11"},{"itemIdentifier":"9"},{"itemIdentifier":"10"}]}"#,
                "from 9",
            ),
            (
                r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"10"}]}"#,
                "from 10",
            ),
            (
                r#"{"batchItemFailures":[{"itemIdentifier":""}]}"#,
                "failed: an itemIdentifier is empty",
            ),
            (
                r#"{"batchItemFailures":[{"itemIdentifier":null}]}"#,
                "failed: an itemIdentifier is not a string",
            ),
            (
                r#"{"batchItemFailures":[{"itemIdentifier":10}]}"#,
                "failed: an itemIdentifier is not a string",
            ),
            (
                r#"{"batchItemFailures":[{"itemidentifier":"10"}]}"#,
                "failed: a batch item failure has no itemIdentifier",
            ),
            (
                r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"sequenceNumber":"11"}]}"#,
                "failed: a batch item failure has no itemIdentifier",
            ),
            (
                r#"{"batchItemFailures":["10"]}"#,
                "failed: a batch item failure has no itemIdentifier",
            ),
            (
                r#"{"batchItemFailures":[{"itemIdentifier":"10"},{"itemIdentifier":"12"}]}"#,
                "failed: an itemIdentifier is not in the batch",
            ),
            (
                r#"{"batchItemFailures":{"itemIdentifier":"10"}}"#,
                "failed: batchItemFailures is not a list",
            ),
            (r#""done""#, "failed: the answer is not a JSON object"),
            ("[]", "failed: the answer is not a JSON object"),
            (
                r#"{"batchItemFailures":[{"itemIdentifier":"10"}"#,
                "failed: the answer is not JSON",
            ),
        ];
        for (body, meaning) in table {
            assert_eq!(shown(body), meaning, "{body}");
        }
    }

    #[test]
    fn without_report_batch_item_failures_every_answer_is_a_success() {
        for body in [
            "",
            "not JSON",
            r#"{"batchItemFailures":[{"itemIdentifier":"9"}]}"#,
        ] {
            assert_eq!(read(body.as_bytes(), false, &batch(&[9])), Answer::Success);
        }
    }
}
