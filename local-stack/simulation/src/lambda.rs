//! Lambda as far as it can be unpleasant: execution environments that go cold, crash, freeze, outlive their time-out,
//! and answers that are lost.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use events::Contract;
use ingest::config::{Broker, PartialResponses};
use ingest::environment;
use ingest::handler::{Handler, Settings};
use pipeline::filter::Filter;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::faults::{Kind, Tally};
use super::lake::SimulatedLake;
use super::lineage::Family;
use super::metrics::CloudWatch;
use super::mutant::Mutant;
use super::scenario::Scenario;
use super::stream::LATENESS;
use super::trace::Trace;

const TIME_OUT: Duration = Duration::from_secs(30);

/// The function's body, or why there is none.
pub(crate) type Invocation = Pin<Box<dyn Future<Output = Result<Vec<u8>, &'static str>> + Send>>;

type Environment = environment::Environment<SimulatedLake, Family, CloudWatch>;

pub(crate) struct Lambda {
    family: Family,
    cloudwatch: CloudWatch,
    warm: mpsc::UnboundedReceiver<(Function, Environment)>,
    give_back: mpsc::UnboundedSender<(Function, Environment)>,
    pool: Vec<(Function, Environment)>,
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
        let cloudwatch = CloudWatch::new(scenario, seed, tally.clone(), trace.clone());
        Self {
            family,
            cloudwatch,
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
        let pool = self.pool.iter().zip(0..);
        let pool = pool.filter(|((of, _), _)| *of == function);
        let pool: Vec<usize> = pool.map(|(_, index)| index).collect();
        let warm = !pool.is_empty() && !self.rng.random_bool(0.2);
        let environment = if warm {
            let index = self.rng.random_range(0..pool.len());
            self.pool.swap_remove(pool[index]).1
        } else {
            self.environment(function)
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
            cloudwatch: self.cloudwatch.clone(),
            tally: self.tally.clone(),
            trace: self.trace.clone(),
        };
        Box::pin(attempt.run(environment))
    }

    fn environment(&mut self, function: Function) -> Environment {
        let settings = Settings {
            filter: Filter::default(),
            lateness: LATENESS,
            horizon_ms: self.horizon_ms,
            memory_mb: 512,
        };
        let (family, metrics) = (self.family.clone(), self.cloudwatch.clone());
        // This mutant publishes for itself.
        let metrics = (self.mutant != Mutant::LateMetrics).then_some(metrics);
        let handler = Handler::new(
            family.lake.clone(),
            family,
            Contract::ours().clone(),
            settings,
            self.rng.random(),
        );
        let (broker, partial_responses) = (function.broker, function.partial_responses);
        Environment::new(handler, broker, partial_responses, metrics)
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
    give_back: mpsc::UnboundedSender<(Function, Environment)>,
    cloudwatch: CloudWatch,
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
        let (tally, cloudwatch) = (self.tally.clone(), self.cloudwatch.clone());
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
                .handle(&mut environment, &event, deadline, mutant, &tally)
                .await;
            if mutant == Mutant::LateMetrics {
                cloudwatch.take_time().await;
            }
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
                let _ = self.give_back.send((function, environment));
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) broker: Broker,
    pub(crate) partial_responses: PartialResponses,
}

impl Function {
    pub(crate) fn kinesis(partial: bool) -> Self {
        Self {
            broker: Broker::Kinesis,
            partial_responses: if partial {
                PartialResponses::SequenceNumber
            } else {
                PartialResponses::Off
            },
        }
    }

    pub(crate) fn kafka(partial_responses: PartialResponses) -> Self {
        let broker = Broker::Kafka;
        Self {
            broker,
            partial_responses,
        }
    }

    async fn handle(
        self,
        environment: &mut Environment,
        event: &[u8],
        deadline: Instant,
        mutant: Mutant,
        tally: &Tally,
    ) -> Result<Vec<u8>, &'static str> {
        if mutant == Mutant::NeverFails && mutants::says_never(event) {
            return Err("the event cannot be read");
        }
        if mutant == Mutant::CellsInGridOrder {
            return mutants::cells_in_grid_order(environment, event, deadline).await;
        }
        let response = environment.invoke(event, deadline).await;
        let body = response.map_err(|error| {
            tally.count(Kind::InvocationFailed);
            let deadline = error.to_string().contains("deadline");
            tally.count_if(deadline, Kind::DeadlineNear);
            "records failed"
        })?;
        let body = serde_json::to_value(&body).expect("JSON");
        let body = if mutant == Mutant::FailureAsSuccess {
            mutants::without_first(body)
        } else {
            body
        };
        Ok(body.to_string().into_bytes())
    }
}

/// Broken variants of the handler.
mod mutants {
    use std::collections::BTreeMap;

    use pipeline::layout::cell_start;
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::Environment;

    /// The response to a Kafka event as if all of its first failing partition were done.
    pub(super) fn without_first(mut response: Value) -> Value {
        let partition = |failure: &Value| {
            let identifier = &failure["itemIdentifier"];
            let name = identifier
                .get("partition")
                .or_else(|| identifier.get("topic-partition"));
            name.cloned()
        };
        let failures = response["batchItemFailures"].as_array_mut();
        let failures = failures.expect("failures");
        let first = failures.first().and_then(partition);
        failures.retain(|failure| partition(failure) != first);
        response
    }

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
    ) -> Result<Vec<u8>, &'static str> {
        let event: Value = serde_json::from_slice(event).expect("JSON");
        let mut cells: BTreeMap<i64, Vec<&Value>> = BTreeMap::new();
        for record in event["Records"].as_array().expect("records") {
            cells
                .entry(cell_start(arrival_ms(record)))
                .or_default()
                .push(record);
        }
        for records in cells.values() {
            let cell = json!({ "Records": records }).to_string();
            let response = environment.invoke(cell.as_bytes(), deadline).await;
            let response = response.map_err(|_| "records failed")?;
            if serde_json::to_string(&response)
                .expect("JSON")
                .contains("itemIdentifier")
            {
                return Err("records failed");
            }
        }
        Ok(Vec::new())
    }
}
