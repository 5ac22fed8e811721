//! The pure core: the bytes of one shard batch in, Parquet objects and quarantine lines out.
//!
//! ```text
//! event ──decode──▶ records ──parse──▶ rows ──filter──▶ rows ──┐         ┌──▶ encode ──▶ Parquet object, with its audit
//!                              │                 │             ├──plan──▶┤
//!                              ▼                 ▼             │         └──▶ rollup ──▶ Parquet object beside it
//!                          quarantine         counted     cells of the
//!                                                          time grid
//! ```
//!
//! No tokio, no AWS, no clock, no environment: `clippy.toml` bans them. What may differ from one run to the next
//! (the time, the window of committed ids, the hash seed) comes in as an argument.

pub mod commit;
pub mod decode;
pub mod dedupe;
pub mod encode;
pub mod filter;
pub mod layout;
pub mod parse;
pub mod quarantine;
pub mod recover;
pub mod rollup;

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::decode::Batch;
use crate::dedupe::{FirstOnes, IdHash, IdHasher, SeenIds};
use crate::encode::Audit;
use crate::filter::Filter;
use crate::layout::ObjectName;
use crate::parse::{Rejected, Row};
use crate::rollup::{Lateness, Rollup};

/// The records of a batch that arrived in one cell of the time grid, parsed. What it commits is one object.
#[derive(Debug)]
pub struct Cell<'b> {
    batch: &'b Batch<'b>,
    start_ms: i64,
    /// Indices into the batch, ascending.
    records: Vec<usize>,
    rows: Vec<CellRow<'b>>,
    rejected: Vec<(usize, Rejected)>,
    filtered: u64,
}

#[derive(Debug)]
struct CellRow<'b> {
    record: usize,
    id: IdHash,
    row: Row<'b>,
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
    /// What became of the cell's records; also in the Parquet footer.
    pub audit: Audit,
}

/// Parses and filters a batch and sorts it into grid cells, in the order in which they are to be committed.
///
/// This is the part of the flow that no window and no retry changes; [`Cell::plan`] and [`Cell::encode`] follow, and
/// again after a conflict.
pub fn cells<'b>(batch: &'b Batch<'b>, filter: Filter, hasher: IdHasher) -> Vec<Cell<'b>> {
    let mut cells: BTreeMap<i64, Cell> = BTreeMap::new();
    for (index, record) in batch.records().enumerate() {
        let start_ms = layout::cell_start(record.arrival_ms);
        let cell = cells.entry(start_ms).or_insert_with(|| Cell {
            batch,
            start_ms,
            records: Vec::new(),
            rows: Vec::with_capacity(batch.len() - index),
            rejected: Vec::new(),
            filtered: 0,
        });
        cell.records.push(index);
        let parsed = match record.payload {
            Ok(payload) => parse::parse(payload, record.arrival_ms),
            Err(rejected) => Err(rejected.clone()),
        };
        match parsed {
            Ok(row) if filter.drops(&row) => cell.filtered += 1,
            Ok(row) => cell.rows.push(CellRow {
                record: index,
                id: hasher.hash(&row.event_id),
                row,
            }),
            Err(rejected) => cell.rejected.push((index, rejected)),
        }
    }
    cells.into_values().collect()
}

impl Cell<'_> {
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

    /// The latest arrival of a record, in milliseconds since the Unix epoch.
    pub fn last_arrival_ms(&self) -> i64 {
        let arrivals = self
            .records
            .iter()
            .map(|&index| self.batch.record(index).arrival_ms);
        arrivals.max().unwrap_or_default()
    }

    /// How many rows were accepted, duplicates included.
    pub fn accepted(&self) -> usize {
        self.rows.len()
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

    /// Drops the rows whose id the window holds or an earlier row of the cell has.
    pub fn plan(&self, window: &SeenIds) -> Plan {
        let mut first_ones = FirstOnes::new(window, self.rows.len());
        let rows = (0..self.rows.len())
            .filter(|&row| first_ones.is_first(self.rows[row].id))
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
    pub fn encode(&self, plan: &Plan) -> Result<Option<Object>, parquet::errors::ParquetError> {
        if plan.is_empty() {
            return Ok(None);
        }
        let audit = self.audit(plan);
        let rows = plan
            .rows
            .iter()
            .map(|&row| (self.rows[row].record, &self.rows[row].row));
        let body = encode::events(self.batch, rows, &audit)?;
        Ok(Some(Object { body, audit }))
    }

    /// The rollup of the object that commits a plan.
    ///
    /// # Errors
    /// None that input can cause; the Parquet writer's signature has one.
    pub fn rollup(
        &self,
        plan: &Plan,
        lateness: Lateness,
    ) -> Result<Rollup, parquet::errors::ParquetError> {
        rollup::of_events(self.events(plan), lateness)
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
            duplicates: (self.rows.len() - plan.rows.len()) as u64,
            filtered: self.filtered,
            rejected: self.rejected.len() as u64,
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
