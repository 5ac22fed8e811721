#![doc = include_str!("../README.md")]

pub mod contract;
pub mod metrics;
mod reason;

use std::borrow::Cow;

use serde::de::{Deserializer, Error, Unexpected};
use serde::{Deserialize, Serialize};

pub use crate::contract::{Contract, ContractError};
pub use crate::reason::Reason;

/// The schema version that this crate describes. Records with a higher one are rejected.
pub const SCHEMA_VERSION: u32 = 1;

/// Longest `event_id` and `device_id`, in bytes of UTF-8.
pub const MAX_ID_BYTES: usize = 128;

/// Longest `device_type`, in bytes of UTF-8.
pub const MAX_DEVICE_TYPE_BYTES: usize = 64;

/// Earliest `event_time`, in microseconds since the Unix epoch: 2000-01-01T00:00:00Z.
pub const MIN_EVENT_TIME_US: i64 = 946_684_800_000_000;

/// How far `event_time` may lie ahead of the broker's arrival time, in microseconds: 24 hours.
pub const MAX_EVENT_TIME_AHEAD_US: i64 = 24 * 60 * 60 * 1_000_000;

/// One event of our own contract ([`contract::OURS`]), as it travels: a JSON object in UTF-8.
///
/// Fields that are not listed here are allowed. The pipeline keeps them, unparsed, in the column `attributes`;
/// this type skips them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event<'a> {
    /// Version of this contract: 1. A higher one is rejected.
    #[serde(deserialize_with = "integer")]
    pub schema_version: u32,
    /// Unique per event, 1 to 128 bytes of UTF-8 (a schema counts characters); the key by which duplicates are dropped. Ours is a UUID version 7 (RFC 9562).
    #[serde(borrow)]
    pub event_id: Cow<'a, str>,
    /// The device that measured, 1 to 128 bytes of UTF-8; the stream's partition key.
    #[serde(borrow)]
    pub device_id: Cow<'a, str>,
    /// The kind of device, 1 to 64 bytes of UTF-8; the report groups by it.
    #[serde(borrow)]
    pub device_type: Cow<'a, str>,
    /// When it happened: RFC 3339 with any offset, to the microsecond; not before 2000-01-01, not over 24 h ahead of arrival.
    #[serde(borrow)]
    pub event_time: Cow<'a, str>,
    /// How long it took, in milliseconds; finite, not negative.
    pub event_duration: f64,
    /// The reading, if there is one; finite.
    #[serde(default)]
    pub value: Option<f64>,
    /// Marks synthetic traffic, which the pipeline drops on purpose and counts.
    #[serde(default, skip_serializing_if = "is_false")]
    pub test: bool,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference"
)]
fn is_false(test: &bool) -> bool {
    !test
}

/// An integer is a number without a fraction, as JSON Schema has it: 1.0 is one.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "its range is checked"
)]
fn integer<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let number = f64::deserialize(deserializer)?;
    if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
        Ok(number as u32)
    } else {
        Err(D::Error::invalid_value(
            Unexpected::Float(number),
            &"an integer of 32 bits",
        ))
    }
}
