//! The event source mapping over the stream: its real state machine, driven in virtual time, restarted now and then
//! from its checkpoints.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use event_source::answer::Answer;
use event_source::lineage::{Lineage, Start};
use event_source::mapping::{Mapping, StartingPosition};
use event_source::record::SequenceNumber;
use event_source::shard::{Action, Batch, Outcome, Shard};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::invariants;
use super::lake::{Family, SimulatedLake};
use super::lambda::{Ended, Lambda};
use super::stream::{START_MS, Stream};
use super::trace::Trace;

/// Virtual time after which a run is stuck.
pub(crate) const PATIENCE: Duration = Duration::from_hours(48);

/// Delivers the whole stream, perhaps once more, or by two event sources at once; then what was given up. Says whether
/// nothing was.
pub(crate) async fn deliver(
    stream: &Stream,
    lake: &SimulatedLake,
    rng: &mut ChaCha8Rng,
    faults: f64,
    poison: bool,
    trace: &Trace,
) -> Result<bool, String> {
    let gives_up = poison || rng.random_bool(0.2);
    let family = Family {
        listing: Arc::new(stream.listing.clone()),
        lake: lake.clone(),
    };
    let zombies = rng.random_bool(0.7);
    let lambda = Lambda::new(family, rng.random(), faults, zombies, trace.clone());
    let lambda = RefCell::new(lambda);
    let began = Instant::now();
    let starts = rng.random_range(0..3) * usize::from(rng.random_bool(0.5));
    // The first one begins at once, others while it runs or long after.
    let sources = (0..=starts).map(|start| {
        let delay = rng.random_range(0..3_600) * u64::from(start > 0);
        let mut rng = ChaCha8Rng::seed_from_u64(rng.random());
        let lambda = &lambda;
        async move {
            tokio::time::sleep(Duration::from_secs(delay)).await;
            let mapping = mapping(&mut rng, gives_up);
            trace.say(format_args!("event source {start}: {mapping:?}"));
            let mut source = Source::new(stream, lake, mapping, began, trace);
            source.run(&mut rng, lambda).await
        }
    });
    let given_up = futures::future::try_join_all(sources).await?.concat();
    let in_order = given_up.is_empty();
    redrive(stream, &mut lambda.into_inner(), given_up, trace).await?;
    Ok(in_order)
}

fn mapping(rng: &mut ChaCha8Rng, gives_up: bool) -> Mapping {
    Mapping {
        batch_size: rng.random_range(1..20),
        batching_window: rng.random_range(0..5_000),
        parallelization_factor: rng.random_range(1..=3),
        bisect_batch_on_function_error: rng.random_bool(0.5),
        maximum_retry_attempts: gives_up.then(|| rng.random_range(0..4)),
        maximum_record_age: None,
        report_batch_item_failures: true,
        starting_position: StartingPosition::TrimHorizon,
    }
}

struct Source<'s> {
    stream: &'s Stream,
    lake: &'s SimulatedLake,
    mapping: Mapping,
    trace: &'s Trace,
    lineage: Lineage,
    reading: BTreeMap<String, Reading>,
    checkpoints: BTreeMap<String, SequenceNumber>,
    finished: Vec<String>,
    generation: u32,
    began: Instant,
}

struct Reading {
    shard: Shard,
    next: usize,
}

impl<'s> Source<'s> {
    fn new(
        stream: &'s Stream,
        lake: &'s SimulatedLake,
        mapping: Mapping,
        began: Instant,
        trace: &'s Trace,
    ) -> Self {
        Self {
            stream,
            lake,
            mapping,
            trace,
            lineage: Lineage::default(),
            reading: BTreeMap::new(),
            checkpoints: BTreeMap::new(),
            finished: Vec::new(),
            generation: 0,
            began,
        }
    }

    async fn run(
        &mut self,
        rng: &mut ChaCha8Rng,
        lambda: &RefCell<Lambda>,
    ) -> Result<Vec<(String, Batch)>, String> {
        let mut given_up = Vec::new();
        let (ended, mut endings) = mpsc::unbounded_channel();
        let restarts = rng.random_range(0..3);
        let mut left = restarts;
        loop {
            self.lineage
                .observe(&self.stream.listing, self.mapping.starting_position, 0);
            while let Some((id, Start::TrimHorizon)) = self.lineage.start_next() {
                self.start(&id);
            }
            self.act(&mut lambda.borrow_mut(), &mut given_up, &ended);
            if self.finished.len() == self.stream.listing.len() {
                return Ok(given_up);
            }
            if self.began.elapsed() > PATIENCE {
                return Err("the stream is not done with after 48 hours".to_owned());
            }
            if left > 0 && rng.random_bool(0.02) {
                left -= 1;
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

    /// Milliseconds since the Unix epoch. Records that have not arrived yet are not there to be read.
    fn now(&self) -> i64 {
        START_MS + i64::try_from(self.began.elapsed().as_millis()).expect("within 48 hours")
    }

    fn start(&mut self, id: &str) {
        let checkpoint = self.checkpoints.get(id).cloned();
        let records = self.stream.shards.get(id).map_or(&[][..], Vec::as_slice);
        let after = |record: &&event_source::record::Record| {
            checkpoint
                .as_ref()
                .is_some_and(|checkpoint| record.sequence_number <= *checkpoint)
        };
        let next = records.iter().take_while(after).count();
        let shard = Shard::new(self.mapping, checkpoint);
        self.reading.insert(id.to_owned(), Reading { shard, next });
    }

    fn act(
        &mut self,
        lambda: &mut Lambda,
        given_up: &mut Vec<(String, Batch)>,
        ended: &mpsc::UnboundedSender<Ended>,
    ) {
        let now = self.now();
        for (id, reading) in &mut self.reading {
            let records = self.stream.shards.get(id).map_or(&[][..], Vec::as_slice);
            while reading.next < records.len()
                && records[reading.next].arrival <= now
                && reading.shard.wants_records()
            {
                reading.shard.push(now, [records[reading.next].clone()]);
                reading.next += 1;
            }
            if reading.next == records.len() {
                reading.shard.close();
            }
            while let Some(action) = reading.shard.poll(now) {
                match action {
                    Action::Checkpoint {
                        sequence_number, ..
                    } => {
                        self.trace
                            .say(format_args!("  checkpoint {id} {sequence_number}"));
                        self.checkpoints.insert(id.clone(), sequence_number);
                    }
                    Action::Invoke { sub_shard, batch } => {
                        let of = (self.generation, id.as_str(), sub_shard);
                        lambda.invoke(self.stream, of, &batch, false, ended.clone());
                    }
                    Action::SendToOnFailure {
                        sub_shard,
                        batch,
                        condition,
                    } => {
                        self.trace.say(format_args!(
                            "  given up, {condition}: {} records",
                            batch.records().len()
                        ));
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

    /// Until something can happen by time alone: a flush, a retry, or an arrival.
    fn wake(&self) -> Duration {
        let now = self.now();
        let next = self.reading.iter().flat_map(|(id, reading)| {
            let records = self.stream.shards.get(id).map_or(&[][..], Vec::as_slice);
            let arrival = records
                .get(reading.next)
                .map(|record| record.arrival)
                .filter(|arrival| *arrival > now);
            [reading.shard.wake_at(), arrival]
        });
        let until = next
            .flatten()
            .min()
            .unwrap_or(now + 60_000)
            .clamp(now + 1, now + 60_000);
        Duration::from_millis(u64::try_from(until - now).expect("clamped"))
    }

    fn hear(&mut self, end: &Ended) -> Result<(), String> {
        if end.generation != self.generation {
            return Ok(());
        }
        self.trace.say(format_args!(
            "  answer {}/{}: {:?}",
            end.shard, end.sub_shard, end.outcome
        ));
        if let Outcome::Answered(answer @ (Answer::Success | Answer::PartialFrom(_))) = &end.outcome
        {
            invariants::of_answer(self.stream, self.lake, &end.batch, answer)?;
        }
        let now = self.now();
        let reading = self
            .reading
            .get_mut(&end.shard)
            .expect("a shard with an invocation is being read");
        reading.shard.answered(now, end.sub_shard, &end.outcome);
        Ok(())
    }

    /// The event source dies and comes back with its checkpoints; what it had in flight goes on unheard.
    fn restart(&mut self) {
        self.trace.say(format_args!("  the event source restarts"));
        self.generation += 1;
        self.reading.clear();
        self.lineage = Lineage::default();
        for listed in &self.stream.listing {
            self.lineage.restore(
                &listed.id,
                Start::TrimHorizon,
                self.finished.contains(&listed.id),
            );
        }
    }
}

/// Sends what was given up through the function again, until it is done with.
async fn redrive(
    stream: &Stream,
    lambda: &mut Lambda,
    given_up: Vec<(String, Batch)>,
    trace: &Trace,
) -> Result<(), String> {
    let (ended, mut endings) = mpsc::unbounded_channel();
    for (shard, batch) in given_up {
        trace.say(format_args!(
            "redrive {shard}: {} records",
            batch.records().len()
        ));
        let mut tries = 0;
        loop {
            lambda.invoke(stream, (0, &shard, 0), &batch, true, ended.clone());
            let end = endings.recv().await.expect("this function holds a sender");
            if end.outcome == Outcome::Answered(Answer::Success) {
                break;
            }
            tries += 1;
            if tries > 1_000 {
                return Err(format!(
                    "a batch of {shard} could not be redriven in 1,000 tries"
                ));
            }
        }
    }
    // Requests that were delayed may still take effect.
    tokio::time::sleep(Duration::from_mins(10)).await;
    Ok(())
}
