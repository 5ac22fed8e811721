//! A record of a shard, as far as batching needs to know it.

use std::sync::Arc;

use bytes::Bytes;

use crate::mapping::position::{Millis, Position};

/// One record of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its position; ascending within a shard.
    pub sequence_number: Position,
    /// Records with equal keys keep their order, whatever the parallelization factor.
    pub partition_key: Arc<str>,
    /// The payload as the producer put it.
    pub data: Bytes,
    /// The broker's own timestamp.
    pub arrival: Millis,
    /// Bytes that the record takes in the invocation payload, with its comma (see [`super::envelope::Envelope::record_bytes`]).
    pub payload_bytes: usize,
}

impl AsRef<Position> for Record {
    fn as_ref(&self) -> &Position {
        &self.sequence_number
    }
}
