//! KPL aggregates: the user records that the Kinesis Producer Library packed into one Kinesis record.
//!
//! Format: "KPL Aggregated Record Format"
//! (<https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>), a magic number, a message
//! of Protocol Buffers (<https://protobuf.dev/programming-guides/encoding/>) and its MD5.
//!
//! The message is read in place, for two things that generated decoders do not do: a field that is required but not
//! there is noticed, and records are counted before there is memory for them (a megabyte has room for 500,000).
//!
//! User records are not held against the shard's range of hash keys. The KCL does that, and drops those that a reshard
//! or a plain aggregator has put beside their shard: lost, if the producer does not send them again
//! (<https://github.com/awslabs/kinesis-aggregation/blob/master/potential_data_loss.md>). Lambda does not tell the
//! range, and AWS's de-aggregation modules for it keep every record as well.

use std::ops::Range;

use events::Reason;
use md5::{Digest, Md5};

use crate::parse::Rejected;

/// The first bytes of an aggregate. They are not UTF-8, so no event is mistaken for one.
pub(super) const MAGIC: [u8; 4] = [0xF3, 0x89, 0x9A, 0xC2];

const CHECKSUM_BYTES: usize = 16;

/// An aggregate has at most one user record, and one partition key, per so many of its bytes: an event takes about 100,
/// compressed too. Each costs some hundred bytes of memory and, rejected, of quarantine; without a bound, a few
/// megabytes of records of two bytes would end the function, again and again, and block the shard.
const MIN_BYTES_PER_USER_RECORD: usize = 32;

/// As many user records are allowed in the smallest aggregate.
const FEW_USER_RECORDS: usize = 16;

/// Kinesis allows 256 characters
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_PutRecordsRequestEntry.html>). All user records may
/// share one key, and each rejected one repeats it in quarantine.
const MAX_PARTITION_KEY_BYTES: usize = 256 * 4;

/// Where the parts of a user record lie in its aggregate.
pub(super) struct UserRecord {
    /// In UTF-8.
    pub(super) partition_key: Range<usize>,
    pub(super) data: Range<usize>,
}

/// The user records of an aggregate, in their order; at least one.
///
/// # Errors
/// [`Reason::CorruptAggregate`], for the aggregate as a whole: behind a broken checksum no part can be trusted.
pub(super) fn user_records(aggregate: &[u8]) -> Result<Vec<UserRecord>, Rejected> {
    let end = aggregate
        .len()
        .checked_sub(CHECKSUM_BYTES)
        .filter(|end| *end >= MAGIC.len())
        .ok_or_else(|| corrupt("the aggregate is shorter than its checksum"))?;
    let message = MAGIC.len()..end;
    if Md5::digest(&aggregate[message.clone()])[..] != aggregate[end..] {
        return Err(corrupt("the aggregate's MD5 checksum does not match"));
    }
    let most = (aggregate.len() / MIN_BYTES_PER_USER_RECORD).max(FEW_USER_RECORDS);
    let (mut partition_keys, mut records) = (Vec::new(), Vec::new());
    for field in Fields::new(aggregate, message) {
        let (list, element) = match field? {
            (1, Value::Bytes(key)) if is_partition_key(&aggregate[key.clone()]) => {
                (&mut partition_keys, key)
            }
            (3, Value::Bytes(record)) => (&mut records, record),
            (1 | 3, _) => return Err(not_a_message()),
            _ => continue,
        };
        if list.len() == most {
            let bytes = aggregate.len();
            let rule = format!("at most {most} are allowed in {bytes} bytes");
            return Err(corrupt(format!(
                "the aggregate has over {most} user records or partition keys, {rule}"
            )));
        }
        list.push(element);
    }
    if records.is_empty() {
        return Err(corrupt("the aggregate has no user record"));
    }
    records
        .into_iter()
        .map(|record| user_record(aggregate, record, &partition_keys))
        .collect()
}

fn user_record(
    aggregate: &[u8],
    record: Range<usize>,
    partition_keys: &[Range<usize>],
) -> Result<UserRecord, Rejected> {
    let (mut key_index, mut data) = (None, None);
    for field in Fields::new(aggregate, record) {
        match field? {
            (1, Value::Varint(index)) => key_index = Some(index),
            (3, Value::Bytes(bytes)) => data = Some(bytes),
            (1 | 3, _) => return Err(not_a_message()),
            _ => {}
        }
    }
    let (Some(key_index), Some(data)) = (key_index, data) else {
        return Err(corrupt(
            "a user record has no partition key index or no data",
        ));
    };
    let partition_key = usize::try_from(key_index)
        .ok()
        .and_then(|index| partition_keys.get(index))
        .ok_or_else(|| {
            let keys = partition_keys.len();
            corrupt(format!(
                "a user record has partition key {key_index} of a table of {keys}"
            ))
        })?;
    Ok(UserRecord {
        partition_key: partition_key.clone(),
        data,
    })
}

fn is_partition_key(bytes: &[u8]) -> bool {
    bytes.len() <= MAX_PARTITION_KEY_BYTES && std::str::from_utf8(bytes).is_ok()
}

fn corrupt(detail: impl Into<String>) -> Rejected {
    Rejected::new(Reason::CorruptAggregate, detail)
}

fn not_a_message() -> Rejected {
    corrupt("the aggregate is not a protobuf AggregatedRecord")
}

/// The fields of a protobuf message, by number.
struct Fields<'a> {
    /// The aggregate up to the message's end.
    bytes: &'a [u8],
    at: usize,
}

enum Value {
    Varint(u64),
    /// Where the bytes lie in the aggregate.
    Bytes(Range<usize>),
    Fixed,
}

impl<'a> Fields<'a> {
    fn new(aggregate: &'a [u8], message: Range<usize>) -> Self {
        Self {
            bytes: &aggregate[..message.end],
            at: message.start,
        }
    }

    fn field(&mut self) -> Option<(u32, Value)> {
        let tag = u32::try_from(self.varint()?).ok()?;
        let (number, wire_type) = (tag >> 3, tag & 7);
        let value = match wire_type {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let length = self.varint()?;
                Value::Bytes(self.take(length)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups, which no version of the format has.
            _ => return None,
        };
        (number != 0).then_some((number, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = *self.bytes.get(self.at)?;
            self.at += 1;
            let bits = u64::from(byte & 0x7F);
            value |= bits << shift;
            if byte & 0x80 == 0 {
                // The tenth byte has room for one bit.
                return (value >> shift == bits).then_some(value);
            }
        }
        None
    }

    fn take(&mut self, length: u64) -> Option<Range<usize>> {
        let end = self.at.checked_add(usize::try_from(length).ok()?)?;
        (end <= self.bytes.len()).then(|| std::mem::replace(&mut self.at, end)..end)
    }
}

impl Iterator for Fields<'_> {
    type Item = Result<(u32, Value), Rejected>;

    fn next(&mut self) -> Option<Self::Item> {
        (self.at < self.bytes.len()).then(|| self.field().ok_or_else(not_a_message))
    }
}
