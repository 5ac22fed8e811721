//! Lambda's event source mapping for Kafka: self-managed clusters, which Redpanda is, and by the same rules Amazon MSK.
//!
//! A record's way: [`run`] reads it from the topic as a member of a consumer group, [`poller`] gathers it with records
//! of other partitions into a batch, [`envelope`] writes the invocation payload, [`answer`] reads what came back, and
//! the offset is committed to the group; or what was given up is described by [`given_up`].
//!
//! `answer`, `envelope`, `given_up`, `poller` and `record` are pure, as their siblings for Kinesis are.

pub mod answer;
pub mod envelope;
pub mod given_up;
pub mod poller;
mod reader;
pub mod record;
pub mod run;
pub mod source;
mod task;
pub mod topic;
