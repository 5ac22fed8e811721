//! Bytes → rows | `Rejected(reason)`.
//!
//! The contract is data: [`read`] puts the values of its fields into slots, [`check`] holds each to its rule. Strings are
//! borrowed from the payload, fields that the contract does not name keep their JSON text, and every broken rule has
//! a reason of its own.

mod check;
mod event_time;
mod integer;
mod read;
mod unreadable;

use std::borrow::Cow;

use events::{Contract, Reason};
use serde::de::IgnoredAny;

use read::Scalar;

/// How deep arrays and objects may nest. JSON parsers, ours and those of readers of `attributes`, recurse.
pub const MAX_DEPTH: usize = 64;

/// One accepted event, its text borrowed from the payload where that has no escapes.
#[derive(Clone, Debug, PartialEq)]
pub struct Row<'p> {
    /// When it happened, in microseconds since the Unix epoch.
    pub event_time_us: i64,
    /// The kind of device.
    pub device_type: Cow<'p, str>,
    /// The device.
    pub device_id: Cow<'p, str>,
    /// Milliseconds.
    pub event_duration: f64,
    /// The reading.
    pub value: Option<f64>,
    /// The fields that the contract does not know, as the text of a JSON object. A name that came twice is in
    /// it twice.
    pub attributes: Option<String>,
    /// Version of the contract.
    pub schema_version: u32,
    /// The dedupe key.
    pub event_id: Cow<'p, str>,
    /// Whether the contract says that such events are dropped on purpose.
    pub filtered: bool,
    /// The typed columns that the contract adds, in its order.
    pub columns: Vec<Value<'p>>,
}

/// What a typed column has in one row.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'p> {
    /// Nothing.
    Null,
    /// Text, or the text of a JSON value.
    Text(Cow<'p, str>),
    /// An integer.
    Integer(i64),
    /// A double.
    Double(f64),
    /// True or false.
    Boolean(bool),
    /// Microseconds since the Unix epoch.
    Time(i64),
}

/// Why a record was not accepted. A value, not an error: the batch goes on.
#[derive(Clone, Debug, PartialEq)]
pub struct Rejected {
    /// The rule that it breaks.
    pub reason: Reason,
    /// What broke the rule, for a person; never more of the payload than a field's name.
    pub detail: String,
}

impl Rejected {
    pub(crate) fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}

/// Reads one payload against a contract; see [`Parser::parse`].
pub fn parse<'p>(
    payload: &'p [u8],
    arrival_ms: i64,
    contract: &'p Contract,
) -> Result<Row<'p>, Rejected> {
    Parser::new(contract).parse(payload, arrival_ms)
}

/// Reads payloads against a contract, one after the other.
#[derive(Debug)]
pub struct Parser<'p> {
    contract: &'p Contract,
    slots: Vec<Option<Scalar<'p>>>,
}

impl<'p> Parser<'p> {
    /// A parser of payloads of this contract.
    pub fn new(contract: &'p Contract) -> Self {
        let mut slots = Vec::new();
        slots.resize_with(contract.slots(), || None);
        Self { contract, slots }
    }

    /// Reads one payload.
    ///
    /// `arrival_ms` is the broker's time stamp, in milliseconds since the Unix epoch; event times are held against it.
    pub fn parse(&mut self, payload: &'p [u8], arrival_ms: i64) -> Result<Row<'p>, Rejected> {
        if payload.trim_ascii().is_empty() {
            return Err(Rejected::new(Reason::EmptyRecord, "the payload is empty"));
        }
        let text = std::str::from_utf8(payload)
            .map_err(|error| Rejected::new(Reason::InvalidUtf8, error.to_string()))?;
        // Before any parser: sonic-rs skips containers by recursion, and a megabyte of `[` would end the process.
        if nests_too_deep(text) {
            return Err(Rejected::new(
                Reason::TooDeep,
                format!("nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        if !text.trim_ascii_start().starts_with('{') {
            return Err(not_an_object_or_invalid(text));
        }
        self.slots.fill_with(|| None);
        let attributes = read::fields(text, self.contract.names(), &mut self.slots)
            .map_err(|stop| stop.rejected(text, self.contract))?;
        check::row(self.contract, &mut self.slots, attributes, arrival_ms)
    }
}

fn nests_too_deep(text: &str) -> bool {
    let opens = |byte: &u8| matches!(byte, b'{' | b'[');
    // Counting is a tenth of the cost of scanning, and nearly every record passes on the count alone.
    if text.as_bytes().iter().filter(|byte| opens(byte)).count() <= MAX_DEPTH {
        return false;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in text.bytes() {
        if in_string {
            in_string = escaped || byte != b'"';
            escaped = !escaped && byte == b'\\';
            continue;
        }
        match byte {
            b'"' => in_string = true,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return true;
        }
    }
    false
}

fn not_an_object_or_invalid(text: &str) -> Rejected {
    match serde_json::from_str::<IgnoredAny>(text) {
        Err(error) => Rejected::new(Reason::InvalidJson, error.to_string()),
        Ok(_) => Rejected::new(
            Reason::NotAnObject,
            "the payload is JSON, but not an object",
        ),
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
