//! The contract as files: the generated JSON Schema and the wire fixture of each version.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod generated;

use std::path::Path;

use events::metrics::Metric;
use events::{Contract, Event, MAX_DEVICE_TYPE_BYTES, MAX_ID_BYTES, Reason, SCHEMA_VERSION};
use serde_json::Value;

fn schema() -> Value {
    serde_json::from_str(include_str!("../schema/event.v1.schema.json")).unwrap()
}

#[test]
fn what_follows_from_the_contract_is_what_is_committed() {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (file, content) in generated::files(Contract::ours(), &repository) {
        let committed = std::fs::read_to_string(&file).unwrap_or_default();
        assert_eq!(
            committed,
            content,
            "{}: run `make contract`",
            file.display()
        );
    }
}

#[test]
fn what_the_schema_requires_is_what_the_contracts_type_requires() {
    let mut required: Vec<_> = schema()["required"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap().to_owned())
        .collect();
    required.sort();
    let event = include_str!("../fixtures/event.v1.json");
    let event: serde_json::Map<String, Value> = serde_json::from_str(event).unwrap();
    let without = |name: &String| {
        let mut event = event.clone();
        event.remove(name);
        serde_json::from_str::<Event>(&Value::Object(event).to_string()).is_err()
    };
    let needed: Vec<_> = event.keys().filter(|name| without(name)).cloned().collect();
    assert_eq!(required, needed);
}

#[test]
fn the_json_schema_states_the_limits_of_the_constants() {
    let schema = schema();
    let limit = |field: &str, rule: &str| schema["properties"][field][rule].as_u64();
    assert_eq!(limit("event_id", "maxLength"), Some(MAX_ID_BYTES as u64));
    assert_eq!(limit("device_id", "maxLength"), Some(MAX_ID_BYTES as u64));
    assert_eq!(
        limit("device_type", "maxLength"),
        Some(MAX_DEVICE_TYPE_BYTES as u64)
    );
    assert_eq!(
        limit("schema_version", "maximum"),
        Some(u64::from(SCHEMA_VERSION))
    );
}

#[test]
fn the_wire_fixture_of_version_1_is_read_as_it_always_was() {
    let event: Event = serde_json::from_str(include_str!("../fixtures/event.v1.json")).unwrap();
    assert_eq!(
        event,
        Event {
            schema_version: 1,
            event_id: "0193a5c0-7b1e-7c3a-9f00-0123456789ab".into(),
            device_id: "thermostat-0042".into(),
            device_type: "thermostat".into(),
            event_time: "2026-11-22T10:15:30.123456+01:00".into(),
            event_duration: 12.75,
            value: Some(21.5),
            test: true,
        }
    );
}

#[test]
fn an_event_without_value_or_test_is_complete() {
    let text = r#"{"schema_version":1,"event_id":"a","device_id":"d","device_type":"t","event_time":"2026-11-22T00:00:00Z","event_duration":0}"#;
    let event: Event = serde_json::from_str(text).unwrap();
    assert_eq!((event.value, event.test), (None, false));
}

#[test]
fn an_integer_is_a_number_without_a_fraction() {
    let read = |version: &str| {
        let fixture = include_str!("../fixtures/event.v1.json");
        let text = fixture.replace(
            "\"schema_version\":1",
            &format!("\"schema_version\":{version}"),
        );
        serde_json::from_str::<Event>(&text).map(|event| event.schema_version)
    };
    assert_eq!(read("1.0").unwrap(), 1);
    for version in ["1.5", "-1", "4294967296", "\"1\"", "null"] {
        assert!(read(version).is_err(), "{version}");
    }
}

#[test]
fn every_reason_has_a_name_of_its_own_and_is_serialised_by_it() {
    let names: std::collections::BTreeSet<_> =
        Reason::ALL.iter().map(|reason| reason.name()).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert_eq!(serde_json::to_value(reason).unwrap(), reason.name());
    }
}

#[test]
fn the_committed_list_of_metrics_is_the_generated_one() {
    let committed: Value = serde_json::from_str(include_str!("../schema/metrics.json")).unwrap();
    let definitions: Vec<_> = Metric::ALL
        .iter()
        .map(|metric| metric.definition())
        .collect();
    assert_eq!(
        committed,
        serde_json::to_value(definitions).unwrap(),
        "run `cargo run -p events --example metrics`"
    );
}

#[test]
fn every_metric_has_a_name_of_its_own() {
    let names: std::collections::BTreeSet<_> =
        Metric::ALL.iter().map(|metric| metric.name()).collect();
    assert_eq!(names.len(), Metric::ALL.len());
}
