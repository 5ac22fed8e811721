//! A lake that fails on demand, and remembers what it was asked.

use std::sync::Mutex;

use bytes::Bytes;
use ingest::error::LakeError;
use ingest::lake::{Lake, Listed, Memory};
use pipeline::commit::Created;
use pipeline::layout::{KeyRange, QUARANTINE, ROLLUPS};

use super::{Record, deliver, environment};

/// What a [`Faulty`] lake does instead of an operation, once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    ListFails,
    QuarantineRefused,
    /// The object is made, and the answer is lost.
    QuarantineUnanswered,
    CreateRefused,
    /// The object is made, and the answer is lost.
    CreateUnanswered,
    /// The request is lost, and so is the answer.
    CreateLost,
    CreateConflict,
    CreateHangs,
    /// Another environment commits [`Faulty::winner`] just before.
    CreateOvertaken,
    /// No fault: the next one is for a later create.
    CreatePasses,
    RollupRefused,
    /// The rollup is made, and the answer is lost.
    RollupUnanswered,
    RollupLost,
}

/// A lake with faults that are used up in order, and a count of what it was asked.
#[derive(Default)]
pub struct Faulty {
    pub memory: Memory,
    pub faults: Mutex<Vec<Fault>>,
    pub requests: Mutex<Vec<&'static str>>,
    pub winner: Vec<Record>,
}

impl Faulty {
    pub fn new(faults: &[Fault]) -> Self {
        Self {
            faults: Mutex::new(faults.to_vec()),
            ..Self::default()
        }
    }

    pub fn on(memory: &Memory, faults: &[Fault]) -> Self {
        Self {
            memory: memory.clone(),
            ..Self::new(faults)
        }
    }

    fn count(&self, request: &'static str) {
        self.requests.lock().expect("not poisoned").push(request);
    }

    fn take(&self, among: &[Fault]) -> Option<Fault> {
        let mut faults = self.faults.lock().expect("not poisoned");
        let next = faults
            .first()
            .copied()
            .filter(|fault| among.contains(fault))?;
        faults.remove(0);
        Some(next)
    }

    pub fn requests(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.requests.lock().expect("not poisoned"))
    }

    async fn create_rollup(&self, key: &str, body: Bytes) -> Result<Created, LakeError> {
        self.count("ROLLUP");
        let faults = [
            Fault::RollupRefused,
            Fault::RollupUnanswered,
            Fault::RollupLost,
        ];
        match self.take(&faults) {
            Some(Fault::RollupRefused) => Err(failure("create", key)),
            Some(Fault::RollupLost) => Ok(Created::Unknown),
            Some(_) => {
                self.memory.create(key, body, &[]).await?;
                Ok(Created::Unknown)
            }
            None => self.memory.create(key, body, &[]).await,
        }
    }

    async fn create_quarantine(&self, key: &str, body: Bytes) -> Result<Created, LakeError> {
        self.count("QUARANTINE");
        match self.take(&[Fault::QuarantineRefused, Fault::QuarantineUnanswered]) {
            Some(Fault::QuarantineRefused) => Err(failure("create", key)),
            Some(_) => {
                self.memory.create(key, body, &[]).await?;
                Ok(Created::Unknown)
            }
            None => self.memory.create(key, body, &[]).await,
        }
    }
}

fn failure(operation: &'static str, key: &str) -> LakeError {
    LakeError {
        operation,
        key: key.to_owned(),
        cause: "a fault".to_owned(),
    }
}

impl Lake for &Faulty {
    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, LakeError> {
        let of_rollups = range.prefix.starts_with(ROLLUPS);
        self.count(if of_rollups { "LIST ROLLUPS" } else { "LIST" });
        match self.take(&[Fault::ListFails]) {
            Some(_) => Err(failure("list", &range.prefix)),
            None => self.memory.list(range).await,
        }
    }

    async fn get_suffix(&self, key: &str, bytes: u64) -> Result<Option<Bytes>, LakeError> {
        self.count("GET");
        self.memory.get_suffix(key, bytes).await
    }

    async fn create(
        &self,
        key: &str,
        body: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<Created, LakeError> {
        if key.starts_with(ROLLUPS) {
            return self.create_rollup(key, body).await;
        }
        if key.starts_with(QUARANTINE) {
            return self.create_quarantine(key, body).await;
        }
        self.count("CREATE");
        let faults = [
            Fault::CreateRefused,
            Fault::CreateUnanswered,
            Fault::CreateLost,
            Fault::CreateConflict,
            Fault::CreateHangs,
            Fault::CreateOvertaken,
            Fault::CreatePasses,
        ];
        match self.take(&faults) {
            Some(Fault::CreateRefused) => Err(failure("create", key)),
            Some(Fault::CreateUnanswered) => {
                self.memory.create(key, body, metadata).await?;
                Ok(Created::Unknown)
            }
            Some(Fault::CreateConflict) => Ok(Created::Conflict),
            Some(Fault::CreateHangs) => std::future::pending().await,
            Some(Fault::CreateLost) => Ok(Created::Unknown),
            Some(Fault::CreateOvertaken) => {
                deliver(&mut environment(self.memory.clone()), &self.winner).await;
                self.memory.create(key, body, metadata).await
            }
            _ => self.memory.create(key, body, metadata).await,
        }
    }
}
