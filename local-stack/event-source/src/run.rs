//! The mapping at work: a task per shard drives its state machine; the coordinator starts shards as their lineage
//! allows and keeps the checkpoints on disk.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use aws_sdk_kinesis::types::Record as KinesisRecord;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use uuid::Uuid;

use crate::answer::{self, Answer};
use crate::checkpoint::CheckpointStore;
use crate::envelope::Envelope;
use crate::environment::InvocationEnd;
use crate::function::Function;
use crate::invocation_record::Discarded;
use crate::kinesis::{Page, Reader, Stream};
use crate::lineage::{Lineage, Start};
use crate::mapping::Mapping;
use crate::metrics::{Invocation, Metrics};
use crate::on_failure::OnFailure;
use crate::record::{Millis, Record, SequenceNumber};
use crate::shard::{Action, Batch, Condition, Outcome, Shard};

pub(crate) const SAVE_INTERVAL: Duration = Duration::from_millis(250);
const LIST_INTERVAL: Duration = Duration::from_secs(10);
/// Invocations in flight may end within this after a stop was asked for.
pub(crate) const STOP_BOUND: Duration = Duration::from_secs(15);

/// Everything that the tasks share.
#[derive(Debug)]
pub struct EventSource {
    /// The checked parameters.
    pub mapping: Mapping,
    /// What is read.
    pub stream: Stream,
    /// What is invoked.
    pub function: Function,
    /// Where batches go that were given up; without one they are discarded, with an error in the log.
    pub on_failure: Option<OnFailure>,
    /// What Lambda would publish.
    pub metrics: Metrics,
    /// What outlives a restart.
    pub checkpoints: CheckpointStore,
    /// Such as `us-east-1`.
    pub region: String,
    /// Printed as `invokeIdentityArn`.
    pub role_arn: String,
}

/// The wall clock, for the pure state machine.
pub(crate) fn now() -> Millis {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Millis::try_from(since_epoch.as_millis()).unwrap_or(Millis::MAX)
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
    let mut lineage = Lineage::default();
    for (id, shard) in &source.checkpoints.current().shards {
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
            _ = save.tick() => source.checkpoints.save()?,
            _ = list.tick() => match source.stream.list_shards().await {
                Ok(listing) => {
                    lineage.observe(&listing, source.mapping.starting_position, now());
                    first_listing = false;
                }
                Err(error) if first_listing => return Err(error.into()),
                Err(error) => tracing::warn!("{error}"),
            },
            Some(ended) = shards.join_next() => match ended.context("a shard's task panicked").flatten() {
                Ok(ShardEnd::Stopped) => {}
                Ok(ShardEnd::Finished(id)) => {
                    tracing::info!(shard = id, "finished: the shard ended and all its records are done with");
                    source.checkpoints.update(&id, |shard| shard.closed = true);
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
            source.checkpoints.add_shard(id, start);
        }
        // Where a shard starts is on disk before anything of it is read.
        source.checkpoints.save()?;
        while let Some((id, start)) = lineage.start_next() {
            shards.spawn(run_shard(Arc::clone(&source), id, start, stop.clone()));
        }
    }
    source.function.start_no_more();
    if failure.is_none() {
        let drained = async { while shards.join_next().await.is_some() {} };
        if timeout(STOP_BOUND, drained).await.is_err() {
            tracing::warn!(
                "invocations in flight were abandoned; their records will be delivered again"
            );
        }
    }
    shards.shutdown().await;
    source.function.stop();
    source.checkpoints.save()?;
    ended.send_replace(true);
    if let Some(publisher) = publisher {
        publisher.await?;
    }
    failure.map_or(Ok(()), Err)
}

/// Why a shard's task ended.
enum ShardEnd {
    /// The shard was closed and all its records are done with.
    Finished(String),
    /// A stop was asked for.
    Stopped,
}

/// What a shard's running work reports back.
enum Done {
    Invoked(usize, Uuid, Outcome),
    HandedOver(usize),
}

struct ShardTask {
    source: Arc<EventSource>,
    id: Arc<str>,
    envelope: Arc<Envelope>,
    shard: Shard,
    running: JoinSet<Done>,
    /// By sub-shard.
    last_request: HashMap<usize, Uuid>,
}

async fn run_shard(
    source: Arc<EventSource>,
    id: String,
    start: Start,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<ShardEnd> {
    let checkpoint = source.checkpoints.current().shards.get(&id).cloned();
    let after = checkpoint.and_then(|checkpoint| checkpoint.sequence_number);
    tracing::info!(
        shard = id,
        after = after.as_ref().map(SequenceNumber::as_str),
        ?start,
        "reading"
    );
    let (sender, mut pages) = mpsc::channel(1);
    let reader = Reader::new(source.stream.clone(), &id, start, after.clone()).run(sender);
    let mut reader = pin!(reader);
    let mut reading = true;
    let envelope = Envelope::new(&id, &source.stream.arn, &source.region, &source.role_arn);
    let mut task = ShardTask {
        shard: Shard::new(source.mapping, after),
        source,
        id: id.as_str().into(),
        envelope: Arc::new(envelope),
        running: JoinSet::new(),
        last_request: HashMap::new(),
    };
    loop {
        task.act();
        if task.shard.is_finished() {
            return Ok(ShardEnd::Finished(id));
        }
        let wake = task.shard.wake_at().map(|at| at.saturating_sub(now()));
        let wake = wake.map(|millis| Duration::from_millis(u64::try_from(millis).unwrap_or(0)));
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = &mut reader, if reading => reading = false,
            page = pages.recv(), if task.shard.wants_records() => match page {
                Some(page) => task.take(page?)?,
                None => anyhow::bail!("the reader of shard {id} ended before the shard"),
            },
            Some(done) = task.running.join_next() => task.report(done?),
            () = tokio::time::sleep(wake.unwrap_or_default()), if wake.is_some() => {}
        }
    }
    while let Some(done) = task.running.join_next().await {
        task.report(done?);
        task.note_checkpoint();
    }
    Ok(ShardEnd::Stopped)
}

impl ShardTask {
    fn take(&mut self, page: Page) -> anyhow::Result<()> {
        let records = page
            .records
            .into_iter()
            .map(|record| self.record(record))
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.shard.push(now(), records);
        if page.end_of_shard {
            self.shard.close();
        }
        self.source.checkpoints.update(&self.id, |shard| {
            shard.millis_behind_latest = page.millis_behind_latest;
        });
        Ok(())
    }

    fn record(&self, record: KinesisRecord) -> anyhow::Result<Record> {
        let data = bytes::Bytes::from(record.data.into_inner());
        let partition_key = record.partition_key.unwrap_or_default();
        let arrival = record
            .approximate_arrival_timestamp
            .and_then(|at| at.to_millis().ok())
            .with_context(|| format!("record {} has no arrival time", record.sequence_number))?;
        Ok(Record {
            payload_bytes: self.envelope.record_bytes(
                &record.sequence_number,
                &partition_key,
                data.len(),
                arrival,
            ),
            sequence_number: SequenceNumber::parse(&record.sequence_number)?,
            partition_key: partition_key.into(),
            data,
            arrival,
        })
    }

    fn act(&mut self) {
        while let Some(action) = self.shard.poll(now()) {
            match action {
                Action::Checkpoint {
                    sequence_number,
                    records,
                } => self.checkpoint(sequence_number, records),
                Action::Invoke { sub_shard, batch } => self.invoke(sub_shard, batch),
                Action::SendToOnFailure {
                    sub_shard,
                    batch,
                    condition,
                } => self.send_to_on_failure(sub_shard, batch, condition),
            }
        }
    }

    /// While stopping: remembers what is done, begins nothing. A checkpoint is always the first action.
    fn note_checkpoint(&mut self) {
        if let Some(Action::Checkpoint {
            sequence_number,
            records,
        }) = self.shard.poll(now())
        {
            self.checkpoint(sequence_number, records);
        }
    }

    fn checkpoint(&self, sequence_number: SequenceNumber, records: u64) {
        self.source.checkpoints.update(&self.id, |shard| {
            shard.sequence_number = Some(sequence_number);
            shard.records += records;
        });
    }

    fn invoke(&mut self, sub_shard: usize, batch: Batch) {
        let (source, id, envelope) = (
            Arc::clone(&self.source),
            Arc::clone(&self.id),
            Arc::clone(&self.envelope),
        );
        self.running.spawn(async move {
            let request_id = Uuid::new_v4();
            let records = batch.records();
            let (started, delivered_at) = (Instant::now(), now());
            let end = source
                .function
                .invoke(request_id, envelope.payload(records))
                .await;
            let duration = started.elapsed();
            let outcome = match end {
                InvocationEnd::Answered(body) => {
                    let report = source.mapping.report_batch_item_failures;
                    Outcome::Answered(answer::read(&body, report, records))
                }
                InvocationEnd::Failed(reason) => Outcome::Answered(Answer::Failed(reason.into())),
                InvocationEnd::NotInvoked(_) => Outcome::NotInvoked,
            };
            log(&id, request_id, &batch, &outcome);
            source.metrics.invoked(&Invocation {
                records: records.len(),
                failed_records: outcome.failed_records(records),
                error: !matches!(
                    outcome,
                    Outcome::Answered(Answer::Success | Answer::PartialFrom(_))
                ),
                duration,
                iterator_age_ms: records.last().map(|last| delivered_at - last.arrival),
            });
            Done::Invoked(sub_shard, request_id, outcome)
        });
    }

    fn send_to_on_failure(&mut self, sub_shard: usize, batch: Batch, condition: Condition) {
        let (source, id, envelope) = (
            Arc::clone(&self.source),
            Arc::clone(&self.id),
            Arc::clone(&self.envelope),
        );
        let request_id = self.last_request.get(&sub_shard).copied();
        self.running.spawn(async move {
            let records = batch.records();
            let (first, last) = (&records[0], &records[records.len() - 1]);
            tracing::error!(
                shard = &*id,
                records = records.len(),
                first = first.sequence_number.as_str(),
                last = last.sequence_number.as_str(),
                %condition,
                destination = source.on_failure.is_some(),
                "records given up"
            );
            source
                .metrics
                .given_up(records.len(), source.on_failure.is_some());
            if let Some(on_failure) = &source.on_failure {
                let function_arn = source.function.arn();
                let discarded = Discarded {
                    request_id: request_id.unwrap_or_else(Uuid::new_v4),
                    function_arn: &function_arn,
                    stream_arn: &source.stream.arn,
                    shard: &id,
                    records,
                    condition,
                    invocations: batch.invocations(),
                    at: now(),
                };
                on_failure
                    .deliver(&discarded, || envelope.payload(records))
                    .await;
            }
            Done::HandedOver(sub_shard)
        });
    }

    fn report(&mut self, done: Done) {
        match done {
            Done::Invoked(sub_shard, request_id, outcome) => {
                self.last_request.insert(sub_shard, request_id);
                self.shard.answered(now(), sub_shard, &outcome);
            }
            Done::HandedOver(sub_shard) => self.shard.handed_over(now(), sub_shard),
        }
    }
}

fn log(shard: &str, request_id: Uuid, batch: &Batch, outcome: &Outcome) {
    let records = batch.records().len();
    let invocations = batch.invocations() + 1;
    match outcome {
        Outcome::Answered(Answer::Success) => tracing::debug!(shard, %request_id, records, "done"),
        Outcome::Answered(Answer::Failed(reason)) => {
            tracing::warn!(shard, %request_id, records, invocations, "invocation failed: {reason}");
        }
        Outcome::Answered(Answer::PartialFrom(number)) => {
            tracing::warn!(shard, %request_id, records, invocations, from = number.as_str(), "partly done");
        }
        // The function said why when it failed to start.
        Outcome::NotInvoked => tracing::debug!(shard, %request_id, records, "not invoked"),
    }
}
