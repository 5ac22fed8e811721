//! The edge: Lambda handlers that carry shard batches through the [`pipeline`] into the lake.
//!
//! [`handler`] does the I/O that the pure core decides on; [`lake`] and [`lineage`] are all that it talks to, so
//! that tests can put a lake in memory, with faults, behind the same handler. The binaries in `bin/` are wiring.

pub mod config;
pub mod counts;
mod delivery;
pub mod environment;
pub mod error;
pub mod handler;
pub mod lake;
pub mod lineage;
pub mod publish;
pub mod response;
pub mod start;
pub mod window;
