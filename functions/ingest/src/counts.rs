//! What became of one batch, in numbers: for the metrics and for its one log line.

use std::collections::BTreeMap;

use pipeline::Cell;

/// Counts of one batch. `received = written + duplicates + filtered + rejected + handed_back`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchCounts {
    /// Stream or topic; empty if the batch was.
    pub stream: String,
    /// Shard id or partition number; empty if the batch was.
    pub shard: String,
    /// Records delivered.
    pub received: u64,
    /// Their payload bytes.
    pub bytes_received: u64,
    /// Rows committed. Where an answer was lost and another delivery committed the very same rows under the same name, both
    /// count them: the audit in the objects is exact, this is a metric.
    pub written: u64,
    /// Bytes of the objects committed.
    pub bytes_written: u64,
    /// Objects committed.
    pub objects: u64,
    /// Rows committed that are late.
    pub late: u64,
    /// Rows whose event id was committed or came before.
    pub duplicates: u64,
    /// Rows dropped on purpose.
    pub filtered: u64,
    /// Records put into quarantine, by the name of the reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// Creates that found an object of their name.
    pub conflicts: u64,
    /// Objects read to bring the window up to date.
    pub window_reads: u64,
    /// Records of cells that are not committed, handed back to Lambda for another delivery.
    pub handed_back: u64,
    /// Whether Lambda was told to deliver again: records were handed back, or a rollup could not be made.
    pub failed: bool,
    /// Arrival of the last record that is done with, in milliseconds since the Unix epoch.
    pub last_arrival_ms: Option<i64>,
}

impl BatchCounts {
    /// Counts a cell of which `written` rows are committed, and the others were before.
    pub fn add_cell(&mut self, cell: &Cell, written: u64) {
        self.written += written;
        self.duplicates += cell.accepted() as u64 - written;
        self.filtered += cell.filtered();
        for (_, rejected) in cell.rejected() {
            *self.rejected.entry(rejected.reason.name()).or_default() += 1;
        }
        self.last_arrival_ms = self.last_arrival_ms.max(Some(cell.last_arrival_ms()));
    }

    /// The counts of one invocation by stream, over its shards; `shard` and `last_arrival_ms` say nothing then.
    pub fn by_stream(counts: &[&Self]) -> Vec<Self> {
        let mut sums: BTreeMap<&str, Self> = BTreeMap::new();
        for of_shard in counts {
            let sum = sums.entry(&of_shard.stream).or_insert_with(|| Self {
                stream: of_shard.stream.clone(),
                ..Self::default()
            });
            sum.add(of_shard);
        }
        sums.into_values().collect()
    }

    fn add(&mut self, other: &Self) {
        self.received += other.received;
        self.bytes_received += other.bytes_received;
        self.written += other.written;
        self.bytes_written += other.bytes_written;
        self.objects += other.objects;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.filtered += other.filtered;
        for (reason, count) in &other.rejected {
            *self.rejected.entry(reason).or_default() += count;
        }
        self.conflicts += other.conflicts;
        self.window_reads += other.window_reads;
        self.handed_back += other.handed_back;
        self.failed |= other.failed;
    }

    /// Records put into quarantine, for any reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Whether every accepted row had been committed before: a delivery that came again.
    pub fn is_redelivery(&self) -> bool {
        self.duplicates > 0 && self.written == 0
    }
}
