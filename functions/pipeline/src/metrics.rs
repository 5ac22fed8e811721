//! The one list of metric names and units. Namespace, dimensions and meaning are documented in the README.

/// The CloudWatch namespace.
pub const NAMESPACE: &str = "Tributary";

/// CloudWatch units, as far as they are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
    /// Milliseconds.
    Milliseconds,
}

/// Every metric that the functions publish.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Metric {
    /// Records delivered, redeliveries included.
    RecordsReceived,
    /// Rows committed.
    RowsWritten,
    /// Rows left out because their event id was committed or came before.
    DuplicatesDropped,
    /// Rows dropped on purpose.
    Filtered,
    /// Records put into quarantine; also by reason.
    Rejected,
    /// Payload bytes delivered.
    BytesReceived,
    /// Bytes of the objects committed.
    BytesWritten,
    /// Invocations that handed records back to Lambda.
    BatchFailures,
    /// Invocations that found every acceptable row committed already.
    Redeliveries,
    /// Creates that found an object of their name (HTTP 412).
    CommitConflicts,
    /// First invocations of an execution environment.
    ColdStarts,
    /// From the start of the invocation to its answer.
    BatchDuration,
    /// Now minus the arrival of the last record committed; per shard.
    Lag,
}

impl Metric {
    /// The name in CloudWatch.
    pub fn name(self) -> &'static str {
        match self {
            Self::RecordsReceived => "RecordsReceived",
            Self::RowsWritten => "RowsWritten",
            Self::DuplicatesDropped => "DuplicatesDropped",
            Self::Filtered => "Filtered",
            Self::Rejected => "Rejected",
            Self::BytesReceived => "BytesReceived",
            Self::BytesWritten => "BytesWritten",
            Self::BatchFailures => "BatchFailures",
            Self::Redeliveries => "Redeliveries",
            Self::CommitConflicts => "CommitConflicts",
            Self::ColdStarts => "ColdStarts",
            Self::BatchDuration => "BatchDuration",
            Self::Lag => "Lag",
        }
    }

    /// The unit in CloudWatch.
    pub fn unit(self) -> Unit {
        match self {
            Self::BytesReceived | Self::BytesWritten => Unit::Bytes,
            Self::BatchDuration | Self::Lag => Unit::Milliseconds,
            _ => Unit::Count,
        }
    }
}
