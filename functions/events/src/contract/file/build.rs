//! The tables, held together: which roles and columns there are, where their fields are, what their rules are.

mod columns;
mod fields;
mod values;

use toml::{Spanned, Value};

use super::super::{
    Absent, Contract, Field, Filter, FilterType, Literal, MAX_TIME_US, MIN_TIME_US, Names, Problem,
    Role, Rule, TimeBounds, Unit, Versions,
};
use super::line_of;
use super::tables::{FilterTable, NumberTable, Tables, TextTable, TimeTable, VersionTable};
use fields::Owner;

/// Bytes of a role's text, and of a path's name.
const MAX_ROLE_BYTES: usize = 1024;
/// Hours in a year.
const MAX_AHEAD_HOURS: i64 = 8760;
const DEFAULT_NOT_BEFORE_US: i64 = crate::MIN_EVENT_TIME_US;
const DEFAULT_AHEAD_HOURS: u32 = 24;

pub(super) fn contract(text: &str, tables: Tables, hash: String) -> Result<Contract, Problem> {
    let mut builder = Builder {
        text,
        fields: Vec::new(),
        names: Names::default(),
        slots: 0,
        owners: Vec::new(),
    };
    let (versions, constant_version) = builder.version(tables.version)?;
    builder.text_role("id", Role::Id, tables.id, crate::MAX_ID_BYTES)?;
    builder.text_role("key", Role::Key, tables.key, crate::MAX_ID_BYTES)?;
    builder.text_role(
        "kind",
        Role::Kind,
        tables.kind,
        crate::MAX_DEVICE_TYPE_BYTES,
    )?;
    builder.time(tables.time)?;
    builder.number_role("duration", Role::Duration, tables.duration)?;
    if let Some(value) = tables.value {
        builder.number_role("value", Role::Value, value)?;
    }
    let columns = builder.columns(tables.column)?;
    let filter = tables
        .filter
        .map(|filter| builder.filter(filter))
        .transpose()?;
    Ok(Contract {
        hash,
        fields: builder.fields,
        names: builder.names,
        slots: builder.slots,
        columns,
        filter,
        versions,
        constant_version,
    })
}

struct Builder<'t> {
    text: &'t str,
    fields: Vec<Field>,
    names: Names,
    slots: usize,
    owners: Vec<Owner>,
}

impl Builder<'_> {
    fn problem(&self, at: usize, what: String) -> Problem {
        Problem {
            line: Some(line_of(self.text, at)),
            what,
        }
    }

    /// That a key's value breaks its rule.
    fn broken<T, V>(&self, key: &str, value: &Spanned<V>, rule: &str) -> Result<T, Problem> {
        Err(self.problem(value.span().start, format!("{key}: {rule}")))
    }

    fn refuse<V>(&self, key: &str, value: Option<&Spanned<V>>, rule: &str) -> Result<(), Problem> {
        value.map_or(Ok(()), |value| self.broken(key, value, rule))
    }

    fn version(
        &mut self,
        table: Spanned<VersionTable>,
    ) -> Result<(Versions, Option<u32>), Problem> {
        let VersionTable {
            field,
            accepted,
            about,
        } = table.into_inner();
        let versions = self.versions(&accepted)?;
        let Some(field) = field else {
            return Ok((versions.clone(), versions.stored().last().copied()));
        };
        self.field(
            Role::Version,
            "version",
            Some(field),
            Rule::Version,
            Absent::Required,
            about,
        )?;
        Ok((versions, None))
    }

    fn versions(&self, accepted: &Spanned<Vec<Spanned<Value>>>) -> Result<Versions, Problem> {
        const RULE: &str =
            "version.accepted is a list of integers from 0 to 2147483647, or of strings";
        let mut numbers = Vec::new();
        let mut texts = Vec::new();
        for value in accepted.as_ref() {
            match value.as_ref() {
                Value::Integer(number) if i32::try_from(*number).is_ok_and(|n| n >= 0) => {
                    numbers.push(u32::try_from(*number).unwrap_or_default());
                }
                Value::String(text) if !text.is_empty() => texts.push(text.clone()),
                _ => return self.broken("accepted", value, RULE),
            }
        }
        match (numbers.is_empty(), texts.is_empty()) {
            (false, true) => Ok(Versions::Numbers(numbers)),
            (true, false) => Ok(Versions::Texts(texts)),
            _ => self.broken("accepted", accepted, RULE),
        }
    }

    fn text_role(
        &mut self,
        who: &str,
        role: Role,
        table: Spanned<TextTable>,
        default_max: usize,
    ) -> Result<(), Problem> {
        let start = table.span().start;
        let table = table.into_inner();
        let sizes = (table.min_bytes, table.max_bytes);
        let (min_bytes, max_bytes) = self.sizes(
            who,
            sizes,
            1,
            default_max.min(MAX_ROLE_BYTES),
            MAX_ROLE_BYTES,
        )?;
        if min_bytes == 0 {
            return Err(self.problem(start, format!("{who}.min_bytes: is 0, at least 1")));
        }
        let one_of = self.texts(who, table.one_of.as_ref())?;
        let absent = match table.default {
            None if table.field.is_none() => {
                return Err(self.problem(start, missing_field(who, role == Role::Id)));
            }
            None => Absent::Required,
            Some(default) if role == Role::Id => {
                return self.broken("id.default", &default, "every event has an id of its own");
            }
            Some(default) => {
                let bytes = default.as_ref().len();
                if !(min_bytes..=max_bytes).contains(&bytes)
                    || !(one_of.is_empty() || one_of.contains(default.as_ref()))
                {
                    return self.broken(&format!("{who}.default"), &default, "breaks its own rule");
                }
                Absent::Text(default.into_inner())
            }
        };
        let rule = Rule::Text {
            min_bytes,
            max_bytes,
            one_of,
        };
        self.field(role, who, table.field, rule, absent, table.about)
    }

    fn time(&mut self, table: Spanned<TimeTable>) -> Result<(), Problem> {
        let table = table.into_inner();
        let format = self.format("time.format", &table.format)?;
        let not_before_us = match &table.not_before {
            None => DEFAULT_NOT_BEFORE_US,
            Some(text) => match text.as_ref().parse::<jiff::Timestamp>() {
                Ok(time) if (MIN_TIME_US..=MAX_TIME_US).contains(&time.as_microsecond()) => {
                    time.as_microsecond()
                }
                _ => {
                    let rule = "is not an RFC 3339 time of the years 1 to 9999, like \"2000-01-01T00:00:00Z\"";
                    return self.broken("time.not_before", text, rule);
                }
            },
        };
        let max_ahead_hours = match &table.max_ahead_hours {
            None => DEFAULT_AHEAD_HOURS,
            Some(hours) if (0..=MAX_AHEAD_HOURS).contains(hours.as_ref()) => {
                u32::try_from(*hours.as_ref()).unwrap_or_default()
            }
            Some(hours) => {
                return self.broken("time.max_ahead_hours", hours, "whole hours from 0 to 8760");
            }
        };
        let bounds = Some(TimeBounds {
            not_before_us,
            max_ahead_hours,
        });
        let rule = Rule::Time { format, bounds };
        let field = Some(table.field);
        self.field(
            Role::Time,
            "time",
            field,
            rule,
            Absent::Required,
            table.about,
        )
    }

    fn number_role(
        &mut self,
        who: &str,
        role: Role,
        table: Spanned<NumberTable>,
    ) -> Result<(), Problem> {
        let start = table.span().start;
        let table = table.into_inner();
        let is_duration = role == Role::Duration;
        if is_duration {
            let rule = "every row has a duration; give a default";
            self.refuse("duration.nullable", table.nullable.as_ref(), rule)?;
        } else {
            self.refuse("value.unit", table.unit.as_ref(), "a value has none")?;
            let rule = "what has no value is null; say nullable = true";
            self.refuse("value.default", table.default.as_ref(), rule)?;
        }
        let unit = match &table.unit {
            None => Unit::Milliseconds,
            Some(unit) => match unit.as_ref().as_str() {
                "s" => Unit::Seconds,
                "ms" => Unit::Milliseconds,
                "us" => Unit::Microseconds,
                other => {
                    let rule = format!("{other:?} is none of s, ms, us");
                    return self.broken("duration.unit", unit, &rule);
                }
            },
        };
        let (mut min, max) = self.doubles(who, table.min.as_ref(), table.max.as_ref())?;
        if is_duration {
            if let Some(below) = table.min.filter(|_| min < Some(0.0)) {
                return self.broken("duration.min", &below, "a duration is not negative");
            }
            min = min.or(Some(0.0));
        }
        let absent = match table.default {
            Some(default) => {
                let number = self.double(&format!("{who}.default"), &default)?;
                if min.is_some_and(|min| number < min) || max.is_some_and(|max| number > max) {
                    return self.broken(&format!("{who}.default"), &default, "breaks its own rule");
                }
                Absent::Number(unit.to_ms(number))
            }
            None if table.nullable.is_some_and(Spanned::into_inner) => Absent::Null,
            None => Absent::Required,
        };
        if table.field.is_none() && !matches!(absent, Absent::Number(_)) {
            return Err(self.problem(start, missing_field(who, !is_duration)));
        }
        let rule = Rule::Double { min, max, unit };
        self.field(role, who, table.field, rule, absent, table.about)
    }

    fn filter(&mut self, table: Spanned<FilterTable>) -> Result<Filter, Problem> {
        let FilterTable {
            field,
            values: list,
            about,
        } = table.into_inner();
        let values: Vec<Literal> = list
            .as_ref()
            .iter()
            .filter_map(|v| literal(v.as_ref()))
            .collect();
        let Some(of_type) = values
            .first()
            .map(literal_type)
            .filter(|first| values.iter().all(|value| literal_type(value) == *first))
            .filter(|_| values.len() == list.as_ref().len())
        else {
            let rule = "is a list of strings, of integers, or of true and false";
            return self.broken("filter.values", &list, rule);
        };
        let path = &field.as_ref().0;
        let shared = self
            .fields
            .iter()
            .find(|owner| owner.path == *path && owner.role != Role::Object);
        if let Some(owner) = shared {
            let agrees = matches!(
                (&owner.rule, of_type),
                (Rule::Text { .. }, FilterType::Text)
                    | (Rule::Integer { .. }, FilterType::Integer)
                    | (Rule::Boolean, FilterType::Boolean)
            );
            let (true, Some(slot)) = (agrees, owner.slot) else {
                let rule = format!("{} has values of another type", owner.name);
                return self.broken("filter.values", &list, &rule);
            };
            return Ok(Filter { slot, values });
        }
        let rule = Rule::Filter(of_type);
        self.field(
            Role::Filter,
            "filter",
            Some(field),
            rule,
            Absent::Null,
            about,
        )?;
        let slot = self.slots - 1;
        Ok(Filter { slot, values })
    }
}

fn missing_field(who: &str, has_no_default: bool) -> String {
    let way = if has_no_default { "" } else { " or a default" };
    format!("{who} has no field{way}")
}

fn literal(value: &Value) -> Option<Literal> {
    match value {
        Value::Boolean(boolean) => Some(Literal::Boolean(*boolean)),
        Value::Integer(integer) => Some(Literal::Integer(*integer)),
        Value::String(text) => Some(Literal::Text(text.clone())),
        _ => None,
    }
}

fn literal_type(literal: &Literal) -> FilterType {
    match literal {
        Literal::Boolean(_) => FilterType::Boolean,
        Literal::Integer(_) => FilterType::Integer,
        Literal::Text(_) => FilterType::Text,
    }
}
