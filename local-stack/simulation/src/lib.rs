//! The real handler and the real event-source state machine over a lake with faults, in virtual time.
//!
//! One seed is one run: [`simulate`]. A run that breaks an invariant says which, and how it came to be. The program
//! `simulate` runs many of them.

mod invariants;
mod kafka;
mod kinesis;
mod lake;
mod lambda;
mod mutant;
mod rollups;
mod stream;
mod trace;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

pub use mutant::Mutant;

use lake::SimulatedLake;
use trace::Trace;

/// What the events go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broker {
    /// A Kinesis stream.
    Kinesis,
    /// A topic of Redpanda.
    Redpanda,
}

impl Broker {
    /// As it is written in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kinesis => "kinesis",
            Self::Redpanda => "redpanda",
        }
    }
}

/// A run at its end.
#[derive(Debug, PartialEq)]
pub struct Run {
    /// The error is what is broken.
    pub result: Result<(), String>,
    /// What happened, line by line, with virtual times in seconds.
    pub trace: String,
}

/// The run of a seed.
///
/// # Panics
/// If a part of the simulation itself is wrong.
pub fn simulate(broker: Broker, seed: u64, mutant: Mutant) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime").block_on(async {
        let trace = Trace::new();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let poison = rng.random_bool(0.2);
        let stream = match broker {
            Broker::Kinesis => stream::draw(&mut rng, poison),
            Broker::Redpanda => stream::draw_topic(&mut rng, poison),
        };
        let faults = [0.0, 0.05, 0.2][rng.random_range(0..3)];
        let lake = SimulatedLake::new(rng.random(), faults, mutant, trace.clone());
        let result = match broker {
            Broker::Kinesis => {
                kinesis::deliver(&stream, &lake, &mut rng, faults, poison, &trace).await
            }
            Broker::Redpanda => {
                kafka::deliver(&stream, &lake, &mut rng, faults, poison, &trace).await
            }
        };
        Run {
            result: result.and_then(|in_order| invariants::at_rest(&stream, &lake, in_order)),
            trace: trace.text(),
        }
    })
}

/// Runs of the seeds from `seeds`, on all processors. The first that breaks an invariant ends it.
///
/// # Errors
/// Trace, invariant, and the command that repeats the run.
///
/// # Panics
/// As [`simulate`].
pub fn simulate_all(
    broker: Broker,
    seeds: std::ops::Range<u64>,
    progress: impl Fn(u64) + Sync,
) -> Result<(), String> {
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let next = std::sync::atomic::AtomicU64::new(seeds.start);
    let broken = std::sync::Mutex::new(None);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while broken.lock().expect("not poisoned").is_none() {
                    let seed = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let run = simulate(broker, seed, Mutant::None);
                    if let Err(rule) = run.result {
                        let trace = run.trace;
                        let broker = broker.name();
                        *broken.lock().expect("not poisoned") = Some(format!(
                            "{trace}\n\n{rule}\n\nrepeat it: make simulate BROKER={broker} SEED={seed}"
                        ));
                    }
                    progress(seed);
                }
            });
        }
    });
    broken
        .into_inner()
        .expect("not poisoned")
        .map_or(Ok(()), Err)
}
