//! The run: generator → batches → sink → ledger, at a pace, until a limit or a stop.

use std::future::{pending, ready};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::batch::{Batcher, LIMITS, Position};
use crate::generate::{Expected, Generator, Record, Timeline};
use crate::ledger::{Ledger, LedgerError};
use crate::pace::{Limit, Pace};
use crate::progress::Progress;
use crate::sink::Sink;
use crate::totals::Totals;

/// The longest that a record waits for others to fill its batch.
const LINGER: Duration = Duration::from_millis(100);
/// Ledger and progress are brought up to date this often.
const HOUSEKEEPING: Duration = Duration::from_millis(250);

/// How to run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// When to end.
    pub limit: Limit,
    /// How fast.
    pub pace: Pace,
    /// The clock of each event.
    pub timeline: Timeline,
    /// The most batches under way at once.
    pub in_flight: usize,
}

/// A request to end early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Make no more events, deliver those that were made.
    Flush,
    /// Leave at once.
    Abandon,
}

/// One run in progress.
#[derive(Debug)]
pub struct Run {
    plan: Plan,
    generator: Generator,
    sink: Arc<Sink>,
    totals: Arc<Totals>,
    ledger: Option<Ledger>,
    batcher: Batcher<Record>,
    deliveries: JoinSet<Vec<(Expected, Position)>>,
    started: Instant,
    oldest_in_batch: Instant,
    made: u64,
    ended: bool,
}

impl Run {
    /// A run at its first event.
    pub fn new(
        plan: Plan,
        generator: Generator,
        sink: Arc<Sink>,
        totals: Arc<Totals>,
        ledger: Option<Ledger>,
    ) -> Self {
        let now = Instant::now();
        Self {
            plan,
            generator,
            sink,
            totals,
            ledger,
            batcher: Batcher::new(LIMITS),
            deliveries: JoinSet::new(),
            started: now,
            oldest_in_batch: now,
            made: 0,
            ended: false,
        }
    }

    /// Runs to the limit, the first request to [`Stop`], or the first record that had to be given up, and then
    /// until nothing is under way. Returns how long that took; [`Totals`] tell the rest.
    ///
    /// # Panics
    ///
    /// When a delivery panicked.
    pub async fn to_end(
        mut self,
        stops: &mut mpsc::Receiver<Stop>,
        progress: &mut Progress,
    ) -> Result<Duration, LedgerError> {
        let mut housekeeping = interval(HOUSEKEEPING);
        housekeeping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            self.ended |= self.limit_reached() || self.totals.failed() > 0;
            self.make_due_events();
            if self.is_done() {
                break;
            }
            let wait = self.wait();
            tokio::select! {
                biased;
                Some(stop) = stops.recv() => match stop {
                    Stop::Flush => self.ended = true,
                    Stop::Abandon => break,
                },
                Some(delivered) = self.deliveries.join_next() => {
                    self.note(&delivered.expect("a delivery neither panics nor is cancelled"))?;
                }
                _ = housekeeping.tick() => {
                    if let Some(ledger) = &mut self.ledger {
                        ledger.flush()?;
                    }
                    progress.show(&self.totals);
                }
                () = pause(wait) => {}
            }
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.flush()?;
        }
        Ok(self.started.elapsed())
    }

    fn is_done(&self) -> bool {
        self.ended && self.batcher.is_empty() && self.deliveries.is_empty()
    }

    fn limit_reached(&self) -> bool {
        match self.plan.limit {
            Limit::Events(events) => self.made >= events,
            Limit::Duration(duration) => self.started.elapsed() >= duration,
        }
    }

    fn has_room(&self) -> bool {
        self.deliveries.len() < self.sink.in_flight(self.plan.in_flight)
    }

    /// Makes the events that are due, until a batch is sent: other work gets its turn between batches.
    fn make_due_events(&mut self) {
        let due = match self.plan.limit {
            Limit::Events(events) => events.min(self.plan.pace.due(self.started.elapsed())),
            Limit::Duration(_) => self.plan.pace.due(self.started.elapsed()),
        };
        while !self.ended && self.has_room() && self.made < due {
            let record = self
                .generator
                .next_record(self.plan.timeline.clock(self.made, Timestamp::now()));
            self.made += 1;
            self.totals.count_generated(record.expected.kind);
            if self.batcher.is_empty() {
                self.oldest_in_batch = Instant::now();
            }
            let bytes = record.payload.len() + record.partition_key.len();
            if let Some(batch) = self.batcher.push(record, bytes) {
                self.oldest_in_batch = Instant::now();
                return self.send(batch);
            }
        }
        let waited = self.oldest_in_batch.elapsed() >= LINGER;
        if (self.ended || self.batcher.is_full() || waited || self.limit_reached())
            && self.has_room()
            && let Some(batch) = self.batcher.take()
        {
            self.send(batch);
        }
    }

    fn send(&mut self, batch: Vec<Record>) {
        let (sink, totals) = (Arc::clone(&self.sink), Arc::clone(&self.totals));
        self.deliveries
            .spawn(async move { sink.deliver(batch, &totals).await });
    }

    fn note(&mut self, delivered: &[(Expected, Position)]) -> Result<(), LedgerError> {
        if let Some(ledger) = &mut self.ledger {
            delivered
                .iter()
                .try_for_each(|(expected, position)| ledger.write(position, expected))?;
        }
        self.totals.count_acknowledged(delivered.len());
        Ok(())
    }

    /// How long until there is something for [`Run::make_due_events`] to do; `None` while only a delivery's end can
    /// change that.
    fn wait(&self) -> Option<Duration> {
        if !self.has_room() {
            return None;
        }
        let elapsed = self.started.elapsed();
        let next_event = (!self.ended).then(|| self.plan.pace.wait(self.made, elapsed));
        let batch = (!self.batcher.is_empty())
            .then(|| LINGER.saturating_sub(self.oldest_in_batch.elapsed()));
        let rest = match self.plan.limit {
            Limit::Duration(duration) if !self.ended => Some(duration.saturating_sub(elapsed)),
            _ => None,
        };
        [next_event, batch, rest].into_iter().flatten().min()
    }
}

async fn pause(wait: Option<Duration>) {
    match wait {
        None => pending().await,
        // A sleep is rounded up to a millisecond, so zero is not slept.
        Some(Duration::ZERO) => ready(()).await,
        Some(wait) => sleep(wait).await,
    }
}
