//! An event → its batches → their outcomes. Each batch is a [delivery](crate::delivery).

use events::Contract;
use futures::StreamExt;
use pipeline::decode::{self, Batch, EnvelopeError};
use pipeline::dedupe::IdHasher;
use tokio::time::Instant;

use crate::delivery::{self, Shared};
pub use crate::delivery::{Outcome, Settings};
use crate::lake::Lake;
use crate::lineage::Lineage;
use crate::window::{Budget, Windows};

/// Partitions of one Kafka event under way at once: each may read as many objects again at once.
const CONCURRENT_PARTITIONS: usize = 8;

/// Carries batches into a lake; one per execution environment.
#[derive(Debug)]
pub struct Handler<L, G> {
    shared: Shared<L, G>,
    windows: Windows,
}

impl<L: Lake + Sync, G: Lineage + Sync> Handler<L, G> {
    /// `hash_seed` should be random: it keeps producers from choosing ids and devices that collide.
    pub fn new(
        lake: L,
        lineage: G,
        contract: Contract,
        settings: Settings,
        hash_seed: u64,
    ) -> Self {
        let hasher = IdHasher::new(hash_seed);
        let budget = Budget::of_function(settings.memory_mb);
        Self {
            shared: Shared {
                lake,
                lineage,
                contract,
                settings,
                hasher,
                hash_seed,
            },
            windows: Windows::new(hasher, budget),
        }
    }

    /// Carries one Kinesis event, which is one batch, into the lake before `deadline`.
    ///
    /// # Errors
    /// Only if the event is not one that Lambda makes. Everything else is in the [`Outcome`]s.
    pub async fn kinesis(
        &mut self,
        event: &[u8],
        deadline: Instant,
    ) -> Result<Vec<Outcome>, EnvelopeError> {
        let batch = decode::kinesis(event)?;
        Ok(self.deliver(&[&batch], deadline).await)
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
        Ok(self.deliver(&batches, deadline).await)
    }

    async fn deliver(&mut self, batches: &[&Batch<'_>], deadline: Instant) -> Vec<Outcome> {
        let windows = self.windows.of_shards(batches);
        let mut deliveries = Vec::with_capacity(batches.len());
        for (batch, window) in batches.iter().zip(windows) {
            deliveries.push(delivery::deliver(&self.shared, batch, window, deadline));
        }
        futures::stream::iter(deliveries)
            .buffered(CONCURRENT_PARTITIONS)
            .collect()
            .await
    }
}
