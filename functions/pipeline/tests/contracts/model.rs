//! Random contracts, events that mostly keep to them, and how somebody would read these who has `serde_json::Value` and
//! no thought of speed.

mod event;
mod reading;

use std::fmt::Write;

use pipeline::parse::{Row, Value as Cell};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

pub(crate) use event::events;

/// What a field must be.
#[derive(Clone, Debug)]
pub(crate) enum Rule {
    Text {
        min: usize,
        max: usize,
        one_of: Vec<&'static str>,
    },
    Integer {
        min: i64,
        max: i64,
        one_of: Vec<i64>,
    },
    Double {
        min: Option<f64>,
        max: Option<f64>,
        /// Of a duration.
        unit: Option<&'static str>,
    },
    Boolean,
    Time(&'static str),
    Json {
        max: usize,
    },
}

/// One table of the file.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    table: String,
    path: Vec<String>,
    rule: Rule,
    nullable: bool,
    default: Option<Value>,
}

/// A contract.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// Where the version is, and whether it is text.
    version: Option<(Vec<String>, bool)>,
    fields: Vec<Field>,
    filter: Filter,
}

/// What is dropped.
#[derive(Clone, Debug)]
struct Filter {
    path: Vec<String>,
    values: Vec<Value>,
}

/// What a row has, in a form that can be compared.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Cells {
    id: String,
    key: String,
    kind: String,
    time_us: i64,
    duration: f64,
    value: Option<f64>,
    version: u32,
    filtered: bool,
    attributes: Value,
    columns: Vec<Value>,
}

impl Cells {
    pub(crate) fn of(row: &Row) -> Self {
        let column = |cell: &Cell| match cell {
            Cell::Null => Value::Null,
            Cell::Text(text) => json!(text),
            Cell::Integer(integer) | Cell::Time(integer) => json!(integer),
            Cell::Double(number) => json!(number),
            Cell::Boolean(boolean) => json!(boolean),
        };
        let attributes = row.attributes.as_deref().unwrap_or("null");
        Self {
            id: row.event_id.to_string(),
            key: row.device_id.to_string(),
            kind: row.device_type.to_string(),
            time_us: row.event_time_us,
            duration: row.event_duration,
            value: row.value,
            version: row.schema_version,
            filtered: row.filtered,
            attributes: serde_json::from_str(attributes).expect("attributes are JSON"),
            columns: row.columns.iter().map(column).collect(),
        }
    }
}

fn text(max: usize) -> Rule {
    let (min, one_of) = (1, Vec::new());
    Rule::Text { min, max, one_of }
}

/// A path whose last name is the field's own: at the top, in `data`, or deeper.
fn path(name: &'static str) -> impl Strategy<Value = Vec<String>> {
    select(vec!["", "data", "data.in", "more"]).prop_map(move |objects| {
        let objects = objects.split('.').filter(|object| !object.is_empty());
        objects.chain([name]).map(ToOwned::to_owned).collect()
    })
}

fn rule() -> impl Strategy<Value = Rule> {
    prop_oneof![
        (0_usize..3, 3_usize..8).prop_map(|(min, max)| Rule::Text {
            min,
            max,
            one_of: vec![]
        }),
        Just(Rule::Text {
            min: 0,
            max: 100,
            one_of: vec!["red", "blue"]
        }),
        (-3_i64..2, 2_i64..9).prop_map(|(min, max)| Rule::Integer {
            min,
            max,
            one_of: vec![]
        }),
        select(vec![vec![], vec![2, -1]]).prop_map(|one_of| Rule::Integer {
            min: i64::MIN,
            max: i64::MAX,
            one_of
        }),
        (
            proptest::option::of(-2.0..0.0),
            proptest::option::of(0.0..2.0)
        )
            .prop_map(|(min, max)| Rule::Double {
                min,
                max,
                unit: None
            }),
        Just(Rule::Boolean),
        select(vec!["rfc3339", "epoch_s", "epoch_ms", "epoch_us"]).prop_map(Rule::Time),
        (2_usize..30).prop_map(|max| Rule::Json { max }),
    ]
}

pub(crate) fn contracts() -> impl Strategy<Value = Model> {
    const COLUMNS: [&str; 4] = ["one", "two", "three", "four"];
    let column = |name: &'static str| {
        (path(name), rule(), any::<bool>()).prop_map(move |(path, rule, nullable)| Field {
            table: format!("[[column]]\nname = \"{name}\""),
            path,
            rule,
            nullable,
            default: None,
        })
    };
    let columns: Vec<_> = COLUMNS
        .into_iter()
        .map(|name| proptest::option::of(column(name)))
        .collect();
    let times = (
        select(vec!["rfc3339", "epoch_s", "epoch_ms", "epoch_us"]),
        select(vec!["s", "ms", "us"]),
    );
    (
        proptest::option::of((path("version"), any::<bool>())),
        (path("id"), path("key"), path("kind"), path("time")),
        (path("duration"), proptest::option::of(path("value"))),
        times,
        (any::<bool>(), any::<bool>(), any::<bool>()),
        columns,
        (path("drop"), 0..4),
    )
        .prop_map(
            |(
                version,
                (id, key, kind, time),
                (duration, value),
                (format, unit),
                (has_kind, has_duration, nullable),
                columns,
                (drop, of_type),
            )| {
                let field = |table: &str, path, rule| Field {
                    table: format!("[{table}]"),
                    path,
                    rule,
                    nullable: false,
                    default: None,
                };
                let double = |min, max, unit| Rule::Double { min, max, unit };
                let filter = match of_type {
                    0 => (drop, vec![json!("x"), json!("y")]),
                    1 => (drop, vec![json!(true)]),
                    2 => (drop, vec![json!(3), json!(-1)]),
                    _ => (kind.clone(), vec![json!("x")]),
                };
                let mut fields = vec![
                    field("id", id, text(12)),
                    field("key", key, text(12)),
                    field("kind", kind, text(6)),
                    field("time", time, Rule::Time(format)),
                    field("duration", duration, double(Some(0.0), None, Some(unit))),
                ];
                fields[2].default = (!has_kind).then(|| json!("other"));
                fields[4].default = (!has_duration).then(|| json!(0.0));
                if let Some(path) = value {
                    let value = field("value", path, double(None, Some(100.0), None));
                    fields.push(Field { nullable, ..value });
                }
                fields.extend(columns.into_iter().flatten());
                let (path, values) = filter;
                Model {
                    version,
                    fields,
                    filter: Filter { path, values },
                }
            },
        )
}

impl Model {
    /// The contract as a file.
    pub(crate) fn file(&self) -> String {
        let mut file = String::from("[version]\n");
        file += match &self.version {
            Some((_, true)) => "accepted = [\"1.0\", \"1.1\"]\n",
            _ => "accepted = [1, 3]\n",
        };
        if let Some((path, _)) = &self.version {
            _ = writeln!(file, "field = {path:?}");
        }
        for field in &self.fields {
            _ = writeln!(file, "{}\nfield = {:?}", field.table, field.path);
            let is_column = field.table.starts_with("[[");
            let (column_type, keys) = match &field.rule {
                Rule::Text { min, max, one_of } => {
                    let mut keys = format!("min_bytes = {min}\nmax_bytes = {max}\n");
                    if !one_of.is_empty() {
                        _ = writeln!(keys, "one_of = {one_of:?}");
                    }
                    ("string", keys)
                }
                Rule::Integer { min, max, one_of } => {
                    let mut keys = format!("min = {min}\nmax = {max}\n");
                    if !one_of.is_empty() {
                        _ = writeln!(keys, "one_of = {one_of:?}");
                    }
                    ("integer", keys)
                }
                Rule::Double { min, max, unit } => {
                    let key = |name, bound: &Option<f64>| {
                        bound
                            .map(|bound| format!("{name} = {bound:?}\n"))
                            .unwrap_or_default()
                    };
                    let unit = unit.map(|unit| format!("unit = {unit:?}\n"));
                    let keys = key("min", min) + &key("max", max) + &unit.unwrap_or_default();
                    ("double", keys)
                }
                Rule::Boolean => ("boolean", String::new()),
                Rule::Time(format) => ("timestamp", format!("format = {format:?}\n")),
                Rule::Json { max } => ("json", format!("max_bytes = {max}\n")),
            };
            file += &keys;
            if is_column {
                _ = writeln!(file, "type = {column_type:?}");
            }
            if field.nullable {
                file += "nullable = true\n";
            }
            if let Some(default) = &field.default {
                _ = writeln!(file, "default = {default}");
            }
        }
        let Filter { path, values } = &self.filter;
        let values = json!(values);
        _ = writeln!(file, "[filter]\nfield = {path:?}\nvalues = {values}");
        file
    }
}
