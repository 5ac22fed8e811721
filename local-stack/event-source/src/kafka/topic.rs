//! Making a topic as the pipeline needs it, or checking one that exists.

use std::time::Duration;

use anyhow::{Context as _, bail};
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::types::RDKafkaErrorCode;

const TIMEOUT: Duration = Duration::from_secs(10);

/// Arrival must be the broker's time, as it is with Kinesis: lateness and the rule of 24 hours measure against it.
const TIMESTAMP_TYPE: (&str, &str) = ("message.timestamp.type", "LogAppendTime");

/// The settings of a client, with librdkafka's own `properties` over them.
pub fn client_config(brokers: &str, properties: &[(String, String)]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    for (name, value) in properties {
        config.set(name, value);
    }
    config
}

/// Makes the topic with so many partitions, or checks that one of this name has the broker's time stamps. An existing
/// topic is not changed. Returns whether it was made.
pub async fn provision(
    config: &ClientConfig,
    topic: &str,
    partitions: i32,
    replicas: i32,
) -> anyhow::Result<bool> {
    let admin: AdminClient<DefaultClientContext> = config
        .create()
        .context("the settings of the Kafka client")?;
    let new = NewTopic::new(topic, partitions, TopicReplication::Fixed(replicas));
    let is_new = make(&admin, new).await?;
    if !is_new {
        check(&admin, topic).await?;
    }
    Ok(is_new)
}

/// Whether the topic was made, and was not there before.
async fn make(
    admin: &AdminClient<DefaultClientContext>,
    new: NewTopic<'_>,
) -> anyhow::Result<bool> {
    let topic = new.name;
    let (name, value) = TIMESTAMP_TYPE;
    let new = new.set(name, value);
    let results = admin.create_topics([&new], &options()).await;
    let result = results.with_context(|| format!("topic {topic:?}"))?.pop();
    match result {
        Some(Ok(_)) => Ok(true),
        Some(Err((_, RDKafkaErrorCode::TopicAlreadyExists))) => Ok(false),
        Some(Err((_, reason))) => bail!("topic {topic:?}: {reason}"),
        None => bail!("topic {topic:?}: the broker said nothing about it"),
    }
}

/// Fails unless the topic has the broker's time stamps.
async fn check(admin: &AdminClient<DefaultClientContext>, topic: &str) -> anyhow::Result<()> {
    let results = admin
        .describe_configs([&ResourceSpecifier::Topic(topic)], &options())
        .await;
    let result = results.with_context(|| format!("topic {topic:?}"))?.pop();
    let settings = match result.context("no description")? {
        Ok(settings) => settings,
        Err(reason) => bail!("topic {topic:?}: {reason}"),
    };
    let (name, value) = TIMESTAMP_TYPE;
    let found = settings.get(name).and_then(|entry| entry.value.as_deref());
    if found != Some(value) {
        let found = found.unwrap_or("not set");
        bail!("topic {topic:?}: {name} is {found}, must be {value}: arrival is the broker's time");
    }
    Ok(())
}

fn options() -> AdminOptions {
    AdminOptions::new()
        .operation_timeout(Some(TIMEOUT))
        .request_timeout(Some(TIMEOUT))
}
