//! `simulate`: the simulation for as long as one likes.

use std::process::ExitCode;

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
    /// How many seeds, from 0
    #[arg(long, default_value_t = 100_000)]
    seeds: u64,
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
        let run = simulate(broker, seed, Mutant::None);
        eprintln!("{}", run.trace);
        return run.result;
    }
    let (seeds, name) = (arguments.seeds, broker.name());
    simulate_all(broker, 0..seeds, |seed| {
        if seed > 0 && seed % 10_000 == 0 {
            eprintln!("{name}: {seed} of {seeds} seeds");
        }
    })
}
