//! The part of a shard that has one batch in flight: gathering, retrying, splitting and giving up.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use crate::answer::Answer;
use crate::envelope::EMPTY_PAYLOAD_BYTES;
use crate::mapping::Mapping;
use crate::record::{Millis, Record};
use crate::shard::Outcome;

/// Lambda's limit on a synchronous invocation's payload (6 MB, Lambda quotas).
pub const MAXIMUM_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;

/// Wait before the first retry; doubled for each further one in a row that made no progress.
pub(crate) const FIRST_BACK_OFF: Millis = 200;
pub(crate) const LONGEST_BACK_OFF: Millis = 10_000;

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

/// Consecutive records of a sub-shard. Cloning, splitting and shortening copy no record.
#[derive(Clone, Debug)]
pub struct Batch {
    gathered: Arc<[Record]>,
    range: Range<usize>,
    invocations: u32,
    retries: u32,
    failures_in_a_row: u32,
}

impl Batch {
    /// The records, in the order of the shard; never empty.
    pub fn records(&self) -> &[Record] {
        &self.gathered[self.range.clone()]
    }

    /// How often these records were invoked before, alone or in a larger batch.
    pub fn invocations(&self) -> u32 {
        self.invocations
    }

    fn len(&self) -> usize {
        self.range.len()
    }

    fn split_at(self, index: usize) -> (Self, Self) {
        let middle = self.range.start + index;
        let left = Self {
            range: self.range.start..middle,
            gathered: Arc::clone(&self.gathered),
            ..self
        };
        let right = Self {
            range: middle..self.range.end,
            ..self
        };
        (left, right)
    }
}

#[derive(Debug)]
enum State {
    Ready { not_before: Millis },
    InFlight,
    HandingOver,
}

pub(crate) enum Next {
    Invoke(Batch),
    GiveUp(Batch, Condition),
}

#[derive(Debug)]
pub(crate) struct SubShard {
    mapping: Mapping,
    state: State,
    /// Batches formed and not done; the last is the earliest. More than one only after a split.
    batches: Vec<Batch>,
    give_up: Option<Condition>,
    waiting: VecDeque<Record>,
    waiting_bytes: usize,
    window_start: Millis,
    /// Ordinals, in the whole shard, of the records not done.
    left: VecDeque<u64>,
}

impl SubShard {
    pub(crate) fn new(mapping: Mapping) -> Self {
        Self {
            mapping,
            state: State::Ready {
                not_before: Millis::MIN,
            },
            batches: Vec::new(),
            give_up: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            window_start: Millis::MIN,
            left: VecDeque::new(),
        }
    }

    pub(crate) fn push(&mut self, now: Millis, ordinal: u64, record: Record) {
        if self.waiting.is_empty() {
            self.window_start = now;
        }
        self.waiting_bytes += record.payload_bytes;
        self.waiting.push_back(record);
        self.left.push_back(ordinal);
    }

    pub(crate) fn oldest_left(&self) -> Option<u64> {
        self.left.front().copied()
    }

    /// Records and payload bytes not yet in a batch.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting_bytes)
    }

    pub(crate) fn wake_at(&self, closed: bool) -> Option<Millis> {
        let State::Ready { not_before } = self.state else {
            return None;
        };
        if !self.batches.is_empty() {
            Some(not_before)
        } else if self.waiting.is_empty() {
            None
        } else {
            Some(not_before.max(self.flush_at(closed)))
        }
    }

    pub(crate) fn next(&mut self, now: Millis, closed: bool) -> Option<Next> {
        let State::Ready { not_before } = self.state else {
            return None;
        };
        if now < not_before {
            return None;
        }
        if self.batches.is_empty() {
            if self.waiting.is_empty() || now < self.flush_at(closed) {
                return None;
            }
            let batch = self.gather();
            self.batches.push(batch);
        }
        self.trim_unusable(now);
        let batch = self.batches.last()?.clone();
        Some(if let Some(condition) = self.give_up {
            self.state = State::HandingOver;
            Next::GiveUp(batch, condition)
        } else {
            self.state = State::InFlight;
            Next::Invoke(batch)
        })
    }

    /// Returns whether records became done.
    pub(crate) fn answered(&mut self, now: Millis, outcome: &Outcome) -> bool {
        assert!(
            matches!(self.state, State::InFlight),
            "an answer without an invocation"
        );
        let mut batch = self.batches.pop().expect("a batch is in flight");
        match outcome {
            Outcome::NotInvoked => {
                batch.failures_in_a_row += 1;
                self.retry(now, batch);
                false
            }
            Outcome::Answered(answer) => {
                batch.invocations += 1;
                match answer {
                    Answer::Success => {
                        self.done(now, batch.len());
                        true
                    }
                    Answer::Failed(_) => {
                        self.failed(now, batch);
                        false
                    }
                    Answer::PartialFrom(lowest) => {
                        let index = batch
                            .records()
                            .iter()
                            .position(|record| record.sequence_number == *lowest);
                        match index {
                            // A number that is not in the batch, or the first one: nothing is done.
                            None | Some(0) => {
                                self.failed(now, batch);
                                false
                            }
                            Some(index) => {
                                self.partly_done(now, batch, index);
                                true
                            }
                        }
                    }
                }
            }
        }
    }

    pub(crate) fn handed_over(&mut self, now: Millis) {
        assert!(
            matches!(self.state, State::HandingOver),
            "nothing was being handed over"
        );
        self.give_up = None;
        let batch = self.batches.pop().expect("a batch is being handed over");
        self.done(now, batch.len());
    }

    /// "If your invocation fails and `BisectBatchOnFunctionError` is turned on, the batch is bisected regardless of
    /// your `ReportBatchItemFailures` setting" (developer guide, partial batch response); "Splitting batches doesn't
    /// consume the retry quota" (developer guide, Kinesis error handling).
    fn failed(&mut self, now: Millis, mut batch: Batch) {
        if self.mapping.bisect_batch_on_function_error && batch.len() > 1 {
            batch.failures_in_a_row = 0;
            let middle = batch.len() / 2;
            let (left, right) = batch.split_at(middle);
            self.batches.push(right);
            self.retry(now, left);
        } else {
            batch.failures_in_a_row += 1;
            self.use_up_a_retry(now, batch);
        }
    }

    /// "When a partial batch success response is received and both `BisectBatchOnFunctionError` and
    /// `ReportBatchItemFailures` are turned on, the batch is bisected at the returned sequence number and Lambda
    /// retries only the remaining records" (developer guide): a split, so the quota is untouched. Without bisect the
    /// remainder is an ordinary retry.
    fn partly_done(&mut self, now: Millis, batch: Batch, index: usize) {
        self.done(now, index);
        let (_, mut remainder) = batch.split_at(index);
        remainder.failures_in_a_row = 0;
        if self.mapping.bisect_batch_on_function_error {
            self.retry(now, remainder);
        } else {
            self.use_up_a_retry(now, remainder);
        }
    }

    fn use_up_a_retry(&mut self, now: Millis, mut batch: Batch) {
        let exhausted = self
            .mapping
            .maximum_retry_attempts
            .is_some_and(|most| batch.retries >= most);
        if exhausted {
            self.give_up = Some(Condition::RetryAttemptsExhausted);
            self.batches.push(batch);
            self.state = State::Ready { not_before: now };
        } else {
            batch.retries += 1;
            self.retry(now, batch);
        }
    }

    fn retry(&mut self, now: Millis, batch: Batch) {
        let doublings = batch.failures_in_a_row.saturating_sub(1).min(16);
        let back_off = (FIRST_BACK_OFF << doublings).min(LONGEST_BACK_OFF);
        self.batches.push(batch);
        self.state = State::Ready {
            not_before: now + back_off,
        };
    }

    fn done(&mut self, now: Millis, records: usize) {
        self.left.drain(..records);
        self.state = State::Ready { not_before: now };
        // "The next window begins as soon as the previous function invocation completes" (developer guide).
        self.window_start = self.window_start.max(now);
    }

    fn flush_at(&self, closed: bool) -> Millis {
        let full = self.waiting.len() >= self.mapping.batch_size
            || self.waiting_bytes + EMPTY_PAYLOAD_BYTES > MAXIMUM_PAYLOAD_BYTES;
        if full || closed {
            Millis::MIN
        } else {
            self.window_start
                .saturating_add(self.mapping.batching_window)
        }
    }

    fn gather(&mut self) -> Batch {
        let mut bytes = EMPTY_PAYLOAD_BYTES;
        let fitting = self
            .waiting
            .iter()
            .take(self.mapping.batch_size)
            .take_while(|record| {
                bytes += record.payload_bytes;
                bytes <= MAXIMUM_PAYLOAD_BYTES
            })
            .count();
        let gathered: Arc<[Record]> = self.waiting.drain(..fitting.max(1)).collect();
        self.waiting_bytes -= gathered
            .iter()
            .map(|record| record.payload_bytes)
            .sum::<usize>();
        Batch {
            range: 0..gathered.len(),
            gathered,
            invocations: 0,
            retries: 0,
            failures_in_a_row: 0,
        }
    }

    /// Sees to it that the next batch holds either only records that can be invoked or only records to give up.
    fn trim_unusable(&mut self, now: Millis) {
        if self.give_up.is_some() {
            return;
        }
        let Some(batch) = self.batches.last() else {
            return;
        };
        let too_old = |record: &&Record| {
            self.mapping
                .maximum_record_age
                .is_some_and(|most| now.saturating_sub(record.arrival) > most)
        };
        let expired = batch.records().iter().take_while(too_old).count();
        if expired > 0 {
            self.give_up = Some(Condition::RecordAgeExceeded);
            if expired < batch.len() {
                let batch = self.batches.pop().expect("looked at above");
                let (old, young) = batch.split_at(expired);
                self.batches.extend([young, old]);
            }
        } else if let [record] = batch.records()
            && record.payload_bytes + EMPTY_PAYLOAD_BYTES > MAXIMUM_PAYLOAD_BYTES
        {
            self.give_up = Some(Condition::InvokePayloadSizeExceeded);
        }
    }
}
