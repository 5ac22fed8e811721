//! Lambda's event source mapping for Kafka: self-managed clusters, which Redpanda is, and by the same rules Amazon MSK.
//!
//! A record's way: [`run`] reads it from the topic as a member of a consumer group, [`poller`] gathers it with records
//! of other partitions into a batch, [`envelope`] writes the invocation payload, [`answer`] reads what came back, and
//! the offset is committed to the group, or what was given up is described as an [`invocation_record`].
//!
//! `answer`, `envelope`, `invocation_record` and `poller` are pure, as their Kinesis siblings are.

pub mod answer;
mod consumer;
pub mod envelope;
pub mod invocation_record;
pub mod poller;
pub mod run;
mod task;
pub mod topic;
