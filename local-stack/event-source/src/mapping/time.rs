//! The wall clock, for the pure state machines.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::position::Millis;

pub(crate) fn now() -> Millis {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis::try_from(since_epoch.as_millis()).unwrap_or(Millis::MAX)
}

/// Waits for a time that a state machine has named; for ever when it has named none.
pub(crate) async fn reached(time: Option<Millis>) {
    let Some(time) = time else {
        return std::future::pending().await;
    };
    let left = u64::try_from(time.saturating_sub(now())).unwrap_or(0);
    tokio::time::sleep(Duration::from_millis(left)).await;
}
