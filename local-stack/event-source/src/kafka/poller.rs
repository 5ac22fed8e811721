//! One event poller of a mapping as a state machine: records, answers and the time go in, actions come out.
//!
//! The owner calls [`Poller::poll`] until it returns `None`, carries the actions out, reports back through
//! [`Poller::push`], [`Poller::answered`] and [`Poller::handed_over`], and calls again at the latest at
//! [`Poller::wake_at`]. Nothing here reads a clock, waits, or draws a random number.
//!
//! A poller is one member of the consumer group. It has one batch in flight, and a batch spans the partitions that the
//! group gave it, so the order of every partition is kept. The offset committed for a partition is that of its first
//! record with which something is still to be done.

use std::collections::{BTreeMap, BTreeSet};

use super::answer::Failures;
use super::envelope::Envelope;
use super::record::Record;
use crate::lambda::MAXIMUM_PAYLOAD_BYTES;
use crate::mapping::answer;
use crate::mapping::given_up::Condition;
use crate::mapping::lane::{self, Lane, Next};
use crate::mapping::parameters::Mapping;
use crate::mapping::position::Millis;

/// Records of one invocation, of each partition in its order.
pub type Batch = lane::Batch<Record>;

/// The end of an invocation.
pub type Outcome = answer::Outcome<Failures>;

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

impl PartialRetry {
    /// Whether a record is retried when these offsets are reported.
    pub fn is_left(self, failures: &Failures, record: &Record) -> bool {
        let Some(reported) = failures.get(&record.partition) else {
            return false;
        };
        match self {
            Self::FromLowest => reported.first().is_some_and(|low| record.offset >= *low),
            Self::OnlyReported => reported.contains(&record.offset),
        }
    }
}

/// A topic, as a lane sees it.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) retry: PartialRetry,
    pub(crate) envelope: Envelope,
}

impl lane::Broker for Topic {
    type Record = Record;
    type Partial = Failures;
    const TOO_LARGE: Condition = Condition::MaximumPayloadSizeExceeded;

    fn arrival(record: &Record) -> Millis {
        record.timestamp
    }

    fn partition(record: &Record) -> i32 {
        record.partition
    }

    fn record_bytes(record: &Record) -> usize {
        record.payload_bytes()
    }

    fn partition_bytes(&self, partition: i32) -> usize {
        self.envelope.partition_bytes(partition)
    }

    fn empty_bytes(&self) -> usize {
        self.envelope.empty_bytes()
    }

    fn is_left(&self, failures: &Failures, record: &Record) -> bool {
        self.retry.is_left(failures, record)
    }
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
    lane: Lane<Topic>,
    partitions: BTreeMap<i32, Partition>,
    /// Whether a partition was taken away since the batch in flight was formed.
    revoked_in_flight: bool,
}

impl Poller {
    /// A poller without a partition.
    pub fn new(mapping: Mapping, retry: PartialRetry, envelope: Envelope) -> Self {
        Self {
            mapping,
            lane: Lane::new(mapping, Topic { retry, envelope }),
            partitions: BTreeMap::new(),
            revoked_in_flight: false,
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
        self.lane.retain(|record| record.partition != partition);
        self.revoked_in_flight = true;
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
        self.lane.push(now, record);
    }

    /// Whether more records should be read. Bounded: about one further batch is held ready.
    pub fn wants_records(&self) -> bool {
        let (records, bytes) = self.lane.waiting();
        records < self.mapping.batch_size && bytes < MAXIMUM_PAYLOAD_BYTES
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
        self.lane.wake_at(false)
    }

    /// The next thing to do at `now`, if there is any.
    pub fn poll(&mut self, now: Millis) -> Option<Action> {
        if self.has_progress() {
            return Some(Action::Commit(self.take_progress()));
        }
        Some(match self.lane.next(now, false)? {
            Next::Invoke(batch) => Action::Invoke(batch),
            Next::GiveUp(batch, condition) => Action::SendToOnFailure { batch, condition },
        })
    }

    /// The invocation ended.
    ///
    /// # Panics
    /// When none is in flight.
    pub fn answered(&mut self, now: Millis, outcome: &Outcome) {
        let done = self.lane.answered(now, outcome);
        self.done(&done);
    }

    /// The records that were given up are in the on-failure destination.
    ///
    /// # Panics
    /// When none are being handed over.
    pub fn handed_over(&mut self, now: Millis) {
        let done = self.lane.handed_over(now);
        self.done(&done);
    }

    fn take_progress(&mut self) -> Vec<Progress> {
        self.partitions
            .iter_mut()
            .filter(|(_, partition)| partition.unreported > 0)
            .map(|(number, partition)| Progress {
                partition: *number,
                next_offset: partition.left.first().copied().unwrap_or(partition.end),
                records: std::mem::take(&mut partition.unreported),
            })
            .collect()
    }

    fn done(&mut self, records: &[Record]) {
        for record in records {
            if let Some(partition) = self.partitions.get_mut(&record.partition) {
                partition.unreported += u64::from(partition.left.remove(&record.offset));
            }
        }
        // What came back of the batch may be of a partition that was taken away meanwhile.
        if std::mem::take(&mut self.revoked_in_flight) {
            let partitions = &self.partitions;
            self.lane.retain(|record| {
                let partition = partitions.get(&record.partition);
                partition.is_some_and(|partition| partition.left.contains(&record.offset))
            });
        }
    }
}
