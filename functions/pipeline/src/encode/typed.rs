//! The columns that a contract adds.

use events::Contract;
use events::contract::{Column, ColumnType};
use parquet::basic::Encoding;
use parquet::data_type::{BoolType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

use crate::columns::{Columns, Kind};
use crate::parse::Value;

/// A column's name, kind, and whether a row may have no value.
pub(super) fn column(column: &Column) -> (&str, Kind, bool) {
    let kind = match column.column_type {
        ColumnType::String | ColumnType::Json => Kind::Text,
        ColumnType::Integer => Kind::Int64,
        ColumnType::Double => Kind::Double,
        ColumnType::Boolean => Kind::Boolean,
        ColumnType::Timestamp => Kind::Time,
    };
    (&column.name, kind, column.nullable)
}

/// Numbers as every lake's: deltas for integers and times, plain doubles. Texts may repeat, so they have dictionaries,
/// which the writer gives up where they do not.
pub(super) fn properties(
    contract: &Contract,
    mut properties: WriterPropertiesBuilder,
) -> WriterPropertiesBuilder {
    for column in contract.columns() {
        let encoding = match column.column_type {
            ColumnType::Integer | ColumnType::Timestamp => Encoding::DELTA_BINARY_PACKED,
            ColumnType::Double => Encoding::PLAIN,
            ColumnType::String | ColumnType::Json | ColumnType::Boolean => continue,
        };
        let path = ColumnPath::from(&*column.name);
        properties = properties
            .set_column_dictionary_enabled(path.clone(), false)
            .set_column_encoding(path, encoding);
    }
    properties
}

/// Adds a column: of each row the value, which is of the column's type, or none.
pub(super) fn add<'v>(
    columns: &mut Columns,
    column: &Column,
    values: impl Iterator<Item = Option<&'v Value<'v>>> + Clone,
) -> Result<(), ParquetError> {
    match column.column_type {
        ColumnType::String | ColumnType::Json => {
            columns.add_optional_texts(values.map(|value| match value {
                Some(Value::Text(text)) => Some(&**text),
                _ => None,
            }))
        }
        ColumnType::Integer => columns.add_optional::<Int64Type>(values.map(|value| match value {
            Some(Value::Integer(integer)) => Some(*integer),
            _ => None,
        })),
        ColumnType::Double => columns.add_optional::<DoubleType>(values.map(|value| match value {
            Some(Value::Double(number)) => Some(*number),
            _ => None,
        })),
        ColumnType::Boolean => columns.add_optional::<BoolType>(values.map(|value| match value {
            Some(Value::Boolean(boolean)) => Some(*boolean),
            _ => None,
        })),
        ColumnType::Timestamp => {
            columns.add_optional::<Int64Type>(values.map(|value| match value {
                Some(Value::Time(us)) => Some(*us),
                _ => None,
            }))
        }
    }
}
