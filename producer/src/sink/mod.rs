//! Where records go.

pub mod kinesis;
pub mod redpanda;
pub mod stdout;

use crate::batch::Position;
use crate::generate::{Expected, Record};
use crate::totals::Totals;

/// A destination of records.
#[derive(Debug)]
pub enum Sink {
    /// A Kinesis data stream.
    Kinesis(kinesis::Kinesis),
    /// A topic.
    Redpanda(redpanda::Redpanda),
    /// Standard output, one payload a line.
    Stdout(stdout::Stdout),
}

impl Sink {
    /// Delivers a batch: retries what can be retried, counts what was retried and given up, and returns what was
    /// acknowledged.
    pub async fn deliver(&self, batch: Vec<Record>, totals: &Totals) -> Vec<(Expected, Position)> {
        match self {
            Self::Kinesis(kinesis) => kinesis.deliver(batch, totals).await,
            Self::Redpanda(redpanda) => redpanda.deliver(batch, totals).await,
            Self::Stdout(stdout) => stdout.deliver(&batch, totals),
        }
    }

    /// How many batches may be under way at once, of the number asked for: standard output keeps its order.
    pub fn in_flight(&self, asked: usize) -> usize {
        match self {
            Self::Kinesis(_) | Self::Redpanda(_) => asked,
            Self::Stdout(_) => 1,
        }
    }
}
