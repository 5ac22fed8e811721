//! Observed facts → decision, for the commit of one object. No I/O, no clock: the handler does what it is told.
//!
//! The lake is the log. The row objects of a shard and a grid cell are numbered, and number `n` is committed by a single
//! create that succeeds only where no object of that name exists (`PutObject` with `If-None-Match: *`), so it is
//! atomic and nothing is ever overwritten. Whoever creates `n` has read the ids of `0..n` and leaves their rows out. As
//! a record's arrival never changes, all deliveries of it meet in the same log, and one of them is first: however
//! they overlap, its row is written once. Everything that is not a plain yes is answered the same way: look at the
//! lake again, recompute, try what then remains.

use std::ops::RangeInclusive;

use crate::layout::{CELL_MS, cell_start};

/// How a create ended, as far as can be known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// This very request made the object.
    Yes,
    /// An object of that name exists (HTTP 412): another delivery has committed to this cell since the last look, or
    /// an earlier try of ours whose answer was lost.
    AlreadyExists,
    /// Another create of that name is under way (HTTP 409).
    Conflict,
    /// No answer, or one that does not say whether the object was made (time-out, reset, 5xx, throttling).
    Unknown,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Add the rows to the window and go on with the next cell.
    Committed,
    /// Wait so many milliseconds, list again, drop what is committed by now, and create what remains.
    LookAgain {
        /// Milliseconds.
        wait_ms: u64,
    },
    /// Stop: report the first record that is not committed, so that Lambda delivers from there again.
    GiveUp,
}

/// The creates of one cell in one delivery that were no plain yes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setbacks {
    /// How often the name was taken.
    pub taken: u32,
    /// How often nobody could say.
    pub uncertain: u32,
}

/// How often a name may be taken before the batch is handed back to Lambda. Each time another delivery got on, so this
/// is for many deliveries of one shard at once: Lambda has at most ten.
pub const MAX_TAKEN: u32 = 20;
/// How many creates may stay uncertain before the batch is handed back to Lambda.
pub const MAX_UNCERTAIN: u32 = 5;

impl Setbacks {
    /// Decides what follows a create, and counts it.
    pub fn after_create(&mut self, created: Created) -> Decision {
        match created {
            Created::Yes => return Decision::Committed,
            Created::AlreadyExists => self.taken += 1,
            Created::Conflict | Created::Unknown => self.uncertain += 1,
        }
        if self.taken >= MAX_TAKEN || self.uncertain >= MAX_UNCERTAIN {
            return Decision::GiveUp;
        }
        let wait_ms = match created {
            // The lake has the answer already.
            Created::Yes | Created::AlreadyExists => 0,
            Created::Conflict | Created::Unknown => 50 << self.uncertain,
        };
        Decision::LookAgain { wait_ms }
    }
}

/// The arrival times (milliseconds, in order) of the rows that can hold an id of a batch, or one that a producer sent
/// twice within `horizon_ms`. Objects are found by their cells, so whole cells are looked at. The upper bounds serve
/// replays from an earlier position.
///
/// More than one range where records are further apart than their horizons reach: nobody looks at the years between a
/// record with a wrong time stamp and its neighbours.
pub fn window_arrivals(
    arrivals: impl IntoIterator<Item = i64>,
    horizon_ms: i64,
) -> Vec<RangeInclusive<i64>> {
    let mut cells: Vec<(i64, i64)> = Vec::new();
    for arrival in arrivals {
        let start = cell_start(arrival);
        match cells.last_mut() {
            Some((cell, last)) if *cell == start => *last = arrival.max(*last),
            _ => cells.push((start, arrival)),
        }
    }
    cells.sort_unstable();
    let mut ranges: Vec<RangeInclusive<i64>> = Vec::new();
    for (cell, last) in cells {
        // The first arrival of the cell is not earlier than its start.
        let (from, to) = (cell_start(cell - horizon_ms), last + horizon_ms);
        match ranges.last_mut() {
            Some(range) if from <= cell_start(*range.end()) + CELL_MS => {
                *range = *range.start()..=to.max(*range.end());
            }
            _ => ranges.push(from..=to),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_plain_yes_commits() {
        for created in [Created::AlreadyExists, Created::Conflict, Created::Unknown] {
            let mut setbacks = Setbacks::default();
            for _ in 0..MAX_TAKEN {
                assert_ne!(setbacks.after_create(created), Decision::Committed);
            }
            assert_eq!(setbacks.after_create(Created::Yes), Decision::Committed);
        }
    }

    #[test]
    fn a_name_that_is_taken_is_answered_at_once_and_not_for_ever() {
        let mut setbacks = Setbacks::default();
        for _ in 1..MAX_TAKEN {
            assert_eq!(
                setbacks.after_create(Created::AlreadyExists),
                Decision::LookAgain { wait_ms: 0 }
            );
        }
        assert_eq!(
            setbacks.after_create(Created::AlreadyExists),
            Decision::GiveUp
        );
    }

    #[test]
    fn waiting_for_an_uncertain_create_grows_and_stays_under_two_seconds() {
        let mut setbacks = Setbacks::default();
        let waits: Vec<_> = (1..MAX_UNCERTAIN)
            .map(|_| match setbacks.after_create(Created::Unknown) {
                Decision::LookAgain { wait_ms } => wait_ms,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waits, [100, 200, 400, 800]);
        assert_eq!(setbacks.after_create(Created::Conflict), Decision::GiveUp);
    }

    proptest! {
        #[test]
        fn the_window_reaches_the_cell_of_every_row_within_the_horizon_of_a_record(
            arrivals in proptest::collection::vec(0_i64..1_000 * CELL_MS, 1..6), horizon in 0_i64..4 * CELL_MS,
            of_record: prop::sample::Index, distance in -1.0..=1.0,
        ) {
            let window = window_arrivals(arrivals.iter().copied(), horizon);
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a point of a range")]
            let row = of_record.get(&arrivals) + (horizon as f64 * distance) as i64;
            prop_assert!(window.iter().any(|range| range.contains(&cell_start(row))));
            // In order, and no cell in two of them.
            for pair in window.windows(2) {
                prop_assert!(cell_start(*pair[0].end()) < cell_start(*pair[1].start()));
            }
        }
    }

    #[test]
    fn records_years_apart_have_windows_of_their_own() {
        let year = 365 * 24 * 4 * CELL_MS;
        assert_eq!(
            window_arrivals([50 * year + 2, 0, 50 * year + 1, 50 * year], CELL_MS),
            [
                -CELL_MS..=CELL_MS,
                50 * year - CELL_MS..=50 * year + 2 + CELL_MS
            ]
        );
    }
}
