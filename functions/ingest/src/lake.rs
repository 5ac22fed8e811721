//! What the handler needs of the object store, and no more: S3 in production, memory in tests.

mod memory;
mod s3;

use std::future::Future;

use bytes::Bytes;
use pipeline::commit::Created;
use pipeline::layout::KeyRange;

pub use self::memory::Memory;
pub use self::s3::S3;
use crate::error::LakeError;

/// A key and its size, as a listing has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// The key.
    pub key: String,
    /// Bytes.
    pub size: u64,
}

/// An object store with the guarantees of S3: reads and listings see every completed write, and a create makes the
/// object only where none has its key
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html>).
pub trait Lake {
    /// The keys of a range, sorted.
    fn list(&self, range: &KeyRange)
    -> impl Future<Output = Result<Vec<Listed>, LakeError>> + Send;

    /// The last `bytes` bytes of an object, or all of it if it is shorter; `None` if there is no such object.
    fn get_suffix(
        &self,
        key: &str,
        bytes: u64,
    ) -> impl Future<Output = Result<Option<Bytes>, LakeError>> + Send;

    /// Makes an object where none has its key; nothing is ever replaced.
    ///
    /// An error means that no object was made and that trying again is of no use (no such bucket, no permission).
    fn create(
        &self,
        key: &str,
        body: Bytes,
        metadata: &[(&'static str, String)],
    ) -> impl Future<Output = Result<Created, LakeError>> + Send;
}
