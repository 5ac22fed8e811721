//! What a function's answer means for a batch of a topic.
//!
//! Source: Lambda developer guide, "Configuring error handling controls for Kafka event sources": an empty JSON or null
//! is a success, and a partition or offset that was not in the event fails the whole batch. The guide has named the
//! partition `partition` and, in an earlier edition, `topic-partition`; both are read.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::record::Record;
use crate::mapping::answer::{self, Identifier};

/// What a function is told whose mapping reads partial answers: the name that an item has for its partition.
pub const PARTIAL_RESPONSES: &str = "partition";

/// Offsets that a partial answer reports, by partition.
pub type Failures = BTreeMap<i32, BTreeSet<i64>>;

/// The meaning of an invocation's end.
pub type Answer = answer::Answer<Failures>;

/// Reads the body that the function answered for records of `topic`.
///
/// Without `ReportBatchItemFailures` every answer is a success.
pub fn read(
    body: &[u8],
    report_batch_item_failures: bool,
    topic: &str,
    records: &[Record],
) -> Answer {
    answer::read(body, report_batch_item_failures, |identifiers| {
        failures(identifiers, topic, records)
    })
}

fn failures(
    identifiers: &mut dyn Iterator<Item = Identifier<'_>>,
    topic: &str,
    records: &[Record],
) -> Result<Failures, &'static str> {
    let mut offsets: HashMap<String, (i32, BTreeSet<i64>)> = HashMap::new();
    for record in records {
        let partition = record.partition;
        let name = format!("{topic}-{partition}");
        let of_partition = offsets.entry(name).or_insert((partition, BTreeSet::new()));
        of_partition.1.insert(record.offset);
    }
    let mut failures = Failures::new();
    for identifier in identifiers {
        let identifier = identifier?;
        let partition = identifier
            .get("partition")
            .or_else(|| identifier.get("topic-partition"))
            .and_then(Value::as_str)
            .ok_or("an itemIdentifier names no partition")?;
        let offset = identifier
            .get("offset")
            .and_then(Value::as_i64)
            .ok_or("an itemIdentifier has no offset")?;
        let (partition, offsets) = offsets
            .get(partition)
            .ok_or("an itemIdentifier names a partition that is not in the batch")?;
        if !offsets.contains(&offset) {
            return Err("an itemIdentifier names an offset that is not in the batch");
        }
        failures.entry(*partition).or_default().insert(offset);
    }
    Ok(failures)
}

#[cfg(test)]
mod tests {
    use super::super::envelope::Envelope;
    use super::super::record::{Message, TimestampType};
    use super::*;

    fn records(offsets: &[(i32, i64)]) -> Vec<Record> {
        let envelope = Envelope::new("a-1", "b:9092");
        let message = |(partition, offset)| Message {
            partition,
            offset,
            timestamp: 0,
            timestamp_type: TimestampType::LogAppendTime,
            key: None,
            value: None,
            headers: &[],
        };
        offsets
            .iter()
            .map(|of| envelope.record(&message(*of)))
            .collect()
    }

    fn shown(body: &str) -> String {
        let records = records(&[(0, 9), (2, 10), (0, 11)]);
        match read(body.as_bytes(), true, "a-1", &records) {
            Answer::Success => "success".to_owned(),
            Answer::Failed(reason) => format!("failed: {reason}"),
            Answer::Partial(failures) => format!("{failures:?}"),
        }
    }

    #[test]
    fn every_shape_of_answer_is_read_as_the_guide_has_it() {
        let item = |identifier: &str| {
            format!(r#"{{"batchItemFailures":[{{"itemIdentifier":{identifier}}}]}}"#)
        };
        let table = [
            (String::new(), "success"),
            ("null".to_owned(), "success"),
            ("{}".to_owned(), "success"),
            (r#"{"batchItemFailures":null}"#.to_owned(), "success"),
            (r#"{"batchItemFailures":[]}"#.to_owned(), "success"),
            (item(r#"{"partition":"a-1-0","offset":11}"#), "{0: {11}}"),
            (item(r#"{"topic-partition":"a-1-2","offset":10}"#), "{2: {10}}"),
            (
                r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"a-1-0","offset":11}},{"itemIdentifier":{"partition":"a-1-2","offset":10}},{"itemIdentifier":{"partition":"a-1-0","offset":9}}]}"#.to_owned(),
                "{0: {9, 11}, 2: {10}}",
            ),
            (
                item(r#"{"partition":"a-1-0","offset":10}"#),
                "failed: an itemIdentifier names an offset that is not in the batch",
            ),
            (
                item(r#"{"partition":"a-1-1","offset":9}"#),
                "failed: an itemIdentifier names a partition that is not in the batch",
            ),
            (
                item(r#"{"partition":0,"offset":9}"#),
                "failed: an itemIdentifier names no partition",
            ),
            (
                item(r#"{"partition":"a-1-0","offset":"9"}"#),
                "failed: an itemIdentifier has no offset",
            ),
            (item(r#""9""#), "failed: an itemIdentifier names no partition"),
            (
                r#"{"batchItemFailures":[{}]}"#.to_owned(),
                "failed: a batch item failure has no itemIdentifier",
            ),
            (
                r#"{"batchItemFailures":{}}"#.to_owned(),
                "failed: batchItemFailures is not a list",
            ),
            ("[]".to_owned(), "failed: the answer is not a JSON object"),
            ("{".to_owned(), "failed: the answer is not JSON"),
        ];
        for (body, meaning) in table {
            assert_eq!(shown(&body), meaning, "{body}");
        }
    }

    #[test]
    fn without_report_batch_item_failures_every_answer_is_a_success() {
        let records = records(&[(0, 9)]);
        for body in ["", "not JSON", r#"{"batchItemFailures":[{}]}"#] {
            assert_eq!(
                read(body.as_bytes(), false, "a-1", &records),
                Answer::Success
            );
        }
    }
}
