//! The bytes that producers send, and what the contract says about them.

use std::io::Write;

use bytes::Bytes;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use md5::{Digest, Md5};
use pipeline::layout::ARRIVALS;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::stream::Verdict;

/// The last millisecond of the year 9999.
const NEVER_MS: i64 = 253_402_300_799_999;
/// Arrivals that say "never", "none" or nothing that makes sense.
pub(crate) const ABSURD_MS: [i64; 5] = [NEVER_MS, NEVER_MS + 1, 0, -1, i64::MAX];
const DAY_MS: i64 = 24 * 3_600_000;

/// Whether the lake can name an arrival.
pub(crate) fn fits_a_name(arrival_ms: i64) -> bool {
    ARRIVALS.contains(&arrival_ms)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EventKind {
    Good,
    Test,
    Garbage,
}

#[derive(Clone, Debug)]
pub(crate) struct Event {
    pub(crate) key: usize,
    pub(crate) id: String,
    pub(crate) kind: EventKind,
    happened_ms: i64,
    pub(crate) duration: i64,
    value: Option<i64>,
}

impl Event {
    /// Happened within minutes before its arrival; where that makes no sense, before `now_ms`.
    pub(crate) fn draw(
        rng: &mut ChaCha8Rng,
        number: u64,
        key: usize,
        arrival_ms: i64,
        now_ms: i64,
    ) -> Self {
        let base_ms = if fits_a_name(arrival_ms) && arrival_ms > 0 {
            arrival_ms
        } else {
            now_ms
        };
        let value = rng.random_range(-50..50);
        Self {
            key,
            id: format!("e{number}"),
            kind: match rng.random_range(0..20) {
                0 => EventKind::Test,
                1 => EventKind::Garbage,
                _ => EventKind::Good,
            },
            happened_ms: base_ms - rng.random_range(0..600_000),
            // Whole numbers: their sums are the same in any order.
            duration: rng.random_range(0..100),
            value: (value % 3 != 0).then_some(value),
        }
    }

    /// Another event under the same id.
    pub(crate) fn with_other_content(self) -> Self {
        let duration = 1_000 + self.duration;
        Self { duration, ..self }
    }

    pub(crate) fn payload(&self) -> Vec<u8> {
        let Self {
            key, id, duration, ..
        } = self;
        if self.kind == EventKind::Garbage {
            return format!("garbage {id} of {key}").into();
        }
        let time = Timestamp::from_millisecond(self.happened_ms).expect("within four-digit years");
        let value = self
            .value
            .map_or_else(|| "null".to_owned(), |value| value.to_string());
        let test = self.kind == EventKind::Test;
        format!(
            r#"{{"schema_version":1,"event_id":"{id}","device_id":"k{key}","device_type":"t","event_time":"{time:.3}","event_duration":{duration},"value":{value},"test":{test}}}"#
        )
        .into()
    }

    pub(crate) fn verdict(&self, arrival_ms: i64) -> Verdict {
        if !fits_a_name(arrival_ms) || self.happened_ms > arrival_ms + DAY_MS {
            return Verdict::Rejected;
        }
        match self.kind {
            EventKind::Good => Verdict::Accepted(self.id.clone(), self.duration),
            EventKind::Test => Verdict::Filtered,
            EventKind::Garbage => Verdict::Rejected,
        }
    }
}

pub(crate) fn compressed(payload: &[u8], gzip: bool) -> Bytes {
    if !gzip {
        return zstd::bulk::compress(payload, 1).expect("zstd").into();
    }
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(payload).expect("memory");
    encoder.finish().expect("memory").into()
}

/// A KPL aggregate of user records under one partition key
/// (<https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>).
pub(crate) fn aggregate<'p>(
    partition_key: &str,
    payloads: impl Iterator<Item = &'p [u8]>,
) -> Vec<u8> {
    let mut message = Vec::new();
    field(&mut message, 1, partition_key.as_bytes());
    for payload in payloads {
        // partition_key_index 0
        let mut record = vec![1 << 3, 0];
        field(&mut record, 3, payload);
        field(&mut message, 3, &record);
    }
    let checksum = Md5::digest(&message);
    [&[0xF3, 0x89, 0x9A, 0xC2], &message[..], &checksum[..]].concat()
}

/// A length-delimited field of a protobuf message.
fn field(message: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    message.push(number << 3 | 2);
    let mut length = bytes.len();
    while length >= 0x80 {
        message.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    message.push(length.to_le_bytes()[0]);
    message.extend_from_slice(bytes);
}
