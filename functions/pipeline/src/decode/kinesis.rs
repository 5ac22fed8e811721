//! The envelope of Lambda's event source for Kinesis → records.
//!
//! "Using Lambda to process records from Amazon Kinesis Data Streams", example event
//! (<https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>).

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use sonic_rs::LazyValue;

use super::aggregate;
use super::compression::Inflater;
use super::skeleton::{Skeleton, plain, plain_decimal};
use super::{Batch, Entry, EnvelopeError, PartitionKey, Payload};
use super::{arrival, bad_field, from_json};
use crate::layout;

#[derive(Deserialize)]
struct KinesisEvent<'e> {
    #[serde(rename = "Records", borrow)]
    records: Vec<KinesisEventRecord<'e>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KinesisEventRecord<'e> {
    #[serde(borrow)]
    kinesis: KinesisRecord<'e>,
    #[serde(rename = "eventID")]
    event_id: &'e str,
    #[serde(rename = "eventSourceARN")]
    event_source_arn: &'e str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KinesisRecord<'e> {
    #[serde(borrow)]
    partition_key: Cow<'e, str>,
    sequence_number: &'e str,
    #[serde(borrow)]
    data: Cow<'e, str>,
    #[serde(borrow)]
    approximate_arrival_timestamp: LazyValue<'e>,
}

/// What of a record is read.
#[derive(Debug)]
struct Fields<'e> {
    partition_key: Cow<'e, str>,
    sequence_number: &'e str,
    /// In base64.
    data: Cow<'e, [u8]>,
    approximate_arrival_timestamp: Cow<'e, str>,
    event_id: &'e str,
    event_source_arn: &'e str,
}

impl<'e> Fields<'e> {
    fn of(record: KinesisEventRecord<'e>) -> Self {
        let KinesisEventRecord {
            kinesis,
            event_id,
            event_source_arn,
        } = record;
        let timestamp = kinesis.approximate_arrival_timestamp.as_raw_str();
        Self {
            approximate_arrival_timestamp: Cow::Owned(timestamp.to_owned()),
            partition_key: kinesis.partition_key,
            sequence_number: kinesis.sequence_number,
            data: match kinesis.data {
                Cow::Borrowed(data) => data.as_bytes().into(),
                Cow::Owned(data) => data.into_bytes().into(),
            },
            event_id,
            event_source_arn,
        }
    }

    /// Stream and shard.
    fn source(&self, index: usize) -> Result<(&'e str, &'e str), EnvelopeError> {
        let shard = shard_of_event_id(self.event_id).ok_or_else(|| {
            let form = "<shard id>:<sequence number>";
            bad_field(index, "eventID", self.event_id, form)
        })?;
        let stream = stream_of_arn(self.event_source_arn).ok_or_else(|| {
            let form = "arn:…:stream/<name>";
            bad_field(index, "eventSourceARN", self.event_source_arn, form)
        })?;
        Ok((stream, shard))
    }

    /// Position, and time stamp in milliseconds since the Unix epoch.
    fn place(&self, index: usize) -> Result<(&'e str, i64), EnvelopeError> {
        if !is_sequence_number(self.sequence_number) {
            let form = "1 to 56 decimal digits";
            return Err(bad_field(
                index,
                "sequenceNumber",
                self.sequence_number,
                form,
            ));
        }
        let timestamp = &self.approximate_arrival_timestamp;
        let timestamp_ms = milliseconds(timestamp).ok_or_else(|| {
            let form = "seconds since 1970";
            bad_field(index, "approximateArrivalTimestamp", timestamp, form)
        })?;
        Ok((self.sequence_number, timestamp_ms))
    }
}

/// Takes a Lambda Kinesis event apart.
///
/// # Errors
/// [`EnvelopeError`] when the event is not one that Lambda makes.
pub fn kinesis(event: &[u8]) -> Result<Batch<'_>, EnvelopeError> {
    alike(event).map_or_else(|| carefully(event), Ok)
}

/// Takes for granted nothing about how Lambda writes its events.
fn carefully(event: &[u8]) -> Result<Batch<'_>, EnvelopeError> {
    let KinesisEvent { records } = from_json(event).map_err(EnvelopeError::NotKinesis)?;
    let data_bytes = records.iter().map(|record| record.kinesis.data.len()).sum();
    batch(
        records.len(),
        data_bytes,
        records.into_iter().map(Fields::of),
    )
}

/// An event in which the records are alike, read in one pass: three times as fast as a parser. `None` where they are not,
/// and where something is wrong with one.
fn alike(event: &[u8]) -> Option<Batch<'_>> {
    let list = event.strip_prefix(br#"{"Records":"#)?;
    let first = sonic_rs::to_array_iter(list).next()?.ok()?;
    let list = list.strip_prefix(b"[")?;
    let first = std::str::from_utf8(list.get(..first.as_raw_str().len())?).ok()?;
    let first_record: KinesisEventRecord = sonic_rs::from_str(first).ok()?;
    let KinesisRecord {
        partition_key: Cow::Borrowed(partition_key),
        sequence_number,
        data: Cow::Borrowed(data),
        approximate_arrival_timestamp,
    } = &first_record.kinesis
    else {
        return None;
    };
    let timestamp = approximate_arrival_timestamp.as_raw_str();
    let KinesisEventRecord {
        event_id,
        event_source_arn,
        ..
    } = first_record;
    let fields = [*partition_key, sequence_number, data, timestamp, event_id];
    let mut alike = Alike {
        skeleton: Skeleton::of(first, fields)?,
        event_source_arn,
        rest: list,
        is_at_end: false,
    };
    // Memory that is reserved and not written to is not taken.
    let batch = batch(event.len() / first.len() + 1, event.len(), &mut alike).ok()?;
    alike.is_at_end.then_some(batch)
}

/// The records of an event, as long as they are alike.
struct Alike<'e> {
    skeleton: Skeleton<'e, 5>,
    event_source_arn: &'e str,
    rest: &'e [u8],
    is_at_end: bool,
}

impl<'e> Iterator for Alike<'e> {
    type Item = Fields<'e>;

    fn next(&mut self) -> Option<Fields<'e>> {
        if self.is_at_end {
            return None;
        }
        let (fields, after) = self.skeleton.fields(self.rest)?;
        let [partition_key, sequence_number, data, timestamp, event_id] = fields;
        let record = Fields {
            partition_key: plain(partition_key)?.into(),
            sequence_number: plain(sequence_number)?,
            data: data.into(),
            approximate_arrival_timestamp: plain_decimal(timestamp)?.into(),
            event_id: plain(event_id)?,
            event_source_arn: self.event_source_arn,
        };
        match after {
            [b',', next @ ..] => self.rest = next,
            b"]}" => self.is_at_end = true,
            _ => return None,
        }
        Some(record)
    }
}

/// `data_bytes`: at most so many, in base64.
fn batch<'e>(
    expected_records: usize,
    data_bytes: usize,
    records: impl Iterator<Item = Fields<'e>>,
) -> Result<Batch<'e>, EnvelopeError> {
    let mut batch = Batch::with_capacity(
        layout::KINESIS_POSITION_DIGITS,
        expected_records,
        data_bytes / 4 * 3 + 3,
    );
    let mut inflater = Inflater::default();
    let mut arn = None;
    for (index, record) in records.enumerate() {
        // Each record repeats where it is from, and comparing is cheaper than taking the names out again.
        if arn != Some(record.event_source_arn) || !is_of_shard(record.event_id, &batch.shard) {
            let (stream, shard) = record.source(index)?;
            if index == 0 {
                stream.clone_into(&mut batch.stream);
                shard.clone_into(&mut batch.shard);
            } else if (stream, shard) != (&batch.stream, &batch.shard) {
                return Err(EnvelopeError::MixedShards {
                    index,
                    shard: format!("{stream}/{shard}"),
                    expected: format!("{}/{}", batch.stream, batch.shard),
                });
            }
            arn = Some(record.event_source_arn);
        }
        let (position, timestamp_ms) = record.place(index)?;
        let (arrival_ms, payload) = arrival(timestamp_ms);
        let start = batch.sent.len();
        base64_simd::STANDARD
            .decode_append(&record.data, &mut batch.sent)
            .map_err(|_| {
                let data = String::from_utf8_lossy(&record.data);
                bad_field(index, "data", &data, "base64")
            })?;
        let record = Entry {
            position,
            sub_sequence_number: None,
            partition_key: PartitionKey::OfEnvelope(record.partition_key),
            arrival_ms,
            sent: start..batch.sent.len(),
            payload,
        };
        let is_rejected = matches!(record.payload, Payload::Rejected(_));
        if !is_rejected && batch.sent[start..].starts_with(&aggregate::MAGIC) {
            push_aggregate(&mut batch, record, &mut inflater);
        } else {
            batch.push(record, &mut inflater);
        }
    }
    Ok(batch)
}

/// Adds the user records of an aggregate; the aggregate itself, rejected, if it is corrupt.
fn push_aggregate<'e>(batch: &mut Batch<'e>, aggregate: Entry<'e>, inflater: &mut Inflater) {
    let start = aggregate.sent.start;
    let in_batch = |part: Range<usize>| start + part.start..start + part.end;
    match aggregate::user_records(&batch.sent[aggregate.sent.clone()]) {
        Ok(user_records) => {
            for (number, user_record) in (0..).zip(user_records) {
                let record = Entry {
                    sub_sequence_number: Some(number),
                    partition_key: PartitionKey::OfAggregate(in_batch(user_record.partition_key)),
                    sent: in_batch(user_record.data),
                    payload: Payload::AsSent,
                    ..aggregate
                };
                batch.push(record, inflater);
            }
        }
        Err(rejected) => batch.records.push(Entry {
            payload: Payload::Rejected(Box::new(rejected)),
            ..aggregate
        }),
    }
}

/// `arn:aws:kinesis:<region>:<account>:stream/<name>`, with `/consumer/…` after it for enhanced fan-out.
fn stream_of_arn(arn: &str) -> Option<&str> {
    let (_, resource) = arn.split_once(":stream/")?;
    resource.split('/').next().filter(|name| !name.is_empty())
}

fn shard_of_event_id(event_id: &str) -> Option<&str> {
    let (shard, _) = event_id.split_once(':')?;
    Some(shard).filter(|shard| !shard.is_empty())
}

fn is_of_shard(event_id: &str, shard: &str) -> bool {
    event_id
        .strip_prefix(shard)
        .is_some_and(|rest| rest.starts_with(':'))
}

fn is_sequence_number(text: &str) -> bool {
    (1..=layout::KINESIS_POSITION_DIGITS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Seconds with a decimal fraction, as JSON text, to whole milliseconds, without a detour over binary fractions; those
/// that no time stamp can have saturate.
///
/// `aws_lambda_events` 1.2.1 reads the fraction as a count of milliseconds (`.5` → 5 ms), which is why it is not
/// used here.
fn milliseconds(text: &str) -> Option<i64> {
    let is_decimal = |byte: u8| byte.is_ascii_digit() || byte == b'.';
    if text.bytes().all(is_decimal) {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        if seconds.is_empty() || fraction.contains('.') {
            return None;
        }
        let digit = |place: usize| {
            let digit = fraction.as_bytes().get(place);
            digit.map_or(0, |digit| i64::from(digit - b'0'))
        };
        let fraction_ms = digit(0) * 100 + digit(1) * 10 + digit(2);
        let seconds = seconds.parse::<i64>().unwrap_or(i64::MAX);
        return Some(seconds.saturating_mul(1000).saturating_add(fraction_ms));
    }
    // Java prints large doubles with an exponent: 1.545084650987E9.
    let seconds: f64 = text.parse().ok()?;
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a float too large saturates and fails the bound"
    )]
    let ms = (seconds * 1000.0).round() as i64;
    Some(ms)
}

#[cfg(test)]
#[path = "kinesis_tests.rs"]
mod tests;
