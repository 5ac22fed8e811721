//! The dedupe window: the event ids of the row objects around a batch, kept while the environment is warm and
//! rebuilt from the lake when it is not.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ops::RangeInclusive;

use futures::StreamExt;
use pipeline::commit;
use pipeline::decode::Batch;
use pipeline::dedupe::{IdHash, IdHasher, ObjectNumber, SeenIds};
use pipeline::layout::{self, ObjectName};
use pipeline::recover::{self, RecoverError};

use crate::error::{BatchError, LakeError};
use crate::lake::{Lake, Listed};
use crate::lineage::Lineage;

/// Suffix reads under way at once while a window is rebuilt.
const CONCURRENT_READS: usize = 16;

/// The windows of the shards that this environment has served.
#[derive(Debug)]
pub struct Windows {
    by_shard: BTreeMap<(String, String), Window>,
    hasher: IdHasher,
    /// Ids that may be held over all shards before windows other than the one in use are dropped. 5 million take
    /// about 200 MB.
    max_ids: usize,
}

impl Windows {
    /// No windows yet.
    pub fn new(hasher: IdHasher, max_ids: usize) -> Self {
        Self {
            by_shard: BTreeMap::new(),
            hasher,
            max_ids,
        }
    }

    /// The windows of the shards of some batches, no two of which are of one shard, in their order. Others are dropped
    /// if too many ids are held: a window is only ever a cache.
    pub fn of_shards(&mut self, batches: &[&Batch]) -> Vec<&mut Window> {
        let key = |batch: &Batch| (batch.stream.clone(), batch.shard.clone());
        let wanted: BTreeMap<_, _> = batches.iter().map(|batch| key(batch)).zip(0..).collect();
        let held: usize = self.by_shard.values().map(|window| window.ids.len()).sum();
        if held > self.max_ids {
            self.by_shard.retain(|shard, _| wanted.contains_key(shard));
        }
        for (stream, shard) in wanted.keys() {
            self.by_shard
                .entry((stream.clone(), shard.clone()))
                .or_insert_with(|| Window::new(stream, shard, self.hasher));
        }
        let windows = self.by_shard.iter_mut();
        let mut windows: Vec<(usize, &mut Window)> = windows
            .filter_map(|(shard, window)| Some((*wanted.get(shard)?, window)))
            .collect();
        windows.sort_by_key(|(batch, _)| *batch);
        windows.into_iter().map(|(_, window)| window).collect()
    }
}

/// What is committed around the last batch of one shard.
#[derive(Debug)]
pub struct Window {
    stream: String,
    shard: String,
    /// `None` until asked for: they never change.
    ancestors: Option<Vec<Ancestor>>,
    ids: SeenIds,
    objects: BTreeMap<ObjectName, ObjectNumber>,
    /// Those of `objects` that may have no rollup, with their sizes in bytes.
    without_rollup: BTreeMap<ObjectName, u64>,
    next_number: ObjectNumber,
    hasher: IdHasher,
}

/// A shard from which the window's came.
#[derive(Debug)]
struct Ancestor {
    shard: String,
    /// Nothing arrived in it from here on, in milliseconds since the Unix epoch: all that it held was delivered before
    /// its children, so a listing that was empty stays so.
    empty_from_ms: Option<i64>,
}

impl Ancestor {
    fn new(shard: String) -> Self {
        Self {
            shard,
            empty_from_ms: None,
        }
    }
}

impl Window {
    fn new(stream: &str, shard: &str, hasher: IdHasher) -> Self {
        Self {
            stream: stream.to_owned(),
            shard: shard.to_owned(),
            ancestors: None,
            ids: SeenIds::default(),
            objects: BTreeMap::new(),
            without_rollup: BTreeMap::new(),
            next_number: 0,
            hasher,
        }
    }

    /// The ids held.
    pub fn ids(&self) -> &SeenIds {
        &self.ids
    }

    /// Whether the object is known to be committed.
    pub fn holds(&self, name: &ObjectName) -> bool {
        self.objects.contains_key(name)
    }

    /// The first free place in the log of a cell, as far as the lake has been looked at. Not the one after the last:
    /// a listing is no snapshot, and might hold a later object without an earlier one.
    pub fn next_commit(&self, cell_start_ms: i64) -> u32 {
        let place = |commit| ObjectName {
            stream: self.stream.clone(),
            shard: self.shard.clone(),
            cell_start_ms,
            commit,
        };
        let log = self.objects.range(place(0)..=place(u32::MAX));
        let taken = log.zip(0..).take_while(|((name, _), n)| name.commit == *n);
        taken.map(|(_, n)| n + 1).last().unwrap_or(0)
    }

    /// Brings the window up to what the lake holds of the shard and its ancestors in the cells that `arrivals`
    /// (milliseconds, in order) touch: forgets objects outside, reads those that are new.
    ///
    /// It lists the whole window every time instead of what is newer than the last name seen. An object can appear
    /// *before* one that is known (a replay, a batch that was held up), and a listing page has room for a thousand
    /// names at the same price.
    ///
    /// Returns the number of objects read.
    pub async fn refresh(
        &mut self,
        lake: &impl Lake,
        lineage: &impl Lineage,
        arrivals: &[RangeInclusive<i64>],
    ) -> Result<usize, BatchError> {
        let mut listed = list(lake, &self.stream, &self.shard, arrivals).await?;
        if self.ancestors.is_none() {
            let shards = lineage.ancestors(&self.stream, &self.shard).await?;
            self.ancestors = Some(shards.into_iter().map(Ancestor::new).collect());
        }
        for ancestor in self.ancestors.iter_mut().flatten() {
            let from_ms = arrivals.first().map_or(i64::MAX, |first| *first.start());
            if ancestor
                .empty_from_ms
                .is_some_and(|empty_from_ms| empty_from_ms <= from_ms)
            {
                continue;
            }
            let objects = list(lake, &self.stream, &ancestor.shard, arrivals).await?;
            if objects.is_empty() {
                ancestor.empty_from_ms = Some(from_ms);
            }
            listed.extend(objects);
        }
        self.forget_all_but(&listed);
        listed.retain(|name, _| !self.objects.contains_key(name));
        let hasher = self.hasher;
        let mut read = futures::stream::iter(listed)
            .map(|(name, object)| async move {
                let ids = read_ids(lake, &object, hasher).await?;
                Ok::<_, BatchError>((name, object.size, ids))
            })
            .buffer_unordered(CONCURRENT_READS);
        let (mut objects_read, mut result) = (0, Ok(()));
        while let Some(object) = read.next().await {
            match object {
                Ok((name, size, ids)) => {
                    self.add(name, size, ids);
                    objects_read += 1;
                }
                // The others are read all the same: the next try has less to do.
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| objects_read)
    }

    /// Adds an object of `size` bytes that is committed, and may have no rollup yet.
    pub fn add(&mut self, name: ObjectName, size: u64, ids: impl IntoIterator<Item = IdHash>) {
        self.ids.insert(self.next_number, ids);
        self.without_rollup.insert(name.clone(), size);
        self.objects.insert(name, self.next_number);
        self.next_number = self.next_number.wrapping_add(1);
    }

    /// An object's rollup is there.
    pub fn has_rollup(&mut self, name: &ObjectName) {
        self.without_rollup.remove(name);
    }

    /// An object that may have no rollup.
    pub fn without_rollup(&self) -> Option<&ObjectName> {
        self.without_rollup.keys().next()
    }

    /// The objects, with their sizes in bytes, that have no rollup in the lake. A LIST for each of their shards, and
    /// none where every object is known to have its own.
    pub async fn missing_rollups(
        &mut self,
        lake: &impl Lake,
    ) -> Result<Vec<(ObjectName, u64)>, LakeError> {
        let shards: BTreeSet<_> = self.without_rollup.keys().map(|name| &name.shard).collect();
        let mut there = BTreeSet::new();
        for shard in shards {
            let of_shard = || {
                self.without_rollup
                    .keys()
                    .filter(|name| name.shard == *shard)
            };
            let starts = of_shard().map(|name| name.cell_start_ms);
            let ranges = commit::window_arrivals(starts, 0);
            let ranges = ranges.iter().flat_map(|starts| {
                layout::cell_ranges(layout::ROLLUPS, &self.stream, shard, starts)
            });
            for range in ranges.collect::<Vec<_>>() {
                let objects = lake.list(&range).await?;
                let names = objects
                    .iter()
                    .map(|object| ObjectName::of_rollups_key(&object.key));
                there.extend(names.flatten());
            }
        }
        self.without_rollup.retain(|name, _| !there.contains(name));
        let missing = self.without_rollup.iter();
        Ok(missing.map(|(name, size)| (name.clone(), *size)).collect())
    }

    fn forget_all_but(&mut self, listed: &BTreeMap<ObjectName, Listed>) {
        let held = self.objects.len();
        self.objects.retain(|name, _| listed.contains_key(name));
        self.without_rollup
            .retain(|name, _| listed.contains_key(name));
        if self.objects.len() < held {
            let numbers: HashSet<_> = self.objects.values().copied().collect();
            self.ids.retain(|object| numbers.contains(&object));
        }
    }
}

/// The row objects of a shard, and of no other whose names begin alike. Another program's file among ours has no name of ours; its rows are not ours to judge.
async fn list(
    lake: &impl Lake,
    stream: &str,
    shard: &str,
    arrivals: &[RangeInclusive<i64>],
) -> Result<BTreeMap<ObjectName, Listed>, LakeError> {
    let mut listed = BTreeMap::new();
    let ranges = arrivals
        .iter()
        .flat_map(|arrivals| layout::cell_ranges(layout::EVENTS, stream, shard, arrivals));
    for range in ranges.collect::<Vec<_>>() {
        let objects = lake.list(&range).await?.into_iter();
        listed.extend(objects.filter_map(|object| {
            let name = ObjectName::of_events_key(&object.key)?;
            name.is_of(stream, shard).then_some((name, object))
        }));
    }
    Ok(listed)
}

/// One suffix-range GET, or a second one if the ids begin before the first guess. An object that is gone since the
/// listing (expired, compacted away) holds no ids.
async fn read_ids(
    lake: &impl Lake,
    object: &Listed,
    hasher: IdHasher,
) -> Result<Vec<IdHash>, BatchError> {
    let unreadable = |error: RecoverError| BatchError::Unreadable {
        key: object.key.clone(),
        cause: error.to_string(),
    };
    let Some(tail) = lake
        .get_suffix(&object.key, recover::first_guess(object.size))
        .await?
    else {
        return Ok(Vec::new());
    };
    match recover::event_ids(tail, object.size, hasher) {
        Ok(ids) => Ok(ids),
        Err(RecoverError::TooShort { needed }) => {
            let Some(tail) = lake.get_suffix(&object.key, needed).await? else {
                return Ok(Vec::new());
            };
            recover::event_ids(tail, object.size, hasher).map_err(unreadable)
        }
        Err(error) => Err(unreadable(error)),
    }
}
