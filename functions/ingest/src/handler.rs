//! Records → pipeline → lake → what failed. The decisions are [`pipeline::commit`]'s; this does the I/O.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures::StreamExt;
use parquet::errors::ParquetError;
use pipeline::commit::{self, Created, Decision, Setbacks};
use pipeline::decode::{self, Batch, EnvelopeError};
use pipeline::dedupe::IdHasher;
use pipeline::filter::Filter;
use pipeline::layout::ObjectName;
use pipeline::rollup::{self, Lateness, Rollup};
use pipeline::{Cell, Object, Plan};
use tokio::time::Instant;

use crate::error::BatchError;
use crate::lake::Lake;
use crate::lineage::Lineage;
use crate::report::Report;
use crate::window::{Window, Windows};

/// A request to the lake starts only with more time left than this.
const REQUEST_RESERVE: Duration = Duration::from_secs(1);
/// What remains for the answer when a request is cut off.
const ANSWER_RESERVE: Duration = Duration::from_millis(250);
/// Partitions of one Kafka event under way at once: each may read as many objects again at once.
const CONCURRENT_PARTITIONS: usize = 8;

/// How a handler works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What is dropped on purpose.
    pub filter: Filter,
    /// When an event counts as late.
    pub lateness: Lateness,
    /// How far apart in arrival time two records of one id may lie and still be recognised, in milliseconds.
    pub horizon_ms: i64,
    /// Ids held in memory, over all shards, before windows not in use are dropped.
    pub max_window_ids: usize,
}

/// Carries batches into a lake; one per execution environment.
#[derive(Debug)]
pub struct Handler<L, G> {
    carrier: Carrier<L, G>,
    windows: Windows,
}

/// What all batches share.
#[derive(Debug)]
struct Carrier<L, G> {
    lake: L,
    lineage: G,
    settings: Settings,
    hasher: IdHasher,
}

/// What Lambda is told of one batch, and what is told about it.
#[derive(Debug)]
pub struct Outcome {
    /// The position of the first record that is not committed; `None` if all are.
    pub failed_from: Option<String>,
    /// The positions of all records that are not committed, `failed_from` and what lies beyond a gap among them.
    pub failed: Vec<String>,
    /// Why, if not all are.
    pub error: Option<BatchError>,
    /// The counts.
    pub report: Report,
}

impl<L: Lake + Sync, G: Lineage + Sync> Handler<L, G> {
    /// `hash_seed` should be random: it keeps producers from choosing ids that collide.
    pub fn new(lake: L, lineage: G, settings: Settings, hash_seed: u64) -> Self {
        let hasher = IdHasher::new(hash_seed);
        let windows = Windows::new(hasher, settings.max_window_ids);
        let carrier = Carrier {
            lake,
            lineage,
            settings,
            hasher,
        };
        Self { carrier, windows }
    }

    /// Carries one Kinesis event into the lake before `deadline`.
    ///
    /// # Errors
    /// Only if the event is not one that Lambda makes. Everything else is in the [`Outcome`].
    pub async fn kinesis(
        &mut self,
        event: &[u8],
        deadline: Instant,
    ) -> Result<Outcome, EnvelopeError> {
        let batch = decode::kinesis(event)?;
        let window = self.windows.of_shards(&[&batch]).remove(0);
        Ok(self.carrier.carry(&batch, window, deadline).await)
    }

    /// Carries one Kafka event into the lake before `deadline`: its partitions at the same time, each on its own. One
    /// that fails holds up no other. The outcomes are by topic and partition.
    ///
    /// # Errors
    /// As [`Handler::kinesis`].
    pub async fn kafka(
        &mut self,
        event: &[u8],
        deadline: Instant,
    ) -> Result<Vec<Outcome>, EnvelopeError> {
        let batches = decode::kafka(event)?;
        let batches: Vec<&Batch> = batches.iter().collect();
        let windows = self.windows.of_shards(&batches);
        let mut carried = Vec::with_capacity(batches.len());
        for (batch, window) in batches.iter().zip(windows) {
            carried.push(self.carrier.carry(batch, window, deadline));
        }
        Ok(futures::stream::iter(carried)
            .buffered(CONCURRENT_PARTITIONS)
            .collect()
            .await)
    }
}

impl<L: Lake + Sync, G: Lineage + Sync> Carrier<L, G> {
    async fn carry(&self, batch: &Batch<'_>, window: &mut Window, deadline: Instant) -> Outcome {
        let arrivals = batch.records().map(|record| record.arrival_ms);
        let cells = pipeline::cells(batch, self.settings.filter, self.hasher);
        let mut delivery = Delivery {
            lake: &self.lake,
            lineage: &self.lineage,
            deadline,
            arrivals: commit::window_arrivals(arrivals, self.settings.horizon_ms),
            lateness: self.settings.lateness,
            window,
            report: Report {
                stream: batch.stream.clone(),
                shard: batch.shard.clone(),
                received: batch.len() as u64,
                bytes_received: batch.payload_bytes() as u64,
                ..Report::default()
            },
        };
        let mut done = 0;
        let result = async {
            // Without a row to commit nothing can be doubled, and the lake need not be asked.
            if cells.iter().any(|cell| cell.accepted() > 0) {
                delivery.refresh().await?;
            }
            for cell in &cells {
                delivery.commit(cell).await?;
                done += 1;
            }
            Ok(())
        }
        .await;
        // Whatever became of the rows: those that are committed belong into rollups.
        let rollups = delivery.make_missing_rollups().await;
        let mut report = delivery.report;
        let left = &cells[done..];
        report.handed_back = left.iter().map(|cell| cell.records().len() as u64).sum();
        // An object in the window may hold rows of this batch: without its rollup the batch is not done with.
        let undone = if rollups.is_ok() { left } else { &cells[..] };
        let mut undone: Vec<usize> = undone.iter().flat_map(Cell::records).copied().collect();
        undone.sort_unstable();
        let position = |&index: &usize| batch.record(index).position.to_owned();
        report.failed = !undone.is_empty();
        Outcome {
            failed_from: undone.first().map(position),
            failed: undone.iter().map(position).collect(),
            error: result.and(rollups).err(),
            report,
        }
    }
}

/// One batch on its way.
struct Delivery<'h, L, G> {
    lake: &'h L,
    lineage: &'h G,
    deadline: Instant,
    arrivals: Vec<RangeInclusive<i64>>,
    lateness: Lateness,
    window: &'h mut Window,
    report: Report,
}

impl<L: Lake + Sync, G: Lineage + Sync> Delivery<'_, L, G> {
    async fn refresh(&mut self) -> Result<(), BatchError> {
        let until = self.time_limit()?;
        let refresh = self.window.refresh(self.lake, self.lineage, &self.arrivals);
        let reads = tokio::time::timeout_at(until, refresh)
            .await
            .map_err(|_| BatchError::Deadline)??;
        self.report.window_reads += reads as u64;
        Ok(())
    }

    /// Quarantine first: once the rows are committed, nothing would bring the rejected records back.
    async fn commit(&mut self, cell: &Cell<'_>) -> Result<(), BatchError> {
        if let Some((key, lines)) = cell.quarantine() {
            let until = self.time_limit()?;
            let put = tokio::time::timeout_at(until, self.lake.put(&key, lines));
            put.await.map_err(|_| BatchError::Deadline)??;
        }
        let mut setbacks = Setbacks::default();
        let mut unanswered: Option<(ObjectName, u64)> = None;
        let mut plan = cell.plan(self.window.ids());
        let mut encoded = encode(cell, &plan)?;
        loop {
            let Some(object) = &encoded else {
                // Nothing is left to write. If the create that nobody answered made the object, its rows are ours.
                let ours = unanswered.filter(|(name, _)| self.window.holds(name));
                self.report.add_cell(cell, ours.map_or(0, |(_, rows)| rows));
                return Ok(());
            };
            let name = cell.name(self.window.next_commit(cell.start_ms()));
            let created = self.create(&name, object).await?;
            match setbacks.after_create(created) {
                Decision::Committed => {
                    let bytes = object.body.len() as u64;
                    self.window.add(name.clone(), bytes, cell.ids(&plan));
                    self.report.objects += 1;
                    self.report.bytes_written += bytes;
                    self.report.late += cell.late(&plan, self.lateness);
                    self.report.add_cell(cell, plan.len() as u64);
                    let rollup = cell.rollup(&plan, self.lateness).map_err(encoding_failed)?;
                    // The rows are committed: what fails here is tried again when all cells are done.
                    _ = self.create_rollup(&name, rollup).await;
                    return Ok(());
                }
                Decision::LookAgain { wait_ms } => {
                    tracing::info!(key = name.events_key(), ?created, ?setbacks, "look_again");
                    self.report.conflicts += u64::from(created == Created::AlreadyExists);
                    if created == Created::Unknown {
                        unanswered = Some((name, plan.len() as u64));
                    }
                    tokio::time::sleep(Duration::from_millis(wait_ms)).await;
                    self.refresh().await?;
                }
                Decision::GiveUp => {
                    return Err(BatchError::NotCreated {
                        key: name.events_key(),
                        taken: setbacks.taken,
                        uncertain: setbacks.uncertain,
                    });
                }
            }
            let remaining = cell.plan(self.window.ids());
            if remaining != plan {
                encoded = encode(cell, &remaining)?;
                plan = remaining;
            }
        }
    }

    async fn create(&self, name: &ObjectName, object: &Object) -> Result<Created, BatchError> {
        let until = self.time_limit()?;
        let (key, audit) = (name.events_key(), object.audit.entries());
        let create = self.lake.create(&key, object.body.clone(), &audit);
        match tokio::time::timeout_at(until, create).await {
            Ok(created) => Ok(created?),
            Err(_) => Ok(Created::Unknown),
        }
    }

    /// Creates a rollup, unless somebody else has. The window takes it for missing until it is known to be there.
    async fn create_rollup(&mut self, name: &ObjectName, rollup: Rollup) -> Result<(), BatchError> {
        let until = self.time_limit()?;
        let key = name.rollups_key();
        let create = self.lake.create(&key, rollup.body, &[]);
        if let Ok(created) = tokio::time::timeout_at(until, create).await
            && matches!(created?, Created::Yes | Created::AlreadyExists)
        {
            self.window.has_rollup(name);
        }
        Ok(())
    }

    /// Makes the rollups that objects of the window lack: those that this delivery could not create at once, and those
    /// of deliveries that ended between an object and its rollup.
    async fn make_missing_rollups(&mut self) -> Result<(), BatchError> {
        for _ in 0..commit::MAX_UNCERTAIN {
            if self.window.without_rollup().is_none() {
                return Ok(());
            }
            let until = self.time_limit()?;
            let missing = self.window.missing_rollups(self.lake);
            let missing = tokio::time::timeout_at(until, missing).await;
            for (name, size) in missing.map_err(|_| BatchError::Deadline)?? {
                self.make_rollup(&name, size).await?;
            }
        }
        match self.window.without_rollup() {
            None => Ok(()),
            Some(name) => Err(BatchError::NoRollup {
                key: name.rollups_key(),
            }),
        }
    }

    /// Makes the rollup of an object of `size` bytes that is committed.
    async fn make_rollup(&mut self, name: &ObjectName, size: u64) -> Result<(), BatchError> {
        let until = self.time_limit()?;
        let key = name.events_key();
        let get = tokio::time::timeout_at(until, self.lake.get_suffix(&key, size));
        let Some(object) = get.await.map_err(|_| BatchError::Deadline)?? else {
            // Gone since the listing: expired, or compacted away.
            self.window.has_rollup(name);
            return Ok(());
        };
        let rollup = rollup::of_object(object, self.lateness).map_err(|error| {
            let cause = error.to_string();
            BatchError::Unreadable { key, cause }
        })?;
        tracing::info!(key = name.rollups_key(), "rollup_was_missing");
        self.create_rollup(name, rollup).await
    }

    /// When the request that starts now is cut off; an error if it is too late to start one.
    fn time_limit(&self) -> Result<Instant, BatchError> {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        if remaining <= REQUEST_RESERVE {
            return Err(BatchError::Deadline);
        }
        Ok(self.deadline - ANSWER_RESERVE)
    }
}

fn encode(cell: &Cell<'_>, plan: &Plan) -> Result<Option<Object>, BatchError> {
    cell.encode(plan).map_err(encoding_failed)
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn encoding_failed(error: ParquetError) -> BatchError {
    BatchError::Encode(error.to_string())
}
