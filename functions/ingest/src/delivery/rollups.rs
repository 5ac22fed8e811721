//! The rollups of committed objects: this delivery's own, and those that other deliveries left out.

use bytes::Bytes;
use futures::StreamExt;
use pipeline::commit::{self, Created};
use pipeline::layout::ObjectName;
use pipeline::rollup;

use super::{Delivery, Shared};
use crate::error::BatchError;
use crate::lake::Lake;

/// Rollups under way at once: nearly every batch has one.
const CONCURRENT_ROLLUPS: usize = 8;

impl<L: Lake + Sync, G> Delivery<'_, L, G> {
    /// Gives every object of the window its rollup.
    pub(super) async fn make_rollups(&mut self) -> Result<(), BatchError> {
        // What fails here is missing, and made below.
        let rollups = std::mem::take(&mut self.rollups);
        let mut creates = Vec::with_capacity(rollups.len());
        for (name, body) in &rollups {
            creates.push(self.create_rollup(name, body.clone()));
        }
        let created: Vec<_> = futures::stream::iter(creates)
            .buffered(CONCURRENT_ROLLUPS)
            .collect()
            .await;
        for ((name, _), there) in rollups.iter().zip(created) {
            if matches!(there, Ok(true)) {
                self.window.has_rollup(name);
            }
        }
        self.make_missing_rollups().await
    }

    /// Creates a rollup, unless somebody else has; whether it is known to be there then.
    async fn create_rollup(&self, name: &ObjectName, body: Bytes) -> Result<bool, BatchError> {
        let key = name.rollups_key();
        let created = self.create_within_deadline(&key, body, &[]).await?;
        Ok(matches!(created, Created::Yes | Created::AlreadyExists))
    }

    /// Makes the rollups that objects of the window lack: those that this delivery could not create at once, and those
    /// of deliveries that ended between an object and its rollup.
    async fn make_missing_rollups(&mut self) -> Result<(), BatchError> {
        for _ in 0..commit::MAX_UNCERTAIN {
            if self.window.without_rollup().is_none() {
                return Ok(());
            }
            let until = self.time_limit()?;
            let missing = self.window.missing_rollups(&self.shared.lake);
            let missing = tokio::time::timeout_at(until, missing).await;
            for (name, size) in missing.map_err(|_| BatchError::Deadline)?? {
                self.make_rollup(&name, size).await?;
            }
        }
        match self.window.without_rollup() {
            None => Ok(()),
            Some(name) => Err(BatchError::NoRollup {
                key: name.rollups_key(),
            }),
        }
    }

    /// Makes the rollup of an object of `size` bytes that is committed.
    async fn make_rollup(&mut self, name: &ObjectName, size: u64) -> Result<(), BatchError> {
        let until = self.time_limit()?;
        let key = name.events_key();
        let get = tokio::time::timeout_at(until, self.shared.lake.get_suffix(&key, size));
        let Some(object) = get.await.map_err(|_| BatchError::Deadline)?? else {
            // Gone since the listing: expired, or compacted away.
            self.window.has_rollup(name);
            return Ok(());
        };
        let Shared {
            settings,
            hash_seed,
            ..
        } = self.shared;
        let rollup = rollup::of_object(object, settings.lateness, *hash_seed).map_err(|error| {
            let cause = error.to_string();
            BatchError::Unreadable { key, cause }
        })?;
        tracing::info!(key = name.rollups_key(), "rollup_was_missing");
        if self.create_rollup(name, rollup.body).await? {
            self.window.has_rollup(name);
        }
        Ok(())
    }
}
