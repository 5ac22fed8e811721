//! The mapping at work: a task per poller, each a member of the consumer group, drives its state machine. The group's
//! committed offsets are the checkpoints; the state directory holds a copy for people to look at.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::config::ClientConfig;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::consumer::{check_topic, is_fatal, join};
use super::envelope::Envelope;
use super::poller::PartialRetry;
use super::task::PollerTask;
use crate::checkpoint::CheckpointStore;
use crate::function::Function;
use crate::mapping::Mapping;
use crate::metrics::Metrics;
use crate::on_failure::OnFailure;
use crate::run::{SAVE_INTERVAL, STOP_BOUND, now};

/// Everything that the pollers share.
#[derive(Debug)]
pub struct EventSource {
    /// The checked parameters.
    pub mapping: Mapping,
    /// What is retried of a partial answer.
    pub partial_retry: PartialRetry,
    /// Brokers and properties of the clients.
    pub config: ClientConfig,
    /// The brokers, as they were given.
    pub brokers: String,
    /// `ConsumerGroupId`.
    pub consumer_group: String,
    /// Members of the group, each with one batch in flight.
    pub pollers: usize,
    /// What is invoked.
    pub function: Function,
    /// Where batches go that were given up; without one they are discarded, with an error in the log.
    pub on_failure: Option<OnFailure>,
    /// What Lambda would publish.
    pub metrics: Metrics,
    /// A copy of what the group has committed, with what people want to know besides.
    pub checkpoints: CheckpointStore,
    /// The form of the event, and the topic.
    pub envelope: Envelope,
}

/// Runs until `stop` turns true, or an error that trying again would not mend. Metrics are published with `cloudwatch`,
/// if there is one.
pub async fn run(
    source: EventSource,
    cloudwatch: Option<aws_sdk_cloudwatch::Client>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let source = Arc::new(source);
    let (ended, end) = watch::channel(false);
    let publisher = cloudwatch.map(|client| {
        let source = Arc::clone(&source);
        tokio::spawn(async move { source.metrics.publish(client, end).await })
    });
    let mut pollers = JoinSet::new();
    for number in 0..source.pollers {
        pollers.spawn(run_poller(Arc::clone(&source), number, stop.clone()));
    }
    let mut save = interval(SAVE_INTERVAL);
    let failure = loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break None,
            _ = save.tick() => source.checkpoints.save()?,
            Some(ended) = pollers.join_next() => {
                if let Err(error) = ended.context("a poller's task panicked").flatten() {
                    break Some(error);
                }
            }
        }
    };
    source.function.start_no_more();
    if failure.is_none() {
        let drained = async { while pollers.join_next().await.is_some() {} };
        if timeout(STOP_BOUND, drained).await.is_err() {
            tracing::warn!(
                "invocations in flight were abandoned; their records will be delivered again"
            );
        }
    }
    pollers.shutdown().await;
    source.function.stop();
    source.checkpoints.save()?;
    ended.send_replace(true);
    if let Some(publisher) = publisher {
        publisher.await?;
    }
    failure.map_or(Ok(()), Err)
}

async fn run_poller(
    source: Arc<EventSource>,
    number: usize,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let checked = Arc::clone(&source);
    tokio::task::spawn_blocking(move || check_topic(&checked)).await??;
    let (sender, mut events) = mpsc::unbounded_channel();
    let consumer = Arc::new(join(&source, number, sender)?);
    let mut task = PollerTask::new(source, Arc::clone(&consumer));
    let mut repeat = interval(Duration::from_secs(1));
    repeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        // A record may come with the callback that assigns its partition: the callback first.
        while let Ok(event) = events.try_recv() {
            task.hear(event);
        }
        task.note_what_was_done_before().await?;
        task.act();
        task.let_flow();
        let wake = task.poller.wake_at().map(|at| at.saturating_sub(now()));
        let wake = wake.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            Some(event) = events.recv() => task.hear(event),
            // The client's callbacks run in it too.
            message = consumer.recv(), if task.listens() => match message {
                Ok(message) => {
                    while let Ok(event) = events.try_recv() {
                        task.hear(event);
                    }
                    task.take(&message);
                }
                Err(error) if is_fatal(&error) => return Err(error.into()),
                Err(error) => tracing::warn!("reading failed: {error}"),
            },
            Some(done) = task.running.join_next() => task.report(done?),
            // What could not be committed is tried again, with what is done by then.
            _ = repeat.tick() => task.commit(),
            () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
        }
    }
    while let Some(done) = task.running.join_next().await {
        task.report(done?);
        task.note_progress();
    }
    drop(task);
    // Leaving the group blocks.
    tokio::task::spawn_blocking(move || drop(consumer)).await?;
    Ok(())
}
