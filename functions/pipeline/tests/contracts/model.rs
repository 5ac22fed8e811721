//! Random contracts, events that mostly keep to them, and how somebody would read these who has `serde_json::Value` and
//! no thought of speed.

use std::fmt::Write;

use events::Reason;
use pipeline::parse::{Row, Value as Cell};
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, Value, json};

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
    },
    Double {
        min: Option<f64>,
        max: Option<f64>,
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
    version: Option<Vec<String>>,
    fields: Vec<Field>,
    filter: Vec<String>,
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
        (-3_i64..2, 2_i64..9).prop_map(|(min, max)| Rule::Integer { min, max }),
        Just(Rule::Integer {
            min: i64::MIN,
            max: i64::MAX
        }),
        (
            proptest::option::of(-2.0..0.0),
            proptest::option::of(0.0..2.0)
        )
            .prop_map(|(min, max)| Rule::Double { min, max }),
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
    let formats = select(vec!["rfc3339", "epoch_s", "epoch_ms", "epoch_us"]);
    (
        proptest::option::of(path("version")),
        (
            path("id"),
            path("key"),
            path("kind"),
            path("time"),
            path("duration"),
            path("value"),
        ),
        (formats, any::<bool>(), any::<bool>(), any::<bool>()),
        columns,
        path("drop"),
    )
        .prop_map(
            |(
                version,
                (id, key, kind, time, duration, value),
                (format, defaults, zero, nullable),
                columns,
                filter,
            )| {
                let field = |table: &str, path, rule| Field {
                    table: format!("[{table}]"),
                    path,
                    rule,
                    nullable: false,
                    default: None,
                };
                let mut fields = vec![
                    field("id", id, text(12)),
                    field("key", key, text(12)),
                    field("kind", kind, text(6)),
                    field("time", time, Rule::Time(format)),
                    field(
                        "duration",
                        duration,
                        Rule::Double {
                            min: Some(0.0),
                            max: None,
                        },
                    ),
                    field(
                        "value",
                        value,
                        Rule::Double {
                            min: None,
                            max: Some(100.0),
                        },
                    ),
                ];
                fields[2].default = defaults.then(|| json!("other"));
                fields[4].default = zero.then(|| json!(0.0));
                fields[5].nullable = nullable;
                fields.extend(columns.into_iter().flatten());
                Model {
                    version,
                    fields,
                    filter,
                }
            },
        )
}

impl Model {
    /// The contract as a file.
    pub(crate) fn file(&self) -> String {
        let mut file = String::from("[version]\naccepted = [1, 3]\n");
        if let Some(path) = &self.version {
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
                Rule::Integer { min, max } => ("integer", format!("min = {min}\nmax = {max}\n")),
                Rule::Double { min, max } => {
                    let key = |name, bound: &Option<f64>| {
                        bound
                            .map(|bound| format!("{name} = {bound:?}\n"))
                            .unwrap_or_default()
                    };
                    ("double", key("min", min) + &key("max", max))
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
        _ = writeln!(
            file,
            "[filter]\nfield = {:?}\nvalues = [\"x\", \"y\"]",
            self.filter
        );
        file
    }

    /// The naive reading.
    pub(crate) fn read(&self, event: &Value, arrival_ms: i64) -> Result<Cells, Reason> {
        let version = match &self.version {
            None => 3,
            Some(path) => match at(event, path)? {
                None => return Err(Reason::MissingField),
                Some(version) => version_of(version)?,
            },
        };
        let mut values = Vec::new();
        for field in &self.fields {
            values.push(field.read(event, arrival_ms)?);
        }
        let filtered = match at(event, &self.filter)? {
            None => false,
            Some(Value::String(text)) => text == "x" || text == "y",
            Some(_) => return Err(Reason::WrongType),
        };
        let named: Vec<&[String]> = self
            .fields
            .iter()
            .map(|field| &*field.path)
            .chain(self.version.as_deref())
            .chain([&*self.filter])
            .collect();
        let string = |place: usize| values[place].as_str().expect("text").to_owned();
        Ok(Cells {
            id: string(0),
            key: string(1),
            kind: string(2),
            time_us: values[3].as_i64().expect("a time"),
            duration: values[4].as_f64().expect("a number"),
            value: values[5].as_f64(),
            version,
            filtered,
            attributes: rest(event, &mut Vec::new(), &named).unwrap_or(Value::Null),
            columns: values.split_off(6),
        })
    }
}

/// The value at a path, unless it or an object on the way is not there, or that object is null.
fn at<'e>(event: &'e Value, path: &[String]) -> Result<Option<&'e Value>, Reason> {
    let (leaf, objects) = path.split_last().expect("a path");
    let mut object = event.as_object().expect("an object");
    for name in objects {
        object = match object.get(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::Object(object)) => object,
            Some(_) => return Err(Reason::WrongType),
        };
    }
    Ok(object.get(leaf))
}

/// What of an object nobody names.
fn rest(value: &Value, path: &mut Vec<String>, named: &[&[String]]) -> Option<Value> {
    let mut kept = Map::new();
    for (name, member) in value.as_object()? {
        path.push(name.clone());
        let is_object = named
            .iter()
            .any(|named| named.len() > path.len() && named.starts_with(path));
        let member = if is_object {
            rest(member, path, named)
        } else {
            (!named.contains(&&**path)).then(|| member.clone())
        };
        path.pop();
        kept.extend(member.map(|member| (name.clone(), member)));
    }
    (!kept.is_empty()).then_some(Value::Object(kept))
}

fn version_of(version: &Value) -> Result<u32, Reason> {
    let number = version.as_f64().ok_or(Reason::WrongType)?;
    if number.fract() != 0.0 {
        return Err(Reason::WrongType);
    }
    match number {
        1.0 => Ok(1),
        3.0 => Ok(3),
        _ => Err(Reason::UnsupportedSchemaVersion),
    }
}

impl Field {
    fn read(&self, event: &Value, arrival_ms: i64) -> Result<Value, Reason> {
        let found = match at(event, &self.path)? {
            Some(Value::Null) if self.nullable || self.default.is_some() => None,
            found => found,
        };
        let Some(found) = found else {
            return match &self.default {
                Some(default) => Ok(default.clone()),
                None if self.nullable => Ok(Value::Null),
                None => Err(Reason::MissingField),
            };
        };
        match &self.rule {
            Rule::Text { min, max, one_of } => {
                let text = found.as_str().ok_or(Reason::WrongType)?;
                match text.len() {
                    0 if *min > 0 => Err(Reason::EmptyField),
                    bytes if bytes < *min => Err(Reason::NotAllowed),
                    bytes if bytes > *max => Err(Reason::OversizedField),
                    _ if !one_of.is_empty() && !one_of.contains(&text) => Err(Reason::NotAllowed),
                    _ => Ok(json!(text)),
                }
            }
            Rule::Integer { min, max } => {
                let integer = integer_of(found)?;
                if integer < *min || integer > *max {
                    return Err(Reason::OutOfRange);
                }
                Ok(json!(integer))
            }
            Rule::Double { min, max } => {
                let number = found.as_f64().ok_or(Reason::WrongType)? + 0.0;
                if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
                    return Err(Reason::OutOfRange);
                }
                Ok(json!(number))
            }
            Rule::Boolean => found
                .as_bool()
                .map(|boolean| json!(boolean))
                .ok_or(Reason::WrongType),
            Rule::Time(format) => self.time(found, format, arrival_ms),
            Rule::Json { max } => match found.to_string() {
                _ if found.is_null() => Err(Reason::WrongType),
                json if json.len() > *max => Err(Reason::OversizedField),
                json => Ok(json!(json)),
            },
        }
    }

    fn time(&self, found: &Value, format: &str, arrival_ms: i64) -> Result<Value, Reason> {
        let is_role = self.table == "[time]";
        let (malformed, out) = if is_role {
            (Reason::InvalidEventTime, Reason::EventTimeOutOfRange)
        } else {
            (Reason::WrongType, Reason::OutOfRange)
        };
        let per = match format {
            "epoch_s" => 1_000_000,
            "epoch_ms" => 1_000,
            _ => 1,
        };
        let us: i128 = if format == "rfc3339" {
            let text = found.as_str().ok_or(Reason::WrongType)?;
            let time: jiff::Timestamp = text.parse().map_err(|_| malformed)?;
            time.as_microsecond().into()
        } else if let Some(integer) = found.as_i64() {
            i128::from(integer) * per
        } else if let Some(integer) = found.as_u64() {
            i128::from(integer) * per
        } else {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                reason = "`as` saturates"
            )]
            let us = (found.as_f64().ok_or(Reason::WrongType)? * per as f64).round() as i128;
            us
        };
        let (first, last) = if is_role {
            (
                946_684_800_000_000,
                i128::from(arrival_ms) * 1000 + 24 * 3_600_000_000,
            )
        } else {
            (-62_135_596_800_000_000, 253_402_300_799_999_999)
        };
        if us < first || us > last {
            return Err(out);
        }
        Ok(json!(i64::try_from(us).expect("within the bounds")))
    }
}

fn integer_of(found: &Value) -> Result<i64, Reason> {
    if let Some(integer) = found.as_i64() {
        return Ok(integer);
    }
    let number = found.as_f64().ok_or(Reason::WrongType)?;
    if found.is_u64() || number.fract() == 0.0 && number.abs() >= 9_007_199_254_740_992.0 {
        return Err(Reason::OutOfRange);
    }
    if number.fract() != 0.0 {
        return Err(Reason::WrongType);
    }
    #[expect(clippy::cast_possible_truncation, reason = "it is exact")]
    let integer = number as i64;
    Ok(integer)
}

/// Values of every type and near every bound.
fn odd() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(true),
        json!("x"),
        json!("red"),
        json!(""),
        json!("123456789"),
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

/// Events of which each field is mostly good, sometimes odd, sometimes not there; objects, too.
pub(crate) fn events(model: &Model) -> BoxedStrategy<Value> {
    let mut members: Vec<BoxedStrategy<Option<(Vec<String>, Value)>>> = Vec::new();
    let mut member = |path: &[String], good: Value| {
        let path = path.to_vec();
        let value = prop_oneof![30 => Just(Some(good)), 2 => odd().prop_map(Some), 1 => Just(None)];
        members.push(
            value
                .prop_map(move |value| value.map(|value| (path.clone(), value)))
                .boxed(),
        );
    };
    if let Some(path) = &model.version {
        member(path, json!(3));
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
    member(&model.filter, json!("no"));
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
