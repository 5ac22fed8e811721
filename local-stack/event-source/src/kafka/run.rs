//! The mapping at work: a task per poller, each a member of the consumer group, drives its state machine. The group's
//! committed offsets are the checkpoints; the state directory holds a copy for people to look at.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::reader::{check_topic, is_fatal, join};
use super::source::EventSource;
use super::task::PollerTask;
use crate::mapping::delivery::SAVE_INTERVAL;
use crate::mapping::time::reached;

/// Runs until `stop` turns true, or an error that a retry would not fix. Metrics are published with `cloudwatch`,
/// if there is one.
pub async fn run(
    source: EventSource,
    cloudwatch: Option<aws_sdk_cloudwatch::Client>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let source = Arc::new(source);
    let delivery = Arc::clone(&source.delivery);
    let publishing = delivery.publish(cloudwatch);
    let mut pollers = JoinSet::new();
    for number in 0..source.pollers {
        pollers.spawn(run_poller(Arc::clone(&source), number, stop.clone()));
    }
    let mut save = interval(SAVE_INTERVAL);
    let failure = loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break None,
            _ = save.tick() => delivery.checkpoints.save()?,
            Some(ended) = pollers.join_next() => {
                if let Err(error) = ended.context("a poller's task panicked").flatten() {
                    break Some(error);
                }
            }
        }
    };
    delivery.end(pollers, failure, publishing).await
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
        let wake_at = task.poller.wake_at();
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
            () = reached(wake_at) => {}
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
