//! The ledger: one JSON line per acknowledged record, with what must become of it.
//!
//! It is written after the acknowledgement, so the stream can hold a record that the ledger does not (an answer lost
//! on the way, a producer killed within the second between two flushes), never the reverse.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use thiserror::Error;

use crate::batch::Position;
use crate::generate::Expected;

/// A ledger that could not be opened or written.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// A ledger belongs to one run.
    #[error("ledger {0} exists already; a ledger is never overwritten: choose another name")]
    Exists(PathBuf),
    /// The file could not be created or written.
    #[error("ledger {path}: {source}")]
    Io {
        /// The ledger.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// A ledger open for writing.
#[derive(Debug)]
pub struct Ledger {
    path: PathBuf,
    file: BufWriter<File>,
}

#[derive(Serialize)]
struct Line<'a> {
    shard: &'a str,
    sequence_number: &'a str,
    #[serde(flatten)]
    expected: &'a Expected,
}

impl Ledger {
    /// Creates a ledger, and the directories that lead to it.
    pub fn create(path: &Path) -> Result<Self, LedgerError> {
        let error = |source: std::io::Error| match source.kind() {
            std::io::ErrorKind::AlreadyExists => LedgerError::Exists(path.to_owned()),
            _ => LedgerError::Io {
                path: path.to_owned(),
                source,
            },
        };
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|source| LedgerError::Io {
                path: path.to_owned(),
                source,
            })?;
        }
        let file = File::create_new(path).map_err(error)?;
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::new(file),
        })
    }

    /// Adds an acknowledged record.
    pub fn write(&mut self, position: &Position, expected: &Expected) -> Result<(), LedgerError> {
        let Position {
            shard,
            sequence_number,
        } = position;
        serde_json::to_writer(
            &mut self.file,
            &Line {
                shard,
                sequence_number,
                expected,
            },
        )
        .map_err(std::io::Error::from)
        .and_then(|()| self.file.write_all(b"\n"))
        .map_err(|source| self.error(source))
    }

    /// Hands everything written so far to the operating system.
    pub fn flush(&mut self) -> Result<(), LedgerError> {
        self.file.flush().map_err(|source| self.error(source))
    }

    fn error(&self, source: std::io::Error) -> LedgerError {
        LedgerError::Io {
            path: self.path.clone(),
            source,
        }
    }
}
