//! Running counts, shared by everything that counts or shows.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use crate::generate::Kind;

/// Counts of one run. Events are counted where they happen, from several tasks.
#[derive(Debug, Default)]
pub struct Totals {
    generated: [AtomicU64; Kind::ALL.len()],
    acknowledged: AtomicU64,
    retries: AtomicU64,
    failed: AtomicU64,
    last_error: Mutex<Option<String>>,
}

impl Totals {
    /// A record was made.
    pub fn count_generated(&self, kind: Kind) {
        self.generated[kind.index()].fetch_add(1, Relaxed);
    }

    /// Records were stored.
    pub fn count_acknowledged(&self, records: usize) {
        self.acknowledged.fetch_add(records as u64, Relaxed);
    }

    /// Records are sent again.
    pub fn count_retries(&self, records: usize) {
        self.retries.fetch_add(records as u64, Relaxed);
    }

    /// Records were given up.
    pub fn count_failed(&self, records: usize) {
        self.failed.fetch_add(records as u64, Relaxed);
    }

    /// Notes why records were not stored. True when it is another error than the last one, and so worth a warning.
    pub fn note_error(&self, error: &str) -> bool {
        let mut last = self
            .last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let new = last.as_deref() != Some(error);
        if new {
            *last = Some(error.to_owned());
        }
        new
    }

    /// Records made of one kind.
    pub fn generated_of(&self, kind: Kind) -> u64 {
        self.generated[kind.index()].load(Relaxed)
    }

    /// Records made.
    pub fn generated(&self) -> u64 {
        Kind::ALL.iter().map(|kind| self.generated_of(*kind)).sum()
    }

    /// Records stored.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Relaxed)
    }

    /// Records sent again; one that is sent three times counts two.
    pub fn retries(&self) -> u64 {
        self.retries.load(Relaxed)
    }

    /// Records given up.
    pub fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    /// The last error noted.
    pub fn last_error(&self) -> Option<String> {
        self.last_error
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
