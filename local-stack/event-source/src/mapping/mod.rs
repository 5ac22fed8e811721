//! What a mapping does whatever the broker is: its parameters, its retries, its checkpoints, and what it does with a
//! batch that it gives up.
//!
//! `parameters`, `position`, `answer`, `lane` and `given_up` are pure.

pub mod answer;
pub mod checkpoint;
pub mod delivery;
pub mod given_up;
pub mod lane;
pub mod metrics;
pub mod on_failure;
pub mod parameters;
pub mod position;
pub(crate) mod time;
