//! One way or more to break each rule of a contract.

use events::Reason;
use events::contract::{Absent, Contract, Field, Role, Rule, TimeBounds, TimeFormat, Versions};

use super::tree::{Tree, json};

/// Text that is longer than this is not made, only to be too long.
const MAX_LONG: usize = 100_000;

/// One way to break a good event.
#[derive(Clone, Debug)]
pub(super) struct Defect {
    /// The rule that the record then breaks.
    pub(super) reason: Reason,
    how: How,
}

#[derive(Clone, Debug)]
enum How {
    Remove(Vec<String>),
    Double(Vec<String>),
    Put(Vec<String>, String),
    Bytes(fn(Vec<u8>) -> Vec<u8>),
}

impl Defect {
    /// The event with this defect.
    pub(super) fn spoil(&self, event: &mut Tree) -> Vec<u8> {
        match &self.how {
            How::Remove(path) => event.remove(path),
            How::Double(path) => event.double(path),
            How::Put(path, json) => event.put(path, json.clone()),
            How::Bytes(spoil) => return spoil(event.render()),
        }
        event.render()
    }
}

/// All of them, for a contract.
pub(super) fn of(contract: &Contract) -> Vec<Defect> {
    let mut defects = of_any_event();
    for field in contract
        .fields()
        .iter()
        .filter(|field| field.slot.is_some())
    {
        let put = |reason, json: String| Defect {
            reason,
            how: How::Put(field.path.clone(), json),
        };
        if field.role == Role::Object {
            defects.push(put(Reason::WrongType, "[]".to_owned()));
            continue;
        }
        if field.absent == Absent::Required {
            defects.push(Defect {
                reason: Reason::MissingField,
                how: How::Remove(field.path.clone()),
            });
            defects.push(Defect {
                reason: Reason::DuplicateField,
                how: How::Double(field.path.clone()),
            });
        }
        defects.extend(
            broken(contract, field)
                .into_iter()
                .map(|(reason, json)| put(reason, json)),
        );
    }
    defects
}

fn of_any_event() -> Vec<Defect> {
    let bytes = |reason, spoil| Defect {
        reason,
        how: How::Bytes(spoil),
    };
    vec![
        bytes(Reason::EmptyRecord, |_| Vec::new()),
        bytes(Reason::InvalidUtf8, |mut event| {
            let middle = event.len() / 2;
            event[middle] = 0x80;
            event
        }),
        bytes(Reason::InvalidJson, |mut event| {
            event.truncate(event.len() * 2 / 3);
            event
        }),
        bytes(Reason::NotAnObject, |event| [b"[", &*event, b"]"].concat()),
        bytes(Reason::TooDeep, |_| b"[".repeat(1000)),
        bytes(Reason::CorruptCompression, |event| {
            [&[0x1F, 0x8B, 0x08], &*event].concat()
        }),
    ]
}

/// Values that break a field's rule, and the reasons.
fn broken(contract: &Contract, field: &Field) -> Vec<(Reason, String)> {
    let wrong = |json: &str| (Reason::WrongType, json.to_owned());
    match &field.rule {
        Rule::Object => Vec::new(),
        Rule::Version => match contract.versions() {
            Versions::Numbers(numbers) => {
                let newer = numbers.iter().max().map_or(0, |newest| newest + 1);
                vec![
                    wrong("\"one\""),
                    (Reason::UnsupportedSchemaVersion, json(&newer)),
                ]
            }
            Versions::Texts(texts) => {
                let unknown = texts.concat() + "-unknown";
                vec![
                    wrong("7"),
                    (Reason::UnsupportedSchemaVersion, json(&unknown)),
                ]
            }
        },
        Rule::Text {
            min_bytes,
            max_bytes,
            one_of,
        } => {
            let mut values = vec![wrong("7")];
            if *min_bytes > 0 {
                values.push((Reason::EmptyField, "\"\"".to_owned()));
            }
            if *min_bytes > 1 {
                values.push((Reason::NotAllowed, json(&"x")));
            }
            if *max_bytes < MAX_LONG {
                values.push((Reason::OversizedField, json(&"x".repeat(max_bytes + 1))));
            }
            if !one_of.is_empty() {
                let unlisted = "?".repeat((*min_bytes).max(1));
                values.push((Reason::NotAllowed, json(&unlisted)));
            }
            values
        }
        Rule::Integer { min, max, one_of } => {
            let mut values = vec![
                wrong("\"7\""),
                wrong("0.5"),
                (Reason::OutOfRange, json(&u64::MAX)),
            ];
            values.extend(
                min.checked_sub(1)
                    .map(|below| (Reason::OutOfRange, json(&below))),
            );
            values.extend(
                max.checked_add(1)
                    .map(|above| (Reason::OutOfRange, json(&above))),
            );
            let mut next = (*min..=*max).filter(|integer| !one_of.contains(integer));
            if !one_of.is_empty() {
                values.extend(next.next().map(|other| (Reason::NotAllowed, json(&other))));
            }
            values
        }
        Rule::Double { min, max, .. } => {
            let mut values = vec![wrong("\"fast\""), (Reason::OutOfRange, "1e999".to_owned())];
            values.extend(min.map(|min| (Reason::OutOfRange, json(&(min - min.abs().max(1.0))))));
            values.extend(max.map(|max| (Reason::OutOfRange, json(&(max + max.abs().max(1.0))))));
            values
        }
        Rule::Boolean | Rule::Filter(_) => vec![wrong("[]")],
        Rule::Time { format, bounds } => broken_time(*format, bounds.as_ref()),
        Rule::Json { max_bytes } => {
            let mut values = Vec::new();
            if field.absent == Absent::Required {
                values.push(wrong("null"));
            }
            if *max_bytes < MAX_LONG {
                values.push((Reason::OversizedField, json(&"x".repeat(*max_bytes))));
            }
            values
        }
    }
}

fn broken_time(format: TimeFormat, bounds: Option<&TimeBounds>) -> Vec<(Reason, String)> {
    let (malformed, out_of_range) = match bounds {
        Some(_) => (Reason::InvalidEventTime, Reason::EventTimeOutOfRange),
        None => (Reason::WrongType, Reason::OutOfRange),
    };
    let mut values = match format {
        TimeFormat::Rfc3339 => vec![
            (Reason::WrongType, "7"),
            (malformed, "\"yesterday\""),
            // Before the first of all contracts.
            (out_of_range, "\"0000-12-31T00:00:00Z\""),
        ],
        TimeFormat::Epoch { .. } => vec![
            (Reason::WrongType, "\"now\""),
            (out_of_range, "1e18"),
            (out_of_range, "-1e18"),
            (out_of_range, "1e300"),
        ],
    };
    if format == TimeFormat::Rfc3339 && bounds.is_some() {
        values.push((out_of_range, "\"9000-01-01T00:00:00Z\""));
    }
    let values = values.into_iter();
    values
        .map(|(reason, json)| (reason, json.to_owned()))
        .collect()
}
