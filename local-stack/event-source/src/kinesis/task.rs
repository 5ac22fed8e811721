//! One shard at work: what is read of it, and its state machine's actions, carried out.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::Arc;

use anyhow::Context as _;
use aws_sdk_kinesis::types::Record as KinesisRecord;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

use super::envelope::Envelope;
use super::reader::{Page, Reader};
use super::record::Record;
use super::shard::{Action, Outcome, Shard};
use super::source::{EventSource, ShardSource};
use crate::mapping::position::{Position, Start};
use crate::mapping::time::{now, reached};

/// Why a shard's task ended.
pub(super) enum ShardEnd {
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
    of: Arc<ShardSource>,
    shard: Shard,
    running: JoinSet<Done>,
    /// By sub-shard.
    last_request: HashMap<usize, Uuid>,
}

pub(super) async fn run_shard(
    source: Arc<EventSource>,
    id: String,
    start: Start,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<ShardEnd> {
    let checkpoint = source.delivery.checkpoints.current().shards.remove(&id);
    let after = checkpoint.and_then(|checkpoint| checkpoint.position);
    tracing::info!(
        shard = id,
        after = after.as_ref().map(Position::as_str),
        ?start,
        "reading"
    );
    let (sender, mut pages) = mpsc::channel(1);
    let reader = Reader::new(source.stream.clone(), &id, start, after.clone()).run(sender);
    let mut reader = pin!(reader);
    let mut reading = true;
    let mut task = ShardTask {
        shard: Shard::new(source.delivery.mapping, after),
        of: Arc::new(ShardSource {
            envelope: Envelope::new(&id, &source.stream.arn, &source.region, &source.role_arn),
            id: id.clone(),
            source,
        }),
        running: JoinSet::new(),
        last_request: HashMap::new(),
    };
    loop {
        task.act();
        if task.shard.is_finished() {
            return Ok(ShardEnd::Finished(id));
        }
        let wake_at = task.shard.wake_at();
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => break,
            () = &mut reader, if reading => reading = false,
            page = pages.recv(), if task.shard.wants_records() => match page {
                Some(page) => task.take(page?)?,
                None => anyhow::bail!("the reader of shard {id} ended before the shard"),
            },
            Some(done) = task.running.join_next() => task.report(done?),
            () = reached(wake_at) => {}
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
            .map(|read| record(&self.of.envelope, read))
            .collect::<anyhow::Result<Vec<_>>>()?;
        self.shard.push(now(), records);
        if page.end_of_shard {
            self.shard.close();
        }
        let checkpoints = &self.of.source.delivery.checkpoints;
        checkpoints.update(&self.of.id, |shard| {
            shard.millis_behind_latest = page.millis_behind_latest;
        });
        Ok(())
    }

    fn act(&mut self) {
        while let Some(action) = self.shard.poll(now()) {
            let of = Arc::clone(&self.of);
            match action {
                Action::Checkpoint {
                    sequence_number,
                    records,
                } => self.checkpoint(sequence_number, records),
                Action::Invoke { sub_shard, batch } => {
                    self.running.spawn(async move {
                        let delivery = &of.source.delivery;
                        let (request_id, outcome) = delivery.invoke(&*of, &batch).await;
                        Done::Invoked(sub_shard, request_id, outcome)
                    });
                }
                Action::SendToOnFailure {
                    sub_shard,
                    batch,
                    condition,
                } => {
                    let request = self.last_request.get(&sub_shard).copied();
                    self.running.spawn(async move {
                        let delivery = &of.source.delivery;
                        delivery.give_up(&*of, &batch, condition, request).await;
                        Done::HandedOver(sub_shard)
                    });
                }
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

    fn checkpoint(&self, position: Position, records: u64) {
        let checkpoints = &self.of.source.delivery.checkpoints;
        checkpoints.update(&self.of.id, |shard| {
            shard.position = Some(position);
            shard.records += records;
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

fn record(envelope: &Envelope, record: KinesisRecord) -> anyhow::Result<Record> {
    let data = bytes::Bytes::from(record.data.into_inner());
    let partition_key = record.partition_key.unwrap_or_default();
    let arrival = record
        .approximate_arrival_timestamp
        .and_then(|at| at.to_millis().ok())
        .with_context(|| format!("record {} has no arrival time", record.sequence_number))?;
    Ok(Record {
        payload_bytes: envelope.record_bytes(
            &record.sequence_number,
            &partition_key,
            data.len(),
            arrival,
        ),
        sequence_number: Position::parse(&record.sequence_number)?,
        partition_key: partition_key.into(),
        data,
        arrival,
    })
}
