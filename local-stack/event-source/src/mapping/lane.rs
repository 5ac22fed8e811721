//! One batch in flight at a time: gathering, retrying, splitting and giving up, the same for both brokers. Records,
//! answers and the time go in; batches come out. Nothing here reads a clock or waits.
//!
//! A sub-shard of a stream has a lane, and so has a poller of a topic. Which records are done with is for its owner to
//! note.

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use super::answer::{Answer, Outcome};
use super::given_up::Condition;
use super::parameters::Mapping;
use super::position::Millis;
use crate::lambda::MAXIMUM_PAYLOAD_BYTES;

/// Wait before the first retry; doubled for each further one in a row that made no progress.
const FIRST_BACK_OFF: Millis = 200;
const LONGEST_BACK_OFF: Millis = 10_000;

/// What a lane must know of its broker.
pub trait Broker {
    /// Cheap to clone.
    type Record: Clone + fmt::Debug;
    /// What a partial answer reports.
    type Partial;
    /// Why a record is given up that alone exceeds the limit of an invocation's payload.
    const TOO_LARGE: Condition;

    /// Milliseconds since the epoch, by the broker's clock.
    fn arrival(record: &Self::Record) -> Millis;

    /// Records of one partition keep their order.
    fn partition(record: &Self::Record) -> i32;

    /// Bytes that a record takes in an invocation's payload, its comma included.
    fn record_bytes(record: &Self::Record) -> usize;

    /// Bytes that the first record of a partition takes in a payload besides its own.
    fn partition_bytes(&self, partition: i32) -> usize;

    /// Bytes of a payload without a record.
    fn empty_bytes(&self) -> usize;

    /// Whether a partial answer leaves this record to be retried.
    fn is_left(&self, partial: &Self::Partial, record: &Self::Record) -> bool;
}

/// Records of one invocation, those of a partition in their order. Cloning copies no record.
#[derive(Clone, Debug)]
pub struct Batch<R> {
    records: Arc<[R]>,
    invocations: u32,
    retries: u32,
    failures_in_a_row: u32,
}

impl<R> Batch<R> {
    /// The records; never empty.
    pub fn records(&self) -> &[R] {
        &self.records
    }

    /// How often these records were invoked before, alone or in a larger batch.
    pub fn invocations(&self) -> u32 {
        self.invocations
    }

    fn with(&self, records: impl Into<Arc<[R]>>) -> Self {
        Self {
            records: records.into(),
            ..*self
        }
    }
}

#[derive(Debug)]
enum State {
    Ready { not_before: Millis },
    InFlight,
    HandingOver,
}

/// What the owner of a [`Lane`] must do.
#[derive(Debug)]
pub enum Next<R> {
    /// Invoke the function and report through [`Lane::answered`].
    Invoke(Batch<R>),
    /// Hand the batch over as one that was given up, and report through [`Lane::handed_over`].
    GiveUp(Batch<R>, Condition),
}

/// The state of one lane. See the module's documentation.
#[derive(Debug)]
pub struct Lane<B: Broker> {
    broker: B,
    mapping: Mapping,
    state: State,
    /// Batches formed and not done; the last is the earliest. More than one only after a split.
    batches: Vec<Batch<B::Record>>,
    give_up: Option<Condition>,
    waiting: VecDeque<B::Record>,
    waiting_bytes: usize,
    window_start: Millis,
}

impl<B: Broker> Lane<B> {
    /// A lane without a record.
    pub fn new(mapping: Mapping, broker: B) -> Self {
        Self {
            broker,
            mapping,
            state: State::Ready {
                not_before: Millis::MIN,
            },
            batches: Vec::new(),
            give_up: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            window_start: Millis::MIN,
        }
    }

    /// Takes a record, in the order of its partition.
    pub fn push(&mut self, now: Millis, record: B::Record) {
        if self.waiting.is_empty() {
            self.window_start = now;
        }
        self.waiting_bytes += B::record_bytes(&record);
        self.waiting.push_back(record);
    }

    /// Records and payload bytes not yet in a batch.
    pub fn waiting(&self) -> (usize, usize) {
        (self.waiting.len(), self.waiting_bytes)
    }

    /// Drops the records that `keep` refuses, but for those of the batch that is in flight or being handed over.
    pub fn retain(&mut self, keep: impl Fn(&B::Record) -> bool) {
        self.waiting.retain(&keep);
        self.waiting_bytes = self.waiting.iter().map(B::record_bytes).sum();
        let at_rest = match self.state {
            State::Ready { .. } => self.batches.len(),
            State::InFlight | State::HandingOver => self.batches.len().saturating_sub(1),
        };
        for batch in &mut self.batches[..at_rest] {
            if !batch.records.iter().all(&keep) {
                let kept = batch.records.iter().filter(|record| keep(record));
                *batch = batch.with(kept.cloned().collect::<Vec<_>>());
            }
        }
        let is_empty = |batch: &Batch<B::Record>| batch.records.is_empty();
        if self.batches.last().is_some_and(is_empty) {
            self.give_up = None;
        }
        self.batches.retain(|batch| !is_empty(batch));
    }

    /// When [`Lane::next`] has something to do without anything being reported before; `None`: not by time alone.
    /// `closed`: no further record will come, so none is waited for.
    pub fn wake_at(&self, closed: bool) -> Option<Millis> {
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

    /// The next thing to do at `now`, if there is any.
    pub fn next(&mut self, now: Millis, closed: bool) -> Option<Next<B::Record>> {
        if self.wake_at(closed).is_none_or(|at| now < at) {
            return None;
        }
        if self.batches.is_empty() {
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

    /// The invocation ended. Returns the records that became done.
    ///
    /// # Panics
    /// When none is in flight.
    pub fn answered(&mut self, now: Millis, outcome: &Outcome<B::Partial>) -> Arc<[B::Record]> {
        assert!(
            matches!(self.state, State::InFlight),
            "an answer without an invocation"
        );
        let mut batch = self.batches.pop().expect("a batch is in flight");
        let Outcome::Answered(answer) = outcome else {
            batch.failures_in_a_row += 1;
            self.retry(now, batch);
            return Arc::new([]);
        };
        batch.invocations += 1;
        match answer {
            Answer::Success => {
                self.done(now);
                batch.records
            }
            Answer::Failed(_) => {
                self.failed(now, batch);
                Arc::new([])
            }
            Answer::Partial(partial) => self.partly_done(now, batch, partial),
        }
    }

    /// The batch that was given up is in the on-failure destination. Returns its records, which are done.
    ///
    /// # Panics
    /// When none is being handed over.
    pub fn handed_over(&mut self, now: Millis) -> Arc<[B::Record]> {
        assert!(
            matches!(self.state, State::HandingOver),
            "nothing was being handed over"
        );
        self.give_up = None;
        let batch = self.batches.pop().expect("a batch is being handed over");
        self.done(now);
        batch.records
    }

    /// "If your invocation fails and `BisectBatchOnFunctionError` is turned on, the batch is bisected regardless of
    /// your `ReportBatchItemFailures` setting" (<https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html>);
    /// "Splitting batches doesn't consume the retry quota" (developer
    /// guide, Kinesis error handling). For Kafka it says only that the batch is split and each half retried.
    fn failed(&mut self, now: Millis, mut batch: Batch<B::Record>) {
        if self.mapping.bisect_batch_on_function_error && batch.records.len() > 1 {
            batch.failures_in_a_row = 0;
            let (left, right) = batch.records.split_at(batch.records.len() / 2);
            self.batches.push(batch.with(right));
            self.retry(now, batch.with(left));
        } else {
            batch.failures_in_a_row += 1;
            self.use_up_a_retry(now, batch);
        }
    }

    /// "When a partial batch success response is received and both `BisectBatchOnFunctionError` and
    /// `ReportBatchItemFailures` are turned on, the batch is bisected at the returned sequence number and Lambda
    /// retries only the remaining records" (the same page): a split, so the quota is untouched. Without bisect the
    /// remainder is an ordinary retry.
    fn partly_done(
        &mut self,
        now: Millis,
        batch: Batch<B::Record>,
        partial: &B::Partial,
    ) -> Arc<[B::Record]> {
        let is_left = |record: &B::Record| self.broker.is_left(partial, record);
        let (left, done): (Vec<_>, Vec<_>) = batch.records.iter().cloned().partition(is_left);
        // Without progress, or without a record of the batch among those reported: nothing is done.
        if left.is_empty() || done.is_empty() {
            self.failed(now, batch);
            return Arc::new([]);
        }
        self.done(now);
        let mut remainder = batch.with(left);
        remainder.failures_in_a_row = 0;
        if self.mapping.bisect_batch_on_function_error {
            self.retry(now, remainder);
        } else {
            self.use_up_a_retry(now, remainder);
        }
        done.into()
    }

    fn use_up_a_retry(&mut self, now: Millis, mut batch: Batch<B::Record>) {
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

    fn retry(&mut self, now: Millis, batch: Batch<B::Record>) {
        let doublings = batch.failures_in_a_row.saturating_sub(1).min(16);
        let back_off = (FIRST_BACK_OFF << doublings).min(LONGEST_BACK_OFF);
        self.batches.push(batch);
        self.state = State::Ready {
            not_before: now + back_off,
        };
    }

    fn done(&mut self, now: Millis) {
        self.state = State::Ready { not_before: now };
        // "The next window begins as soon as the previous function invocation completes" (developer guide).
        self.window_start = self.window_start.max(now);
    }

    fn flush_at(&self, closed: bool) -> Millis {
        let full = self.waiting.len() >= self.mapping.batch_size
            || self.waiting_bytes + self.broker.empty_bytes() > MAXIMUM_PAYLOAD_BYTES;
        if full || closed {
            Millis::MIN
        } else {
            self.window_start
                .saturating_add(self.mapping.batching_window)
        }
    }

    fn gather(&mut self) -> Batch<B::Record> {
        let mut partitions = BTreeSet::new();
        let mut bytes = self.broker.empty_bytes();
        let fitting = self
            .waiting
            .iter()
            .take(self.mapping.batch_size)
            .take_while(|record| {
                let partition = B::partition(record);
                if partitions.insert(partition) {
                    bytes += self.broker.partition_bytes(partition);
                }
                bytes += B::record_bytes(record);
                bytes <= MAXIMUM_PAYLOAD_BYTES
            })
            .count();
        let records: Arc<[B::Record]> = self.waiting.drain(..fitting.max(1)).collect();
        self.waiting_bytes -= records.iter().map(B::record_bytes).sum::<usize>();
        Batch {
            records,
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
        let Some(batch) = self.batches.pop() else {
            return;
        };
        let (old, rest) = self.by_age(now, &batch);
        if old.is_empty() {
            self.give_up = self.is_too_large(&batch).then_some(B::TOO_LARGE);
            self.batches.push(batch);
            return;
        }
        self.give_up = Some(Condition::RecordAgeExceeded);
        if !rest.is_empty() {
            self.batches.push(batch.with(rest));
        }
        self.batches.push(batch.with(old));
    }

    /// The records that are too old, and the others. Of a partition whose first records are young, nothing is given up
    /// before them.
    fn by_age(&self, now: Millis, batch: &Batch<B::Record>) -> (Vec<B::Record>, Vec<B::Record>) {
        let Some(most) = self.mapping.maximum_record_age else {
            return (Vec::new(), Vec::new());
        };
        let mut young: BTreeSet<i32> = BTreeSet::new();
        batch.records.iter().cloned().partition(|record| {
            let partition = B::partition(record);
            if now.saturating_sub(B::arrival(record)) <= most {
                young.insert(partition);
            }
            !young.contains(&partition)
        })
    }

    fn is_too_large(&self, batch: &Batch<B::Record>) -> bool {
        let [record] = batch.records() else {
            return false;
        };
        let partition_bytes = self.broker.partition_bytes(B::partition(record));
        self.broker.empty_bytes() + partition_bytes + B::record_bytes(record)
            > MAXIMUM_PAYLOAD_BYTES
    }
}
