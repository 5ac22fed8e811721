//! Bytes → rows | `Rejected(reason)`.
//!
//! A field-by-field visitor instead of a derived one, for three things that a derive cannot do: strings are
//! borrowed from the payload, unknown fields keep their JSON text, and every broken rule has a reason of its own.

mod event_time;
mod unreadable;

use std::borrow::Cow;
use std::fmt;

use events::{
    MAX_DEVICE_TYPE_BYTES, MAX_EVENT_TIME_AHEAD_US, MAX_ID_BYTES, MIN_EVENT_TIME_US, Reason,
    SCHEMA_VERSION,
};
use serde::de::{Deserialize, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use sonic_rs::LazyValue;

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
    /// Whether the producer marked it as synthetic traffic.
    pub test: bool,
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

/// Reads one payload against the contract (crate `events`).
///
/// `arrival_ms` is the broker's time stamp, in milliseconds since the Unix epoch; event times are held against it.
pub fn parse(payload: &[u8], arrival_ms: i64) -> Result<Row<'_>, Rejected> {
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
    let fields: Fields =
        sonic_rs::from_str(text).map_err(|error| unreadable::reason(text, error.offset()))?;
    fields.check(arrival_ms)
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

/// What the object holds for each field of the contract, before any rule is applied.
#[derive(Default)]
struct Fields<'p> {
    schema_version: Option<Scalar<'p>>,
    event_id: Option<Scalar<'p>>,
    device_id: Option<Scalar<'p>>,
    device_type: Option<Scalar<'p>>,
    event_time: Option<Scalar<'p>>,
    event_duration: Option<Scalar<'p>>,
    value: Option<Scalar<'p>>,
    test: Option<Scalar<'p>>,
    attributes: Option<String>,
    duplicate: Option<String>,
}

impl<'p> Fields<'p> {
    fn slot(&mut self, name: &str) -> Option<&mut Option<Scalar<'p>>> {
        Some(match name {
            "schema_version" => &mut self.schema_version,
            "event_id" => &mut self.event_id,
            "device_id" => &mut self.device_id,
            "device_type" => &mut self.device_type,
            "event_time" => &mut self.event_time,
            "event_duration" => &mut self.event_duration,
            "value" => &mut self.value,
            "test" => &mut self.test,
            _ => return None,
        })
    }

    fn keep_unknown(&mut self, name: &str, json: &str) {
        let attributes = self.attributes.get_or_insert_with(String::new);
        attributes.push(if attributes.is_empty() { '{' } else { ',' });
        let quoted = sonic_rs::to_string(name).unwrap_or_default();
        attributes.push_str(&quoted);
        attributes.push(':');
        attributes.push_str(json);
    }

    fn check(self, arrival_ms: i64) -> Result<Row<'p>, Rejected> {
        if let Some(name) = self.duplicate {
            return Err(Rejected::new(
                Reason::DuplicateField,
                format!("{name} occurs more than once"),
            ));
        }
        let schema_version = version(&required("schema_version", self.schema_version)?)?;
        let event_id = text(
            "event_id",
            required("event_id", self.event_id)?,
            MAX_ID_BYTES,
        )?;
        let device_id = text(
            "device_id",
            required("device_id", self.device_id)?,
            MAX_ID_BYTES,
        )?;
        let device_type = text(
            "device_type",
            required("device_type", self.device_type)?,
            MAX_DEVICE_TYPE_BYTES,
        )?;
        let event_time_us = event_time(required("event_time", self.event_time)?, arrival_ms)?;
        let event_duration = duration(&required("event_duration", self.event_duration)?)?;
        let value = match self.value {
            None | Some(Scalar::Null) => None,
            Some(value) => Some(number("value", &value)?),
        };
        let test = match self.test {
            None => false,
            Some(Scalar::Bool(test)) => test,
            Some(_) => return Err(wrong_type("test", "true or false")),
        };
        let attributes = self.attributes.map(|mut attributes| {
            attributes.push('}');
            attributes
        });
        Ok(Row {
            event_time_us,
            device_type,
            device_id,
            event_duration,
            value,
            attributes,
            schema_version,
            event_id,
            test,
        })
    }
}

fn required<'p>(name: &str, field: Option<Scalar<'p>>) -> Result<Scalar<'p>, Rejected> {
    field.ok_or_else(|| Rejected::new(Reason::MissingField, format!("{name} is missing")))
}

fn wrong_type(name: &str, expected: &str) -> Rejected {
    Rejected::new(Reason::WrongType, format!("{name} is not {expected}"))
}

fn version(field: &Scalar) -> Result<u32, Rejected> {
    let unsupported = |version: &dyn fmt::Display| {
        Rejected::new(
            Reason::UnsupportedSchemaVersion,
            format!("schema_version is {version}, this pipeline reads {SCHEMA_VERSION}"),
        )
    };
    match *field {
        Scalar::Unsigned(version) if version == u64::from(SCHEMA_VERSION) => Ok(SCHEMA_VERSION),
        Scalar::Unsigned(version) => Err(unsupported(&version)),
        Scalar::Signed(version) => Err(unsupported(&version)),
        // An integer is a number without a fraction, as JSON Schema has it: some languages write 1 as 1.0.
        Scalar::Float(1.0) => Ok(SCHEMA_VERSION),
        Scalar::Float(version) if version.fract() == 0.0 => Err(unsupported(&version)),
        _ => Err(wrong_type("schema_version", "an integer")),
    }
}

fn text<'p>(name: &str, field: Scalar<'p>, max_bytes: usize) -> Result<Cow<'p, str>, Rejected> {
    let Scalar::Text(text) = field else {
        return Err(wrong_type(name, "a string"));
    };
    match text.len() {
        0 => Err(Rejected::new(
            Reason::EmptyField,
            format!("{name} is empty"),
        )),
        bytes if bytes > max_bytes => Err(Rejected::new(
            Reason::OversizedField,
            format!("{name} has {bytes} bytes, at most {max_bytes} are allowed"),
        )),
        _ => Ok(text),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a JSON number is a double to every reader of the lake"
)]
fn number(name: &str, field: &Scalar) -> Result<f64, Rejected> {
    match *field {
        // One zero: -0.0 + 0.0 is 0.0. sonic-rs drops the sign of -0.0, and keeps that of -1e-400.
        Scalar::Float(number) => Ok(number + 0.0),
        Scalar::Unsigned(number) => Ok(number as f64),
        Scalar::Signed(number) => Ok(number as f64),
        _ => Err(wrong_type(name, "a number")),
    }
}

fn duration(field: &Scalar) -> Result<f64, Rejected> {
    let duration = number("event_duration", field)?;
    if duration < 0.0 {
        return Err(Rejected::new(
            Reason::OutOfRange,
            format!("event_duration is {duration}, below 0"),
        ));
    }
    Ok(duration)
}

fn event_time(field: Scalar, arrival_ms: i64) -> Result<i64, Rejected> {
    let Scalar::Text(text) = field else {
        return Err(wrong_type("event_time", "a string"));
    };
    let event_time_us = event_time::micros(&text).map_err(|detail| {
        Rejected::new(Reason::InvalidEventTime, format!("event_time {detail}"))
    })?;
    if event_time_us < MIN_EVENT_TIME_US {
        return Err(Rejected::new(
            Reason::EventTimeOutOfRange,
            "event_time is before the year 2000",
        ));
    }
    if event_time_us > arrival_ms * 1000 + MAX_EVENT_TIME_AHEAD_US {
        return Err(Rejected::new(
            Reason::EventTimeOutOfRange,
            "event_time is over 24 h ahead of arrival",
        ));
    }
    Ok(event_time_us)
}

/// A JSON value as far as the contract cares: its fields are scalars.
enum Scalar<'p> {
    Text(Cow<'p, str>),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Null,
    Container,
}

impl<'de> Deserialize<'de> for Fields<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FieldsVisitor;

        impl<'de> Visitor<'de> for FieldsVisitor {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an event")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields::default();
                while let Some(Name(name)) = map.next_key()? {
                    if let Some(slot) = fields.slot(&name) {
                        if slot.replace(map.next_value()?).is_some() {
                            fields.duplicate = Some(name.into_owned());
                        }
                    } else {
                        let value: LazyValue = map.next_value()?;
                        let json = value.as_raw_str();
                        // sonic-rs finds the end of a value that it skips, and does not look into its strings.
                        serde_json::from_str::<IgnoredAny>(json).map_err(A::Error::custom)?;
                        fields.keep_unknown(&name, json);
                    }
                }
                Ok(fields)
            }
        }

        deserializer.deserialize_map(FieldsVisitor)
    }
}

struct Name<'p>(Cow<'p, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a field name")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;

        impl<'de> Visitor<'de> for ScalarVisitor {
            type Value = Scalar<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a JSON value")
            }

            fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Borrowed(text)))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Scalar::Text(Cow::Owned(text.to_owned())))
            }

            fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
                Ok(Scalar::Unsigned(number))
            }

            fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
                Ok(Scalar::Signed(number))
            }

            fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
                Ok(Scalar::Float(number))
            }

            fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
                Ok(Scalar::Bool(flag))
            }

            fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
                Ok(Scalar::Null)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Scalar::Container)
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Scalar::Container)
            }
        }

        deserializer.deserialize_any(ScalarVisitor)
    }
}

#[cfg(test)]
#[path = "parse_tests.rs"]
mod tests;
