//! `simulate`: the simulation for as long as one likes.

use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::{Parser, ValueEnum};
use simulation::{Mutant, simulate, simulate_all};

/// The real handler and the real event source in virtual time, over a lake that fails. A run that breaks an invariant
/// is printed with its trace.
#[derive(Parser)]
#[command(name = "simulate")]
struct Arguments {
    /// What the events go through: both, one after the other, unless given
    #[arg(long)]
    broker: Option<Broker>,
    /// The seed to end before
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
    /// The first seed
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Name every seed that breaks a rule, instead of the trace of the first
    #[arg(long)]
    keep_going: bool,
    /// This seed alone, with its whole trace
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Broker {
    Kinesis,
    Redpanda,
}

impl From<Broker> for simulation::Broker {
    fn from(broker: Broker) -> Self {
        match broker {
            Broker::Kinesis => Self::Kinesis,
            Broker::Redpanda => Self::Redpanda,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let both = [Broker::Kinesis, Broker::Redpanda];
    for broker in arguments
        .broker
        .map_or(both.to_vec(), |broker| vec![broker])
    {
        if let Err(broken) = run(broker.into(), &arguments) {
            eprintln!("{broken}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn run(broker: simulation::Broker, arguments: &Arguments) -> Result<(), String> {
    if let Some(seed) = arguments.seed {
        let run = simulate(broker, seed, Mutant::None, true);
        eprintln!("{}", run.trace);
        return run.result;
    }
    let (seeds, name) = (arguments.seeds, broker.name());
    let (began, broken) = (Instant::now(), AtomicU64::new(0));
    let tally = simulate_all(broker, arguments.from..seeds, Mutant::None, |seed, run| {
        if seed > 0 && seed % 10_000 == 0 {
            eprintln!("{name}: {seed} of {seeds} seeds");
        }
        let Err(rule) = &run.result else {
            return ControlFlow::Continue(());
        };
        if arguments.keep_going {
            eprintln!("{name} {seed}: {rule}");
        } else if broken.load(Ordering::Relaxed) == 0 {
            let trace = simulate(broker, seed, Mutant::None, true).trace;
            eprintln!("{trace}\n\n{rule}\n\nrepeat it: make simulate BROKER={name} SEED={seed}");
        }
        broken.fetch_add(1, Ordering::Relaxed);
        if arguments.keep_going {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    });
    let (seconds, table) = (began.elapsed().as_secs(), tally.table(broker));
    eprintln!("{name}: up to {seeds} seeds in {seconds} s; how often what went wrong:\n{table}");
    match broken.into_inner() {
        0 => Ok(()),
        broken => Err(format!("{name}: {broken} runs broke a rule")),
    }
}
