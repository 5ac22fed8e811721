//! A shard's state machine in random histories: whatever happens, the rules hold.

mod common;

use std::collections::HashMap;
use std::sync::Arc;

use common::{SUCCESS, failed, from, numbers, record};
use event_source::kinesis::record::Record;
use event_source::kinesis::shard::{Action, Batch, Outcome, Shard};
use event_source::mapping::given_up::Condition;
use event_source::mapping::parameters::{Mapping, Parameters};
use event_source::mapping::position::Millis;
use proptest::prelude::*;

/// What one step of a random history does.
#[derive(Clone, Debug)]
enum Step {
    Push(u8),
    Finish { pick: u8, end: End },
    Pass(u16),
}

#[derive(Clone, Debug)]
enum End {
    Success,
    Failed,
    Partial(u8),
    NotInvoked,
}

fn step() -> impl Strategy<Value = Step> {
    let end = prop_oneof![
        4 => Just(End::Success),
        2 => Just(End::Failed),
        2 => any::<u8>().prop_map(End::Partial),
        1 => Just(End::NotInvoked),
    ];
    prop_oneof![
        2 => (1..40_u8).prop_map(Step::Push),
        4 => (any::<u8>(), end).prop_map(|(pick, end)| Step::Finish { pick, end }),
        2 => (0..20_000_u16).prop_map(Step::Pass),
    ]
}

fn parameters() -> impl Strategy<Value = Parameters> {
    (
        1..30_i64,
        0..5_i64,
        1..5_i64,
        any::<bool>(),
        -1..3_i64,
        any::<bool>(),
    )
        .prop_map(
            |(batch_size, window, factor, bisect, retries, aging)| Parameters {
                batch_size,
                maximum_batching_window_in_seconds: window,
                parallelization_factor: factor,
                bisect_batch_on_function_error: bisect,
                maximum_retry_attempts: retries,
                maximum_record_age_in_seconds: if aging { 60 } else { -1 },
                ..Parameters::default()
            },
        )
}

/// The owner of a shard in a random history, which checks the rules at every step.
struct History {
    shard: Shard,
    mapping: Mapping,
    now: Millis,
    pushed: Vec<Arc<str>>,
    running: Vec<(usize, Option<Batch>)>,
    done: Vec<bool>,
    last_done: HashMap<Arc<str>, u64>,
    checkpoint: u64,
    counted: u64,
}

impl History {
    fn new(parameters: &Parameters) -> Self {
        let mapping = Mapping::try_from(parameters).expect("in range");
        Self {
            shard: Shard::new(mapping, None),
            mapping,
            now: 0,
            pushed: Vec::new(),
            running: Vec::new(),
            done: Vec::new(),
            last_done: HashMap::new(),
            checkpoint: 0,
            counted: 0,
        }
    }

    fn push(&mut self, count: u8) {
        let records: Vec<Record> = (0..count)
            .map(|index| {
                let number = self.pushed.len() as u64 + 1;
                let key: Arc<str> = format!("key {}", (u64::from(index) * 7 + number) % 9).into();
                self.pushed.push(Arc::clone(&key));
                self.done.push(false);
                record(number, &key, self.now)
            })
            .collect();
        self.shard.push(self.now, records);
    }

    fn act(&mut self) {
        while let Some(action) = self.shard.poll(self.now) {
            match action {
                Action::Checkpoint {
                    sequence_number,
                    records,
                } => {
                    let number: u64 = sequence_number.as_str().parse().expect("small");
                    assert!(number > self.checkpoint, "the checkpoint moves forward");
                    let reached = usize::try_from(number).expect("small");
                    assert!(
                        self.done[..reached].iter().all(|done| *done),
                        "nothing is skipped"
                    );
                    self.checkpoint = number;
                    self.counted += records;
                    assert_eq!(self.counted, number, "every record is counted once");
                }
                Action::Invoke { sub_shard, batch } => {
                    assert!(batch.records().len() <= self.mapping.batch_size);
                    assert!(
                        self.running.iter().all(|(other, _)| *other != sub_shard),
                        "one in flight"
                    );
                    for (_, other) in &self.running {
                        let Some(other) = other else { continue };
                        let keys: Vec<_> = other
                            .records()
                            .iter()
                            .map(|record| &record.partition_key)
                            .collect();
                        assert!(
                            batch
                                .records()
                                .iter()
                                .all(|record| !keys.contains(&&record.partition_key))
                        );
                    }
                    self.running.push((sub_shard, Some(batch)));
                }
                Action::SendToOnFailure {
                    sub_shard,
                    batch,
                    condition,
                } => {
                    assert_ne!(condition, Condition::InvokePayloadSizeExceeded);
                    if condition == Condition::RetryAttemptsExhausted {
                        assert!(self.mapping.maximum_retry_attempts.is_some());
                        assert!(
                            batch.invocations() > self.mapping.maximum_retry_attempts.unwrap_or(0)
                        );
                    }
                    self.mark_done(&numbers(&batch));
                    self.running.push((sub_shard, None));
                }
            }
        }
    }

    fn mark_done(&mut self, numbers: &[u64]) {
        for number in numbers {
            let index = usize::try_from(*number - 1).expect("small");
            assert!(!self.done[index], "record {number} is done once");
            self.done[index] = true;
            let last = self
                .last_done
                .insert(Arc::clone(&self.pushed[index]), *number);
            assert!(
                last.is_none_or(|last| last < *number),
                "the order of a key is kept"
            );
        }
    }

    fn finish(&mut self, pick: u8, end: &End) {
        if self.running.is_empty() {
            return;
        }
        let (sub_shard, batch) = self
            .running
            .swap_remove(usize::from(pick) % self.running.len());
        let Some(batch) = batch else {
            return self.shard.handed_over(self.now, sub_shard);
        };
        let numbers = numbers(&batch);
        let outcome = match end {
            End::Success => {
                self.mark_done(&numbers);
                SUCCESS
            }
            End::Failed => failed(),
            End::Partial(pick) => {
                let index = usize::from(*pick) % numbers.len();
                self.mark_done(&numbers[..index]);
                from(numbers[index])
            }
            End::NotInvoked => Outcome::NotInvoked,
        };
        self.shard.answered(self.now, sub_shard, &outcome);
    }

    /// Lets everything end well.
    fn settle(&mut self) {
        self.shard.close();
        self.act();
        while !self.shard.is_finished() {
            while !self.running.is_empty() {
                self.finish(0, &End::Success);
            }
            self.act();
            if let Some(at) = self.shard.wake_at() {
                self.now = self.now.max(at);
                self.act();
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn whatever_happens_every_record_is_done_once_in_the_order_of_its_key_and_nothing_is_skipped(
        parameters in parameters(),
        steps in proptest::collection::vec(step(), 1..120),
    ) {
        let mut history = History::new(&parameters);
        for step in steps {
            match step {
                Step::Push(count) => if history.shard.wants_records() {
                    history.push(count);
                },
                Step::Finish { pick, end } => history.finish(pick, &end),
                Step::Pass(millis) => history.now += Millis::from(millis),
            }
            history.act();
            if let (true, Some(at)) = (history.running.is_empty(), history.shard.wake_at()) {
                prop_assert!(at > history.now, "nothing is due that poll did not do");
            }
            prop_assert!(
                history.checkpoint == history.pushed.len() as u64
                    || !history.running.is_empty()
                    || history.shard.wake_at().is_some(),
                "records that are left are always being waited for"
            );
        }
        history.settle();
        prop_assert_eq!(history.checkpoint, history.pushed.len() as u64);
    }
}
