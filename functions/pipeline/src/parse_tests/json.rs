//! What is JSON, what is an object, and what is kept of it.

use super::*;

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
