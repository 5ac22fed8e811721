//! Event ids already seen, and where in the lake to look for them.
//!
//! Ids are kept as 128-bit XXH3 hashes, and two different ids of a window of ten million meet with a chance of 10⁻²⁵.
//! The seed is secret to the process, so that nobody can craft ids that meet.

use std::ops::RangeInclusive;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use crate::layout::{CELL_MS, cell_start};

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

/// How many tables share the ids: one that grows doubles, for a moment beside its old self, so each is a small part.
const TABLES: usize = 64;

/// The ids of a set of committed objects.
///
/// The hashes lie in one slice per object, which never grows; the tables only say where. So an id takes 16 bytes and 10
/// to 21 in a table (`make bench-window` measures it), and an object is forgotten without a look at the others.
#[derive(Debug)]
pub struct SeenIds {
    /// By object number.
    objects: Vec<Box<[IdHash]>>,
    free: Vec<ObjectNumber>,
    tables: [HashTable<Place>; TABLES],
    len: usize,
}

/// Where an id lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    object: ObjectNumber,
    row: u32,
}

impl Default for SeenIds {
    fn default() -> Self {
        Self {
            objects: Vec::new(),
            free: Vec::new(),
            tables: std::array::from_fn(|_| HashTable::new()),
            len: 0,
        }
    }
}

impl SeenIds {
    /// Whether some committed object holds the id.
    pub fn contains(&self, id: IdHash) -> bool {
        let found = self.tables[table_of(id)].find(id.1, |place| self.at(*place) == id);
        found.is_some()
    }

    /// How many ids are held; one that two objects hold counts twice.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether no id is held.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The ids of one object.
    pub fn of_object(&self, object: ObjectNumber) -> &[IdHash] {
        let ids = self.objects.get(object as usize);
        ids.map_or(&[], |ids| ids)
    }

    /// Adds the ids of an object, and gives it a number. A duplicate from beyond the horizon is in two objects, and stays
    /// known when one of them is forgotten.
    ///
    /// # Panics
    /// With four billion objects, or as many rows in one: no memory holds them.
    pub fn insert(&mut self, ids: impl IntoIterator<Item = IdHash>) -> ObjectNumber {
        let number = |n: usize| u32::try_from(n).expect("fits in memory");
        let object = self.free.pop().unwrap_or_else(|| {
            self.objects.push(Box::default());
            number(self.objects.len() - 1)
        });
        let ids: Box<[IdHash]> = ids.into_iter().collect();
        let rows = number(ids.len());
        self.len += ids.len();
        self.objects[object as usize] = ids;
        let objects = &self.objects;
        let id = |place: &Place| objects[place.object as usize][place.row as usize];
        for place in (0..rows).map(|row| Place { object, row }) {
            let hash = id(&place);
            self.tables[table_of(hash)].insert_unique(hash.1, place, |place| id(place).1);
        }
        object
    }

    /// Forgets an object, and the ids that it alone holds.
    ///
    /// # Panics
    /// When [`SeenIds::insert`] did not give that number, or it was forgotten before.
    pub fn forget(&mut self, object: ObjectNumber) {
        let objects = &self.objects;
        for (row, id) in (0..).zip(&objects[object as usize]) {
            let place = Place { object, row };
            let table = &mut self.tables[table_of(*id)];
            if let Ok(entry) = table.find_entry(id.1, |at| *at == place) {
                entry.remove();
            }
            if table.len() < table.capacity() / 4 {
                table.shrink_to(2 * table.len(), |at| {
                    objects[at.object as usize][at.row as usize].1
                });
            }
        }
        self.len -= std::mem::take(&mut self.objects[object as usize]).len();
        self.free.push(object);
    }

    fn at(&self, place: Place) -> IdHash {
        self.objects[place.object as usize][place.row as usize]
    }
}

/// The upper bits of the half that no table hashes by.
fn table_of(id: IdHash) -> usize {
    (id.0 >> 58) as usize
}

/// The arrival times (milliseconds, in order) of the rows that can hold an id of a batch, or one that a producer sent
/// twice within `horizon_ms`. Objects are found by their cells, so whole cells are looked at. The upper bounds serve
/// replays from an earlier position.
///
/// More than one range where records are further apart than their horizons reach: nobody looks at the years between a
/// record with a wrong time stamp and its neighbours.
pub fn window_arrivals(
    arrivals: impl IntoIterator<Item = i64>,
    horizon_ms: i64,
) -> Vec<RangeInclusive<i64>> {
    let mut cells: Vec<(i64, i64)> = Vec::new();
    for arrival in arrivals {
        let start = cell_start(arrival);
        match cells.last_mut() {
            Some((cell, last)) if *cell == start => *last = arrival.max(*last),
            _ => cells.push((start, arrival)),
        }
    }
    cells.sort_unstable();
    let mut ranges: Vec<RangeInclusive<i64>> = Vec::new();
    for (cell, last) in cells {
        // The first arrival of the cell is not earlier than its start.
        let (from, to) = (cell_start(cell - horizon_ms), last + horizon_ms);
        match ranges.last_mut() {
            Some(range) if from <= cell_start(*range.end()) + CELL_MS => {
                *range = *range.start()..=to.max(*range.end());
            }
            _ => ranges.push(from..=to),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::{HashMap, HashSet};

    #[test]
    fn forgetting_an_object_keeps_the_ids_that_another_one_holds_too() {
        let ids = ["a", "b", "c"].map(|id| IdHasher::new(7).hash(id));
        for (forgotten, expected) in [(0, [false, true, true]), (1, [true, true, false])] {
            let mut window = SeenIds::default();
            window.insert([ids[0], ids[1]]);
            window.insert([ids[1], ids[2]]);
            window.forget(forgotten);
            assert_eq!(
                ids.map(|id| window.contains(id)),
                expected,
                "{forgotten} is forgotten"
            );
            window.forget(1 - forgotten);
            assert_eq!(ids.map(|id| window.contains(id)), [false; 3]);
            assert!(window.is_empty());
        }
    }

    proptest! {
        #[test]
        fn the_window_reaches_the_cell_of_every_row_within_the_horizon_of_a_record(
            arrivals in proptest::collection::vec(0_i64..1_000 * CELL_MS, 1..6), horizon in 0_i64..4 * CELL_MS,
            of_record: prop::sample::Index, distance in -1.0..=1.0,
        ) {
            let window = window_arrivals(arrivals.iter().copied(), horizon);
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "a point of a range")]
            let row = of_record.get(&arrivals) + (horizon as f64 * distance) as i64;
            prop_assert!(window.iter().any(|range| range.contains(&cell_start(row))));
            // In order, and no cell in two of them.
            for pair in window.windows(2) {
                prop_assert!(cell_start(*pair[0].end()) < cell_start(*pair[1].start()));
            }
        }
    }

    #[test]
    fn records_years_apart_have_windows_of_their_own() {
        let year = 365 * 24 * 4 * CELL_MS;
        assert_eq!(
            window_arrivals([50 * year + 2, 0, 50 * year + 1, 50 * year], CELL_MS),
            [
                -CELL_MS..=CELL_MS,
                50 * year - CELL_MS..=50 * year + 2 + CELL_MS
            ]
        );
    }

    proptest! {
        #[test]
        fn a_window_holds_the_ids_of_the_objects_that_it_holds(
            steps in proptest::collection::vec(
                prop_oneof![
                    proptest::collection::hash_set(0_u8..40, 1..12).prop_map(Ok),
                    any::<prop::sample::Index>().prop_map(Err),
                ],
                1..60,
            ),
        ) {
            let hasher = IdHasher::new(7);
            let hash = |id: &u8| hasher.hash(&id.to_string());
            let mut window = SeenIds::default();
            let mut model: HashMap<ObjectNumber, HashSet<u8>> = HashMap::new();
            for step in steps {
                match step {
                    Ok(ids) => {
                        let object = window.insert(ids.iter().map(hash));
                        prop_assert!(model.insert(object, ids).is_none());
                    }
                    Err(index) if !model.is_empty() => {
                        let mut objects: Vec<_> = model.keys().copied().collect();
                        objects.sort_unstable();
                        let object = *index.get(&objects);
                        window.forget(object);
                        model.remove(&object);
                    }
                    Err(_) => {}
                }
                prop_assert_eq!(window.len(), model.values().map(HashSet::len).sum::<usize>());
                for id in 0..40 {
                    let held = model.values().any(|ids| ids.contains(&id));
                    prop_assert_eq!(window.contains(hash(&id)), held);
                }
            }
        }
    }
}
