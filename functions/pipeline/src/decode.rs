//! Envelope and payload bytes → records: what Lambda hands over, taken apart with one allocation for all bytes sent.
//!
//! A record of the broker can hold several user records (a KPL aggregate), and a payload can be compressed. Both are
//! undone here; what cannot be is a record with a reason, like one that breaks a rule of the contract. Nothing is
//! undone twice: what an aggregate or a compressed payload holds is an event or it is rejected.

mod aggregate;
mod compression;
mod kafka;
mod kinesis;
mod skeleton;

use std::borrow::Cow;
use std::ops::Range;

use events::Reason;
use serde::Deserialize;

pub use compression::{MAX_INFLATED_BYTES, MAX_INFLATION};
pub use kafka::kafka;
pub use kinesis::kinesis;

use crate::layout;
use crate::parse::Rejected;
use compression::{Compression, Inflater};

/// Records of one invocation, all of one stream and one shard, in the order in which the broker has them. A Kinesis
/// event is one batch, a Kafka event one for each of its partitions.
#[derive(Debug)]
pub struct Batch<'e> {
    /// Name of the stream or topic; empty when the batch is.
    pub stream: String,
    /// Shard id (Kinesis) or partition number (Kafka); empty when the batch is.
    pub shard: String,
    /// How many digits a position has in an object's name (see [`crate::layout`]).
    pub position_digits: usize,
    records: Vec<Entry<'e>>,
    /// What the producers sent, record after record.
    sent: Vec<u8>,
    /// The contents of the compressed payloads among it.
    inflated: Vec<u8>,
    /// Partition keys that the envelope does not have as text.
    keys: String,
}

#[derive(Debug)]
struct Entry<'e> {
    position: &'e str,
    sub_sequence_number: Option<u32>,
    partition_key: PartitionKey<'e>,
    arrival_ms: i64,
    /// Where it lies in [`Batch::sent`].
    sent: Range<usize>,
    payload: Payload,
}

#[derive(Debug)]
enum PartitionKey<'e> {
    OfEnvelope(Cow<'e, str>),
    /// Where it lies in [`Batch::sent`]; known to be UTF-8.
    OfAggregate(Range<usize>),
    /// Where it lies in [`Batch::keys`].
    Kept(Range<usize>),
}

#[derive(Debug)]
enum Payload {
    AsSent,
    /// Where it lies in [`Batch::inflated`].
    Inflated(Range<usize>),
    Rejected(Box<Rejected>),
}

/// One record, borrowed from its [`Batch`]: a user record where a record of the broker is an aggregate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'b> {
    /// Kinesis sequence number or Kafka offset: decimal text without padding. The user records of an aggregate share
    /// it, and their arrival.
    pub position: &'b str,
    /// The index of a user record in its aggregate, from 0; `None` outside of aggregates. The KCL's term.
    pub sub_sequence_number: Option<u32>,
    /// The key by which the producer chose the shard; what of it is not UTF-8 is replaced.
    pub partition_key: &'b str,
    /// The broker's own time stamp, in milliseconds since the Unix epoch.
    pub arrival_ms: i64,
    /// The bytes as the producer sent them.
    pub sent: &'b [u8],
    /// What is to be parsed: `sent`, inflated if it is compressed; or why there is nothing to parse.
    pub payload: Result<&'b [u8], &'b Rejected>,
}

/// An invocation that is not what the event source documents. No record of it can be told apart, so the whole
/// invocation fails.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not the JSON of a Kinesis event.
    #[error("the event is not a Kinesis batch: {0}")]
    NotKinesis(String),
    /// Not the JSON of a Kafka event.
    #[error("the event is not a Kafka batch: {0}")]
    NotKafka(String),
    /// Something is wrong with the records of a partition.
    #[error("{partition}: {error}")]
    Partition {
        /// `<topic>-<partition>`, as the event names it.
        partition: String,
        /// What is wrong.
        error: Box<EnvelopeError>,
    },
    /// A field of a record breaks its form.
    #[error("record {index}: {field} is {value:?}, expected {expected}")]
    Field {
        /// Index in the list of records, from 0.
        index: usize,
        /// The field's name in the envelope.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// Positions of one shard mean nothing in another.
    #[error("record {index} is of shard {shard}, the batch is of {expected}")]
    MixedShards {
        /// Index in the list of records, from 0.
        index: usize,
        /// The shard (or stream) of that record.
        shard: String,
        /// The shard (or stream) of the first record.
        expected: String,
    },
}

impl<'e> Batch<'e> {
    /// An empty one, with room for `records` records of `bytes` bytes together.
    fn with_capacity(position_digits: usize, records: usize, bytes: usize) -> Self {
        Self {
            stream: String::new(),
            shard: String::new(),
            position_digits,
            records: Vec::with_capacity(records),
            sent: Vec::with_capacity(bytes),
            inflated: Vec::new(),
            keys: String::new(),
        }
    }

    fn keep_key(&mut self, key: &str) -> Range<usize> {
        let start = self.keys.len();
        self.keys.push_str(key);
        start..self.keys.len()
    }

    /// How many records there are; a user record counts as one.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Bytes of all records together, as they were sent.
    pub fn payload_bytes(&self) -> usize {
        self.sent.len()
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Batch::len`].
    pub fn record(&self, index: usize) -> Record<'_> {
        let entry = &self.records[index];
        let sent = &self.sent[entry.sent.clone()];
        Record {
            position: entry.position,
            sub_sequence_number: entry.sub_sequence_number,
            partition_key: match &entry.partition_key {
                PartitionKey::OfEnvelope(key) => key,
                PartitionKey::OfAggregate(key) => {
                    std::str::from_utf8(&self.sent[key.clone()]).unwrap_or_default()
                }
                PartitionKey::Kept(key) => &self.keys[key.clone()],
            },
            arrival_ms: entry.arrival_ms,
            sent,
            payload: match &entry.payload {
                Payload::AsSent => Ok(sent),
                Payload::Inflated(payload) => Ok(&self.inflated[payload.clone()]),
                Payload::Rejected(rejected) => Err(rejected),
            },
        }
    }

    /// The records in the broker's order, user records in their aggregate's.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }

    /// Adds a record that is not an aggregate; its payload is inflated if it is compressed.
    fn push(&mut self, mut record: Entry<'e>, inflater: &mut Inflater) {
        if matches!(record.payload, Payload::Rejected(_)) {
            self.records.push(record);
            return;
        }
        let sent = &self.sent[record.sent.clone()];
        if let Some(compression) = Compression::of(sent) {
            record.payload = match inflater.inflate(compression, sent) {
                Ok(payload) => {
                    let start = self.inflated.len();
                    self.inflated.extend_from_slice(payload);
                    Payload::Inflated(start..self.inflated.len())
                }
                Err(rejected) => Payload::Rejected(Box::new(rejected)),
            };
        }
        self.records.push(record);
    }
}

/// The arrival of a record, and its payload before it is looked at: rejected if no name can hold that arrival, which is
/// then the nearest one that a name can hold.
fn arrival(arrival_ms: i64) -> (i64, Payload) {
    if layout::ARRIVALS.contains(&arrival_ms) {
        return (arrival_ms, Payload::AsSent);
    }
    let rejected = Rejected::new(
        Reason::ArrivalOutOfRange,
        format!(
            "the record's time stamp is {arrival_ms} ms since 1970, allowed is {} to {}",
            layout::ARRIVALS.start(),
            layout::ARRIVALS.end()
        ),
    );
    let nearest = arrival_ms.clamp(*layout::ARRIVALS.start(), *layout::ARRIVALS.end());
    (nearest, Payload::Rejected(Box::new(rejected)))
}

fn bad_field(
    index: usize,
    field: &'static str,
    value: &str,
    expected: &'static str,
) -> EnvelopeError {
    EnvelopeError::Field {
        index,
        field,
        value: value.chars().take(80).collect(),
        expected,
    }
}

/// Reads an envelope. As text, because sonic-rs takes the strings of a value that it skips for UTF-8 unseen.
fn from_json<'e, T: Deserialize<'e>>(event: &'e [u8]) -> Result<T, String> {
    let text = std::str::from_utf8(event).map_err(|error| error.to_string())?;
    sonic_rs::from_str(text).map_err(|error| first_line(&error))
}

/// sonic-rs appends an excerpt of the input to its messages; payloads do not belong into logs.
fn first_line(error: &sonic_rs::Error) -> String {
    error
        .to_string()
        .lines()
        .next()
        .unwrap_or_default()
        .to_owned()
}
