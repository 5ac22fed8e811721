//! The kinds of what goes wrong, and how often each did: a kind that is never drawn proves nothing.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Broker;

/// Declares the kinds once: name of the variant, the brokers that have it, what happens.
macro_rules! kinds {
    ($($kind:ident, $brokers:ident, $what:literal;)*) => {
        /// A kind of fault, or of input that only a hostile world sends.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind { $($kind),* }

        const KINDS: &[(Kind, Brokers, &str)] = &[$((Kind::$kind, Brokers::$brokers, $what)),*];
    };
}

#[derive(Clone, Copy, Debug)]
enum Brokers {
    Both,
    Kinesis,
    Redpanda,
}

kinds! {
    Duplicate, Both, "a producer sends an event again";
    OtherContent, Both, "a producer sends another event under an id that was sent";
    Compressed, Both, "a payload is compressed";
    Aggregate, Kinesis, "a record is an aggregate";
    CorruptAggregate, Kinesis, "an aggregate is corrupt";
    Tombstone, Redpanda, "a record has no payload";
    StepBack, Both, "arrivals step back over a line of the time grid";
    StepBackOverMidnight, Both, "arrivals step back over midnight";
    Scattered, Both, "the arrivals of a batch lie days apart";
    NoName, Both, "an arrival is one that no name can hold";
    Recreated, Redpanda, "the topic is made anew and counts from 0";
    Gone, Both, "records are gone before a source reads them";
    ShardExpired, Kinesis, "a shard is asked for whose parent has left the listing";
    ShardLate, Kinesis, "a shard is listed long after its first record";
    Latest, Both, "a source starts at LATEST, behind records";
    AtTimestamp, Both, "a source starts at AT_TIMESTAMP, behind records";
    RecordAge, Both, "records are given up for their age";
    RetriesUsedUp, Both, "records are given up after their retries";
    SecondSource, Both, "another source delivers what one has delivered";
    Abandoned, Both, "a source is abandoned before it is done";
    Restart, Both, "a source restarts from its checkpoints";
    Rebalance, Redpanda, "a partition moves to another poller";
    InvocationFailed, Both, "the mapping reads no partial answers, and the invocation fails";
    PartialAnswer, Both, "the mapping reads a partial answer";
    AnswerLost, Both, "an answer is lost";
    Crash, Both, "an environment crashes";
    Freeze, Both, "an environment freezes";
    Zombie, Both, "an invocation goes on after its time-out";
    DeadlineNear, Both, "a batch stops for its deadline";
    MetricsSlow, Both, "CloudWatch takes seconds to answer";
    Refused, Both, "a request fails before it takes effect";
    Unanswered, Both, "a create takes effect without an answer";
    Conflict, Both, "a create meets another one under way";
    Taken, Both, "a create meets an object of its name";
    Slow, Both, "a request takes seconds";
    Late, Both, "a create takes effect after its caller gave up";
    LongLate, Both, "a create arrives minutes after its caller gave up";
    QuarantineLate, Both, "quarantine is stored after its caller gave up";
    QuarantineLost, Both, "quarantine is not stored, and nobody says so";
    Pages, Both, "a listing is longer than a page";
    NotAtomic, Both, "the lake changes between the pages of a listing";
    Expired, Both, "objects are deleted";
    GoneAfterListing, Both, "an object is gone after it was listed";
}

/// How often each kind happened. Clones count together.
#[derive(Clone, Debug)]
pub struct Tally(Arc<[AtomicU64]>);

impl Default for Tally {
    fn default() -> Self {
        Self(KINDS.iter().map(|_| AtomicU64::new(0)).collect())
    }
}

impl Tally {
    /// Counts what has happened, not what was merely drawn.
    pub(crate) fn count(&self, kind: Kind) {
        self.0[kind as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn count_if(&self, happened: bool, kind: Kind) {
        if happened {
            self.count(kind);
        }
    }

    /// Adds what another one has counted.
    pub(crate) fn add(&self, other: &Self) {
        for (sum, count) in self.0.iter().zip(&*other.0) {
            sum.fetch_add(count.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    fn of(&self, broker: Broker) -> impl Iterator<Item = (&'static str, u64)> {
        let kinds = KINDS.iter().zip(&*self.0);
        let kinds = kinds.filter(move |((_, brokers, _), _)| match brokers {
            Brokers::Both => true,
            Brokers::Kinesis => broker == Broker::Kinesis,
            Brokers::Redpanda => broker == Broker::Redpanda,
        });
        kinds.map(|((_, _, what), count)| (*what, count.load(Ordering::Relaxed)))
    }

    /// The kinds that a broker has and that never happened.
    pub fn missing(&self, broker: Broker) -> Vec<&'static str> {
        let missing = self.of(broker).filter(|(_, count)| *count == 0);
        missing.map(|(what, _)| what).collect()
    }

    /// A line for each kind that a broker has.
    pub fn table(&self, broker: Broker) -> impl fmt::Display {
        let lines = self.of(broker);
        let lines = lines.map(|(what, count)| format!("{count:>12}  {what}"));
        lines.collect::<Vec<_>>().join("\n")
    }
}

impl PartialEq for Tally {
    fn eq(&self, other: &Self) -> bool {
        let counts = |tally: &Self| -> Vec<u64> {
            let counts = tally.0.iter();
            counts.map(|count| count.load(Ordering::Relaxed)).collect()
        };
        counts(self) == counts(other)
    }
}
