//! What one poller has under way: its state machine's actions, carried out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::{CommitMode, Consumer, StreamConsumer};
use rdkafka::error::KafkaResult;
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, Timestamp};
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use super::poller::{Action, Outcome, Poller, Progress};
use super::reader::{BROKER_TIMEOUT, Context, Event};
use super::record::{Message, TimestampType};
use super::source::EventSource;
use crate::mapping::position::{Millis, Position, Start};
use crate::mapping::time::now;

/// Without room for so long, the partitions are paused, so that the client's callbacks go on without records. Not at
/// once: what was fetched ahead is dropped with a pause, and fetched again half a second later.
const PAUSE_AFTER: Duration = Duration::from_secs(5);

/// What a poller's running work reports back.
pub(super) enum Done {
    Invoked(Uuid, Outcome),
    HandedOver,
    /// Next offsets of partitions, and whether the group has them now.
    Committed(Vec<(i32, i64)>, KafkaResult<()>),
}

/// One poller at work.
pub(super) struct PollerTask {
    source: Arc<EventSource>,
    consumer: Arc<StreamConsumer<Context>>,
    pub(super) poller: Poller,
    pub(super) running: JoinSet<Done>,
    last_request: Option<Uuid>,
    /// Partitions of which is not known yet how far the group is with them.
    assigned: BTreeSet<i32>,
    /// Progress that the group has not confirmed yet.
    unconfirmed: BTreeMap<i32, Progress>,
    /// Whether a commit is under way: the next one waits for its end, so that no older one comes last.
    committing: bool,
    /// The offset after the last record done with, of each partition that is this poller's.
    done: BTreeMap<i32, i64>,
    /// Time stamp of the last record read.
    last_read: BTreeMap<i32, Millis>,
    /// Since when there is no room for records.
    full_since: Option<Instant>,
    paused: bool,
}

impl PollerTask {
    /// One without a partition.
    pub(super) fn new(source: Arc<EventSource>, consumer: Arc<StreamConsumer<Context>>) -> Self {
        let poller = Poller::new(
            source.delivery.mapping,
            source.partial_retry,
            source.envelope.clone(),
        );
        Self {
            source,
            consumer,
            poller,
            running: JoinSet::new(),
            last_request: None,
            assigned: BTreeSet::new(),
            unconfirmed: BTreeMap::new(),
            committing: false,
            done: BTreeMap::new(),
            last_read: BTreeMap::new(),
            full_since: None,
            paused: false,
        }
    }

    /// Whether to ask the client for more: it has room for records, or the client has none for it.
    pub(super) fn listens(&self) -> bool {
        self.full_since.is_none() || self.paused
    }

    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::Assigned(partitions) => {
                for partition in partitions {
                    self.poller.assign(partition);
                    self.assigned.insert(partition);
                }
                // New partitions come unpaused.
                self.paused = false;
            }
            Event::Revoked(partitions) => {
                tracing::info!(?partitions, "revoked");
                for partition in partitions {
                    self.poller.revoke(partition);
                    self.assigned.remove(&partition);
                    self.done.remove(&partition);
                    self.unconfirmed.remove(&partition);
                }
            }
            Event::Ends(ends) => self.note_lag(&ends),
        }
    }

    /// The copy of the checkpoints may be older than the group's: this process, or another one, may have been killed
    /// before it was written.
    pub(super) async fn note_what_was_done_before(&mut self) -> anyhow::Result<()> {
        if self.assigned.is_empty() {
            return Ok(());
        }
        let mut list = TopicPartitionList::new();
        for partition in std::mem::take(&mut self.assigned) {
            list.add_partition(self.source.envelope.topic(), partition);
        }
        let consumer = Arc::clone(&self.consumer);
        let committed =
            tokio::task::spawn_blocking(move || consumer.committed_offsets(list, BROKER_TIMEOUT));
        let committed = committed.await?.context("the group's committed offsets")?;
        for element in committed.elements() {
            let partition = element.partition();
            let next = match element.offset() {
                Offset::Offset(next) => next,
                _ => 0,
            };
            tracing::info!(partition, next, "reading");
            let id = partition.to_string();
            self.source
                .delivery
                .checkpoints
                .add_shard(&id, Start::TrimHorizon);
            self.done.insert(partition, next);
            self.note_checkpoint(partition, next, 0);
        }
        Ok(())
    }

    pub(super) fn take(&mut self, message: &BorrowedMessage<'_>) {
        let (timestamp, timestamp_type) = match message.timestamp() {
            Timestamp::CreateTime(at) => (at, TimestampType::CreateTime),
            Timestamp::LogAppendTime(at) => (at, TimestampType::LogAppendTime),
            Timestamp::NotAvailable => (-1, TimestampType::None),
        };
        let headers: Vec<_> = message
            .headers()
            .into_iter()
            .flat_map(|headers| headers.iter().map(|header| (header.key, header.value)))
            .collect();
        let record = self.source.envelope.record(&Message {
            partition: message.partition(),
            offset: message.offset(),
            timestamp,
            timestamp_type,
            key: message.key(),
            value: message.payload(),
            headers: &headers,
        });
        self.last_read.insert(message.partition(), timestamp);
        self.poller.push(now(), record);
    }

    /// Pauses and resumes the partitions.
    pub(super) fn let_flow(&mut self) {
        let wants = self.poller.wants_records();
        let full_since = *self.full_since.get_or_insert_with(Instant::now);
        if wants {
            self.full_since = None;
        }
        let pause = !wants && full_since.elapsed() >= PAUSE_AFTER;
        if pause == self.paused {
            return;
        }
        let changed = self.consumer.assignment().and_then(|assignment| {
            if pause {
                self.consumer.pause(&assignment)
            } else {
                self.consumer.resume(&assignment)
            }
        });
        match changed {
            Ok(()) => self.paused = pause,
            Err(error) => tracing::warn!("the partitions could not be paused: {error}"),
        }
    }

    pub(super) fn act(&mut self) {
        while let Some(action) = self.poller.poll(now()) {
            let source = Arc::clone(&self.source);
            match action {
                Action::Commit(progress) => {
                    self.add_unconfirmed(&progress);
                    self.commit();
                }
                Action::Invoke(batch) => {
                    self.running.spawn(async move {
                        let (request_id, outcome) = source.delivery.invoke(&*source, &batch).await;
                        Done::Invoked(request_id, outcome)
                    });
                }
                Action::SendToOnFailure { batch, condition } => {
                    let request = self.last_request;
                    self.running.spawn(async move {
                        let delivery = &source.delivery;
                        delivery.give_up(&*source, &batch, condition, request).await;
                        Done::HandedOver
                    });
                }
            }
        }
    }

    /// While stopping: commits what is done, begins nothing.
    pub(super) fn note_progress(&mut self) {
        if self.poller.has_progress()
            && let Some(Action::Commit(progress)) = self.poller.poll(now())
        {
            self.add_unconfirmed(&progress);
            self.commit();
        }
    }

    fn add_unconfirmed(&mut self, progress: &[Progress]) {
        for more in progress {
            self.done.insert(more.partition, more.next_offset);
            let before = self.unconfirmed.get(&more.partition);
            let records = before.map_or(0, |before| before.records) + more.records;
            self.unconfirmed
                .insert(more.partition, Progress { records, ..*more });
        }
    }

    /// Commits what is done and not confirmed, unless a commit is under way.
    pub(super) fn commit(&mut self) {
        if self.committing || self.unconfirmed.is_empty() {
            return;
        }
        self.committing = true;
        let progress = self.unconfirmed.values();
        let offsets: Vec<_> = progress
            .map(|one| (one.partition, one.next_offset))
            .collect();
        let (consumer, source) = (Arc::clone(&self.consumer), Arc::clone(&self.source));
        self.running.spawn_blocking(move || {
            let topic = source.envelope.topic();
            let mut list = TopicPartitionList::new();
            let listed = offsets.iter().try_for_each(|(partition, next)| {
                list.add_partition_offset(topic, *partition, Offset::Offset(*next))
            });
            let committed = listed.and_then(|()| consumer.commit(&list, CommitMode::Sync));
            Done::Committed(offsets, committed)
        });
    }

    fn committed(&mut self, offsets: &[(i32, i64)], result: KafkaResult<()>) {
        self.committing = false;
        match result {
            Ok(()) => {
                self.confirmed(offsets);
                self.commit();
            }
            Err(error) => tracing::warn!(?offsets, "offsets were not committed: {error}"),
        }
    }

    fn confirmed(&mut self, offsets: &[(i32, i64)]) {
        for (partition, offset) in offsets {
            // More may have become done meanwhile.
            let progress = self.unconfirmed.get(partition);
            if let Some(progress) = progress.filter(|progress| progress.next_offset == *offset) {
                self.note_checkpoint(*partition, *offset, progress.records);
                self.unconfirmed.remove(partition);
            }
        }
    }

    fn note_checkpoint(&self, partition: i32, next_offset: i64, records: u64) {
        let last = u64::try_from(next_offset - 1).ok();
        self.source
            .delivery
            .checkpoints
            .update(&partition.to_string(), |shard| {
                shard.position = last.map(Position::from);
                shard.records += records;
            });
    }

    fn note_lag(&self, ends: &BTreeMap<i32, i64>) {
        let mut lag = 0;
        for (partition, done) in &self.done {
            let Some(end) = ends.get(partition) else {
                continue;
            };
            let behind = (end - done).max(0);
            lag += behind;
            let read = self.last_read.get(partition).copied();
            let age = read.map_or(0, |at| (now() - at).max(0));
            self.source
                .delivery
                .checkpoints
                .update(&partition.to_string(), |shard| {
                    shard.millis_behind_latest = if behind > 0 { age } else { 0 };
                });
        }
        self.source.delivery.metrics.offset_lag(lag);
    }

    pub(super) fn report(&mut self, done: Done) {
        match done {
            Done::Invoked(request_id, outcome) => {
                self.last_request = Some(request_id);
                self.poller.answered(now(), &outcome);
            }
            Done::HandedOver => self.poller.handed_over(now()),
            Done::Committed(offsets, result) => self.committed(&offsets, result),
        }
    }
}
