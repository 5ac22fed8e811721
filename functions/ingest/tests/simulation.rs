//! The real handler and the real event-source state machine over a lake with faults, in virtual time. One seed is one
//! run; a run that breaks an invariant prints what happened and the command that repeats it.
//!
//! `SEEDS=100000 cargo test -p ingest --test simulation` runs more, `SEED=7` one with its whole trace.

#![allow(unreachable_pub, reason = "the modules are private to this test")]

#[path = "simulation/event_source.rs"]
mod driver;
#[path = "simulation/invariants.rs"]
mod invariants;
#[path = "simulation/kafka.rs"]
mod kafka;
#[path = "simulation/lake.rs"]
mod lake;
#[path = "simulation/lambda.rs"]
mod lambda;
#[path = "simulation/rollups.rs"]
mod rollups;
#[path = "simulation/stream.rs"]
mod stream;

use std::fmt;
use std::sync::{Arc, Mutex};

use lake::{Mutant, SimulatedLake};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

/// Seeds that `make test` runs.
const SEEDS: u64 = 3_000;
/// Seeds that it runs of a topic.
const TOPIC_SEEDS: u64 = 2_000;
/// A mutant must be caught within so many.
const MUTANT_SEEDS: u64 = 400;

/// What happened, with virtual times, for a person who has to find out why.
#[derive(Clone)]
pub(crate) struct Trace {
    began: Instant,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Trace {
    fn new() -> Self {
        Self {
            began: Instant::now(),
            lines: Arc::default(),
        }
    }

    pub(crate) fn say(&self, what: fmt::Arguments) {
        let line = format!("{:>10.3} {what}", self.began.elapsed().as_secs_f64());
        self.lines.lock().expect("not poisoned").push(line);
    }

    fn text(&self) -> String {
        self.lines.lock().expect("not poisoned").join("\n")
    }
}

/// What the events go through.
#[derive(Clone, Copy, Debug)]
enum Broker {
    Stream,
    Topic,
}

/// One run. The error is what is broken, the trace how it came to be.
fn simulate(broker: Broker, seed: u64, mutant: Mutant) -> (Result<(), String>, String) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let trace = Trace::new();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let poison = rng.random_bool(0.2);
        let stream = match broker {
            Broker::Stream => stream::draw(&mut rng, poison),
            Broker::Topic => stream::draw_topic(&mut rng, poison),
        };
        let faults = [0.0, 0.05, 0.2][rng.random_range(0..3)];
        let lake = SimulatedLake::new(rng.random(), faults, mutant, trace.clone());
        let result = match broker {
            Broker::Stream => {
                driver::deliver(&stream, &lake, &mut rng, faults, poison, &trace).await
            }
            Broker::Topic => kafka::deliver(&stream, &lake, &mut rng, faults, poison, &trace).await,
        };
        (
            result.and_then(|in_order| invariants::at_rest(&stream, &lake, in_order)),
            trace.text(),
        )
    })
}

fn environment_number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(
        value
            .parse()
            .unwrap_or_else(|_| panic!("{name} is {value:?}, expected a number")),
    )
}

fn simulate_all(broker: Broker, seeds: u64) {
    if let Some(seed) = environment_number("SEED") {
        let (result, trace) = simulate(broker, seed, Mutant::None);
        eprintln!("{trace}");
        result.unwrap_or_else(|broken| panic!("{broken}"));
        return;
    }
    let seeds = environment_number("SEEDS").unwrap_or(seeds);
    let threads = std::thread::available_parallelism().map_or(1, |threads| threads.get() as u64);
    std::thread::scope(|scope| {
        for first in 0..threads {
            scope.spawn(move || {
                for seed in (first..seeds).step_by(usize::try_from(threads).expect("few")) {
                    simulate_or_panic(broker, seed);
                    if seed > 0 && seed % 10_000 == 0 {
                        eprintln!("{broker:?}: {seed} of {seeds} seeds");
                    }
                }
            });
        }
    });
}

#[test]
fn every_accepted_event_of_a_stream_lands_exactly_once_whatever_happens() {
    simulate_all(Broker::Stream, SEEDS);
}

#[test]
fn every_accepted_event_of_a_topic_lands_exactly_once_whatever_happens() {
    simulate_all(Broker::Topic, TOPIC_SEEDS);
}

fn simulate_or_panic(broker: Broker, seed: u64) {
    if let (Err(broken), trace) = simulate(broker, seed, Mutant::None) {
        let test = match broker {
            Broker::Stream => "of_a_stream",
            Broker::Topic => "of_a_topic",
        };
        panic!(
            "{trace}\n\n{broken}\n\nrepeat it: SEED={seed} cargo test -p ingest --test simulation {test}"
        );
    }
}

#[test]
fn a_seed_is_a_run_to_the_letter() {
    for broker in [Broker::Stream, Broker::Topic] {
        let run = || simulate(broker, 3, Mutant::None);
        assert_eq!(run(), run());
    }
}

#[track_caller]
fn assert_caught_by(broker: Broker, mutant: Mutant) {
    let caught = (0..MUTANT_SEEDS).find(|&seed| simulate(broker, seed, mutant).0.is_err());
    assert!(
        caught.is_some(),
        "{mutant:?} of a {broker:?} survives {MUTANT_SEEDS} seeds: the simulation does not bite"
    );
}

#[track_caller]
fn assert_caught(mutant: Mutant) {
    assert_caught_by(Broker::Stream, mutant);
}

#[test]
fn a_failed_partition_that_is_answered_as_done_is_caught() {
    assert_caught_by(Broker::Topic, Mutant::FailureAsSuccess);
}

#[test]
fn what_breaks_the_protocol_of_a_stream_breaks_that_of_a_topic() {
    for mutant in [
        Mutant::Overwrite,
        Mutant::EmptyWindow,
        Mutant::BoundsNamedKey,
        Mutant::NoRepair,
        Mutant::QuarantineAfterCommit,
    ] {
        assert_caught_by(Broker::Topic, mutant);
    }
}

#[test]
fn a_create_that_overwrites_is_caught() {
    assert_caught(Mutant::Overwrite);
}

#[test]
fn an_empty_window_is_caught() {
    assert_caught(Mutant::EmptyWindow);
}

#[test]
fn a_key_named_by_the_batchs_bounds_is_caught() {
    assert_caught(Mutant::BoundsNamedKey);
}

#[test]
fn a_key_named_by_the_first_row_is_caught() {
    assert_caught(Mutant::FirstRowNamedKey);
}

#[test]
fn a_window_without_the_parents_is_caught() {
    assert_caught(Mutant::NoAncestors);
}

#[test]
fn rollups_that_nobody_misses_are_caught() {
    assert_caught(Mutant::NoRepair);
}

#[test]
fn quarantine_after_the_commit_is_caught() {
    assert_caught(Mutant::QuarantineAfterCommit);
}
