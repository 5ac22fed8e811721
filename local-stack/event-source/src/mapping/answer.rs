//! How an invocation ended, and what a function's answer means for its batch.
//!
//! Lambda reads the same answer from functions for both brokers; only an item's identifier differs. What the developer
//! guide leaves open is read as a failure of the whole batch: records are delivered again rather than skipped.

use std::borrow::Cow;

use serde_json::Value;

/// The meaning of an answer. `P`: what a partial answer reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<P> {
    /// The whole batch is done.
    Success,
    /// Nothing of the batch is done: the function failed, or its answer cannot be understood.
    Failed(Cow<'static, str>),
    /// Some of the batch is done.
    Partial(P),
}

/// The end of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<P> {
    /// The function ran (perhaps to an error, a crash or its time-out).
    Answered(Answer<P>),
    /// The function could not be invoked: the batch is retried as it is, without using up the retry quota, until
    /// its records are too old.
    NotInvoked,
}

impl<P> Outcome<P> {
    /// How many of the batch's records were not said to be done. `is_left`: whether a partial answer leaves a record.
    pub fn failed_records<R>(&self, records: &[R], is_left: impl Fn(&P, &R) -> bool) -> usize {
        match self {
            Self::Answered(Answer::Success) => 0,
            Self::Answered(Answer::Partial(partial)) => records
                .iter()
                .filter(|record| is_left(partial, record))
                .count(),
            Self::Answered(Answer::Failed(_)) | Self::NotInvoked => records.len(),
        }
    }
}

/// An item's identifier, or why it has none.
pub(crate) type Identifier<'a> = Result<&'a Value, &'static str>;

/// Reads the body that a function answered. Without `ReportBatchItemFailures` every answer is a success.
///
/// `partial` makes of the identifiers, of which there is at least one, what they report, or says why they cannot be
/// understood.
pub(crate) fn read<P>(
    body: &[u8],
    report_batch_item_failures: bool,
    partial: impl FnOnce(&mut dyn Iterator<Item = Identifier<'_>>) -> Result<P, &'static str>,
) -> Answer<P> {
    if !report_batch_item_failures || body.trim_ascii().is_empty() {
        return Answer::Success;
    }
    let read = || {
        let answer = serde_json::from_slice(body).map_err(|_| "the answer is not JSON")?;
        let items = items(&answer)?;
        if items.is_empty() {
            return Ok(Answer::Success);
        }
        let mut identifiers = items.iter().map(|item| {
            item.get("itemIdentifier")
                .ok_or("a batch item failure has no itemIdentifier")
        });
        partial(&mut identifiers).map(Answer::Partial)
    };
    read().unwrap_or_else(|reason: &str| Answer::Failed(reason.into()))
}

fn items(answer: &Value) -> Result<&[Value], &'static str> {
    match answer {
        Value::Null => Ok(&[]),
        Value::Object(answer) => match answer.get("batchItemFailures") {
            None | Some(Value::Null) => Ok(&[]),
            Some(Value::Array(items)) => Ok(items),
            Some(_) => Err("batchItemFailures is not a list"),
        },
        _ => Err("the answer is not a JSON object"),
    }
}
