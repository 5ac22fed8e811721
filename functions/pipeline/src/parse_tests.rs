//! Tests of the parser: one per rule, and agreement with the contract crate.

use super::*;

#[path = "parse_tests/event_times.rs"]
mod event_times;
#[path = "parse_tests/generated.rs"]
mod generated;
#[path = "parse_tests/json.rs"]
mod json;

/// 2026-11-22T12:00:00Z
const ARRIVAL_MS: i64 = 1_795_348_800_000;

/// A valid event with one field's JSON replaced; `None` removes the field.
fn event_with(field: &str, json: Option<&str>) -> String {
    let fields = [
        ("schema_version", "1"),
        ("event_id", "\"e-1\""),
        ("device_id", "\"d-1\""),
        ("device_type", "\"door\""),
        ("event_time", "\"2026-11-22T11:59:00Z\""),
        ("event_duration", "12.5"),
        ("value", "3"),
    ];
    let mut members: Vec<String> = fields
        .iter()
        .filter(|(name, _)| *name != field)
        .map(|(name, json)| format!("\"{name}\":{json}"))
        .collect();
    members.extend(json.map(|json| format!("\"{field}\":{json}")));
    format!("{{{}}}", members.join(","))
}

fn accepted(text: &str) -> Row<'_> {
    parse(text.as_bytes(), ARRIVAL_MS, Contract::ours())
        .unwrap_or_else(|rejected| panic!("{text}: {rejected:?}"))
}

fn rejected(payload: &[u8]) -> (Reason, String) {
    match parse(payload, ARRIVAL_MS, Contract::ours()) {
        Err(Rejected { reason, detail }) => (reason, detail),
        Ok(row) => panic!("accepted {}: {row:?}", String::from_utf8_lossy(payload)),
    }
}

#[test]
fn every_field_of_the_wire_fixture_has_its_place() {
    let text = include_str!("../../events/fixtures/event.v1.json");
    let row = accepted(text);
    assert_eq!(
        row,
        Row {
            event_time_us: 1_795_338_930_123_456,
            device_type: "thermostat".into(),
            device_id: "thermostat-0042".into(),
            event_duration: 12.75,
            value: Some(21.5),
            attributes: Some(r#"{"firmware":"4.2.0"}"#.into()),
            schema_version: 1,
            event_id: "0193a5c0-7b1e-7c3a-9f00-0123456789ab".into(),
            filtered: true,
            columns: vec![Value::Null; Contract::ours().columns().len()],
        }
    );
    assert!(
        matches!(row.device_id, Cow::Borrowed(_)),
        "text without escapes is borrowed"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_broken_rule_has_its_reason_and_a_detail_that_names_the_field() {
    let long_id = format!("\"{}\"", "x".repeat(129));
    let long_type = format!("\"{}\"", "x".repeat(65));
    for (field, json, reason, detail) in [
        (
            "event_id",
            None,
            Reason::MissingField,
            "event_id is missing",
        ),
        (
            "event_duration",
            None,
            Reason::MissingField,
            "event_duration is missing",
        ),
        (
            "event_id",
            Some("7"),
            Reason::WrongType,
            "event_id is not a string",
        ),
        (
            "device_id",
            Some("null"),
            Reason::WrongType,
            "device_id is not a string",
        ),
        (
            "device_type",
            Some("{\"a\":[1]}"),
            Reason::WrongType,
            "device_type is not a string",
        ),
        (
            "event_duration",
            Some("\"12\""),
            Reason::WrongType,
            "event_duration is not a number",
        ),
        (
            "value",
            Some("[1]"),
            Reason::WrongType,
            "value is not a number",
        ),
        (
            "value",
            Some("true"),
            Reason::WrongType,
            "value is not a number",
        ),
        (
            "test",
            Some("1"),
            Reason::WrongType,
            "test is not true or false",
        ),
        (
            "schema_version",
            Some("1.5"),
            Reason::WrongType,
            "schema_version is not an integer",
        ),
        (
            "event_id",
            Some("\"\""),
            Reason::EmptyField,
            "event_id is empty",
        ),
        (
            "device_type",
            Some("\"\""),
            Reason::EmptyField,
            "device_type is empty",
        ),
        (
            "event_id",
            Some(long_id.as_str()),
            Reason::OversizedField,
            "event_id has 129 bytes, at most 128 are allowed",
        ),
        (
            "device_type",
            Some(long_type.as_str()),
            Reason::OversizedField,
            "device_type has 65 bytes, at most 64 are allowed",
        ),
        (
            "schema_version",
            Some("2"),
            Reason::UnsupportedSchemaVersion,
            "schema_version is 2, this pipeline reads 1",
        ),
        (
            "schema_version",
            Some("-1"),
            Reason::UnsupportedSchemaVersion,
            "schema_version is -1, this pipeline reads 1",
        ),
        (
            "event_duration",
            Some("-0.5"),
            Reason::OutOfRange,
            "event_duration is -0.5, below 0",
        ),
        (
            "schema_version",
            Some("2.0"),
            Reason::UnsupportedSchemaVersion,
            "schema_version is 2, this pipeline reads 1",
        ),
        (
            "schema_version",
            Some("18446744073709551616"),
            Reason::UnsupportedSchemaVersion,
            "schema_version is 18446744073709552000, this pipeline reads 1",
        ),
        (
            "event_duration",
            Some("1e999"),
            Reason::OutOfRange,
            "event_duration is larger than a double can hold",
        ),
        (
            "value",
            Some("-1e999"),
            Reason::OutOfRange,
            "value is larger than a double can hold",
        ),
        (
            "event_time",
            Some("1795348740"),
            Reason::WrongType,
            "event_time is not a string",
        ),
        (
            "event_time",
            Some("\"1999-12-31T23:59:59Z\""),
            Reason::EventTimeOutOfRange,
            "event_time is before the year 2000",
        ),
        (
            "event_time",
            Some("\"2026-11-23T12:00:00.000001Z\""),
            Reason::EventTimeOutOfRange,
            "event_time is over 24 h ahead of arrival",
        ),
    ] {
        let text = event_with(field, json);
        assert_eq!(
            rejected(text.as_bytes()),
            (reason, detail.to_owned()),
            "{text}"
        );
    }
}

#[test]
fn nan_and_infinity_are_not_json() {
    for json in ["NaN", "Infinity", "-Infinity", "+1", ".5", "01", "0x1"] {
        let text = event_with("event_duration", Some(json));
        assert_eq!(rejected(text.as_bytes()).0, Reason::InvalidJson, "{text}");
    }
}

#[test]
fn the_first_thing_seen_is_the_reason_and_nothing_is_guessed() {
    for (field, json, reason) in [
        ("value", r#"1e999,"value":1"#, Reason::OutOfRange),
        ("value", r#"1e999,"event_id2":"\ud83d""#, Reason::OutOfRange),
        ("value", r#"1e999,"\ud83d":1"#, Reason::InvalidJson),
        ("note", "[1e999,-1e999]", Reason::MissingField),
        ("value", "[1e999]", Reason::WrongType),
        ("value", "{\"a\":\"\\ud83d\"}", Reason::WrongType),
    ] {
        let text = event_with(field, Some(json));
        let text = if field == "note" {
            text.replace("\"event_id\":\"e-1\",", "")
        } else {
            text
        };
        assert_eq!(rejected(text.as_bytes()).0, reason, "{text}");
    }
}

#[test]
fn an_integer_is_a_number_without_a_fraction() {
    for json in ["1", "1.0", "1e0", "10e-1", "1.000"] {
        assert_eq!(
            accepted(&event_with("schema_version", Some(json))).schema_version,
            1,
            "{json}"
        );
    }
}

#[test]
fn numbers_are_the_nearest_double_and_there_is_one_zero() {
    for (json, value) in [
        ("1e-400", 0.0),
        ("-1e-400", 0.0),
        ("-0", 0.0),
        ("-0.0", 0.0),
        ("-0e9", 0.0),
        ("9007199254740993", 9_007_199_254_740_992.0),
        ("5e-324", 5e-324),
        ("-1.7976931348623157e308", f64::MIN),
    ] {
        let event = event_with("value", Some(json));
        let read = accepted(&event).value.map(f64::to_bits);
        assert_eq!(read, Some(value.to_bits()), "{json}");
    }
    for json in ["-0", "-0.0", "-1e-400"] {
        let event = event_with("event_duration", Some(json));
        assert_eq!(accepted(&event).event_duration.to_bits(), 0, "{json}");
    }
}

#[test]
fn details_quote_no_payload() {
    let text = event_with("device_id", Some("\"secret\" oops"));
    let (reason, detail) = rejected(text.as_bytes());
    assert_eq!(reason, Reason::InvalidJson);
    assert!(
        !detail.contains("secret") && !detail.contains("oops"),
        "{detail}"
    );
}
