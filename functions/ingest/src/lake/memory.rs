//! A lake in memory, for tests: S3's semantics without its latency.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use pipeline::commit::Created;
use pipeline::layout::KeyRange;

use super::{Lake, Listed};
use crate::error::LakeError;

/// Objects by key. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    objects: Arc<Mutex<BTreeMap<String, Bytes>>>,
}

impl Memory {
    /// A copy of what is there, by key.
    pub fn objects(&self) -> BTreeMap<String, Bytes> {
        self.lock().clone()
    }

    /// Makes or replaces an object, which S3 does not do for the function.
    pub fn replace(&self, key: &str, body: Bytes) {
        self.lock().insert(key.to_owned(), body);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FromIterator<(String, Bytes)> for Memory {
    fn from_iter<I: IntoIterator<Item = (String, Bytes)>>(objects: I) -> Self {
        let objects = objects.into_iter().collect();
        Self {
            objects: Arc::new(Mutex::new(objects)),
        }
    }
}

impl Lake for Memory {
    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, LakeError> {
        let bounds = (
            Bound::Excluded(range.start_after.clone()),
            Bound::Excluded(range.end.clone()),
        );
        Ok(self
            .lock()
            .range(bounds)
            .map(|(key, body)| Listed {
                key: key.clone(),
                size: body.len() as u64,
            })
            .collect())
    }

    async fn get_suffix(&self, key: &str, bytes: u64) -> Result<Option<Bytes>, LakeError> {
        Ok(self.lock().get(key).map(|body| {
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX).min(body.len());
            body.slice(body.len() - bytes..)
        }))
    }

    async fn create(
        &self,
        key: &str,
        body: Bytes,
        _metadata: &[(&'static str, String)],
    ) -> Result<Created, LakeError> {
        let mut objects = self.lock();
        if objects.contains_key(key) {
            return Ok(Created::AlreadyExists);
        }
        objects.insert(key.to_owned(), body);
        Ok(Created::Yes)
    }
}
