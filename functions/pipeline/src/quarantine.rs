//! Rejected records → JSON lines: raw bytes, position, arrival and reason, so that nothing is lost.
//!
//! The name holds a hash of the lines, and the object is only ever created: no other delivery, no replay with other
//! bounds and no topic that was made anew replaces it. So lines may repeat: those of one shard, position, sub-sequence
//! number and arrival are one record.

use std::collections::BTreeMap;
use std::fmt::Write;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::decode::{Batch, Record};
use crate::layout;
use crate::parse::Rejected;

#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
    shard: &'a str,
    position: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    sub_sequence_number: Option<u32>,
    arrival_time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_key: Option<&'a str>,
    /// The sub-sequence number of the line of the same aggregate that has the partition key.
    #[serde(skip_serializing_if = "Option::is_none")]
    partition_key_of: Option<u32>,
    reason: &'static str,
    detail: &'a str,
    data: String,
}

/// Partition keys of an aggregate that a line of it has written: a thousand user records may share one of a kilobyte,
/// which is six as JSON.
#[derive(Default)]
struct KeysOfAggregate<'b> {
    position: &'b str,
    lines: BTreeMap<&'b str, u32>,
}

impl<'b> KeysOfAggregate<'b> {
    /// The line that has the record's key, if one has.
    fn line(&mut self, record: &Record<'b>) -> Option<u32> {
        let sub_sequence_number = record.sub_sequence_number?;
        if self.position != record.position {
            self.position = record.position;
            self.lines.clear();
        }
        let line = *self
            .lines
            .entry(record.partition_key)
            .or_insert(sub_sequence_number);
        (line != sub_sequence_number).then_some(line)
    }
}

/// Key and lines of the object that keeps `rejected` (index in the batch and reason, ascending).
pub(crate) fn object(batch: &Batch, rejected: &[(usize, Rejected)]) -> Option<(String, Bytes)> {
    let first = batch.record(rejected.first()?.0);
    let mut keys = KeysOfAggregate::default();
    let mut lines = Vec::new();
    for (index, Rejected { reason, detail }) in rejected {
        let record = batch.record(*index);
        let arrival = Timestamp::from_millisecond(record.arrival_ms).unwrap_or(Timestamp::MAX);
        let partition_key_of = keys.line(&record);
        let line = Line {
            stream: &batch.stream,
            shard: &batch.shard,
            position: record.position,
            sub_sequence_number: record.sub_sequence_number,
            arrival_time: format!("{arrival:.3}"),
            partition_key: partition_key_of.is_none().then_some(record.partition_key),
            partition_key_of,
            reason: reason.name(),
            detail,
            data: base64_simd::STANDARD.encode_to_string(record.sent),
        };
        // Serialising strings into memory cannot fail.
        _ = serde_json::to_writer(&mut lines, &line);
        lines.push(b'\n');
    }
    let key = layout::quarantine_key(
        &batch.stream,
        &batch.shard,
        first.arrival_ms,
        &layout::padded(first.position, batch.position_digits),
        &content_hash(&lines),
    );
    Some((key, lines.into()))
}

/// Half of the SHA-256, in hexadecimal digits. Nobody can make two contents of one name.
fn content_hash(lines: &[u8]) -> String {
    let digest = Sha256::digest(lines);
    let (half, _) = digest.split_at(16);
    half.iter().fold(String::new(), |mut hash, byte| {
        _ = write!(hash, "{byte:02x}");
        hash
    })
}
