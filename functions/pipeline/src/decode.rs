//! Envelope and payload bytes → records: what Lambda hands over, taken apart with one allocation for all payloads.
//!
//! Envelope: "Using Lambda to process records from Amazon Kinesis Data Streams", example event
//! (<https://docs.aws.amazon.com/lambda/latest/dg/with-kinesis.html>).

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use sonic_rs::LazyValue;

/// The records of one invocation: all of one stream and one shard, in the order in which the broker has them.
#[derive(Debug)]
pub struct Batch<'e> {
    /// Name of the stream or topic; empty when the batch is.
    pub stream: String,
    /// Shard id (Kinesis) or partition number (Kafka); empty when the batch is.
    pub shard: String,
    /// How many digits a position has in an object's name (see [`crate::layout`]).
    pub position_digits: usize,
    records: Vec<Entry<'e>>,
    payloads: Vec<u8>,
}

#[derive(Debug)]
struct Entry<'e> {
    position: &'e str,
    partition_key: Cow<'e, str>,
    arrival_ms: i64,
    payload: Range<usize>,
}

/// One record, borrowed from its [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record<'b> {
    /// Kinesis sequence number or Kafka offset: decimal text without padding.
    pub position: &'b str,
    /// The key by which the producer chose the shard.
    pub partition_key: &'b str,
    /// The broker's own time stamp, in milliseconds since the Unix epoch.
    pub arrival_ms: i64,
    /// The payload as the producer sent it.
    pub payload: &'b [u8],
}

/// An invocation that is not what the event source documents. No record of it can be told apart, so the whole
/// invocation fails.
#[derive(Debug, PartialEq, thiserror::Error)]
pub enum EnvelopeError {
    /// Not the JSON of a Kinesis event.
    #[error("the event is not a Kinesis batch: {0}")]
    NotKinesis(String),
    /// A field of a record breaks its form.
    #[error("record {index}: {field} is {value:?}, expected {expected}")]
    Field {
        /// Index in `Records`, from 0.
        index: usize,
        /// The field's name in the envelope.
        field: &'static str,
        /// What it holds, shortened.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// Lambda delivers one shard per invocation, and the answer can name positions of one shard only.
    #[error("record {index} is of shard {shard}, the batch is of {expected}")]
    MixedShards {
        /// Index in `Records`, from 0.
        index: usize,
        /// The shard (or stream) of that record.
        shard: String,
        /// The shard (or stream) of the first record.
        expected: String,
    },
}

impl Batch<'_> {
    /// How many records there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is no record.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Payload bytes of all records together.
    pub fn payload_bytes(&self) -> usize {
        self.payloads.len()
    }

    /// The record at `index`.
    ///
    /// # Panics
    /// When `index` is not below [`Batch::len`].
    pub fn record(&self, index: usize) -> Record<'_> {
        let entry = &self.records[index];
        Record {
            position: entry.position,
            partition_key: &entry.partition_key,
            arrival_ms: entry.arrival_ms,
            payload: &self.payloads[entry.payload.clone()],
        }
    }

    /// The records in the broker's order.
    pub fn records(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        (0..self.len()).map(|index| self.record(index))
    }
}

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

/// Takes a Lambda Kinesis event apart.
///
/// # Errors
/// [`EnvelopeError`] when the event is not one that Lambda makes.
pub fn kinesis(event: &[u8]) -> Result<Batch<'_>, EnvelopeError> {
    let event: KinesisEvent = sonic_rs::from_slice(event)
        .map_err(|error| EnvelopeError::NotKinesis(first_line(&error)))?;
    let encoded_bytes: usize = event
        .records
        .iter()
        .map(|record| record.kinesis.data.len())
        .sum();
    let mut batch = Batch {
        stream: String::new(),
        shard: String::new(),
        position_digits: crate::layout::KINESIS_POSITION_DIGITS,
        records: Vec::with_capacity(event.records.len()),
        payloads: Vec::with_capacity(encoded_bytes / 4 * 3 + 3),
    };
    for (index, record) in event.records.into_iter().enumerate() {
        let field = |field, value: &str, expected| EnvelopeError::Field {
            index,
            field,
            value: value.chars().take(80).collect(),
            expected,
        };
        let shard = record
            .event_id
            .split_once(':')
            .map_or("", |(shard, _)| shard);
        if shard.is_empty() {
            return Err(field(
                "eventID",
                record.event_id,
                "<shard id>:<sequence number>",
            ));
        }
        let stream = stream_of_arn(record.event_source_arn);
        if stream.is_empty() {
            return Err(field(
                "eventSourceARN",
                record.event_source_arn,
                "arn:…:stream/<name>",
            ));
        }
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
        let kinesis = record.kinesis;
        if !is_sequence_number(kinesis.sequence_number) {
            return Err(field(
                "sequenceNumber",
                kinesis.sequence_number,
                "1 to 56 decimal digits",
            ));
        }
        let arrival = kinesis.approximate_arrival_timestamp.as_raw_str();
        let arrival_ms = arrival_ms(arrival).ok_or_else(|| {
            field(
                "approximateArrivalTimestamp",
                arrival,
                "seconds since 1970, before the year 10000",
            )
        })?;
        let start = batch.payloads.len();
        base64_simd::STANDARD
            .decode_append(kinesis.data.as_bytes(), &mut batch.payloads)
            .map_err(|_| field("data", &kinesis.data, "base64"))?;
        batch.records.push(Entry {
            position: kinesis.sequence_number,
            partition_key: kinesis.partition_key,
            arrival_ms,
            payload: start..batch.payloads.len(),
        });
    }
    Ok(batch)
}

/// `arn:aws:kinesis:<region>:<account>:stream/<name>`, with `/consumer/…` after it for enhanced fan-out.
fn stream_of_arn(arn: &str) -> &str {
    let resource = arn
        .split_once(":stream/")
        .map_or("", |(_, resource)| resource);
    resource.split('/').next().unwrap_or_default()
}

fn is_sequence_number(text: &str) -> bool {
    (1..=crate::layout::KINESIS_POSITION_DIGITS).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Last millisecond of the year 9999: a later one has no four-digit year to put into an object's name.
const MAX_ARRIVAL_MS: i64 = 253_402_300_799_999;

/// Seconds with a decimal fraction, as JSON text, to whole milliseconds, without a detour over binary fractions.
///
/// `aws_lambda_events` 1.2.1 reads the fraction as a count of milliseconds (`.5` → 5 ms), which is why it is not
/// used here.
fn arrival_ms(text: &str) -> Option<i64> {
    let ms = if text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'.')
    {
        let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digit = |place: usize| {
            fraction
                .as_bytes()
                .get(place)
                .map_or(0, |digit| i64::from(digit - b'0'))
        };
        let fraction_ms = digit(0) * 100 + digit(1) * 10 + digit(2);
        seconds
            .parse::<i64>()
            .ok()?
            .checked_mul(1000)?
            .checked_add(fraction_ms)?
    } else {
        // Java prints large doubles with an exponent: 1.545084650987E9.
        let seconds: f64 = text.parse().ok()?;
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float too large saturates and fails the bound"
        )]
        let ms = (seconds * 1000.0).round() as i64;
        ms
    };
    (0..=MAX_ARRIVAL_MS).contains(&ms).then_some(ms)
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn event(arrival: &str) -> String {
        format!(
            r#"{{"Records":[{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"k\u00e9","sequenceNumber":"49590338271490256608559692538361571095921575989136588898","data":"SGVsbG8=","approximateArrivalTimestamp":{arrival}}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}}]}}"#
        )
    }

    #[test]
    fn a_record_of_the_lambda_guide_is_read_field_by_field() {
        let event = event("1545084650.987");
        let batch = kinesis(event.as_bytes()).expect("the guide's example");
        assert_eq!(
            (batch.stream.as_str(), batch.shard.as_str()),
            ("lambda-stream", "shardId-000000000006")
        );
        assert_eq!(
            batch.record(0),
            Record {
                position: "49590338271490256608559692538361571095921575989136588898",
                partition_key: "ké",
                arrival_ms: 1_545_084_650_987,
                payload: b"Hello",
            }
        );
    }

    #[test]
    fn arrival_milliseconds_that_end_in_zero_keep_their_place() {
        for (text, ms) in [
            ("1545084650.5", 1_545_084_650_500),
            ("1545084650.57", 1_545_084_650_570),
            ("1545084650.05", 1_545_084_650_050),
            ("1545084650", 1_545_084_650_000),
            ("1545084650.9879", 1_545_084_650_987),
            ("1.545084650987E9", 1_545_084_650_987),
        ] {
            assert_eq!(arrival_ms(text), Some(ms), "{text}");
        }
        for text in [
            "",
            ".",
            "-1",
            "1e300",
            "\"1\"",
            "null",
            "99999999999999999999",
            "253402300800",
        ] {
            assert_eq!(arrival_ms(text), None, "{text}");
        }
    }

    #[test]
    fn an_empty_batch_is_a_batch() {
        assert!(
            kinesis(br#"{"Records":[]}"#)
                .expect("an empty batch")
                .is_empty()
        );
    }

    #[test]
    fn what_is_not_a_kinesis_event_is_an_error_without_the_payload_in_it() {
        let error = kinesis(br#"{"Records":[{"kinesis":{"data":"c2VjcmV0"#)
            .expect_err("truncated")
            .to_string();
        assert!(
            error.starts_with("the event is not a Kinesis batch: "),
            "{error}"
        );
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }

    #[test]
    fn a_bad_field_is_named_with_its_value_and_rule() {
        let text = event("1545084650.987").replace("SGVsbG8=", "***");
        assert_eq!(
            kinesis(text.as_bytes())
                .expect_err("bad base64")
                .to_string(),
            r#"record 0: data is "***", expected base64"#
        );
    }

    #[test]
    fn the_stream_of_an_enhanced_fan_out_consumer_is_the_stream() {
        assert_eq!(
            stream_of_arn("arn:aws:kinesis:us-east-2:1:stream/orders/consumer/lake:1"),
            "orders"
        );
    }

    proptest! {
        #[test]
        fn every_arrival_millisecond_survives_its_printing_as_seconds(ms in 0..=MAX_ARRIVAL_MS) {
            let printed = format!("{}.{:03}", ms / 1000, ms % 1000);
            prop_assert_eq!(arrival_ms(&printed), Some(ms));
            prop_assert_eq!(arrival_ms(printed.trim_end_matches('0').trim_end_matches('.')).filter(|_| ms % 1000 != 0),
                            Some(ms).filter(|_| ms % 1000 != 0));
        }

        #[test]
        fn hostile_events_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = kinesis(&bytes);
        }
    }
}
