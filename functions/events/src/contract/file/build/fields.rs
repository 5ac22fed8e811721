//! Where fields are: each has a place of its own, and no path goes through another's.

use toml::Spanned;

use super::super::super::{Absent, Field, Found, Names, Problem, Role, Rule};
use super::super::line_of;
use super::super::tables::Path;
use super::{Builder, MAX_ROLE_BYTES};

/// Names on the way to a field.
const MAX_PATH: usize = 16;

/// Who has a field.
pub(super) struct Owner {
    path: Vec<String>,
    who: String,
    line: usize,
}

impl Builder<'_> {
    /// Adds a field, and gives it a slot if events have it.
    pub(super) fn field(
        &mut self,
        role: Role,
        who: &str,
        path: Option<Spanned<Path>>,
        rule: Rule,
        absent: Absent,
        about: String,
    ) -> Result<(), Problem> {
        let (slot, path) = match path {
            None => (None, Vec::new()),
            Some(path) => {
                let at = path.span().start;
                let path = path.into_inner().0;
                let slot = self.place(who, at, &path, matches!(rule, Rule::Json { .. }))?;
                (Some(slot), path)
            }
        };
        self.fields.push(Field {
            role,
            name: path.join("."),
            path,
            slot,
            rule,
            absent,
            about,
        });
        Ok(())
    }

    fn place(
        &mut self,
        who: &str,
        at: usize,
        path: &[String],
        keeps_json: bool,
    ) -> Result<usize, Problem> {
        let shown = path.join(".");
        let problem = |what: String| self.problem(at, format!("{who}.field = {shown:?}: {what}"));
        if path.is_empty()
            || path
                .iter()
                .any(|name| name.is_empty() || name.len() > MAX_ROLE_BYTES)
        {
            return Err(problem("names have 1 to 1024 bytes".to_owned()));
        }
        if path.len() > MAX_PATH {
            return Err(problem(format!("at most {MAX_PATH} names")));
        }
        for owner in &self.owners {
            let Owner {
                path: other,
                who,
                line,
            } = owner;
            if other == path {
                return Err(problem(format!(
                    "is the field of {who} already (line {line})"
                )));
            }
            if path.starts_with(other) {
                let scalar = other.join(".");
                return Err(problem(format!(
                    "goes through {scalar:?}, which is the field of {who} (line {line}) and not an object"
                )));
            }
            if other.starts_with(path) {
                return Err(problem(format!(
                    "is an object, in which {who} has its field (line {line})"
                )));
            }
        }
        self.owners.push(Owner {
            path: path.to_owned(),
            who: who.to_owned(),
            line: line_of(self.text, at),
        });
        let (leaf, objects) = path.split_last().expect("it is not empty");
        let mut names = &mut self.names;
        for (depth, name) in objects.iter().enumerate() {
            if names.get_mut(name).is_none() {
                let slot = self.slots;
                self.slots += 1;
                let path = path[..=depth].to_owned();
                self.fields.push(Field {
                    role: Role::Object,
                    name: path.join("."),
                    path,
                    slot: Some(slot),
                    rule: Rule::Object,
                    absent: Absent::Null,
                    about: String::new(),
                });
                let object = Found::Object {
                    slot,
                    names: Names::default(),
                };
                names.push(name, object);
            }
            names = match names.get_mut(name) {
                Some(Found::Object { names, .. }) => names,
                _ => unreachable!("no owner's path is a part of it"),
            };
        }
        let slot = self.slots;
        self.slots += 1;
        names.push(
            leaf,
            if keeps_json {
                Found::Json { slot }
            } else {
                Found::Scalar { slot }
            },
        );
        Ok(slot)
    }
}
