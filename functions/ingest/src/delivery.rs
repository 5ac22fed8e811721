//! One batch on its way into the lake. The decisions are [`pipeline::commit`]'s; this does the I/O, and what it computes
//! it computes while a request is under way.

mod requests;
mod rollups;

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use bytes::Bytes;
use events::Contract;
use futures::FutureExt;
use futures::future::{Either, join, select};
use parquet::errors::ParquetError;
use pipeline::cell;
use pipeline::commit::{Created, Decision, Setbacks};
use pipeline::decode::Batch;
use pipeline::dedupe::{self, IdHasher};
use pipeline::filter::Filter;
use pipeline::layout::ObjectName;
use pipeline::rollup::Lateness;
use pipeline::{Cell, Object, Plan};
use tokio::time::Instant;

use crate::counts::BatchCounts;
use crate::error::BatchError;
use crate::lake::Lake;
use crate::lineage::Lineage;
use crate::window::{Listing, Window};

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
#[derive(Debug)]
pub(crate) struct Delivery<'h, L, G> {
    shared: &'h Shared<L, G>,
    deadline: Instant,
    batch: &'h Batch<'h>,
    window: &'h mut Window,
    cells: Vec<Cell<'h>>,
    /// Starts of the cells that are committed.
    committed: BTreeSet<i64>,
    /// Why not all are.
    result: Result<(), BatchError>,
    /// Of the objects that this delivery has committed.
    rollups: Vec<(ObjectName, Bytes)>,
    counts: BatchCounts,
}

/// What a cell commits, unless the lake turns out to hold some of it.
struct Prepared {
    plan: Plan,
    object: Option<Object>,
}

/// The cells, what the first of them commits, the arrivals around which the lake was looked at, and what it listed.
type LookedAndPrepared<'h> = (
    Vec<Cell<'h>>,
    Option<Result<Prepared, BatchError>>,
    Vec<RangeInclusive<i64>>,
    Option<Result<Listing, BatchError>>,
);

/// A create that nobody answered.
#[derive(PartialEq)]
struct Unanswered {
    name: ObjectName,
    plan: Plan,
    bytes: u64,
}

impl<'h, L: Lake + Sync, G: Lineage + Sync> Delivery<'h, L, G> {
    pub(crate) fn new(
        shared: &'h Shared<L, G>,
        batch: &'h Batch<'h>,
        window: &'h mut Window,
        deadline: Instant,
    ) -> Self {
        Self {
            shared,
            deadline,
            batch,
            window,
            cells: Vec::new(),
            committed: BTreeSet::new(),
            result: Ok(()),
            rollups: Vec::new(),
            counts: BatchCounts {
                stream: batch.stream.clone(),
                shard: batch.shard.clone(),
                received: batch.len() as u64,
                bytes_received: batch.payload_bytes() as u64,
                ..BatchCounts::default()
            },
        }
    }

    /// The counts; complete once the rows are committed, but for a rollup that cannot be made.
    pub(crate) fn counts(&self) -> &BatchCounts {
        &self.counts
    }

    /// Commits what is new of the batch, as far as the deadline and the lake let it.
    pub(crate) async fn commit_rows(&mut self) {
        self.result = self.commit_all().await;
        let left = self.cells.iter();
        let left = left.filter(|cell| !self.committed.contains(&cell.start_ms()));
        self.counts.handed_back = left.map(|cell| cell.records().len() as u64).sum();
        self.counts.failed = self.counts.handed_back > 0;
    }

    /// Makes the rollups, whatever became of the rows: those that are committed belong into one.
    pub(crate) async fn finish(mut self) -> Outcome {
        let rollups = self.make_rollups().await;
        if rollups.is_err() {
            // An object in the window may hold rows of this batch: without its rollup the batch is not done with.
            self.committed.clear();
        }
        let failed: Vec<String> = cell::not_done(&self.cells, &self.committed)
            .into_iter()
            .map(|index| self.batch.record(index).position.to_owned())
            .collect();
        self.counts.failed = !failed.is_empty();
        Outcome {
            failed_from: failed.first().cloned(),
            failed,
            error: self.result.and(rollups).err(),
            counts: self.counts,
        }
    }

    async fn commit_all(&mut self) -> Result<(), BatchError> {
        let (cells, prepared, arrivals, listing) = self.look_and_prepare().await;
        let with_rows = cells.iter().filter(|cell| cell.accepted() > 0);
        self.window
            .note_arrivals(with_rows.map(Cell::last_arrival_ms));
        let result = match listing.transpose() {
            Ok(listing) => {
                self.commit_cells(&cells, prepared, listing, &arrivals)
                    .await
            }
            Err(error) => Err(error),
        };
        self.cells = cells;
        result
    }

    /// Looks at the lake while the batch is parsed, and the first cell, nearly always the only one, is encoded as if
    /// there were nothing new to see.
    async fn look_and_prepare(&self) -> LookedAndPrepared<'h> {
        let horizon_ms = self.shared.settings.horizon_ms;
        let arrivals = dedupe::window_arrivals(arrivals_ms(self.batch), horizon_ms);
        if arrivals.len() > 1 {
            // Rejected records must not widen the window, and which are, nobody knows yet.
            let (cells, prepared) = self.prepare().await;
            let with_rows = cells.iter().filter(|cell| cell.accepted() > 0);
            let arrivals = with_rows.flat_map(Cell::arrivals_ms);
            let arrivals = dedupe::window_arrivals(arrivals, horizon_ms);
            let listing = self.look(&arrivals).await;
            return (cells, prepared, arrivals, Some(listing));
        }
        let look = self.look(&arrivals).boxed();
        let (listing, (cells, prepared)) = match select(look, self.prepare().boxed()).await {
            Either::Left((listing, prepare)) => (Some(listing), prepare.await),
            // Without a row to commit nothing can be doubled, and the lake need not answer.
            Either::Right((prepared, _)) if !has_rows(&prepared.0) => (None, prepared),
            Either::Right((prepared, look)) => (Some(look.await), prepared),
        };
        let listing = listing.filter(|_| has_rows(&cells));
        (cells, prepared, arrivals, listing)
    }

    /// Commits the cells in order.
    async fn commit_cells(
        &mut self,
        cells: &[Cell<'h>],
        mut first: Option<Result<Prepared, BatchError>>,
        listing: Option<Listing>,
        arrivals: &[RangeInclusive<i64>],
    ) -> Result<(), BatchError> {
        if let Some(listing) = listing {
            self.take(listing).await?;
        }
        for cell in cells {
            let prepared = match first.take() {
                Some(prepared) => prepared?,
                None => self.prepare_cell(cell).await?,
            };
            self.commit(cell, prepared, arrivals).await?;
            self.committed.insert(cell.start_ms());
        }
        Ok(())
    }

    async fn prepare(&self) -> (Vec<Cell<'h>>, Option<Result<Prepared, BatchError>>) {
        on_its_way().await;
        let Shared {
            contract,
            settings,
            hasher,
            ..
        } = self.shared;
        let cells = pipeline::cells(self.batch, contract, settings.filter, *hasher);
        let first = match cells.first() {
            Some(cell) => Some(self.prepare_cell(cell).await),
            None => None,
        };
        (cells, first)
    }

    /// Quarantine first: once the rows are committed, nothing would bring the rejected records back.
    async fn prepare_cell(&self, cell: &Cell<'_>) -> Result<Prepared, BatchError> {
        let quarantine = self.quarantine(cell.quarantine()).boxed();
        let (quarantined, prepared) = join(quarantine, self.encode(cell).boxed()).await;
        quarantined.and(prepared)
    }

    async fn encode(&self, cell: &Cell<'_>) -> Result<Prepared, BatchError> {
        on_its_way().await;
        let plan = cell.plan(self.window.ids());
        let object = encode(cell, &plan)?;
        Ok(Prepared { plan, object })
    }

    async fn look(&self, arrivals: &[RangeInclusive<i64>]) -> Result<Listing, BatchError> {
        let until = self.time_limit()?;
        let Shared { lake, lineage, .. } = self.shared;
        let look = self.window.look(lake, lineage, arrivals);
        let listing = tokio::time::timeout_at(until, look).await;
        listing.map_err(|_| BatchError::Deadline)?
    }

    async fn take(&mut self, listing: Listing) -> Result<(), BatchError> {
        let until = self.time_limit()?;
        let take = self.window.take(&self.shared.lake, listing);
        let reads = tokio::time::timeout_at(until, take)
            .await
            .map_err(|_| BatchError::Deadline)??;
        self.counts.window_reads += reads as u64;
        Ok(())
    }

    async fn commit(
        &mut self,
        cell: &Cell<'_>,
        mut prepared: Prepared,
        arrivals: &[RangeInclusive<i64>],
    ) -> Result<(), BatchError> {
        let mut setbacks = Setbacks::default();
        let mut unanswered = Vec::new();
        let mut written = 0;
        self.plan_again(cell, &mut prepared)?;
        while let Some(object) = &prepared.object {
            let name = cell.name(self.window.next_commit(cell.start_ms()));
            let bytes = object.body.len() as u64;
            let create = self.create(&name, object).boxed();
            let rollup = self.rollup(cell, &prepared.plan).boxed();
            let (created, rollup) = join(create, rollup).await;
            let created = created?;
            match setbacks.after_create(created) {
                Decision::Committed => {
                    let ids = cell.ids(&prepared.plan);
                    self.window.add(name.clone(), bytes, ids);
                    written += self.count_object(cell, &prepared.plan, bytes);
                    self.rollups.push((name, rollup?));
                    break;
                }
                Decision::LookAgain { wait_ms } => {
                    tracing::info!(key = name.events_key(), ?created, ?setbacks, "look_again");
                    self.counts.conflicts += u64::from(created == Created::AlreadyExists);
                    self.wait(wait_ms).await?;
                    let listing = self.look(arrivals).await?;
                    self.take(listing).await?;
                    let plan = self.plan_again(cell, &mut prepared)?;
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

    /// Leaves out what the window holds by now; returns the plan of before.
    fn plan_again(&self, cell: &Cell<'_>, prepared: &mut Prepared) -> Result<Plan, BatchError> {
        let plan = cell.plan(self.window.ids());
        if plan != prepared.plan {
            prepared.object = encode(cell, &plan)?;
        }
        Ok(std::mem::replace(&mut prepared.plan, plan))
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

    async fn create(&self, name: &ObjectName, object: &Object) -> Result<Created, BatchError> {
        let audit = object.audit.entries();
        self.create_within_deadline(&name.events_key(), object.body.clone(), &audit)
            .await
    }

    async fn rollup(&self, cell: &Cell<'_>, plan: &Plan) -> Result<Bytes, BatchError> {
        on_its_way().await;
        let Settings { lateness, .. } = self.shared.settings;
        let rollup = cell.rollup(plan, lateness, self.shared.hash_seed);
        Ok(rollup.map_err(encoding_failed)?.body)
    }
}

/// Lets a request that has just begun be sent before the processor is taken for milliseconds.
async fn on_its_way() {
    tokio::task::yield_now().await;
}

/// When the records arrived; that of a rejected one may be no time at all.
fn arrivals_ms(batch: &Batch<'_>) -> impl Iterator<Item = i64> {
    let records = batch.records();
    let records = records.filter(|record| record.payload.is_ok());
    records.map(|record| record.arrival_ms)
}

fn has_rows(cells: &[Cell<'_>]) -> bool {
    cells.iter().any(|cell| cell.accepted() > 0)
}

fn encode(cell: &Cell<'_>, plan: &Plan) -> Result<Option<Object>, BatchError> {
    cell.encode(plan).map_err(encoding_failed)
}

#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err")]
fn encoding_failed(error: ParquetError) -> BatchError {
    BatchError::Encode(error.to_string())
}
