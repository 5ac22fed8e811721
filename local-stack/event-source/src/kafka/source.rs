//! An event source of a topic, and how its batches are delivered.

use std::collections::BTreeMap;
use std::sync::Arc;

use rdkafka::config::ClientConfig;

use super::answer::{self, Answer, Failures};
use super::envelope::Envelope;
use super::given_up::Batch;
use super::poller::PartialRetry;
use super::record::Record;
use crate::mapping::delivery::{self, Delivery};
use crate::mapping::given_up::BatchInfo;
use crate::mapping::position::Millis;

/// Everything that the pollers share.
#[derive(Debug)]
pub struct EventSource {
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
    /// The form of the event, and the topic.
    pub envelope: Envelope,
    /// What is invoked, and how. Its checkpoints are a copy of what the group has committed, with what people want to
    /// know besides.
    pub delivery: Arc<Delivery>,
}

impl delivery::Source for EventSource {
    type Record = Record;
    type Partial = Failures;

    fn of(&self) -> &str {
        self.envelope.topic()
    }

    fn payload(&self, records: &[Record]) -> Vec<u8> {
        self.envelope.payload(records)
    }

    fn read(&self, body: &[u8], records: &[Record]) -> Answer {
        let report = self.delivery.mapping.report_batch_item_failures;
        answer::read(body, report, self.envelope.topic(), records)
    }

    fn is_left(&self, failures: &Failures, record: &Record) -> bool {
        self.partial_retry.is_left(failures, record)
    }

    fn first_left(failures: &Failures) -> String {
        let lowest: BTreeMap<_, _> = failures
            .iter()
            .filter_map(|(partition, offsets)| Some((partition, offsets.first()?)))
            .collect();
        format!("{lowest:?}")
    }

    fn place(record: &Record) -> String {
        format!("{}/{}", record.partition, record.offset)
    }

    fn iterator_age(_: &[Record], _: Millis) -> Option<Millis> {
        None
    }

    fn batch_info<'a>(
        &'a self,
        records: &'a [Record],
        payload_bytes: usize,
    ) -> impl BatchInfo + Sync {
        Batch {
            topic: self.envelope.topic(),
            brokers: &self.brokers,
            records,
            payload_bytes,
        }
    }
}
