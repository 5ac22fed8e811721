//! What the producers have written: the records of every shard, and what must become of each.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use event_source::kinesis::envelope::Envelope;
use event_source::kinesis::lineage::ListedShard;
use event_source::kinesis::record::Record;
use event_source::mapping::position::Position;
use pipeline::rollup::Lateness;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::faults::{Kind, Tally};
use super::payload::{self, Event};
use super::scenario::{Clock, Scenario};

pub(crate) const LATENESS: Lateness = Lateness {
    bound_ms: 5 * 60_000,
};
pub(crate) const STREAM: &str = "s";
const DAY_MS: i64 = 24 * 3_600_000;

/// What the contract says about a record, taken alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The row's event id and duration.
    Accepted(String, i64),
    Filtered,
    Rejected,
}

/// What the function makes a row, or a line of quarantine, of: a record, or a user record of an aggregate.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) sub_sequence_number: Option<u64>,
    pub(crate) sent: Bytes,
    pub(crate) verdict: Verdict,
}

#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) shard: String,
    pub(crate) parts: Vec<Part>,
    /// An invocation with it crashes, until the redrive.
    pub(crate) poison: bool,
}

/// A record in its place.
#[derive(Clone, Debug)]
pub(crate) struct Placed {
    pub(crate) record: Record,
    /// It can be read from here on.
    pub(crate) appended_ms: i64,
    /// It can be read no more from here on.
    pub(crate) gone_ms: i64,
    /// It has no payload: a tombstone.
    pub(crate) tombstone: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Shard {
    pub(crate) listed: ListedShard,
    pub(crate) opened_ms: i64,
    /// Listings have it from here on.
    pub(crate) listed_ms: i64,
    /// It was split or merged here; no record comes after it.
    pub(crate) closed_ms: i64,
    /// It has left the listings.
    pub(crate) expired: bool,
    pub(crate) records: Vec<Placed>,
}

/// What the sources have done.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Records that an answer said to be done.
    pub(crate) done: BTreeSet<u64>,
    /// Records that some source has left out while it went on. They have left the order of their shard, on which the
    /// promise about a producer's duplicates leans.
    pub(crate) passed_over: BTreeSet<u64>,
}

/// A stream, or a topic: its partitions are the shards, which have neither parents nor an end; the number of a
/// partition is its shard's place, an offset the sequence number.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) shards: Vec<Shard>,
    /// By sequence number, unique over all shards here.
    pub(crate) written: BTreeMap<u64, Written>,
    /// The event ids that were sent.
    pub(crate) ids: BTreeSet<String>,
    pub(crate) ledger: RefCell<Ledger>,
}

impl Stream {
    pub(crate) fn shard(&self, id: &str) -> &Shard {
        let shard = self.shards.iter().find(|shard| shard.listed.id == id);
        shard.expect("a shard of the stream")
    }

    pub(crate) fn listing(&self, now_ms: i64) -> Vec<ListedShard> {
        let listed = self
            .shards
            .iter()
            .filter(|shard| shard.listed_ms <= now_ms && !shard.expired);
        listed.map(|shard| shard.listed.clone()).collect()
    }

    /// Some source leaves records out.
    pub(crate) fn pass_over(&self, records: &[Placed]) {
        self.pass_over_all(records.iter().map(|placed| number(&placed.record)));
    }

    /// What is done already is done before whatever comes after it.
    pub(crate) fn pass_over_all(&self, numbers: impl Iterator<Item = u64>) {
        let mut ledger = self.ledger.borrow_mut();
        let Ledger { done, passed_over } = &mut *ledger;
        passed_over.extend(numbers.filter(|number| !done.contains(number)));
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = &Placed> {
        self.shards.iter().flat_map(|shard| &shard.records)
    }
}

pub(crate) fn number(record: &Record) -> u64 {
    record
        .sequence_number
        .as_str()
        .parse()
        .expect("the simulation counts in u64")
}

/// Shards and records, drawn from `rng`.
pub(crate) fn draw(
    scenario: &Scenario,
    rng: &mut ChaCha8Rng,
    start_ms: i64,
    tally: &Tally,
) -> Stream {
    let roots = rng.random_range(1..=2);
    let mut writer = Writer::new(scenario, rng, start_ms, tally);
    writer.begin(roots);
    while writer.stream.shards.len() < 6 && writer.rng.random_bool(0.4) {
        writer.reshard();
        let count = writer.rng.random_range(5..20);
        writer.write(count);
    }
    writer.finish()
}

pub(crate) fn draw_topic(
    scenario: &Scenario,
    rng: &mut ChaCha8Rng,
    start_ms: i64,
    incarnation: u64,
    tally: &Tally,
) -> Stream {
    let partitions = rng.random_range(1..=4);
    let mut writer = Writer::new(scenario, rng, start_ms, tally);
    writer.topic = true;
    // A topic that is made anew has offsets that were there before, and events that were not.
    writer.events = 1_000_000 * incarnation;
    writer.begin(partitions);
    let count = writer.rng.random_range(0..20);
    writer.write(count);
    writer.finish()
}

/// How many partition keys there are.
const KEYS: usize = 6;

/// The producers, and the clock of the broker.
struct Writer<'r> {
    stream: Stream,
    scenario: &'r Scenario,
    rng: &'r mut ChaCha8Rng,
    tally: &'r Tally,
    topic: bool,
    /// The open shard of every key: a key's hash decides it, so a child has keys of its parents only.
    shard_of: Vec<String>,
    clock_ms: i64,
    last_number: u64,
    events: u64,
    /// Accepted events that may be sent once more.
    sent: Vec<Event>,
}

impl<'r> Writer<'r> {
    fn new(
        scenario: &'r Scenario,
        rng: &'r mut ChaCha8Rng,
        start_ms: i64,
        tally: &'r Tally,
    ) -> Self {
        let clock_ms = start_ms + rng.random_range(0..15 * 60_000);
        Self {
            stream: Stream::default(),
            scenario,
            rng,
            tally,
            topic: false,
            shard_of: vec![String::new(); KEYS],
            clock_ms,
            last_number: 0,
            events: 0,
            sent: Vec::new(),
        }
    }

    /// With some records in `roots` shards.
    fn begin(&mut self, roots: usize) {
        for root in 0..roots {
            let keys: Vec<usize> = (root..KEYS).step_by(roots).collect();
            self.open(&keys, Vec::new());
        }
        let count = self.rng.random_range(10..40);
        self.write(count);
    }

    fn open(&mut self, keys: &[usize], parents: Vec<String>) {
        let number = self.stream.shards.len();
        let id = if self.topic {
            number.to_string()
        } else {
            format!("shardId-{number:012}")
        };
        for key in keys {
            self.shard_of[*key].clone_from(&id);
        }
        for shard in &mut self.stream.shards {
            if parents.contains(&shard.listed.id) {
                shard.closed_ms = self.clock_ms;
            }
        }
        let late = self.scenario.late_listing && !parents.is_empty() && self.rng.random_bool(0.5);
        let late_ms = i64::from(late) * self.rng.random_range(0..600_000);
        self.stream.shards.push(Shard {
            listed: ListedShard { id, parents },
            opened_ms: self.clock_ms,
            listed_ms: self.clock_ms + late_ms,
            closed_ms: i64::MIN,
            expired: false,
            records: Vec::new(),
        });
    }

    /// Two shards are merged, or one is split.
    fn reshard(&mut self) {
        let key = self.rng.random_range(0..KEYS);
        let one = self.shard_of[key].clone();
        let mut others = self.shard_of.iter().filter(|shard| **shard != one);
        let other = others.next().cloned();
        let other = other.filter(|_| self.rng.random_bool(0.5));
        let of = |shards: &[&String]| -> Vec<usize> {
            let keys = (0..KEYS).filter(|key| shards.contains(&&self.shard_of[*key]));
            keys.collect()
        };
        if let Some(other) = other {
            let keys = of(&[&one, &other]);
            self.open(&keys, vec![one, other]);
        } else {
            let keys = of(&[&one]);
            let (left, right) = keys.split_at(keys.len().div_ceil(2));
            self.open(left, vec![one.clone()]);
            self.open(right, vec![one]);
        }
    }

    fn write(&mut self, count: usize) {
        for _ in 0..count {
            // Mostly a steady trickle, now and then a pause of minutes: batches, cells and horizons come to be crossed.
            self.clock_ms += if self.rng.random_bool(0.05) {
                self.rng.random_range(0..600_000)
            } else {
                self.rng.random_range(0..2_000)
            };
            // Sequence numbers grow, with gaps.
            self.last_number += self.rng.random_range(1..4);
            let arrival_ms = self.arrival_ms();
            let no_name = !payload::fits_a_name(arrival_ms);
            self.tally.count_if(no_name, Kind::NoName);
            let (key, data, events, aggregate) = self.payload(arrival_ms);
            let parts = events.into_iter().zip(0..);
            let parts = parts.map(|((sent, verdict), number)| Part {
                sub_sequence_number: aggregate.then_some(number),
                sent,
                verdict,
            });
            self.put(key, &data, arrival_ms, parts.collect());
        }
    }

    /// What the record's time stamp says.
    fn arrival_ms(&mut self) -> i64 {
        let (clock_ms, rng) = (self.clock_ms, &mut *self.rng);
        let steps = rng.random_bool(0.1);
        let back =
            |rng: &mut ChaCha8Rng, most| clock_ms - i64::from(steps) * rng.random_range(0..most);
        match self.scenario.clock {
            Clock::StepsBack => back(rng, 3_600_000),
            Clock::Scattered if rng.random_bool(0.4) => {
                clock_ms + rng.random_range(-1_000..1_000) * DAY_MS
            }
            Clock::Absurd if rng.random_bool(0.15) => {
                payload::ABSURD_MS[rng.random_range(0..payload::ABSURD_MS.len())]
            }
            Clock::Broker | Clock::Scattered | Clock::Absurd => back(rng, 50),
        }
    }

    /// Key, payload as sent, and its parts; whether it is an aggregate.
    fn payload(&mut self, arrival_ms: i64) -> (usize, Bytes, Vec<(Bytes, Verdict)>, bool) {
        if self.topic && self.rng.random_bool(0.02) {
            self.tally.count(Kind::Tombstone);
            let key = self.rng.random_range(0..KEYS);
            return (
                key,
                Bytes::new(),
                vec![(Bytes::new(), Verdict::Rejected)],
                false,
            );
        }
        let event = self.event(arrival_ms, None);
        let key = event.key;
        let first = self.compressed(&event, arrival_ms);
        if !self.scenario.aggregates || self.rng.random_bool(0.7) {
            return (key, first.0.clone(), vec![first], false);
        }
        // Lambda keeps the order of a record's partition key: the events of an aggregate share theirs.
        let mut parts = vec![first];
        for _ in 0..self.rng.random_range(0..5) {
            let event = self.event(arrival_ms, Some(key));
            parts.push(self.compressed(&event, arrival_ms));
        }
        let mut data =
            payload::aggregate(&format!("k{key}"), parts.iter().map(|(sent, _)| &sent[..]));
        if self.rng.random_bool(0.1) {
            self.tally.count(Kind::CorruptAggregate);
            let last = data.len() - 1;
            data[last] ^= 1;
            let data = Bytes::from(data);
            return (key, data.clone(), vec![(data, Verdict::Rejected)], false);
        }
        if !payload::fits_a_name(arrival_ms) {
            // It is rejected as a whole: nobody looks what is in it.
            let data = Bytes::from(data);
            return (key, data.clone(), vec![(data, Verdict::Rejected)], false);
        }
        self.tally.count(Kind::Aggregate);
        (key, data.into(), parts, true)
    }

    fn compressed(&mut self, event: &Event, arrival_ms: i64) -> (Bytes, Verdict) {
        let verdict = event.verdict(arrival_ms);
        let plain = event.payload();
        if !self.scenario.compressed || self.rng.random_bool(0.6) {
            return (plain.into(), verdict);
        }
        self.tally.count(Kind::Compressed);
        let gzip = self.rng.random_bool(0.5);
        (payload::compressed(&plain, gzip), verdict)
    }

    /// A new event, or one that was sent; of a key if one is given.
    fn event(&mut self, arrival_ms: i64, key: Option<usize>) -> Event {
        if !self.sent.is_empty() && self.rng.random_bool(0.15) {
            let again = self.sent[self.rng.random_range(0..self.sent.len())].clone();
            if key.is_none_or(|key| key == again.key) {
                let other = self.scenario.other_content && self.rng.random_bool(0.5);
                let kind = if other {
                    Kind::OtherContent
                } else {
                    Kind::Duplicate
                };
                self.tally.count(kind);
                return if other {
                    again.with_other_content()
                } else {
                    again
                };
            }
        }
        self.events += 1;
        let key = key.unwrap_or_else(|| self.rng.random_range(0..KEYS));
        let event = Event::draw(self.rng, self.events, key, arrival_ms, self.clock_ms);
        if event.kind == payload::EventKind::Good {
            self.sent.push(event.clone());
        }
        event
    }

    fn put(&mut self, key: usize, data: &Bytes, arrival_ms: i64, parts: Vec<Part>) {
        let id = self.shard_of[key].clone();
        let key = format!("k{key}");
        let sequence_number = Position::from(self.last_number);
        let payload_bytes =
            envelope(&id).record_bytes(sequence_number.as_str(), &key, data.len(), arrival_ms);
        let poison = self.scenario.poison && self.rng.random_bool(0.02);
        let tombstone = self.topic && data.is_empty();
        let ids = parts.iter().filter_map(|part| match &part.verdict {
            Verdict::Accepted(id, _) => Some(id.clone()),
            _ => None,
        });
        self.stream.ids.extend(ids);
        let written = Written {
            shard: id.clone(),
            parts,
            poison,
        };
        self.stream.written.insert(self.last_number, written);
        let shards = &mut self.stream.shards;
        let shard = shards
            .iter_mut()
            .find(|shard| shard.listed.id == id)
            .expect("open");
        if let Some(before) = shard.records.last() {
            self.tally.tell_step(before.record.arrival, arrival_ms);
        }
        shard.records.push(Placed {
            record: Record {
                sequence_number,
                partition_key: key.into(),
                data: data.clone(),
                arrival: arrival_ms,
                payload_bytes,
            },
            appended_ms: self.clock_ms,
            gone_ms: i64::MAX,
            tombstone,
        });
    }

    fn finish(mut self) -> Stream {
        if self.scenario.trims {
            let clock_ms = self.clock_ms;
            for shard in &mut self.stream.shards {
                // Not long after they were written, the oldest records go.
                let count = self.rng.random_range(0..=shard.records.len());
                let at_ms = clock_ms + self.rng.random_range(-600_000..600_000);
                for record in &mut shard.records[..count] {
                    record.gone_ms = at_ms.max(record.appended_ms + 1);
                }
            }
        }
        self.stream
    }
}

impl Tally {
    fn tell_step(&self, before_ms: i64, arrival_ms: i64) {
        let cell = pipeline::layout::cell_start;
        if !payload::fits_a_name(before_ms) || !payload::fits_a_name(arrival_ms) {
            return;
        }
        self.count_if(cell(arrival_ms) < cell(before_ms), Kind::StepBack);
        let day = |ms: i64| ms.div_euclid(DAY_MS);
        self.count_if(day(arrival_ms) < day(before_ms), Kind::StepBackOverMidnight);
        self.count_if(
            day(arrival_ms).abs_diff(day(before_ms)) > 1,
            Kind::Scattered,
        );
    }
}

pub(crate) fn envelope(shard: &str) -> Envelope {
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
    Envelope::new(shard, &arn, "us-east-1", "arn:aws:iam::000000000000:role/r")
}
