//! Event ids already seen.
//!
//! Ids are kept as 128-bit XXH3 hashes: a million ids in 24 MB or so, and two different ids of a window of ten
//! million meet with a chance of 10⁻²⁵. The seed is secret to the process, so that nobody can craft ids that meet.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use foldhash::fast::FixedState;
use xxhash_rust::xxh3::xxh3_128_with_seed;

/// A 128-bit hash of an event id. Two halves, because a `u128` key would be padded to its alignment of 16 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct IdHash(u64, u64);

/// Turns event ids into [`IdHash`]es; one for all windows of a process.
#[derive(Clone, Copy, Debug)]
pub struct IdHasher {
    seed: u64,
}

impl IdHasher {
    /// `seed` should be random: it keeps a producer from choosing ids that collide.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The hash of an event id.
    pub fn hash(self, event_id: &str) -> IdHash {
        let hash = xxh3_128_with_seed(event_id.as_bytes(), self.seed);
        #[expect(clippy::cast_possible_truncation, reason = "the lower half is meant")]
        let low = hash as u64;
        IdHash((hash >> 64) as u64, low)
    }
}

/// Which object of the lake holds an id, as a number that the window gives out.
pub type ObjectNumber = u32;

/// The ids of a set of committed objects.
#[derive(Debug, Default)]
pub struct SeenIds {
    objects: HashMap<IdHash, ObjectNumber, FixedState>,
    /// Further objects of an id: a duplicate from beyond the horizon is committed twice, and each object must keep
    /// the id in when the other is forgotten. Rare, so a list does.
    further: Vec<(IdHash, ObjectNumber)>,
}

impl SeenIds {
    /// Whether some committed object holds the id.
    pub fn contains(&self, id: IdHash) -> bool {
        self.objects.contains_key(&id)
    }

    /// How many ids are held.
    pub fn len(&self) -> usize {
        self.objects.len()
    }

    /// Whether no id is held.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty()
    }

    /// Adds the ids of an object.
    pub fn insert(&mut self, object: ObjectNumber, ids: impl IntoIterator<Item = IdHash>) {
        for id in ids {
            match self.objects.entry(id) {
                Entry::Vacant(vacant) => _ = vacant.insert(object),
                Entry::Occupied(_) => self.further.push((id, object)),
            }
        }
    }

    /// Forgets every object for which `keep` is false, and the ids that only such objects hold.
    pub fn retain(&mut self, keep: impl Fn(ObjectNumber) -> bool) {
        self.objects.retain(|_, object| keep(*object));
        self.further.retain(|(_, object)| keep(*object));
        let objects = &mut self.objects;
        self.further
            .retain(|(id, object)| match objects.entry(*id) {
                Entry::Vacant(vacant) => {
                    vacant.insert(*object);
                    false
                }
                Entry::Occupied(_) => true,
            });
    }
}

/// Ids met while one list of rows is walked, in front of a [`SeenIds`].
#[derive(Debug)]
pub struct FirstOnes<'w> {
    window: &'w SeenIds,
    here: std::collections::HashSet<IdHash, FixedState>,
}

impl<'w> FirstOnes<'w> {
    /// For about `rows` rows behind `window`.
    pub fn new(window: &'w SeenIds, rows: usize) -> Self {
        Self {
            window,
            here: std::collections::HashSet::with_capacity_and_hasher(rows, FixedState::default()),
        }
    }

    /// Whether this is the first time that the id is met: not in the window, not earlier in the walk.
    pub fn is_first(&mut self, id: IdHash) -> bool {
        !self.window.contains(id) && self.here.insert(id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_equal_ids_wins_and_ids_of_the_window_never_do() {
        let hasher = IdHasher::new(7);
        let mut window = SeenIds::default();
        window.insert(0, [hasher.hash("committed")]);
        let mut first_ones = FirstOnes::new(&window, 4);
        let verdicts = ["a", "committed", "b", "a"].map(|id| first_ones.is_first(hasher.hash(id)));
        assert_eq!(verdicts, [true, false, true, false]);
    }

    #[test]
    fn forgetting_an_object_keeps_the_ids_that_another_one_holds_too() {
        let ids = ["a", "b", "c"].map(|id| IdHasher::new(7).hash(id));
        let window = || {
            let mut window = SeenIds::default();
            window.insert(0, [ids[0], ids[1]]);
            window.insert(1, [ids[1], ids[2]]);
            window
        };
        let held = |window: &SeenIds| ids.map(|id| window.contains(id));
        for (kept, expected) in [(1, [false, true, true]), (0, [true, true, false])] {
            let mut window = window();
            window.retain(|object| object == kept);
            assert_eq!(held(&window), expected, "{kept} is kept");
            window.retain(|_| false);
            assert_eq!((held(&window), window.is_empty()), ([false; 3], true));
        }
    }
}
