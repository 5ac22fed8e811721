//! A record of a shard, as far as batching needs to know it.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch. The pure modules take time in this form and never read a clock.
pub type Millis = i64;

/// A position within a shard: decimal text of any length (Kinesis uses 56 digits), ordered by its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SequenceNumber(Arc<str>);

/// The text is not a decimal number.
#[derive(Debug, thiserror::Error)]
#[error("sequence number {0:?} is not a decimal number")]
pub struct InvalidSequenceNumber(String);

impl SequenceNumber {
    /// Reads decimal text. Leading zeros are kept in the text and ignored in the order.
    pub fn parse(text: &str) -> Result<Self, InvalidSequenceNumber> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidSequenceNumber(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The text as the stream gave it.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn significant_digits(&self) -> &str {
        self.0.trim_start_matches('0')
    }
}

impl From<u64> for SequenceNumber {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl TryFrom<String> for SequenceNumber {
    type Error = InvalidSequenceNumber;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<SequenceNumber> for String {
    fn from(number: SequenceNumber) -> Self {
        number.0.as_ref().to_owned()
    }
}

impl fmt::Display for SequenceNumber {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<Self> for SequenceNumber {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Ord for SequenceNumber {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (self.significant_digits(), other.significant_digits());
        left.len().cmp(&right.len()).then_with(|| left.cmp(right))
    }
}

impl PartialOrd for SequenceNumber {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for SequenceNumber {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for SequenceNumber {}

impl Hash for SequenceNumber {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.significant_digits().hash(state);
    }
}

/// One record of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its position; ascending within a shard.
    pub sequence_number: SequenceNumber,
    /// Records with equal keys keep their order, whatever the parallelization factor.
    pub partition_key: Arc<str>,
    /// The payload as the producer put it.
    pub data: Bytes,
    /// The broker's own timestamp.
    pub arrival: Millis,
    /// Bytes that the record takes in the invocation payload, with its comma (see [`crate::envelope::Envelope::record_bytes`]).
    pub payload_bytes: usize,
}

impl AsRef<SequenceNumber> for Record {
    fn as_ref(&self) -> &SequenceNumber {
        &self.sequence_number
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> SequenceNumber {
        SequenceNumber::parse(text).expect("decimal text")
    }

    #[test]
    fn sequence_numbers_are_ordered_by_value_not_by_text() {
        assert!(number("9") < number("10"));
        assert!(number("0009") < number("10"));
        assert_eq!(number("007"), number("7"));
        assert!(
            number("49601189658422359378836298521827638475320189012309704722")
                < number("149601189658422359378836298521827638475320189012309704722")
        );
        assert_eq!(number("0").cmp(&number("00")), Ordering::Equal);
    }

    #[test]
    fn text_that_is_not_decimal_is_no_sequence_number() {
        for text in ["", "-1", "1.5", "LATEST", " 1", "0x10", "١"] {
            assert!(SequenceNumber::parse(text).is_err(), "{text:?}");
        }
    }
}
