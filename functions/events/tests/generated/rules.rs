//! A field's column, type and rule, for people.

use events::Contract;
use events::contract::{Absent, Field, FilterType, Role, Rule, TimeFormat, Unit, Versions};

pub(crate) fn column<'c>(contract: &'c Contract, field: &Field) -> Option<&'c str> {
    Some(match field.role {
        Role::Version => "schema_version",
        Role::Id => "event_id",
        Role::Key => "device_id",
        Role::Kind => "device_type",
        Role::Time => "event_time",
        Role::Duration => "event_duration",
        Role::Value => "value",
        Role::Column(place) => &contract.columns()[place].name,
        Role::Object | Role::Filter => return None,
    })
}

pub(crate) fn rule(contract: &Contract, field: &Field) -> (&'static str, String) {
    let (of_type, mut rules) = of_type(contract, field);
    if let Some(filter) = contract
        .filter()
        .filter(|filter| Some(filter.slot) == field.slot)
    {
        let values: Vec<_> = filter.values.iter().map(ToString::to_string).collect();
        let dropped = format!(
            "an event with {} is dropped on purpose and counted",
            values.join(", ")
        );
        rules.push(dropped);
    }
    rules.extend(match &field.absent {
        Absent::Null => Some("may be left out".to_owned()),
        Absent::Text(text) => Some(format!("{text:?} if it is left out")),
        Absent::Number(number) => Some(format!("{number} ms if it is left out")),
        Absent::Required => None,
    });
    if !field.about.is_empty() {
        let about: Vec<_> = field.about.split_whitespace().collect();
        rules.push(about.join(" ").trim_end_matches('.').to_owned());
    }
    (of_type, rules.join("; "))
}

fn of_type(contract: &Contract, field: &Field) -> (&'static str, Vec<String>) {
    let nullable = field.absent != Absent::Required;
    match &field.rule {
        Rule::Version => match contract.versions() {
            Versions::Numbers(_) => (
                "integer",
                vec![format!("{}; any other is rejected", contract.versions())],
            ),
            Versions::Texts(_) => (
                "string",
                vec![format!("{}; any other is rejected", contract.versions())],
            ),
        },
        Rule::Text {
            min_bytes,
            max_bytes,
            one_of,
        } => {
            let mut rules = vec![format!("{min_bytes} to {max_bytes} bytes of UTF-8")];
            if !one_of.is_empty() {
                rules.push(format!("one of {}", one_of.join(", ")));
            }
            (if nullable { "string or null" } else { "string" }, rules)
        }
        Rule::Integer { min, max, one_of } => {
            let mut rules = vec![range(
                (*min > i64::MIN).then(|| min.to_string()),
                (*max < i64::MAX).then(|| max.to_string()),
                "64 bits",
            )];
            if !one_of.is_empty() {
                let values: Vec<_> = one_of.iter().map(ToString::to_string).collect();
                rules.push(format!("one of {}", values.join(", ")));
            }
            (
                if nullable {
                    "integer or null"
                } else {
                    "integer"
                },
                rules,
            )
        }
        Rule::Double { min, max, unit } => {
            let mut rules = vec![range(
                min.map(|min| min.to_string()),
                max.map(|max| max.to_string()),
                "finite",
            )];
            if field.role == Role::Duration {
                rules.push(match unit {
                    Unit::Milliseconds => "milliseconds".to_owned(),
                    Unit::Seconds => "seconds, stored as milliseconds".to_owned(),
                    Unit::Microseconds => "microseconds, stored as milliseconds".to_owned(),
                });
            }
            (if nullable { "number or null" } else { "number" }, rules)
        }
        Rule::Boolean => (
            if nullable {
                "boolean or null"
            } else {
                "boolean"
            },
            vec![],
        ),
        Rule::Time { format, bounds } => {
            let (of_type, mut rules) = match format {
                TimeFormat::Rfc3339 => ("string", vec![RFC_3339.to_owned()]),
                TimeFormat::Epoch { microseconds } => {
                    let unit = match microseconds {
                        1_000_000 => "seconds",
                        1_000 => "milliseconds",
                        _ => "microseconds",
                    };
                    (
                        "number",
                        vec![format!(
                            "{unit} since 1970; a fraction is kept to the microsecond"
                        )],
                    )
                }
            };
            if let Some(bounds) = bounds {
                rules.push(format!("not before {}", bounds.not_before()));
                rules.push(format!(
                    "not over {} h ahead of arrival",
                    bounds.max_ahead_hours
                ));
            }
            (of_type, rules)
        }
        Rule::Json { max_bytes } => (
            "any JSON",
            vec![format!("its text, at most {max_bytes} bytes")],
        ),
        Rule::Object => ("object", vec![]),
        Rule::Filter(FilterType::Boolean) => ("boolean", vec![]),
        Rule::Filter(FilterType::Integer) => ("integer", vec![]),
        Rule::Filter(FilterType::Text) => ("string", vec![]),
    }
}

const RFC_3339: &str = "RFC 3339 (`T` and `Z` may be small, a space may stand for `T`) with an offset up to 23:59; stored in UTC, microseconds: what is below is cut off, however many digits it has; a leap second (23:59:60 UTC only) is stored as the second before it";

fn range(min: Option<String>, max: Option<String>, without: &str) -> String {
    match (min, max) {
        (Some(min), Some(max)) => format!("{min} to {max}"),
        (Some(min), None) => format!("{without}, at least {min}"),
        (None, Some(max)) => format!("{without}, at most {max}"),
        (None, None) => without.to_owned(),
    }
}
