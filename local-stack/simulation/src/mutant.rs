//! Ways to break the protocol on purpose. The simulation proves its worth by catching each.

/// One broken part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Nothing is broken.
    None,
    /// The create replaces what is there.
    Overwrite,
    /// The ids of the objects in the window are never read.
    EmptyWindow,
    /// Objects are named by the batch's bounds instead of by their place in the cell's log.
    BoundsNamedKey,
    /// Objects are named by their first row.
    FirstRowNamedKey,
    /// The window of a child shard holds nothing of its parents.
    NoAncestors,
    /// Rejected records are stored after the rows are committed.
    QuarantineAfterCommit,
    /// Nobody notices that an object has no rollup.
    NoRepair,
    /// Of a Kafka event with several partitions, the first is answered as done, whatever became of it.
    FailureAsSuccess,
}
