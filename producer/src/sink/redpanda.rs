//! A topic of Redpanda, or of any other broker that speaks Kafka's protocol.
//!
//! The producer is idempotent and waits for all in-sync replicas: what librdkafka sends again is stored once, and the
//! order of a key's records is kept. Its own retries go on until the record is given up.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use events::Reason;
use futures::future::join_all;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::statistics::Statistics;
use rdkafka::util::Timeout;

use crate::batch::Position;
use crate::generate::{Expected, Record};
use crate::totals::Totals;

/// The brokers answer within this, or are not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often librdkafka tells what it has sent again.
const STATISTICS_INTERVAL: Duration = Duration::from_millis(500);

/// A topic that exists.
pub struct Redpanda {
    producer: FutureProducer<Watch>,
    last_error: LastError,
    topic: String,
    give_up_after: Duration,
}

impl std::fmt::Debug for Redpanda {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Redpanda")
            .field("topic", &self.topic)
            .finish_non_exhaustive()
    }
}

/// What librdkafka tells about itself.
struct Watch {
    totals: Arc<Totals>,
    retries: AtomicU64,
    last_error: LastError,
}

/// The last thing that went wrong with a broker.
#[derive(Clone, Debug, Default)]
struct LastError(Arc<Mutex<Option<String>>>);

impl LastError {
    fn note(&self, reason: &str) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }

    /// To be put behind an error that does not say it.
    fn behind(&self, error: &str) -> String {
        match &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(reason) => format!("{error} ({reason})"),
            None => error.to_owned(),
        }
    }
}

impl ClientContext for Watch {
    /// librdkafka's own lines repeat what delivery reports and errors say.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason);
        self.last_error.note(reason);
    }

    fn stats(&self, statistics: Statistics) {
        let retries: u64 = statistics
            .brokers
            .values()
            .map(|broker| broker.txretries)
            .sum();
        let before = self.retries.fetch_max(retries, Relaxed);
        let more = usize::try_from(retries.saturating_sub(before)).unwrap_or_default();
        self.totals.count_retries(more);
    }
}

impl Redpanda {
    /// Checks the topic, so that a wrong name or broker is told before the first record is made. `properties` are
    /// librdkafka's own, and win.
    pub async fn connect(
        brokers: &str,
        topic: &str,
        properties: &[(String, String)],
        give_up_after: Duration,
        totals: Arc<Totals>,
    ) -> Result<Self> {
        let mut config = ClientConfig::new();
        let milliseconds = |time: Duration| time.as_millis().to_string();
        config
            .set("bootstrap.servers", brokers)
            .set("client.id", "tributary-producer")
            .set("enable.idempotence", "true")
            .set("acks", "all")
            .set("compression.codec", "zstd")
            .set("linger.ms", "5")
            .set("delivery.timeout.ms", milliseconds(give_up_after))
            .set("statistics.interval.ms", milliseconds(STATISTICS_INTERVAL));
        for (name, value) in properties {
            config.set(name, value);
        }
        let last_error = LastError::default();
        let watch = Watch {
            totals,
            retries: AtomicU64::default(),
            last_error: last_error.clone(),
        };
        let producer: FutureProducer<Watch> = config
            .create_with_context(watch)
            .context("the settings of the Kafka client")?;
        let client = producer.clone();
        // Of all topics: asking for one by name could create it.
        let metadata = tokio::task::spawn_blocking(move || {
            client.client().fetch_metadata(None, CONNECT_TIMEOUT)
        });
        let metadata = metadata.await.context("asking for the topics")?;
        let metadata = metadata
            .with_context(|| last_error.behind(&format!("cannot reach the brokers {brokers}")))?;
        if !metadata
            .topics()
            .iter()
            .any(|found| found.name() == topic && found.error().is_none())
        {
            bail!("there is no topic {topic} at {brokers}");
        }
        Ok(Self {
            producer,
            last_error,
            topic: topic.to_owned(),
            give_up_after,
        })
    }

    pub(super) async fn deliver(
        &self,
        batch: Vec<Record>,
        totals: &Totals,
    ) -> Vec<(Expected, Position)> {
        let reports = join_all(batch.iter().map(|record| self.send(record))).await;
        let mut acknowledged = Vec::with_capacity(batch.len());
        let mut given_up = 0;
        for (record, report) in batch.iter().zip(reports) {
            match report {
                Ok(position) => acknowledged.push((of_topic(record.expected), position)),
                Err(error) => {
                    given_up += 1;
                    let error = self.last_error.behind(&error.to_string());
                    if totals.note_error(&error) {
                        tracing::warn!(error, "a record was not stored");
                    }
                }
            }
        }
        totals.count_failed(given_up);
        acknowledged
    }

    async fn send(&self, record: &Record) -> Result<Position, KafkaError> {
        let message = FutureRecord::to(&self.topic)
            .key(&*record.partition_key)
            .payload(&*record.payload);
        let delivery = self
            .producer
            .send(message, Timeout::After(self.give_up_after))
            .await
            .map_err(|(error, _)| error)?;
        Ok(Position {
            shard: delivery.partition.to_string(),
            sequence_number: delivery.offset.to_string(),
        })
    }
}

/// Aggregates of the Kinesis Producer Library are undone in a stream only: a corrupt one in a topic is a payload like
/// any other, and its first bytes are not UTF-8.
fn of_topic(expected: Expected) -> Expected {
    let reason = match expected.reason {
        Some(Reason::CorruptAggregate) => Some(Reason::InvalidUtf8),
        other => other,
    };
    Expected { reason, ..expected }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate::{Generator, Settings, Shares};
    use jiff::Timestamp;

    #[test]
    fn what_must_become_of_a_record_in_a_topic_is_what_the_pipeline_makes_of_it() {
        let mut generator = Generator::new(&Settings {
            seed: 1,
            devices: 10,
            shares: Shares {
                duplicates: 0.0,
                malformed: 1.0,
                late: 0.0,
                outliers: 0.0,
                test_events: 0.0,
            },
        });
        let mut aggregates = 0;
        for _ in 0..500 {
            let record = generator.next_record(Timestamp::UNIX_EPOCH);
            if record.expected.reason == Some(Reason::CorruptAggregate) {
                aggregates += 1;
                let parsed = pipeline::parse::parse(&record.payload, 0, events::Contract::ours());
                let reason = parsed.expect_err("rejected").reason;
                assert_eq!(of_topic(record.expected).reason, Some(reason));
            }
        }
        assert!(aggregates > 0);
    }
}
