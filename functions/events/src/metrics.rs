//! The one list of metrics: what Tributary publishes, and what of AWS's own is shown and watched beside it.
//!
//! Dashboards, alarms and the local monitor read it as `schema/metrics.json`, which is generated from [`Metric`] by
//! `cargo run -p events --example metrics`; a test fails when it drifts.

use serde::Serialize;

/// The CloudWatch namespace of what Tributary itself publishes.
pub const NAMESPACE: &str = "Tributary";

const LAMBDA: &str = "AWS/Lambda";
const KINESIS: &str = "AWS/Kinesis";
const STEP_FUNCTIONS: &str = "AWS/States";

/// CloudWatch units, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
}

impl Unit {
    /// The name in CloudWatch.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "Count",
            Self::Bytes => "Bytes",
            Self::Milliseconds => "Milliseconds",
        }
    }
}

/// Who publishes a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Publisher {
    /// The Lambda functions, once per invocation.
    Function,
    /// The producer, with `--metrics`.
    Producer,
    /// AWS; on the local stack the event source or the orchestrator in its place.
    Aws,
    /// AWS, and nobody on the local stack.
    AwsOnly,
}

/// What is known of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Definition {
    /// CloudWatch namespace.
    pub namespace: &'static str,
    /// Name in the namespace.
    pub name: &'static str,
    /// Unit of its values.
    pub unit: Unit,
    /// The sets of dimensions under which it is published.
    pub dimensions: &'static [&'static [&'static str]],
    /// Who publishes it.
    pub publisher: Publisher,
    /// What a value says, in one sentence without a full stop.
    pub meaning: &'static str,
}

macro_rules! metrics {
    ($($metric:ident: $namespace:expr, $name:literal, $unit:ident, $dimensions:expr, $publisher:ident, $meaning:literal;)+) => {
        /// Every metric that is published or watched.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Metric {
            $(#[doc = $meaning] $metric,)+
        }

        impl Metric {
            /// Every metric, in the order of the dashboards' documentation.
            pub const ALL: &'static [Self] = &[$(Self::$metric,)+];

            /// What is known of it.
            pub const fn definition(self) -> Definition {
                match self {
                    $(Self::$metric => Definition {
                        namespace: $namespace,
                        name: $name,
                        unit: Unit::$unit,
                        dimensions: $dimensions,
                        publisher: Publisher::$publisher,
                        meaning: $meaning,
                    },)+
                }
            }
        }
    };
}

const STREAM: &[&[&str]] = &[&["Stream"]];
const FUNCTION_NAME: &[&[&str]] = &[&["FunctionName"]];
const MAPPING: &[&[&str]] = &[&["EventSourceMappingUUID"]];
const STREAM_NAME: &[&[&str]] = &[&["StreamName"]];
const STATE_MACHINE: &[&[&str]] = &[&["StateMachineArn"]];

metrics! {
    RecordsReceived: NAMESPACE, "RecordsReceived", Count, STREAM, Function, "records delivered, redeliveries included";
    BytesReceived: NAMESPACE, "BytesReceived", Bytes, STREAM, Function, "their payload bytes";
    RowsWritten: NAMESPACE, "RowsWritten", Count, STREAM, Function, "rows committed";
    ObjectsWritten: NAMESPACE, "ObjectsWritten", Count, STREAM, Function, "objects committed under events/";
    BytesWritten: NAMESPACE, "BytesWritten", Bytes, STREAM, Function, "bytes of the objects committed under events/";
    DuplicatesDropped: NAMESPACE, "DuplicatesDropped", Count, STREAM, Function, "rows whose event id was committed, or came earlier in the batch";
    Filtered: NAMESPACE, "Filtered", Count, STREAM, Function, "rows dropped on purpose";
    Rejected: NAMESPACE, "Rejected", Count, &[&["Stream"], &["Stream", "Reason"]], Function, "records put into quarantine";
    LateEvents: NAMESPACE, "LateEvents", Count, STREAM, Function, "rows committed whose event time is older than their arrival by more than the lateness bound";
    BatchFailures: NAMESPACE, "BatchFailures", Count, STREAM, Function, "invocations that handed records back to Lambda";
    Redeliveries: NAMESPACE, "Redeliveries", Count, STREAM, Function, "invocations that found every acceptable row committed already";
    CommitConflicts: NAMESPACE, "CommitConflicts", Count, STREAM, Function, "creates that found their place in the log taken (412)";
    ColdStarts: NAMESPACE, "ColdStarts", Count, STREAM, Function, "first invocations of an execution environment";
    BatchDuration: NAMESPACE, "BatchDuration", Milliseconds, STREAM, Function, "from the start of an invocation until its rows are committed";
    Lag: NAMESPACE, "Lag", Milliseconds, &[&["Stream", "Shard"]], Function, "now minus the arrival of the last record committed";
    EventsProduced: NAMESPACE, "EventsProduced", Count, STREAM, Producer, "records acknowledged by the stream";
    PutRetries: NAMESPACE, "PutRetries", Count, STREAM, Producer, "records that had to be put again";
    PutFailures: NAMESPACE, "PutFailures", Count, STREAM, Producer, "records that could not be put in the time given";
    Invocations: LAMBDA, "Invocations", Count, FUNCTION_NAME, Aws, "invocations of the function";
    Errors: LAMBDA, "Errors", Count, FUNCTION_NAME, Aws, "invocations that ended in an error, a crash or a time-out";
    Duration: LAMBDA, "Duration", Milliseconds, FUNCTION_NAME, Aws, "time that the function spends on an invocation";
    IteratorAge: LAMBDA, "IteratorAge", Milliseconds, FUNCTION_NAME, Aws, "age of the last record of a batch when it is delivered";
    OffsetLag: LAMBDA, "OffsetLag", Count, FUNCTION_NAME, Aws, "records of the topic, over its partitions, that the function is not done with";
    Throttles: LAMBDA, "Throttles", Count, FUNCTION_NAME, AwsOnly, "invocations refused for want of concurrency";
    ConcurrentExecutions: LAMBDA, "ConcurrentExecutions", Count, FUNCTION_NAME, AwsOnly, "execution environments at work at once";
    InvokedEventCount: LAMBDA, "InvokedEventCount", Count, MAPPING, Aws, "records with which the event source mapping invoked the function";
    FailedInvokeEventCount: LAMBDA, "FailedInvokeEventCount", Count, MAPPING, Aws, "records of invocations that failed, wholly or in part";
    DroppedEventCount: LAMBDA, "DroppedEventCount", Count, MAPPING, Aws, "records given up without a destination";
    OnFailureDestinationDeliveredEventCount: LAMBDA, "OnFailureDestinationDeliveredEventCount", Count, MAPPING, Aws, "records given up to the on-failure destination";
    IncomingRecords: KINESIS, "IncomingRecords", Count, STREAM_NAME, AwsOnly, "records put into the stream";
    IncomingBytes: KINESIS, "IncomingBytes", Bytes, STREAM_NAME, AwsOnly, "bytes put into the stream";
    WriteProvisionedThroughputExceeded: KINESIS, "WriteProvisionedThroughputExceeded", Count, STREAM_NAME, AwsOnly, "records refused because a shard was full";
    ReadProvisionedThroughputExceeded: KINESIS, "ReadProvisionedThroughputExceeded", Count, STREAM_NAME, AwsOnly, "reads refused because a shard's limit was reached";
    ExecutionsSucceeded: STEP_FUNCTIONS, "ExecutionsSucceeded", Count, STATE_MACHINE, Aws, "nightly runs that succeeded";
    ExecutionsFailed: STEP_FUNCTIONS, "ExecutionsFailed", Count, STATE_MACHINE, Aws, "nightly runs that failed, all their tries";
    ExecutionsTimedOut: STEP_FUNCTIONS, "ExecutionsTimedOut", Count, STATE_MACHINE, Aws, "nightly runs that took too long";
}

impl Metric {
    /// The name in CloudWatch.
    pub const fn name(self) -> &'static str {
        self.definition().name
    }

    /// The unit in CloudWatch.
    pub const fn unit(self) -> Unit {
        self.definition().unit
    }
}
