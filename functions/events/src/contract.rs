//! What an event is, as data: where its fields are, and their rules. Read from one TOML file when a program starts.
//!
//! The file's keys are in the README of this crate. [`Contract::of_file`] checks the file; whoever has a [`Contract`]
//! has one that holds together.

mod field;
mod file;
mod names;

use std::fmt;
use std::sync::LazyLock;

pub use field::{
    Absent, Column, ColumnType, Field, Filter, FilterType, Literal, Role, Rule, TimeBounds,
    TimeFormat, Unit, Versions,
};
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
