//! The naive reading.

use events::Reason;
use serde_json::{Map, Value, json};

use super::{Cells, Field, Model, Rule};

impl Model {
    /// What a row has, or why there is none.
    pub(crate) fn read(&self, event: &Value, arrival_ms: i64) -> Result<Cells, Reason> {
        let version = match &self.version {
            None => 3,
            Some((path, is_text)) => {
                let found = at(event, path)?.ok_or(Reason::MissingField)?;
                version_of(found, *is_text)?
            }
        };
        let mut values = Vec::new();
        for field in &self.fields {
            values.push((&*field.table, field.read(event, arrival_ms)?));
        }
        let filtered = self.drops(event)?;
        let cell = |table| {
            let mut values = values.iter();
            values
                .find(|(of, _)| *of == table)
                .map_or(&Value::Null, |(_, v)| v)
        };
        let string = |table| cell(table).as_str().expect("text").to_owned();
        let columns = values.iter().filter(|(table, _)| table.starts_with("[["));
        let named: Vec<&[String]> = self
            .fields
            .iter()
            .map(|field| &*field.path)
            .chain(self.version.as_ref().map(|(path, _)| &**path))
            .chain([&*self.filter.path])
            .collect();
        Ok(Cells {
            id: string("[id]"),
            key: string("[key]"),
            kind: string("[kind]"),
            time_us: cell("[time]").as_i64().expect("a time"),
            duration: cell("[duration]").as_f64().expect("a number"),
            value: cell("[value]").as_f64(),
            version,
            filtered,
            attributes: rest(event, &mut Vec::new(), &named).unwrap_or(Value::Null),
            columns: columns.map(|(_, value)| value.clone()).collect(),
        })
    }

    fn drops(&self, event: &Value) -> Result<bool, Reason> {
        let values = &self.filter.values;
        let Some(found) = at(event, &self.filter.path)? else {
            return Ok(false);
        };
        if self
            .fields
            .iter()
            .any(|field| field.path == self.filter.path)
        {
            // The other table says what it must be.
            return Ok(values.contains(found));
        }
        match &values[0] {
            Value::Number(_) => Ok(match integer_of(found) {
                Ok(integer) => values.contains(&json!(integer)),
                Err(Reason::OutOfRange) => false,
                Err(reason) => return Err(reason),
            }),
            first if first.is_string() == found.is_string() && !found.is_null() => {
                if first.is_boolean() && !found.is_boolean() {
                    return Err(Reason::WrongType);
                }
                Ok(values.contains(found))
            }
            _ => Err(Reason::WrongType),
        }
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

fn version_of(version: &Value, is_text: bool) -> Result<u32, Reason> {
    if is_text {
        return match version.as_str().ok_or(Reason::WrongType)? {
            "1.0" => Ok(1),
            "1.1" => Ok(2),
            _ => Err(Reason::UnsupportedSchemaVersion),
        };
    }
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
            Rule::Integer { min, max, one_of } => {
                let integer = integer_of(found)?;
                if integer < *min || integer > *max {
                    return Err(Reason::OutOfRange);
                }
                if !one_of.is_empty() && !one_of.contains(&integer) {
                    return Err(Reason::NotAllowed);
                }
                Ok(json!(integer))
            }
            Rule::Double { min, max, unit } => {
                let number = found.as_f64().ok_or(Reason::WrongType)? + 0.0;
                if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
                    return Err(Reason::OutOfRange);
                }
                let ms = match unit {
                    Some("s") => number * 1000.0,
                    Some("us") => number / 1000.0,
                    _ => number,
                };
                if ms.is_infinite() {
                    return Err(Reason::OutOfRange);
                }
                Ok(json!(ms))
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
