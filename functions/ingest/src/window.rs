//! The dedupe window: the event ids of the row objects around a batch, kept while the environment is warm and
//! rebuilt from the lake when it is not.

use std::collections::{BTreeMap, HashMap};

use futures::{StreamExt, TryStreamExt};
use pipeline::dedupe::{IdHash, IdHasher, ObjectNumber, SeenIds};
use pipeline::layout::{KeyRange, ObjectName};
use pipeline::recover::{self, RecoverError};

use crate::error::BatchError;
use crate::lake::{Lake, Listed};

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

    /// The window of a shard. Others are dropped if too many ids are held: a window is only ever a cache.
    pub fn of(&mut self, stream: &str, shard: &str) -> &mut Window {
        let key = (stream.to_owned(), shard.to_owned());
        let held: usize = self.by_shard.values().map(|window| window.ids.len()).sum();
        if held > self.max_ids {
            self.by_shard.retain(|other, _| *other == key);
        }
        let hasher = self.hasher;
        self.by_shard
            .entry(key)
            .or_insert_with(|| Window::new(hasher))
    }
}

/// What is committed around the last batch of one shard.
#[derive(Debug)]
pub struct Window {
    ids: SeenIds,
    objects: HashMap<String, ObjectNumber>,
    next_number: ObjectNumber,
    hasher: IdHasher,
}

impl Window {
    fn new(hasher: IdHasher) -> Self {
        Self {
            ids: SeenIds::default(),
            objects: HashMap::new(),
            next_number: 0,
            hasher,
        }
    }

    /// The ids held.
    pub fn ids(&self) -> &SeenIds {
        &self.ids
    }

    /// Whether the object is known to be committed.
    pub fn holds(&self, key: &str) -> bool {
        self.objects.contains_key(key)
    }

    /// Brings the window up to what the lake holds in `ranges`: forgets objects outside, reads those that are new.
    ///
    /// It lists the whole window every time instead of what is newer than the last name seen. An object can appear
    /// *before* one that is known (parallel batches of one shard, a replay), and a listing page has room for a
    /// thousand names at the same price.
    ///
    /// Returns the number of objects read.
    pub async fn refresh(
        &mut self,
        lake: &impl Lake,
        ranges: &[KeyRange],
    ) -> Result<usize, BatchError> {
        let mut listed = Vec::new();
        for range in ranges {
            listed.extend(lake.list(range).await?);
        }
        // Another program's file among ours has no name of ours; its rows are not ours to judge.
        listed.retain(|object| ObjectName::of_events_key(&object.key).is_some());
        self.forget_all_but(&listed);
        listed.retain(|object| !self.objects.contains_key(&object.key));
        let hasher = self.hasher;
        let mut read = futures::stream::iter(listed)
            .map(|object| async move {
                let ids = read_ids(lake, &object, hasher).await?;
                Ok::<_, BatchError>((object.key, ids))
            })
            .buffer_unordered(CONCURRENT_READS);
        let mut objects_read = 0;
        let (ids, objects, next_number) = (&mut self.ids, &mut self.objects, &mut self.next_number);
        while let Some((key, object_ids)) = read.try_next().await? {
            ids.insert(*next_number, object_ids);
            objects.insert(key, *next_number);
            *next_number = next_number.wrapping_add(1);
            objects_read += 1;
        }
        Ok(objects_read)
    }

    /// Adds an object that this environment has just committed.
    pub fn add(&mut self, key: String, ids: impl IntoIterator<Item = IdHash>) {
        self.ids.insert(self.next_number, ids);
        self.objects.insert(key, self.next_number);
        self.next_number = self.next_number.wrapping_add(1);
    }

    fn forget_all_but(&mut self, listed: &[Listed]) {
        let keep: HashMap<String, ObjectNumber> = listed
            .iter()
            .filter_map(|object| self.objects.remove_entry(&object.key))
            .collect();
        let forgotten = !std::mem::replace(&mut self.objects, keep).is_empty();
        if forgotten {
            let numbers: std::collections::HashSet<_> = self.objects.values().copied().collect();
            self.ids.retain(|object| numbers.contains(&object));
        }
    }
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
