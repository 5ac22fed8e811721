//! What outlives a restart: `checkpoints.json` in the state directory, and the lock that keeps a second instance out.

use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::position::{Position, Start};

const FILE: &str = "checkpoints.json";
const LOCK: &str = "lock";

/// The content of `checkpoints.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoints {
    /// The stream's name.
    pub stream: String,
    /// When the stream was created, milliseconds since the epoch: a stream made anew under the same name has other
    /// sequence numbers, for which these checkpoints mean nothing.
    pub stream_created: i64,
    /// The mapping's identity, part of the keys of an S3 on-failure destination.
    pub uuid: Uuid,
    /// By shard id.
    pub shards: BTreeMap<String, ShardCheckpoint>,
}

/// How far one shard has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardCheckpoint {
    /// The last record done with: everything up to and including it was answered for or handed to the on-failure
    /// destination. `None`: no record yet.
    #[serde(rename = "sequence_number")]
    pub position: Option<Position>,
    /// Records done with since the state directory was made.
    pub records: u64,
    /// How far reading is behind the shard's newest record, in milliseconds, as Kinesis last said.
    pub millis_behind_latest: i64,
    /// Whether the shard ended and all its records are done with.
    pub closed: bool,
    /// Where reading began.
    pub start: Start,
}

/// The state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another instance runs on it.
    #[error(
        "state directory {path}: another event source ({holder}) is using it; only one may run"
    )]
    InUse {
        /// The directory.
        path: PathBuf,
        /// Process id of the other one, as it noted it.
        holder: String,
    },
    /// `checkpoints.json` is not what was written.
    #[error(
        "{path}: not a checkpoint file ({reason}); repair it, or remove it to begin again at the starting position"
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: serde_json::Error,
    },
    /// The checkpoints belong to another stream.
    #[error(
        "{path}: belongs to {found}, not to {wanted}; use another state directory, or remove this one"
    )]
    OtherStream {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Whose it was taken for.
        wanted: String,
    },
    /// The file system refused.
    #[error("{path}: {reason}")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// The refusal.
        reason: io::Error,
    },
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> StateError {
    let path = path.to_owned();
    move |reason| StateError::Io { path, reason }
}

/// The state directory, held by this process alone until dropped.
#[derive(Debug)]
pub struct StateDirectory {
    path: PathBuf,
    _lock: File,
}

impl StateDirectory {
    /// Makes the directory if need be and locks it. The system releases the lock however the process ends.
    pub fn lock(path: &Path) -> Result<Self, StateError> {
        fs::create_dir_all(path).map_err(io_error(path))?;
        let lock_path = path.join(LOCK);
        let mut lock = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&lock_path)
            .map_err(io_error(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                let read = lock.read_to_string(&mut holder);
                return Err(StateError::InUse {
                    path: path.to_owned(),
                    holder: match read {
                        Ok(_) if !holder.is_empty() => format!("process {}", holder.trim()),
                        _ => "process unknown".to_owned(),
                    },
                });
            }
            Err(TryLockError::Error(reason)) => return Err(io_error(&lock_path)(reason)),
        }
        lock.set_len(0)
            .and_then(|()| write!(lock, "{}", std::process::id()))
            .map_err(io_error(&lock_path))?;
        Ok(Self {
            path: path.to_owned(),
            _lock: lock,
        })
    }

    /// The checkpoints of an earlier run, or fresh ones.
    pub fn load(self, stream: &str, stream_created: i64) -> Result<CheckpointStore, StateError> {
        let path = self.path.join(FILE);
        let checkpoints = match fs::read(&path) {
            Err(reason) if reason.kind() == io::ErrorKind::NotFound => Checkpoints {
                stream: stream.to_owned(),
                stream_created,
                uuid: Uuid::new_v4(),
                shards: BTreeMap::new(),
            },
            Err(reason) => return Err(io_error(&path)(reason)),
            Ok(text) => serde_json::from_slice(&text).map_err(|reason| StateError::Corrupt {
                path: path.clone(),
                reason,
            })?,
        };
        let identity = |name: &str, created| format!("stream {name:?} created at {created} ms");
        if checkpoints.stream != stream || checkpoints.stream_created != stream_created {
            return Err(StateError::OtherStream {
                path,
                found: identity(&checkpoints.stream, checkpoints.stream_created),
                wanted: identity(stream, stream_created),
            });
        }
        Ok(CheckpointStore {
            directory: self,
            saved: Mutex::new(None),
            current: Mutex::new(checkpoints),
        })
    }
}

/// The checkpoints in memory, and their file.
#[derive(Debug)]
pub struct CheckpointStore {
    directory: StateDirectory,
    saved: Mutex<Option<Checkpoints>>,
    current: Mutex<Checkpoints>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl CheckpointStore {
    /// The checkpoints as they are now.
    pub fn current(&self) -> Checkpoints {
        locked(&self.current).clone()
    }

    /// Adds a shard that is not there yet.
    pub fn add_shard(&self, id: &str, start: Start) {
        locked(&self.current)
            .shards
            .entry(id.to_owned())
            .or_insert(ShardCheckpoint {
                position: None,
                records: 0,
                millis_behind_latest: 0,
                closed: false,
                start,
            });
    }

    /// Changes one shard's checkpoint in memory; [`CheckpointStore::save`] makes it last.
    pub fn update(&self, id: &str, change: impl FnOnce(&mut ShardCheckpoint)) {
        if let Some(shard) = locked(&self.current).shards.get_mut(id) {
            change(shard);
        }
    }

    /// Replaces the file atomically if anything changed since the last time.
    pub fn save(&self) -> Result<(), StateError> {
        let current = self.current();
        let mut saved = locked(&self.saved);
        if saved.as_ref() == Some(&current) {
            return Ok(());
        }
        let path = self.directory.path.join(FILE);
        let temporary = path.with_extension("json.new");
        let mut text =
            serde_json::to_vec_pretty(&current).map_err(|reason| StateError::Corrupt {
                path: path.clone(),
                reason,
            })?;
        text.push(b'\n');
        let write = || -> io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(&text)?;
            file.sync_all()?;
            fs::rename(&temporary, &path)?;
            File::open(&self.directory.path)?.sync_all()
        };
        write().map_err(io_error(&path))?;
        *saved = Some(current);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store(path: &Path) -> Result<CheckpointStore, StateError> {
        StateDirectory::lock(path)?.load("events", 1000)
    }

    #[test]
    fn what_was_saved_is_what_the_next_run_loads() {
        let directory = tempfile::tempdir().expect("directory");
        let first = store(directory.path()).expect("fresh");
        first.add_shard("shardId-000000000000", Start::TrimHorizon);
        first.add_shard("shardId-000000000001", Start::AtTimestamp(5));
        first.update("shardId-000000000000", |shard| {
            shard.position = Some(Position::from(42));
            shard.records = 7;
        });
        first.save().expect("saved");
        let kept = first.current();
        drop(first);
        assert_eq!(store(directory.path()).expect("kept").current(), kept);
    }

    #[test]
    fn the_file_has_the_documented_form() {
        let directory = tempfile::tempdir().expect("directory");
        let store = store(directory.path()).expect("fresh");
        locked(&store.current).uuid = Uuid::nil();
        store.add_shard("shardId-000000000000", Start::TrimHorizon);
        store.add_shard("shardId-000000000001", Start::AtTimestamp(5));
        store.update("shardId-000000000001", |shard| {
            shard.position = Some(Position::from(42));
            shard.records = 7;
        });
        store.save().expect("saved");
        insta::assert_snapshot!(fs::read_to_string(directory.path().join(FILE)).expect("file"));
    }

    #[test]
    fn a_second_instance_is_refused_and_told_who_holds_the_directory() {
        let directory = tempfile::tempdir().expect("directory");
        let first = store(directory.path()).expect("fresh");
        let refused = store(directory.path()).expect_err("locked").to_string();
        assert!(
            refused.contains(&format!("process {}", std::process::id())),
            "{refused}"
        );
        drop(first);
        store(directory.path()).expect("free again");
    }

    #[test]
    fn a_corrupt_file_is_an_error_and_stays_as_it_is() {
        let directory = tempfile::tempdir().expect("directory");
        let path = directory.path().join(FILE);
        for content in ["", "{", "[]", r#"{"stream":"events"}"#] {
            fs::write(&path, content).expect("written");
            let error = store(directory.path()).expect_err("corrupt");
            assert!(
                matches!(error, StateError::Corrupt { .. }),
                "{content}: {error}"
            );
            assert_eq!(fs::read_to_string(&path).expect("file"), content);
        }
    }

    #[test]
    fn checkpoints_of_another_stream_or_of_an_earlier_one_of_that_name_are_refused() {
        let directory = tempfile::tempdir().expect("directory");
        store(directory.path())
            .expect("fresh")
            .save()
            .expect("saved");
        for (stream, created) in [("other", 1000), ("events", 2000)] {
            let state = StateDirectory::lock(directory.path()).expect("free");
            let error = state.load(stream, created).expect_err("another stream");
            assert!(matches!(error, StateError::OtherStream { .. }), "{error}");
        }
    }
}
