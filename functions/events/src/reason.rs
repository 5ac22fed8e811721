//! Why a record is not accepted.

use serde::Serialize;

/// The rules that a record can break, in the order in which they are tried.
///
/// The names that travel (quarantine lines, ledgers, the metric dimension `Reason`) are [`Reason::name`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(
    missing_docs,
    reason = "the README's table of reasons is their documentation"
)]
pub enum Reason {
    ArrivalOutOfRange,
    CorruptAggregate,
    CorruptCompression,
    PayloadTooLarge,
    EmptyRecord,
    InvalidUtf8,
    TooDeep,
    InvalidJson,
    NotAnObject,
    DuplicateField,
    MissingField,
    UnsupportedSchemaVersion,
    WrongType,
    EmptyField,
    OversizedField,
    InvalidEventTime,
    EventTimeOutOfRange,
    OutOfRange,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 18] = [
        Self::ArrivalOutOfRange,
        Self::CorruptAggregate,
        Self::CorruptCompression,
        Self::PayloadTooLarge,
        Self::EmptyRecord,
        Self::InvalidUtf8,
        Self::TooDeep,
        Self::InvalidJson,
        Self::NotAnObject,
        Self::DuplicateField,
        Self::MissingField,
        Self::UnsupportedSchemaVersion,
        Self::WrongType,
        Self::EmptyField,
        Self::OversizedField,
        Self::InvalidEventTime,
        Self::EventTimeOutOfRange,
        Self::OutOfRange,
    ];

    /// The name in quarantine lines and in the metric dimension `Reason`.
    pub fn name(self) -> &'static str {
        match self {
            Self::ArrivalOutOfRange => "arrival_out_of_range",
            Self::CorruptAggregate => "corrupt_aggregate",
            Self::CorruptCompression => "corrupt_compression",
            Self::PayloadTooLarge => "payload_too_large",
            Self::EmptyRecord => "empty_record",
            Self::InvalidUtf8 => "invalid_utf8",
            Self::TooDeep => "too_deep",
            Self::InvalidJson => "invalid_json",
            Self::NotAnObject => "not_an_object",
            Self::DuplicateField => "duplicate_field",
            Self::MissingField => "missing_field",
            Self::UnsupportedSchemaVersion => "unsupported_schema_version",
            Self::WrongType => "wrong_type",
            Self::EmptyField => "empty_field",
            Self::OversizedField => "oversized_field",
            Self::InvalidEventTime => "invalid_event_time",
            Self::EventTimeOutOfRange => "event_time_out_of_range",
            Self::OutOfRange => "out_of_range",
        }
    }
}
