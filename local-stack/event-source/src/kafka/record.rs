//! A record of a topic, as the broker has it and as far as batching needs to know it.

use bytes::Bytes;

use crate::mapping::position::Millis;

/// What a record's time stamp says, as the event names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimestampType {
    /// The producer's time.
    CreateTime,
    /// The broker's.
    LogAppendTime,
    /// There is none.
    None,
}

impl TimestampType {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::CreateTime => "CREATE_TIME",
            Self::LogAppendTime => "LOG_APPEND_TIME",
            Self::None => "NO_TIMESTAMP_TYPE",
        }
    }
}

/// A record as the broker has it.
#[derive(Clone, Copy, Debug)]
pub struct Message<'m> {
    /// Number of its partition.
    pub partition: i32,
    /// Its position there.
    pub offset: i64,
    /// Milliseconds since the epoch; -1 for none.
    pub timestamp: Millis,
    /// Whose time that is.
    pub timestamp_type: TimestampType,
    /// What its producer chose the partition by.
    pub key: Option<&'m [u8]>,
    /// Its payload; `None` is a tombstone.
    pub value: Option<&'m [u8]>,
    /// Names and values.
    pub headers: &'m [(&'m str, Option<&'m [u8]>)],
}

/// A record of a topic, as far as batching needs to know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Number of its partition.
    pub partition: i32,
    /// Its position there.
    pub offset: i64,
    /// Milliseconds since the epoch.
    pub timestamp: Millis,
    /// Its text in the payload.
    pub(super) json: Bytes,
}

impl Record {
    /// Bytes that it takes in a payload, its comma included.
    pub fn payload_bytes(&self) -> usize {
        self.json.len() + 1
    }
}
