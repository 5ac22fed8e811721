//! What an event is, as data: where its fields are, and their rules. Read from one TOML file when a program starts.
//!
//! The file's keys are in the README of this crate. [`Contract::of_file`] checks the file; whoever has a [`Contract`]
//! has one that holds together.

mod file;
mod names;

use std::fmt;
use std::sync::LazyLock;

pub use names::{Found, Names};

/// The name of the file, in a function's package and in this crate.
pub const FILE: &str = "contract.toml";

/// The contract that Tributary's own producer writes, as text.
pub const OURS: &str = include_str!("../contract.toml");

/// Columns that every lake has, besides its typed ones, and those that readers make: no typed column is named so.
pub const RESERVED_COLUMNS: [&str; 14] = [
    "event_time",
    "device_type",
    "device_id",
    "event_duration",
    "value",
    "attributes",
    "arrival_time",
    "shard",
    "position",
    "schema_version",
    "event_id",
    "date",
    "day",
    "uri",
];

/// Earliest time of a column: 0001-01-01T00:00:00Z, in microseconds since the Unix epoch. Readers know no earlier one.
pub const MIN_TIME_US: i64 = -62_135_596_800_000_000;

/// Latest time of a column: 9999-12-31T23:59:59.999999Z, in microseconds since the Unix epoch.
pub const MAX_TIME_US: i64 = 253_402_300_799_999_999;

/// The fields of an event and their rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Contract {
    hash: String,
    fields: Vec<Field>,
    names: Names,
    slots: usize,
    columns: Vec<Column>,
    filter: Option<Filter>,
    versions: Versions,
    constant_version: Option<u32>,
}

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

impl Contract {
    /// The contract that a file's bytes state; `name` is the file's, for messages.
    ///
    /// # Errors
    /// One line that names the file, the line, the key and the rule.
    pub fn of_file(name: &str, bytes: &[u8]) -> Result<Self, ContractError> {
        file::read(bytes).map_err(|problem| ContractError {
            file: name.to_owned(),
            problem,
        })
    }

    /// The contract of [`OURS`].
    ///
    /// # Panics
    /// Never: a test reads it.
    pub fn ours() -> &'static Self {
        static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
            Contract::of_file(FILE, OURS.as_bytes()).unwrap_or_else(|error| panic!("{error}"))
        });
        &CONTRACT
    }

    /// SHA-256 of the file, in hexadecimal digits.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// The fields, in the order in which their rules are tried.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// The field of a role, unless the contract has none.
    pub fn field(&self, role: Role) -> Option<&Field> {
        self.fields.iter().find(|field| field.role == role)
    }

    /// Where the fields are in an event.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// How many slots a parser needs.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// The typed columns, in order.
    pub fn columns(&self) -> &[Column] {
        &self.columns
    }

    /// All columns of `events/` in the lake, in stored order: name, type as Hive (and so Glue and Athena) calls it, and
    /// whether it may be null.
    pub fn lake_columns(&self) -> Vec<(&str, &'static str, bool)> {
        let typed = self.columns.iter().map(|column| {
            let hive = match column.column_type {
                ColumnType::String | ColumnType::Json => "string",
                ColumnType::Integer => "bigint",
                ColumnType::Double => "double",
                ColumnType::Boolean => "boolean",
                ColumnType::Timestamp => "timestamp",
            };
            (&*column.name, hive, column.nullable)
        });
        let mut columns = vec![
            ("event_time", "timestamp", false),
            ("device_type", "string", false),
            ("device_id", "string", false),
            ("event_duration", "double", false),
            ("value", "double", true),
            ("attributes", "string", true),
            ("arrival_time", "timestamp", false),
            ("shard", "string", false),
            ("position", "string", false),
            ("schema_version", "int", false),
        ];
        columns.extend(typed);
        columns.push(("event_id", "string", false));
        columns
    }

    /// What is dropped on purpose, if anything.
    pub fn filter(&self) -> Option<&Filter> {
        self.filter.as_ref()
    }

    /// The versions that are accepted.
    pub fn versions(&self) -> &Versions {
        &self.versions
    }

    /// What the lake has in `schema_version` if events have no such field: the last of the accepted versions.
    pub fn constant_version(&self) -> Option<u32> {
        self.constant_version
    }
}

/// What is wrong with a contract's file, in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContractError {
    file: String,
    problem: Problem,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Problem {
    /// From 1; `None` where it is of the whole file.
    line: Option<usize>,
    what: String,
}

impl ContractError {
    /// A file that could not be read; `error` is the operating system's.
    pub fn unreadable(name: &str, error: &dyn fmt::Display) -> Self {
        let what = format!("cannot be read: {error}");
        Self {
            file: name.to_owned(),
            problem: Problem { line: None, what },
        }
    }
}

impl fmt::Display for ContractError {
    fn fmt(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        write!(formatter, "{}", self.file)?;
        if let Some(line) = self.problem.line {
            write!(formatter, " line {line}")?;
        }
        write!(formatter, ": {}", self.problem.what)
    }
}

impl std::error::Error for ContractError {}
