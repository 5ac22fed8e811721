//! The mapping at work: a task per poller, each a member of the consumer group, drives its state machine. The group's
//! committed offsets are the checkpoints; the state directory holds a copy for people to look at.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, Rebalance, StreamConsumer,
};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _, Timestamp};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::TopicPartitionListElem;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use super::answer::{self, Answer};
use super::envelope::{Envelope, Message, Record, TimestampType};
use super::invocation_record::Discarded;
use super::poller::{Action, Batch, Outcome, PartialRetry, Poller, Progress};
use crate::checkpoint::CheckpointStore;
use crate::environment::InvocationEnd;
use crate::function::Function;
use crate::lineage::Start;
use crate::mapping::{Mapping, StartingPosition};
use crate::metrics::{Invocation, Metrics};
use crate::on_failure::OnFailure;
use crate::record::{Millis, SequenceNumber};
use crate::run::{SAVE_INTERVAL, STOP_BOUND, now};
use crate::shard::Condition;

const BROKER_TIMEOUT: Duration = Duration::from_secs(10);
/// How often librdkafka tells how far the partitions reach.
const STATISTICS_INTERVAL_MS: &str = "1000";
/// A member that was killed is missed after so long; one that comes back under its name takes its place at once.
const SESSION_TIMEOUT_MS: &str = "10000";

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

/// What the consumer's callbacks report.
enum Event {
    Assigned(Vec<i32>),
    Revoked(Vec<i32>),
    /// The offsets after the newest records.
    Ends(BTreeMap<i32, i64>),
}

struct Context {
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

/// What a poller's running work reports back.
enum Done {
    Invoked(Uuid, Outcome),
    HandedOver,
    /// Next offsets of partitions, and whether the group has them now.
    Committed(Vec<(i32, i64)>, KafkaResult<()>),
}

struct PollerTask {
    source: Arc<EventSource>,
    consumer: Arc<StreamConsumer<Context>>,
    poller: Poller,
    running: JoinSet<Done>,
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
    flowing: bool,
}

fn consumer(
    source: &EventSource,
    number: usize,
    events: mpsc::UnboundedSender<Event>,
) -> anyhow::Result<StreamConsumer<Context>> {
    let topic = source.envelope.topic();
    let reset = match source.mapping.starting_position {
        StartingPosition::Latest => "latest",
        _ => "earliest",
    };
    let member = format!("{}-{number}", source.checkpoints.current().uuid);
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
fn check_topic(source: &EventSource) -> anyhow::Result<()> {
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

async fn run_poller(
    source: Arc<EventSource>,
    number: usize,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let checked = Arc::clone(&source);
    tokio::task::spawn_blocking(move || check_topic(&checked)).await??;
    let (sender, mut events) = mpsc::unbounded_channel();
    let consumer = Arc::new(consumer(&source, number, sender)?);
    let poller = Poller::new(
        source.mapping,
        source.partial_retry,
        source.envelope.clone(),
    );
    let mut task = PollerTask {
        source,
        consumer: Arc::clone(&consumer),
        poller,
        running: JoinSet::new(),
        last_request: None,
        assigned: BTreeSet::new(),
        unconfirmed: BTreeMap::new(),
        committing: false,
        done: BTreeMap::new(),
        last_read: BTreeMap::new(),
        flowing: true,
    };
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
            // Always: the client's callbacks run in it. Without room for records the partitions are paused.
            message = consumer.recv() => match message {
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
            _ = repeat.tick(), if !task.unconfirmed.is_empty() => task.commit(),
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

fn is_fatal(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(
        code,
        Some(
            rdkafka::error::RDKafkaErrorCode::Fatal
                | rdkafka::error::RDKafkaErrorCode::FencedInstanceId
        )
    )
}

impl PollerTask {
    fn hear(&mut self, event: Event) {
        match event {
            Event::Assigned(partitions) => {
                for partition in partitions {
                    self.poller.assign(partition);
                    self.assigned.insert(partition);
                }
                // New partitions come unpaused.
                self.flowing = true;
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
    async fn note_what_was_done_before(&mut self) -> anyhow::Result<()> {
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
            self.source.checkpoints.add_shard(&id, Start::TrimHorizon);
            self.done.insert(partition, next);
            self.note_checkpoint(partition, next, 0);
        }
        Ok(())
    }

    fn take(&mut self, message: &BorrowedMessage<'_>) {
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

    fn let_flow(&mut self) {
        let wants = self.poller.wants_records();
        if wants == self.flowing {
            return;
        }
        let changed = self.consumer.assignment().and_then(|assignment| {
            if wants {
                self.consumer.resume(&assignment)
            } else {
                self.consumer.pause(&assignment)
            }
        });
        match changed {
            Ok(()) => self.flowing = wants,
            Err(error) => tracing::warn!("the partitions could not be paused: {error}"),
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.poller.poll(now()) {
            match action {
                Action::Commit(progress) => {
                    self.add_unconfirmed(&progress);
                    self.commit();
                }
                Action::Invoke(batch) => self.invoke(batch),
                Action::SendToOnFailure { batch, condition } => {
                    self.send_to_on_failure(batch, condition);
                }
            }
        }
    }

    /// While stopping: commits what is done, begins nothing.
    fn note_progress(&mut self) {
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
    fn commit(&mut self) {
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
            .checkpoints
            .update(&partition.to_string(), |shard| {
                shard.sequence_number = last.map(SequenceNumber::from);
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
                .checkpoints
                .update(&partition.to_string(), |shard| {
                    shard.millis_behind_latest = if behind > 0 { age } else { 0 };
                });
        }
        self.source.metrics.offset_lag(lag);
    }

    fn invoke(&mut self, batch: Batch) {
        let source = Arc::clone(&self.source);
        self.running.spawn(async move {
            let request_id = Uuid::new_v4();
            let records = batch.records();
            let started = Instant::now();
            let payload = source.envelope.payload(records);
            let outcome = match source.function.invoke(request_id, payload).await {
                InvocationEnd::Answered(body) => {
                    let report = source.mapping.report_batch_item_failures;
                    let topic = source.envelope.topic();
                    Outcome::Answered(answer::read(&body, report, topic, records))
                }
                InvocationEnd::Failed(reason) => Outcome::Answered(Answer::Failed(reason.into())),
                InvocationEnd::NotInvoked(_) => Outcome::NotInvoked,
            };
            log(request_id, &batch, &outcome);
            source.metrics.invoked(&Invocation {
                records: records.len(),
                failed_records: outcome.failed_records(records, source.partial_retry),
                error: !matches!(
                    outcome,
                    Outcome::Answered(Answer::Success | Answer::Partial(_))
                ),
                duration: started.elapsed(),
                iterator_age_ms: None,
            });
            Done::Invoked(request_id, outcome)
        });
    }

    fn send_to_on_failure(&mut self, batch: Batch, condition: Condition) {
        let source = Arc::clone(&self.source);
        let request_id = self.last_request;
        self.running.spawn(async move {
            let records = batch.records();
            let has_destination = source.on_failure.is_some();
            tracing::error!(
                records = records.len(),
                first = %place(&records[0]),
                %condition,
                destination = has_destination,
                "records given up"
            );
            source.metrics.given_up(records.len(), has_destination);
            if let Some(on_failure) = &source.on_failure {
                let function_arn = source.function.arn();
                let payload = source.envelope.payload(records);
                let discarded = Discarded {
                    request_id: request_id.unwrap_or_else(Uuid::new_v4),
                    function_arn: &function_arn,
                    topic: source.envelope.topic(),
                    brokers: &source.brokers,
                    records,
                    payload_bytes: payload.len(),
                    condition,
                    invocations: batch.invocations(),
                    at: now(),
                };
                on_failure.deliver(&discarded, || payload.clone()).await;
            }
            Done::HandedOver
        });
    }

    fn report(&mut self, done: Done) {
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

fn place(record: &Record) -> String {
    format!("{}/{}", record.partition, record.offset)
}

fn log(request_id: Uuid, batch: &Batch, outcome: &Outcome) {
    let records = batch.records().len();
    let invocations = batch.invocations() + 1;
    match outcome {
        Outcome::Answered(Answer::Success) => tracing::debug!(%request_id, records, "done"),
        Outcome::Answered(Answer::Failed(reason)) => {
            tracing::warn!(%request_id, records, invocations, "invocation failed: {reason}");
        }
        Outcome::Answered(Answer::Partial(failures)) => {
            let from: BTreeMap<_, _> = failures
                .iter()
                .filter_map(|(partition, offsets)| Some((partition, offsets.first()?)))
                .collect();
            tracing::warn!(%request_id, records, invocations, ?from, "partly done");
        }
        // The function said why when it failed to start.
        Outcome::NotInvoked => tracing::debug!(%request_id, records, "not invoked"),
    }
}
