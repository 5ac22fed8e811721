//! Why the parser refused a payload: the cold path, which looks again, with another parser, until it has seen it.

use std::fmt;

use events::Reason;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Fields, Rejected};

/// The reason of a `text` that begins like an object; `stopped_at` is the byte at which the parser gave up.
pub(super) fn reason(text: &str, stopped_at: usize) -> Rejected {
    // The messages of serde_json name line and column and quote nothing.
    let members: Members = match serde_json::from_str(text) {
        Ok(members) => members,
        Err(error) => return Rejected::new(Reason::InvalidJson, error.to_string()),
    };
    let seen = members.0.into_iter().find_map(|(name, json)| {
        Fields::default().slot(&name)?;
        unreadable_scalar(&name, json.get())
    });
    seen.unwrap_or_else(|| {
        Rejected::new(
            Reason::InvalidJson,
            format!("not readable as JSON at byte {stopped_at}"),
        )
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
    number.is_infinite().then(|| {
        Rejected::new(
            Reason::OutOfRange,
            format!("{name} is larger than a double can hold"),
        )
    })
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
