//! The parser compared with the JSON Schema of the contract.
//!
//! What a schema cannot say, or says otherwise, is this alone: lengths are of bytes, and a schema counts characters;
//! an `event_time` has bounds; and RFC 3339 lets a space stand for the `T`, where the format `date-time` does not. A
//! name that comes twice, a number beyond a double, half a surrogate pair and deep nesting are no value that a
//! validator could be given.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::LazyLock;

use events::{Contract, MAX_DEVICE_TYPE_BYTES, MAX_ID_BYTES, Reason};
use jsonschema::Validator;
use pipeline::parse::parse;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

const NOON: i64 = 1_795_348_800_000;

static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema: Value =
        serde_json::from_str(include_str!("../../events/schema/event.v1.schema.json")).unwrap();
    jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap()
});

/// Whether parser and schema agree about a text that is JSON; what they said if not.
fn agree(text: &str) -> Result<(), String> {
    let Ok(mut event) = serde_json::from_str::<Value>(text) else {
        return Ok(());
    };
    let said = parse(text.as_bytes(), NOON, Contract::ours());
    if said.is_ok()
        && let Some(Value::String(time)) = event.get_mut("event_time")
    {
        *time = time.replacen(' ', "T", 1);
    }
    let is_valid = SCHEMA.is_valid(&event);
    let agreed = match &said {
        Ok(_) => is_valid,
        Err(rejected) => match rejected.reason {
            Reason::OversizedField => is_oversized(&event),
            Reason::EventTimeOutOfRange => true,
            Reason::DuplicateField => return Ok(()),
            _ => !is_valid,
        },
    };
    if agreed {
        return Ok(());
    }
    Err(format!("{text}: schema {is_valid}, parser {said:?}"))
}

fn is_oversized(event: &Value) -> bool {
    let bytes = |name| event[name].as_str().map_or(0, str::len);
    bytes("event_id") > MAX_ID_BYTES
        || bytes("device_id") > MAX_ID_BYTES
        || bytes("device_type") > MAX_DEVICE_TYPE_BYTES
}

const ANYTHING: [&str; 14] = [
    "null",
    "true",
    "false",
    "0",
    "-1",
    "1.5",
    "\"\"",
    "\"1\"",
    "[]",
    "[1]",
    "{}",
    "{\"a\":1}",
    "1e308",
    "\"\\u0000\"",
];

/// Mostly as in a plain event, else one of what is `odd` there, or anything, or nothing.
fn member(
    name: &'static str,
    plain: &'static str,
    odd: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    let json = prop_oneof![
        20 => Just(plain.to_owned()),
        4 => odd,
        1 => select(&ANYTHING[..]).prop_map(str::to_owned),
    ];
    prop_oneof![
        25 => json.prop_map(move |json| format!("\"{name}\":{json}")),
        1 => Just(String::new()),
    ]
}

fn one_of(odd: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(odd).prop_map(str::to_owned)
}

/// Texts about as long as the limit, in characters or in bytes.
fn texts(max: usize) -> impl Strategy<Value = String> {
    let lengths = [1, max / 4, max / 4 + 1, max / 2, max / 2 + 1, max, max + 1];
    let characters = ["x", "\\n", "ü", "日", "😀"];
    (select(lengths.to_vec()), select(characters.to_vec()))
        .prop_map(|(length, character)| format!("\"{}\"", character.repeat(length)))
}

/// Times of which about one part is odd.
fn times() -> impl Strategy<Value = String> {
    let part = |plain: &'static [&'static str], odd: &'static [&'static str]| prop_oneof![6 => select(plain), 1 => select(odd)];
    let parts = (
        part(
            &["2026", "2000", "2024"],
            &["1999", "9999", "0000", "026", "02026", "+026"],
        ),
        part(&["02", "11"], &["00", "13", "1", "-1"]),
        part(&["22", "28"], &["00", "29", "31", "32", "2"]),
        part(&["T"], &["t", " ", "", "_", "TT"]),
        part(&["00", "11", "23"], &["24", "1", "99"]),
        part(&["00", "59"], &["60", "5", "99"]),
        part(&["00", "59", "60"], &["61", "5", "99", ""]),
        part(&["", ".5", ".1234567890123"], &[".", ",5", ".-1", "..5"]),
        part(&["Z", "+", "-"], &["z", "", "ZZ", "\u{2212}"]),
        part(
            &["00:00", "01:30", "23:59"],
            &["24:00", "25:59", "00:60", "0:00", "00", "0000", "23:591"],
        ),
    );
    parts.prop_map(
        |(year, month, day, t, hour, minute, second, fraction, sign, offset)| {
            let offset = if ["+", "-", "\u{2212}"].contains(&sign) {
                offset
            } else {
                ""
            };
            format!("\"{year}-{month}-{day}{t}{hour}:{minute}:{second}{fraction}{sign}{offset}\"")
        },
    )
}

fn any_members() -> impl Strategy<Value = String> {
    const VERSIONS: &[&str] = &[
        "1.0",
        "1e0",
        "10e-1",
        "2",
        "2.0",
        "0",
        "1.5",
        "-1",
        "99999999999999999999",
    ];
    const NUMBERS: &[&str] = &[
        "0",
        "-0",
        "-0.0",
        "1e-400",
        "-1e-400",
        "5e-324",
        "-5e-324",
        "1.7e308",
        "9007199254740993",
    ];
    let members = (
        member("schema_version", "1", one_of(VERSIONS)),
        member("event_id", "\"e-1\"", texts(MAX_ID_BYTES)),
        member("device_id", "\"d-1\"", texts(MAX_ID_BYTES)),
        member("device_type", "\"door\"", texts(MAX_DEVICE_TYPE_BYTES)),
        member("event_time", "\"2026-11-22T11:59:00Z\"", times()),
        member("event_duration", "12.5", one_of(NUMBERS)),
        member("value", "3", one_of(NUMBERS)),
        member("test", "false", one_of(&["true"])),
        select(vec!["", "\"more\":[1,{\"a\":null}]", "\"Event_id\":1"]),
    );
    members.prop_map(|(a, b, c, d, e, f, g, h, i)| {
        let members = [a, b, c, d, e, f, g, h, i.to_owned()];
        let members: Vec<_> = members
            .into_iter()
            .filter(|member| !member.is_empty())
            .collect();
        format!("{{{}}}", members.join(","))
    })
}

const PLAIN: &str = r#"{"schema_version":1,"event_id":"é1","device_id":"d-1","device_type":"door","event_time":"2026-11-22T11:59:00.5+01:00","event_duration":12.5,"value":-3,"test":false,"more":[1]}"#;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn the_schema_and_the_parser_agree_about_any_members(event in any_members()) {
        prop_assert_eq!(agree(&event), Ok(()));
    }

    #[test]
    fn the_schema_and_the_parser_agree_about_times(time in times()) {
        let event = PLAIN.replace("\"2026-11-22T11:59:00.5+01:00\"", &time);
        prop_assert_eq!(agree(&event), Ok(()));
    }

    #[test]
    fn the_schema_and_the_parser_agree_about_mutated_events(
        at in 0..PLAIN.chars().count(), removed in 0_usize..4, put in "[0-9eE.+: TZ\",{}a-z-]{0,3}"
    ) {
        let mut event: Vec<char> = PLAIN.chars().collect();
        let end = (at + removed).min(event.len());
        event.splice(at..end, put.chars());
        prop_assert_eq!(agree(&event.into_iter().collect::<String>()), Ok(()));
    }
}

#[test]
fn an_event_that_the_schema_describes_is_accepted() {
    assert!(SCHEMA.is_valid(&serde_json::from_str(PLAIN).unwrap()));
    assert!(parse(PLAIN.as_bytes(), NOON, Contract::ours()).is_ok());
}

#[test]
fn what_a_schema_cannot_say_is_said_by_the_parser() {
    for (field, value, reason) in [
        ("event_id", "é".repeat(65), Reason::OversizedField),
        ("device_id", "日".repeat(43), Reason::OversizedField),
        ("device_type", "😀".repeat(17), Reason::OversizedField),
        (
            "event_time",
            "1999-12-31T23:59:59Z".into(),
            Reason::EventTimeOutOfRange,
        ),
        (
            "event_time",
            "9999-12-31T23:59:59Z".into(),
            Reason::EventTimeOutOfRange,
        ),
    ] {
        let mut event: Value = serde_json::from_str(PLAIN).unwrap();
        event[field] = value.into();
        assert!(SCHEMA.is_valid(&event), "{event}");
        let rejected = parse(event.to_string().as_bytes(), NOON, Contract::ours()).unwrap_err();
        assert_eq!(rejected.reason, reason, "{event}");
    }
    let spaced = PLAIN.replace("22T11", "22 11");
    assert!(parse(spaced.as_bytes(), NOON, Contract::ours()).is_ok());
    assert!(!SCHEMA.is_valid(&serde_json::from_str(&spaced).unwrap()));
}
