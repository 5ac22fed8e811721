//! One shard of an event source mapping as a state machine: records, answers and the time go in, actions come out.
//!
//! The owner calls [`Shard::poll`] until it returns `None`, carries the actions out, reports back through
//! [`Shard::push`], [`Shard::answered`] and [`Shard::handed_over`], and calls again at the latest at
//! [`Shard::wake_at`]. Nothing here reads a clock, waits, or draws a random number.
//!
//! With a parallelization factor over 1 the shard is divided into sub-shards by a hash of the partition key. Each has
//! one batch in flight and keeps its order, so the order of every key is kept; the shard's checkpoint is the last
//! record before which, over all sub-shards, nothing is left to do.

use std::collections::VecDeque;

use super::envelope::EMPTY_PAYLOAD_BYTES;
use super::record::Record;
use crate::lambda::MAXIMUM_PAYLOAD_BYTES;
use crate::mapping::answer;
use crate::mapping::given_up::Condition;
use crate::mapping::lane::{self, Lane, Next};
use crate::mapping::parameters::Mapping;
use crate::mapping::position::{Millis, Position};

/// Consecutive records of a sub-shard.
pub type Batch = lane::Batch<Record>;

/// The end of an invocation.
pub type Outcome = answer::Outcome<Position>;

/// What the owner of a [`Shard`] must do.
#[derive(Clone, Debug)]
pub enum Action {
    /// Everything up to and including this record is done with: remember it.
    Checkpoint {
        /// The last record done with.
        sequence_number: Position,
        /// Records that became done since the checkpoint before this one.
        records: u64,
    },
    /// Invoke the function with this batch and report through [`Shard::answered`].
    Invoke {
        /// Whose batch it is; to be given back with the answer.
        sub_shard: usize,
        /// The records.
        batch: Batch,
    },
    /// Hand these records to the on-failure destination (or discard them where none is configured) and report
    /// through [`Shard::handed_over`]. The sub-shard waits for that: a record leaves it only into somebody's hands.
    SendToOnFailure {
        /// Whose records they are; to be given back.
        sub_shard: usize,
        /// The records given up.
        batch: Batch,
        /// Why they were given up.
        condition: Condition,
    },
}

/// A stream, as a lane sees it: all records of a shard keep one order.
#[derive(Debug)]
pub(crate) struct Stream;

impl lane::Broker for Stream {
    type Record = Record;
    type Partial = Position;
    const TOO_LARGE: Condition = Condition::InvokePayloadSizeExceeded;

    fn arrival(record: &Record) -> Millis {
        record.arrival
    }

    fn partition(_: &Record) -> i32 {
        0
    }

    fn record_bytes(record: &Record) -> usize {
        record.payload_bytes
    }

    fn partition_bytes(&self, _: i32) -> usize {
        0
    }

    fn empty_bytes(&self) -> usize {
        EMPTY_PAYLOAD_BYTES
    }

    fn is_left(&self, from: &Position, record: &Record) -> bool {
        record.sequence_number >= *from
    }
}

/// The part of a shard that has one batch in flight.
#[derive(Debug)]
struct SubShard {
    lane: Lane<Stream>,
    /// Ordinals, in the whole shard, of the records not done.
    left: VecDeque<u64>,
}

/// The state of one shard. See the module's documentation.
#[derive(Debug)]
pub struct Shard {
    sub_shards: Vec<SubShard>,
    mapping: Mapping,
    /// Records pushed and not yet behind the checkpoint, in the shard's order; the first has ordinal `first`.
    ahead: VecDeque<Position>,
    first: u64,
    last_pushed: Option<Position>,
    unreported: Option<(Position, u64)>,
    closed: bool,
}

impl Shard {
    /// A shard from which everything up to and including `checkpoint` was done before.
    pub fn new(mapping: Mapping, checkpoint: Option<Position>) -> Self {
        Self {
            sub_shards: (0..mapping.parallelization_factor)
                .map(|_| SubShard {
                    lane: Lane::new(mapping, Stream),
                    left: VecDeque::new(),
                })
                .collect(),
            mapping,
            ahead: VecDeque::new(),
            first: 0,
            last_pushed: checkpoint,
            unreported: None,
            closed: false,
        }
    }

    /// Takes records as they were read, in the shard's order. Records not after the last one pushed, such as a
    /// renewed iterator may repeat, are passed over.
    ///
    /// # Panics
    /// After [`Shard::close`].
    pub fn push(&mut self, now: Millis, records: impl IntoIterator<Item = Record>) {
        assert!(!self.closed, "records after the end of the shard");
        for record in records {
            let number = &record.sequence_number;
            if self.last_pushed.as_ref().is_some_and(|last| number <= last) {
                continue;
            }
            self.last_pushed = Some(number.clone());
            let ordinal = self.first + self.ahead.len() as u64;
            self.ahead.push_back(number.clone());
            let sub_shard = self.sub_shard_of(&record.partition_key);
            let sub_shard = &mut self.sub_shards[sub_shard];
            sub_shard.left.push_back(ordinal);
            sub_shard.lane.push(now, record);
        }
    }

    /// The shard ended (it was split or merged): no further record will come, what waits is flushed.
    pub fn close(&mut self) {
        self.closed = true;
    }

    /// The next thing to do at `now`, if there is any.
    pub fn poll(&mut self, now: Millis) -> Option<Action> {
        if let Some((sequence_number, records)) = self.unreported.take() {
            return Some(Action::Checkpoint {
                sequence_number,
                records,
            });
        }
        let closed = self.closed;
        self.sub_shards
            .iter_mut()
            .enumerate()
            .find_map(|(sub_shard, state)| {
                Some(match state.lane.next(now, closed)? {
                    Next::Invoke(batch) => Action::Invoke { sub_shard, batch },
                    Next::GiveUp(batch, condition) => Action::SendToOnFailure {
                        sub_shard,
                        batch,
                        condition,
                    },
                })
            })
    }

    /// When [`Shard::poll`] has something to do without anything being reported before; `None`: not by time alone.
    pub fn wake_at(&self) -> Option<Millis> {
        if self.unreported.is_some() {
            return Some(Millis::MIN);
        }
        self.sub_shards
            .iter()
            .filter_map(|sub_shard| sub_shard.lane.wake_at(self.closed))
            .min()
    }

    /// The invocation of `sub_shard` ended.
    ///
    /// # Panics
    /// When that sub-shard has no invocation in flight.
    pub fn answered(&mut self, now: Millis, sub_shard: usize, outcome: &Outcome) {
        let done = self.sub_shards[sub_shard].lane.answered(now, outcome).len();
        self.done(sub_shard, done);
    }

    /// The records of `sub_shard` that were given up are in the on-failure destination.
    ///
    /// # Panics
    /// When that sub-shard has no records being handed over.
    pub fn handed_over(&mut self, now: Millis, sub_shard: usize) {
        let done = self.sub_shards[sub_shard].lane.handed_over(now).len();
        self.done(sub_shard, done);
    }

    /// Whether more records should be read. Bounded: about one further batch per sub-shard is held ready.
    pub fn wants_records(&self) -> bool {
        let factor = self.mapping.parallelization_factor;
        let (records, bytes) = self
            .sub_shards
            .iter()
            .map(|sub_shard| sub_shard.lane.waiting())
            .fold((0, 0), |sum, waiting| {
                (sum.0 + waiting.0, sum.1 + waiting.1)
            });
        !self.closed
            && records < self.mapping.batch_size * factor
            && bytes < MAXIMUM_PAYLOAD_BYTES * factor
    }

    /// The last record pushed (or the checkpoint that the shard began after): reading goes on after it.
    pub fn last_pushed(&self) -> Option<&Position> {
        self.last_pushed.as_ref()
    }

    /// Whether the shard was closed, all its records are done with, and the last checkpoint was polled.
    pub fn is_finished(&self) -> bool {
        self.closed && self.ahead.is_empty() && self.unreported.is_none()
    }

    fn sub_shard_of(&self, partition_key: &str) -> usize {
        let factor = self.sub_shards.len() as u64;
        // FNV-1a: stable and quick; factors are tiny.
        let hash = partition_key
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        usize::try_from(hash % factor).unwrap_or(0)
    }

    /// The oldest records of a sub-shard are done.
    fn done(&mut self, sub_shard: usize, records: usize) {
        self.sub_shards[sub_shard].left.drain(..records);
        let end = self.first + self.ahead.len() as u64;
        let oldest_left = self
            .sub_shards
            .iter()
            .filter_map(|sub_shard| sub_shard.left.front().copied())
            .min()
            .unwrap_or(end);
        let records = oldest_left - self.first;
        let Some(last) = self
            .ahead
            .drain(..usize::try_from(records).unwrap_or(usize::MAX))
            .next_back()
        else {
            return;
        };
        self.first = oldest_left;
        let before = self.unreported.take().map_or(0, |(_, records)| records);
        self.unreported = Some((last, before + records));
    }
}
