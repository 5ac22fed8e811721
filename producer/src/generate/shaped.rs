//! Events of any contract: the fleet's events, with the contract's names, paths and types, and typed columns by their
//! rules.

mod defects;
mod tree;

use events::contract::{
    Absent, Contract, Field, FilterType, Literal, Role, Rule, TimeFormat, Unit, Versions,
};
use events::{Event, Reason};
use jiff::Timestamp;
use rand::{Rng, RngExt};
use thiserror::Error;

use super::expected::Kind;
use defects::Defect;
use tree::{Tree, json};

/// Share of events that leave a nullable column out.
const LEFT_OUT: f64 = 0.2;

/// A contract that the generator cannot make events for.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum ShapeError {
    /// The dedupe key is too short.
    #[error("id.max_bytes is {0}: the ids that the producer makes are UUIDs, of 36 bytes")]
    ShortId(usize),
    /// The dedupe key cannot be anything.
    #[error("id.one_of: the ids that the producer makes are UUIDs")]
    ListedId,
}

/// How events of a contract look.
#[derive(Clone, Debug)]
pub(super) struct Shape {
    contract: Contract,
    defects: Vec<Defect>,
    next_defect: usize,
}

impl Shape {
    pub(super) fn new(contract: Contract) -> Result<Self, ShapeError> {
        if let Some(Rule::Text {
            max_bytes, one_of, ..
        }) = contract.field(Role::Id).map(|field| &field.rule)
        {
            if *max_bytes < 36 {
                return Err(ShapeError::ShortId(*max_bytes));
            }
            if !one_of.is_empty() {
                return Err(ShapeError::ListedId);
            }
        }
        Ok(Self {
            defects: defects::of(&contract),
            contract,
            next_defect: 0,
        })
    }

    /// Whether events of [`Kind::Test`] are dropped on purpose.
    pub(super) fn has_filter(&self) -> bool {
        self.contract.filter().is_some()
    }

    /// A good event.
    pub(super) fn payload(&self, event: &Event, kind: Kind, rng: &mut impl Rng) -> Vec<u8> {
        self.tree(event, kind, rng).render()
    }

    /// One that breaks a rule of the contract, each in turn, and the rule.
    pub(super) fn malformed(&mut self, event: &Event, rng: &mut impl Rng) -> (Vec<u8>, Reason) {
        let mut tree = self.tree(event, Kind::Malformed, rng);
        let defect = &self.defects[self.next_defect];
        self.next_defect = (self.next_defect + 1) % self.defects.len();
        (defect.spoil(&mut tree), defect.reason)
    }

    /// Whether the id can be read from a payload.
    pub(super) fn carries(&self, payload: &[u8], event_id: &str) -> bool {
        let Ok(event) = serde_json::from_slice::<serde_json::Value>(payload) else {
            return false;
        };
        let id = self.contract.field(Role::Id);
        let found = id.and_then(|id| {
            id.path
                .iter()
                .try_fold(&event, |object, name| object.get(name))
        });
        found.and_then(serde_json::Value::as_str) == Some(event_id)
    }

    fn tree(&self, event: &Event, kind: Kind, rng: &mut impl Rng) -> Tree {
        let mut tree = Tree::default();
        for field in self.contract.fields() {
            if field.role != Role::Object
                && field.slot.is_some()
                && let Some(json) = self.value(field, event, kind, rng)
            {
                tree.put(&field.path, json);
            }
        }
        // A field that no contract of people knows, to be kept.
        if self.contract.names().find("firmware", 0).is_none() && rng.random_bool(0.3) {
            tree.put(&["firmware".to_owned()], json(&"4.2.0"));
        }
        tree
    }

    /// The JSON of a field; `None` leaves it out.
    fn value(
        &self,
        field: &Field,
        event: &Event,
        kind: Kind,
        rng: &mut impl Rng,
    ) -> Option<String> {
        let filter = self.contract.filter();
        let filter = filter.filter(|filter| Some(filter.slot) == field.slot);
        if let Some(filter) = filter.filter(|_| kind == Kind::Test) {
            return filter.values.first().map(literal);
        }
        let dropped = |json: &str| {
            filter.is_some_and(|filter| filter.values.iter().any(|value| literal(value) == json))
        };
        let json = match (field.role, &field.rule) {
            (Role::Version, _) => match self.contract.versions() {
                Versions::Numbers(numbers) => numbers.last().map(json)?,
                Versions::Texts(texts) => texts.last().map(json)?,
            },
            (Role::Id, _) => json(&event.event_id),
            (Role::Key, rule) => text(rule, &event.device_id, rng),
            (Role::Kind, rule) => text(rule, &event.device_type, rng),
            (Role::Time, Rule::Time { format, .. }) => time(*format, event),
            (Role::Duration, Rule::Double { min, max, unit }) => {
                let duration = match unit {
                    Unit::Seconds => event.event_duration / 1000.0,
                    Unit::Milliseconds => event.event_duration,
                    Unit::Microseconds => event.event_duration * 1000.0,
                };
                json(&within(duration, *min, *max))
            }
            (Role::Value, Rule::Double { min, max, .. }) => match event.value {
                Some(value) => json(&within(value, *min, *max)),
                None if field.absent == Absent::Null => return None,
                None => json(&within(0.0, *min, *max)),
            },
            (Role::Column(_), _) if field.absent == Absent::Null && rng.random_bool(LEFT_OUT) => {
                return None;
            }
            (Role::Column(_), rule) => column(rule, field, event, rng),
            (Role::Filter, Rule::Filter(of_type)) => return kept(*of_type, dropped),
            _ => return None,
        };
        if dropped(&json) {
            return other(&field.rule, dropped);
        }
        Some(json)
    }
}

fn literal(literal: &Literal) -> String {
    match literal {
        Literal::Boolean(boolean) => json(boolean),
        Literal::Integer(integer) => json(integer),
        Literal::Text(text) => json(text),
    }
}

/// A value of a filter's own field that drops nothing; `None` where the type has none.
fn kept(of_type: FilterType, dropped: impl Fn(&str) -> bool) -> Option<String> {
    let candidates = match of_type {
        FilterType::Boolean => vec![json(&false), json(&true)],
        FilterType::Integer => (0..100).map(|integer| json(&integer)).collect(),
        FilterType::Text => (0..100)
            .map(|number| json(&format!("kept-{number}")))
            .collect(),
    };
    candidates.into_iter().find(|json| !dropped(json))
}

/// A value within the rule that drops nothing.
fn other(rule: &Rule, dropped: impl Fn(&str) -> bool) -> Option<String> {
    let candidates: Vec<String> = match rule {
        Rule::Text { one_of, .. } if !one_of.is_empty() => one_of.iter().map(json).collect(),
        Rule::Text { .. } => (0..100)
            .map(|n| json(&fitted(rule, &format!("{n}"))))
            .collect(),
        Rule::Integer { min, max, one_of } if one_of.is_empty() => (0..100)
            .map(|n| json(&min.saturating_add(n).min(*max)))
            .collect(),
        Rule::Integer { one_of, .. } => one_of.iter().map(json).collect(),
        _ => vec![json(&false), json(&true)],
    };
    candidates.into_iter().find(|json| !dropped(json))
}

fn within(number: f64, min: Option<f64>, max: Option<f64>) -> f64 {
    let number = min.map_or(number, |min| number.max(min));
    max.map_or(number, |max| number.min(max))
}

fn text(rule: &Rule, text: &str, rng: &mut impl Rng) -> String {
    match rule {
        Rule::Text { one_of, .. } if !one_of.is_empty() => {
            json(&one_of[rng.random_range(0..one_of.len())])
        }
        _ => json(&fitted(rule, text)),
    }
}

/// ASCII text, of as many bytes as the rule wants.
fn fitted(rule: &Rule, text: &str) -> String {
    let Rule::Text {
        min_bytes,
        max_bytes,
        ..
    } = rule
    else {
        return text.to_owned();
    };
    let text: String = text.chars().take(*max_bytes).collect();
    format!("{text:x<min_bytes$}")
}

fn time(format: TimeFormat, event: &Event) -> String {
    let TimeFormat::Epoch { microseconds } = format else {
        return json(&event.event_time);
    };
    let time: Timestamp = event.event_time.parse().expect("the generator wrote it");
    json(&time.as_microsecond().div_euclid(microseconds))
}

fn column(rule: &Rule, field: &Field, event: &Event, rng: &mut impl Rng) -> String {
    match rule {
        Rule::Text { .. } => {
            let name = format!(
                "{}-{}",
                field.path.last().map_or("x", String::as_str),
                rng.random_range(0..50)
            );
            text(rule, &name, rng)
        }
        Rule::Integer { min, max, one_of } => match &one_of[..] {
            [] => json(&rng.random_range((*min).max(-1000).min(*max)..=(*max).min(1000).max(*min))),
            values => json(&values[rng.random_range(0..values.len())]),
        },
        Rule::Double { min, max, .. } => {
            let low = min.unwrap_or_else(|| max.map_or(0.0, |max| max - 1.0));
            let high = max.unwrap_or(low + 100.0);
            let number = (rng.random_range(0.0..=1.0) * (high - low) + low) * 1000.0;
            json(&within(number.round() / 1000.0, *min, *max))
        }
        Rule::Time { format, .. } => time(*format, event),
        Rule::Json { max_bytes } => {
            let number: u8 = rng.random();
            let object = format!("{{\"n\": {number}}}");
            if object.len() <= *max_bytes {
                object
            } else {
                "7".to_owned()
            }
        }
        _ => json(&rng.random_bool(0.5)),
    }
}
