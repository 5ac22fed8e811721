//! The stream's family tree as the function asks for it, with the lake's faults.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use event_source::kinesis::lineage::ListedShard;
use ingest::error::LineageError;
use ingest::lineage::{Lineage, Relatives};

use super::faults::Kind;
use super::lake::{Fault, SimulatedLake};
use super::mutant::Mutant;

#[derive(Clone)]
pub(crate) struct Family {
    listing: Arc<Mutex<Vec<ListedShard>>>,
    pub(crate) lake: SimulatedLake,
}

impl Family {
    pub(crate) fn new(lake: SimulatedLake) -> Self {
        let listing = Arc::default();
        Self { listing, lake }
    }

    /// From now on the stream lists these.
    pub(crate) fn list(&self, listing: Vec<ListedShard>) {
        *self.listing.lock().expect("not poisoned") = listing;
    }

    fn relatives(&self, shard: &str) -> Relatives {
        let listing = self.listing.lock().expect("not poisoned");
        let tree: BTreeMap<String, Vec<String>> = listing
            .iter()
            .map(|listed| (listed.id.clone(), listed.parents.clone()))
            .collect();
        let parents = tree.get(shard).into_iter().flatten();
        let unlisted = parents.filter(|parent| !tree.contains_key(*parent)).count();
        let tally = &self.lake.tally;
        tally.count_if(unlisted > 0, Kind::ShardExpired);
        let mut relatives = ingest::lineage::relatives(shard, &tree);
        match self.lake.mutant {
            Mutant::NoAncestors => relatives.ancestors.clear(),
            Mutant::OnlyListedAncestors => {
                let ancestors = &mut relatives.ancestors;
                ancestors.retain(|ancestor| tree.contains_key(ancestor));
            }
            _ => {}
        }
        relatives
    }
}

impl Lineage for Family {
    async fn relatives(&self, stream: &str, shard: &str) -> Result<Relatives, LineageError> {
        match self.lake.call("SHARDS", shard).await {
            Fault::None => Ok(self.relatives(shard)),
            _ => Err(LineageError {
                stream: stream.to_owned(),
                cause: "a simulated fault".to_owned(),
            }),
        }
    }
}

/// The shards that a shard's listing leads to: unlisted parents are named, and lead no further.
pub(crate) fn reachable(listing: &[ListedShard], shard: &str) -> BTreeSet<String> {
    let listed = listing.iter().find(|listed| listed.id == shard);
    let parents = listed.into_iter().flat_map(|listed| &listed.parents);
    let older = parents
        .clone()
        .flat_map(|parent| reachable(listing, parent));
    older.chain(parents.cloned()).collect()
}
