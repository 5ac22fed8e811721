//! An object's members → slots: what the contract names is read, what it does not name is kept as text.

use std::borrow::Cow;
use std::fmt;

use events::Reason;
use events::contract::{Contract, Found, Names};
use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor,
};
use sonic_rs::LazyValue;

use super::{Rejected, unreadable};

/// A JSON value as far as a contract cares.
#[derive(Debug)]
pub(super) enum Scalar<'p> {
    Text(Cow<'p, str>),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Null,
    /// Of a field whose text is kept.
    Json(Cow<'p, str>),
    Object,
    Array,
}

/// Why there are no fields.
pub(super) enum Stop {
    /// The text is not readable from about this byte on.
    Unreadable(usize),
    /// The field of this slot came more than once.
    Twice(usize),
}

impl Stop {
    pub(super) fn rejected(&self, text: &str, contract: &Contract) -> Rejected {
        match *self {
            Self::Unreadable(at) => unreadable::reason(text, at, contract.names()),
            Self::Twice(slot) => {
                let mut fields = contract.fields().iter();
                let field = fields.find(|field| field.slot == Some(slot));
                let name = field.map_or("a field", |field| &field.name);
                Rejected::new(
                    Reason::DuplicateField,
                    format!("{name} occurs more than once"),
                )
            }
        }
    }
}

/// Fills the slots, which are empty. Returns the text of an object that has what the contract does not name.
pub(super) fn fields<'p>(
    text: &'p str,
    names: &'p Names,
    slots: &mut [Option<Scalar<'p>>],
) -> Result<Option<String>, Stop> {
    let mut twice = None;
    let mut unnamed = None;
    let mut deserializer = sonic_rs::Deserializer::from_str(text);
    let members = Members {
        names,
        slots,
        twice: &mut twice,
        unnamed: &mut unnamed,
    };
    members
        .deserialize(&mut deserializer)
        .and_then(|_| deserializer.end())
        .map_err(|error| Stop::Unreadable(error.offset()))?;
    match twice {
        Some(slot) => Err(Stop::Twice(slot)),
        None => Ok(closed(unnamed)),
    }
}

/// An object with fields of the contract.
struct Members<'s, 'p> {
    names: &'p Names,
    slots: &'s mut [Option<Scalar<'p>>],
    twice: &'s mut Option<usize>,
    /// The text, but for its last brace, of an object with the members that the contract does not name.
    unnamed: &'s mut Option<String>,
}

impl<'p> DeserializeSeed<'p> for Members<'_, 'p> {
    type Value = Scalar<'p>;

    fn deserialize<D: Deserializer<'p>>(self, deserializer: D) -> Result<Scalar<'p>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'p> Visitor<'p> for Members<'_, 'p> {
    type Value = Scalar<'p>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'p>>(self, mut map: A) -> Result<Scalar<'p>, A::Error> {
        let mut expected = 0;
        while let Some(Name(name)) = map.next_key()? {
            let Some((found, after)) = self.names.find(&name, expected) else {
                keep(self.unnamed, &name, &json(&mut map)?);
                continue;
            };
            expected = after;
            let (slot, value) = match found {
                Found::Scalar { slot } => (*slot, map.next_value()?),
                Found::Json { slot } => (*slot, Scalar::Json(json(&mut map)?)),
                Found::Object { slot, names } => {
                    let mut unnamed = None;
                    let members = Members {
                        names,
                        slots: &mut *self.slots,
                        twice: &mut *self.twice,
                        unnamed: &mut unnamed,
                    };
                    let value = map.next_value_seed(members)?;
                    if let Some(unnamed) = closed(unnamed) {
                        keep(self.unnamed, &name, &unnamed);
                    }
                    (*slot, value)
                }
            };
            if self.slots[slot].replace(value).is_some() {
                *self.twice = Some(slot);
            }
        }
        Ok(Scalar::Object)
    }

    fn visit_borrowed_str<E: Error>(self, text: &'p str) -> Result<Scalar<'p>, E> {
        ScalarVisitor.visit_borrowed_str(text)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar<'p>, E> {
        ScalarVisitor.visit_str(text)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar<'p>, E> {
        ScalarVisitor.visit_u64(number)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar<'p>, E> {
        ScalarVisitor.visit_i64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar<'p>, E> {
        ScalarVisitor.visit_f64(number)
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Scalar<'p>, E> {
        ScalarVisitor.visit_bool(flag)
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar<'p>, E> {
        ScalarVisitor.visit_unit()
    }

    fn visit_seq<A: SeqAccess<'p>>(self, seq: A) -> Result<Scalar<'p>, A::Error> {
        ScalarVisitor.visit_seq(seq)
    }
}

/// The text of the value that comes next.
fn json<'p, A: MapAccess<'p>>(map: &mut A) -> Result<Cow<'p, str>, A::Error> {
    let value: LazyValue<'p> = map.next_value()?;
    let json = value.as_raw_cow();
    // sonic-rs finds the end of a value that it skips, and does not look into its strings.
    serde_json::from_str::<IgnoredAny>(&json).map_err(A::Error::custom)?;
    Ok(json)
}

fn keep(unnamed: &mut Option<String>, name: &str, json: &str) {
    let unnamed = unnamed.get_or_insert_with(String::new);
    unnamed.push(if unnamed.is_empty() { '{' } else { ',' });
    let quoted = sonic_rs::to_string(name).unwrap_or_default();
    unnamed.push_str(&quoted);
    unnamed.push(':');
    unnamed.push_str(json);
}

fn closed(unnamed: Option<String>) -> Option<String> {
    unnamed.map(|mut text| {
        text.push('}');
        text
    })
}

struct Name<'p>(Cow<'p, str>);

impl<'de> Deserialize<'de> for Name<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;

        impl<'de> Visitor<'de> for NameVisitor {
            type Value = Name<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a field name")
            }

            fn visit_borrowed_str<E: Error>(self, name: &'de str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Borrowed(name)))
            }

            fn visit_str<E: Error>(self, name: &str) -> Result<Name<'de>, E> {
                Ok(Name(Cow::Owned(name.to_owned())))
            }
        }

        deserializer.deserialize_str(NameVisitor)
    }
}

impl<'de> Deserialize<'de> for Scalar<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl<'de> Visitor<'de> for ScalarVisitor {
    type Value = Scalar<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Scalar::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Scalar::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Self::Value, E> {
        Ok(Scalar::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Scalar::Float(number))
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<Self::Value, E> {
        Ok(Scalar::Bool(flag))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(Scalar::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Scalar::Array)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Scalar::Object)
    }
}
