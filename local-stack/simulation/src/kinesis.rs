//! The event source mapping over the stream: its real state machine, driven in virtual time, restarted now and then
//! from its checkpoints.

use std::collections::BTreeMap;
use std::time::Duration;

use event_source::kinesis::answer::Answer;
use event_source::kinesis::lineage::Lineage;
use event_source::kinesis::shard::{Action, Batch, Outcome, Shard};
use event_source::mapping::parameters::{Mapping, StartingPosition};
use event_source::mapping::position::{Position, Start};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;

use super::faults::Kind;
use super::invariants;
use super::lambda::{Function, Invocation};
use super::stream::{Placed, Stream, envelope, number};
use super::world::{PATIENCE, World};

/// Delivers the whole stream, perhaps once more, or by two event sources at once; then what was given up.
pub(crate) async fn deliver(
    world: &World,
    stream: &Stream,
    rng: &mut ChaCha8Rng,
) -> Result<(), String> {
    let more = rng.random_range(0..3) * usize::from(rng.random_bool(0.5));
    // The first one begins at once, others while it runs or long after.
    let sources = (0..=more).map(|source| {
        let delay = rng.random_range(0..3_600) * u64::from(source > 0);
        let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
        async move {
            tokio::time::sleep(Duration::from_secs(delay)).await;
            world.tally.count_if(source > 0, Kind::SecondSource);
            let mapping = world.scenario.mapping(&mut rng, world.now_ms(), 3);
            let say = format_args!("event source {source}: {mapping:?}");
            world.trace.say(say);
            let partial = world.may_answer_partially(&mapping) && rng.random_bool(0.8);
            let function = Function::kinesis(partial);
            Source::new(world, stream, mapping, function)
                .run(&mut rng)
                .await
        }
    });
    let given_up = futures::future::try_join_all(sources).await?.concat();
    redrive(world, stream, given_up).await
}

struct Source<'w> {
    world: &'w World,
    stream: &'w Stream,
    mapping: Mapping,
    function: Function,
    lineage: Lineage,
    reading: BTreeMap<String, Reading>,
    checkpoints: BTreeMap<String, Position>,
    starts: BTreeMap<String, Start>,
    finished: Vec<String>,
    generation: u32,
}

struct Reading {
    shard: Shard,
    next: usize,
}

/// An invocation that ended. A restarted source does not hear of the invocations of the one before.
struct Ended {
    generation: u32,
    shard: String,
    sub_shard: usize,
    batch: Batch,
    outcome: Outcome,
}

impl<'w> Source<'w> {
    fn new(world: &'w World, stream: &'w Stream, mapping: Mapping, function: Function) -> Self {
        Self {
            world,
            stream,
            mapping,
            function,
            lineage: Lineage::default(),
            reading: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            starts: BTreeMap::new(),
            finished: Vec::new(),
            generation: 0,
        }
    }

    async fn run(mut self, rng: &mut ChaCha8Rng) -> Result<Vec<(String, Batch)>, String> {
        let began = tokio::time::Instant::now();
        let mut given_up = Vec::new();
        let (ended, mut endings) = mpsc::unbounded_channel();
        let mut restarts = rng.random_range(0..3);
        let abandoned = self.world.scenario.abandons && rng.random_bool(0.5);
        loop {
            self.look_for_shards();
            self.act(&mut given_up, &ended);
            if self.is_done() {
                return Ok(given_up);
            }
            if began.elapsed() > PATIENCE {
                return Err("the stream is not done with after 8 hours".to_owned());
            }
            if abandoned && rng.random_bool(0.02) {
                self.world.tally.count(Kind::Abandoned);
                self.world
                    .trace
                    .say(format_args!("  the event source is abandoned"));
                return Ok(given_up);
            }
            if restarts > 0 && rng.random_bool(0.02) {
                restarts -= 1;
                self.restart();
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

    fn is_done(&self) -> bool {
        let shards = self.stream.shards.iter().filter(|shard| !shard.expired);
        shards
            .into_iter()
            .all(|shard| self.finished.contains(&shard.listed.id))
    }

    fn look_for_shards(&mut self) {
        let now = self.world.now_ms();
        let listing = self.stream.listing(now);
        if listing.is_empty() {
            return;
        }
        self.lineage
            .observe(&listing, self.mapping.starting_position, now);
        let starts = self.lineage.starts();
        self.starts
            .extend(starts.map(|(id, start)| (id.to_owned(), start)));
        while let Some((id, start)) = self.lineage.start_next() {
            self.start(&id, start);
        }
    }

    fn start(&mut self, id: &str, start: Start) {
        let checkpoint = self.checkpoints.get(id).cloned();
        let shard = self.stream.shard(id);
        let tally = &self.world.tally;
        let late = shard.listed_ms > shard.opened_ms && !shard.records.is_empty();
        tally.count_if(late, Kind::ShardLate);
        let before = |record: &&Placed| match (&checkpoint, start) {
            (Some(checkpoint), _) => record.record.sequence_number <= *checkpoint,
            (None, Start::TrimHorizon) => false,
            (None, Start::AtTimestamp(from)) => record.record.arrival < from,
        };
        let next = shard.records.iter().take_while(before).count();
        if checkpoint.is_none() && next > 0 {
            let latest = self.mapping.starting_position == StartingPosition::Latest;
            tally.count(if latest {
                Kind::Latest
            } else {
                Kind::AtTimestamp
            });
            self.stream.pass_over(&shard.records[..next]);
        }
        let shard = Shard::new(self.mapping, checkpoint);
        self.reading.insert(id.to_owned(), Reading { shard, next });
    }

    fn act(&mut self, given_up: &mut Vec<(String, Batch)>, ended: &mpsc::UnboundedSender<Ended>) {
        let (world, now) = (self.world, self.world.now_ms());
        for (id, reading) in &mut self.reading {
            let shard = self.stream.shard(id);
            reading.read(world, self.stream, id);
            if reading.next == shard.records.len() && shard.closed_ms <= now {
                reading.shard.close();
            }
            while let Some(action) = reading.shard.poll(now) {
                match action {
                    Action::Checkpoint {
                        sequence_number, ..
                    } => {
                        let say = format_args!("  checkpoint {id} {sequence_number}");
                        world.trace.say(say);
                        self.checkpoints.insert(id.clone(), sequence_number);
                    }
                    Action::Invoke { sub_shard, batch } => {
                        let invocation =
                            invoke(world, self.stream, id, &batch, self.function, false);
                        let report = self.mapping.report_batch_item_failures;
                        let (generation, shard) = (self.generation, id.clone());
                        let ended = ended.clone();
                        tokio::spawn(async move {
                            let outcome = outcome(invocation.await, report, &batch);
                            // Nobody listens any more if the event source was restarted for the last time.
                            let _ = ended.send(Ended {
                                generation,
                                shard,
                                sub_shard,
                                batch,
                                outcome,
                            });
                        });
                    }
                    Action::SendToOnFailure {
                        sub_shard,
                        batch,
                        condition,
                    } => {
                        let records = batch.records().len();
                        let say = format_args!("  given up, {condition}: {records} records");
                        world.trace.say(say);
                        world.tell_given_up(condition);
                        self.stream
                            .pass_over_all(batch.records().iter().map(number));
                        given_up.push((id.clone(), batch));
                        reading.shard.handed_over(now, sub_shard);
                    }
                }
            }
            if reading.shard.is_finished() {
                self.lineage.finish(id);
                self.finished.push(id.clone());
            }
        }
        self.reading.retain(|id, _| !self.finished.contains(id));
    }

    /// Until something can happen by time alone: a flush, a retry, a record, or a shard that closes.
    fn wake(&self) -> Duration {
        let next = self.reading.iter().flat_map(|(id, reading)| {
            let shard = self.stream.shard(id);
            let record = shard.records.get(reading.next);
            let record = record.map_or(shard.closed_ms, |record| record.appended_ms);
            [reading.shard.wake_at(), Some(record)]
        });
        let listed = self.stream.shards.iter().map(|shard| Some(shard.listed_ms));
        self.world.until(next.chain(listed).flatten())
    }

    fn hear(&mut self, end: &Ended) -> Result<(), String> {
        if end.generation != self.generation {
            return Ok(());
        }
        let (world, stream) = (self.world, self.stream);
        world.trace.say(format_args!(
            "  answer {}/{}: {:?}",
            end.shard, end.sub_shard, end.outcome
        ));
        let from = match &end.outcome {
            Outcome::Answered(Answer::Success) => Some(None),
            Outcome::Answered(Answer::Partial(from)) => Some(Some(from)),
            _ => None,
        };
        if let Some(from) = from {
            world.tally.count_if(from.is_some(), Kind::PartialAnswer);
            let records = end.batch.records().iter();
            let done = records.take_while(|record| Some(&record.sequence_number) != from);
            invariants::are_done(world, stream, done.map(number))?;
        }
        let reading = self
            .reading
            .get_mut(&end.shard)
            .expect("a shard with an invocation is being read");
        reading
            .shard
            .answered(world.now_ms(), end.sub_shard, &end.outcome);
        Ok(())
    }

    /// The event source dies and comes back with its checkpoints; what it had in flight goes on unheard.
    fn restart(&mut self) {
        self.world.tally.count(Kind::Restart);
        self.world
            .trace
            .say(format_args!("  the event source restarts"));
        self.generation += 1;
        self.reading.clear();
        self.lineage = Lineage::default();
        for (id, start) in &self.starts {
            self.lineage.restore(id, *start, self.finished.contains(id));
        }
    }
}

impl Reading {
    /// Reads what is there. What is gone is passed over.
    fn read(&mut self, world: &World, stream: &Stream, id: &str) {
        let now = world.now_ms();
        let records = &stream.shard(id).records;
        while let Some(placed) = records.get(self.next)
            && placed.appended_ms <= now
            && self.shard.wants_records()
        {
            if placed.gone_ms <= now {
                world.tally.count(Kind::Gone);
                stream.pass_over(std::slice::from_ref(placed));
            } else {
                self.shard.push(now, [placed.record.clone()]);
            }
            self.next += 1;
        }
    }
}

fn invoke(
    world: &World,
    stream: &Stream,
    shard: &str,
    batch: &Batch,
    function: Function,
    redrive: bool,
) -> Invocation {
    let records = batch.records();
    let mut numbers = records.iter().map(number);
    let poisoned = !redrive && numbers.any(|number| stream.written[&number].poison);
    let what = format!(
        "{shard} {}..{} ({} records)",
        number(&records[0]),
        number(records.last().expect("never empty")),
        records.len(),
    );
    let event = envelope(shard).payload(records);
    world.invoke(&what, event, function, poisoned)
}

fn outcome(body: Result<Vec<u8>, &'static str>, report: bool, batch: &Batch) -> Outcome {
    Outcome::Answered(match body {
        Ok(body) => event_source::kinesis::answer::read(&body, report, batch.records()),
        Err(reason) => Answer::Failed(reason.into()),
    })
}

/// Sends what was given up through the function again, until it is done with.
async fn redrive(
    world: &World,
    stream: &Stream,
    given_up: Vec<(String, Batch)>,
) -> Result<(), String> {
    for (shard, batch) in given_up {
        let records = batch.records().len();
        world
            .trace
            .say(format_args!("redrive {shard}: {records} records"));
        let mut tries = 0;
        let done = Outcome::Answered(Answer::Success);
        loop {
            let body = invoke(world, stream, &shard, &batch, Function::kinesis(true), true).await;
            if outcome(body, true, &batch) == done {
                break;
            }
            tries += 1;
            if tries > 1_000 {
                return Err(format!(
                    "a batch of {shard} could not be redriven in 1,000 tries"
                ));
            }
        }
        invariants::are_done(world, stream, batch.records().iter().map(number))?;
    }
    Ok(())
}
