//! What a contract is made of: fields with roles and rules, typed columns, the filter, the versions.

use std::fmt;

/// A typed column of the lake that this contract adds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its name in the lake.
    pub name: String,
    /// What it holds.
    pub column_type: ColumnType,
    /// Whether an event may do without.
    pub nullable: bool,
}

/// What a typed column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text in UTF-8.
    String,
    /// 64 bits, signed.
    Integer,
    /// A double.
    Double,
    /// True or false.
    Boolean,
    /// UTC, microseconds.
    Timestamp,
    /// The text of any JSON value.
    Json,
}

impl ColumnType {
    /// All of them, by their names in the file.
    pub const ALL: [(&'static str, Self); 6] = [
        ("string", Self::String),
        ("integer", Self::Integer),
        ("double", Self::Double),
        ("boolean", Self::Boolean),
        ("timestamp", Self::Timestamp),
        ("json", Self::Json),
    ];

    /// The name in the file.
    pub fn name(self) -> &'static str {
        let (name, _) = Self::ALL[self as usize];
        name
    }
}

/// What a field is to Tributary.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// An object on the way to fields.
    Object,
    /// Column `schema_version`.
    Version,
    /// Column `event_id`: the dedupe key.
    Id,
    /// Column `device_id`: the partition key.
    Key,
    /// Column `device_type`: what the report groups by.
    Kind,
    /// Column `event_time`.
    Time,
    /// Column `event_duration`, in milliseconds.
    Duration,
    /// Column `value`.
    Value,
    /// A typed column, by its place in [`Contract::columns`].
    Column(usize),
    /// Says whether the event is dropped on purpose; no column has it.
    Filter,
}

/// A field of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// What it is to Tributary.
    pub role: Role,
    /// Where it is, for people: names joined by dots.
    pub name: String,
    /// Where it is: a name, or names of objects and then of a field. Empty if events do not have it, only a default.
    pub path: Vec<String>,
    /// The place that a parser puts its value in; `None` if events do not have it.
    pub slot: Option<usize>,
    /// What it must be.
    pub rule: Rule,
    /// What it is when it is not there.
    pub absent: Absent,
    /// What it means, for people.
    pub about: String,
}

/// What a value must be.
#[derive(Clone, Debug, PartialEq)]
pub enum Rule {
    /// An object, or null.
    Object,
    /// A version that is accepted.
    Version,
    /// A string.
    Text {
        /// Least number of bytes of UTF-8.
        min_bytes: usize,
        /// Greatest number of bytes of UTF-8.
        max_bytes: usize,
        /// If there are any, it is one of these.
        one_of: Vec<String>,
    },
    /// An integer of 64 bits, signed; a number without a fraction is one.
    Integer {
        /// The least.
        min: i64,
        /// The greatest.
        max: i64,
        /// If there are any, it is one of these.
        one_of: Vec<i64>,
    },
    /// A number.
    Double {
        /// The least, in the event's unit.
        min: Option<f64>,
        /// The greatest, in the event's unit.
        max: Option<f64>,
        /// The event's unit.
        unit: Unit,
    },
    /// True or false.
    Boolean,
    /// A time.
    Time {
        /// How it is written.
        format: TimeFormat,
        /// Where it must lie, if it is the event's.
        bounds: Option<TimeBounds>,
    },
    /// Any JSON value.
    Json {
        /// Greatest number of bytes of its text.
        max_bytes: usize,
    },
    /// Of the type of the filter's values.
    Filter(FilterType),
}

/// What a field is when an event does not have it.
#[derive(Clone, Debug, PartialEq)]
pub enum Absent {
    /// The event is rejected.
    Required,
    /// Null.
    Null,
    /// This text.
    Text(String),
    /// This number.
    Number(f64),
}

/// The unit in which an event gives its duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// `s`
    Seconds,
    /// `ms`, the unit of the lake.
    Milliseconds,
    /// `us`
    Microseconds,
}

impl Unit {
    /// The number in milliseconds.
    pub fn to_ms(self, number: f64) -> f64 {
        match self {
            Self::Seconds => number * 1000.0,
            Self::Milliseconds => number,
            Self::Microseconds => number / 1000.0,
        }
    }

    /// The name in the file.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "s",
            Self::Milliseconds => "ms",
            Self::Microseconds => "us",
        }
    }
}

/// How a time is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeFormat {
    /// Text of RFC 3339 with an offset.
    Rfc3339,
    /// A number of `microseconds` each since the Unix epoch.
    Epoch {
        /// Microseconds in one: 1,000,000, 1,000 or 1.
        microseconds: i64,
    },
}

impl TimeFormat {
    /// All of them, by their names in the file.
    pub const ALL: [(&'static str, Self); 4] = [
        ("rfc3339", Self::Rfc3339),
        (
            "epoch_s",
            Self::Epoch {
                microseconds: 1_000_000,
            },
        ),
        (
            "epoch_ms",
            Self::Epoch {
                microseconds: 1_000,
            },
        ),
        ("epoch_us", Self::Epoch { microseconds: 1 }),
    ];

    /// The name in the file.
    pub fn name(self) -> &'static str {
        let named = Self::ALL.iter().find(|(_, format)| *format == self);
        named.map_or("", |(name, _)| name)
    }
}

/// Where the time of an event must lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBounds {
    /// Earliest, in microseconds since the Unix epoch.
    pub not_before_us: i64,
    /// How far ahead of arrival, in hours.
    pub max_ahead_hours: u32,
}

impl TimeBounds {
    /// The earliest time, for people: a year, or a time.
    pub fn not_before(&self) -> String {
        let time = jiff::Timestamp::from_microsecond(self.not_before_us).unwrap_or_default();
        let text = time.to_string();
        match text.strip_suffix("-01-01T00:00:00Z") {
            Some(year) => format!("the year {year}"),
            None => text,
        }
    }
}

/// Which events are dropped on purpose.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Where a parser puts the value of its field.
    pub slot: usize,
    /// Events that have one of these there are dropped.
    pub values: Vec<Literal>,
}

/// A value that can be named in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Literal {
    /// True or false.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A string.
    Text(String),
}

impl fmt::Display for Literal {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        match self {
            Self::Boolean(boolean) => boolean.fmt(formatter),
            Self::Integer(integer) => integer.fmt(formatter),
            Self::Text(text) => write!(formatter, "\"{text}\""),
        }
    }
}

/// The type of a filter's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterType {
    /// True or false.
    Boolean,
    /// Integers.
    Integer,
    /// Strings.
    Text,
}

/// The versions that are accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Versions {
    /// Numbers, stored as they are.
    Numbers(Vec<u32>),
    /// Texts, stored as their place in this list, from 1.
    Texts(Vec<String>),
}

impl fmt::Display for Versions {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        let texts: Vec<String> = match self {
            Self::Numbers(numbers) => numbers.iter().map(ToString::to_string).collect(),
            Self::Texts(texts) => texts.clone(),
        };
        formatter.write_str(&texts.join(", "))
    }
}

impl Versions {
    /// What the lake has in `schema_version`.
    pub fn stored(&self) -> Vec<u32> {
        match self {
            Self::Numbers(numbers) => numbers.clone(),
            Self::Texts(texts) => (1..).take(texts.len()).collect(),
        }
    }
}
