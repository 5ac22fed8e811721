//! Lambda as far as it can be unpleasant: execution environments that go cold, crash, freeze, outlive their time-out,
//! and answers that are lost.

use std::future::Future;
use std::time::Duration;

use event_source::answer::{self, Answer};
use event_source::shard::{Batch, Outcome};
use ingest::config::PartialResponses;
use ingest::environment::Broker;
use ingest::handler::{Handler, Settings};
use pipeline::filter::Filter;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::lake::{Family, SimulatedLake};
use super::stream::{HORIZON_MS, LATENESS, Stream, envelope, number};
use super::trace::Trace;

const TIME_OUT: Duration = Duration::from_secs(30);

/// An invocation of a batch of a stream that ended, as the event source hears of it.
pub(crate) struct Ended {
    /// Of which run of the event source: a restarted one does not hear of the invocations of the one before.
    pub(crate) generation: u32,
    pub(crate) shard: String,
    pub(crate) sub_shard: usize,
    pub(crate) batch: Batch,
    pub(crate) outcome: Outcome,
}

type Environment = Handler<SimulatedLake, Family>;

pub(crate) struct Lambda {
    family: Family,
    warm: mpsc::UnboundedReceiver<Environment>,
    give_back: mpsc::UnboundedSender<Environment>,
    pool: Vec<Environment>,
    rng: ChaCha8Rng,
    faults: f64,
    /// Whether attempts may go on after Lambda has given up on them.
    zombies: bool,
    trace: Trace,
}

#[derive(Debug)]
enum Fate {
    Runs,
    AnswerLost,
    CrashesAfter(Duration),
    /// The environment stands still for a while, unaware of it: its deadline moves along.
    Freezes(Duration),
}

impl Lambda {
    pub(crate) fn new(family: Family, seed: u64, faults: f64, zombies: bool, trace: Trace) -> Self {
        let (give_back, warm) = mpsc::unbounded_channel();
        let rng = ChaCha8Rng::seed_from_u64(seed);
        Self {
            family,
            warm,
            give_back,
            pool: Vec::new(),
            rng,
            faults,
            zombies,
            trace,
        }
    }

    /// Starts an invocation; its end comes through `ended`.
    pub(crate) fn invoke(
        &mut self,
        stream: &Stream,
        (generation, shard, sub_shard): (u32, &str, usize),
        batch: &Batch,
        redrive: bool,
        ended: mpsc::UnboundedSender<Ended>,
    ) {
        let poisoned = !redrive
            && batch
                .records()
                .iter()
                .any(|record| stream.written[&number(record)].poison);
        let records = batch.records();
        let what = format!(
            "{shard}/{sub_shard} {}..{} ({} records)",
            number(&records[0]),
            number(records.last().expect("never empty")),
            records.len(),
        );
        let event = envelope(shard).payload(records);
        let answer = self.begin(&what, event, Kind::Kinesis, poisoned);
        let (shard, batch) = (shard.to_owned(), batch.clone());
        tokio::spawn(async move {
            let outcome = Outcome::Answered(match answer.await {
                Ok(body) => answer::read(&body, true, batch.records()),
                Err(reason) => Answer::Failed(reason.into()),
            });
            // Nobody listens any more if the event source was restarted for the last time.
            let _ = ended.send(Ended {
                generation,
                shard,
                sub_shard,
                batch,
                outcome,
            });
        });
    }

    /// Begins an invocation; the answer is the function's body, or why there is none.
    pub(crate) fn begin(
        &mut self,
        what: &str,
        event: Vec<u8>,
        kind: Kind,
        poisoned: bool,
    ) -> impl Future<Output = Result<Vec<u8>, &'static str>> + Send + use<> {
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
        self.trace
            .say(format_args!("  invoke {what}, {warm}: {fate:?}"));
        let zombie = self.zombies && self.rng.random_bool(0.7);
        run(
            environment,
            event,
            kind,
            fate,
            zombie,
            self.give_back.clone(),
        )
    }

    fn environment(&mut self) -> Environment {
        let settings = Settings {
            filter: Filter::default(),
            lateness: LATENESS,
            horizon_ms: HORIZON_MS,
            memory_mb: 512,
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

async fn run(
    mut environment: Environment,
    event: Vec<u8>,
    kind: Kind,
    fate: Fate,
    zombie: bool,
    give_back: mpsc::UnboundedSender<Environment>,
) -> Result<Vec<u8>, &'static str> {
    let frozen = if let Fate::Freezes(time) = fate {
        time
    } else {
        Duration::ZERO
    };
    let deadline = Instant::now() + TIME_OUT;
    let mut attempt = tokio::spawn(async move {
        tokio::time::sleep(frozen).await;
        let body = kind
            .handle(&mut environment, &event, deadline + frozen)
            .await;
        (environment, body)
    });
    let patience = if let Fate::CrashesAfter(time) = fate {
        time
    } else {
        TIME_OUT
    };
    match tokio::time::timeout(patience, &mut attempt).await {
        Ok(ended) => {
            let (environment, body) = ended.expect("the handler does not panic");
            // The environment is free for the next batch, whatever becomes of the answer.
            let _ = give_back.send(environment);
            if matches!(fate, Fate::AnswerLost) {
                return Err("the answer was lost");
            }
            body
        }
        Err(_) if matches!(fate, Fate::CrashesAfter(_)) => {
            attempt.abort();
            Err("crashed")
        }
        Err(_) => {
            if !zombie {
                attempt.abort();
            }
            Err("timed out")
        }
    }
}

/// Which function it is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Kinesis,
    Kafka {
        partial_responses: PartialResponses,
        /// [`super::mutant::Mutant::FailureAsSuccess`].
        failure_as_success: bool,
    },
}

impl Kind {
    /// As the function's `main` does it.
    async fn handle(
        self,
        environment: &mut Environment,
        event: &[u8],
        deadline: Instant,
    ) -> Result<Vec<u8>, &'static str> {
        match self {
            Self::Kinesis => {
                let handled = environment.kinesis(event, deadline).await;
                let outcomes = handled.expect("a Kinesis event");
                let form = PartialResponses::SequenceNumber;
                answered(Broker::Kinesis, &outcomes, form)
            }
            Self::Kafka {
                partial_responses,
                failure_as_success,
            } => {
                let handled = environment.kafka(event, deadline).await;
                let mut outcomes = handled.expect("a Kafka event");
                if failure_as_success && outcomes.len() > 1 {
                    outcomes[0].failed_from = None;
                    outcomes[0].failed.clear();
                }
                answered(Broker::Kafka, &outcomes, partial_responses)
            }
        }
    }
}

fn answered(
    broker: Broker,
    outcomes: &[ingest::handler::Outcome],
    form: PartialResponses,
) -> Result<Vec<u8>, &'static str> {
    let response = ingest::response::of(broker, outcomes, form);
    let response = response.map_err(|_| "batches failed")?;
    Ok(serde_json::to_vec(&response).expect("JSON"))
}
