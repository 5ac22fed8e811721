//! Why a record is not accepted.

use serde::Serialize;

/// The rules that a record can break, in the order in which they are tried.
///
/// The names that travel (quarantine lines, ledgers, the metric dimension `Reason`) are [`Reason::name`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "`Reason::rule` is their documentation")]
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
    NotAllowed,
}

impl Reason {
    /// Every reason, for tables and tests.
    pub const ALL: [Self; 19] = [
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
        Self::NotAllowed,
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
            Self::NotAllowed => "not_allowed",
        }
    }

    /// The rule that such a record breaks, in one sentence without a full stop.
    pub fn rule(self) -> &'static str {
        match self {
            Self::ArrivalOutOfRange => {
                "the record arrived at a time that names can hold: 1970 to a few days before the year 10000. Only a topic with `CreateTime` has others"
            }
            Self::CorruptAggregate => {
                "what begins as a KPL aggregate is one: its checksum holds, each user record is complete, and there is at most one per 32 bytes (16 are always allowed); a broken one is kept whole"
            }
            Self::CorruptCompression => "what begins as gzip or zstd is that, to its last byte",
            Self::PayloadTooLarge => {
                "a compressed payload inflates to at most 16 times its bytes, and to at most 1 MiB"
            }
            Self::EmptyRecord => "a record has bytes other than white space",
            Self::InvalidUtf8 => "the payload is UTF-8",
            Self::TooDeep => "arrays and objects nest at most 64 levels",
            Self::InvalidJson => {
                "the payload is JSON (so no NaN, no Infinity); half a surrogate pair (`\"\\ud83d\"`) is no text, unless in the value of a field that the contract does not have"
            }
            Self::NotAnObject => "the payload is one JSON object",
            Self::DuplicateField => "a field of the contract occurs once",
            Self::MissingField => "a field that the contract requires is there",
            Self::UnsupportedSchemaVersion => "the version is one that the contract accepts",
            Self::WrongType => "a field has the type of the contract",
            Self::EmptyField => "text is not empty where the contract says so",
            Self::OversizedField => "text has no more bytes than the contract says",
            Self::InvalidEventTime => "the event's time is RFC 3339 with an offset",
            Self::EventTimeOutOfRange => {
                "the event's time is not before the contract's first, and not further ahead of arrival than it allows"
            }
            Self::OutOfRange => {
                "numbers fit in a double (not 1e999), integers in 64 bits, and both in the contract's range; durations are not negative"
            }
            Self::NotAllowed => {
                "a field with a list of values has one of them, and text is not shorter than the contract says"
            }
        }
    }
}
