//! An event → its batches → their outcomes. Each batch is a [delivery](crate::delivery).

use events::Contract;
use futures::{FutureExt, StreamExt};
use pipeline::decode::Batch;
use pipeline::dedupe::IdHasher;
use tokio::time::Instant;

use crate::counts::BatchCounts;
use crate::delivery::{Delivery, Shared};
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

    /// Begins the deliveries of the batches of one event, no two of which are of one shard, which end before `deadline`.
    pub fn begin<'h>(
        &'h mut self,
        batches: &'h [Batch<'h>],
        deadline: Instant,
    ) -> Deliveries<'h, L, G> {
        let windows = self.windows.of_shards(batches).into_iter();
        let deliveries = batches.iter().zip(windows);
        let deliveries = deliveries
            .map(|(batch, window)| Delivery::new(&self.shared, batch, window, deadline))
            .collect();
        Deliveries(deliveries)
    }
}

/// The batches of one event on their way into the lake: at the same time, each on its own. One that fails holds up no
/// other.
#[derive(Debug)]
pub struct Deliveries<'h, L, G>(Vec<Delivery<'h, L, G>>);

impl<L: Lake + Sync, G: Lineage + Sync> Deliveries<'_, L, G> {
    /// Commits the rows, as far as deadline and lake let it.
    pub async fn commit_rows(&mut self) {
        let mut commits = Vec::with_capacity(self.0.len());
        for delivery in &mut self.0 {
            commits.push(delivery.commit_rows().boxed());
        }
        at_once(commits).await;
    }

    /// Both steps, for whoever has nothing to do between them.
    pub async fn deliver(mut self) -> Vec<Outcome> {
        self.commit_rows().await;
        self.finish().await
    }

    /// The counts of each batch; complete once the rows are committed, but for rollups that cannot be made.
    pub fn counts(&self) -> Vec<BatchCounts> {
        self.0.iter().map(|one| one.counts().clone()).collect()
    }

    /// Makes the rollups of what is committed. Everything that went wrong is in the [`Outcome`]s, in the order of the
    /// batches.
    pub async fn finish(self) -> Vec<Outcome> {
        let mut finishes = Vec::with_capacity(self.0.len());
        for delivery in self.0 {
            finishes.push(delivery.finish().boxed());
        }
        at_once(finishes).await
    }
}

/// What the futures come to, in their order. They are boxed, because the compiler does not see by itself that they are
/// `Send` (<https://github.com/rust-lang/rust/issues/102211>).
async fn at_once<F: Future>(futures: Vec<F>) -> Vec<F::Output> {
    futures::stream::iter(futures)
        .buffered(CONCURRENT_PARTITIONS)
        .collect()
        .await
}
