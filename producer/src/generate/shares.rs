//! How the kinds of records are mixed.

use rand::{Rng, RngExt};
use thiserror::Error;

use super::expected::Kind;

/// Fractions of all records, each 0 to 1; the rest is normal.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Shares {
    /// Of [`Kind::Duplicate`].
    pub duplicates: f64,
    /// Of [`Kind::Malformed`].
    pub malformed: f64,
    /// Of [`Kind::Late`].
    pub late: f64,
    /// Of [`Kind::Outlier`].
    pub outliers: f64,
    /// Of [`Kind::Test`].
    pub test_events: f64,
}

/// Shares that exceed the whole.
#[derive(Debug, Error, PartialEq)]
#[error(
    "--duplicates {} + --malformed {} + --late {} + --outliers {} + --test-events {} make {sum:.3}: together at most 1",
    shares.duplicates, shares.malformed, shares.late, shares.outliers, shares.test_events
)]
pub struct SharesError {
    shares: Shares,
    sum: f64,
}

impl Shares {
    /// Checks that the shares leave room for each other.
    pub fn check(&self) -> Result<(), SharesError> {
        let sum: f64 = self.by_kind().iter().map(|(_, share)| share).sum();
        // Ten shares of 0.1 sum to a little over 1.
        if sum > 1.0 + 1e-9 {
            Err(SharesError { shares: *self, sum })
        } else {
            Ok(())
        }
    }

    /// Draws the kind of the next record.
    pub(super) fn draw(&self, rng: &mut impl Rng) -> Kind {
        let mut ticket: f64 = rng.random();
        for (kind, share) in self.by_kind() {
            if ticket < share {
                return kind;
            }
            ticket -= share;
        }
        Kind::Normal
    }

    fn by_kind(&self) -> [(Kind, f64); 5] {
        [
            (Kind::Duplicate, self.duplicates),
            (Kind::Malformed, self.malformed),
            (Kind::Late, self.late),
            (Kind::Outlier, self.outliers),
            (Kind::Test, self.test_events),
        ]
    }
}
