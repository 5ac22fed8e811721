//! The recent events that a duplicate may repeat.

use std::collections::VecDeque;

use rand::Rng;
use rand_distr::{Distribution, Exp1};

use super::expected::{Kind, Outcome};
use super::{Expected, Record};

/// The farthest that a duplicate lies behind the event that it repeats, in records.
pub const MAX_DUPLICATE_DISTANCE: u64 = 20_000;

/// Mean distance of a duplicate, in events: most repeat one of the last few thousand.
const MEAN_DISTANCE: f64 = 1_500.0;

#[derive(Debug, Default)]
pub(super) struct History {
    records: u64,
    events: VecDeque<(u64, Record)>,
}

impl History {
    /// Counts a record, and keeps it when a duplicate of it would stand for a row.
    pub(super) fn push(&mut self, record: &Record) {
        let number = self.records;
        self.records += 1;
        if record.expected.outcome == Outcome::Written && record.expected.kind != Kind::Duplicate {
            self.events.push_back((number, record.clone()));
        }
        while self
            .events
            .front()
            .is_some_and(|(oldest, _)| oldest + MAX_DUPLICATE_DISTANCE < self.records)
        {
            self.events.pop_front();
        }
    }

    /// An earlier event again, unless there is none.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Option<Record> {
        let distance: f64 = Exp1.sample(rng);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "small and not negative"
        )]
        let distance = (distance * MEAN_DISTANCE) as usize;
        let oldest = self.events.len().checked_sub(1)?;
        let (_, event) = &self.events[oldest - distance.min(oldest)];
        Some(Record {
            expected: Expected {
                kind: Kind::Duplicate,
                ..event.expected
            },
            ..event.clone()
        })
    }
}
