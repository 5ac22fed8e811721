//! Lambda's event source mappings for Kinesis and Kafka, and the execution environment behind them, on one machine.
//!
//! A record's way: [`kinesis`] reads it from its shard (which [`lineage`] allowed to start), [`shard`] gathers it into
//! a batch, [`envelope`] writes the invocation payload, [`environment`] hands that to the function's process through
//! [`runtime_api`], [`answer`] reads what came back, and [`checkpoint`] remembers it, or [`on_failure`] takes what was
//! given up, as an [`invocation_record`]. [`run`] ties them together. [`redrive`] invokes the function again with what
//! was given up. A record of a topic goes the same way through [`kafka`].
//!
//! `record`, `mapping`, `shard`, `lineage`, `answer`, `envelope` and `invocation_record` are pure: no clock, no I/O, no
//! randomness. A simulator can drive them with virtual time.

pub mod answer;
pub mod checkpoint;
pub mod envelope;
pub mod environment;
pub mod function;
pub mod invocation_record;
pub mod kafka;
pub mod kinesis;
pub mod lineage;
pub mod mapping;
pub mod metrics;
pub mod on_failure;
pub mod reaper;
pub mod record;
pub mod redrive;
pub mod run;
mod runtime_api;
pub mod shard;
mod sub_shard;
