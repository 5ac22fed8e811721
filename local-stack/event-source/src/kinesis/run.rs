//! The mapping at work: a task per shard drives its state machine; the coordinator starts shards as their lineage
//! allows and keeps the checkpoints on disk.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::lineage::Lineage;
use super::source::EventSource;
use super::task::{ShardEnd, run_shard};
use crate::mapping::delivery::SAVE_INTERVAL;
use crate::mapping::time::now;

const LIST_INTERVAL: Duration = Duration::from_secs(10);

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
    let mut lineage = Lineage::default();
    for (id, shard) in &delivery.checkpoints.current().shards {
        lineage.restore(id, shard.start, shard.closed);
    }
    let mut shards: JoinSet<anyhow::Result<ShardEnd>> = JoinSet::new();
    let mut save = interval(SAVE_INTERVAL);
    let mut list = interval(LIST_INTERVAL);
    list.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first_listing = true;
    let mut failure = None;
    loop {
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            _ = save.tick() => delivery.checkpoints.save()?,
            _ = list.tick() => match source.stream.list_shards().await {
                Ok(listing) => {
                    lineage.observe(&listing, delivery.mapping.starting_position, now());
                    first_listing = false;
                }
                Err(error) if first_listing => return Err(error.into()),
                Err(error) => tracing::warn!("{error}"),
            },
            Some(ended) = shards.join_next() => match ended.context("a shard's task panicked").flatten() {
                Ok(ShardEnd::Stopped) => {}
                Ok(ShardEnd::Finished(id)) => {
                    tracing::info!(shard = id, "finished: the shard ended and all its records are done with");
                    delivery.checkpoints.update(&id, |shard| shard.closed = true);
                    lineage.finish(&id);
                    // Its children may not be known yet.
                    list.reset_immediately();
                }
                Err(error) => {
                    failure = Some(error);
                    break;
                }
            },
        }
        for (id, start) in lineage.starts() {
            delivery.checkpoints.add_shard(id, start);
        }
        // Where a shard starts is on disk before anything of it is read.
        delivery.checkpoints.save()?;
        while let Some((id, start)) = lineage.start_next() {
            shards.spawn(run_shard(Arc::clone(&source), id, start, stop.clone()));
        }
    }
    delivery.end(shards, failure, publishing).await
}
