//! What the producers have written: the records of every shard, and what must become of each.

use std::collections::BTreeMap;

use bytes::Bytes;
use event_source::envelope::Envelope;
use event_source::lineage::ListedShard;
use event_source::record::{Record, SequenceNumber};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// 2026-11-22T12:00:00Z, a line of the time grid; virtual time begins here (milliseconds since the Unix epoch).
pub const START_MS: i64 = 1_795_348_800_000;
pub const HORIZON_MS: i64 = 15 * 60_000;
pub const STREAM: &str = "s";

/// What the contract says about a record, taken alone.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// The row's event id.
    Accepted(String),
    Filtered,
    Rejected,
}

#[derive(Clone, Debug)]
pub struct Written {
    pub shard: String,
    pub verdict: Verdict,
    pub payload: Bytes,
    /// An invocation with it crashes, until the redrive.
    pub poison: bool,
}

#[derive(Debug, Default)]
pub struct Stream {
    pub listing: Vec<ListedShard>,
    pub shards: BTreeMap<String, Vec<Record>>,
    /// By sequence number, unique over all shards here.
    pub written: BTreeMap<u64, Written>,
}

pub fn number(record: &Record) -> u64 {
    record
        .sequence_number
        .as_str()
        .parse()
        .expect("the simulation counts in u64")
}

/// Shards and records, drawn from `rng`.
pub fn draw(rng: &mut ChaCha8Rng, poison: bool) -> Stream {
    let mut stream = Stream::default();
    let roots: Vec<String> = (0..rng.random_range(1..=2)).map(shard_id).collect();
    stream.listing = roots
        .iter()
        .map(|id| ListedShard {
            id: id.clone(),
            parents: Vec::new(),
        })
        .collect();
    let mut clock_ms = START_MS + rng.random_range(0..HORIZON_MS);
    let mut next_number = 1;
    let mut next_event = 0;
    let first_generation = rng.random_range(10..60);
    write(
        rng,
        &mut stream,
        &roots,
        first_generation,
        &mut clock_ms,
        &mut next_number,
        &mut next_event,
        poison,
    );
    if rng.random_bool(0.4) {
        let children = reshard(rng, &mut stream, &roots);
        let more = rng.random_range(5..30);
        write(
            rng,
            &mut stream,
            &children,
            more,
            &mut clock_ms,
            &mut next_number,
            &mut next_event,
            poison,
        );
    }
    stream
}

fn shard_id(index: usize) -> String {
    format!("shardId-{index:012}")
}

/// Two parents are merged, one is split.
fn reshard(rng: &mut ChaCha8Rng, stream: &mut Stream, roots: &[String]) -> Vec<String> {
    let merge = roots.len() == 2 && rng.random_bool(0.5);
    let (parents, children) = if merge {
        (roots.to_vec(), 1)
    } else {
        (vec![roots[0].clone()], 2)
    };
    let ids: Vec<String> = (0..children).map(|child| shard_id(10 + child)).collect();
    for id in &ids {
        stream.listing.push(ListedShard {
            id: id.clone(),
            parents: parents.clone(),
        });
    }
    ids
}

#[expect(
    clippy::too_many_arguments,
    reason = "the counters go on over two generations of shards"
)]
fn write(
    rng: &mut ChaCha8Rng,
    stream: &mut Stream,
    shards: &[String],
    count: usize,
    clock_ms: &mut i64,
    next_number: &mut u64,
    next_event: &mut u64,
    poison: bool,
) {
    let mut sent: Vec<(usize, i64, String, Bytes, String)> = Vec::new();
    for _ in 0..count {
        // Mostly a steady trickle, now and then a pause of minutes: batches, cells and horizons come to be crossed.
        *clock_ms += if rng.random_bool(0.05) {
            rng.random_range(0..600_000)
        } else {
            rng.random_range(0..2_000)
        };
        // The broker's time stamps are approximate and may step back.
        let arrival_ms = *clock_ms - i64::from(rng.random_bool(0.1)) * rng.random_range(0..50);
        let shard = rng.random_range(0..shards.len());
        let repeatable = sent.iter().filter(|(of, ..)| *of == shard).count();
        let (key, payload, verdict) = if repeatable > 0 && rng.random_bool(0.15) {
            let nth = rng.random_range(0..repeatable);
            let (_, _, id, payload, key) = sent
                .iter()
                .filter(|(of, ..)| *of == shard)
                .nth(nth)
                .expect("counted")
                .clone();
            (key, payload, Verdict::Accepted(id))
        } else {
            *next_event += 1;
            let id = format!("e{next_event}");
            let key = format!("k{}", rng.random_range(0..5));
            let payload = |test| {
                Bytes::from(format!(
                    r#"{{"schema_version":1,"event_id":"{id}","device_id":"{key}","device_type":"t","event_time":"2026-11-22T11:59:00Z","event_duration":1,"test":{test}}}"#
                ))
            };
            match rng.random_range(0..20) {
                0 => (key.clone(), payload(true), Verdict::Filtered),
                1 => (key, Bytes::from(format!("garbage {id}")), Verdict::Rejected),
                _ => {
                    sent.push((shard, arrival_ms, id.clone(), payload(false), key.clone()));
                    (key.clone(), payload(false), Verdict::Accepted(id))
                }
            }
        };
        // Sequence numbers grow, with gaps.
        *next_number += rng.random_range(1..4);
        let sequence_number = SequenceNumber::from(*next_number);
        let envelope = envelope(&shards[shard]);
        let payload_bytes =
            envelope.record_bytes(sequence_number.as_str(), &key, payload.len(), arrival_ms);
        stream.written.insert(
            *next_number,
            Written {
                shard: shards[shard].clone(),
                verdict,
                payload: payload.clone(),
                poison: poison && rng.random_bool(0.02),
            },
        );
        stream
            .shards
            .entry(shards[shard].clone())
            .or_default()
            .push(Record {
                sequence_number,
                partition_key: key.into(),
                data: payload,
                arrival: arrival_ms,
                payload_bytes,
            });
    }
}

pub fn envelope(shard: &str) -> Envelope {
    let arn = format!("arn:aws:kinesis:us-east-1:000000000000:stream/{STREAM}");
    Envelope::new(shard, &arn, "us-east-1", "arn:aws:iam::000000000000:role/r")
}
