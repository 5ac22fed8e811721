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
    /// The window knows the ids of its last objects only, as if it had too little memory for the others.
    WindowForgets,
    /// Objects are named by the batch's bounds instead of by their place in the cell's log.
    BoundsNamedKey,
    /// Objects are named by their first row.
    FirstRowNamedKey,
    /// The window of a child shard holds nothing of its parents.
    NoAncestors,
    /// The window of a child shard holds nothing of parents that the stream lists no more.
    OnlyListedAncestors,
    /// Rejected records are stored after the rows are committed.
    QuarantineAfterCommit,
    /// Rejected records are stored under a name that other ones may have, and take their place.
    QuarantineOverwritten,
    /// Nobody notices that an object has no rollup.
    NoRepair,
    /// Of a Kafka event with several partitions, the first is answered as done, whatever became of it.
    FailureAsSuccess,
    /// The function answers partially to a mapping that does not read that.
    AnswersIgnored,
    /// An arrival that no name can hold fails the invocation.
    NeverFails,
    /// The cells of a batch are carried one after the other in the order of the time grid, each on its own.
    CellsInGridOrder,
    /// One listing at a time.
    ListsOneByOne,
    /// Metrics are published for as long as CloudWatch likes.
    LateMetrics,
}
