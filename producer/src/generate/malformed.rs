//! Records that break exactly one rule of the event contract.

use std::borrow::Cow;

use events::{Event, MAX_DEVICE_TYPE_BYTES, MAX_ID_BYTES, Reason, SCHEMA_VERSION};
use serde::{Deserialize, Serialize};

/// How deep the record of [`Reason::TooDeep`] nests its arrays.
const DEPTH: usize = 10_000;

/// Starts a record of the Kinesis Producer Library
/// (<https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>).
const AGGREGATE: &[u8] = &[0xF3, 0x89, 0x9A, 0xC2];

/// The MD5 of no bytes.
const MD5_OF_NOTHING: &[u8] = &[
    0xD4, 0x1D, 0x8C, 0xD9, 0x8F, 0x00, 0xB2, 0x04, 0xE9, 0x80, 0x09, 0x98, 0xEC, 0xF8, 0x42, 0x7E,
];

/// Starts a gzip stream (RFC 1952).
const GZIP: &[u8] = &[0x1F, 0x8B, 0x08];

/// Starts a zstd frame (RFC 8878).
const ZSTD: &[u8] = &[0x28, 0xB5, 0x2F, 0xFD];

/// The rest of a zstd frame: no size, a window of 128 KiB, and one block, the last, of 128 Ki spaces.
const ZSTD_BOMB: &[u8] = &[0x00, 0x38, 0x03, 0x00, 0x10, b' '];

/// One way to break a good event.
#[derive(Clone, Copy, Debug)]
pub struct Defect {
    /// What is wrong, for test output.
    pub name: &'static str,
    /// The rule that the record then breaks.
    pub reason: Reason,
    spoil: fn(&Event) -> Vec<u8>,
}

impl Defect {
    /// The payload of `event` with this defect.
    pub fn spoil(&self, event: &Event) -> Vec<u8> {
        (self.spoil)(event)
    }
}

const fn defect(name: &'static str, reason: Reason, spoil: fn(&Event) -> Vec<u8>) -> Defect {
    Defect {
        name,
        reason,
        spoil,
    }
}

/// Every defect; the generator takes them in turn, so that all occur even in a short run.
pub const DEFECTS: [Defect; 40] = [
    defect("no bytes", Reason::EmptyRecord, |_| Vec::new()),
    defect("a lone continuation byte", Reason::InvalidUtf8, |event| {
        let mut payload = Fields::of(event).render();
        let middle = payload.len() / 2;
        payload[middle] = 0x80;
        payload
    }),
    defect(
        "a multi-byte character cut short",
        Reason::InvalidUtf8,
        |event| {
            let mut payload = Fields::of(event)
                .with("device_type", r#""caméra""#)
                .render();
            let lead = payload
                .iter()
                .position(|byte| *byte == 0xC3)
                .expect("the é above");
            payload.remove(lead + 1);
            payload
        },
    ),
    defect("cut off", Reason::InvalidJson, |event| {
        let mut payload = Fields::of(event).render();
        payload.truncate(payload.len() * 2 / 3);
        payload
    }),
    defect("two objects in one record", Reason::InvalidJson, |event| {
        Fields::of(event).render().repeat(2)
    }),
    defect("NaN", Reason::InvalidJson, |event| {
        Fields::of(event).with("event_duration", "NaN").render()
    }),
    defect("Infinity", Reason::InvalidJson, |event| {
        Fields::of(event).with("value", "-Infinity").render()
    }),
    defect("a trailing comma", Reason::InvalidJson, |event| {
        let mut payload = Fields::of(event).render();
        payload.insert(payload.len() - 1, b',');
        payload
    }),
    defect("not JSON", Reason::InvalidJson, |_| b"<event/>".to_vec()),
    defect("an array", Reason::NotAnObject, |event| {
        [b"[", &*Fields::of(event).render(), b"]"].concat()
    }),
    defect("a string", Reason::NotAnObject, |event| {
        json(&event.device_id).into_bytes()
    }),
    defect("null", Reason::NotAnObject, |_| b"null".to_vec()),
    defect("10,000 levels", Reason::TooDeep, |event| {
        Fields::of(event)
            .with("path", "[".repeat(DEPTH) + &"]".repeat(DEPTH))
            .render()
    }),
    defect("event_id twice", Reason::DuplicateField, |event| {
        Fields::of(event).twice("event_id").render()
    }),
    defect("event_duration twice", Reason::DuplicateField, |event| {
        Fields::of(event).twice("event_duration").render()
    }),
    defect("no schema_version", Reason::MissingField, |event| {
        Fields::of(event).without("schema_version").render()
    }),
    defect("no event_id", Reason::MissingField, |event| {
        Fields::of(event).without("event_id").render()
    }),
    defect("no device_id", Reason::MissingField, |event| {
        Fields::of(event).without("device_id").render()
    }),
    defect("no event_time", Reason::MissingField, |event| {
        Fields::of(event).without("event_time").render()
    }),
    defect("no fields at all", Reason::MissingField, |_| b"{}".to_vec()),
    defect("a duration in words", Reason::WrongType, |event| {
        Fields::of(event)
            .with("event_duration", r#""fast""#)
            .render()
    }),
    defect("a number as event_id", Reason::WrongType, |event| {
        Fields::of(event).with("event_id", "7").render()
    }),
    defect("a boolean as value", Reason::WrongType, |event| {
        Fields::of(event).with("value", "true").render()
    }),
    defect("an object as device_type", Reason::WrongType, |event| {
        Fields::of(event).with("device_type", "{}").render()
    }),
    defect("a duration beyond f64", Reason::OutOfRange, |event| {
        Fields::of(event).with("event_duration", "1e999").render()
    }),
    defect("a negative duration", Reason::OutOfRange, |event| {
        Fields::of(event).with("event_duration", "-0.5").render()
    }),
    defect("an empty event_id", Reason::EmptyField, |event| {
        Fields::of(event).with("event_id", r#""""#).render()
    }),
    defect("an empty device_type", Reason::EmptyField, |event| {
        Fields::of(event).with("device_type", r#""""#).render()
    }),
    defect("a long event_id", Reason::OversizedField, |event| {
        Fields::of(event)
            .with("event_id", json(&"e".repeat(MAX_ID_BYTES + 1)))
            .render()
    }),
    defect("a long device_type", Reason::OversizedField, |event| {
        Fields::of(event)
            .with("device_type", json(&"t".repeat(MAX_DEVICE_TYPE_BYTES + 1)))
            .render()
    }),
    defect("a time in words", Reason::InvalidEventTime, |event| {
        Fields::of(event)
            .with("event_time", r#""yesterday""#)
            .render()
    }),
    defect(
        "a day that is not in the calendar",
        Reason::InvalidEventTime,
        |event| {
            Fields::of(event)
                .with("event_time", r#""2026-02-30T12:00:00Z""#)
                .render()
        },
    ),
    defect("an ancient time", Reason::EventTimeOutOfRange, |event| {
        Fields::of(event)
            .with("event_time", r#""1999-12-31T23:59:59.999999Z""#)
            .render()
    }),
    defect("a time far ahead", Reason::EventTimeOutOfRange, |event| {
        Fields::of(event)
            .with("event_time", r#""2999-01-01T00:00:00Z""#)
            .render()
    }),
    defect(
        "a later schema",
        Reason::UnsupportedSchemaVersion,
        |event| {
            Fields::of(event)
                .with("schema_version", (SCHEMA_VERSION + 1).to_string())
                .render()
        },
    ),
    defect(
        "an aggregate without checksum",
        Reason::CorruptAggregate,
        |event| [AGGREGATE, &Fields::of(event).render()].concat(),
    ),
    defect("an aggregate of nothing", Reason::CorruptAggregate, |_| {
        [AGGREGATE, MD5_OF_NOTHING].concat()
    }),
    defect(
        "an event behind gzip's magic",
        Reason::CorruptCompression,
        |event| [GZIP, &Fields::of(event).render()].concat(),
    ),
    defect(
        "an event behind zstd's magic",
        Reason::CorruptCompression,
        |event| [ZSTD, &Fields::of(event).render()].concat(),
    ),
    defect("128 KiB in 10 bytes", Reason::PayloadTooLarge, |_| {
        [ZSTD, ZSTD_BOMB].concat()
    }),
];

/// Whether `event_id` can be read from a payload: it is a JSON object that has it once, as a string.
pub(super) fn carries_event_id(payload: &[u8], event_id: &str) -> bool {
    #[derive(Deserialize)]
    struct Identified<'a> {
        #[serde(borrow)]
        event_id: Cow<'a, str>,
    }
    serde_json::from_slice::<Identified>(payload).is_ok_and(|found| found.event_id == event_id)
}

fn json<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("strings and numbers have a JSON form")
}

/// The fields of an event as JSON text, in order; what `serde_json::Value` cannot hold (a field twice, 1e999) fits in.
struct Fields(Vec<(&'static str, String)>);

impl Fields {
    fn of(event: &Event) -> Self {
        Self(vec![
            ("schema_version", json(&event.schema_version)),
            ("event_id", json(&event.event_id)),
            ("device_id", json(&event.device_id)),
            ("device_type", json(&event.device_type)),
            ("event_time", json(&event.event_time)),
            ("event_duration", json(&event.event_duration)),
            ("value", json(&event.value)),
        ])
    }

    fn with(mut self, name: &'static str, text: impl Into<String>) -> Self {
        match self.0.iter_mut().find(|(field, _)| *field == name) {
            Some((_, present)) => *present = text.into(),
            None => self.0.push((name, text.into())),
        }
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.0.retain(|(field, _)| *field != name);
        self
    }

    fn twice(mut self, name: &str) -> Self {
        let again = self.0.iter().find(|(field, _)| *field == name).cloned();
        self.0.extend(again);
        self
    }

    fn render(&self) -> Vec<u8> {
        let fields: Vec<String> = self
            .0
            .iter()
            .map(|(name, text)| format!("\"{name}\":{text}"))
            .collect();
        format!("{{{}}}", fields.join(",")).into_bytes()
    }
}
