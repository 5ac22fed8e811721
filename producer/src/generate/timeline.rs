//! The simulated clock.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp};
use thiserror::Error;

/// How far `event_time` may lie behind the clock in an event that is not late.
pub const JITTER: SignedDuration = SignedDuration::from_secs(5);

/// Where each event's clock comes from.
#[derive(Clone, Copy, Debug)]
pub enum Timeline {
    /// A number of events spread evenly over whole UTC days.
    Days {
        /// The clock of the first event: [`JITTER`] after midnight, so that jitter stays within the day.
        start: Timestamp,
        /// From the first event to the end of the last day.
        length: SignedDuration,
        /// How many events are spread.
        events: u64,
    },
    /// Each event happens now.
    Live,
}

/// Days over which events cannot be spread.
#[derive(Debug, Error)]
pub enum TimelineError {
    /// Late events would come before the earliest `event_time` of the contract.
    #[error(
        "--first-day {0} is too early: events before 2000-01-01 are rejected, and late ones reach back 6 h"
    )]
    TooEarly(Date),
    /// Events that far ahead of their arrival are rejected.
    #[error(
        "--first-day {first} with --days {days} ends on {last}, after today ({today}): events from the future are rejected"
    )]
    InTheFuture {
        /// The first day asked for.
        first: Date,
        /// How many days.
        days: u16,
        /// The last day that follows.
        last: Date,
        /// The current UTC date.
        today: Date,
    },
    /// The calendar ends.
    #[error("{0}")]
    Calendar(#[from] jiff::Error),
}

impl Timeline {
    /// Spreads `events` over `days` UTC days from `first_day`; without one, over the last full days before `now`.
    pub fn over_days(
        first_day: Option<Date>,
        days: u16,
        events: u64,
        now: Timestamp,
    ) -> Result<Self, TimelineError> {
        let today = now.to_zoned(TimeZone::UTC).date();
        let first = match first_day {
            Some(day) => day,
            None => today.checked_sub(Span::new().days(days))?,
        };
        let after_last = first.checked_add(Span::new().days(days))?;
        let last = after_last.yesterday()?;
        if first <= jiff::civil::date(2000, 1, 1) {
            return Err(TimelineError::TooEarly(first));
        }
        if last > today {
            return Err(TimelineError::InTheFuture {
                first,
                days,
                last,
                today,
            });
        }
        let midnight = |day: Date| day.to_zoned(TimeZone::UTC).map(|zoned| zoned.timestamp());
        let start = midnight(first)? + JITTER;
        Ok(Self::Days {
            start,
            length: midnight(after_last)?.duration_since(start),
            events,
        })
    }

    /// The clock of the event with this number, counted from 0.
    ///
    /// # Panics
    ///
    /// When the number is not below the number of events spread.
    pub fn clock(&self, number: u64, now: Timestamp) -> Timestamp {
        match *self {
            Self::Live => now,
            Self::Days {
                start,
                length,
                events,
            } => {
                assert!(number < events, "event {number} of {events}");
                let elapsed = length.as_micros() * i128::from(number) / i128::from(events);
                start
                    + SignedDuration::from_micros(
                        i64::try_from(elapsed).expect("shorter than the length"),
                    )
            }
        }
    }
}
