//! Slots → a row, or the first rule that a value breaks.

use std::borrow::Cow;
use std::fmt::Display;

use events::Reason;
use events::contract::{
    Absent, Contract, Field, FilterType, Literal, MAX_TIME_US, MIN_TIME_US, Role, Rule, TimeBounds,
    TimeFormat, Unit, Versions,
};

use super::integer::{Unfit, epoch_us, integer};
use super::read::Scalar;
use super::{Rejected, Row, Value, event_time};

/// The row of the values in the slots, which it takes.
pub(super) fn row<'p>(
    contract: &'p Contract,
    slots: &mut [Option<Scalar<'p>>],
    attributes: Option<String>,
    arrival_ms: i64,
) -> Result<Row<'p>, Rejected> {
    let mut row = Row {
        event_time_us: 0,
        device_type: Cow::Borrowed(""),
        device_id: Cow::Borrowed(""),
        event_duration: 0.0,
        value: None,
        attributes,
        schema_version: contract.constant_version().unwrap_or_default(),
        event_id: Cow::Borrowed(""),
        filtered: is_filtered(contract, slots),
        columns: Vec::new(),
    };
    row.columns.reserve_exact(contract.columns().len());
    for field in contract.fields() {
        let found = field.slot.and_then(|slot| slots[slot].take());
        let value = match found {
            None => absent(field)?,
            Some(Scalar::Null) if may_be_null(field) => absent(field)?,
            Some(scalar) => checked(contract, field, scalar, arrival_ms)?,
        };
        match (field.role, value) {
            (Role::Version, Value::Integer(version)) => {
                row.schema_version = u32::try_from(version).unwrap_or_default();
            }
            (Role::Id, Value::Text(text)) => row.event_id = text,
            (Role::Key, Value::Text(text)) => row.device_id = text,
            (Role::Kind, Value::Text(text)) => row.device_type = text,
            (Role::Time, Value::Time(us)) => row.event_time_us = us,
            (Role::Duration, Value::Double(ms)) => row.event_duration = ms,
            (Role::Value, Value::Double(number)) => row.value = Some(number),
            (Role::Column(_), value) => row.columns.push(value),
            _ => {}
        }
    }
    Ok(row)
}

fn is_filtered(contract: &Contract, slots: &[Option<Scalar>]) -> bool {
    let Some(filter) = contract.filter() else {
        return false;
    };
    let Some(found) = &slots[filter.slot] else {
        return false;
    };
    filter.values.iter().any(|value| match (value, found) {
        (Literal::Boolean(value), Scalar::Bool(found)) => value == found,
        (Literal::Text(value), Scalar::Text(found)) => value == found,
        (Literal::Integer(value), found) => integer(found).is_ok_and(|found| found == *value),
        _ => false,
    })
}

/// A filter's field may be left out, but is then not null.
fn may_be_null(field: &Field) -> bool {
    field.absent != Absent::Required && field.role != Role::Filter
}

fn absent(field: &Field) -> Result<Value<'_>, Rejected> {
    match &field.absent {
        Absent::Null => Ok(Value::Null),
        Absent::Text(text) => Ok(Value::Text(Cow::Borrowed(text))),
        Absent::Number(number) => Ok(Value::Double(*number)),
        Absent::Required => Err(broken(Reason::MissingField, field, "is missing")),
    }
}

fn broken(reason: Reason, field: &Field, how: impl Display) -> Rejected {
    Rejected::new(reason, format!("{} {how}", field.name))
}

fn wrong_type(field: &Field, expected: &str) -> Rejected {
    broken(Reason::WrongType, field, format_args!("is not {expected}"))
}

fn checked<'p>(
    contract: &Contract,
    field: &Field,
    found: Scalar<'p>,
    arrival_ms: i64,
) -> Result<Value<'p>, Rejected> {
    match &field.rule {
        Rule::Text {
            min_bytes,
            max_bytes,
            one_of,
        } => text(field, found, (*min_bytes, *max_bytes), one_of).map(Value::Text),
        Rule::Double { min, max, unit } => {
            double(field, &found, (*min, *max), *unit).map(Value::Double)
        }
        Rule::Time { format, bounds } => {
            time(field, &found, *format, bounds.as_ref(), arrival_ms).map(Value::Time)
        }
        Rule::Version => version(contract.versions(), field, &found).map(Value::Integer),
        Rule::Integer { min, max, one_of } => {
            bounded_integer(field, &found, (*min, *max), one_of).map(Value::Integer)
        }
        Rule::Boolean => match found {
            Scalar::Bool(boolean) => Ok(Value::Boolean(boolean)),
            _ => Err(wrong_type(field, "true or false")),
        },
        Rule::Json { max_bytes } => json(field, found, *max_bytes),
        Rule::Object => match found {
            Scalar::Object => Ok(Value::Null),
            _ => Err(wrong_type(field, "an object")),
        },
        Rule::Filter(of_type) => match (of_type, found) {
            (FilterType::Boolean, Scalar::Bool(_)) | (FilterType::Text, Scalar::Text(_)) => {
                Ok(Value::Null)
            }
            (FilterType::Integer, found) if !matches!(integer(&found), Err(Unfit::Type)) => {
                Ok(Value::Null)
            }
            (FilterType::Boolean, _) => Err(wrong_type(field, "true or false")),
            (FilterType::Integer, _) => Err(wrong_type(field, "an integer")),
            (FilterType::Text, _) => Err(wrong_type(field, "a string")),
        },
    }
}

fn version(versions: &Versions, field: &Field, found: &Scalar) -> Result<i64, Rejected> {
    let unsupported = |version: &dyn Display| {
        let how = format_args!("is {version}, this pipeline reads {versions}");
        broken(Reason::UnsupportedSchemaVersion, field, how)
    };
    match versions {
        Versions::Numbers(numbers) => {
            let accepted = |found: f64| {
                let mut numbers = numbers.iter();
                #[expect(clippy::float_cmp, reason = "both have no fraction")]
                let accepted = numbers.find(|number| f64::from(**number) == found);
                accepted.map(|number| i64::from(*number))
            };
            match *found {
                #[expect(clippy::cast_precision_loss, reason = "accepted ones are small")]
                Scalar::Unsigned(version) => {
                    accepted(version as f64).ok_or_else(|| unsupported(&version))
                }
                Scalar::Signed(version) => Err(unsupported(&version)),
                // An integer is a number without a fraction, as JSON Schema has it: some languages write 1 as 1.0.
                Scalar::Float(version) if version.fract() == 0.0 => {
                    accepted(version).ok_or_else(|| unsupported(&version))
                }
                _ => Err(wrong_type(field, "an integer")),
            }
        }
        Versions::Texts(texts) => {
            let Scalar::Text(version) = found else {
                return Err(wrong_type(field, "a string"));
            };
            let mut stored = (1..).zip(texts);
            let stored = stored.find(|(_, accepted)| *accepted == version);
            stored
                .map(|(stored, _)| stored)
                .ok_or_else(|| unsupported(&"another"))
        }
    }
}

fn text<'p>(
    field: &Field,
    found: Scalar<'p>,
    (min_bytes, max_bytes): (usize, usize),
    one_of: &[String],
) -> Result<Cow<'p, str>, Rejected> {
    let Scalar::Text(text) = found else {
        return Err(wrong_type(field, "a string"));
    };
    let bytes = text.len();
    if bytes < min_bytes {
        return Err(if bytes == 0 {
            broken(Reason::EmptyField, field, "is empty")
        } else {
            let how = format_args!("has {bytes} bytes, at least {min_bytes} are needed");
            broken(Reason::NotAllowed, field, how)
        });
    }
    oversized(field, bytes, max_bytes)?;
    if !one_of.is_empty() && !one_of.iter().any(|allowed| *allowed == text) {
        return Err(not_one_of(field));
    }
    Ok(text)
}

fn oversized(field: &Field, bytes: usize, max_bytes: usize) -> Result<(), Rejected> {
    if bytes <= max_bytes {
        return Ok(());
    }
    let how = format_args!("has {bytes} bytes, at most {max_bytes} are allowed");
    Err(broken(Reason::OversizedField, field, how))
}

fn not_one_of(field: &Field) -> Rejected {
    broken(
        Reason::NotAllowed,
        field,
        "is none of the values that it may be",
    )
}

fn json<'p>(field: &Field, found: Scalar<'p>, max_bytes: usize) -> Result<Value<'p>, Rejected> {
    match found {
        Scalar::Json(json) if json == "null" => {
            if may_be_null(field) {
                Ok(Value::Null)
            } else {
                Err(broken(Reason::WrongType, field, "is null"))
            }
        }
        Scalar::Json(json) => {
            oversized(field, json.len(), max_bytes)?;
            Ok(Value::Text(json))
        }
        _ => Err(wrong_type(field, "a JSON value")),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a JSON number is a double to every reader of the lake"
)]
fn double(
    field: &Field,
    found: &Scalar,
    (min, max): (Option<f64>, Option<f64>),
    unit: Unit,
) -> Result<f64, Rejected> {
    let number = match *found {
        // One zero: -0.0 + 0.0 is 0.0. sonic-rs drops the sign of -0.0, and keeps that of -1e-400.
        Scalar::Float(number) => number + 0.0,
        Scalar::Unsigned(number) => number as f64,
        Scalar::Signed(number) => number as f64,
        _ => return Err(wrong_type(field, "a number")),
    };
    in_range(field, number, min, max)?;
    let number = unit.to_ms(number);
    if number.is_infinite() {
        return Err(broken(Reason::OutOfRange, field, LARGER));
    }
    Ok(number)
}

pub(super) const LARGER: &str = "is larger than a double can hold";

fn in_range<N: Copy + PartialOrd + Display>(
    field: &Field,
    number: N,
    min: Option<N>,
    max: Option<N>,
) -> Result<(), Rejected> {
    if let Some(min) = min.filter(|min| number < *min) {
        let how = format_args!("is {number}, below {min}");
        return Err(broken(Reason::OutOfRange, field, how));
    }
    if let Some(max) = max.filter(|max| number > *max) {
        let how = format_args!("is {number}, above {max}");
        return Err(broken(Reason::OutOfRange, field, how));
    }
    Ok(())
}

fn bounded_integer(
    field: &Field,
    found: &Scalar,
    (min, max): (i64, i64),
    one_of: &[i64],
) -> Result<i64, Rejected> {
    let integer = integer(found).map_err(|unfit| match unfit {
        Unfit::Type => wrong_type(field, "an integer"),
        Unfit::Range => {
            let how = "is not certainly an integer of 64 bits";
            broken(Reason::OutOfRange, field, how)
        }
    })?;
    in_range(field, integer, Some(min), Some(max))?;
    if !one_of.is_empty() && !one_of.contains(&integer) {
        return Err(not_one_of(field));
    }
    Ok(integer)
}

fn time(
    field: &Field,
    found: &Scalar,
    format: TimeFormat,
    bounds: Option<&TimeBounds>,
    arrival_ms: i64,
) -> Result<i64, Rejected> {
    // The event's own time has reasons of its own.
    let (malformed, out_of_range) = match bounds {
        Some(_) => (Reason::InvalidEventTime, Reason::EventTimeOutOfRange),
        None => (Reason::WrongType, Reason::OutOfRange),
    };
    let us = match format {
        TimeFormat::Rfc3339 => {
            let Scalar::Text(text) = found else {
                return Err(wrong_type(field, "a string"));
            };
            event_time::micros(text).map_err(|how| broken(malformed, field, how))?
        }
        TimeFormat::Epoch { microseconds } => {
            epoch_us(found, microseconds).map_err(|unfit| match unfit {
                Unfit::Type => wrong_type(field, "a number"),
                Unfit::Range => broken(out_of_range, field, "is beyond 64 bits of microseconds"),
            })?
        }
    };
    let Some(bounds) = bounds else {
        return if (MIN_TIME_US..=MAX_TIME_US).contains(&us) {
            Ok(us)
        } else {
            Err(broken(
                out_of_range,
                field,
                "is outside of the years 1 to 9999",
            ))
        };
    };
    if us < bounds.not_before_us {
        let how = format_args!("is before {}", bounds.not_before());
        return Err(broken(out_of_range, field, how));
    }
    if us > arrival_ms * 1000 + i64::from(bounds.max_ahead_hours) * US_PER_HOUR {
        let hours = bounds.max_ahead_hours;
        let how = format_args!("is over {hours} h ahead of arrival");
        return Err(broken(out_of_range, field, how));
    }
    Ok(us)
}

const US_PER_HOUR: i64 = 3_600_000_000;
