#![doc = include_str!("../README.md")]

mod contents;
mod faults;
mod invariants;
mod kafka;
mod kinesis;
mod lake;
mod lambda;
mod lineage;
mod metrics;
mod mutant;
mod payload;
mod rollups;
mod run;
mod scenario;
pub mod small_scope;
mod stream;
mod trace;
mod world;

pub use faults::Tally;
pub use mutant::Mutant;
pub use run::{Run, simulate, simulate_all};

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
