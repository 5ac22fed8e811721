//! The file as it is written.

use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};
use toml::{Spanned, Value};

use std::fmt;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Tables {
    pub(super) version: Spanned<VersionTable>,
    pub(super) id: Spanned<TextTable>,
    pub(super) key: Spanned<TextTable>,
    pub(super) kind: Spanned<TextTable>,
    pub(super) time: Spanned<TimeTable>,
    pub(super) duration: Spanned<NumberTable>,
    pub(super) value: Option<Spanned<NumberTable>>,
    #[serde(default)]
    pub(super) column: Vec<Spanned<ColumnTable>>,
    pub(super) filter: Option<Spanned<FilterTable>>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct VersionTable {
    pub(super) field: Option<Spanned<Path>>,
    pub(super) accepted: Spanned<Vec<Spanned<Value>>>,
    #[serde(default)]
    pub(super) about: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TextTable {
    pub(super) field: Option<Spanned<Path>>,
    pub(super) min_bytes: Option<Spanned<i64>>,
    pub(super) max_bytes: Option<Spanned<i64>>,
    pub(super) one_of: Option<Spanned<Vec<Spanned<Value>>>>,
    pub(super) default: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) about: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeTable {
    pub(super) field: Spanned<Path>,
    pub(super) format: Spanned<String>,
    pub(super) not_before: Option<Spanned<String>>,
    pub(super) max_ahead_hours: Option<Spanned<i64>>,
    #[serde(default)]
    pub(super) about: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NumberTable {
    pub(super) field: Option<Spanned<Path>>,
    pub(super) unit: Option<Spanned<String>>,
    pub(super) min: Option<Spanned<Value>>,
    pub(super) max: Option<Spanned<Value>>,
    pub(super) nullable: Option<Spanned<bool>>,
    pub(super) default: Option<Spanned<Value>>,
    #[serde(default)]
    pub(super) about: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ColumnTable {
    pub(super) name: Spanned<String>,
    pub(super) field: Option<Spanned<Path>>,
    #[serde(rename = "type")]
    pub(super) column_type: Spanned<String>,
    #[serde(default)]
    pub(super) nullable: bool,
    pub(super) min: Option<Spanned<Value>>,
    pub(super) max: Option<Spanned<Value>>,
    pub(super) min_bytes: Option<Spanned<i64>>,
    pub(super) max_bytes: Option<Spanned<i64>>,
    pub(super) one_of: Option<Spanned<Vec<Spanned<Value>>>>,
    pub(super) format: Option<Spanned<String>>,
    #[serde(default)]
    pub(super) about: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilterTable {
    pub(super) field: Spanned<Path>,
    pub(super) values: Spanned<Vec<Spanned<Value>>>,
    #[serde(default)]
    pub(super) about: String,
}

/// `"data.device.id"`, or `["data", "device.id"]` where a name has a dot in it.
pub(super) struct Path(pub(super) Vec<String>);

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathVisitor;

        impl<'de> Visitor<'de> for PathVisitor {
            type Value = Path;

            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("a name, names joined by dots, or a list of names")
            }

            fn visit_str<E>(self, path: &str) -> Result<Path, E> {
                Ok(Path(path.split('.').map(ToOwned::to_owned).collect()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Path, A::Error> {
                let mut names = Vec::new();
                while let Some(name) = seq.next_element()? {
                    names.push(name);
                }
                Ok(Path(names))
            }
        }

        deserializer.deserialize_any(PathVisitor)
    }
}
