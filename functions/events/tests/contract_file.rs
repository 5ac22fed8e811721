//! The contract's file: what it may say, and the one line that each mistake gets.

use events::Contract;
use events::contract::{
    Absent, ColumnType, ContractError, Found, OURS, RESERVED_COLUMNS, Role, Rule, Versions,
};

/// Ours as it began: it stays as it is when ours gets columns.
const PLAIN: &str = include_str!("contracts/plain.toml");
const CLOUDEVENTS: &str = include_str!("contracts/cloudevents.toml");
const CLICKS: &str = include_str!("contracts/clicks.toml");
const EVERY_RULE: &str = include_str!("contracts/every-rule.toml");

fn mistake(bytes: &[u8]) -> String {
    Contract::of_file("contract.toml", bytes)
        .map_or_else(|error| error.to_string(), |_| "no mistake".to_owned())
}

/// That contract with a text replaced, or with `more` at its end.
fn plain_with(from: &str, to: &str) -> String {
    assert!(PLAIN.contains(from), "{from}");
    mistake(PLAIN.replacen(from, to, 1).as_bytes())
}

fn plain_and(more: &str) -> String {
    mistake(format!("{PLAIN}{more}").as_bytes())
}

#[test]
fn two_roles_on_one_field_are_a_mistake() {
    assert_eq!(
        plain_with("field = \"device_id\"", "field = \"event_id\""),
        "contract.toml line 15: key.field = \"event_id\": is the field of id already (line 10)"
    );
    assert_eq!(
        plain_and("[[column]]\nname = \"reading\"\nfield = \"value\"\ntype = \"double\"\n"),
        "contract.toml line 46: column reading.field = \"value\": is the field of value already (line 36)"
    );
}

#[test]
fn a_path_through_a_scalar_is_a_mistake() {
    assert_eq!(
        plain_with("field = \"device_id\"", "field = \"event_id.device\""),
        "contract.toml line 15: key.field = \"event_id.device\": goes through \"event_id\", which is the field of id (line 10) and not an object"
    );
    assert_eq!(
        plain_with("field = \"event_id\"", "field = \"a.b\"").replace('\n', ""),
        "no mistake"
    );
    let nested = PLAIN
        .replacen("\"event_id\"", "\"a.b\"", 1)
        .replacen("\"device_id\"", "\"a\"", 1);
    assert_eq!(
        mistake(nested.as_bytes()),
        "contract.toml line 15: key.field = \"a\": is an object, in which id has its field (line 10)"
    );
}

#[test]
fn an_unknown_type_is_a_mistake() {
    assert_eq!(
        plain_and("[[column]]\nname = \"battery\"\ntype = \"float\"\n"),
        "contract.toml line 46: column.type: \"float\" is none of string, integer, double, boolean, timestamp, json"
    );
    assert_eq!(
        plain_with("\"rfc3339\"", "\"iso8601\""),
        "contract.toml line 26: time.format: \"iso8601\" is none of rfc3339, epoch_s, epoch_ms, epoch_us"
    );
}

#[test]
fn a_column_named_as_every_lake_has_one_is_a_mistake() {
    for name in RESERVED_COLUMNS {
        let more = format!("[[column]]\nname = \"{name}\"\nfield = \"x\"\ntype = \"double\"\n");
        assert_eq!(
            plain_and(&more),
            format!(
                "contract.toml line 45: column.name: every lake has a column {name} already; take another name"
            )
        );
    }
}

#[test]
fn what_editors_add_unseen_is_a_mistake() {
    let bom = ["\u{FEFF}", PLAIN].concat();
    assert_eq!(
        mistake(bom.as_bytes()),
        "contract.toml line 1: begins with a byte order mark; save the file as UTF-8 without one"
    );
    assert_eq!(
        mistake(PLAIN.replace('\n', "\r\n").as_bytes()),
        "contract.toml line 1: ends as Windows has it (CR LF); save the file with LF alone"
    );
    let latin = [PLAIN.as_bytes(), b"# caf\xe9\n"].concat();
    assert_eq!(mistake(&latin), "contract.toml line 44: is not UTF-8");
}

#[test]
fn an_empty_file_and_one_that_is_not_there_are_mistakes() {
    let empty = "contract.toml: is empty; it must say where the fields of an event are";
    assert_eq!(mistake(b""), empty);
    assert_eq!(mistake(b" \n\t\n"), empty);
    let error = std::fs::read("/nowhere/contract.toml").unwrap_err();
    assert_eq!(
        ContractError::unreadable("/nowhere/contract.toml", &error).to_string(),
        "/nowhere/contract.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn unknown_and_missing_keys_and_values_of_another_type_are_mistakes_with_their_line() {
    for (found, expected) in [
        (
            plain_with("max_bytes = 64", "max_byte = 64"),
            "contract.toml line 21: unknown field `max_byte`, expected one of `field`, `min_bytes`, `max_bytes`, `one_of`, `default`, `about`",
        ),
        (
            plain_with("max_bytes = 64", "max_bytes = \"64\""),
            "contract.toml line 21: max_bytes: invalid type: string \"64\", expected i64",
        ),
        (
            plain_with("[kind]", "[sort]"),
            "contract.toml line 19: unknown field `sort`, expected one of `version`, `id`, `key`, `kind`, `time`, `duration`, `value`, `column`, `filter`",
        ),
        (
            plain_with("max_bytes = 64", "max_bytes = 64\nmax_bytes = 65"),
            "contract.toml line 22: max_bytes: duplicate key",
        ),
        (
            plain_with("max_bytes = 64", "max_bytes 64"),
            "contract.toml line 21: key with no value, expected `=`",
        ),
        (
            plain_with("field = \"event_time\"\n", ""),
            "contract.toml line 24: missing field `field`",
        ),
        (
            plain_with("field = \"event_id\"\n", ""),
            "contract.toml line 9: id has no field",
        ),
        (
            plain_with("field = \"event_duration\"\n", ""),
            "contract.toml line 31: duration has no field or a default",
        ),
    ] {
        assert_eq!(found, expected);
    }
}

#[test]
fn every_value_of_the_file_has_a_rule() {
    let column = |keys: &str| plain_and(&format!("[[column]]\nname = \"c\"\n{keys}\n"));
    for (found, expected) in [
        (
            plain_with("max_bytes = 64", "max_bytes = 0"),
            "line 21: kind.max_bytes: allows no text",
        ),
        (
            plain_with("max_bytes = 64", "max_bytes = 1025"),
            "line 21: kind.max_bytes: bytes from 0 to 1024",
        ),
        (
            plain_with("max_bytes = 64", "min_bytes = 0"),
            "line 19: kind.min_bytes: is 0, at least 1",
        ),
        (
            plain_with("max_bytes = 64", "default = \"\""),
            "line 21: kind.default: breaks its own rule",
        ),
        (
            plain_with("max_bytes = 128", "default = \"x\""),
            "line 11: id.default: every event has an id of its own",
        ),
        (
            plain_with("= 24", "= 9000"),
            "line 28: time.max_ahead_hours: whole hours from 0 to 8760",
        ),
        (
            plain_with("\"2000-01-01T00:00:00Z\"", "\"2000\""),
            "line 27: time.not_before: is not an RFC 3339 time of the years 1 to 9999, like \"2000-01-01T00:00:00Z\"",
        ),
        (
            plain_with("accepted = [1]", "accepted = []"),
            "line 6: accepted: version.accepted is a list of integers from 0 to 2147483647, or of strings",
        ),
        (
            plain_with("accepted = [1]", "accepted = [1, \"2\"]"),
            "line 6: accepted: version.accepted is a list of integers from 0 to 2147483647, or of strings",
        ),
        (
            plain_with("nullable = true", "unit = \"s\""),
            "line 37: value.unit: a value has none",
        ),
        (
            plain_with("field = \"event_duration\"", "field = \"d\"\nmin = -1"),
            "line 33: duration.min: a duration is not negative",
        ),
        (
            plain_with("field = \"event_duration\"", "field = \"d\"\nunit = \"h\""),
            "line 33: duration.unit: \"h\" is none of s, ms, us",
        ),
        (
            plain_with("values = [true]", "values = [true, 1]"),
            "line 42: filter.values: is a list of strings, of integers, or of true and false",
        ),
        (
            plain_with("field = \"test\"", "field = \"device_type\""),
            "line 42: filter.values: device_type has values of another type",
        ),
        (
            column("type = \"boolean\"\nmin = 1"),
            "line 47: column c: min: is for integer, double",
        ),
        (
            column("type = \"json\"\none_of = [\"a\"]"),
            "line 47: column c: one_of: is for string, integer",
        ),
        (
            column("type = \"timestamp\""),
            "line 46: column c: type: a timestamp has a format: rfc3339, epoch_s, epoch_ms or epoch_us",
        ),
        (
            column("type = \"integer\"\nmin = 2\nmax = 1"),
            "line 47: column c: min: is above max",
        ),
        (
            column("type = \"integer\"\nmin = 1.5"),
            "line 47: column c: min: is not an integer",
        ),
        (
            column("type = \"string\"\none_of = []"),
            "line 47: column c.one_of: is a list of strings",
        ),
        (
            column("type = \"double\"\nfield = \"a..b\""),
            "line 47: column c.field = \"a..b\": names have 1 to 1024 bytes",
        ),
        (
            column("type = \"double\"\n[[column]]\nname = \"c\"\ntype = \"double\""),
            "line 48: column.name: there are two columns c",
        ),
        (
            plain_and("[[column]]\nname = \"Battery\"\ntype = \"double\"\n"),
            "line 45: column.name: \"Battery\" is no column's name: a small letter, then small letters, digits and _, 128 at most",
        ),
    ] {
        assert_eq!(found, format!("contract.toml {expected}"));
    }
}

#[test]
fn ours_is_the_contract_that_the_constants_state() {
    let ours = Contract::ours();
    let fields = ours.fields().iter();
    let roles = fields.filter(|field| !matches!(field.role, Role::Column(_)));
    let names: Vec<_> = roles.map(|field| &*field.name).collect();
    assert_eq!(
        names,
        [
            "schema_version",
            "event_id",
            "device_id",
            "device_type",
            "event_time",
            "event_duration",
            "value",
            "test"
        ]
    );
    let max_bytes = |role| match ours.field(role).unwrap().rule {
        Rule::Text { max_bytes, .. } => max_bytes,
        _ => 0,
    };
    assert_eq!(max_bytes(Role::Id), events::MAX_ID_BYTES);
    assert_eq!(max_bytes(Role::Key), events::MAX_ID_BYTES);
    assert_eq!(max_bytes(Role::Kind), events::MAX_DEVICE_TYPE_BYTES);
    assert_eq!(
        *ours.versions(),
        Versions::Numbers(vec![events::SCHEMA_VERSION])
    );
    let Rule::Time { bounds, .. } = ours.field(Role::Time).unwrap().rule else {
        panic!("a time")
    };
    assert_eq!(bounds.unwrap().not_before_us, events::MIN_EVENT_TIME_US);
    let ahead_us = i64::from(bounds.unwrap().max_ahead_hours) * 3_600_000_000;
    assert_eq!(ahead_us, events::MAX_EVENT_TIME_AHEAD_US);
}

#[test]
fn the_hash_is_that_of_the_file() {
    let contract = Contract::of_file("contract.toml", CLICKS.as_bytes()).unwrap();
    // As sha256sum has it.
    assert_eq!(
        contract.hash(),
        "3e0c57e12e9d5ee4a303a1c46555ae9131a15b988de158004dc4c2d027a393d5"
    );
}

#[test]
fn fields_may_be_nested_and_left_out() {
    let parcels = Contract::of_file("cloudevents.toml", CLOUDEVENTS.as_bytes()).unwrap();
    let path = &parcels.field(Role::Key).unwrap().path;
    assert_eq!(path, &["data", "scanner", "id"]);
    let columns: Vec<_> = parcels
        .columns()
        .iter()
        .map(|c| (&*c.name, c.column_type, c.nullable))
        .collect();
    assert_eq!(
        columns,
        [
            ("source", ColumnType::String, false),
            ("pieces", ColumnType::Integer, true),
            ("address", ColumnType::Json, true),
            ("due_at", ColumnType::Timestamp, true),
        ]
    );
    // The filter looks at the kind's field.
    assert!(parcels.field(Role::Filter).is_none());
    assert_eq!(
        parcels.filter().unwrap().slot,
        parcels.field(Role::Kind).unwrap().slot.unwrap()
    );

    let clicks = Contract::of_file("clicks.toml", CLICKS.as_bytes()).unwrap();
    assert_eq!(clicks.constant_version(), Some(1));
    assert!(clicks.field(Role::Value).is_none());
    assert_eq!(
        clicks.field(Role::Duration).unwrap().absent,
        Absent::Number(0.0)
    );
}

#[test]
fn every_field_has_a_slot_of_its_own_and_its_name_leads_there() {
    for text in [OURS, PLAIN, CLOUDEVENTS, CLICKS, EVERY_RULE] {
        let contract = Contract::of_file("contract.toml", text.as_bytes()).unwrap();
        let mut slots: Vec<_> = contract
            .fields()
            .iter()
            .filter_map(|field| field.slot)
            .collect();
        slots.sort_unstable();
        assert!(slots.into_iter().eq(0..contract.slots()));
        for field in contract.fields() {
            let mut names = contract.names();
            let mut found = None;
            for name in &field.path {
                let (place, _) = names.find(name, 0).unwrap();
                found = Some(match place {
                    Found::Scalar { slot } | Found::Json { slot } => *slot,
                    Found::Object { slot, names: inner } => {
                        names = inner;
                        *slot
                    }
                });
            }
            assert_eq!(found, field.slot, "{}", field.name);
        }
    }
}

#[test]
fn a_name_with_a_dot_is_written_as_a_list() {
    let contract = PLAIN.replacen("\"device_id\"", "[\"data\", \"device.id\"]", 1);
    let contract = Contract::of_file("contract.toml", contract.as_bytes()).unwrap();
    assert_eq!(
        contract.field(Role::Key).unwrap().path,
        ["data", "device.id"]
    );
}
