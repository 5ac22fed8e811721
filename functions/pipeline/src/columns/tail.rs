//! What a file is read from.

use std::io;

use bytes::{Buf, Bytes};
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

/// A file of which only the end may be at hand.
pub(crate) struct Tail {
    start: u64,
    bytes: Bytes,
}

/// More of the file's end is needed.
#[derive(Debug, thiserror::Error)]
#[error("a read before the bytes at hand")]
pub(crate) struct BeforeTail;

impl Tail {
    /// The bytes of a file from `start` to its end.
    pub(crate) fn new(start: u64, bytes: Bytes) -> Self {
        Self { start, bytes }
    }

    fn from(&self, start: u64) -> Result<Bytes, ParquetError> {
        let offset = start
            .checked_sub(self.start)
            .ok_or_else(|| ParquetError::External(Box::new(BeforeTail)))?;
        let offset = usize::try_from(offset).unwrap_or(usize::MAX);
        if offset > self.bytes.len() {
            return Err(ParquetError::EOF("a read past the end".into()));
        }
        Ok(self.bytes.slice(offset..))
    }
}

impl Length for Tail {
    fn len(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

impl ChunkReader for Tail {
    type T = Rest;

    fn get_read(&self, start: u64) -> Result<Rest, ParquetError> {
        Ok(Rest(self.from(start)?))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        let bytes = self.from(start)?;
        if length > bytes.len() {
            return Err(ParquetError::EOF("a read past the end".into()));
        }
        Ok(bytes.slice(..length))
    }
}

/// The bytes of a file from somewhere on. To read beyond the end is an error and not an end: parquet 60 skips what a page's
/// header has too much of, as often as it says, and does not notice that nothing is left.
pub(crate) struct Rest(Bytes);

impl io::Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = buffer.len().min(self.0.len());
        if length == 0 && !buffer.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn to_skip_more_than_there_is_is_an_error() {
        let tail = Tail::new(100, Bytes::from_static(b"bytes"));
        let skip = |length| {
            let mut rest = io::Read::take(tail.get_read(102).expect("at hand"), length);
            io::copy(&mut rest, &mut io::sink()).map_err(|error| error.kind())
        };
        assert_eq!(skip(3), Ok(3));
        assert_eq!(skip(4), Err(io::ErrorKind::UnexpectedEof));
    }
}
