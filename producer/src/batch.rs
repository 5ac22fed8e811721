//! What all sinks share: batches that one request can hold, and where their records were stored.

/// What one request may hold (Kinesis API reference, `PutRecords`).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Records.
    pub records: usize,
    /// Bytes of all data and partition keys.
    pub bytes: usize,
}

/// The API takes 10 MiB in a request today, emulators and older regions 5 MiB; 500 ordinary events are far below both.
pub const LIMITS: Limits = Limits {
    records: 500,
    bytes: 5 * 1024 * 1024,
};

/// Collects items into batches that stay within [`Limits`].
#[derive(Debug)]
pub struct Batcher<T> {
    limits: Limits,
    batch: Vec<T>,
    bytes: usize,
}

impl<T> Batcher<T> {
    /// An empty batch.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            batch: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds an item of that many bytes. Returns the batch before it, if the item did not fit in.
    ///
    /// An item that exceeds the limit by itself is batched alone: the API's refusal of it is then its own.
    pub fn push(&mut self, item: T, bytes: usize) -> Option<Vec<T>> {
        let fits =
            self.batch.len() < self.limits.records && self.bytes + bytes <= self.limits.bytes;
        let full = if fits { None } else { self.take() };
        self.batch.push(item);
        self.bytes += bytes;
        full
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// Whether no further record fits in.
    pub fn is_full(&self) -> bool {
        self.batch.len() >= self.limits.records
    }

    /// What was collected so far, unless nothing was.
    pub fn take(&mut self) -> Option<Vec<T>> {
        self.bytes = 0;
        let batch = std::mem::take(&mut self.batch);
        (!batch.is_empty()).then_some(batch)
    }
}

/// Where a record was stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The shard's id, or the partition's number.
    pub shard: String,
    /// The sequence number, or the offset, as the broker writes it.
    pub sequence_number: String,
}
