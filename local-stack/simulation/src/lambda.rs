//! Lambda as far as it can be unpleasant: execution environments that go cold, crash, freeze, outlive their time-out,
//! and answers that are lost.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use ingest::answer;
use ingest::config::KafkaPartialResponse;
use ingest::error::BatchError;
use ingest::handler::{Handler, Outcome, Settings};
use pipeline::filter::Filter;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::faults::{Kind, Tally};
use super::lake::SimulatedLake;
use super::lineage::Family;
use super::mutant::Mutant;
use super::scenario::Scenario;
use super::stream::LATENESS;
use super::trace::Trace;

const TIME_OUT: Duration = Duration::from_secs(30);

/// The function's body, or why there is none.
pub(crate) type Invocation = Pin<Box<dyn Future<Output = Result<Vec<u8>, &'static str>> + Send>>;

type Environment = Handler<SimulatedLake, Family>;

pub(crate) struct Lambda {
    family: Family,
    warm: mpsc::UnboundedReceiver<Environment>,
    give_back: mpsc::UnboundedSender<Environment>,
    pool: Vec<Environment>,
    rng: ChaCha8Rng,
    faults: f64,
    horizon_ms: i64,
    /// Whether attempts may go on after Lambda has given up on them.
    zombies: bool,
    mutant: Mutant,
    tally: Tally,
    trace: Trace,
}

#[derive(Clone, Copy, Debug)]
enum Fate {
    Runs,
    AnswerLost,
    CrashesAfter(Duration),
    /// The environment stands still for a while, unaware of it: its deadline moves along.
    Freezes(Duration),
}

impl Lambda {
    pub(crate) fn new(
        scenario: &Scenario,
        family: Family,
        seed: u64,
        mutant: Mutant,
        tally: Tally,
        trace: Trace,
    ) -> Self {
        let (give_back, warm) = mpsc::unbounded_channel();
        Self {
            family,
            warm,
            give_back,
            pool: Vec::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
            faults: scenario.faults,
            horizon_ms: scenario.horizon_ms,
            zombies: scenario.zombies,
            mutant,
            tally,
            trace,
        }
    }

    /// Begins an invocation.
    pub(crate) fn invoke(
        &mut self,
        what: &str,
        event: Vec<u8>,
        function: Function,
        poisoned: bool,
    ) -> Invocation {
        while let Ok(environment) = self.warm.try_recv() {
            self.pool.push(environment);
        }
        let warm = !self.pool.is_empty() && !self.rng.random_bool(0.2);
        let environment = if warm {
            let index = self.rng.random_range(0..self.pool.len());
            self.pool.swap_remove(index)
        } else {
            self.environment()
        };
        let fate = self.fate(poisoned);
        let warm = if warm { "warm" } else { "cold" };
        let say = format_args!("  invoke {what}, {warm}: {fate:?}");
        self.trace.say(say);
        let attempt = Attempt {
            event,
            function,
            fate,
            zombie: self.zombies && self.rng.random_bool(0.7),
            mutant: self.mutant,
            give_back: self.give_back.clone(),
            tally: self.tally.clone(),
            trace: self.trace.clone(),
        };
        Box::pin(attempt.run(environment))
    }

    fn environment(&mut self) -> Environment {
        let settings = Settings {
            filter: Filter::default(),
            lateness: LATENESS,
            horizon_ms: self.horizon_ms,
            // Small enough that windows are dropped now and then.
            max_window_ids: 100,
        };
        let family = self.family.clone();
        Handler::new(family.lake.clone(), family, settings, self.rng.random())
    }

    fn fate(&mut self, poisoned: bool) -> Fate {
        let mut within =
            |ms: std::ops::Range<u64>| Duration::from_millis(self.rng.random_range(ms));
        let (soon, late) = (within(0..200), within(0..60_000));
        if poisoned {
            return Fate::CrashesAfter(soon);
        }
        if !self.rng.random_bool(self.faults) {
            return Fate::Runs;
        }
        match self.rng.random_range(0..4) {
            0 => Fate::AnswerLost,
            1 | 2 => Fate::CrashesAfter(soon),
            _ => Fate::Freezes(late),
        }
    }
}

struct Attempt {
    event: Vec<u8>,
    function: Function,
    fate: Fate,
    zombie: bool,
    mutant: Mutant,
    give_back: mpsc::UnboundedSender<Environment>,
    tally: Tally,
    trace: Trace,
}

impl Attempt {
    async fn run(self, mut environment: Environment) -> Result<Vec<u8>, &'static str> {
        let Self {
            event,
            function,
            fate,
            mutant,
            ..
        } = self;
        let (tally, trace) = (self.tally.clone(), self.trace.clone());
        let frozen = if let Fate::Freezes(time) = fate {
            time
        } else {
            Duration::ZERO
        };
        let deadline = Instant::now() + TIME_OUT;
        let mut attempt = tokio::spawn(async move {
            tokio::time::sleep(frozen).await;
            let deadline = deadline + frozen;
            let body = function
                .handle(&mut environment, &event, deadline, mutant, &tally, &trace)
                .await;
            (environment, body)
        });
        let patience = if let Fate::CrashesAfter(time) = fate {
            time
        } else {
            TIME_OUT
        };
        let ended = tokio::time::timeout(patience, &mut attempt).await;
        match (ended, fate) {
            (Ok(ended), _) => {
                let (environment, body) = ended.expect("the handler does not panic");
                // The environment is free for the next batch, whatever becomes of the answer.
                let _ = self.give_back.send(environment);
                if matches!(fate, Fate::AnswerLost) {
                    self.tally.count(Kind::AnswerLost);
                    return Err("the answer was lost");
                }
                body
            }
            (Err(_), Fate::CrashesAfter(_)) => {
                self.tally.count(Kind::Crash);
                attempt.abort();
                Err("crashed")
            }
            (Err(_), Fate::Freezes(_)) => {
                self.tally.count(Kind::Freeze);
                self.tally.count_if(self.zombie, Kind::Zombie);
                if !self.zombie {
                    attempt.abort();
                }
                Err("timed out")
            }
            (Err(_), Fate::Runs | Fate::AnswerLost) => {
                let broken =
                    "an invocation that nothing has held up gave no answer before its deadline";
                self.trace.broken(broken.to_owned());
                Err("timed out")
            }
        }
    }
}

/// Which function it is, and how it says that records failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Function {
    Kinesis { partial_responses: bool },
    Kafka(KafkaPartialResponse),
}

impl Function {
    pub(crate) fn kinesis(partial_responses: bool) -> Self {
        Self::Kinesis { partial_responses }
    }

    /// As the function's `main` does it.
    async fn handle(
        self,
        environment: &mut Environment,
        event: &[u8],
        deadline: Instant,
        mutant: Mutant,
        tally: &Tally,
        trace: &Trace,
    ) -> Result<Vec<u8>, &'static str> {
        if mutant == Mutant::NeverFails && mutants::says_never(event) {
            return Err("the event cannot be read");
        }
        let handled = match self {
            Self::Kinesis { .. } if mutant == Mutant::CellsInGridOrder => {
                mutants::cells_in_grid_order(environment, event, deadline).await
            }
            Self::Kinesis { .. } => environment
                .kinesis(event, deadline)
                .await
                .map(|one| vec![one]),
            Self::Kafka(_) => environment.kafka(event, deadline).await,
        };
        let Ok(mut outcomes) = handled else {
            return Err("the event cannot be read");
        };
        for outcome in &outcomes {
            check(outcome, tally, trace);
        }
        if mutant == Mutant::FailureAsSuccess && outcomes.len() > 1 {
            outcomes[0].failed_from = None;
            outcomes[0].failed.clear();
        }
        let body = match self {
            Self::Kinesis {
                partial_responses: false,
            } if outcomes[0].failed_from.is_some() => None,
            Self::Kinesis { .. } => serde_json::to_vec(&answer::kinesis(&outcomes[0])).ok(),
            Self::Kafka(form) => answer::kafka(&outcomes, form)
                .ok()
                .map(|answer| serde_json::to_vec(&answer).expect("JSON")),
        };
        tally.count_if(body.is_none(), Kind::InvocationFailed);
        body.ok_or("records failed")
    }
}

/// The counts of a batch add up.
fn check(outcome: &Outcome, tally: &Tally, trace: &Trace) {
    let deadline = matches!(outcome.error, Some(BatchError::Deadline));
    tally.count_if(deadline, Kind::DeadlineNear);
    let report = &outcome.report;
    let accounted = report.written + report.duplicates + report.filtered + report.rejected_total();
    if report.received != accounted + report.handed_back {
        trace.broken(format!("the counts of a batch do not add up: {report:?}"));
    }
}

/// Broken variants of the handler.
mod mutants {
    use std::collections::BTreeMap;

    use ingest::handler::Outcome;
    use pipeline::decode::EnvelopeError;
    use pipeline::layout::cell_start;
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::Environment;

    /// Whether a record of a Kinesis event is of the year 9999, or later.
    pub(super) fn says_never(event: &[u8]) -> bool {
        let event: Value = serde_json::from_slice(event).expect("JSON");
        let records = event["Records"].as_array().into_iter().flatten();
        records
            .into_iter()
            .any(|record| arrival_ms(record) >= 253_370_764_800_000)
    }

    fn arrival_ms(record: &Value) -> i64 {
        let seconds = record["kinesis"]["approximateArrivalTimestamp"].as_f64();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "milliseconds of four-digit years"
        )]
        let ms = (seconds.expect("a number") * 1000.0).round() as i64;
        ms
    }

    /// As if each cell of a Kinesis event were a batch of its own.
    pub(super) async fn cells_in_grid_order(
        environment: &mut Environment,
        event: &[u8],
        deadline: Instant,
    ) -> Result<Vec<Outcome>, EnvelopeError> {
        let event: Value = serde_json::from_slice(event).expect("JSON");
        let mut cells: BTreeMap<i64, Vec<&Value>> = BTreeMap::new();
        for record in event["Records"].as_array().expect("records") {
            cells
                .entry(cell_start(arrival_ms(record)))
                .or_default()
                .push(record);
        }
        let mut whole: Option<Outcome> = None;
        for records in cells.values() {
            let cell = json!({ "Records": records }).to_string();
            let of_cell = environment.kinesis(cell.as_bytes(), deadline).await?;
            match &mut whole {
                None => whole = Some(of_cell),
                Some(whole) => {
                    whole.failed.extend(of_cell.failed);
                    whole.error = whole.error.take().or(of_cell.error);
                }
            }
        }
        let mut whole = whole.expect("a record");
        whole
            .failed
            .sort_by_key(|position| position.parse::<u64>().expect("a number"));
        whole.failed_from = whole.failed.first().cloned();
        Ok(vec![whole])
    }
}
