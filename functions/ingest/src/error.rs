//! What can go wrong with a batch as a whole. All of it is answered the same way, by handing the rest of the batch
//! back to Lambda; the kinds are for the log.

/// An error and its causes in one line, without the debug form that the SDK's own display of it appends.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    let mut causes: Vec<String> = chain.map(ToString::to_string).collect();
    causes.dedup();
    causes.join(": ")
}

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

/// Why a batch, or the rest of it, was not committed.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// The lake did not do what it was asked.
    #[error(transparent)]
    Lake(#[from] LakeError),
    /// Not enough time is left for another request.
    #[error("the deadline is too near for another request to the lake")]
    Deadline,
    /// Every round met a conflict or an answer that says nothing.
    #[error("{key} could not be created in {rounds} rounds: {last}")]
    NotCreated {
        /// The key.
        key: String,
        /// Rounds tried.
        rounds: u32,
        /// How the last round ended.
        last: String,
    },
    /// An object under the name of a row object that cannot be read as one. Going on could write its rows twice.
    #[error("{key} cannot be read back: {cause}")]
    Unreadable {
        /// The key.
        key: String,
        /// What is wrong with it.
        cause: String,
    },
    /// The Parquet writer failed; input cannot make it.
    #[error("encoding failed: {0}")]
    Encode(String),
}
