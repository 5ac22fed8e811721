//! Tests of the parser: one per rule, and agreement with the contract crate.

use events::Event;
use proptest::prelude::*;

use super::*;

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
    parse(text.as_bytes(), ARRIVAL_MS).unwrap_or_else(|rejected| panic!("{text}: {rejected:?}"))
}

fn rejected(payload: &[u8]) -> (Reason, String) {
    match parse(payload, ARRIVAL_MS) {
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
            test: true,
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
fn half_a_surrogate_pair_is_invalid_json_and_no_number() {
    for half in [
        r"\ud83d",
        r"\ude00",
        r"\ude00\ud83d",
        r"\ud83d\u0041",
        r"a\uD83Dz",
    ] {
        for field in [
            "event_id",
            "device_id",
            "device_type",
            "event_time",
            "value",
            "test",
        ] {
            let text = event_with(field, Some(&format!("\"{half}\"")));
            let (reason, detail) = rejected(text.as_bytes());
            assert_eq!(reason, Reason::InvalidJson, "{text}");
            assert!(detail.starts_with(field), "{detail}");
        }
        let text = event_with(half, Some("1"));
        assert_eq!(rejected(text.as_bytes()).0, Reason::InvalidJson, "{text}");
        // A value that nobody reads is kept as it is: the grammar of JSON allows it.
        assert!(
            accepted(&event_with("note", Some(&format!("\"{half}\""))))
                .attributes
                .is_some()
        );
    }
    assert_eq!(
        accepted(&event_with("device_id", Some(r#""\ud83d\ude00""#))).device_id,
        "\u{1F600}"
    );
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
fn what_is_not_an_object_is_told_apart_from_what_is_not_json() {
    for (payload, reason) in [
        (&b""[..], Reason::EmptyRecord),
        (b" \r\n\t", Reason::EmptyRecord),
        (b"[]", Reason::NotAnObject),
        (b"[{\"event_id\":\"a\"}]", Reason::NotAnObject),
        (b"\"text\"", Reason::NotAnObject),
        (b"42", Reason::NotAnObject),
        (b"null", Reason::NotAnObject),
        (b"hello", Reason::InvalidJson),
        (b"{", Reason::InvalidJson),
        (b"{\"event_id\":\"a\"", Reason::InvalidJson),
        (b"{\"event_id\":\"a\"} {}", Reason::InvalidJson),
        (b"{\"event_id\":\"a\",}", Reason::InvalidJson),
        (b"{\"event_id\":\"\xff\"}", Reason::InvalidUtf8),
        (b"\xfe\xff", Reason::InvalidUtf8),
    ] {
        assert_eq!(
            rejected(payload).0,
            reason,
            "{}",
            String::from_utf8_lossy(payload)
        );
    }
}

#[test]
fn a_field_of_the_contract_that_comes_twice_is_rejected() {
    let text = event_with("event_id", Some(r#""a","event_id":"a""#));
    let expected = (
        Reason::DuplicateField,
        "event_id occurs more than once".to_owned(),
    );
    assert_eq!(rejected(text.as_bytes()), expected);
    // The same name in other letters is the same name.
    let text = event_with("event_id", Some(r#""a","event\u005fid":"a""#));
    assert_eq!(rejected(text.as_bytes()), expected);
}

#[test]
fn nesting_is_bounded_before_any_parser_recurses() {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        for levels in [10_000, 500_000] {
            let json = format!("{}1{}", open.repeat(levels), close.repeat(levels));
            let text = event_with("deep", Some(&json));
            assert_eq!(
                rejected(text.as_bytes()).0,
                Reason::TooDeep,
                "{levels} levels of {open}"
            );
            assert_eq!(rejected(open.repeat(levels).as_bytes()).0, Reason::TooDeep);
        }
    }
    let deepest = MAX_DEPTH - 1;
    let json = format!("{}{}", "[".repeat(deepest), "]".repeat(deepest));
    assert!(
        accepted(&event_with("deep", Some(&json)))
            .attributes
            .is_some()
    );
    // Brackets inside of strings and side by side are not depth.
    let text = event_with(
        "flat",
        Some(&format!(
            "[\"\\\"{}\",{}]",
            "[".repeat(1000),
            vec!["[]"; 500].join(",")
        )),
    );
    assert!(accepted(&text).attributes.is_some());
}

#[test]
fn a_megabyte_of_unknown_fields_is_kept() {
    let json = format!("\"{}\"", "x".repeat(1024 * 1024));
    let row_text = event_with("blob", Some(&json));
    assert_eq!(
        accepted(&row_text).attributes,
        Some(format!("{{\"blob\":{json}}}"))
    );
}

#[test]
fn unknown_fields_keep_their_text_in_their_order() {
    let text = event_with(
        "a\\u0022b",
        Some(r#"{"x": 1.50, "y":[1e999, "\u00e9"]},"z":null,"z":1"#),
    );
    let attributes = accepted(&text)
        .attributes
        .expect("there are unknown fields");
    assert_eq!(
        attributes,
        r#"{"a\"b":{"x": 1.50, "y":[1e999, "\u00e9"]},"z":null,"z":1}"#
    );
    serde_json::from_str::<IgnoredAny>(&attributes).expect("it is JSON");
}

#[test]
fn unknown_fields_are_held_to_json_all_the_way_down() {
    for json in [
        r#""\u00_v""#,
        r#"{"v":["\x"]}"#,
        "\"a\nb\"",
        "[1,]",
        "{\"v\":01}",
    ] {
        let text = event_with("firmware", Some(json));
        assert_eq!(rejected(text.as_bytes()).0, Reason::InvalidJson, "{text}");
    }
}

#[test]
fn event_times_are_read_in_any_offset_to_the_microsecond() {
    for (text, us) in [
        ("2026-11-22T11:59:00Z", 1_795_348_740_000_000),
        ("2026-11-22t11:59:00z", 1_795_348_740_000_000),
        ("2026-11-22 11:59:00Z", 1_795_348_740_000_000),
        ("2026-11-22T23:44:00.25+11:45", 1_795_348_740_250_000),
        ("2026-11-21T23:59:00-12:00", 1_795_348_740_000_000),
        ("2026-11-22T11:59:00-00:00", 1_795_348_740_000_000),
        ("2026-11-22T11:58:59.123456789Z", 1_795_348_739_123_456),
        ("2026-11-23T12:00:00Z", 1_795_435_200_000_000),
        ("2000-01-01T00:00:00Z", 946_684_800_000_000),
        // Below the microsecond is cut off, however long it is.
        ("2026-11-22T11:59:00.1Z", 1_795_348_740_100_000),
        ("2026-11-22T11:59:00.1234569999Z", 1_795_348_740_123_456),
        (
            "2026-11-22T11:59:00.0000009999999999999999999999999999z",
            1_795_348_740_000_000,
        ),
        // A leap second counts as the second before it: Unix time has no other place for it.
        ("2016-12-31T23:59:60Z", 1_483_228_799_000_000),
        ("2016-12-31T23:59:60.25Z", 1_483_228_799_250_000),
        ("2017-01-01T05:44:60+05:45", 1_483_228_799_000_000),
        ("2016-12-31T15:59:60-08:00", 1_483_228_799_000_000),
        ("2024-02-29T23:59:59+23:59", 1_709_164_859_000_000),
        ("2024-02-28T00:00:00-23:59", 1_709_164_740_000_000),
    ] {
        let event = event_with("event_time", Some(&format!("\"{text}\"")));
        assert_eq!(accepted(&event).event_time_us, us, "{text}");
    }
}

#[test]
fn event_times_that_are_not_rfc_3339_are_rejected() {
    const FORM: &str = "is not an RFC 3339 date and time with an offset";
    const DAY: &str = "is not on a day of the calendar";
    const TIME: &str = "is not at a time of the day";
    const LEAP: &str = "is at a leap second other than 23:59:60 UTC";
    const OFFSET: &str = "has an offset beyond 23:59";
    for (text, detail) in [
        ("", FORM),
        ("yesterday", FORM),
        ("2026-11-22", FORM),
        ("2026-11-22T11:59:00", FORM),
        ("2026-11-22T11:59Z", FORM),
        ("20261122T115900Z", FORM),
        ("2026-11-22T11:59:00+01", FORM),
        ("2026-11-22T11:59:00+0100", FORM),
        ("2026-11-22T11:59:00+1:00", FORM),
        ("2026-11-22T11:59:00\u{2212}01:00", FORM),
        ("2026-11-22T11:59:00Z[UTC]", FORM),
        ("2026-11-22T11:59:00ZZ", FORM),
        ("2026-11-22T11:59:00,5Z", FORM),
        ("2026-11-22T11:59:00.Z", FORM),
        ("2026-11-22T11:59:00.5.5Z", FORM),
        ("2026-11-22T11:59:00. 5Z", FORM),
        ("2026-11-22_11:59:00Z", FORM),
        ("2026-11-22  11:59:00Z", FORM),
        (" 2026-11-22T11:59:00Z", FORM),
        ("2026-11-22T11:59:00Z ", FORM),
        ("2026-11-22T+1:59:00Z", FORM),
        ("2026-11-22T11:59:-1Z", FORM),
        ("+002026-11-22T11:59:00Z", FORM),
        ("-026-11-22T11:59:00Z", FORM),
        ("12026-11-22T11:59:00Z", FORM),
        ("\u{0662}026-11-22T11:59:00Z", FORM),
        ("2026-1\u{0661}-22T11:59:00Z", FORM),
        ("Z", FORM),
        ("é026-11-22T11:59:00Z", FORM),
        ("2026-02-29T00:00:00Z", DAY),
        ("2100-02-29T00:00:00Z", DAY),
        ("2026-13-01T00:00:00Z", DAY),
        ("2026-00-10T00:00:00Z", DAY),
        ("2026-11-00T00:00:00Z", DAY),
        ("2026-11-31T00:00:00Z", DAY),
        ("2026-11-22T24:00:00Z", TIME),
        ("2026-11-22T23:60:00Z", TIME),
        ("2026-11-22T11:59:61Z", TIME),
        ("2026-11-22T11:59:60Z", LEAP),
        ("2026-11-22T23:58:60Z", LEAP),
        ("2026-11-22T23:59:60+01:00", LEAP),
        ("2026-11-22T22:59:60+00:30", LEAP),
        ("2026-11-22T11:59:00+24:00", OFFSET),
        ("2026-11-22T11:59:00-25:59", OFFSET),
        ("2026-11-22T11:59:00+01:60", OFFSET),
    ] {
        let event = event_with("event_time", Some(&format!("\"{text}\"")));
        assert_eq!(
            rejected(event.as_bytes()),
            (Reason::InvalidEventTime, format!("event_time {detail}")),
            "{text}"
        );
    }
}

#[test]
fn event_times_of_the_calendar_that_are_too_early_or_late_are_out_of_range() {
    for text in [
        "9999-12-31T23:59:59Z",
        "9999-12-31T23:59:60Z",
        "9999-12-31T23:59:59.999999999-23:59",
        "0000-01-01T00:00:00Z",
        "0000-01-01T00:00:00+23:59",
        "0001-01-01T00:00:00Z",
        "1969-12-31T23:59:60Z",
        "1999-12-31T23:59:59.999999999Z",
    ] {
        let event = event_with("event_time", Some(&format!("\"{text}\"")));
        assert_eq!(
            rejected(event.as_bytes()).0,
            Reason::EventTimeOutOfRange,
            "{text}"
        );
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

fn any_event() -> impl Strategy<Value = Event<'static>> {
    let text = |max: usize| {
        proptest::collection::vec(any::<char>(), 1..=max / 4).prop_map(String::from_iter)
    };
    (
        text(MAX_ID_BYTES),
        text(MAX_ID_BYTES),
        text(MAX_DEVICE_TYPE_BYTES),
        MIN_EVENT_TIME_US..ARRIVAL_MS * 1000,
        0.0..1e300,
        proptest::option::of(-1e300..1e300),
        any::<bool>(),
    )
        .prop_map(
            |(event_id, device_id, device_type, us, event_duration, value, test)| Event {
                schema_version: 1,
                event_id: event_id.into(),
                device_id: device_id.into(),
                device_type: device_type.into(),
                event_time: jiff::Timestamp::from_microsecond(us)
                    .expect("in range")
                    .to_string()
                    .into(),
                event_duration,
                value,
                test,
            },
        )
}

proptest! {
    #[test]
    fn whatever_the_contract_type_writes_is_read_back_the_same(event in any_event()) {
        let text = serde_json::to_string(&event).expect("an event is JSON");
        let row = accepted(&text);
        prop_assert_eq!(&row.event_id, &event.event_id);
        prop_assert_eq!(&row.device_id, &event.device_id);
        prop_assert_eq!(&row.device_type, &event.device_type);
        prop_assert_eq!(row.event_duration.to_bits(), event.event_duration.to_bits());
        prop_assert_eq!(row.value.map(f64::to_bits), event.value.map(f64::to_bits));
        prop_assert_eq!(row.test, event.test);
        prop_assert_eq!(row.attributes, None);
        let time: jiff::Timestamp = event.event_time.parse().expect("a time");
        prop_assert_eq!(row.event_time_us, time.as_microsecond());
    }

    #[test]
    fn a_number_is_read_as_the_double_that_is_nearest(
        text in r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?"
    ) {
        let event = event_with("value", Some(&text));
        let nearest: f64 = text.parse().expect("a number");
        match parse(event.as_bytes(), ARRIVAL_MS) {
            Ok(row) => prop_assert_eq!(row.value.map(f64::to_bits), Some((nearest + 0.0).to_bits()), "{}", text),
            Err(rejected) => {
                prop_assert_eq!(rejected.reason, Reason::OutOfRange);
                prop_assert!(nearest.is_infinite(), "{}", text);
            }
        }
    }

    #[test]
    fn an_event_time_is_read_as_jiff_reads_it(
        us in MIN_EVENT_TIME_US..ARRIVAL_MS * 1000, minutes in -1439_i32..=1439, digits in 0_usize..=9, more in "[0-9]{0,30}"
    ) {
        let time = jiff::Timestamp::from_microsecond(us).expect("in range");
        let offset = jiff::tz::Offset::from_seconds(minutes * 60).expect("in range");
        let fraction = format!("{:06}000", us.rem_euclid(1_000_000));
        let fraction = if digits == 0 { String::new() } else { format!(".{}{}", &fraction[..digits], if digits == 9 { &*more } else { "" }) };
        let sign = if minutes < 0 { '-' } else { '+' };
        let (hours, minutes) = (minutes.abs() / 60, minutes.abs() % 60);
        let text = format!(
            "{}{fraction}{sign}{hours:02}:{minutes:02}", offset.to_datetime(time).strftime("%Y-%m-%dT%H:%M:%S")
        );
        let event = event_with("event_time", Some(&format!("\"{text}\"")));
        let scale = 10_i64.pow(u32::try_from(6_usize.saturating_sub(digits)).expect("small"));
        prop_assert_eq!(accepted(&event).event_time_us, us.div_euclid(scale) * scale, "{}", text);
    }

    #[test]
    fn hostile_bytes_are_rejected_and_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(parse(&bytes, ARRIVAL_MS).is_err());
    }

    #[test]
    fn a_truncated_event_is_invalid_json(event in any_event(), keep in 0.0..1.0) {
        let text = serde_json::to_string(&event).expect("an event is JSON");
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss, reason = "an index")]
        let cut = 1 + ((text.len() - 2) as f64 * keep) as usize;
        let reason = rejected(&text.as_bytes()[..cut]).0;
        prop_assert!(matches!(reason, Reason::InvalidJson | Reason::InvalidUtf8), "{:?}", reason);
    }

    #[test]
    fn what_is_accepted_is_json_to_serde_json_too(text in r#"\{("[a-z_]{1,8}":(-?[0-9.eE+]{1,6}|"[^"\\]{0,5}"|\[\]|null),?){0,4}\}"#) {
        let judged_valid = !matches!(rejected(text.as_bytes()).0, Reason::InvalidJson);
        let overflow = rejected(text.as_bytes()).0 == Reason::OutOfRange;
        prop_assert_eq!(judged_valid, overflow || serde_json::from_str::<IgnoredAny>(&text).is_ok(), "{}", text);
    }
}
