//! The columns that a contract adds.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::array::builder::{
    BooleanBuilder, Float64Builder, Int64Builder, StringBuilder, TimestampMicrosecondBuilder,
};
use arrow::datatypes::{DataType, Field, TimeUnit};
use events::Contract;
use events::contract::{Column, ColumnType};
use parquet::basic::Encoding;
use parquet::file::properties::WriterPropertiesBuilder;
use parquet::schema::types::ColumnPath;

use crate::parse::Value;

pub(super) fn field(column: &Column) -> Field {
    let data_type = match column.column_type {
        ColumnType::String | ColumnType::Json => DataType::Utf8,
        ColumnType::Integer => DataType::Int64,
        ColumnType::Double => DataType::Float64,
        ColumnType::Boolean => DataType::Boolean,
        ColumnType::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
    };
    Field::new(&column.name, data_type, column.nullable)
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

/// A column under construction.
pub(super) enum TypedColumn {
    Text(StringBuilder),
    Integer(Int64Builder),
    Double(Float64Builder),
    Boolean(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl TypedColumn {
    /// An empty one for `rows` rows.
    pub(super) fn new(column: &Column, rows: usize) -> Self {
        match column.column_type {
            ColumnType::String | ColumnType::Json => {
                Self::Text(StringBuilder::with_capacity(rows, rows * 16))
            }
            ColumnType::Integer => Self::Integer(Int64Builder::with_capacity(rows)),
            ColumnType::Double => Self::Double(Float64Builder::with_capacity(rows)),
            ColumnType::Boolean => Self::Boolean(BooleanBuilder::with_capacity(rows)),
            ColumnType::Timestamp => {
                let times = TimestampMicrosecondBuilder::with_capacity(rows);
                Self::Time(times.with_timezone("UTC"))
            }
        }
    }

    /// Adds a value of the column's type, or none.
    pub(super) fn append(&mut self, value: &Value) {
        match (self, value) {
            (Self::Text(builder), Value::Text(text)) => builder.append_value(text),
            (Self::Text(builder), _) => builder.append_null(),
            (Self::Integer(builder), Value::Integer(integer)) => builder.append_value(*integer),
            (Self::Integer(builder), _) => builder.append_null(),
            (Self::Double(builder), Value::Double(number)) => builder.append_value(*number),
            (Self::Double(builder), _) => builder.append_null(),
            (Self::Boolean(builder), Value::Boolean(boolean)) => builder.append_value(*boolean),
            (Self::Boolean(builder), _) => builder.append_null(),
            (Self::Time(builder), Value::Time(us)) => builder.append_value(*us),
            (Self::Time(builder), _) => builder.append_null(),
        }
    }

    /// The column as it is.
    pub(super) fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Integer(mut builder) => Arc::new(builder.finish()),
            Self::Double(mut builder) => Arc::new(builder.finish()),
            Self::Boolean(mut builder) => Arc::new(builder.finish()),
            Self::Time(mut builder) => Arc::new(builder.finish()),
        }
    }
}
