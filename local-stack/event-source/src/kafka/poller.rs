//! One event poller of a mapping as a state machine: records, answers and the time go in, actions come out.
//!
//! The owner calls [`Poller::poll`] until it returns `None`, carries the actions out, reports back through
//! [`Poller::push`], [`Poller::answered`] and [`Poller::handed_over`], and calls again at the latest at
//! [`Poller::wake_at`]. Nothing here reads a clock, waits, or draws a random number.
//!
//! A poller is one member of the consumer group. It has one batch in flight, and a batch spans the partitions that the
//! group gave it, so the order of every partition is kept. The offset committed for a partition is that of its first
//! record with which something is still to be done.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use super::answer::Answer;
use super::envelope::{Envelope, Record};
use crate::mapping::Mapping;
use crate::record::Millis;
use crate::shard::{Condition, MAXIMUM_PAYLOAD_BYTES};
use crate::sub_shard::{FIRST_BACK_OFF, LONGEST_BACK_OFF};

/// What is retried of a partition of which some offsets are reported. The guide says "just those specific items"; its
/// sibling for Kinesis says everything from the lowest on. A function that names all that it has not done is right
/// with both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PartialRetry {
    /// The lowest reported offset and everything after it.
    FromLowest,
    /// The reported offsets and no others.
    OnlyReported,
}

/// What the owner of a [`Poller`] must do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Commit these offsets to the group.
    Commit(Vec<Progress>),
    /// Invoke the function with this batch and report through [`Poller::answered`].
    Invoke(Batch),
    /// Hand these records to the on-failure destination (or discard them where none is configured) and report
    /// through [`Poller::handed_over`].
    SendToOnFailure {
        /// The records given up.
        batch: Batch,
        /// Why they were given up.
        condition: Condition,
    },
}

/// How far a partition has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The partition.
    pub partition: i32,
    /// Everything before this offset is done with.
    pub next_offset: i64,
    /// Records that became done since the progress reported before this one.
    pub records: u64,
}

/// The end of an invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The function ran (perhaps to an error, a crash or its time-out).
    Answered(Answer),
    /// The function could not be invoked: the batch is retried as it is, without using up the retry quota, until
    /// its records are too old.
    NotInvoked,
}

impl Outcome {
    /// How many of the batch's records were not said to be done.
    pub fn failed_records(&self, records: &[Arc<Record>], retry: PartialRetry) -> usize {
        match self {
            Self::Answered(Answer::Success) => 0,
            Self::Answered(Answer::Partial(failures)) => records
                .iter()
                .filter(|record| is_retried(record, failures, retry))
                .count(),
            Self::Answered(Answer::Failed(_)) | Self::NotInvoked => records.len(),
        }
    }
}

fn is_retried(
    record: &Record,
    failures: &BTreeMap<i32, BTreeSet<i64>>,
    retry: PartialRetry,
) -> bool {
    let Some(reported) = failures.get(&record.partition) else {
        return false;
    };
    match retry {
        PartialRetry::FromLowest => reported.first().is_some_and(|low| record.offset >= *low),
        PartialRetry::OnlyReported => reported.contains(&record.offset),
    }
}

/// Records of one invocation, of each partition in its order.
#[derive(Clone, Debug)]
pub struct Batch {
    records: Vec<Arc<Record>>,
    invocations: u32,
    retries: u32,
    failures_in_a_row: u32,
}

impl Batch {
    /// The records; never empty.
    pub fn records(&self) -> &[Arc<Record>] {
        &self.records
    }

    /// How often these records were invoked before, alone or in a larger batch.
    pub fn invocations(&self) -> u32 {
        self.invocations
    }

    fn with(&self, records: Vec<Arc<Record>>) -> Self {
        Self { records, ..*self }
    }
}

#[derive(Debug)]
enum State {
    Ready { not_before: Millis },
    InFlight,
    HandingOver,
}

/// A partition that the group gave to this poller.
#[derive(Debug, Default)]
struct Partition {
    /// Offsets pushed and not done.
    left: BTreeSet<i64>,
    /// The offset after the last record pushed.
    end: i64,
    /// Records that became done and were not reported.
    unreported: u64,
}

/// The state of one poller. See the module's documentation.
#[derive(Debug)]
pub struct Poller {
    mapping: Mapping,
    retry: PartialRetry,
    envelope: Envelope,
    state: State,
    /// Batches formed and not done; the last is the earliest. More than one only after a split.
    batches: Vec<Batch>,
    give_up: Option<Condition>,
    waiting: VecDeque<Arc<Record>>,
    waiting_bytes: usize,
    window_start: Millis,
    partitions: BTreeMap<i32, Partition>,
}

impl Poller {
    /// A poller without a partition.
    pub fn new(mapping: Mapping, retry: PartialRetry, envelope: Envelope) -> Self {
        Self {
            mapping,
            retry,
            envelope,
            state: State::Ready {
                not_before: Millis::MIN,
            },
            batches: Vec::new(),
            give_up: None,
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            window_start: Millis::MIN,
            partitions: BTreeMap::new(),
        }
    }

    /// The group gave this poller a partition.
    pub fn assign(&mut self, partition: i32) {
        self.partitions.entry(partition).or_default();
    }

    /// The group took a partition away: another poller delivers what is not committed of it. What of it is in flight
    /// ends unheard.
    pub fn revoke(&mut self, partition: i32) {
        self.partitions.remove(&partition);
        let others = |record: &Arc<Record>| record.partition != partition;
        self.waiting.retain(others);
        self.waiting_bytes = self
            .waiting
            .iter()
            .map(|record| record.payload_bytes())
            .sum();
        let at_rest = match self.state {
            State::Ready { .. } => self.batches.len(),
            State::InFlight | State::HandingOver => self.batches.len().saturating_sub(1),
        };
        for batch in &mut self.batches[..at_rest] {
            batch.records.retain(others);
        }
        if self
            .batches
            .last()
            .is_some_and(|batch| batch.records.is_empty())
        {
            self.give_up = None;
        }
        self.batches.retain(|batch| !batch.records.is_empty());
    }

    /// Takes a record, in its partition's order. One that was pushed before, or of a partition that is not this
    /// poller's, is passed over.
    pub fn push(&mut self, now: Millis, record: Record) {
        let Some(partition) = self.partitions.get_mut(&record.partition) else {
            return;
        };
        if record.offset < partition.end {
            return;
        }
        partition.end = record.offset + 1;
        partition.left.insert(record.offset);
        if self.waiting.is_empty() {
            self.window_start = self.window_start.max(now);
        }
        self.waiting_bytes += record.payload_bytes();
        self.waiting.push_back(Arc::new(record));
    }

    /// Whether more records should be read. Bounded: about one further batch is held ready.
    pub fn wants_records(&self) -> bool {
        self.waiting.len() < self.mapping.batch_size && self.waiting_bytes < MAXIMUM_PAYLOAD_BYTES
    }

    /// Whether the next action is [`Action::Commit`].
    pub fn has_progress(&self) -> bool {
        self.partitions
            .values()
            .any(|partition| partition.unreported > 0)
    }

    /// When [`Poller::poll`] has something to do without anything being reported before; `None`: not by time alone.
    pub fn wake_at(&self) -> Option<Millis> {
        if self.has_progress() {
            return Some(Millis::MIN);
        }
        let State::Ready { not_before } = self.state else {
            return None;
        };
        if !self.batches.is_empty() {
            Some(not_before)
        } else if self.waiting.is_empty() {
            None
        } else {
            Some(not_before.max(self.flush_at()))
        }
    }

    /// The next thing to do at `now`, if there is any.
    pub fn poll(&mut self, now: Millis) -> Option<Action> {
        let progress: Vec<Progress> = self
            .partitions
            .iter_mut()
            .filter(|(_, partition)| partition.unreported > 0)
            .map(|(number, partition)| Progress {
                partition: *number,
                next_offset: partition.left.first().copied().unwrap_or(partition.end),
                records: std::mem::take(&mut partition.unreported),
            })
            .collect();
        if !progress.is_empty() {
            return Some(Action::Commit(progress));
        }
        let State::Ready { not_before } = self.state else {
            return None;
        };
        if now < not_before {
            return None;
        }
        if self.batches.is_empty() {
            if self.waiting.is_empty() || now < self.flush_at() {
                return None;
            }
            let batch = self.gather();
            self.batches.push(batch);
        }
        self.trim_unusable(now);
        let batch = self.batches.last()?.clone();
        Some(if let Some(condition) = self.give_up {
            self.state = State::HandingOver;
            Action::SendToOnFailure { batch, condition }
        } else {
            self.state = State::InFlight;
            Action::Invoke(batch)
        })
    }

    /// The invocation ended.
    ///
    /// # Panics
    /// When none is in flight.
    pub fn answered(&mut self, now: Millis, outcome: &Outcome) {
        assert!(
            matches!(self.state, State::InFlight),
            "an answer without an invocation"
        );
        let mut batch = self.batches.pop().expect("a batch is in flight");
        match outcome {
            Outcome::NotInvoked => {
                batch.failures_in_a_row += 1;
                self.retry(now, batch);
            }
            Outcome::Answered(answer) => {
                batch.invocations += 1;
                match answer {
                    Answer::Success => self.done(now, &batch.records),
                    Answer::Failed(_) => self.failed(now, batch),
                    Answer::Partial(failures) => self.partly_done(now, batch, failures),
                }
            }
        }
    }

    /// The records that were given up are in the on-failure destination.
    ///
    /// # Panics
    /// When none are being handed over.
    pub fn handed_over(&mut self, now: Millis) {
        assert!(
            matches!(self.state, State::HandingOver),
            "nothing was being handed over"
        );
        self.give_up = None;
        let batch = self.batches.pop().expect("a batch is being handed over");
        self.done(now, &batch.records);
    }

    /// "When your function returns an error, split the batch into two smaller batches and retry each separately"; a
    /// split uses up no retry, as with Kinesis.
    fn failed(&mut self, now: Millis, mut batch: Batch) {
        if self.mapping.bisect_batch_on_function_error && batch.records.len() > 1 {
            batch.failures_in_a_row = 0;
            let right = batch.records.split_off(batch.records.len() / 2);
            self.batches.push(batch.with(right));
            self.retry(now, batch);
        } else {
            batch.failures_in_a_row += 1;
            self.use_up_a_retry(now, batch);
        }
    }

    fn partly_done(&mut self, now: Millis, batch: Batch, failures: &BTreeMap<i32, BTreeSet<i64>>) {
        let retry = self.retry;
        let is_left = |record: &Arc<Record>| is_retried(record, failures, retry);
        let (left, done): (Vec<_>, Vec<_>) = batch.records.iter().cloned().partition(is_left);
        if done.is_empty() {
            return self.failed(now, batch);
        }
        self.done(now, &done);
        let mut remainder = batch.with(left);
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
            self.put_back(batch, now);
        } else {
            batch.retries += 1;
            self.retry(now, batch);
        }
    }

    fn retry(&mut self, now: Millis, batch: Batch) {
        let doublings = batch.failures_in_a_row.saturating_sub(1).min(16);
        let back_off = (FIRST_BACK_OFF << doublings).min(LONGEST_BACK_OFF);
        self.put_back(batch, now + back_off);
    }

    /// Without what was revoked meanwhile.
    fn put_back(&mut self, mut batch: Batch, not_before: Millis) {
        let partitions = &self.partitions;
        batch.records.retain(|record| {
            let partition = partitions.get(&record.partition);
            partition.is_some_and(|partition| partition.left.contains(&record.offset))
        });
        if batch.records.is_empty() {
            self.give_up = None;
        } else {
            self.batches.push(batch);
        }
        self.state = State::Ready { not_before };
    }

    fn done(&mut self, now: Millis, records: &[Arc<Record>]) {
        for record in records {
            if let Some(partition) = self.partitions.get_mut(&record.partition) {
                partition.unreported += u64::from(partition.left.remove(&record.offset));
            }
        }
        self.state = State::Ready { not_before: now };
        self.window_start = self.window_start.max(now);
    }

    fn flush_at(&self) -> Millis {
        let full = self.waiting.len() >= self.mapping.batch_size
            || self.waiting_bytes + self.envelope.empty_bytes() > MAXIMUM_PAYLOAD_BYTES;
        if full {
            Millis::MIN
        } else {
            self.window_start
                .saturating_add(self.mapping.batching_window)
        }
    }

    fn gather(&mut self) -> Batch {
        let mut partitions = BTreeSet::new();
        let mut bytes = self.envelope.empty_bytes();
        let fitting = self
            .waiting
            .iter()
            .take(self.mapping.batch_size)
            .take_while(|record| {
                if partitions.insert(record.partition) {
                    bytes += self.envelope.partition_bytes(record.partition);
                }
                bytes += record.payload_bytes();
                bytes <= MAXIMUM_PAYLOAD_BYTES
            })
            .count();
        let records: Vec<Arc<Record>> = self.waiting.drain(..fitting.max(1)).collect();
        self.waiting_bytes -= records
            .iter()
            .map(|record| record.payload_bytes())
            .sum::<usize>();
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
        let Some(batch) = self.batches.last() else {
            return;
        };
        let mut young: BTreeSet<i32> = BTreeSet::new();
        let is_old = |record: &Arc<Record>| {
            let too_old = self
                .mapping
                .maximum_record_age
                .is_some_and(|most| now.saturating_sub(record.timestamp) > most);
            // Of a partition whose first records are young, nothing is given up before them.
            if !too_old {
                young.insert(record.partition);
            }
            !young.contains(&record.partition)
        };
        let (old, rest): (Vec<_>, Vec<_>) = batch.records.iter().cloned().partition(is_old);
        if !old.is_empty() {
            self.give_up = Some(Condition::RecordAgeExceeded);
            let batch = self.batches.pop().expect("looked at above");
            if !rest.is_empty() {
                self.batches.push(batch.with(rest));
            }
            self.batches.push(batch.with(old));
        } else if let [record] = batch.records()
            && self.envelope.empty_bytes()
                + self.envelope.partition_bytes(record.partition)
                + record.payload_bytes()
                > MAXIMUM_PAYLOAD_BYTES
        {
            self.give_up = Some(Condition::MaximumPayloadSizeExceeded);
        }
    }
}
