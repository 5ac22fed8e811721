//! Standard output: each payload as it is, and a newline.
//!
//! No generated payload holds a newline, so a record is a line also when it is malformed. Some are not UTF-8, and one
//! kind is empty: a reader in Python opens the text as bytes.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::batch::Position;
use crate::generate::{Expected, Record};
use crate::totals::Totals;

/// Standard output as a stream of one shard, `stdout`, in which a record's sequence number is its line, from 1.
#[derive(Debug, Default)]
pub struct Stdout {
    lines: AtomicU64,
}

impl Stdout {
    pub(super) fn deliver(&self, batch: &[Record], totals: &Totals) -> Vec<(Expected, Position)> {
        if let Err(error) = write_lines(batch) {
            totals.note_error(&format!("standard output: {error}"));
            totals.count_failed(batch.len());
            return Vec::new();
        }
        let first = self.lines.fetch_add(batch.len() as u64, Relaxed) + 1;
        let position = |line: u64| Position {
            shard: "stdout".into(),
            sequence_number: line.to_string(),
        };
        batch
            .iter()
            .zip(first..)
            .map(|(record, line)| (record.expected, position(line)))
            .collect()
    }
}

fn write_lines(batch: &[Record]) -> io::Result<()> {
    let mut text = Vec::with_capacity(batch.iter().map(|record| record.payload.len() + 1).sum());
    for record in batch {
        text.extend_from_slice(&record.payload);
        text.push(b'\n');
    }
    let mut stdout = io::stdout().lock();
    stdout.write_all(&text)?;
    stdout.flush()
}
