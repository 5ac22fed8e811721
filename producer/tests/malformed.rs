//! Every defect is what its reason says, as far as the contract's own type and `serde_json` can tell.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use events::{
    Event, MAX_DEVICE_TYPE_BYTES, MAX_ID_BYTES, MIN_EVENT_TIME_US, Reason, SCHEMA_VERSION,
};
use jiff::Timestamp;
use producer::generate::DEFECTS;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

/// As far ahead of any arrival as an accepted event can lie until the year 2900.
const FAR_AHEAD: &str = "2900-01-01T00:00:00Z";

fn good_event() -> Event<'static> {
    serde_json::from_str(include_str!(
        "../../functions/events/fixtures/event.v1.json"
    ))
    .unwrap()
}

/// The rules that a payload breaks, each found without regard to the others.
fn broken_rules(payload: &[u8]) -> Vec<Reason> {
    if payload.is_empty() {
        return vec![Reason::EmptyRecord];
    }
    let Ok(text) = str::from_utf8(payload) else {
        return vec![Reason::InvalidUtf8];
    };
    if serde_json::from_str::<IgnoredAny>(text).is_err() {
        return vec![Reason::InvalidJson];
    }
    if !text.starts_with('{') {
        return vec![Reason::NotAnObject];
    }
    if let Err(error) = serde_json::from_str::<Value>(text)
        && error.to_string().contains("recursion limit")
    {
        return vec![Reason::TooDeep];
    }
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).unwrap();
    if fields
        .values()
        .any(|value| value.get().parse::<f64>().is_ok_and(f64::is_infinite))
    {
        return vec![Reason::OutOfRange];
    }
    match serde_json::from_str::<Event>(text) {
        Ok(event) => broken_values(&event),
        Err(error) => {
            let message = error.to_string();
            let reason = ["duplicate field", "missing field", "invalid type"]
                .iter()
                .position(|start| message.starts_with(start))
                .unwrap_or_else(|| panic!("{message}"));
            vec![
                [
                    Reason::DuplicateField,
                    Reason::MissingField,
                    Reason::WrongType,
                ][reason],
            ]
        }
    }
}

fn broken_values(event: &Event) -> Vec<Reason> {
    let texts = [
        (&event.event_id, MAX_ID_BYTES),
        (&event.device_id, MAX_ID_BYTES),
        (&event.device_type, MAX_DEVICE_TYPE_BYTES),
    ];
    let time = event.event_time.parse::<Timestamp>();
    let far_ahead: Timestamp = FAR_AHEAD.parse().unwrap();
    let out_of_range =
        |time: &Timestamp| time.as_microsecond() < MIN_EVENT_TIME_US || *time > far_ahead;
    [
        (
            event.schema_version > SCHEMA_VERSION,
            Reason::UnsupportedSchemaVersion,
        ),
        (
            texts.iter().any(|(text, _)| text.is_empty()),
            Reason::EmptyField,
        ),
        (
            texts.iter().any(|(text, most)| text.len() > *most),
            Reason::OversizedField,
        ),
        (event.event_duration < 0.0, Reason::OutOfRange),
        (time.is_err(), Reason::InvalidEventTime),
        (
            time.as_ref().is_ok_and(out_of_range),
            Reason::EventTimeOutOfRange,
        ),
    ]
    .into_iter()
    .filter_map(|(broken, reason)| broken.then_some(reason))
    .collect()
}

#[test]
fn a_good_event_breaks_no_rule() {
    assert_eq!(
        broken_rules(&serde_json::to_vec(&good_event()).unwrap()),
        []
    );
}

#[test]
fn every_defect_breaks_the_rule_that_it_names_and_no_other() {
    // Whether bytes can be unpacked is the pipeline's to say, in tests/pipeline.rs.
    let packed = [
        Reason::CorruptAggregate,
        Reason::CorruptCompression,
        Reason::PayloadTooLarge,
    ];
    for defect in DEFECTS
        .iter()
        .filter(|defect| !packed.contains(&defect.reason))
    {
        assert_eq!(
            broken_rules(&defect.spoil(&good_event())),
            [defect.reason],
            "{}",
            defect.name
        );
    }
}
