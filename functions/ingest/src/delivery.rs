//! One batch on its way into the lake. The decisions are [`pipeline::commit`]'s; this does the I/O.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use events::Contract;
use parquet::errors::ParquetError;
use pipeline::cell;
use pipeline::commit::{self, Created, Decision, Setbacks};
use pipeline::decode::Batch;
use pipeline::dedupe::{self, IdHasher};
use pipeline::filter::Filter;
use pipeline::layout::ObjectName;
use pipeline::rollup::{self, Lateness, Rollup};
use pipeline::{Cell, Object, Plan};
use tokio::time::Instant;

use crate::counts::BatchCounts;
use crate::error::BatchError;
use crate::lake::Lake;
use crate::lineage::Lineage;
use crate::window::Window;

/// A request to the lake starts only with more time left than this.
const REQUEST_RESERVE: Duration = Duration::from_secs(1);
/// What remains for metrics and answer when a request is cut off.
const ANSWER_RESERVE: Duration = Duration::from_millis(250);

/// How a handler works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// What is dropped on purpose.
    pub filter: Filter,
    /// When an event counts as late.
    pub lateness: Lateness,
    /// How far apart in arrival time two records of one id may lie and still be recognised, in milliseconds.
    pub horizon_ms: i64,
    /// Memory of the function, in megabytes (2^20 bytes).
    pub memory_mb: u64,
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
    pub counts: BatchCounts,
}

/// What all deliveries of an environment share.
#[derive(Debug)]
pub(crate) struct Shared<L, G> {
    pub(crate) lake: L,
    pub(crate) lineage: G,
    pub(crate) contract: Contract,
    pub(crate) settings: Settings,
    pub(crate) hasher: IdHasher,
    pub(crate) hash_seed: u64,
}

/// One batch on its way.
struct Delivery<'h, L, G> {
    shared: &'h Shared<L, G>,
    deadline: Instant,
    /// Of the cells that have rows to commit.
    arrivals: Vec<RangeInclusive<i64>>,
    window: &'h mut Window,
    counts: BatchCounts,
}

/// A create that nobody answered.
#[derive(PartialEq)]
struct Unanswered {
    name: ObjectName,
    plan: Plan,
    bytes: u64,
}

/// Commits what is new of a batch, as far as the deadline and the lake let it.
pub(crate) async fn deliver<L: Lake + Sync, G: Lineage + Sync>(
    shared: &Shared<L, G>,
    batch: &Batch<'_>,
    window: &mut Window,
    deadline: Instant,
) -> Outcome {
    let cells = pipeline::cells(
        batch,
        &shared.contract,
        shared.settings.filter,
        shared.hasher,
    );
    // A rejected record's arrival may be no time at all, and nothing is looked for on its account.
    let with_rows = || cells.iter().filter(|cell| cell.accepted() > 0);
    window.note_arrivals(with_rows().map(Cell::last_arrival_ms));
    let arrivals = with_rows().flat_map(Cell::arrivals_ms);
    let delivery = Delivery {
        shared,
        deadline,
        arrivals: dedupe::window_arrivals(arrivals, shared.settings.horizon_ms),
        window,
        counts: BatchCounts {
            stream: batch.stream.clone(),
            shard: batch.shard.clone(),
            received: batch.len() as u64,
            bytes_received: batch.payload_bytes() as u64,
            ..BatchCounts::default()
        },
    };
    delivery.run(batch, &cells).await
}

impl<L: Lake + Sync, G: Lineage + Sync> Delivery<'_, L, G> {
    async fn run(mut self, batch: &Batch<'_>, cells: &[Cell<'_>]) -> Outcome {
        let mut committed = BTreeSet::new();
        let result = self.commit_all(cells, &mut committed).await;
        let left = cells
            .iter()
            .filter(|cell| !committed.contains(&cell.start_ms()));
        self.counts.handed_back = left.map(|cell| cell.records().len() as u64).sum();
        // Whatever became of the rows: those that are committed belong into rollups.
        let rollups = self.make_missing_rollups().await;
        if rollups.is_err() {
            // An object in the window may hold rows of this batch: without its rollup the batch is not done with.
            committed.clear();
        }
        let failed: Vec<String> = cell::not_done(cells, &committed)
            .into_iter()
            .map(|index| batch.record(index).position.to_owned())
            .collect();
        self.counts.failed = !failed.is_empty();
        Outcome {
            failed_from: failed.first().cloned(),
            failed,
            error: result.and(rollups).err(),
            counts: self.counts,
        }
    }

    /// Commits the cells in order; `committed` has the starts of those that are.
    async fn commit_all(
        &mut self,
        cells: &[Cell<'_>],
        committed: &mut BTreeSet<i64>,
    ) -> Result<(), BatchError> {
        // Without a row to commit nothing can be doubled, and the lake need not be asked.
        if !self.arrivals.is_empty() {
            self.refresh().await?;
        }
        for cell in cells {
            self.commit(cell).await?;
            committed.insert(cell.start_ms());
        }
        Ok(())
    }

    async fn refresh(&mut self) -> Result<(), BatchError> {
        let until = self.time_limit()?;
        let Shared { lake, lineage, .. } = self.shared;
        let refresh = self.window.refresh(lake, lineage, &self.arrivals);
        let reads = tokio::time::timeout_at(until, refresh)
            .await
            .map_err(|_| BatchError::Deadline)??;
        self.counts.window_reads += reads as u64;
        Ok(())
    }

    /// Quarantine first: once the rows are committed, nothing would bring the rejected records back.
    async fn commit(&mut self, cell: &Cell<'_>) -> Result<(), BatchError> {
        if let Some((key, lines)) = cell.quarantine() {
            self.quarantine(&key, lines).await?;
        }
        let mut setbacks = Setbacks::default();
        let mut unanswered = Vec::new();
        let mut written = 0;
        let mut plan = cell.plan(self.window.ids());
        let mut encoded = encode(cell, &plan)?;
        while let Some(object) = &encoded {
            let name = cell.name(self.window.next_commit(cell.start_ms()));
            let created = self.create(&name, object).await?;
            match setbacks.after_create(created) {
                Decision::Committed => {
                    let bytes = object.body.len() as u64;
                    self.window.add(name.clone(), bytes, cell.ids(&plan));
                    written += self.count_object(cell, &plan, bytes);
                    let rollup = self.rollup(cell, &plan)?;
                    // The rows are committed: what fails here is tried again when all cells are done.
                    _ = self.create_rollup(&name, rollup).await;
                    break;
                }
                Decision::LookAgain { wait_ms } => {
                    tracing::info!(key = name.events_key(), ?created, ?setbacks, "look_again");
                    self.counts.conflicts += u64::from(created == Created::AlreadyExists);
                    let bytes = object.body.len() as u64;
                    self.wait(wait_ms).await?;
                    self.refresh().await?;
                    let remaining = cell.plan(self.window.ids());
                    if remaining != plan {
                        encoded = encode(cell, &remaining)?;
                    }
                    let plan = std::mem::replace(&mut plan, remaining);
                    let create = Unanswered { name, plan, bytes };
                    if created == Created::Unknown && !unanswered.contains(&create) {
                        unanswered.push(create);
                    }
                    written += self.count_answered(cell, &mut unanswered);
                }
                Decision::HandBack => {
                    return Err(BatchError::NotCreated {
                        key: name.events_key(),
                        taken: setbacks.taken,
                        uncertain: setbacks.uncertain,
                    });
                }
            }
        }
        self.counts.add_cell(cell, written);
        Ok(())
    }

    /// Counts what a committed object holds; returns its rows.
    fn count_object(&mut self, cell: &Cell<'_>, plan: &Plan, bytes: u64) -> u64 {
        self.counts.objects += 1;
        self.counts.bytes_written += bytes;
        self.counts.late += cell.late(plan, self.shared.settings.lateness);
        plan.len() as u64
    }

    /// Counts the objects that the lake has by now though nobody answered: ours, if they hold the very rows. Returns
    /// their rows.
    fn count_answered(&mut self, cell: &Cell<'_>, unanswered: &mut Vec<Unanswered>) -> u64 {
        let window = &*self.window;
        let answered: Vec<_> = unanswered
            .extract_if(.., |create| {
                let held = window.ids_of(&create.name);
                held.is_some_and(|held| held.iter().copied().eq(cell.ids(&create.plan)))
            })
            .collect();
        let rows = answered
            .iter()
            .map(|create| self.count_object(cell, &create.plan, create.bytes));
        rows.sum()
    }

    /// Its name says what the object holds, so one that is there already is the same.
    async fn quarantine(&mut self, key: &str, lines: Bytes) -> Result<(), BatchError> {
        let mut setbacks = Setbacks::default();
        loop {
            let created = self.create_within_deadline(key, lines.clone(), &[]).await?;
            if matches!(created, Created::Yes | Created::AlreadyExists) {
                return Ok(());
            }
            match setbacks.after_create(created) {
                Decision::LookAgain { wait_ms } => {
                    self.wait(wait_ms).await?;
                }
                Decision::Committed | Decision::HandBack => {
                    return Err(BatchError::NotQuarantined {
                        key: key.to_owned(),
                        uncertain: setbacks.uncertain,
                    });
                }
            }
        }
    }

    async fn create(&self, name: &ObjectName, object: &Object) -> Result<Created, BatchError> {
        let audit = object.audit.entries();
        self.create_within_deadline(&name.events_key(), object.body.clone(), &audit)
            .await
    }

    async fn create_within_deadline(
        &self,
        key: &str,
        body: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<Created, BatchError> {
        let until = self.time_limit()?;
        let create = self.shared.lake.create(key, body, metadata);
        match tokio::time::timeout_at(until, create).await {
            Ok(created) => Ok(created?),
            Err(_) => Ok(Created::Unknown),
        }
    }

    fn rollup(&self, cell: &Cell<'_>, plan: &Plan) -> Result<Rollup, BatchError> {
        cell.rollup(plan, self.shared.settings.lateness, self.shared.hash_seed)
            .map_err(encoding_failed)
    }

    /// Creates a rollup, unless somebody else has. The window takes it for missing until it is known to be there.
    async fn create_rollup(&mut self, name: &ObjectName, rollup: Rollup) -> Result<(), BatchError> {
        let key = name.rollups_key();
        let created = self.create_within_deadline(&key, rollup.body, &[]).await?;
        if matches!(created, Created::Yes | Created::AlreadyExists) {
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
            let missing = self.window.missing_rollups(&self.shared.lake);
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
        let get = tokio::time::timeout_at(until, self.shared.lake.get_suffix(&key, size));
        let Some(object) = get.await.map_err(|_| BatchError::Deadline)?? else {
            // Gone since the listing: expired, or compacted away.
            self.window.has_rollup(name);
            return Ok(());
        };
        let Shared {
            settings,
            hash_seed,
            ..
        } = self.shared;
        let rollup = rollup::of_object(object, settings.lateness, *hash_seed).map_err(|error| {
            let cause = error.to_string();
            BatchError::Unreadable { key, cause }
        })?;
        tracing::info!(key = name.rollups_key(), "rollup_was_missing");
        self.create_rollup(name, rollup).await
    }

    /// Waits before another request, unless there is no time for it: a create that was cut off leaves less than the wait
    /// that follows it.
    async fn wait(&self, wait_ms: u64) -> Result<(), BatchError> {
        self.time_limit()?;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        Ok(())
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
