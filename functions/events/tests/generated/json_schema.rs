//! The contract as JSON Schema (draft 2020-12). It says less in three places: lengths are of characters, a time has no
//! bounds, an integer no 64 bits.

use std::collections::BTreeMap;

use events::Contract;
use events::contract::{Absent, Field, FilterType, Role, Rule, TimeFormat, Versions};
use serde_json::{Map, Value, json};

const DESCRIPTION: &str = "One event, as it travels: a JSON object in UTF-8. Fields that are not listed here are allowed, and kept in the column `attributes`.";

pub(crate) fn of(contract: &Contract) -> String {
    let mut schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Event",
        "description": DESCRIPTION,
    });
    extend(&mut schema, contract, &[]);
    let text = serde_json::to_string_pretty(&sorted(schema)).expect("JSON");
    format!("{text}\n")
}

/// By name, whether or not `serde_json` keeps the order of insertion.
fn sorted(value: Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> = members.into_iter().collect();
            let members = members.into_iter();
            Value::Object(
                members
                    .map(|(name, member)| (name, sorted(member)))
                    .collect(),
            )
        }
        other => other,
    }
}

/// Makes `schema` that of the object at `path`. Returns whether it has to be there.
fn extend(schema: &mut Value, contract: &Contract, path: &[String]) -> bool {
    let mut properties = Map::new();
    let mut required = Vec::new();
    let inside =
        |field: &&Field| field.path.len() == path.len() + 1 && field.path.starts_with(path);
    for field in contract.fields().iter().filter(inside) {
        let name = field.path.last().expect("it has a path");
        let mut property = property(contract, field);
        let is_required = if field.role == Role::Object {
            let is_required = extend(&mut property, contract, &field.path);
            property["type"] = if is_required {
                json!("object")
            } else {
                json!(["object", "null"])
            };
            is_required
        } else {
            field.absent == Absent::Required
        };
        if is_required {
            required.push(name.clone());
        }
        properties.insert(name.clone(), property);
    }
    let is_required = !required.is_empty();
    schema["type"] = json!("object");
    schema["properties"] = Value::Object(properties);
    if is_required {
        schema["required"] = json!(required);
    }
    is_required
}

fn property(contract: &Contract, field: &Field) -> Value {
    let mut property = rule(contract, field);
    if !field.about.is_empty() {
        property["description"] = json!(field.about);
    }
    if field.role != Role::Filter
        && field.absent != Absent::Required
        && property.get("type").is_some()
    {
        let of_type = property["type"].take();
        property["type"] = json!([of_type, "null"]);
        if let Some(values) = property.get_mut("enum").and_then(Value::as_array_mut) {
            values.push(Value::Null);
        }
    }
    property
}

fn rule(contract: &Contract, field: &Field) -> Value {
    match &field.rule {
        Rule::Version => match contract.versions() {
            Versions::Numbers(numbers) => json!({
                "type": "integer", "enum": numbers, "minimum": numbers.iter().min(), "maximum": numbers.iter().max(),
            }),
            Versions::Texts(texts) => json!({"type": "string", "enum": texts}),
        },
        Rule::Text {
            min_bytes,
            max_bytes,
            one_of,
        } => {
            let mut schema = json!({"type": "string", "minLength": usize::from(*min_bytes > 0), "maxLength": max_bytes});
            if !one_of.is_empty() {
                schema["enum"] = json!(one_of);
            }
            schema
        }
        Rule::Integer { min, max, one_of } => {
            let mut schema = json!({"type": "integer", "minimum": min, "maximum": max});
            if !one_of.is_empty() {
                schema["enum"] = json!(one_of);
            }
            schema
        }
        Rule::Double { min, max, .. } => {
            let mut schema = json!({"type": "number"});
            for (name, bound) in [("minimum", min), ("maximum", max)] {
                if let Some(bound) = bound {
                    schema[name] = json!(bound);
                }
            }
            schema
        }
        Rule::Boolean | Rule::Filter(FilterType::Boolean) => json!({"type": "boolean"}),
        Rule::Filter(FilterType::Integer) => json!({"type": "integer"}),
        Rule::Filter(FilterType::Text) => json!({"type": "string"}),
        Rule::Time {
            format: TimeFormat::Rfc3339,
            ..
        } => json!({"type": "string", "format": "date-time"}),
        Rule::Time { .. } => json!({"type": "number"}),
        Rule::Object | Rule::Json { .. } => json!({}),
    }
}
