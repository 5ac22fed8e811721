//! Columns of Parquet files, written and read one by one. Not by way of Arrow: what its readers, writers and kernels of
//! all types weigh, every cold start would load.

mod delta;
mod read;
mod tail;
mod write;

use std::sync::Arc;

use parquet::basic::{ConvertedType, LogicalType, Repetition, TimeUnit, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::schema::types::{ColumnDescriptor, Type, TypePtr};

pub(crate) use read::File;
pub(crate) use tail::{BeforeTail, Tail};
pub(crate) use write::{Columns, file};

/// What the values of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// UTF-8.
    Text,
    /// Microseconds since the Unix epoch, in UTC.
    Time,
    /// Doubles.
    Double,
    /// Integers of 32 bits.
    Int32,
    /// Integers of 64 bits.
    Int64,
    /// True or false.
    Boolean,
}

impl Kind {
    fn types(self) -> (PhysicalType, Option<LogicalType>) {
        match self {
            Self::Text => (PhysicalType::BYTE_ARRAY, Some(LogicalType::String)),
            Self::Time => {
                let utc = LogicalType::timestamp(true, TimeUnit::MICROS);
                (PhysicalType::INT64, Some(utc))
            }
            Self::Double => (PhysicalType::DOUBLE, None),
            Self::Int32 => (PhysicalType::INT32, None),
            Self::Int64 => (PhysicalType::INT64, None),
            Self::Boolean => (PhysicalType::BOOLEAN, None),
        }
    }

    /// Whether a column, or each of its repeated values, is of this kind. Some writers name the converted type alone, which
    /// was there before logical types.
    fn is_of(self, column: &ColumnDescriptor) -> bool {
        let (physical, logical) = self.types();
        let is_local = matches!(
            column.logical_type_ref(),
            Some(LogicalType::Timestamp(time)) if !time.is_adjusted_to_u_t_c
        );
        column.physical_type() == physical
            && column.converted_type() == ConvertedType::from(logical)
            && !is_local
    }
}

/// The columns of a file: name, kind, and whether a row may have no value.
pub(crate) fn schema<'n>(
    name: &str,
    columns: impl IntoIterator<Item = (&'n str, Kind, bool)>,
) -> Result<TypePtr, ParquetError> {
    let columns = columns.into_iter().map(|(name, kind, nullable)| {
        let (physical, logical) = kind.types();
        let repetition = if nullable {
            Repetition::OPTIONAL
        } else {
            Repetition::REQUIRED
        };
        let column = Type::primitive_type_builder(name, physical)
            .with_logical_type(logical)
            .with_repetition(repetition);
        Ok(Arc::new(column.build()?))
    });
    let columns = columns.collect::<Result<_, ParquetError>>()?;
    let schema = Type::group_type_builder(name).with_fields(columns);
    Ok(Arc::new(schema.build()?))
}
