//! One seed is one run.

use std::cell::RefCell;
use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicU64, Ordering};

use pipeline::layout::{ObjectName, cell_start};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use super::faults::{Kind, Tally};
use super::lake::SimulatedLake;
use super::lambda::Lambda;
use super::lineage::Family;
use super::mutant::Mutant;
use super::scenario::Scenario;
use super::stream::Stream;
use super::trace::Trace;
use super::world::World;
use super::{Broker, invariants, kafka, kinesis, stream};

/// A run at its end.
#[derive(Debug, PartialEq)]
pub struct Run {
    /// The error is what is broken.
    pub result: Result<(), String>,
    /// What happened, line by line, with virtual times in seconds; empty if nobody asked for it.
    pub trace: String,
    /// What went wrong in it.
    pub tally: Tally,
}

/// The run of a seed.
///
/// # Panics
/// If a part of the simulation itself is wrong.
pub fn simulate(broker: Broker, seed: u64, mutant: Mutant, traced: bool) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let (trace, tally) = (Trace::new(traced), Tally::default());
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let scenario = Scenario::draw(&mut rng, broker);
        trace.say(format_args!("{scenario:?}"));
        let lake = SimulatedLake::new(
            &scenario,
            rng.random(),
            mutant,
            tally.clone(),
            trace.clone(),
        );
        let family = Family::new(lake.clone());
        let seed = rng.random();
        let lambda = Lambda::new(
            &scenario,
            family.clone(),
            seed,
            mutant,
            tally.clone(),
            trace.clone(),
        );
        let world = World {
            scenario,
            lake,
            lambda: RefCell::new(lambda),
            mutant,
            tally: tally.clone(),
            trace: trace.clone(),
            began: Instant::now(),
        };
        let result = deliver(broker, &world, &family, &mut rng).await;
        let result = result.and_then(|()| trace.first_broken().map_or(Ok(()), Err));
        Run {
            result,
            trace: trace.text(),
            tally,
        }
    })
}

async fn deliver(
    broker: Broker,
    world: &World,
    family: &Family,
    rng: &mut ChaCha8Rng,
) -> Result<(), String> {
    let mut streams = Vec::new();
    let topics = if world.scenario.recreates {
        rng.random_range(1..=2)
    } else {
        0
    };
    for incarnation in 0..=topics {
        world.tally.count_if(incarnation > 0, Kind::Recreated);
        let (scenario, start_ms) = (&world.scenario, world.now_ms());
        let stream = match broker {
            Broker::Kinesis => stream::draw(scenario, rng, start_ms, &world.tally),
            Broker::Redpanda => {
                stream::draw_topic(scenario, rng, start_ms, incarnation, &world.tally)
            }
        };
        family.list(stream.listing(i64::MAX));
        deliver_stream(broker, world, &stream, rng).await?;
        streams.push(stream);
    }
    world.settle().await;
    invariants::at_rest(world, &streams)?;
    if world.scenario.expires {
        let stream = streams.last_mut().expect("one at least");
        let now_ms = world.now_ms();
        expire(stream, rng, now_ms);
        family.list(stream.listing(i64::MAX));
        expire_objects(world, stream, rng);
        deliver_stream(broker, world, stream, rng).await?;
        world.settle().await;
        invariants::at_rest(world, &streams)?;
    }
    Ok(())
}

async fn deliver_stream(
    broker: Broker,
    world: &World,
    stream: &Stream,
    rng: &mut ChaCha8Rng,
) -> Result<(), String> {
    match broker {
        Broker::Kinesis => kinesis::deliver(world, stream, rng).await,
        Broker::Redpanda => kafka::deliver(world, stream, rng).await,
    }
}

/// The oldest records leave the broker, and shards the listing.
fn expire(stream: &mut Stream, rng: &mut ChaCha8Rng, now_ms: i64) {
    let mut expired: Vec<String> = Vec::new();
    for shard in &mut stream.shards {
        let was_closed = shard.closed_ms > i64::MIN;
        let oldest = shard
            .listed
            .parents
            .iter()
            .all(|parent| expired.contains(parent));
        shard.expired = was_closed && oldest && rng.random_bool(0.7);
        let gone = if shard.expired {
            expired.push(shard.listed.id.clone());
            shard.records.len()
        } else if oldest {
            rng.random_range(0..=shard.records.len())
        } else {
            0
        };
        for record in &mut shard.records[..gone] {
            record.gone_ms = record.gone_ms.min(now_ms);
        }
    }
}

/// Objects go whose rows no record that can be delivered will ask for: they are further away than the horizon, and of
/// no cell that is still written to.
fn expire_objects(world: &World, stream: &Stream, rng: &mut ChaCha8Rng) {
    let now_ms = world.now_ms();
    let left = stream.records().filter(|record| record.gone_ms > now_ms);
    let left: Vec<i64> = left.map(|record| record.record.arrival).collect();
    let asked_for = |row_ms: i64| {
        left.iter().any(|arrival_ms| {
            arrival_ms.saturating_sub(row_ms).saturating_abs() <= world.scenario.horizon_ms
                || cell_start(*arrival_ms) == cell_start(row_ms)
        })
    };
    let contents = world.lake.contents();
    for key in contents.created.keys() {
        let rows = contents.rows.values().flatten();
        let mut rows = rows.filter(|row| row.key == *key);
        if !rows.any(|row| asked_for(row.arrival_ms)) && rng.random_bool(0.8) {
            let name = ObjectName::of_events_key(key).expect("an events key");
            world.lake.expire(&name, rng);
        }
    }
}

/// Runs some seeds, on all processors, and counts what went wrong in them. `at_end` hears of every run, and says
/// whether to go on.
///
/// # Panics
/// As [`simulate`].
pub fn simulate_all(
    broker: Broker,
    seeds: Range<u64>,
    mutant: Mutant,
    at_end: impl Fn(u64, &Run) -> ControlFlow<()> + Sync,
) -> Tally {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let (next, tally) = (AtomicU64::new(seeds.start), Tally::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let run = simulate(broker, seed, mutant, false);
                    tally.add(&run.tally);
                    if at_end(seed, &run).is_break() {
                        next.store(seeds.end, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    tally
}
