//! What the event contract says must become of a record, taken alone.

use events::Reason;
use serde::{Serialize, Serializer};
use uuid::Uuid;

/// Why a record was generated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An ordinary event.
    Normal,
    /// The bytes of an earlier event again.
    Duplicate,
    /// A record that breaks exactly one rule of the contract.
    Malformed,
    /// An event whose `event_time` lies 10 minutes to 6 hours behind the clock.
    Late,
    /// An event whose `event_duration` lies 20 to 60 standard deviations above its type's mean.
    Outlier,
    /// An event marked `test: true`.
    Test,
}

impl Kind {
    /// All kinds, in the order of [`Kind::index`].
    pub const ALL: [Self; 6] = [
        Self::Normal,
        Self::Duplicate,
        Self::Malformed,
        Self::Late,
        Self::Outlier,
        Self::Test,
    ];

    /// Position in [`Kind::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// The name in ledgers and totals.
    pub fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Duplicate => "duplicate",
            Self::Malformed => "malformed",
            Self::Late => "late",
            Self::Outlier => "outlier",
            Self::Test => "test",
        }
    }
}

/// What the pipeline must do with a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// One row in the lake. A duplicate says so too: it stands for the same row as the event that it repeats.
    Written,
    /// Dropped on purpose, and counted.
    Filtered,
    /// Quarantined with a [`Reason`].
    Rejected,
}

/// A record's line in the ledger, but for where it was stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// The `event_id` that can be read from the record, if any.
    #[serde(serialize_with = "hyphenated")]
    pub event_id: Option<Uuid>,
    /// Why the record was generated.
    pub kind: Kind,
    /// What must become of it.
    pub outcome: Outcome,
    /// Which rule it breaks, when it must be rejected.
    pub reason: Option<Reason>,
}

#[expect(clippy::ref_option, reason = "serde calls it with a reference")]
fn hyphenated<S: Serializer>(event_id: &Option<Uuid>, serializer: S) -> Result<S::Ok, S::Error> {
    match event_id {
        Some(id) => serializer.collect_str(id),
        None => serializer.serialize_none(),
    }
}
