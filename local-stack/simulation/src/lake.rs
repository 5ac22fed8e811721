//! The lake with faults drawn for every call, and the mutants that must be caught.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMicrosecondType;
use bytes::Bytes;
use event_source::lineage::ListedShard;
use ingest::error::{LakeError, LineageError};
use ingest::lake::{Lake, Listed, Memory};
use ingest::lineage::{Lineage, Relatives};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::{FileReader, SerializedFileReader};
use pipeline::commit::Created;
use pipeline::layout::{EVENTS, KeyRange, ObjectName, QUARANTINE, ROLLUPS};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::mutant::Mutant;
use super::stream::ancestors;
use super::trace::Trace;

/// A row as the lake has it.
#[derive(Clone, Debug)]
pub(crate) struct Landed {
    pub(crate) position: u64,
    pub(crate) arrival_ms: i64,
    pub(crate) shard: String,
    pub(crate) key: String,
}

/// What is in the lake, kept up as objects appear, so that it can be asked at every answer.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Rows by event id.
    pub(crate) rows: BTreeMap<String, Vec<Landed>>,
    /// Row objects by key, as first created.
    pub(crate) created: BTreeMap<String, Bytes>,
    /// Positions and payloads (base64) in quarantine.
    pub(crate) quarantined: BTreeMap<u64, String>,
}

#[derive(Clone)]
pub(crate) struct SimulatedLake {
    pub(crate) memory: Memory,
    mutant: Mutant,
    faults: f64,
    rng: Arc<Mutex<ChaCha8Rng>>,
    contents: Arc<Mutex<Contents>>,
    deferred: Arc<Mutex<Vec<(String, Bytes)>>>,
    mutant_names: Arc<Mutex<BTreeSet<String>>>,
    trace: Trace,
}

enum Fault {
    None,
    Before,
    After,
    Conflict,
    /// The caller gets no answer, and the request takes effect later.
    Delayed(Duration),
}

impl SimulatedLake {
    pub(crate) fn new(seed: u64, faults: f64, mutant: Mutant, trace: Trace) -> Self {
        Self {
            memory: Memory::default(),
            mutant,
            faults,
            rng: Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(seed))),
            contents: Arc::default(),
            deferred: Arc::default(),
            mutant_names: Arc::default(),
            trace,
        }
    }

    pub(crate) fn mutant(&self) -> Mutant {
        self.mutant
    }

    pub(crate) fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().expect("not poisoned")
    }

    /// A pause, sometimes long enough to meet a deadline, and the fault of this call.
    async fn call(&self, operation: &'static str, key: &str) -> Fault {
        // The SDK repeats a read that fails.
        let reads = matches!(operation, "LIST" | "GET" | "SHARDS");
        let faults = self.faults / if reads { 4.0 } else { 1.0 };
        let (pause, fault) = {
            let mut rng = self.rng.lock().expect("not poisoned");
            let slow = rng.random_bool(faults / 4.0);
            let pause = rng.random_range(1..if slow { 40_000 } else { 30 });
            let fault = if rng.random_bool(faults) {
                match rng.random_range(0..5) {
                    0 | 1 => Fault::Before,
                    2 => Fault::After,
                    3 => Fault::Conflict,
                    _ => Fault::Delayed(Duration::from_millis(rng.random_range(1..5_000))),
                }
            } else {
                Fault::None
            };
            (pause, fault)
        };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let said = match fault {
            Fault::None => "",
            Fault::Before => " fails before it takes effect",
            Fault::After => " takes effect, the answer is lost",
            Fault::Conflict => " meets a conflict",
            Fault::Delayed(_) => " takes effect later, without an answer",
        };
        self.trace.say(format_args!("    {operation} {key}{said}"));
        fault
    }

    async fn really_create(&self, key: &str, body: Bytes) -> Created {
        if key.starts_with(QUARANTINE) {
            return self.really_quarantine(key, body).await;
        }
        if key.starts_with(ROLLUPS) {
            let created = self.memory.create(key, body, &[]).await;
            return created.expect("memory");
        }
        let Some(key) = self.as_mutants_have_it(key, &body) else {
            return Created::AlreadyExists;
        };
        let key = key.as_str();
        let created = if self.mutant == Mutant::Overwrite {
            self.memory.replace(key, body.clone());
            Created::Yes
        } else {
            self.memory
                .create(key, body.clone(), &[])
                .await
                .expect("memory")
        };
        if created == Created::Yes {
            let mut contents = self.contents();
            for (id, landed) in rows(key, body.clone()) {
                contents.rows.entry(id).or_default().push(landed);
            }
            contents.created.entry(key.to_owned()).or_insert(body);
        }
        created
    }

    fn rollups_of_all_objects(&self, range: &KeyRange) -> Vec<Listed> {
        let objects = self.memory.objects().into_keys();
        let rollups = objects.filter_map(|key| {
            let key = format!("{ROLLUPS}{}", key.strip_prefix(EVENTS)?);
            Some(Listed { key, size: 1 })
        });
        rollups
            .filter(|listed| listed.key.starts_with(&range.prefix))
            .collect()
    }

    /// With a mutant that names objects otherwise, its names decide who is first, and the object goes to whatever place
    /// of the log is free.
    fn as_mutants_have_it(&self, key: &str, body: &Bytes) -> Option<String> {
        let name = match self.mutant {
            Mutant::BoundsNamedKey => bounds(body),
            Mutant::FirstRowNamedKey => rows(key, body.clone())[0].1.position.to_string(),
            _ => return Some(key.to_owned()),
        };
        let mut place = ObjectName::of_events_key(key).expect("an events key");
        place.commit = 0;
        let mut names = self.mutant_names.lock().expect("not poisoned");
        if !names.insert(format!("{} {name}", place.events_key())) {
            return None;
        }
        let objects = self.memory.objects();
        while objects.contains_key(&place.events_key()) {
            place.commit += 1;
        }
        Some(place.events_key())
    }

    async fn really_quarantine(&self, key: &str, body: Bytes) -> Created {
        for line in body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
        {
            let line: serde_json::Value = serde_json::from_slice(line).expect("a JSON line");
            let position = line["position"].as_str().and_then(|text| text.parse().ok());
            let data = line["data"].as_str().unwrap_or_default().to_owned();
            self.contents()
                .quarantined
                .insert(position.expect("a position"), data);
        }
        let created = self.memory.create(key, body, &[]).await;
        created.expect("memory")
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
        match self.call("LIST", &range.start_after).await {
            Fault::None if self.mutant == Mutant::NoRepair && range.prefix.starts_with(ROLLUPS) => {
                Ok(self.rollups_of_all_objects(range))
            }
            Fault::None => self.memory.list(range).await,
            _ => Err(error("LIST", &range.prefix)),
        }
    }

    async fn get_suffix(&self, key: &str, bytes: u64) -> Result<Option<Bytes>, LakeError> {
        match self.call("GET", key).await {
            Fault::None if self.mutant == Mutant::EmptyWindow => Ok(None),
            Fault::None => self.memory.get_suffix(key, bytes).await,
            _ => Err(error("GET", key)),
        }
    }

    async fn create(
        &self,
        key: &str,
        body: Bytes,
        _metadata: &[(&'static str, String)],
    ) -> Result<Created, LakeError> {
        if self.mutant == Mutant::QuarantineAfterCommit && key.starts_with(QUARANTINE) {
            let mut deferred = self.deferred.lock().expect("not poisoned");
            deferred.push((key.to_owned(), body));
            return Ok(Created::Yes);
        }
        let fault = self.call("CREATE", key).await;
        let created = match fault {
            Fault::None => Ok(self.really_create(key, body).await),
            Fault::Before => Ok(Created::Unknown),
            Fault::After => {
                self.really_create(key, body).await;
                Ok(Created::Unknown)
            }
            Fault::Conflict => Ok(Created::Conflict),
            Fault::Delayed(delay) => {
                let (lake, key) = (self.clone(), key.to_owned());
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let created = lake.really_create(&key, body).await;
                    lake.trace
                        .say(format_args!("    the delayed CREATE {key}: {created:?}"));
                });
                Ok(Created::Unknown)
            }
        };
        if self.mutant == Mutant::QuarantineAfterCommit {
            tokio::time::sleep(Duration::from_millis(5)).await;
            let deferred = std::mem::take(&mut *self.deferred.lock().expect("not poisoned"));
            for (key, body) in deferred {
                if matches!(self.call("CREATE", &key).await, Fault::None | Fault::After) {
                    self.really_quarantine(&key, body).await;
                }
            }
        }
        created
    }
}

/// First and last position of the batch's records in the cell.
fn bounds(object: &Bytes) -> String {
    let bound = |name| audit_value(object, name);
    format!("{}-{}", bound("first-position"), bound("last-position"))
}

/// An entry of the audit in an object's footer.
pub(crate) fn audit_value(object: &Bytes, name: &str) -> String {
    let reader = SerializedFileReader::new(object.clone()).expect("Parquet");
    let entries = reader.metadata().file_metadata().key_value_metadata();
    let name = format!("tributary-{name}");
    let entry = entries
        .expect("the audit")
        .iter()
        .find(|entry| entry.key == name);
    let entry = entry.expect("an audit entry");
    entry.value.clone().expect("a value")
}

/// The stream's family tree, to be asked for with the lake's faults.
#[derive(Clone)]
pub(crate) struct Family {
    pub(crate) listing: Arc<Vec<ListedShard>>,
    pub(crate) lake: SimulatedLake,
}

impl Lineage for Family {
    async fn relatives(&self, stream: &str, shard: &str) -> Result<Relatives, LineageError> {
        match self.lake.call("SHARDS", shard).await {
            Fault::None if self.lake.mutant == Mutant::NoAncestors => Ok(Relatives::default()),
            Fault::None => Ok(Relatives {
                ancestors: ancestors(&self.listing, shard),
                ..Relatives::default()
            }),
            _ => Err(LineageError {
                stream: stream.to_owned(),
                cause: "a simulated fault".to_owned(),
            }),
        }
    }
}

fn rows(key: &str, object: Bytes) -> Vec<(String, Landed)> {
    let builder = ParquetRecordBatchReaderBuilder::try_new(object).expect("Parquet");
    // Reading every column takes a third of the simulation's time.
    let mask = ProjectionMask::columns(
        builder.parquet_schema(),
        ["event_id", "position", "arrival_time", "shard"],
    );
    let reader = builder.with_projection(mask).build().expect("Parquet");
    let mut landed = Vec::new();
    for batch in reader {
        let batch = batch.expect("rows");
        let text = |name| {
            batch
                .column_by_name(name)
                .expect("a column")
                .as_string::<i32>()
        };
        let arrivals = batch.column_by_name("arrival_time").expect("a column");
        let arrivals = arrivals.as_primitive::<TimestampMicrosecondType>();
        for row in 0..batch.num_rows() {
            landed.push((
                text("event_id").value(row).to_owned(),
                Landed {
                    position: text("position").value(row).parse().expect("a number"),
                    arrival_ms: arrivals.value(row) / 1000,
                    shard: text("shard").value(row).to_owned(),
                    key: key.to_owned(),
                },
            ));
        }
    }
    landed
}
