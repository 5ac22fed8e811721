//! A member of the consumer group, and what librdkafka's callbacks report of it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use tokio::sync::mpsc;

use super::source::EventSource;
use crate::mapping::parameters::StartingPosition;

/// The brokers answer within this.
pub(super) const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often librdkafka tells how far the partitions reach.
const STATISTICS_INTERVAL_MS: &str = "1000";
/// A member that was killed is missed after so long; one that comes back under its name takes its place at once.
const SESSION_TIMEOUT_MS: &str = "10000";

/// What the consumer's callbacks report.
pub(super) enum Event {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    /// The offsets after the newest records.
    Ends(BTreeMap<i32, i64>),
}

pub(super) struct Context {
    topic: String,
    events: mpsc::UnboundedSender<Event>,
}

impl Context {
    fn send(&self, event: Event) {
        // Nobody listens any more when the poller has ended.
        let _ = self.events.send(event);
    }
}

fn partitions(list: &TopicPartitionList) -> Vec<i32> {
    let elements = list.elements();
    elements
        .iter()
        .map(TopicPartitionListElem::partition)
        .collect()
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!("{error}: {reason}");
    }

    fn stats(&self, statistics: Statistics) {
        let Some(topic) = statistics.topics.get(&self.topic) else {
            return;
        };
        let known = topic
            .partitions
            .values()
            .filter(|partition| partition.hi_offset >= 0);
        let ends = known.map(|partition| (partition.partition, partition.hi_offset));
        self.send(Event::Ends(ends.collect()));
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(list) = rebalance {
            self.send(Event::Revoked(partitions(list)));
        }
    }

    fn post_rebalance(&self, _: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(list) => self.send(Event::Assigned(partitions(list))),
            Rebalance::Revoke(_) => {}
            Rebalance::Error(error) => tracing::warn!("the consumer group: {error}"),
        }
    }
}

/// Joins the group. `number` tells the pollers of an event source apart.
pub(super) fn join(
    source: &EventSource,
    number: usize,
    events: mpsc::UnboundedSender<Event>,
) -> anyhow::Result<StreamConsumer<Context>> {
    let topic = source.envelope.topic();
    let reset = match source.delivery.mapping.starting_position {
        StartingPosition::Latest => "latest",
        _ => "earliest",
    };
    let member = format!("{}-{number}", source.delivery.checkpoints.current().uuid);
    let mut config = source.config.clone();
    config
        .set("group.id", &source.consumer_group)
        .set("group.instance.id", member)
        .set("client.id", "tributary-event-source")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", reset)
        .set("session.timeout.ms", SESSION_TIMEOUT_MS)
        .set("statistics.interval.ms", STATISTICS_INTERVAL_MS);
    let context = Context {
        topic: topic.to_owned(),
        events,
    };
    let consumer: StreamConsumer<Context> = config
        .create_with_context(context)
        .context("the settings of the Kafka client")?;
    consumer.subscribe(&[topic])?;
    Ok(consumer)
}

/// Whether the topic is there; asking for it by name could create it.
pub(super) fn check_topic(source: &EventSource) -> anyhow::Result<()> {
    let (topic, brokers) = (source.envelope.topic(), &source.brokers);
    let client: BaseConsumer = source.config.create()?;
    let metadata = client.fetch_metadata(None, BROKER_TIMEOUT);
    let metadata = metadata.with_context(|| format!("cannot reach the brokers {brokers}"))?;
    let mut topics = metadata.topics().iter();
    if !topics.any(|found| found.name() == topic && found.error().is_none()) {
        anyhow::bail!("there is no topic {topic:?} at {brokers}");
    }
    Ok(())
}

/// Whether reading on is of no use.
pub(super) fn is_fatal(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(RDKafkaErrorCode::Fatal | RDKafkaErrorCode::FencedInstanceId)
    )
}
