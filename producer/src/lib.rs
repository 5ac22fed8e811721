//! A seeded generator of device events, and the sinks that it writes to.
//!
//! [`generate`] makes records and states, for each, what the event contract says must become of it; [`run`] paces
//! them into a [`sink`], and writes what the sink acknowledged to a [`ledger`]. Comparing the ledger with the lake
//! tells whether anything went missing.
//!
//! [`generate`], [`batch`], [`pace`] and [`put_records`] are pure: time and chance come in as arguments.

pub mod account;
pub mod batch;
pub mod cli;
pub mod generate;
pub mod ledger;
pub mod metrics;
pub mod pace;
pub mod progress;
pub mod put_records;
pub mod run;
pub mod sink;
pub mod totals;
