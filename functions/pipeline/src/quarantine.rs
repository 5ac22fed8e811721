//! Rejected records → JSON lines: raw bytes, position, arrival and reason, so that nothing is lost.

use bytes::Bytes;
use jiff::Timestamp;
use serde::Serialize;

use crate::decode::Batch;
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
    partition_key: &'a str,
    reason: &'static str,
    detail: &'a str,
    data: String,
}

/// Key and lines of the object that keeps `rejected` (index in the batch and reason, ascending).
pub(crate) fn object(batch: &Batch, rejected: &[(usize, Rejected)]) -> Option<(String, Bytes)> {
    let (first, last) = (rejected.first()?.0, rejected.last()?.0);
    let padded = |index| layout::padded(batch.record(index).position, batch.position_digits);
    let key = layout::quarantine_key(
        &batch.stream,
        &batch.shard,
        batch.record(first).arrival_ms,
        &padded(first),
        &padded(last),
    );
    let mut lines = String::new();
    for (index, Rejected { reason, detail }) in rejected {
        let record = batch.record(*index);
        let arrival = Timestamp::from_millisecond(record.arrival_ms).unwrap_or(Timestamp::MAX);
        let line = Line {
            stream: &batch.stream,
            shard: &batch.shard,
            position: record.position,
            sub_sequence_number: record.sub_sequence_number,
            arrival_time: format!("{arrival:.3}"),
            partition_key: record.partition_key,
            reason: reason.name(),
            detail,
            data: base64_simd::STANDARD.encode_to_string(record.sent),
        };
        // Serialising strings cannot fail.
        lines.push_str(&serde_json::to_string(&line).unwrap_or_default());
        lines.push('\n');
    }
    Some((key, lines.into()))
}
