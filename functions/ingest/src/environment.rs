//! One execution environment: what surrounds the handler in every invocation, up to the answer.

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use futures::FutureExt;
use pipeline::decode::{self, EnvelopeError};
use tokio::time::Instant;

use crate::config::{Broker, PartialResponses};
use crate::counts::BatchCounts;
use crate::handler::{Handler, Outcome};
use crate::lake::Lake;
use crate::lineage::Lineage;
use crate::publish::{self, Circumstances, Metrics};
use crate::response::{self, BatchFailed, BatchResponse};

/// What remains for the answer, over the Runtime API, when metrics are cut off.
const ANSWER_RESERVE: Duration = Duration::from_millis(100);

/// Why an invocation fails: its records are delivered again, as a whole.
#[derive(Debug, thiserror::Error)]
pub enum InvocationFailed {
    /// The event is not one that Lambda makes.
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    /// Records were not committed, and the mapping does not read partial responses.
    #[error(transparent)]
    Batch(#[from] BatchFailed),
}

/// An execution environment of the function.
#[derive(Debug)]
pub struct Environment<L, G, M> {
    handler: Handler<L, G>,
    broker: Broker,
    partial_responses: PartialResponses,
    metrics: Option<M>,
    cold: bool,
}

impl<L: Lake + Sync, G: Lineage + Sync, M: Metrics + Sync> Environment<L, G, M> {
    /// A cold one. Without `metrics` nothing is published.
    pub fn new(
        handler: Handler<L, G>,
        broker: Broker,
        partial_responses: PartialResponses,
        metrics: Option<M>,
    ) -> Self {
        Self {
            handler,
            broker,
            partial_responses,
            metrics,
            cold: true,
        }
    }

    /// Carries an event into the lake, publishes its counts, and answers before `deadline`.
    ///
    /// # Errors
    /// [`InvocationFailed`], which Lambda is told as the function's error.
    pub async fn invoke(
        &mut self,
        event: &[u8],
        deadline: Instant,
    ) -> Result<BatchResponse, InvocationFailed> {
        let started = Instant::now();
        let batches = match self.broker {
            Broker::Kinesis => vec![decode::kinesis(event)?],
            Broker::Kafka => decode::kafka(event)?,
        };
        let mut deliveries = self.handler.begin(&batches, deadline);
        deliveries.commit_rows().await;
        let committed = deliveries.counts();
        let circumstances = Circumstances {
            cold_start: std::mem::replace(&mut self.cold, false),
            duration: started.elapsed(),
            now: SystemTime::now(),
        };
        let until = deadline.checked_sub(ANSWER_RESERVE).unwrap_or(deadline);
        let metrics = self.metrics.as_ref();
        let publish = publish::publish(metrics, &committed, circumstances, until).boxed();
        let (outcomes, ()) = futures::join!(deliveries.finish(), publish);
        for outcome in &outcomes {
            log(outcome, started.elapsed());
        }
        let failed_late = |(outcome, committed): &(&Outcome, &BatchCounts)| {
            outcome.counts.failed && !committed.failed
        };
        let failed_late = outcomes.iter().zip(&committed).filter(failed_late);
        let streams: BTreeSet<&str> = failed_late
            .map(|(outcome, _)| outcome.counts.stream.as_str())
            .collect();
        publish::publish_failures(metrics, &streams, circumstances.now, until).await;
        Ok(response::of(
            self.broker,
            &outcomes,
            self.partial_responses,
        )?)
    }
}

fn log(outcome: &Outcome, duration: Duration) {
    let counts = &outcome.counts;
    tracing::info!(
        stream = counts.stream,
        shard = counts.shard,
        received = counts.received,
        written = counts.written,
        objects = counts.objects,
        duplicates = counts.duplicates,
        filtered = counts.filtered,
        rejected = counts.rejected_total(),
        late = counts.late,
        handed_back = counts.handed_back,
        conflicts = counts.conflicts,
        window_reads = counts.window_reads,
        milliseconds = duration.as_secs_f64() * 1000.0,
        "batch"
    );
    if let Some(error) = &outcome.error {
        tracing::error!(
            stream = counts.stream,
            shard = counts.shard,
            from = outcome.failed_from,
            %error,
            "batch_handed_back"
        );
    }
}
