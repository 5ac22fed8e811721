//! Where records are, and when they came.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Milliseconds since the Unix epoch. The pure modules take time in this form and never read a clock.
pub type Millis = i64;

/// A place within a shard or a partition: a sequence number of Kinesis or an offset of Kafka. Decimal text of any length
/// (Kinesis uses 56 digits), ordered by its value.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Position(Arc<str>);

/// The text is not a decimal number.
#[derive(Debug, thiserror::Error)]
#[error("position {0:?} is not a decimal number")]
pub struct InvalidPosition(String);

impl Position {
    /// Reads decimal text. Leading zeros are kept in the text and ignored in the order.
    pub fn parse(text: &str) -> Result<Self, InvalidPosition> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(InvalidPosition(text.to_owned()));
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

impl From<u64> for Position {
    fn from(number: u64) -> Self {
        Self(number.to_string().into())
    }
}

impl TryFrom<String> for Position {
    type Error = InvalidPosition;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<Position> for String {
    fn from(number: Position) -> Self {
        number.0.as_ref().to_owned()
    }
}

impl fmt::Display for Position {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl AsRef<Self> for Position {
    fn as_ref(&self) -> &Self {
        self
    }
}

impl Ord for Position {
    fn cmp(&self, other: &Self) -> Ordering {
        let (left, right) = (self.significant_digits(), other.significant_digits());
        left.len().cmp(&right.len()).then_with(|| left.cmp(right))
    }
}

impl PartialOrd for Position {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Position {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Position {}

impl Hash for Position {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.significant_digits().hash(state);
    }
}

/// Where a shard or a partition without a checkpoint is read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Start {
    /// Its oldest record.
    TrimHorizon,
    /// Its first record that arrived at or after this time.
    AtTimestamp(Millis),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Position {
        Position::parse(text).expect("decimal text")
    }

    #[test]
    fn positions_are_ordered_by_value_not_by_text() {
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
    fn text_that_is_not_decimal_is_no_position() {
        for text in ["", "-1", "1.5", "LATEST", " 1", "0x10", "١"] {
            assert!(Position::parse(text).is_err(), "{text:?}");
        }
    }
}
