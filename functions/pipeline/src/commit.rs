//! Observed facts → decision, for the commit of one object. No I/O, no clock: the handler does what it is told.
//!
//! The lake is the log. The row objects of a shard and a grid cell are numbered, and number `n` is committed by a single
//! create that succeeds only where no object of that name exists (`PutObject` with `If-None-Match: *`), so it is
//! atomic and nothing is ever overwritten. Whoever creates `n` has read the ids of `0..n` and leaves their rows out. As
//! a record's arrival never changes, all deliveries of it meet in the same log, and one of them is first: however
//! they overlap, its row is written once. Everything that is not a plain yes is answered the same way: look at the
//! lake again, recompute, try what then remains.

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
    HandBack,
}

/// The first free place of a log, given those that are taken, in order. Not the one after the last: a listing is no
/// snapshot, and might hold a later object without an earlier one.
pub fn next_place(taken: impl IntoIterator<Item = u32>) -> u32 {
    let in_a_row = (0..).zip(taken).take_while(|(place, taken)| place == taken);
    in_a_row.map(|(place, _)| place + 1).last().unwrap_or(0)
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
            return Decision::HandBack;
        }
        let wait_ms = match created {
            // The lake has the answer already.
            Created::Yes | Created::AlreadyExists => 0,
            Created::Conflict | Created::Unknown => 50 << self.uncertain,
        };
        Decision::LookAgain { wait_ms }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_place_is_the_first_that_is_free() {
        assert_eq!(next_place([]), 0);
        assert_eq!(next_place([0, 1, 2]), 3);
        assert_eq!(next_place([0, 2]), 1);
        assert_eq!(next_place([1, 2]), 0);
    }

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
            Decision::HandBack
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
        assert_eq!(setbacks.after_create(Created::Conflict), Decision::HandBack);
    }
}
