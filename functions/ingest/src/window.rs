//! The dedupe window: the event ids of the row objects around a batch, kept while the environment is warm and
//! rebuilt from the lake when it is not.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures::{StreamExt, TryStreamExt};
use pipeline::commit;
use pipeline::decode::Batch;
use pipeline::dedupe::{self, IdHash, IdHasher, ObjectNumber, SeenIds};
use pipeline::layout::{self, ObjectName};
use pipeline::recover::{self, RecoverError};

use crate::error::{BatchError, LakeError};
use crate::lake::{Lake, Listed};
use crate::lineage::{Lineage, Relatives};

/// Suffix reads under way at once while a window is rebuilt.
const CONCURRENT_READS: usize = 16;
/// Listings under way at once: records that a producer has dated years apart have a window on each of their days.
const CONCURRENT_LISTS: usize = 16;

/// How far the broker's time stamps step back at most: "there is no guarantee of their accuracy or order"
/// (<https://docs.aws.amazon.com/kinesis/latest/APIReference/API_Record.html>).
const STEP_BACK_MS: i64 = 60 * 60 * 1000;

/// What an id takes at most, in bytes: `make bench-window` prints it.
const BYTES_PER_ID: u64 = 40;
/// What an object takes beside its ids, in bytes: its name, twice, and its nodes in maps.
const BYTES_PER_OBJECT: u64 = 1024;

/// The memory that windows may take, and take.
#[derive(Debug)]
pub(crate) struct Budget {
    bytes: u64,
    used_bytes: AtomicU64,
}

impl Budget {
    /// Of a function with so many megabytes. A batch at its largest (6 MB of payload, inflated 16 times) and the process
    /// itself take 256 of them; a smaller function has smaller batches, and gives its windows half.
    pub(crate) fn of_function(memory_mb: u64) -> Self {
        Self::new((memory_mb - (memory_mb / 2).min(256)) << 20)
    }

    /// So many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        Self {
            bytes,
            used_bytes: AtomicU64::new(0),
        }
    }

    fn used(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }
}

/// The windows of the shards that this environment has served.
#[derive(Debug)]
pub struct Windows {
    by_shard: BTreeMap<(String, String), Window>,
    hasher: IdHasher,
    budget: Arc<Budget>,
}

impl Windows {
    /// No windows yet.
    pub(crate) fn new(hasher: IdHasher, budget: Budget) -> Self {
        Self {
            by_shard: BTreeMap::new(),
            hasher,
            budget: Arc::new(budget),
        }
    }

    /// The windows of the shards of some batches, no two of which are of one shard, in their order. Others are dropped
    /// when they take half of the budget: a window is only ever a cache.
    pub fn of_shards(&mut self, batches: &[Batch]) -> Vec<&mut Window> {
        let key = |batch: &Batch| (batch.stream.clone(), batch.shard.clone());
        let wanted: BTreeMap<_, _> = batches.iter().map(key).zip(0..).collect();
        if self.budget.used() > self.budget.bytes / 2 {
            self.by_shard.retain(|shard, _| wanted.contains_key(shard));
        }
        for (stream, shard) in wanted.keys() {
            self.by_shard
                .entry((stream.clone(), shard.clone()))
                .or_insert_with(|| Window::new(stream, shard, self.hasher, &self.budget));
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
    /// `None` until asked for.
    relatives: Option<Vec<Relative>>,
    /// The earliest arrival in the shard that this window has seen, in milliseconds since the Unix epoch.
    first_arrival_ms: i64,
    ids: SeenIds,
    objects: BTreeMap<ObjectName, ObjectNumber>,
    /// Those of `objects` that may have no rollup, with their sizes in bytes.
    without_rollup: BTreeMap<ObjectName, u64>,
    hasher: IdHasher,
    budget: Arc<Budget>,
}

/// What the lake holds around the arrivals of a batch.
#[derive(Debug, Default)]
pub struct Listing {
    /// If the window did not know them.
    relatives: Option<Vec<Relative>>,
    objects: BTreeMap<ObjectName, Listed>,
}

/// A shard whose rows may hold ids of the window's.
#[derive(Debug)]
struct Relative {
    shard: String,
    is_ancestor: bool,
}

impl Relative {
    fn all(relatives: Relatives) -> Vec<Self> {
        let of = |shards: Vec<String>, is_ancestor| {
            shards
                .into_iter()
                .map(move |shard| Self { shard, is_ancestor })
        };
        of(relatives.ancestors, true)
            .chain(of(relatives.descendants, false))
            .collect()
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        let bytes = self.bytes();
        self.budget.used_bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

impl Window {
    fn new(stream: &str, shard: &str, hasher: IdHasher, budget: &Arc<Budget>) -> Self {
        Self {
            stream: stream.to_owned(),
            shard: shard.to_owned(),
            relatives: None,
            first_arrival_ms: i64::MAX,
            ids: SeenIds::default(),
            objects: BTreeMap::new(),
            without_rollup: BTreeMap::new(),
            hasher,
            budget: Arc::clone(budget),
        }
    }

    /// The ids held.
    pub fn ids(&self) -> &SeenIds {
        &self.ids
    }

    /// The ids of an object, in the order of its rows; `None` unless it is known to be committed.
    pub fn ids_of(&self, name: &ObjectName) -> Option<&[IdHash]> {
        let number = self.objects.get(name)?;
        Some(self.ids.of_object(*number))
    }

    /// The first free place in the log of a cell, as far as the lake has been looked at.
    pub fn next_commit(&self, cell_start_ms: i64) -> u32 {
        let place = |commit| ObjectName {
            stream: self.stream.clone(),
            shard: self.shard.clone(),
            cell_start_ms,
            commit,
        };
        let log = self.objects.range(place(0)..=place(u32::MAX));
        commit::next_place(log.map(|(name, _)| name.commit))
    }

    /// Lists what the lake holds of the shard and its relatives in the cells that `arrivals` (milliseconds, in order)
    /// touch.
    ///
    /// It lists the whole window every time instead of what is newer than the last name seen. An object can appear
    /// *before* one that is known (a replay, a batch that was held up), and a listing page has room for a thousand
    /// names at the same price.
    pub async fn look(
        &self,
        lake: &impl Lake,
        lineage: &impl Lineage,
        arrivals: &[RangeInclusive<i64>],
    ) -> Result<Listing, BatchError> {
        if arrivals.is_empty() {
            return Ok(Listing::default());
        }
        let own = list(lake, layout::EVENTS, &self.stream, &self.shard, arrivals);
        let relatives = self.look_at_relatives(lake, lineage, arrivals);
        let (own, listing) = futures::join!(own, relatives);
        let (own, mut listing) = (own?, listing?);
        listing.objects.extend(own);
        Ok(listing)
    }

    async fn look_at_relatives(
        &self,
        lake: &impl Lake,
        lineage: &impl Lineage,
        arrivals: &[RangeInclusive<i64>],
    ) -> Result<Listing, BatchError> {
        let mut listing = Listing::default();
        if self.relatives.is_none() {
            let relatives = lineage.relatives(&self.stream, &self.shard).await?;
            listing.relatives = Some(Relative::all(relatives));
        }
        let behind_ancestors = self.is_behind_ancestors(arrivals);
        let mut lists = Vec::new();
        for relative in self.relatives.iter().chain(&listing.relatives).flatten() {
            if !(relative.is_ancestor && behind_ancestors) {
                let (stream, shard) = (&self.stream, &relative.shard);
                lists.push(list(lake, layout::EVENTS, stream, shard, arrivals));
            }
        }
        listing.objects = futures::stream::iter(lists)
            .buffer_unordered(CONCURRENT_LISTS)
            .try_concat()
            .await?;
        Ok(listing)
    }

    /// Brings the window up to a listing: forgets objects that it does not have, reads those that are new.
    ///
    /// Returns the number of objects read.
    pub async fn take(&mut self, lake: &impl Lake, listing: Listing) -> Result<usize, BatchError> {
        let Listing {
            relatives,
            objects: mut listed,
        } = listing;
        self.relatives = relatives.or(self.relatives.take());
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
                    self.within_budget()?;
                    objects_read += 1;
                }
                // The others are read all the same: the next try has less to do.
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| objects_read)
    }

    /// Whether all of the window lies behind the shard's first record, so that no ancestor, which was closed before it,
    /// has a row in it. That an ancestor's listing was empty says nothing: what of it was given up may be redriven.
    fn is_behind_ancestors(&self, arrivals: &[RangeInclusive<i64>]) -> bool {
        let from_ms = arrivals.first().map_or(i64::MAX, |first| *first.start());
        self.first_arrival_ms.saturating_add(STEP_BACK_MS) < from_ms
    }

    /// Notes when accepted records of the shard arrived, in milliseconds since the Unix epoch.
    pub fn note_arrivals(&mut self, arrivals: impl Iterator<Item = i64>) {
        self.first_arrival_ms = arrivals.fold(self.first_arrival_ms, i64::min);
    }

    /// Adds an object of `size` bytes that is committed, and may have no rollup yet.
    pub fn add(&mut self, name: ObjectName, size: u64, ids: impl IntoIterator<Item = IdHash>) {
        let before = self.bytes();
        let number = self.ids.insert(ids);
        self.without_rollup.insert(name.clone(), size);
        self.objects.insert(name, number);
        let added = self.bytes() - before;
        self.budget.used_bytes.fetch_add(added, Ordering::Relaxed);
    }

    /// An object's rollup is there.
    pub fn has_rollup(&mut self, name: &ObjectName) {
        self.without_rollup.remove(name);
    }

    /// An object that may have no rollup.
    pub fn without_rollup(&self) -> Option<&ObjectName> {
        self.without_rollup.keys().next()
    }

    /// The objects, with their sizes in bytes, that have no rollup in the lake. Lists for each of their shards, and
    /// none where every object is known to have its own.
    pub async fn missing_rollups(
        &mut self,
        lake: &impl Lake,
    ) -> Result<Vec<(ObjectName, u64)>, LakeError> {
        let shards: BTreeSet<_> = self.without_rollup.keys().map(|name| &name.shard).collect();
        let mut there = BTreeMap::new();
        for shard in shards {
            let of_shard = self
                .without_rollup
                .keys()
                .filter(|name| name.shard == *shard);
            let cells = dedupe::window_arrivals(of_shard.map(|name| name.cell_start_ms), 0);
            there.extend(list(lake, layout::ROLLUPS, &self.stream, shard, &cells).await?);
        }
        self.without_rollup
            .retain(|name, _| !there.contains_key(name));
        let missing = self.without_rollup.iter();
        Ok(missing.map(|(name, size)| (name.clone(), *size)).collect())
    }

    fn forget_all_but(&mut self, listed: &BTreeMap<ObjectName, Listed>) {
        let before = self.bytes();
        for (_, number) in self
            .objects
            .extract_if(.., |name, _| !listed.contains_key(name))
        {
            self.ids.forget(number);
        }
        self.without_rollup
            .retain(|name, _| listed.contains_key(name));
        let freed = before - self.bytes();
        self.budget.used_bytes.fetch_sub(freed, Ordering::Relaxed);
    }

    fn bytes(&self) -> u64 {
        self.ids.len() as u64 * BYTES_PER_ID + self.objects.len() as u64 * BYTES_PER_OBJECT
    }

    fn within_budget(&self) -> Result<(), BatchError> {
        if self.budget.used() <= self.budget.bytes {
            return Ok(());
        }
        Err(BatchError::WindowTooLarge {
            shard: self.shard.clone(),
            ids: self.ids.len() as u64,
            budget_mb: self.budget.bytes >> 20,
        })
    }
}

/// The objects under a prefix of a shard, and of no other whose names begin alike, in the cells that `arrivals` touch.
/// Another program's file among ours has no name of ours; its rows are not ours to judge.
async fn list(
    lake: &impl Lake,
    under: &'static str,
    stream: &str,
    shard: &str,
    arrivals: &[RangeInclusive<i64>],
) -> Result<BTreeMap<ObjectName, Listed>, LakeError> {
    let days = layout::day_ranges(under, stream, shard, arrivals);
    let days: Vec<Vec<Listed>> = futures::stream::iter(days)
        .map(|day| async move { lake.list(&day).await })
        .buffer_unordered(CONCURRENT_LISTS)
        .try_collect()
        .await?;
    let objects = days.into_iter().flatten().filter_map(|object| {
        let name = ObjectName::of_key(under, &object.key)?;
        let ours = name.is_of(stream, shard) && layout::touches(arrivals, name.cell_start_ms);
        ours.then_some((name, object))
    });
    Ok(objects.collect())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_have_half_of_a_small_function_and_all_but_a_batch_of_a_large_one() {
        let of = |memory_mb| Budget::of_function(memory_mb).bytes >> 20;
        assert_eq!([128, 512, 1024, 10_240].map(of), [64, 256, 768, 9984]);
    }
}
