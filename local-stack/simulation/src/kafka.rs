//! The event source mapping over a topic: its real state machine, several pollers of one consumer group, with
//! rebalances, and restarts from the committed offsets.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event_source::kafka::answer::{self, Answer};
use event_source::kafka::envelope::{Envelope, Message, Record, TimestampType};
use event_source::kafka::poller::{Action, Batch, Outcome, PartialRetry, Poller};
use event_source::mapping::{Mapping, StartingPosition};
use ingest::config::PartialResponses;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::invariants;
use super::kinesis::PATIENCE;
use super::lake::{Family, SimulatedLake};
use super::lambda::{Kind, Lambda};
use super::mutant::Mutant;
use super::stream::{START_MS, STREAM, Stream};
use super::trace::Trace;

/// What a run of the simulation has drawn for its mapping and its function.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    mapping: Mapping,
    retry: PartialRetry,
    response: PartialResponses,
    pollers: usize,
}

fn draw(rng: &mut ChaCha8Rng, gives_up: bool) -> Drawn {
    let response = [
        PartialResponses::Off,
        PartialResponses::Partition,
        PartialResponses::TopicPartition,
    ][rng.random_range(0..3)];
    let may_be_unread = response == PartialResponses::Off && rng.random_bool(0.5);
    Drawn {
        mapping: Mapping {
            batch_size: rng.random_range(1..20),
            batching_window: rng.random_range(0..5_000),
            parallelization_factor: 1,
            bisect_batch_on_function_error: rng.random_bool(0.5),
            maximum_retry_attempts: gives_up.then(|| rng.random_range(0..4)),
            maximum_record_age: None,
            report_batch_item_failures: !may_be_unread,
            starting_position: StartingPosition::TrimHorizon,
        },
        retry: if rng.random_bool(0.5) {
            PartialRetry::FromLowest
        } else {
            PartialRetry::OnlyReported
        },
        response,
        pollers: rng.random_range(1..=3),
    }
}

/// Delivers the whole topic, perhaps once more, or by two consumer groups at once; then what was given up. Says
/// whether nothing was.
pub(crate) async fn deliver(
    stream: &Stream,
    lake: &SimulatedLake,
    rng: &mut ChaCha8Rng,
    faults: f64,
    poison: bool,
    trace: &Trace,
) -> Result<bool, String> {
    let gives_up = poison || rng.random_bool(0.2);
    // Partitions have no parents.
    let family = Family {
        listing: Arc::new(Vec::new()),
        lake: lake.clone(),
    };
    let zombies = rng.random_bool(0.7);
    let lambda = Lambda::new(family, rng.random(), faults, zombies, trace.clone());
    let lambda = RefCell::new(lambda);
    let began = Instant::now();
    let more_groups = rng.random_range(0..3) * usize::from(rng.random_bool(0.5));
    // The first one begins at once, others while it runs or long after.
    let groups = (0..=more_groups).map(|group| {
        let delay = rng.random_range(0..3_600) * u64::from(group > 0);
        let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
        let lambda = &lambda;
        async move {
            tokio::time::sleep(Duration::from_secs(delay)).await;
            let drawn = draw(&mut rng, gives_up);
            trace.say(format_args!("consumer group {group}: {drawn:?}"));
            Group::new(stream, lake, drawn, began, trace)
                .run(&mut rng, lambda)
                .await
        }
    });
    let given_up = futures::future::try_join_all(groups).await?.concat();
    let in_order = given_up.is_empty();
    redrive(stream, lake, &mut lambda.into_inner(), given_up, trace).await?;
    Ok(in_order)
}

/// An invocation that ended, as the pollers hear of it.
struct Ended {
    generation: u32,
    poller: usize,
    batch: Batch,
    outcome: Outcome,
}

struct Group<'s> {
    stream: &'s Stream,
    lake: &'s SimulatedLake,
    drawn: Drawn,
    trace: &'s Trace,
    envelope: Envelope,
    partitions: Vec<Vec<Record>>,
    pollers: Vec<Poller>,
    /// The poller of every partition, and the place of the next record that it reads.
    assigned: Vec<(usize, usize)>,
    /// The checkpoints: offsets from which a new owner of a partition reads.
    committed: BTreeMap<i32, i64>,
    generation: u32,
    began: Instant,
}

impl<'s> Group<'s> {
    fn new(
        stream: &'s Stream,
        lake: &'s SimulatedLake,
        drawn: Drawn,
        began: Instant,
        trace: &'s Trace,
    ) -> Self {
        let envelope = Envelope::new(STREAM, "broker:9092");
        let mut group = Self {
            stream,
            lake,
            drawn,
            trace,
            partitions: partitions(stream, &envelope),
            envelope,
            pollers: Vec::new(),
            assigned: Vec::new(),
            committed: BTreeMap::new(),
            generation: 0,
            began,
        };
        group.start();
        group
    }

    /// Every poller anew, from the committed offsets.
    fn start(&mut self) {
        let Drawn { mapping, retry, .. } = self.drawn;
        self.pollers = (0..self.drawn.pollers)
            .map(|_| Poller::new(mapping, retry, self.envelope.clone()))
            .collect();
        self.assigned = vec![(0, 0); self.partitions.len()];
        for partition in 0..self.partitions.len() {
            self.assign(partition, partition % self.drawn.pollers);
        }
    }

    fn assign(&mut self, partition: usize, poller: usize) {
        let number = i32::try_from(partition).expect("few");
        let committed = self.committed.get(&number).copied().unwrap_or(0);
        let records = &self.partitions[partition];
        let next = records.partition_point(|record| record.offset < committed);
        self.assigned[partition] = (poller, next);
        self.pollers[poller].assign(number);
    }

    async fn run(
        mut self,
        rng: &mut ChaCha8Rng,
        lambda: &RefCell<Lambda>,
    ) -> Result<Vec<Batch>, String> {
        let mut given_up = Vec::new();
        let (ended, mut endings) = mpsc::unbounded_channel();
        let (mut restarts, mut rebalances) = (rng.random_range(0..3), rng.random_range(0..4));
        loop {
            self.act(&mut lambda.borrow_mut(), &mut given_up, &ended);
            if self.is_done() {
                return Ok(given_up);
            }
            if self.began.elapsed() > PATIENCE {
                return Err("the topic is not done with after 48 hours".to_owned());
            }
            if restarts > 0 && rng.random_bool(0.02) {
                restarts -= 1;
                self.trace.say(format_args!("  the event source restarts"));
                self.generation += 1;
                self.start();
                continue;
            }
            if rebalances > 0 && rng.random_bool(0.03) {
                rebalances -= 1;
                self.rebalance(rng);
                continue;
            }
            let wake = self.wake();
            tokio::select! {
                biased;
                Some(end) = endings.recv() => self.hear(&end)?,
                () = tokio::time::sleep(wake) => {}
            }
        }
    }

    /// A partition goes to another poller, which begins at the committed offset; what is in flight ends unheard.
    fn rebalance(&mut self, rng: &mut ChaCha8Rng) {
        let partition = rng.random_range(0..self.partitions.len());
        let to = rng.random_range(0..self.pollers.len());
        let (from, _) = self.assigned[partition];
        if from == to {
            return;
        }
        self.trace.say(format_args!(
            "  partition {partition} goes from poller {from} to {to}"
        ));
        let number = i32::try_from(partition).expect("few");
        self.pollers[from].revoke(number);
        self.assign(partition, to);
    }

    /// Milliseconds since the Unix epoch. Records that have not arrived yet are not there to be read.
    fn now(&self) -> i64 {
        START_MS + i64::try_from(self.began.elapsed().as_millis()).expect("within 48 hours")
    }

    fn is_done(&self) -> bool {
        self.partitions.iter().zip(0..).all(|(records, number)| {
            let end = records.last().map_or(0, |last| last.offset + 1);
            self.committed.get(&number).copied().unwrap_or(0) >= end
        })
    }

    fn act(
        &mut self,
        lambda: &mut Lambda,
        given_up: &mut Vec<Batch>,
        ended: &mpsc::UnboundedSender<Ended>,
    ) {
        let now = self.now();
        for (partition, (poller, next)) in self.assigned.iter_mut().enumerate() {
            let (records, poller) = (&self.partitions[partition], &mut self.pollers[*poller]);
            while *next < records.len() && records[*next].timestamp <= now && poller.wants_records()
            {
                poller.push(now, records[*next].clone());
                *next += 1;
            }
        }
        for index in 0..self.pollers.len() {
            while let Some(action) = self.pollers[index].poll(now) {
                match action {
                    Action::Commit(progress) => {
                        self.trace
                            .say(format_args!("  poller {index} commits {progress:?}"));
                        for one in progress {
                            self.committed.insert(one.partition, one.next_offset);
                        }
                    }
                    Action::Invoke(batch) => self.invoke(lambda, index, batch, ended.clone()),
                    Action::SendToOnFailure { batch, condition } => {
                        let records = batch.records().len();
                        self.trace
                            .say(format_args!("  given up, {condition}: {records} records"));
                        given_up.push(batch);
                        self.pollers[index].handed_over(now);
                    }
                }
            }
        }
    }

    fn invoke(
        &self,
        lambda: &mut Lambda,
        poller: usize,
        batch: Batch,
        ended: mpsc::UnboundedSender<Ended>,
    ) {
        let poisoned = batch
            .records()
            .iter()
            .any(|record| self.stream.written[&position(record)].poison);
        let kind = kind(self.drawn.response, self.lake);
        let event = self.envelope.payload(batch.records());
        let answer = lambda.begin(&shown(&batch), event, kind, poisoned);
        let (generation, report) = (
            self.generation,
            self.drawn.mapping.report_batch_item_failures,
        );
        tokio::spawn(async move {
            let outcome = Outcome::Answered(match answer.await {
                Ok(body) => answer::read(&body, report, STREAM, batch.records()),
                Err(reason) => Answer::Failed(reason.into()),
            });
            // Nobody listens any more if the event source was restarted for the last time.
            let _ = ended.send(Ended {
                generation,
                poller,
                batch,
                outcome,
            });
        });
    }

    /// Until something can happen by time alone: a flush, a retry, or an arrival.
    fn wake(&self) -> Duration {
        let now = self.now();
        let arrivals = self.assigned.iter().zip(&self.partitions);
        let arrivals = arrivals.filter_map(|((_, next), records)| {
            let arrival = records.get(*next)?.timestamp;
            (arrival > now).then_some(arrival)
        });
        let wakes = self.pollers.iter().filter_map(Poller::wake_at);
        let until = wakes.chain(arrivals).min().unwrap_or(now + 60_000);
        let until = until.clamp(now + 1, now + 60_000);
        Duration::from_millis(u64::try_from(until - now).expect("clamped"))
    }

    fn hear(&mut self, end: &Ended) -> Result<(), String> {
        if end.generation != self.generation {
            return Ok(());
        }
        self.trace.say(format_args!(
            "  answer to poller {}: {:?}",
            end.poller, end.outcome
        ));
        if let Outcome::Answered(answer) = &end.outcome {
            let records = end.batch.records().iter();
            let done = records.filter(|record| self.is_said_to_be_done(record, answer));
            invariants::are_done(self.stream, self.lake, done.map(|record| position(record)))?;
        }
        let now = self.now();
        self.pollers[end.poller].answered(now, &end.outcome);
        Ok(())
    }

    fn is_said_to_be_done(&self, record: &Record, answer: &Answer) -> bool {
        match answer {
            Answer::Success => true,
            Answer::Failed(_) => false,
            Answer::Partial(failures) => {
                failures
                    .get(&record.partition)
                    .is_none_or(|offsets| match self.drawn.retry {
                        PartialRetry::OnlyReported => !offsets.contains(&record.offset),
                        PartialRetry::FromLowest => {
                            offsets.iter().all(|offset| record.offset < *offset)
                        }
                    })
            }
        }
    }
}

fn kind(partial_responses: PartialResponses, lake: &SimulatedLake) -> Kind {
    Kind::Kafka {
        partial_responses,
        failure_as_success: lake.mutant() == Mutant::FailureAsSuccess,
    }
}

fn position(record: &Record) -> u64 {
    u64::try_from(record.offset).expect("offsets are not negative")
}

fn shown(batch: &Batch) -> String {
    let records = batch.records().iter();
    let places = records.map(|record| format!("{}/{}", record.partition, record.offset));
    places.collect::<Vec<_>>().join(" ")
}

/// The records of the stream's shards, as those of partitions.
fn partitions(stream: &Stream, envelope: &Envelope) -> Vec<Vec<Record>> {
    let of_shard = |(shard, number): (&event_source::lineage::ListedShard, i32)| {
        let records = stream.shards.get(&shard.id).map_or(&[][..], Vec::as_slice);
        let record = |record: &event_source::record::Record| {
            envelope.record(&Message {
                partition: number,
                offset: super::stream::number(record).cast_signed(),
                timestamp: record.arrival,
                timestamp_type: TimestampType::LogAppendTime,
                key: Some(record.partition_key.as_bytes()),
                value: Some(&record.data),
                headers: &[],
            })
        };
        records.iter().map(record).collect()
    };
    stream.listing.iter().zip(0..).map(of_shard).collect()
}

/// Sends what was given up through the function again, until it is done with.
async fn redrive(
    stream: &Stream,
    lake: &SimulatedLake,
    lambda: &mut Lambda,
    given_up: Vec<Batch>,
    trace: &Trace,
) -> Result<(), String> {
    let envelope = Envelope::new(STREAM, "broker:9092");
    for batch in given_up {
        trace.say(format_args!("redrive {}", shown(&batch)));
        let mut tries = 0;
        loop {
            let event = envelope.payload(batch.records());
            let kind = kind(PartialResponses::Off, lake);
            if lambda
                .begin(&shown(&batch), event, kind, false)
                .await
                .is_ok()
            {
                let positions = batch.records().iter();
                invariants::are_done(stream, lake, positions.map(|record| position(record)))?;
                break;
            }
            tries += 1;
            if tries > 1_000 {
                return Err("a batch could not be redriven in 1,000 tries".to_owned());
            }
        }
    }
    // Requests that were delayed may still take effect.
    tokio::time::sleep(Duration::from_mins(10)).await;
    Ok(())
}
