//! Why the parser refused a payload: the cold path, which looks again, with another parser, until it has seen it.

use std::fmt;

use events::Reason;
use events::contract::{Found, Names};
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Rejected;
use super::check::LARGER;

/// The reason of a `text` that begins like an object; `stopped_at` is the byte at which the parser gave up.
pub(super) fn reason(text: &str, stopped_at: usize, names: &Names) -> Rejected {
    // The messages of serde_json name line and column and quote nothing.
    match serde_json::from_str::<Members>(text) {
        Ok(members) => unreadable_member("", members, names).unwrap_or_else(|| {
            Rejected::new(
                Reason::InvalidJson,
                format!("not readable as JSON at byte {stopped_at}"),
            )
        }),
        Err(error) => Rejected::new(Reason::InvalidJson, error.to_string()),
    }
}

/// The first one that is at fault; `path` stands before its name.
fn unreadable_member(path: &str, members: Members, names: &Names) -> Option<Rejected> {
    members.0.into_iter().find_map(|(name, json)| {
        let (found, _) = names.find(&name, 0)?;
        let (name, json) = (format!("{path}{name}"), json.get());
        match found {
            Found::Object { names, .. } if json.starts_with('{') => {
                let members = serde_json::from_str(json).ok()?;
                unreadable_member(&format!("{name}."), members, names)
            }
            Found::Json { .. } => None,
            _ => unreadable_scalar(&name, json),
        }
    })
}

/// What grammar alone does not find: half a surrogate pair, and a number without a double.
fn unreadable_scalar(name: &str, json: &str) -> Option<Rejected> {
    if json.starts_with('"') {
        let error = serde_json::from_str::<String>(json).err()?;
        return Some(Rejected::new(
            Reason::InvalidJson,
            format!("{name}: {error}"),
        ));
    }
    let number: f64 = json.parse().ok()?;
    number
        .is_infinite()
        .then(|| Rejected::new(Reason::OutOfRange, format!("{name} {LARGER}")))
}

/// The members of an object in their order: names decoded, values checked against the grammar.
struct Members<'p>(Vec<(String, &'p RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct MembersVisitor;

        impl<'de> Visitor<'de> for MembersVisitor {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }

        deserializer.deserialize_map(MembersVisitor)
    }
}
