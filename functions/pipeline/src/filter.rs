//! What is dropped on purpose, and counted.

use crate::parse::Row;

/// Which accepted events the lake does not want.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Keep events that the contract's filter names (ours: `test: true`). Off by default.
    pub keep_test_events: bool,
}

impl Filter {
    /// Whether the row is dropped.
    pub fn drops(self, row: &Row) -> bool {
        row.filtered && !self.keep_test_events
    }
}
