//! What the producers have written: the records of every shard, and what must become of each.

use std::collections::BTreeMap;

use bytes::Bytes;
use event_source::envelope::Envelope;
use event_source::lineage::ListedShard;
use event_source::record::{Record, SequenceNumber};
use pipeline::rollup::Lateness;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// 2026-11-22T12:00:00Z, a line of the time grid; virtual time begins here (milliseconds since the Unix epoch).
pub(crate) const START_MS: i64 = 1_795_348_800_000;
pub(crate) const HORIZON_MS: i64 = 15 * 60_000;
pub(crate) const LATENESS: Lateness = Lateness {
    bound_ms: 5 * 60_000,
};
pub(crate) const STREAM: &str = "s";

/// What the contract says about a record, taken alone.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// The row's event id.
    Accepted(String),
    Filtered,
    Rejected,
}

#[derive(Clone, Debug)]
pub(crate) struct Written {
    pub(crate) shard: String,
    pub(crate) verdict: Verdict,
    pub(crate) payload: Bytes,
    /// An invocation with it crashes, until the redrive.
    pub(crate) poison: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Stream {
    pub(crate) listing: Vec<ListedShard>,
    pub(crate) shards: BTreeMap<String, Vec<Record>>,
    /// By sequence number, unique over all shards here.
    pub(crate) written: BTreeMap<u64, Written>,
}

pub(crate) fn number(record: &Record) -> u64 {
    record
        .sequence_number
        .as_str()
        .parse()
        .expect("the simulation counts in u64")
}

/// Shards and records, drawn from `rng`.
pub(crate) fn draw(rng: &mut ChaCha8Rng, poison: bool) -> Stream {
    let roots = rng.random_range(1..=2);
    let mut writer = Writer::new(rng, roots, poison);
    while writer.stream.listing.len() < 6 && rng.random_bool(0.4) {
        writer.reshard(rng);
        let count = rng.random_range(5..20);
        writer.write(rng, count);
    }
    writer.stream
}

/// The same as the partitions of a topic, which have neither parents nor an end: the number of a partition is its
/// shard's place, an offset the sequence number.
pub(crate) fn draw_topic(rng: &mut ChaCha8Rng, poison: bool) -> Stream {
    let partitions = rng.random_range(1..=4);
    Writer::new(rng, partitions, poison).stream
}

/// How many partition keys there are.
const KEYS: usize = 6;

/// An accepted event that may be sent once more.
struct Sent {
    key: usize,
    id: String,
    payload: Bytes,
}

/// The producers, and the clock of the broker.
struct Writer {
    stream: Stream,
    /// The open shard of every key: a key's hash decides it, so a child has keys of its parents only.
    shard_of: Vec<String>,
    clock_ms: i64,
    last_number: u64,
    events: u64,
    sent: Vec<Sent>,
    poison: bool,
}

impl Writer {
    /// With some records in `roots` shards.
    fn new(rng: &mut ChaCha8Rng, roots: usize, poison: bool) -> Self {
        let mut writer = Self {
            stream: Stream::default(),
            shard_of: vec![String::new(); KEYS],
            clock_ms: START_MS + rng.random_range(0..HORIZON_MS),
            last_number: 0,
            events: 0,
            sent: Vec::new(),
            poison,
        };
        for root in 0..roots {
            let keys: Vec<usize> = (root..KEYS).step_by(roots).collect();
            writer.open(&keys, Vec::new());
        }
        let count = rng.random_range(10..40);
        writer.write(rng, count);
        writer
    }

    fn open(&mut self, keys: &[usize], parents: Vec<String>) {
        let id = format!("shardId-{:012}", self.stream.listing.len());
        for key in keys {
            self.shard_of[*key].clone_from(&id);
        }
        self.stream.listing.push(ListedShard { id, parents });
    }

    /// Two shards are merged, or one is split.
    fn reshard(&mut self, rng: &mut ChaCha8Rng) {
        let key = rng.random_range(0..KEYS);
        let one = self.shard_of[key].clone();
        let mut others = self.shard_of.iter().filter(|shard| **shard != one);
        let other = others.next().cloned().filter(|_| rng.random_bool(0.5));
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

    fn write(&mut self, rng: &mut ChaCha8Rng, count: usize) {
        for _ in 0..count {
            // Mostly a steady trickle, now and then a pause of minutes: batches, cells and horizons come to be crossed.
            self.clock_ms += if rng.random_bool(0.05) {
                rng.random_range(0..600_000)
            } else {
                rng.random_range(0..2_000)
            };
            // The broker's time stamps are approximate and may step back.
            let arrival_ms =
                self.clock_ms - i64::from(rng.random_bool(0.1)) * rng.random_range(0..50);
            let (key, payload, verdict) = if !self.sent.is_empty() && rng.random_bool(0.15) {
                let again = &self.sent[rng.random_range(0..self.sent.len())];
                let verdict = Verdict::Accepted(again.id.clone());
                (again.key, again.payload.clone(), verdict)
            } else {
                self.event(rng)
            };
            // Sequence numbers grow, with gaps.
            self.last_number += rng.random_range(1..4);
            let poison = self.poison && rng.random_bool(0.02);
            self.put(key, payload, arrival_ms, verdict, poison);
        }
    }

    fn event(&mut self, rng: &mut ChaCha8Rng) -> (usize, Bytes, Verdict) {
        self.events += 1;
        let id = format!("e{}", self.events);
        let key = rng.random_range(0..KEYS);
        let minute = rng.random_range(0..6);
        // Whole numbers: their sums are the same in any order.
        let (duration, value) = (rng.random_range(0..100), rng.random_range(-50..50));
        let value = Some(value).filter(|value| value % 3 != 0);
        let value = value.map_or_else(|| "null".to_owned(), |value| value.to_string());
        let payload = |test| {
            Bytes::from(format!(
                r#"{{"schema_version":1,"event_id":"{id}","device_id":"k{key}","device_type":"t","event_time":"2026-11-22T12:0{minute}:30Z","event_duration":{duration},"value":{value},"test":{test}}}"#
            ))
        };
        match rng.random_range(0..20) {
            0 => (key, payload(true), Verdict::Filtered),
            1 => (key, Bytes::from(format!("garbage {id}")), Verdict::Rejected),
            _ => {
                self.sent.push(Sent {
                    key,
                    id: id.clone(),
                    payload: payload(false),
                });
                (key, payload(false), Verdict::Accepted(id))
            }
        }
    }

    fn put(&mut self, key: usize, payload: Bytes, arrival_ms: i64, verdict: Verdict, poison: bool) {
        let shard = &self.shard_of[key];
        let key = format!("k{key}");
        let sequence_number = SequenceNumber::from(self.last_number);
        let payload_bytes =
            envelope(shard).record_bytes(sequence_number.as_str(), &key, payload.len(), arrival_ms);
        self.stream.written.insert(
            self.last_number,
            Written {
                shard: shard.clone(),
                verdict,
                payload: payload.clone(),
                poison,
            },
        );
        let records = self.stream.shards.entry(shard.clone()).or_default();
        records.push(Record {
            sequence_number,
            partition_key: key.into(),
            data: payload,
            arrival: arrival_ms,
            payload_bytes,
        });
    }
}

/// The shards from which `shard` came.
pub(crate) fn ancestors(listing: &[ListedShard], shard: &str) -> Vec<String> {
    let parents = listing
        .iter()
        .find(|listed| listed.id == shard)
        .map_or(&[][..], |listed| &listed.parents);
    let older = parents.iter().flat_map(|parent| ancestors(listing, parent));
    parents.iter().cloned().chain(older).collect()
}

pub(crate) fn envelope(shard: &str) -> Envelope {
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
    Envelope::new(shard, &arn, "us-east-1", "arn:aws:iam::000000000000:role/r")
}
