//! What a function's answer means for its batch.
//!
//! Source: Lambda developer guide, "Configuring partial batch response with Kinesis Data Streams and Lambda"
//! (success and failure conditions). What the guide leaves open is read as a failure of the whole batch: records
//! are redelivered rather than skipped.

use std::borrow::Cow;
use std::collections::HashMap;

use serde_json::Value;

use crate::record::SequenceNumber;

/// The meaning of an invocation's end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The whole batch is done.
    Success,
    /// Nothing of the batch is done: the function failed, or its answer cannot be understood.
    Failed(Cow<'static, str>),
    /// Records before this one are done; it and everything after it are to be retried.
    PartialFrom(SequenceNumber),
}

/// Reads the body that the function answered for `batch`, given as records or as their positions.
///
/// Without `ReportBatchItemFailures` every answer is a success.
pub fn read(
    body: &[u8],
    report_batch_item_failures: bool,
    batch: &[impl AsRef<SequenceNumber>],
) -> Answer {
    if !report_batch_item_failures || body.trim_ascii().is_empty() {
        return Answer::Success;
    }
    match lowest_failure(body, batch) {
        Ok(None) => Answer::Success,
        Ok(Some(lowest)) => Answer::PartialFrom(lowest),
        Err(reason) => Answer::Failed(reason.into()),
    }
}

fn lowest_failure(
    body: &[u8],
    batch: &[impl AsRef<SequenceNumber>],
) -> Result<Option<SequenceNumber>, &'static str> {
    let answer: Value = serde_json::from_slice(body).map_err(|_| "the answer is not JSON")?;
    let answer = match answer {
        Value::Null => return Ok(None),
        Value::Object(answer) => answer,
        _ => return Err("the answer is not a JSON object"),
    };
    let failures = match answer.get("batchItemFailures") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(failures)) => failures,
        Some(_) => return Err("batchItemFailures is not a list"),
    };
    if failures.is_empty() {
        return Ok(None);
    }
    let positions: HashMap<&str, usize> = batch
        .iter()
        .enumerate()
        .map(|(index, record)| (record.as_ref().as_str(), index))
        .collect();
    let mut lowest: Option<&SequenceNumber> = None;
    for failure in failures {
        let identifier = failure
            .get("itemIdentifier")
            .ok_or("a batch item failure has no itemIdentifier")?
            .as_str()
            .ok_or("an itemIdentifier is not a string")?;
        if identifier.is_empty() {
            return Err("an itemIdentifier is empty");
        }
        let index = positions
            .get(identifier)
            .ok_or("an itemIdentifier is not in the batch")?;
        let reported = batch[*index].as_ref();
        if lowest.is_none_or(|lowest| reported < lowest) {
            lowest = Some(reported);
        }
    }
    Ok(lowest.cloned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Record;

    fn batch(numbers: &[u64]) -> Vec<Record> {
        numbers
            .iter()
            .map(|number| Record {
                sequence_number: SequenceNumber::from(*number),
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
            Answer::PartialFrom(number) => format!("from {number}"),
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
