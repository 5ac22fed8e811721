//! Events that mostly keep to a contract.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::{Model, Rule};

/// Values of every type and near every bound.
fn odd() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(true),
        json!("x"),
        json!("red"),
        json!(""),
        json!("123456789"),
        json!("1.1"),
        json!([]),
        json!([1, {"a": 2}]),
        json!({}),
        json!({"id": 1, "deep": {"er": null}}),
        json!(0),
        json!(-1),
        json!(3),
        json!(1.5),
        json!(-0.25),
        json!(1e15),
        json!(2.0),
        json!(i64::MIN),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e300),
        json!(1e307),
        json!(9_007_199_254_740_993_i64),
        json!("2026-11-22T11:59:59.25+01:00"),
        json!("2026-02-30T00:00:00Z"),
        json!("1999-12-31T23:59:59Z"),
        json!(1_795_348_799),
        json!(1_795_348_799.25),
        json!(1_795_348_799_123_i64),
        json!(1_795_348_799_123_456_i64),
    ])
}

fn good(rule: &Rule, is_role: bool) -> Value {
    match rule {
        Rule::Text { one_of, .. } if !one_of.is_empty() => json!("red"),
        Rule::Text { .. } => json!("abc"),
        Rule::Integer { .. } => json!(2),
        Rule::Double { .. } if is_role => json!(1.5),
        Rule::Double { .. } => json!(0),
        Rule::Boolean => json!(false),
        Rule::Time("rfc3339") => json!("2026-11-22T11:59:59.25+01:00"),
        Rule::Time("epoch_s") => json!(1_795_348_799.25),
        Rule::Time("epoch_ms") => json!(1_795_348_799_123_i64),
        Rule::Time(_) => json!(1_795_348_799_123_456_i64),
        Rule::Json { .. } => json!({"a": 1}),
    }
}

/// A value and its path.
type Member = (Vec<String>, Value);

/// Events of which each field is mostly good, sometimes odd, sometimes not there; objects, too.
pub(crate) fn events(model: &Model) -> BoxedStrategy<Value> {
    let mut members: Vec<BoxedStrategy<Option<Member>>> = Vec::new();
    let mut member = |path: &[String], good: Value| {
        let path = path.to_vec();
        let value = prop_oneof![30 => Just(Some(good)), 2 => odd().prop_map(Some), 1 => Just(None)];
        members.push(
            value
                .prop_map(move |value| value.map(|value| (path.clone(), value)))
                .boxed(),
        );
    };
    if let Some((path, is_text)) = &model.version {
        member(path, if *is_text { json!("1.0") } else { json!(3) });
    }
    for field in &model.fields {
        member(
            &field.path,
            good(
                &field.rule,
                field.table.starts_with("[d") || field.table.starts_with("[v"),
            ),
        );
    }
    if !model
        .fields
        .iter()
        .any(|field| field.path == model.filter.path)
    {
        let good = match &model.filter.values[0] {
            Value::Bool(_) => json!(false),
            Value::Number(_) => json!(2),
            _ => json!("no"),
        };
        member(&model.filter.path, good);
    }
    for unnamed in [
        &["note"][..],
        &["data", "note"],
        &["data", "in", "note"],
        &["zoo", "data"],
    ] {
        let path: Vec<String> = unnamed.iter().map(|name| (*name).to_owned()).collect();
        members.push(
            proptest::option::of(odd())
                .prop_map(move |value| value.map(|value| (path.clone(), value)))
                .boxed(),
        );
    }
    let objects = select(vec![
        None,
        None,
        None,
        None,
        None,
        None,
        Some("data"),
        Some("more"),
    ]);
    (members, objects, odd())
        .prop_map(|(members, object, odd)| {
            let mut event = json!({});
            for (path, value) in members.into_iter().flatten() {
                put(&mut event, &path, value);
            }
            if let Some(name) = object {
                event[name] = odd;
            }
            event
        })
        .boxed()
}

fn put(event: &mut Value, path: &[String], value: Value) {
    let (leaf, objects) = path.split_last().expect("a path");
    let mut object = event;
    for name in objects {
        if !object[name].is_object() {
            object[name] = json!({});
        }
        object = &mut object[name];
    }
    object[leaf] = value;
}
