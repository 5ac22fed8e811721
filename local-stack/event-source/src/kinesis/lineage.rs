//! Which shards may be read: parents before children, so that a key's records keep their order over a reshard.

use std::collections::BTreeMap;

use crate::mapping::parameters::StartingPosition;
use crate::mapping::position::{Millis, Start};

/// A shard as the stream lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedShard {
    /// Such as `shardId-000000000003`.
    pub id: String,
    /// The shard or, after a merge, the two shards that it came from.
    pub parents: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting,
    Reading,
    Finished,
}

#[derive(Debug)]
struct Node {
    parents: Vec<String>,
    start: Start,
    phase: Phase,
}

/// The shards known so far and how far each has come.
#[derive(Debug, Default)]
pub struct Lineage {
    shards: BTreeMap<String, Node>,
}

impl Lineage {
    /// Restores a shard that an earlier run knew.
    pub fn restore(&mut self, id: &str, start: Start, finished: bool) {
        let phase = if finished {
            Phase::Finished
        } else {
            Phase::Waiting
        };
        let node = Node {
            parents: Vec::new(),
            start,
            phase,
        };
        self.shards.insert(id.to_owned(), node);
    }

    /// Takes a whole listing of the stream.
    ///
    /// The starting position holds for the shards of the very first listing. A shard that appears later comes from a
    /// reshard of shards that are being read, so it is read from its oldest record, whatever the starting position.
    /// `LATEST` is fixed to the time of the first listing: a restart before the first checkpoint skips nothing.
    pub fn observe(&mut self, listing: &[ListedShard], position: StartingPosition, now: Millis) {
        let start = match position {
            _ if !self.shards.is_empty() => Start::TrimHorizon,
            StartingPosition::TrimHorizon => Start::TrimHorizon,
            StartingPosition::Latest => Start::AtTimestamp(now),
            StartingPosition::AtTimestamp(timestamp) => Start::AtTimestamp(timestamp),
        };
        for shard in listing {
            let node = self.shards.entry(shard.id.clone()).or_insert_with(|| Node {
                parents: Vec::new(),
                start,
                phase: Phase::Waiting,
            });
            node.parents.clone_from(&shard.parents);
        }
        // A shard that is gone from the stream has no record left to wait for.
        self.shards.retain(|id, node| {
            node.phase == Phase::Reading || listing.iter().any(|listed| listed.id == *id)
        });
    }

    /// A shard whose known parents are all finished, now counted as being read; `None` when there is no other.
    pub fn start_next(&mut self) -> Option<(String, Start)> {
        let ready = |node: &Node| {
            node.phase == Phase::Waiting
                && node.parents.iter().all(|parent| {
                    self.shards
                        .get(parent)
                        .is_none_or(|parent| parent.phase == Phase::Finished)
                })
        };
        let id = self.shards.iter().find(|(_, node)| ready(node))?.0.clone();
        let node = self.shards.get_mut(&id)?;
        node.phase = Phase::Reading;
        Some((id, node.start))
    }

    /// The shard was closed and all its records are done with.
    pub fn finish(&mut self, id: &str) {
        if let Some(node) = self.shards.get_mut(id) {
            node.phase = Phase::Finished;
        }
    }

    /// Every known shard with the place where it starts.
    pub fn starts(&self) -> impl Iterator<Item = (&str, Start)> {
        self.shards
            .iter()
            .map(|(id, node)| (id.as_str(), node.start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(id: &str, parents: &[&str]) -> ListedShard {
        ListedShard {
            id: id.to_owned(),
            parents: parents.iter().map(|&parent| parent.to_owned()).collect(),
        }
    }

    fn started(lineage: &mut Lineage) -> Vec<String> {
        std::iter::from_fn(|| lineage.start_next().map(|(id, _)| id)).collect()
    }

    #[test]
    fn children_of_a_split_wait_for_their_parent() {
        let mut lineage = Lineage::default();
        let listing = [listed("a", &[]), listed("b", &["a"]), listed("c", &["a"])];
        lineage.observe(&listing, StartingPosition::TrimHorizon, 0);
        assert_eq!(started(&mut lineage), ["a"]);
        lineage.finish("a");
        assert_eq!(started(&mut lineage), ["b", "c"]);
    }

    #[test]
    fn the_child_of_a_merge_waits_for_both_parents() {
        let mut lineage = Lineage::default();
        let listing = [listed("a", &[]), listed("b", &[]), listed("c", &["a", "b"])];
        lineage.observe(&listing, StartingPosition::TrimHorizon, 0);
        assert_eq!(started(&mut lineage), ["a", "b"]);
        lineage.finish("b");
        assert!(started(&mut lineage).is_empty());
        lineage.finish("a");
        assert_eq!(started(&mut lineage), ["c"]);
    }

    #[test]
    fn a_parent_that_the_stream_no_longer_has_is_not_waited_for() {
        let mut lineage = Lineage::default();
        lineage.observe(&[listed("b", &["a"])], StartingPosition::TrimHorizon, 0);
        assert_eq!(started(&mut lineage), ["b"]);
    }

    #[test]
    fn the_starting_position_holds_for_the_first_listing_only() {
        let mut lineage = Lineage::default();
        lineage.observe(&[listed("a", &[])], StartingPosition::Latest, 77);
        assert_eq!(
            lineage.start_next(),
            Some(("a".to_owned(), Start::AtTimestamp(77)))
        );
        let listing = [listed("a", &[]), listed("b", &["a"])];
        lineage.observe(&listing, StartingPosition::Latest, 99);
        assert_eq!(lineage.start_next(), None);
        lineage.finish("a");
        assert_eq!(
            lineage.start_next(),
            Some(("b".to_owned(), Start::TrimHorizon))
        );
    }

    #[test]
    fn a_restart_starts_unfinished_shards_where_they_began_and_finished_ones_never() {
        let mut lineage = Lineage::default();
        lineage.restore("a", Start::TrimHorizon, true);
        lineage.restore("b", Start::AtTimestamp(5), false);
        let listing = [listed("a", &[]), listed("b", &["a"]), listed("c", &["b"])];
        lineage.observe(&listing, StartingPosition::Latest, 99);
        assert_eq!(
            lineage.start_next(),
            Some(("b".to_owned(), Start::AtTimestamp(5)))
        );
        assert_eq!(lineage.start_next(), None);
    }

    proptest::proptest! {
        #[test]
        fn no_shard_starts_before_its_parents_and_all_start_once(
            picks in proptest::collection::vec((0_usize..100, 0_usize..100, 0_usize..3), 1..40),
            finish_order in proptest::collection::vec(0_usize..100, 200),
        ) {
            let mut listing: Vec<ListedShard> = Vec::new();
            for (index, (first, second, parents)) in picks.into_iter().enumerate() {
                let parents = [first, second][..parents.min(index)]
                    .iter()
                    .map(|pick| format!("{:03}", pick % index))
                    .collect();
                listing.push(ListedShard { id: format!("{index:03}"), parents });
            }
            let mut lineage = Lineage::default();
            lineage.observe(&listing, StartingPosition::TrimHorizon, 0);
            let (mut reading, mut finished) = (Vec::new(), Vec::new());
            for pick in finish_order {
                for id in started(&mut lineage) {
                    let shard = listing.iter().find(|shard| shard.id == id).expect("listed");
                    proptest::prop_assert!(shard.parents.iter().all(|parent| finished.contains(parent)));
                    proptest::prop_assert!(!reading.contains(&id) && !finished.contains(&id));
                    reading.push(id);
                }
                if reading.is_empty() {
                    break;
                }
                let id = reading.swap_remove(pick % reading.len());
                lineage.finish(&id);
                finished.push(id);
            }
            proptest::prop_assert_eq!(finished.len(), listing.len());
        }
    }
}
