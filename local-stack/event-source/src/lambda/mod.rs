//! What hosts a function: its processes, the Runtime API that they ask for events, and the companion that cleans up.

pub mod environment;
pub mod function;
pub mod reaper;
mod runtime_api;

/// Lambda's limit on a synchronous invocation's payload (6 MB,
/// <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>).
pub const MAXIMUM_PAYLOAD_BYTES: usize = 6 * 1024 * 1024;
