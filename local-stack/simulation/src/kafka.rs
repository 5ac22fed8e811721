//! The event source mapping over a topic: its real state machine, several pollers of one consumer group, with
//! rebalances, and restarts from the committed offsets.

use std::collections::BTreeMap;
use std::time::Duration;

use event_source::kafka::answer::{self, Answer};
use event_source::kafka::envelope::Envelope;
use event_source::kafka::poller::{Action, Batch, Outcome, PartialRetry, Poller};
use event_source::kafka::record::{Message, Record, TimestampType};
use event_source::mapping::parameters::{Mapping, StartingPosition};
use ingest::config::PartialResponses;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;

use super::faults::Kind;
use super::invariants;
use super::lambda::{Function, Invocation};
use super::stream::{Placed, STREAM, Stream, number};
use super::world::{PATIENCE, World};

/// What a group has drawn for its mapping and its function.
#[derive(Clone, Copy, Debug)]
struct Drawn {
    mapping: Mapping,
    retry: PartialRetry,
    function: Function,
    pollers: usize,
}

impl Drawn {
    fn draw(world: &World, rng: &mut ChaCha8Rng) -> Self {
        let mapping = world.scenario.mapping(rng, world.now_ms(), 1);
        let forms = [
            PartialResponses::Off,
            PartialResponses::Partition,
            PartialResponses::TopicPartition,
        ];
        Self {
            mapping,
            retry: if rng.random_bool(0.5) {
                PartialRetry::FromLowest
            } else {
                PartialRetry::OnlyReported
            },
            function: Function::kafka(if world.may_answer_partially(&mapping) {
                forms[rng.random_range(0..3)]
            } else {
                PartialResponses::Off
            }),
            pollers: rng.random_range(1..=3),
        }
    }
}

/// Delivers the whole topic, perhaps once more, or by two consumer groups at once; then what was given up.
pub(crate) async fn deliver(
    world: &World,
    stream: &Stream,
    rng: &mut ChaCha8Rng,
) -> Result<(), String> {
    let more = rng.random_range(0..3) * usize::from(rng.random_bool(0.5));
    // The first one begins at once, others while it runs or long after.
    let groups = (0..=more).map(|group| {
        let delay = rng.random_range(0..3_600) * u64::from(group > 0);
        let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
        async move {
            tokio::time::sleep(Duration::from_secs(delay)).await;
            world.tally.count_if(group > 0, Kind::SecondSource);
            let drawn = Drawn::draw(world, &mut rng);
            let say = format_args!("consumer group {group}: {drawn:?}");
            world.trace.say(say);
            Group::new(world, stream, drawn).run(&mut rng).await
        }
    });
    let given_up = futures::future::try_join_all(groups).await?.concat();
    redrive(world, stream, given_up).await
}

/// An invocation that ended, as the pollers hear of it.
struct Ended {
    generation: u32,
    poller: usize,
    batch: Batch,
    outcome: Outcome,
}

struct Group<'w> {
    world: &'w World,
    stream: &'w Stream,
    drawn: Drawn,
    envelope: Envelope,
    partitions: Vec<Vec<Record>>,
    /// Where each partition is read from as long as nothing is committed.
    starts: Vec<usize>,
    pollers: Vec<Poller>,
    assigned: Vec<Assigned>,
    /// The checkpoints: offsets from which a new owner of a partition reads.
    committed: BTreeMap<i32, i64>,
    generation: u32,
}

/// The poller of a partition, the place of the next record that it reads, and the offset after the last one that it
/// has taken.
#[derive(Clone, Copy, Default)]
struct Assigned {
    poller: usize,
    next: usize,
    taken: i64,
}

impl<'w> Group<'w> {
    fn new(world: &'w World, stream: &'w Stream, drawn: Drawn) -> Self {
        let envelope = Envelope::new(STREAM, "broker:9092");
        let now = world.now_ms();
        let starts = stream.shards.iter().map(|shard| {
            let records = &shard.records;
            let start = match drawn.mapping.starting_position {
                StartingPosition::TrimHorizon => 0,
                StartingPosition::Latest => {
                    records.partition_point(|record| record.appended_ms <= now)
                }
                StartingPosition::AtTimestamp(from) => {
                    let first = records
                        .iter()
                        .position(|record| record.record.arrival >= from);
                    first.unwrap_or(records.len())
                }
            };
            if start > 0 {
                let latest = drawn.mapping.starting_position == StartingPosition::Latest;
                world.tally.count(if latest {
                    Kind::Latest
                } else {
                    Kind::AtTimestamp
                });
                stream.pass_over(&records[..start]);
            }
            start
        });
        let mut group = Self {
            world,
            stream,
            drawn,
            partitions: partitions(stream, &envelope),
            starts: starts.collect(),
            envelope,
            pollers: Vec::new(),
            assigned: Vec::new(),
            committed: BTreeMap::new(),
            generation: 0,
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
        self.assigned = vec![Assigned::default(); self.partitions.len()];
        for partition in 0..self.partitions.len() {
            self.assign(partition, partition % self.drawn.pollers);
        }
    }

    fn assign(&mut self, partition: usize, poller: usize) {
        let number = i32::try_from(partition).expect("few");
        let records = &self.partitions[partition];
        let next = match self.committed.get(&number) {
            Some(committed) => records.partition_point(|record| record.offset < *committed),
            None => self.starts[partition],
        };
        self.assigned[partition] = Assigned {
            poller,
            next,
            taken: 0,
        };
        self.pollers[poller].assign(number);
    }

    async fn run(mut self, rng: &mut ChaCha8Rng) -> Result<Vec<Batch>, String> {
        let began = tokio::time::Instant::now();
        let mut given_up = Vec::new();
        let (ended, mut endings) = mpsc::unbounded_channel();
        let (mut restarts, mut rebalances) = (rng.random_range(0..3), rng.random_range(0..4));
        let abandoned = self.world.scenario.abandons && rng.random_bool(0.5);
        loop {
            self.act(&mut given_up, &ended);
            if self.is_done() {
                return Ok(given_up);
            }
            if began.elapsed() > PATIENCE {
                return Err("the topic is not done with after 8 hours".to_owned());
            }
            if abandoned && rng.random_bool(0.02) {
                self.world.tally.count(Kind::Abandoned);
                self.world
                    .trace
                    .say(format_args!("  the group is abandoned"));
                return Ok(given_up);
            }
            if restarts > 0 && rng.random_bool(0.02) {
                restarts -= 1;
                self.world.tally.count(Kind::Restart);
                self.world
                    .trace
                    .say(format_args!("  the event source restarts"));
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
        let from = self.assigned[partition].poller;
        if from == to {
            return;
        }
        self.world.tally.count(Kind::Rebalance);
        self.world.trace.say(format_args!(
            "  partition {partition} goes from poller {from} to {to}"
        ));
        let number = i32::try_from(partition).expect("few");
        self.pollers[from].revoke(number);
        self.assign(partition, to);
    }

    fn is_done(&self) -> bool {
        let partitions = self.assigned.iter().zip(&self.partitions).zip(0..);
        partitions.into_iter().all(|((assigned, records), number)| {
            let committed = self.committed.get(&number).copied().unwrap_or(0);
            assigned.next == records.len() && committed >= assigned.taken
        })
    }

    fn act(&mut self, given_up: &mut Vec<Batch>, ended: &mpsc::UnboundedSender<Ended>) {
        let (world, now) = (self.world, self.world.now_ms());
        let partitions = self.assigned.iter_mut().zip(&self.partitions);
        for ((assigned, records), shard) in partitions.zip(&self.stream.shards) {
            let poller = &mut self.pollers[assigned.poller];
            while let Some(placed) = shard.records.get(assigned.next)
                && placed.appended_ms <= now
                && poller.wants_records()
            {
                if placed.gone_ms <= now {
                    world.tally.count(Kind::Gone);
                    self.stream.pass_over(std::slice::from_ref(placed));
                } else {
                    let record = records[assigned.next].clone();
                    assigned.taken = record.offset + 1;
                    poller.push(now, record);
                }
                assigned.next += 1;
            }
        }
        for index in 0..self.pollers.len() {
            while let Some(action) = self.pollers[index].poll(now) {
                match action {
                    Action::Commit(progress) => {
                        let say = format_args!("  poller {index} commits {progress:?}");
                        world.trace.say(say);
                        for one in progress {
                            self.committed.insert(one.partition, one.next_offset);
                        }
                    }
                    Action::Invoke(batch) => self.invoke(index, batch, ended.clone()),
                    Action::SendToOnFailure { batch, condition } => {
                        let records = batch.records().len();
                        let say = format_args!("  given up, {condition}: {records} records");
                        world.trace.say(say);
                        world.tell_given_up(condition);
                        let records = batch.records().iter();
                        self.stream.pass_over_all(records.map(position));
                        given_up.push(batch);
                        self.pollers[index].handed_over(now);
                    }
                }
            }
        }
    }

    fn invoke(&self, poller: usize, batch: Batch, ended: mpsc::UnboundedSender<Ended>) {
        let Drawn {
            mapping, function, ..
        } = self.drawn;
        let invocation = invoke(
            self.world,
            self.stream,
            &self.envelope,
            &batch,
            function,
            false,
        );
        let (generation, report) = (self.generation, mapping.report_batch_item_failures);
        tokio::spawn(async move {
            let outcome = Outcome::Answered(match invocation.await {
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

    /// Until something can happen by time alone: a flush, a retry, or a record.
    fn wake(&self) -> Duration {
        let next = self.assigned.iter().zip(&self.stream.shards);
        let next = next.filter_map(|(assigned, shard)| shard.records.get(assigned.next));
        let wakes = self.pollers.iter().filter_map(Poller::wake_at);
        self.world
            .until(wakes.chain(next.map(|record| record.appended_ms)))
    }

    fn hear(&mut self, end: &Ended) -> Result<(), String> {
        if end.generation != self.generation {
            return Ok(());
        }
        self.world.trace.say(format_args!(
            "  answer to poller {}: {:?}",
            end.poller, end.outcome
        ));
        if let Outcome::Answered(answer) = &end.outcome {
            let partial = matches!(answer, Answer::Partial(_));
            self.world.tally.count_if(partial, Kind::PartialAnswer);
            let records = end.batch.records().iter();
            let done = records.filter(|record| self.is_said_to_be_done(record, answer));
            invariants::are_done(self.world, self.stream, done.map(position))?;
        }
        self.pollers[end.poller].answered(self.world.now_ms(), &end.outcome);
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
    let of_shard = |(shard, partition): (&super::stream::Shard, i32)| {
        let record = |placed: &Placed| {
            let Placed {
                record, tombstone, ..
            } = placed;
            envelope.record(&Message {
                partition,
                offset: number(record).cast_signed(),
                timestamp: record.arrival,
                timestamp_type: TimestampType::CreateTime,
                key: Some(record.partition_key.as_bytes()),
                value: (!tombstone).then_some(&record.data),
                headers: &[],
            })
        };
        shard.records.iter().map(record).collect()
    };
    stream.shards.iter().zip(0..).map(of_shard).collect()
}

fn invoke(
    world: &World,
    stream: &Stream,
    envelope: &Envelope,
    batch: &Batch,
    function: Function,
    redrive: bool,
) -> Invocation {
    let mut records = batch.records().iter();
    let poisoned = !redrive && records.any(|record| stream.written[&position(record)].poison);
    let event = envelope.payload(batch.records());
    world.invoke(&shown(batch), event, function, poisoned)
}

/// Sends what was given up through the function again, until it is done with.
async fn redrive(world: &World, stream: &Stream, given_up: Vec<Batch>) -> Result<(), String> {
    let envelope = Envelope::new(STREAM, "broker:9092");
    let function = Function::kafka(PartialResponses::Off);
    for batch in given_up {
        world.trace.say(format_args!("redrive {}", shown(&batch)));
        let mut tries = 0;
        while invoke(world, stream, &envelope, &batch, function, true)
            .await
            .is_err()
        {
            tries += 1;
            if tries > 1_000 {
                return Err("a batch could not be redriven in 1,000 tries".to_owned());
            }
        }
        let positions = batch.records().iter();
        invariants::are_done(world, stream, positions.map(position))?;
    }
    Ok(())
}
