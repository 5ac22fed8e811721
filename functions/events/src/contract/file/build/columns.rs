//! The typed columns.

use toml::Spanned;

use super::super::super::{
    Absent, Column, ColumnType, Problem, RESERVED_COLUMNS, Role, Rule, Unit,
};
use super::super::tables::{ColumnTable, Path};
use super::Builder;
use super::values::joined;

/// Typed columns.
const MAX_COLUMNS: usize = 256;
/// Bytes of a typed column's text: no record has more.
const MAX_COLUMN_BYTES: usize = 1024 * 1024;

impl Builder<'_> {
    pub(super) fn columns(
        &mut self,
        tables: Vec<Spanned<ColumnTable>>,
    ) -> Result<Vec<Column>, Problem> {
        let mut columns: Vec<Column> = Vec::new();
        for table in tables {
            if columns.len() == MAX_COLUMNS {
                let rule = format!("there are more than {MAX_COLUMNS} columns");
                return Err(self.problem(table.span().start, rule));
            }
            let column = self.column(columns.len(), &columns, table.into_inner())?;
            columns.push(column);
        }
        Ok(columns)
    }

    fn column(
        &mut self,
        place: usize,
        before: &[Column],
        table: ColumnTable,
    ) -> Result<Column, Problem> {
        let name = self.column_name(before, &table.name)?;
        let column_type = self.named("column.type", &table.column_type, &ColumnType::ALL)?;
        let rule = self.column_rule(&name, column_type, &table)?;
        let start = table.name.span();
        let field = table
            .field
            .unwrap_or_else(|| Spanned::new(start, Path(vec![name.clone()])));
        let absent = if table.nullable {
            Absent::Null
        } else {
            Absent::Required
        };
        let who = format!("column {name}");
        self.field(
            Role::Column(place),
            &who,
            Some(field),
            rule,
            absent,
            table.about,
        )?;
        Ok(Column {
            name,
            column_type,
            nullable: table.nullable,
        })
    }

    fn column_name(&self, before: &[Column], name: &Spanned<String>) -> Result<String, Problem> {
        let text = name.as_ref();
        let (first, rest) = text.split_at_checked(1).unwrap_or_default();
        let is_lower = |byte: u8| byte.is_ascii_lowercase();
        let is_name = first.bytes().all(is_lower)
            && !first.is_empty()
            && rest.len() < 128
            && rest
                .bytes()
                .all(|byte| is_lower(byte) || byte.is_ascii_digit() || byte == b'_');
        if !is_name {
            let rule = format!(
                "{text:?} is no column's name: a small letter, then small letters, digits and _, 128 at most"
            );
            return self.broken("column.name", name, &rule);
        }
        if RESERVED_COLUMNS.contains(&text.as_str()) {
            let rule = format!("every lake has a column {text} already; take another name");
            return self.broken("column.name", name, &rule);
        }
        if before.iter().any(|column| column.name == *text) {
            return self.broken(
                "column.name",
                name,
                &format!("there are two columns {text}"),
            );
        }
        Ok(text.clone())
    }

    fn column_rule(
        &self,
        name: &str,
        column_type: ColumnType,
        table: &ColumnTable,
    ) -> Result<Rule, Problem> {
        use ColumnType::{Boolean, Double, Integer, Json, String, Timestamp};

        let key = |key| format!("column {name}: {key}");
        let only = |types: &[ColumnType]| {
            let names = joined(types.iter().map(|column_type| column_type.name()));
            (!types.contains(&column_type)).then(|| format!("is for {names}"))
        };
        if let Some(rule) = only(&[Integer, Double]) {
            self.refuse(&key("min"), table.min.as_ref(), &rule)?;
            self.refuse(&key("max"), table.max.as_ref(), &rule)?;
        }
        if let Some(rule) = only(&[String]) {
            self.refuse(&key("min_bytes"), table.min_bytes.as_ref(), &rule)?;
        }
        if let Some(rule) = only(&[String, Json]) {
            self.refuse(&key("max_bytes"), table.max_bytes.as_ref(), &rule)?;
        }
        if let Some(rule) = only(&[String, Integer]) {
            self.refuse(&key("one_of"), table.one_of.as_ref(), &rule)?;
        }
        if let Some(rule) = only(&[Timestamp]) {
            self.refuse(&key("format"), table.format.as_ref(), &rule)?;
        }
        let who = format!("column {name}");
        Ok(match column_type {
            String => {
                let (min_bytes, max_bytes) = self.sizes(
                    &who,
                    (table.min_bytes.clone(), table.max_bytes.clone()),
                    0,
                    MAX_COLUMN_BYTES,
                    MAX_COLUMN_BYTES,
                )?;
                let one_of = self.texts(&who, table.one_of.as_ref())?;
                Rule::Text {
                    min_bytes,
                    max_bytes,
                    one_of,
                }
            }
            Json => {
                let sizes = (None, table.max_bytes.clone());
                let (_, max_bytes) =
                    self.sizes(&who, sizes, 0, MAX_COLUMN_BYTES, MAX_COLUMN_BYTES)?;
                Rule::Json { max_bytes }
            }
            Integer => {
                let min = self.integer(&key("min"), table.min.as_ref(), i64::MIN)?;
                let max = self.integer(&key("max"), table.max.as_ref(), i64::MAX)?;
                if let Some(least) = table.min.as_ref().filter(|_| min > max) {
                    return self.broken(&key("min"), least, "is above max");
                }
                let one_of = self.integers(&who, table.one_of.as_ref())?;
                Rule::Integer { min, max, one_of }
            }
            Double => {
                let (min, max) = self.doubles(&who, table.min.as_ref(), table.max.as_ref())?;
                let unit = Unit::Milliseconds;
                Rule::Double { min, max, unit }
            }
            Boolean => Rule::Boolean,
            Timestamp => {
                let Some(format) = &table.format else {
                    return self.broken(
                        &key("type"),
                        &table.column_type,
                        "a timestamp has a format: rfc3339, epoch_s, epoch_ms or epoch_us",
                    );
                };
                Rule::Time {
                    format: self.format(&key("format"), format)?,
                    bounds: None,
                }
            }
        })
    }
}
