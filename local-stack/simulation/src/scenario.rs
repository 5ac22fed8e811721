//! What a run may meet. Each family of faults is in some runs only, so that each meets the others and their absence.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use super::Broker;

const MINUTE_MS: i64 = 60_000;

/// Whose time a record's arrival is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clock {
    /// The broker's: it steps back by milliseconds.
    Broker,
    /// It steps back by up to an hour.
    StepsBack,
    /// A producer's (`CreateTime`): some records are years away.
    Scattered,
    /// A producer's that also says "never" and "none".
    Absurd,
}

/// Drawn once for a run.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a family of faults")]
pub(crate) struct Scenario {
    /// Virtual time begins here (milliseconds since the Unix epoch).
    pub(crate) start_ms: i64,
    pub(crate) horizon_ms: i64,
    /// The chance that a request to the lake, or an invocation, meets a fault.
    pub(crate) faults: f64,
    pub(crate) poison: bool,
    /// The mapping has a limit of retries.
    pub(crate) gives_up: bool,
    /// The mapping has a limit of age.
    pub(crate) record_age: bool,
    pub(crate) clock: Clock,
    pub(crate) aggregates: bool,
    pub(crate) compressed: bool,
    pub(crate) other_content: bool,
    /// Sources start at `LATEST` and `AT_TIMESTAMP` too.
    pub(crate) starts: bool,
    pub(crate) abandons: bool,
    /// Records are gone from the broker before everybody has read them.
    pub(crate) trims: bool,
    /// Topics are made anew.
    pub(crate) recreates: bool,
    /// When all is delivered, what is old goes from broker and lake, and the rest is delivered once more.
    pub(crate) expires: bool,
    pub(crate) late_listing: bool,
    pub(crate) zombies: bool,
    /// Requests take effect up to this long after they were given up.
    pub(crate) late_ms: u64,
    /// Keys in a page of a listing.
    pub(crate) page: usize,
    /// Requests that list take seconds.
    pub(crate) slow_lists: bool,
}

impl Scenario {
    pub(crate) fn draw(rng: &mut ChaCha8Rng, broker: Broker) -> Self {
        let poison = rng.random_bool(0.2);
        let clock = match rng.random_range(0..8) {
            0..4 => Clock::Broker,
            4 | 5 => Clock::StepsBack,
            // A stream's arrival is the broker's; a child's window leans on that.
            6 if broker == Broker::Redpanda => Clock::Scattered,
            _ => Clock::Absurd,
        };
        Self {
            // 2026-11-22: noon, a line of the time grid, or half an hour before midnight.
            start_ms: 1_795_348_800_000 + i64::from(rng.random_bool(0.3)) * 690 * MINUTE_MS,
            horizon_ms: [0, 5, 15, 15, 15, 60][rng.random_range(0..6)] * MINUTE_MS,
            faults: [0.0, 0.05, 0.2][rng.random_range(0..3)],
            poison,
            gives_up: poison || rng.random_bool(0.2),
            record_age: rng.random_bool(0.1),
            clock,
            aggregates: broker == Broker::Kinesis && rng.random_bool(0.3),
            compressed: rng.random_bool(0.3),
            other_content: rng.random_bool(0.3),
            starts: rng.random_bool(0.2),
            abandons: rng.random_bool(0.2),
            trims: rng.random_bool(0.15),
            recreates: broker == Broker::Redpanda && rng.random_bool(0.2),
            expires: rng.random_bool(0.25),
            late_listing: rng.random_bool(0.2),
            zombies: rng.random_bool(0.7),
            late_ms: [5_000, 600_000, 7_200_000][rng.random_range(0..3)],
            page: [2, 5, 1_000][rng.random_range(0..3)],
            slow_lists: rng.random_bool(0.2),
        }
    }
}
