//! What to do with the answer to a `PutRecords` request. Decisions only; the
//! [`kinesis`](crate::sink::kinesis) sink acts on them.
//!
//! A request can be stored in part: the answer holds, record by record, where it was stored or why not. Records that
//! were not stored are sent again, and only those, so a retried record can come to lie behind later ones of its
//! partition key.

use std::time::Duration;

use crate::batch::Position;

/// What came back for a request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// One result per record, in the order of the request: its position, or the error code of its refusal.
    Records(Vec<Result<Position, String>>),
    /// The request failed as a whole.
    Failed {
        /// The error code, or what the transport said.
        error: String,
        /// Whether the same request can succeed later.
        retryable: bool,
    },
}

/// How long to keep trying.
#[derive(Clone, Copy, Debug)]
pub struct RetryPolicy {
    /// Upper bound of the wait before the first retry; it doubles with each one.
    pub base: Duration,
    /// Upper bound of any wait.
    pub cap: Duration,
    /// Time after which a record is given up.
    pub give_up_after: Duration,
}

impl RetryPolicy {
    /// The wait before retry number `retry` (from 0): exponential back-off with full jitter, `chance` being 0 to 1.
    pub fn backoff(&self, retry: u32, chance: f64) -> Duration {
        let factor = 2_u32.saturating_pow(retry);
        self.base
            .saturating_mul(factor)
            .min(self.cap)
            .mul_f64(chance)
    }
}

/// What to do after an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Decision<T> {
    /// Stored.
    pub stored: Vec<(T, Position)>,
    /// To be sent again.
    pub retry: Vec<T>,
    /// Not to be tried any more.
    pub given_up: Vec<T>,
    /// The last error among the records that were not stored.
    pub error: Option<String>,
}

/// Decides what to do with the records of a request that was answered `elapsed` after their first try.
///
/// An answer lost on the way is a retryable failure, so what the broker had stored is then stored twice. The
/// pipeline drops the second copy by its `event_id`.
pub fn decide<T>(
    request: Vec<T>,
    answer: Answer,
    elapsed: Duration,
    policy: &RetryPolicy,
) -> Decision<T> {
    let in_time = elapsed < policy.give_up_after;
    let failed = |request: Vec<T>, error, retryable| {
        let (retry, given_up) = if retryable && in_time {
            (request, vec![])
        } else {
            (vec![], request)
        };
        Decision {
            stored: vec![],
            retry,
            given_up,
            error: Some(error),
        }
    };
    let results = match answer {
        Answer::Failed { error, retryable } => return failed(request, error, retryable),
        Answer::Records(results) if results.len() != request.len() => {
            let error = format!(
                "an answer for {} of {} records",
                results.len(),
                request.len()
            );
            return failed(request, error, true);
        }
        Answer::Records(results) => results,
    };
    let mut decision = Decision {
        stored: vec![],
        retry: vec![],
        given_up: vec![],
        error: None,
    };
    for (record, result) in request.into_iter().zip(results) {
        match result {
            Ok(position) => decision.stored.push((record, position)),
            Err(code) => {
                decision.error = Some(code);
                if in_time {
                    decision.retry.push(record);
                } else {
                    decision.given_up.push(record);
                }
            }
        }
    }
    decision
}

/// Whether a request that the service refused as a whole can succeed later, by HTTP status and error code.
pub fn is_retryable(status: u16, code: &str) -> bool {
    status >= 500
        || status == 429
        || matches!(
            code,
            "ProvisionedThroughputExceededException"
                | "LimitExceededException"
                | "ThrottlingException"
                | "KMSThrottlingException"
                | "RequestTimeoutException"
                | "InternalFailureException"
        )
}
