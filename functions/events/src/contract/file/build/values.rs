//! The values of keys: sizes, numbers, lists, names.

use toml::{Spanned, Value};

use super::super::super::{Problem, TimeFormat};
use super::Builder;

impl Builder<'_> {
    pub(super) fn format(&self, key: &str, name: &Spanned<String>) -> Result<TimeFormat, Problem> {
        self.named(key, name, &TimeFormat::ALL)
    }

    /// What a name stands for, of all that there are.
    pub(super) fn named<T: Copy>(
        &self,
        key: &str,
        name: &Spanned<String>,
        all: &[(&'static str, T)],
    ) -> Result<T, Problem> {
        let found = all.iter().find(|(known, _)| known == name.as_ref());
        if let Some((_, found)) = found {
            return Ok(*found);
        }
        let known = joined(all.iter().map(|(name, _)| *name));
        let rule = format!("{:?} is none of {known}", name.as_ref());
        self.broken(key, name, &rule)
    }

    pub(super) fn sizes(
        &self,
        who: &str,
        (min, max): (Option<Spanned<i64>>, Option<Spanned<i64>>),
        default_min: usize,
        default_max: usize,
        most: usize,
    ) -> Result<(usize, usize), Problem> {
        let size = |key: &str, value: &Option<Spanned<i64>>, default| match value {
            None => Ok(default),
            Some(value) => match usize::try_from(*value.as_ref()) {
                Ok(bytes) if bytes <= most => Ok(bytes),
                _ => self.broken(
                    &format!("{who}.{key}"),
                    value,
                    &format!("bytes from 0 to {most}"),
                ),
            },
        };
        let bytes = (
            size("min_bytes", &min, default_min)?,
            size("max_bytes", &max, default_max)?,
        );
        match max.or(min) {
            Some(given) if bytes.0 > bytes.1 || bytes.1 == 0 => {
                self.broken(&format!("{who}.max_bytes"), &given, "allows no text")
            }
            _ => Ok(bytes),
        }
    }

    pub(super) fn doubles(
        &self,
        who: &str,
        min: Option<&Spanned<Value>>,
        max: Option<&Spanned<Value>>,
    ) -> Result<(Option<f64>, Option<f64>), Problem> {
        let double = |key: &str, value: Option<&Spanned<Value>>| {
            value
                .map(|value| self.double(&format!("{who}.{key}"), value))
                .transpose()
        };
        let range = (double("min", min)?, double("max", max)?);
        match (range, min) {
            ((Some(least), Some(most)), Some(min)) if least > most => {
                self.broken(&format!("{who}.min"), min, "is above max")
            }
            _ => Ok(range),
        }
    }

    pub(super) fn double(&self, key: &str, value: &Spanned<Value>) -> Result<f64, Problem> {
        match value.as_ref() {
            Value::Float(number) if number.is_finite() => Ok(number + 0.0),
            #[expect(
                clippy::cast_precision_loss,
                reason = "the nearest double, as in events"
            )]
            Value::Integer(number) => Ok(*number as f64),
            _ => self.broken(key, value, "is not a finite number"),
        }
    }

    pub(super) fn integer(
        &self,
        key: &str,
        value: Option<&Spanned<Value>>,
        default: i64,
    ) -> Result<i64, Problem> {
        match value.map(|value| (value, value.as_ref())) {
            None => Ok(default),
            Some((_, Value::Integer(integer))) => Ok(*integer),
            Some((value, _)) => self.broken(key, value, "is not an integer"),
        }
    }

    pub(super) fn integers(
        &self,
        who: &str,
        list: Option<&Spanned<Vec<Spanned<Value>>>>,
    ) -> Result<Vec<i64>, Problem> {
        let integer = |value: &Spanned<Value>| value.as_ref().as_integer();
        self.list(who, list, integer, "is a list of integers")
    }

    pub(super) fn texts(
        &self,
        who: &str,
        list: Option<&Spanned<Vec<Spanned<Value>>>>,
    ) -> Result<Vec<String>, Problem> {
        let text = |value: &Spanned<Value>| value.as_ref().as_str().map(ToOwned::to_owned);
        self.list(who, list, text, "is a list of strings")
    }

    pub(super) fn list<T>(
        &self,
        who: &str,
        list: Option<&Spanned<Vec<Spanned<Value>>>>,
        item: impl Fn(&Spanned<Value>) -> Option<T>,
        rule: &str,
    ) -> Result<Vec<T>, Problem> {
        let Some(list) = list else {
            return Ok(Vec::new());
        };
        match list.as_ref().iter().map(item).collect::<Option<Vec<T>>>() {
            Some(items) if !items.is_empty() => Ok(items),
            _ => self.broken(&format!("{who}.one_of"), list, rule),
        }
    }
}

pub(super) fn joined<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
