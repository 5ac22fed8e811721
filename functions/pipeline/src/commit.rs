//! Observed facts → decision, for the commit of one object. No I/O, no clock: the handler does what it is told.
//!
//! The lake is the log. An object is committed by a single create that succeeds only where no object of that name
//! exists (`PutObject` with `If-None-Match: *`), so it is atomic and nothing is ever overwritten. Everything that
//! is not a plain yes is answered the same way: look at the lake again, recompute, try what then remains.

use std::ops::RangeInclusive;

use crate::layout::cell_start;

/// How a create ended, as far as can be known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// This very request made the object.
    Yes,
    /// An object of that name exists (HTTP 412): another delivery of these records was first, or an earlier try of
    /// ours whose answer was lost.
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

/// How many creates are tried for one cell before the batch is handed back to Lambda.
pub const MAX_ROUNDS: u32 = 5;

/// Decides what follows the `round`th create of a cell, counted from 1.
pub fn after_create(created: Created, round: u32) -> Decision {
    match created {
        Created::Yes => Decision::Committed,
        _ if round >= MAX_ROUNDS => Decision::GiveUp,
        // The lake has the answer already.
        Created::AlreadyExists => Decision::LookAgain { wait_ms: 0 },
        Created::Conflict | Created::Unknown => Decision::LookAgain {
            wait_ms: 50 << round,
        },
    }
}

/// The arrival times (milliseconds) of the objects that can hold an id of a batch, or one that a producer sent twice
/// within `horizon_ms`. The lower bound goes down to the grid, because an object's name is its first row's arrival
/// and its last row may be one cell-length later; the upper bound serves replays from an earlier position.
pub fn window_arrivals(
    first_arrival_ms: i64,
    last_arrival_ms: i64,
    horizon_ms: i64,
) -> RangeInclusive<i64> {
    cell_start(first_arrival_ms - horizon_ms)..=last_arrival_ms + horizon_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::CELL_MS;
    use proptest::prelude::*;

    #[test]
    fn only_a_plain_yes_commits() {
        for created in [Created::AlreadyExists, Created::Conflict, Created::Unknown] {
            for round in 1..=MAX_ROUNDS {
                assert_ne!(
                    after_create(created, round),
                    Decision::Committed,
                    "{created:?} in round {round}"
                );
            }
        }
        assert_eq!(after_create(Created::Yes, MAX_ROUNDS), Decision::Committed);
    }

    #[test]
    fn a_cell_is_handed_back_after_a_few_rounds() {
        assert_eq!(
            after_create(Created::AlreadyExists, MAX_ROUNDS - 1),
            Decision::LookAgain { wait_ms: 0 }
        );
        assert_eq!(
            after_create(Created::AlreadyExists, MAX_ROUNDS),
            Decision::GiveUp
        );
    }

    #[test]
    fn waiting_for_an_uncertain_create_grows_and_stays_under_two_seconds() {
        let waits: Vec<_> = (1..MAX_ROUNDS)
            .map(|round| match after_create(Created::Unknown, round) {
                Decision::LookAgain { wait_ms } => wait_ms,
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(waits, [100, 200, 400, 800]);
    }

    proptest! {
        #[test]
        fn the_window_reaches_every_object_that_holds_a_row_within_the_horizon(
            first in 0_i64..10 * CELL_MS, length in 0_i64..CELL_MS, horizon in 0_i64..4 * CELL_MS,
            into_window in 0.0..=1.0, into_cell in 0_i64..CELL_MS,
        ) {
            let window = window_arrivals(first, first + length, horizon);
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a point of a range")]
            let row = first - horizon + ((length + 2 * horizon) as f64 * into_window) as i64;
            // An object's first row arrived in the same cell as every other row of it, and not after it.
            let name = cell_start(row) + into_cell.min(row - cell_start(row));
            prop_assert!(window.contains(&name));
        }
    }
}
