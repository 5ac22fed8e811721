//! Lambda's event source mapping for Kinesis.
//!
//! A record's way: [`reader`] reads it from its shard (which [`lineage`] allowed to start), [`shard`] gathers it into
//! a batch, [`envelope`] writes the invocation payload, [`answer`] reads what came back, and the checkpoint remembers
//! it; or what was given up is described by [`given_up`], from which [`redrive`] invokes the function again. [`run`] ties
//! them together.
//!
//! `answer`, `envelope`, `given_up`, `lineage`, `record` and `shard` are pure.

pub mod answer;
pub mod envelope;
pub mod given_up;
pub mod lineage;
pub mod reader;
pub mod record;
pub mod redrive;
pub mod run;
pub mod shard;
pub mod source;
mod task;
