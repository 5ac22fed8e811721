//! Requests to the lake, within what the deadline leaves.

use std::time::Duration;

use bytes::Bytes;
use pipeline::commit::{Created, Decision, Setbacks};
use tokio::time::Instant;

use super::Delivery;
use crate::error::BatchError;
use crate::lake::Lake;

/// A request to the lake starts only with more time left than this.
const REQUEST_RESERVE: Duration = Duration::from_secs(1);
/// What remains for metrics and answer when a request is cut off.
const ANSWER_RESERVE: Duration = Duration::from_millis(250);

impl<L: Lake + Sync, G> Delivery<'_, L, G> {
    /// Its name says what the object holds, so one that is there already is the same.
    pub(super) async fn quarantine(
        &self,
        object: Option<(String, Bytes)>,
    ) -> Result<(), BatchError> {
        let Some((key, lines)) = object else {
            return Ok(());
        };
        let mut setbacks = Setbacks::default();
        loop {
            let created = self
                .create_within_deadline(&key, lines.clone(), &[])
                .await?;
            if matches!(created, Created::Yes | Created::AlreadyExists) {
                return Ok(());
            }
            match setbacks.after_create(created) {
                Decision::LookAgain { wait_ms } => {
                    self.wait(wait_ms).await?;
                }
                Decision::Committed | Decision::HandBack => {
                    return Err(BatchError::NotQuarantined {
                        key,
                        uncertain: setbacks.uncertain,
                    });
                }
            }
        }
    }

    pub(super) async fn create_within_deadline(
        &self,
        key: &str,
        body: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<Created, BatchError> {
        let until = self.time_limit()?;
        let create = self.shared.lake.create(key, body, metadata);
        match tokio::time::timeout_at(until, create).await {
            Ok(created) => Ok(created?),
            Err(_) => Ok(Created::Unknown),
        }
    }

    /// Waits before another request, unless there is no time for it: a create that was cut off leaves less than the wait
    /// that follows it.
    pub(super) async fn wait(&self, wait_ms: u64) -> Result<(), BatchError> {
        self.time_limit()?;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        Ok(())
    }

    /// When the request that starts now is cut off; an error if it is too late to start one.
    pub(super) fn time_limit(&self) -> Result<Instant, BatchError> {
        let remaining = self.deadline.saturating_duration_since(Instant::now());
        if remaining <= REQUEST_RESERVE {
            return Err(BatchError::Deadline);
        }
        Ok(self.deadline - ANSWER_RESERVE)
    }
}
