//! The envelope of Lambda's event source for Kafka (self-managed, which Redpanda is, and Amazon MSK) → records.
//!
//! "Using Lambda with self-managed Apache Kafka", example event
//! (<https://docs.aws.amazon.com/lambda/latest/dg/with-kafka.html>). An event spans partitions, and each becomes a
//! batch of its own: positions and checkpoints are a partition's.
//!
//! Arrival is the record's time stamp. The time grid needs it to be the same in every delivery, which it is. That
//! lateness and the rule of 24 hours measure against the broker's clock needs `message.timestamp.type=LogAppendTime`
//! on the topic: with `CreateTime` it is the producer's. Headers are not read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{MapAccess, Visitor};
use sonic_rs::LazyValue;

use super::compression::Inflater;
use super::{Batch, Entry, EnvelopeError, PartitionKey};
use super::{arrival, bad_field, from_json};
use crate::layout;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KafkaEvent<'e> {
    event_source: &'e str,
    #[serde(borrow)]
    records: Partitions<'e>,
}

/// The lists of records by `<topic>-<partition>`, in the order of the text: a map would keep one of two lists under
/// the same name and lose the other.
struct Partitions<'e>(Vec<(&'e str, Vec<KafkaRecord<'e>>)>);

#[derive(Deserialize)]
struct KafkaRecord<'e> {
    topic: &'e str,
    #[serde(borrow)]
    partition: LazyValue<'e>,
    #[serde(borrow)]
    offset: LazyValue<'e>,
    #[serde(borrow)]
    timestamp: LazyValue<'e>,
    #[serde(borrow, default)]
    key: Option<Cow<'e, str>>,
    #[serde(borrow, default)]
    value: Option<Cow<'e, str>>,
}

impl<'de: 'e, 'e> Deserialize<'de> for Partitions<'e> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(PartitionsVisitor(PhantomData))
    }
}

struct PartitionsVisitor<'e>(PhantomData<&'e ()>);

impl<'de: 'e, 'e> Visitor<'de> for PartitionsVisitor<'e> {
    type Value = Partitions<'e>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("lists of records by topic and partition")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut partitions = Vec::with_capacity(map.size_hint().unwrap_or_default().min(64));
        while let Some(partition) = map.next_entry()? {
            partitions.push(partition);
        }
        Ok(Partitions(partitions))
    }
}

/// Takes a Lambda Kafka event apart: a batch for each partition, by topic and partition number.
///
/// # Errors
/// [`EnvelopeError`] when the event is not one that Lambda makes.
pub fn kafka(event: &[u8]) -> Result<Vec<Batch<'_>>, EnvelopeError> {
    let event: KafkaEvent = from_json(event).map_err(EnvelopeError::NotKafka)?;
    if !["aws:kafka", "SelfManagedKafka"].contains(&event.event_source) {
        let source: String = event.event_source.chars().take(80).collect();
        return Err(EnvelopeError::NotKafka(format!(
            "eventSource is {source:?}, expected aws:kafka or SelfManagedKafka"
        )));
    }
    let mut inflater = Inflater::default();
    let mut batches = BTreeMap::new();
    for (name, records) in event.records.0 {
        let in_partition = |error| EnvelopeError::Partition {
            partition: name.chars().take(280).collect(),
            error: Box::new(error),
        };
        let Some((partition, batch)) =
            batch_of(name, records, &mut inflater).map_err(in_partition)?
        else {
            continue;
        };
        if batches
            .insert((batch.stream.clone(), partition), batch)
            .is_some()
        {
            return Err(in_partition(EnvelopeError::NotKafka(
                "the partition occurs twice".to_owned(),
            )));
        }
    }
    Ok(batches.into_values().collect())
}

/// The partition's number and its records; `None` of an empty list.
fn batch_of<'e>(
    name: &'e str,
    records: Vec<KafkaRecord<'e>>,
    inflater: &mut Inflater,
) -> Result<Option<(u32, Batch<'e>)>, EnvelopeError> {
    let Some(first) = records.first() else {
        return Ok(None);
    };
    let (topic, partition) = first.source(0)?;
    if name
        .strip_prefix(topic)
        .and_then(|rest| rest.strip_prefix('-'))
        != Some(partition)
    {
        return Err(first.of_other_partition(0, name));
    }
    let encoded_bytes: usize = records
        .iter()
        .filter_map(|record| Some(record.value.as_ref()?.len()))
        .sum();
    let mut batch = Batch::with_capacity(
        layout::KAFKA_POSITION_DIGITS,
        records.len(),
        encoded_bytes / 4 * 3 + 3,
    );
    topic.clone_into(&mut batch.stream);
    partition.clone_into(&mut batch.shard);
    let mut key = Vec::new();
    for (index, record) in records.into_iter().enumerate() {
        if record.topic != topic || record.partition.as_raw_str() != partition {
            return Err(record.of_other_partition(index, name));
        }
        let (position, timestamp_ms) = record.place(index)?;
        let (arrival_ms, payload) = arrival(timestamp_ms);
        key.clear();
        decode(index, "key", record.key.as_deref(), &mut key)?;
        let partition_key = batch.keep_key(&String::from_utf8_lossy(&key));
        let start = batch.sent.len();
        decode(index, "value", record.value.as_deref(), &mut batch.sent)?;
        let record = Entry {
            position,
            sub_sequence_number: None,
            partition_key: PartitionKey::Kept(partition_key),
            arrival_ms,
            sent: start..batch.sent.len(),
            payload,
        };
        batch.push(record, inflater);
    }
    // Checked above: it has no other form.
    Ok(Some((partition.parse().unwrap_or_default(), batch)))
}

/// Adds the bytes that a field stands for; none where it is null (a tombstone, or a record without a key).
fn decode(
    index: usize,
    field: &'static str,
    text: Option<&str>,
    bytes: &mut Vec<u8>,
) -> Result<(), EnvelopeError> {
    let text = text.unwrap_or_default();
    base64_simd::STANDARD
        .decode_append(text.as_bytes(), bytes)
        .map_err(|_| bad_field(index, field, text, "base64"))?;
    Ok(())
}

impl<'e> KafkaRecord<'e> {
    /// Topic and partition number, as text.
    fn source(&self, index: usize) -> Result<(&'e str, &'e str), EnvelopeError> {
        if !is_topic(self.topic) {
            let form = "1 to 249 of the characters a-z, A-Z, 0-9, '.', '_', '-'";
            return Err(bad_field(index, "topic", self.topic, form));
        }
        match self.partition.as_raw_cow() {
            Cow::Borrowed(partition) if is_number(partition, MAX_PARTITION) => {
                Ok((self.topic, partition))
            }
            other => {
                let form = "a whole number from 0 to 2147483647";
                Err(bad_field(index, "partition", &other, form))
            }
        }
    }

    /// Position, and time stamp in milliseconds since the Unix epoch.
    fn place(&self, index: usize) -> Result<(&'e str, i64), EnvelopeError> {
        let position = match self.offset.as_raw_cow() {
            Cow::Borrowed(offset) if is_number(offset, MAX_OFFSET) => offset,
            other => {
                let form = "a whole number from 0 to 9223372036854775807";
                return Err(bad_field(index, "offset", &other, form));
            }
        };
        let timestamp = self.timestamp.as_raw_str();
        let timestamp: i64 = timestamp.parse().map_err(|_| {
            let form = "milliseconds since 1970";
            bad_field(index, "timestamp", timestamp, form)
        })?;
        Ok((position, timestamp))
    }

    fn of_other_partition(&self, index: usize, expected: &str) -> EnvelopeError {
        let partition = self.partition.as_raw_str();
        EnvelopeError::MixedShards {
            index,
            shard: format!("{}-{partition}", self.topic)
                .chars()
                .take(280)
                .collect(),
            expected: expected.chars().take(280).collect(),
        }
    }
}

const MAX_PARTITION: u64 = i32::MAX as u64;
const MAX_OFFSET: u64 = i64::MAX as u64;

/// Decimal without sign, fraction, exponent or leading zeros.
fn is_number(text: &str, most: u64) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && (text == "0" || !text.starts_with('0'))
        && text.parse().is_ok_and(|number: u64| number <= most)
}

/// Kafka's own rule for names of topics; what passes it is safe in a key of the lake.
fn is_topic(name: &str) -> bool {
    (1..=249).contains(&name.len())
        && name != "."
        && name != ".."
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'))
}

#[cfg(test)]
#[path = "kafka_tests.rs"]
mod tests;
