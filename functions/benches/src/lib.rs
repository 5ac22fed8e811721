//! What the benches share. They are programs and not cargo's benches or examples, so that set-up builds them by the
//! command that builds the deployed functions: what is measured is what is deployed, and its libraries are compiled once.

pub mod stub;

use ingest::handler::Settings;
use pipeline::filter::Filter;
use pipeline::rollup::Lateness;

/// Seed of the tables of hashes.
pub const SEED: u64 = 1;

/// The default bound.
pub const LATENESS: Lateness = Lateness {
    bound_ms: 60 * 60_000,
};

/// The deployed function's, by default.
pub fn settings() -> Settings {
    Settings {
        filter: Filter::default(),
        lateness: LATENESS,
        horizon_ms: 15 * 60_000,
        memory_mb: 1024,
    }
}
