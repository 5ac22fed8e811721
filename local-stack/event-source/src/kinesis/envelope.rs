//! The JSON that Lambda invokes a function with for records of a Kinesis stream.
//!
//! Source: Lambda developer guide, "Using Lambda to process records from Amazon Kinesis Data Streams", example event.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::record::Record;
use crate::mapping::position::Millis;

const HEAD: &[u8] = b"{\"Records\":[";
const TAIL: &[u8] = b"]}";

/// Bytes of a payload without a record.
pub const EMPTY_PAYLOAD_BYTES: usize = HEAD.len() + TAIL.len();

/// What all records of one shard share.
#[derive(Clone, Debug)]
pub struct Envelope {
    shard: String,
    /// Text between a record's sequence number (in `eventID`) and the end of the record.
    suffix: String,
}

impl Envelope {
    /// An envelope for records of `shard` (such as `shardId-000000000000`).
    pub fn new(shard: &str, stream_arn: &str, region: &str, role_arn: &str) -> Self {
        Self {
            shard: shard.to_owned(),
            suffix: format!(
                r#"","eventName":"aws:kinesis:record","invokeIdentityArn":"{role_arn}","awsRegion":"{region}","eventSourceARN":"{stream_arn}"}}"#
            ),
        }
    }

    /// The payload for a batch.
    pub fn payload(&self, records: &[Record]) -> Vec<u8> {
        let bytes: usize = records.iter().map(|record| record.payload_bytes).sum();
        let mut payload = Vec::with_capacity(bytes + EMPTY_PAYLOAD_BYTES);
        payload.extend_from_slice(HEAD);
        for (index, record) in records.iter().enumerate() {
            if index > 0 {
                payload.push(b',');
            }
            self.write(record, &mut payload);
        }
        payload.extend_from_slice(TAIL);
        payload
    }

    /// Bytes that a record takes in a payload, its comma included. `data_bytes`: length of the raw payload.
    pub fn record_bytes(
        &self,
        sequence_number: &str,
        partition_key: &str,
        data_bytes: usize,
        arrival: Millis,
    ) -> usize {
        const FIXED: usize = r#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":,"sequenceNumber":"","data":"","approximateArrivalTimestamp":},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":":"#.len();
        FIXED
            + quoted(partition_key).len()
            + 2 * sequence_number.len()
            + base64::encoded_len(data_bytes, true).unwrap_or(usize::MAX / 2)
            + arrival_timestamp(arrival).len()
            + self.shard.len()
            + self.suffix.len()
            + 1
    }

    fn write(&self, record: &Record, payload: &mut Vec<u8>) {
        let sequence_number = record.sequence_number.as_str();
        let mut text = |text: &str| payload.extend_from_slice(text.as_bytes());
        text(r#"{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"#);
        text(&quoted(&record.partition_key));
        text(r#","sequenceNumber":""#);
        text(sequence_number);
        text(r#"","data":""#);
        let start = payload.len();
        let encoded = base64::encoded_len(record.data.len(), true).unwrap_or_default();
        payload.resize(start + encoded, 0);
        BASE64
            .encode_slice(&record.data, &mut payload[start..])
            .expect("room was made for exactly this text");
        let mut text = |text: &str| payload.extend_from_slice(text.as_bytes());
        text(r#"","approximateArrivalTimestamp":"#);
        text(&arrival_timestamp(record.arrival));
        text(r#"},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":""#);
        text(&self.shard);
        text(":");
        text(sequence_number);
        text(&self.suffix);
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// Seconds with as many decimals as the milliseconds need, as Lambda prints them: `1545084650.987`, `1545084650.5`,
/// `1545084650`.
pub(crate) fn arrival_timestamp(arrival: Millis) -> String {
    let (seconds, millis) = (arrival.div_euclid(1000), arrival.rem_euclid(1000));
    if millis == 0 {
        return seconds.to_string();
    }
    format!("{seconds}.{millis:03}")
        .trim_end_matches('0')
        .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mapping::position::Position;
    use bytes::Bytes;

    fn envelope() -> Envelope {
        Envelope::new(
            "shardId-000000000006",
            "arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream",
            "us-east-2",
            "arn:aws:iam::123456789012:role/lambda-role",
        )
    }

    fn record(
        sequence_number: &str,
        partition_key: &str,
        data: &'static [u8],
        arrival: Millis,
    ) -> Record {
        Record {
            sequence_number: Position::parse(sequence_number).expect("decimal"),
            partition_key: partition_key.into(),
            data: Bytes::from_static(data),
            arrival,
            payload_bytes: envelope().record_bytes(
                sequence_number,
                partition_key,
                data.len(),
                arrival,
            ),
        }
    }

    #[test]
    fn the_payload_is_the_developer_guides_example_event() {
        let payload = envelope().payload(&[
            record(
                "49590338271490256608559692538361571095921575989136588898",
                "1",
                b"Hello, this is a test.",
                1_545_084_650_987,
            ),
            record(
                "49590338271490256608559692540925702759324208523137515618",
                "a \"key\" \u{7}é",
                b"",
                1_545_084_711_500,
            ),
        ]);
        insta::assert_snapshot!(String::from_utf8(payload).expect("UTF-8"), @r#"{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"1","sequenceNumber":"49590338271490256608559692538361571095921575989136588898","data":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:49590338271490256608559692538361571095921575989136588898","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"},{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"a \"key\" \u0007é","sequenceNumber":"49590338271490256608559692540925702759324208523137515618","data":"","approximateArrivalTimestamp":1545084711.5},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000006:49590338271490256608559692540925702759324208523137515618","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::123456789012:role/lambda-role","awsRegion":"us-east-2","eventSourceARN":"arn:aws:kinesis:us-east-2:123456789012:stream/lambda-stream"}]}"#);
    }

    #[test]
    fn arrival_is_printed_with_as_many_decimals_as_it_needs() {
        let table = [
            (1_545_084_650_987, "1545084650.987"),
            (1_545_084_650_500, "1545084650.5"),
            (1_545_084_650_570, "1545084650.57"),
            (1_545_084_650_057, "1545084650.057"),
            (1_545_084_650_005, "1545084650.005"),
            (1_545_084_650_000, "1545084650"),
        ];
        for (arrival, text) in table {
            assert_eq!(arrival_timestamp(arrival), text);
        }
    }

    proptest::proptest! {
        #[test]
        fn the_bytes_of_a_record_are_foretold_exactly(
            number in "[0-9]{1,60}",
            key in ".{1,40}",
            data in proptest::collection::vec(proptest::num::u8::ANY, 0..100),
            arrival in 0_i64..4_000_000_000_000,
        ) {
            let envelope = envelope();
            let payload_bytes = envelope.record_bytes(&number, &key, data.len(), arrival);
            let record = Record {
                sequence_number: Position::parse(&number).expect("decimal"),
                partition_key: key.as_str().into(),
                data: data.into(),
                arrival,
                payload_bytes,
            };
            // The last record has no comma.
            proptest::prop_assert_eq!(
                envelope.payload(&[record.clone(), record]).len(),
                2 * payload_bytes - 1 + EMPTY_PAYLOAD_BYTES
            );
        }
    }
}
