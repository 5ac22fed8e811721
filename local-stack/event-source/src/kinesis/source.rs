//! An event source of a stream, and how its batches are delivered.

use std::sync::Arc;

use super::answer::{self, Answer};
use super::envelope::Envelope;
use super::given_up::Batch;
use super::reader::Stream;
use super::record::Record;
use crate::mapping::delivery::{self, Delivery};
use crate::mapping::given_up::BatchInfo;
use crate::mapping::position::{Millis, Position};

/// Everything that the shards' tasks share.
#[derive(Debug)]
pub struct EventSource {
    /// What is read.
    pub stream: Stream,
    /// What is invoked, and how.
    pub delivery: Arc<Delivery>,
    /// Such as `us-east-1`.
    pub region: String,
    /// Printed as `invokeIdentityArn`.
    pub role_arn: String,
}

/// One shard of an event source.
#[derive(Debug)]
pub(super) struct ShardSource {
    pub(super) source: Arc<EventSource>,
    pub(super) id: String,
    pub(super) envelope: Envelope,
}

impl delivery::Source for ShardSource {
    type Record = Record;
    type Partial = Position;

    fn of(&self) -> &str {
        &self.id
    }

    fn payload(&self, records: &[Record]) -> Vec<u8> {
        self.envelope.payload(records)
    }

    fn read(&self, body: &[u8], records: &[Record]) -> Answer {
        let report = self.source.delivery.mapping.report_batch_item_failures;
        answer::read(body, report, records)
    }

    fn is_left(&self, from: &Position, record: &Record) -> bool {
        record.sequence_number >= *from
    }

    fn first_left(from: &Position) -> String {
        from.to_string()
    }

    fn place(record: &Record) -> String {
        record.sequence_number.to_string()
    }

    fn iterator_age(records: &[Record], now: Millis) -> Option<Millis> {
        records.last().map(|last| now - last.arrival)
    }

    fn batch_info<'a>(&'a self, records: &'a [Record], _: usize) -> impl BatchInfo + Sync {
        Batch {
            stream_arn: &self.source.stream.arn,
            shard: &self.id,
            records,
        }
    }
}
