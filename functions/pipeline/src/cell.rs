//! A batch, parsed and sorted into the cells of the time grid: what one object commits.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use events::Contract;
use foldhash::fast::FixedState;
use parquet::errors::ParquetError;

use crate::decode::Batch;
use crate::dedupe::{IdHash, IdHasher, SeenIds};
use crate::encode::{self, Audit};
use crate::filter::Filter;
use crate::layout::{self, ObjectName};
use crate::parse::{Parser, Rejected, Row};
use crate::quarantine;
use crate::rollup::{self, Lateness, Rollup};

/// The records of a batch that arrived in one cell of the time grid, parsed. What it commits is one object.
#[derive(Debug)]
pub struct Cell<'b> {
    batch: &'b Batch<'b>,
    contract: &'b Contract,
    start_ms: i64,
    /// Indices into the batch, ascending.
    records: Vec<usize>,
    /// The first rows of their ids in the batch.
    rows: Vec<CellRow<'b>>,
    copies: Vec<Copy>,
    rejected: Vec<(usize, Rejected)>,
    filtered: u64,
}

#[derive(Debug)]
struct CellRow<'b> {
    record: usize,
    id: IdHash,
    row: Row<'b>,
}

/// An accepted record whose event id came earlier in the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Copy {
    record: usize,
    /// Start of the cell that has the first row of the id.
    first_cell_ms: i64,
}

/// Which rows of a cell are new, given a window.
#[derive(Debug, PartialEq)]
pub struct Plan {
    /// Indices into the cell's rows, ascending.
    rows: Vec<usize>,
}

/// What a cell commits.
#[derive(Clone, Debug)]
pub struct Object {
    /// Parquet.
    pub body: Bytes,
    /// The counts of the cell's records; also in the Parquet footer.
    pub audit: Audit,
}

/// Parses and filters a batch and sorts it into grid cells, in the order of their first records, in which they are to
/// be committed.
///
/// The first row of an id is chosen here, over the whole batch and by position, because arrivals can step back: were
/// it chosen in each cell, a copy in an earlier cell could be committed while another delivery commits the first row.
///
/// This is the part of the flow that no window and no retry changes; [`Cell::plan`] and [`Cell::encode`] follow, and
/// again after a conflict.
pub fn cells<'b>(
    batch: &'b Batch<'b>,
    contract: &'b Contract,
    filter: Filter,
    hasher: IdHasher,
) -> Vec<Cell<'b>> {
    let mut parser = Parser::new(contract);
    let mut cells: Vec<Cell> = Vec::new();
    let mut places: BTreeMap<i64, usize> = BTreeMap::new();
    let mut first_cells: HashMap<IdHash, i64, FixedState> =
        HashMap::with_capacity_and_hasher(batch.len(), FixedState::default());
    for (index, record) in batch.records().enumerate() {
        let start_ms = layout::cell_start(record.arrival_ms);
        let place = *places.entry(start_ms).or_insert(cells.len());
        if place == cells.len() {
            // Nearly every batch has one cell; many cells must not reserve for all of the batch each.
            let rows = if cells.is_empty() { batch.len() } else { 0 };
            cells.push(Cell::new(batch, contract, start_ms, rows));
        }
        let cell = &mut cells[place];
        cell.records.push(index);
        let parsed = match record.payload {
            Ok(payload) => parser.parse(payload, record.arrival_ms),
            Err(rejected) => Err(rejected.clone()),
        };
        match parsed {
            Ok(row) if filter.drops(&row) => cell.filtered += 1,
            Ok(row) => {
                let id = hasher.hash(&row.event_id);
                match first_cells.entry(id) {
                    Entry::Vacant(vacant) => {
                        vacant.insert(start_ms);
                        cell.rows.push(CellRow {
                            record: index,
                            id,
                            row,
                        });
                    }
                    Entry::Occupied(first) => cell.copies.push(Copy {
                        record: index,
                        first_cell_ms: *first.get(),
                    }),
                }
            }
            Err(rejected) => cell.rejected.push((index, rejected)),
        }
    }
    cells
}

/// The records, as ascending indices into the batch, that a delivery is not done with when the cells that start at
/// `committed` are committed: those of the other cells, and copies whose first row lies in one of these. A copy
/// that counted as done without its first row could be delivered no more when that row is given up, and the event
/// would be lost.
pub fn not_done(cells: &[Cell], committed: &BTreeSet<i64>) -> Vec<usize> {
    let mut records: Vec<usize> = cells
        .iter()
        .flat_map(|cell| cell.not_done(committed))
        .collect();
    records.sort_unstable();
    records
}

impl<'b> Cell<'b> {
    fn new(batch: &'b Batch<'b>, contract: &'b Contract, start_ms: i64, rows: usize) -> Self {
        Self {
            batch,
            contract,
            start_ms,
            records: Vec::with_capacity(rows),
            rows: Vec::with_capacity(rows),
            copies: Vec::new(),
            rejected: Vec::new(),
            filtered: 0,
        }
    }

    fn not_done(&self, committed: &BTreeSet<i64>) -> Vec<usize> {
        if !committed.contains(&self.start_ms) {
            return self.records.clone();
        }
        let waiting = self
            .copies
            .iter()
            .filter(|copy| !committed.contains(&copy.first_cell_ms));
        waiting.map(|copy| copy.record).collect()
    }

    /// Indices in the batch of the cell's records, ascending.
    pub fn records(&self) -> &[usize] {
        &self.records
    }

    /// The rejected records: index in the batch and reason.
    pub fn rejected(&self) -> &[(usize, Rejected)] {
        &self.rejected
    }

    /// How many rows were dropped on purpose.
    pub fn filtered(&self) -> u64 {
        self.filtered
    }

    /// When the records arrived, in milliseconds since the Unix epoch.
    pub fn arrivals_ms(&self) -> impl Iterator<Item = i64> {
        let records = self.records.iter();
        records.map(|&index| self.batch.record(index).arrival_ms)
    }

    /// The latest arrival of a record, in milliseconds since the Unix epoch.
    pub fn last_arrival_ms(&self) -> i64 {
        self.arrivals_ms().max().unwrap_or_default()
    }

    /// How many rows were accepted, duplicates included.
    pub fn accepted(&self) -> usize {
        self.rows.len() + self.copies.len()
    }

    /// Start of the cell on the time grid, in milliseconds since the Unix epoch.
    pub fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// The name of the object at a place of the cell's log.
    pub fn name(&self, commit: u32) -> ObjectName {
        ObjectName {
            stream: self.batch.stream.clone(),
            shard: self.batch.shard.clone(),
            cell_start_ms: self.start_ms,
            commit,
        }
    }

    /// Drops the rows whose id the window holds.
    pub fn plan(&self, window: &SeenIds) -> Plan {
        let rows = (0..self.rows.len())
            .filter(|&row| !window.contains(self.rows[row].id))
            .collect();
        Plan { rows }
    }

    /// The ids of the planned rows.
    pub fn ids<'p>(&'p self, plan: &'p Plan) -> impl Iterator<Item = IdHash> + 'p {
        plan.rows.iter().map(|&row| self.rows[row].id)
    }

    /// The object that commits a plan; `None` if no row is new.
    ///
    /// # Errors
    /// None that input can cause; the Parquet writer's signature has one.
    pub fn encode(&self, plan: &Plan) -> Result<Option<Object>, ParquetError> {
        if plan.is_empty() {
            return Ok(None);
        }
        let audit = self.audit(plan);
        let rows = plan
            .rows
            .iter()
            .map(|&row| (self.rows[row].record, &self.rows[row].row));
        let body = encode::events(self.batch, self.contract, rows, &audit)?;
        Ok(Some(Object { body, audit }))
    }

    /// The rollup of the object that commits a plan. For `hash_seed` see [`rollup::of_events`].
    ///
    /// # Errors
    /// None that input can cause; the Parquet writer's signature has one.
    pub fn rollup(
        &self,
        plan: &Plan,
        lateness: Lateness,
        hash_seed: u64,
    ) -> Result<Rollup, ParquetError> {
        rollup::of_events(self.events(plan), lateness, hash_seed)
    }

    /// How many of the planned rows are late.
    pub fn late(&self, plan: &Plan, lateness: Lateness) -> u64 {
        self.events(plan)
            .filter(|event| lateness.is_late(event.event_time_us, event.arrival_ms))
            .count() as u64
    }

    fn events<'p>(&'p self, plan: &'p Plan) -> impl Iterator<Item = rollup::Event<'p>> {
        plan.rows.iter().map(|&row| {
            let CellRow { record, row, .. } = &self.rows[row];
            rollup::Event {
                event_time_us: row.event_time_us,
                arrival_ms: self.batch.record(*record).arrival_ms,
                device_id: &row.device_id,
                device_type: &row.device_type,
                event_duration: row.event_duration,
                value: row.value,
            }
        })
    }

    /// The rejected records as one quarantine object: its key and its JSON lines. `None` if nothing was rejected.
    pub fn quarantine(&self) -> Option<(String, Bytes)> {
        quarantine::object(self.batch, &self.rejected)
    }

    fn audit(&self, plan: &Plan) -> Audit {
        let position = |index: Option<&usize>| {
            index
                .map(|&index| self.batch.record(index).position.to_owned())
                .unwrap_or_default()
        };
        Audit {
            first_position: position(self.records.first()),
            last_position: position(self.records.last()),
            received: self.records.len() as u64,
            written: plan.rows.len() as u64,
            duplicates: (self.accepted() - plan.rows.len()) as u64,
            filtered: self.filtered,
            rejected: self.rejected.len() as u64,
            contract: self.contract.hash().to_owned(),
        }
    }
}

impl Plan {
    /// How many rows are new.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is new.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}
