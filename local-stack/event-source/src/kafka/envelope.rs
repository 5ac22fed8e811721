//! The JSON that Lambda invokes a function with for records of a Kafka topic.
//!
//! Source: Lambda developer guide, "Using Lambda with self-managed Apache Kafka", example event.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use super::record::{Message, Record};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// What all records of a mapping share.
#[derive(Clone, Debug)]
pub struct Envelope {
    topic: Arc<str>,
    head: Arc<str>,
}

const TAIL: &str = "}}";

impl Envelope {
    /// An envelope for records of `topic`. `brokers`: as the mapping was given them.
    pub fn new(topic: &str, brokers: &str) -> Self {
        let brokers = quoted(brokers);
        let head = format!(
            r#"{{"eventSource":"SelfManagedKafka","bootstrapServers":{brokers},"records":{{"#
        );
        Self {
            topic: topic.into(),
            head: head.into(),
        }
    }

    /// The topic.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    /// The record of a message. What a message lacks is left out.
    pub fn record(&self, message: &Message) -> Record {
        let Message {
            partition,
            offset,
            timestamp,
            ..
        } = *message;
        let (topic, kind) = (&self.topic, message.timestamp_type.name());
        let mut json = format!(
            r#"{{"topic":"{topic}","partition":{partition},"offset":{offset},"timestamp":{timestamp},"timestampType":"{kind}""#
        );
        for (name, bytes) in [("key", message.key), ("value", message.value)] {
            if let Some(bytes) = bytes {
                let _ = write!(json, r#","{name}":""#);
                BASE64.encode_string(bytes, &mut json);
                json.push('"');
            }
        }
        json.push_str(r#","headers":["#);
        for (index, (name, value)) in message.headers.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            let _ = write!(json, "{comma}{{{}:[", quoted(name));
            for (index, byte) in value.unwrap_or_default().iter().enumerate() {
                let comma = if index > 0 { "," } else { "" };
                // Java's bytes have a sign.
                let _ = write!(json, "{comma}{}", byte.cast_signed());
            }
            json.push_str("]}");
        }
        json.push_str("]}");
        Record {
            partition,
            offset,
            timestamp,
            json: json.into(),
        }
    }

    /// Bytes of a payload without a record.
    pub fn empty_bytes(&self) -> usize {
        self.head.len() + TAIL.len()
    }

    /// Bytes that the first record of a partition takes besides its own.
    pub fn partition_bytes(&self, partition: i32) -> usize {
        self.list(partition).len() + "],".len()
    }

    fn list(&self, partition: i32) -> String {
        format!(r#""{}-{partition}":["#, self.topic)
    }

    /// The payload for a batch: a list for each partition, each in the order of the batch.
    pub fn payload(&self, records: &[Record]) -> Vec<u8> {
        let mut partitions: BTreeMap<i32, Vec<&Record>> = BTreeMap::new();
        for record in records {
            partitions.entry(record.partition).or_default().push(record);
        }
        let bytes: usize = records.iter().map(Record::payload_bytes).sum();
        let mut payload = Vec::with_capacity(bytes + self.empty_bytes() + 300 * partitions.len());
        payload.extend_from_slice(self.head.as_bytes());
        for (index, (partition, records)) in partitions.into_iter().enumerate() {
            if index > 0 {
                payload.push(b',');
            }
            payload.extend_from_slice(self.list(partition).as_bytes());
            for (index, record) in records.into_iter().enumerate() {
                if index > 0 {
                    payload.push(b',');
                }
                payload.extend_from_slice(&record.json);
            }
            payload.push(b']');
        }
        payload.extend_from_slice(TAIL.as_bytes());
        payload
    }
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::record::TimestampType;
    use super::*;

    const MESSAGE: Message = Message {
        partition: 0,
        offset: 15,
        timestamp: 1_545_084_650_987,
        timestamp_type: TimestampType::CreateTime,
        key: Some(b"recordKey"),
        value: Some(b"Hello, this is a test."),
        headers: &[("headerKey", Some(b"header\xFF"))],
    };

    #[test]
    fn the_payload_is_the_developer_guides_example_event() {
        let envelope = Envelope::new("mytopic", "b-2.demo:9092,b-1.demo:9092");
        let tombstone = Message {
            partition: 10,
            timestamp_type: TimestampType::LogAppendTime,
            key: None,
            value: None,
            headers: &[],
            ..MESSAGE
        };
        let next = Message {
            offset: 16,
            headers: &[("a", None), ("\"", Some(b""))],
            ..MESSAGE
        };
        let records = [MESSAGE, tombstone, next].map(|message| envelope.record(&message));
        let payload = String::from_utf8(envelope.payload(&records)).expect("UTF-8");
        insta::assert_snapshot!(payload, @r#"{"eventSource":"SelfManagedKafka","bootstrapServers":"b-2.demo:9092,b-1.demo:9092","records":{"mytopic-0":[{"topic":"mytopic","partition":0,"offset":15,"timestamp":1545084650987,"timestampType":"CREATE_TIME","key":"cmVjb3JkS2V5","value":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","headers":[{"headerKey":[104,101,97,100,101,114,-1]}]},{"topic":"mytopic","partition":0,"offset":16,"timestamp":1545084650987,"timestampType":"CREATE_TIME","key":"cmVjb3JkS2V5","value":"SGVsbG8sIHRoaXMgaXMgYSB0ZXN0Lg==","headers":[{"a":[]},{"\"":[]}]}],"mytopic-10":[{"topic":"mytopic","partition":10,"offset":15,"timestamp":1545084650987,"timestampType":"LOG_APPEND_TIME","headers":[]}]}}"#);
    }

    proptest::proptest! {
        #[test]
        fn the_bytes_of_a_payload_are_foretold_exactly(
            partitions in proptest::collection::vec(0..12_i32, 1..8),
            value in proptest::collection::vec(proptest::num::u8::ANY, 0..50),
        ) {
            let envelope = Envelope::new("t", "b:9092");
            let message = |partition| Message { partition, value: Some(&value), ..MESSAGE };
            let records: Vec<_> = partitions
                .iter()
                .map(|partition| envelope.record(&message(*partition)))
                .collect();
            let distinct: std::collections::BTreeSet<_> = partitions.iter().copied().collect();
            let foretold = envelope.empty_bytes()
                + distinct.iter().map(|partition| envelope.partition_bytes(*partition)).sum::<usize>()
                + records.iter().map(Record::payload_bytes).sum::<usize>();
            // The last record of a list and the last list have no comma.
            proptest::prop_assert_eq!(envelope.payload(&records).len(), foretold - distinct.len() - 1);
        }
    }
}
