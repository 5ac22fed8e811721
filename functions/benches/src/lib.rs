//! What the benches share. They are programs and not cargo's benches or examples, so that set-up builds them by the
//! command that builds the deployed functions: what is measured is what is deployed, and its libraries are compiled once.

pub mod stub;

use anyhow::Context;
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

/// The largest resident set of this process so far (proc(5), `VmHWM` in kB), in bytes.
///
/// # Errors
/// Where there is no `/proc`.
pub fn peak_bytes() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    Ok(kilobytes.context("no VmHWM")?.parse::<u64>()? * 1024)
}
