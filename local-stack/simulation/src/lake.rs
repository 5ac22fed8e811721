//! The lake with faults drawn for every call, and the mutants of it that must be caught.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use ingest::error::LakeError;
use ingest::lake::{Lake, Listed};
use pipeline::commit::Created;
use pipeline::layout::{EVENTS, KeyRange, ObjectName, QUARANTINE, ROLLUPS};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::contents::{Contents, audit_value, rows};
use super::faults::{Kind, Tally};
use super::mutant::Mutant;
use super::scenario::Scenario;
use super::trace::Trace;

/// Of how many objects a window that forgets knows the ids.
const REMEMBERED: usize = 3;

#[derive(Clone)]
pub(crate) struct SimulatedLake {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
    contents: Arc<Mutex<Contents>>,
    pub(crate) mutant: Mutant,
    pub(crate) tally: Tally,
    trace: Trace,
    faults: f64,
    late_ms: u64,
    page: usize,
    slow_lists: bool,
    rng: Arc<Mutex<ChaCha8Rng>>,
    on_their_way: Arc<AtomicUsize>,
    /// Keys that are to be deleted: by their time, or when somebody has just listed them.
    expirable: Arc<Mutex<BTreeSet<String>>>,
    /// What [`Mutant::QuarantineAfterCommit`] holds back.
    deferred: Arc<Mutex<Vec<(String, Bytes)>>>,
    mutant_names: Arc<Mutex<BTreeSet<String>>>,
    /// Held for the time of a listing by [`Mutant::ListsOneByOne`].
    one_list: Arc<tokio::sync::Mutex<()>>,
}

pub(crate) enum Fault {
    None,
    Before,
    After,
    Conflict,
    /// The caller gets no answer, and the request takes effect later.
    Late(Duration),
}

impl SimulatedLake {
    pub(crate) fn new(
        scenario: &Scenario,
        seed: u64,
        mutant: Mutant,
        tally: Tally,
        trace: Trace,
    ) -> Self {
        Self {
            objects: Arc::default(),
            contents: Arc::default(),
            mutant,
            tally,
            trace,
            faults: scenario.faults,
            late_ms: scenario.late_ms,
            page: scenario.page,
            slow_lists: scenario.slow_lists,
            rng: Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))),
            on_their_way: Arc::default(),
            expirable: Arc::default(),
            deferred: Arc::default(),
            mutant_names: Arc::default(),
            one_list: Arc::default(),
        }
    }

    /// What has come into the lake so far.
    pub(crate) fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("not poisoned")
    }

    /// What is in the lake.
    pub(crate) fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().expect("not poisoned")
    }

    pub(crate) fn has_requests_on_their_way(&self) -> bool {
        self.on_their_way.load(Ordering::Relaxed) > 0
    }

    /// A pause, sometimes long enough to meet a deadline, and the fault of this call.
    pub(crate) async fn call(&self, operation: &'static str, key: &str) -> Fault {
        // The SDK repeats a read that fails.
        let reads = matches!(operation, "LIST" | "GET" | "SHARDS");
        let faults = self.faults / if reads { 4.0 } else { 1.0 };
        let (pause, fault) = {
            let mut rng = self.rng.lock().expect("not poisoned");
            let slow = rng.random_bool(faults / 4.0);
            let mut pause = rng.random_range(1..if slow { 40_000 } else { 30 });
            if self.slow_lists && operation == "LIST" {
                pause += rng.random_range(1_000..3_000);
            }
            let fault = if rng.random_bool(faults) {
                match rng.random_range(0..6) {
                    0 | 1 => Fault::Before,
                    2 => Fault::After,
                    3 => Fault::Conflict,
                    _ => {
                        let most = if rng.random_bool(0.5) {
                            5_000
                        } else {
                            self.late_ms
                        };
                        Fault::Late(Duration::from_millis(rng.random_range(1..most)))
                    }
                }
            } else {
                Fault::None
            };
            (pause, fault)
        };
        self.tally.count_if(pause > 1_000, Kind::Slow);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let said = match fault {
            Fault::None => "",
            Fault::Before => " fails before it takes effect",
            Fault::After => " takes effect, the answer is lost",
            Fault::Conflict => " meets a conflict",
            Fault::Late(_) => " takes effect later, without an answer",
        };
        self.trace.say(format_args!("    {operation} {key}{said}"));
        fault
    }

    fn really_create(&self, key: &str, body: &Bytes) -> Created {
        let Some(key) = self.as_mutants_have_it(key, body) else {
            return Created::AlreadyExists;
        };
        let overwrites = match self.mutant {
            Mutant::Overwrite => key.starts_with(EVENTS),
            Mutant::QuarantineOverwritten => key.starts_with(QUARANTINE),
            _ => false,
        };
        if self.objects().contains_key(&key) && !overwrites {
            return Created::AlreadyExists;
        }
        self.store(key, body);
        Created::Yes
    }

    fn store(&self, key: String, body: &Bytes) {
        self.contents().add(&key, body);
        self.objects().insert(key, body.clone());
    }

    /// With a mutant that names objects otherwise, its names decide who is first, and the object goes to whatever place
    /// of the log is free.
    fn as_mutants_have_it(&self, key: &str, body: &Bytes) -> Option<String> {
        let named_otherwise = match self.mutant {
            Mutant::QuarantineOverwritten if key.starts_with(QUARANTINE) => {
                // Without the hash of the content.
                let parts: Vec<&str> = key.rsplitn(3, '.').collect();
                return Some(format!("{}.jsonl", parts[2]));
            }
            Mutant::BoundsNamedKey if key.starts_with(EVENTS) => bounds(body),
            Mutant::FirstRowNamedKey if key.starts_with(EVENTS) => {
                rows(key, body.clone())[0].1.position.to_string()
            }
            _ => return Some(key.to_owned()),
        };
        let mut place = ObjectName::of_events_key(key).expect("an events key");
        place.commit = 0;
        let mut names = self.mutant_names.lock().expect("not poisoned");
        if !names.insert(format!("{} {named_otherwise}", place.events_key())) {
            return None;
        }
        let objects = self.objects();
        while objects.contains_key(&place.events_key()) {
            place.commit += 1;
        }
        Some(place.events_key())
    }

    fn range(&self, range: &KeyRange) -> Vec<Listed> {
        let objects = self.objects();
        let bounds = (
            Bound::Excluded(range.start_after.as_str()),
            Bound::Excluded(range.end.as_str()),
        );
        let found = objects.range::<str, _>(bounds);
        let listed = found.map(|(key, body)| Listed {
            key: key.clone(),
            size: body.len() as u64,
        });
        listed.collect()
    }

    /// A listing is read page by page, and the lake does not wait.
    async fn pages(&self, range: &KeyRange) -> Vec<Listed> {
        let at_first = self.range(range);
        if at_first.len() <= self.page {
            return at_first;
        }
        self.tally.count(Kind::Pages);
        let mut found: Vec<Listed> = Vec::new();
        loop {
            let after = found.last().map_or(&range.start_after, |last| &last.key);
            let rest = self.range(&KeyRange {
                start_after: after.clone(),
                ..range.clone()
            });
            let is_last = rest.len() <= self.page;
            found.extend(rest.into_iter().take(self.page));
            if is_last {
                self.tally.count_if(found != at_first, Kind::NotAtomic);
                return found;
            }
            let pause = self.rng.lock().expect("not poisoned").random_range(1..100);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }

    fn rollups_of_all_objects(&self, range: &KeyRange) -> Vec<Listed> {
        let objects = self.objects();
        let rollups = objects.keys().filter_map(|key| {
            let key = format!("{ROLLUPS}{}", key.strip_prefix(EVENTS)?);
            Some(Listed { key, size: 1 })
        });
        rollups
            .filter(|listed| listed.key.starts_with(&range.prefix))
            .collect()
    }

    /// Whether a mutant's window has forgotten the object's ids.
    fn is_forgotten(&self, key: &str) -> bool {
        match self.mutant {
            Mutant::EmptyWindow => true,
            Mutant::WindowForgets => {
                let objects = self.objects();
                let later = objects.range::<str, _>((Bound::Excluded(key), Bound::Unbounded));
                later.take_while(|(key, _)| key.starts_with(EVENTS)).count() >= REMEMBERED
            }
            _ => false,
        }
    }

    /// Deletes an object and its rollup, at different times, as life-cycle rules do.
    pub(crate) fn expire(&self, name: &ObjectName, rng: &mut ChaCha8Rng) {
        for key in [name.events_key(), name.rollups_key()] {
            let (lake, pause) = (self.clone(), rng.random_range(0..600_000));
            let mut expirable = self.expirable.lock().expect("not poisoned");
            expirable.insert(key.clone());
            let one = self.on_its_way();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(pause)).await;
                lake.delete(&key);
                drop(one);
            });
        }
    }

    fn delete(&self, key: &str) {
        let mut expirable = self.expirable.lock().expect("not poisoned");
        if expirable.remove(key) && self.objects().remove(key).is_some() {
            self.tally.count(Kind::Expired);
            self.trace.say(format_args!("    {key} is deleted"));
            self.contents().deleted.insert(key.to_owned());
        }
    }

    /// Life-cycle rules do not wait for whoever has just listed an object.
    fn delete_some_of(&self, listed: &[Listed]) {
        for object in listed {
            if self.rng.lock().expect("not poisoned").random_bool(0.3) {
                self.delete(&object.key);
            }
        }
    }

    fn on_its_way(&self) -> OnItsWay {
        self.on_their_way.fetch_add(1, Ordering::Relaxed);
        OnItsWay(Arc::clone(&self.on_their_way))
    }

    fn take_effect_later(&self, key: &str, body: Bytes, delay: Duration) {
        let (lake, key, one) = (self.clone(), key.to_owned(), self.on_its_way());
        tokio::spawn(async move {
            tokio::time::sleep(delay).await;
            let created = lake.really_create(&key, &body);
            let say = format_args!("    the late CREATE {key}: {created:?}");
            lake.trace.say(say);
            let long = delay > Duration::from_mins(1);
            lake.tally.count_if(long, Kind::LongLate);
            if created == Created::Yes {
                lake.tally.count(Kind::Late);
                let quarantine = key.starts_with(QUARANTINE);
                lake.tally.count_if(quarantine, Kind::QuarantineLate);
            }
            drop(one);
        });
    }

    async fn create_now(&self, key: &str, body: Bytes) -> Created {
        match self.call("CREATE", key).await {
            Fault::None => {
                let created = self.really_create(key, &body);
                self.tally
                    .count_if(created == Created::AlreadyExists, Kind::Taken);
                created
            }
            Fault::Before => {
                self.tally.count(Kind::Refused);
                let quarantine = key.starts_with(QUARANTINE);
                self.tally.count_if(quarantine, Kind::QuarantineLost);
                Created::Unknown
            }
            Fault::After => {
                self.tally.count(Kind::Unanswered);
                self.really_create(key, &body);
                Created::Unknown
            }
            Fault::Conflict => {
                self.tally.count(Kind::Conflict);
                Created::Conflict
            }
            Fault::Late(delay) => {
                self.take_effect_later(key, body, delay);
                Created::Unknown
            }
        }
    }
}

/// A request that nobody waits for.
struct OnItsWay(Arc<AtomicUsize>);

impl Drop for OnItsWay {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn error(operation: &'static str, key: &str) -> LakeError {
    LakeError {
        operation,
        key: key.to_owned(),
        cause: "a simulated fault".to_owned(),
    }
}

impl Lake for SimulatedLake {
    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, LakeError> {
        let one_by_one = self.mutant == Mutant::ListsOneByOne;
        let _one = if one_by_one {
            Some(self.one_list.lock().await)
        } else {
            None
        };
        match self.call("LIST", &range.start_after).await {
            Fault::None if self.mutant == Mutant::NoRepair && range.prefix.starts_with(ROLLUPS) => {
                Ok(self.rollups_of_all_objects(range))
            }
            Fault::None => {
                let listed = self.pages(range).await;
                self.delete_some_of(&listed);
                Ok(listed)
            }
            _ => Err(error("LIST", &range.prefix)),
        }
    }

    async fn get_suffix(&self, key: &str, bytes: u64) -> Result<Option<Bytes>, LakeError> {
        match self.call("GET", key).await {
            Fault::None if self.is_forgotten(key) => Ok(None),
            Fault::None => {
                let object = self.objects().get(key).cloned();
                self.tally
                    .count_if(object.is_none(), Kind::GoneAfterListing);
                Ok(object.map(|body| {
                    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(body.len());
                    body.slice(body.len() - bytes..)
                }))
            }
            _ => Err(error("GET", key)),
        }
    }

    async fn create(
        &self,
        key: &str,
        body: Bytes,
        _metadata: &[(&'static str, String)],
    ) -> Result<Created, LakeError> {
        if self.mutant != Mutant::QuarantineAfterCommit {
            return Ok(self.create_now(key, body).await);
        }
        if key.starts_with(QUARANTINE) {
            let mut deferred = self.deferred.lock().expect("not poisoned");
            deferred.push((key.to_owned(), body));
            return Ok(Created::Yes);
        }
        let created = self.create_now(key, body).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
        let deferred = std::mem::take(&mut *self.deferred.lock().expect("not poisoned"));
        for (key, body) in deferred {
            self.create_now(&key, body).await;
        }
        Ok(created)
    }
}

/// First and last position of the batch's records in the cell.
fn bounds(object: &Bytes) -> String {
    let bound = |name| audit_value(object, name);
    format!("{}-{}", bound("first-position"), bound("last-position"))
}
