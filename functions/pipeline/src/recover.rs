//! The end of a row object → its event ids: how a cold environment learns what is committed.
//!
//! Input comes from the lake, where others can write too: whatever the bytes, the result is ids or an error.

use std::ops::Range;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;

use crate::columns::{BeforeTail, File, Tail};
use crate::dedupe::{IdHash, IdHasher};
use crate::encode::EVENT_ID;

/// Why the ids of an object could not be recovered.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The ids begin before the bytes at hand: read again, at least this many bytes from the end.
    #[error("the event ids need the last {needed} bytes of the object")]
    TooShort {
        /// Bytes, counted from the object's end.
        needed: u64,
    },
    /// Not an object that this project wrote.
    #[error("not a row object: {0}")]
    NotARowObject(String),
}

impl From<ParquetError> for RecoverError {
    fn from(error: ParquetError) -> Self {
        Self::NotARowObject(error.to_string())
    }
}

/// How many bytes from the end of an object to ask for first, given its whole size in bytes: ids are about two
/// fifths of an object.
pub fn first_guess(object_bytes: u64) -> u64 {
    object_bytes.min(64 * 1024 + object_bytes / 2)
}

/// Reads the event ids out of the last bytes of a row object of `object_bytes` bytes.
///
/// # Errors
/// [`RecoverError`].
pub fn event_ids(
    tail: Bytes,
    object_bytes: u64,
    hasher: IdHasher,
) -> Result<Vec<IdHash>, RecoverError> {
    let Some(start) = object_bytes.checked_sub(tail.len() as u64) else {
        return Err(RecoverError::NotARowObject(
            "more bytes than the object has".into(),
        ));
    };
    let file = match File::open(Tail::new(start, tail)) {
        Ok(file) => file,
        // The footer itself may be longer than the tail.
        Err(ParquetError::External(error)) if start > 0 && error.is::<BeforeTail>() => {
            return Err(RecoverError::TooShort {
                needed: object_bytes,
            });
        }
        Err(error) => return Err(error.into()),
    };
    let place = file.place(EVENT_ID)?;
    for group in file.metadata().row_groups() {
        let ids = byte_range(group.column(place), object_bytes)?;
        if ids.start < start {
            return Err(RecoverError::TooShort {
                needed: object_bytes - ids.start,
            });
        }
    }
    let mut ids = Vec::new();
    file.each_text(EVENT_ID, |id| ids.push(hasher.hash(id)))?;
    Ok(ids)
}

fn byte_range(column: &ColumnChunkMetaData, object_bytes: u64) -> Result<Range<u64>, RecoverError> {
    let first_page = column
        .dictionary_page_offset()
        .unwrap_or_else(|| column.data_page_offset());
    let range = u64::try_from(first_page)
        .ok()
        .zip(u64::try_from(column.compressed_size()).ok());
    range
        .and_then(|(start, length)| Some(start..start.checked_add(length)?))
        .filter(|range| range.end <= object_bytes)
        .ok_or_else(|| {
            RecoverError::NotARowObject(format!("{EVENT_ID} lies outside of the object"))
        })
}
