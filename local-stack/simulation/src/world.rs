//! What the parts of a run share.

use std::cell::RefCell;
use std::time::Duration;

use event_source::mapping::given_up::Condition;
use event_source::mapping::parameters::{Mapping, StartingPosition};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use tokio::time::Instant;

use super::faults::{Kind, Tally};
use super::lake::SimulatedLake;
use super::lambda::{Function, Invocation, Lambda};
use super::mutant::Mutant;
use super::scenario::Scenario;
use super::trace::Trace;

/// Virtual time after which a source is stuck.
pub(crate) const PATIENCE: Duration = Duration::from_hours(8);

pub(crate) struct World {
    pub(crate) scenario: Scenario,
    pub(crate) lake: SimulatedLake,
    pub(crate) lambda: RefCell<Lambda>,
    pub(crate) mutant: Mutant,
    pub(crate) tally: Tally,
    pub(crate) trace: Trace,
    pub(crate) began: Instant,
}

impl World {
    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.scenario.start_ms + i64::try_from(self.began.elapsed().as_millis()).expect("days")
    }

    /// From now to the first of some times that lie ahead, a minute at most.
    pub(crate) fn until(&self, times_ms: impl Iterator<Item = i64>) -> Duration {
        let now = self.now_ms();
        // A machine that has something to do says so with the beginning of time; the others lie behind.
        let until = times_ms
            .filter(|time| *time > now || *time == i64::MIN)
            .min();
        let until = until.unwrap_or(i64::MAX).clamp(now + 1, now + 60_000);
        Duration::from_millis(u64::try_from(until - now).expect("clamped"))
    }

    pub(crate) fn invoke(
        &self,
        what: &str,
        event: Vec<u8>,
        function: Function,
        poisoned: bool,
    ) -> Invocation {
        let mut lambda = self.lambda.borrow_mut();
        lambda.invoke(what, event, function, poisoned)
    }

    /// Whether a function may be told that its mapping reads partial answers.
    pub(crate) fn may_answer_partially(&self, mapping: &Mapping) -> bool {
        mapping.report_batch_item_failures || self.mutant == Mutant::AnswersIgnored
    }

    /// Waits for what goes on although nobody waits for it: frozen invocations, and requests on their way.
    pub(crate) async fn settle(&self) {
        tokio::time::sleep(Duration::from_mins(10)).await;
        while self.lake.has_requests_on_their_way() {
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
    }

    pub(crate) fn tell_given_up(&self, condition: Condition) {
        let age = condition == Condition::RecordAgeExceeded;
        let kind = if age {
            Kind::RecordAge
        } else {
            Kind::RetriesUsedUp
        };
        self.tally.count(kind);
    }
}

impl Scenario {
    /// A mapping as an operator might have made it.
    pub(crate) fn mapping(
        &self,
        rng: &mut ChaCha8Rng,
        now_ms: i64,
        most_parallel: usize,
    ) -> Mapping {
        let starting_position = match rng.random_range(0..3) {
            0 if self.starts => StartingPosition::Latest,
            1 if self.starts => {
                StartingPosition::AtTimestamp(now_ms + rng.random_range(-1_800_000..600_000))
            }
            _ => StartingPosition::TrimHorizon,
        };
        Mapping {
            batch_size: rng.random_range(1..20),
            batching_window: rng.random_range(0..5_000),
            parallelization_factor: rng.random_range(1..=most_parallel),
            bisect_batch_on_function_error: rng.random_bool(0.5),
            maximum_retry_attempts: self.gives_up.then(|| rng.random_range(0..4)),
            maximum_record_age: self.record_age.then(|| rng.random_range(60_000..900_000)),
            report_batch_item_failures: rng.random_bool(0.7),
            starting_position,
        }
    }
}
