//! What can go wrong with a batch as a whole. All of it is answered the same way, by handing the rest of the batch
//! back to Lambda; the kinds are for the log.

/// A request to the lake that failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation} {key}: {cause}")]
pub struct LakeError {
    /// The S3 operation.
    pub operation: &'static str,
    /// Key or prefix, with the bucket.
    pub key: String,
    /// Error code and message.
    pub cause: String,
}

/// The family of a shard could not be asked for.
#[derive(Debug, thiserror::Error)]
#[error("ListShards {stream}: {cause}")]
pub struct LineageError {
    /// The stream.
    pub stream: String,
    /// Error code and message.
    pub cause: String,
}

/// Why a batch, or the rest of it, was not committed.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The lake did not do what it was asked.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// The stream did not say from which shards the batch's came, so that the window is not known.
    #[error(transparent)]
    Lineage(#[from] LineageError),
    /// Not enough time is left for another request.
    #[error("the deadline is too near for another request to the lake")]
    Deadline,
    /// Every create met a name that was taken, or an answer that says nothing.
    #[error(
        "{key} could not be created: {taken} times the name was taken, {uncertain} times nobody could say"
    )]
    NotCreated {
        /// The key that was tried last.
        key: String,
        /// How often another delivery had committed under the name.
        taken: u32,
        /// How often there was no answer, or one that says nothing.
        uncertain: u32,
    },
    /// An object under the name of a row object that cannot be read as one. Going on could write its rows twice.
    #[error("{key} cannot be read back: {cause}")]
    Unreadable {
        /// The key.
        key: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The window does not fit into the function's memory. Going on would end the process, again and again.
    #[error(
        "the window of shard {shard} holds {ids} ids, which is all that {budget_mb} MB allow: raise the function's memory or lower TRIBUTARY_HORIZON_MINUTES"
    )]
    WindowTooLarge {
        /// The shard.
        shard: String,
        /// Ids held, over all windows of the environment.
        ids: u64,
        /// Megabytes (2^20 bytes) that windows may take.
        budget_mb: u64,
    },
    /// Rejected records could not be put into quarantine, so that their cell's rows were not committed either.
    #[error("{key} could not be created: {uncertain} times nobody could say")]
    NotQuarantined {
        /// The key.
        key: String,
        /// How often there was no answer, or one that says nothing.
        uncertain: u32,
    },
    /// A row object has no rollup beside it, and none could be made.
    #[error("{key} is missing and could not be created")]
    NoRollup {
        /// The rollup's key.
        key: String,
    },
    /// The Parquet writer failed; input cannot make it.
    #[error("encoding failed: {0}")]
    Encode(String),
}
