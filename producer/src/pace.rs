//! When the next event is due.

use std::time::Duration;

/// When a run is over.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// After that many events.
    Events(u64),
    /// After that time.
    Duration(Duration),
}

/// A steady rate.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Events per second; `None` is as fast as possible.
    events_per_second: Option<f64>,
}

impl Pace {
    /// A rate in events per second; 0 is as fast as possible.
    pub fn new(events_per_second: f64) -> Self {
        Self {
            events_per_second: (events_per_second > 0.0).then_some(events_per_second),
        }
    }

    /// How many events should have been made by now. After a stall the lag is made up for, so that the mean holds.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "`as` saturates"
    )]
    pub fn due(&self, elapsed: Duration) -> u64 {
        match self.events_per_second {
            Some(rate) => (elapsed.as_secs_f64() * rate) as u64 + 1,
            None => u64::MAX,
        }
    }

    /// How long to wait for event number `number`, counted from 0.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 events")]
    pub fn wait(&self, number: u64, elapsed: Duration) -> Duration {
        let Some(rate) = self.events_per_second else {
            return Duration::ZERO;
        };
        Duration::try_from_secs_f64(number as f64 / rate)
            .unwrap_or(Duration::MAX)
            .saturating_sub(elapsed)
    }
}
