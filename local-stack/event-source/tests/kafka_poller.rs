//! The rules of a poller's state machine, in virtual time.

use std::collections::{BTreeMap, BTreeSet};

use event_source::kafka::answer::Answer;
use event_source::kafka::envelope::Envelope;
use event_source::kafka::poller::{Action, Batch, Outcome, PartialRetry, Poller};
use event_source::kafka::record::{Message, Record, TimestampType};
use event_source::lambda::MAXIMUM_PAYLOAD_BYTES;
use event_source::mapping::parameters::{Mapping, Parameters};
use event_source::mapping::position::Millis;
use proptest::prelude::*;

const SUCCESS: Outcome = Outcome::Answered(Answer::Success);

fn failed() -> Outcome {
    Outcome::Answered(Answer::Failed("an error".into()))
}

fn partial(failures: &[(i32, &[i64])]) -> Outcome {
    let failures = failures
        .iter()
        .map(|(partition, offsets)| (*partition, offsets.iter().copied().collect()));
    Outcome::Answered(Answer::Partial(failures.collect()))
}

fn record(partition: i32, offset: i64, value_bytes: usize) -> Record {
    Envelope::new("t", "b:9092").record(&Message {
        partition,
        offset,
        timestamp: 0,
        timestamp_type: TimestampType::LogAppendTime,
        key: None,
        value: Some(&vec![0; value_bytes]),
        headers: &[],
    })
}

/// A poller with its owner: actions as short text, the time moved on by hand.
struct Bench {
    poller: Poller,
    now: Millis,
}

impl Bench {
    /// With partitions 0 to 2.
    fn new(retry: PartialRetry, change: impl FnOnce(&mut Parameters)) -> Self {
        let mut parameters = Parameters::default();
        change(&mut parameters);
        let mapping = Mapping::try_from(&parameters).expect("valid parameters");
        let mut poller = Poller::new(mapping, retry, Envelope::new("t", "b:9092"));
        (0..3).for_each(|partition| poller.assign(partition));
        Self { poller, now: 0 }
    }

    fn push(&mut self, places: &[(i32, i64)]) {
        for (partition, offset) in places {
            self.poller.push(self.now, record(*partition, *offset, 0));
        }
    }

    /// All actions at this moment; commits are told apart by `=`.
    fn actions(&mut self) -> Vec<String> {
        let shown = |batch: &Batch| {
            let places = batch.records().iter();
            let places = places.map(|record| format!("{}/{}", record.partition, record.offset));
            places.collect::<Vec<_>>().join(" ")
        };
        std::iter::from_fn(|| self.poller.poll(self.now))
            .map(|action| match action {
                Action::Commit(progress) => {
                    let progress = progress.iter();
                    let progress =
                        progress.map(|one| format!("{}={}", one.partition, one.next_offset));
                    progress.collect::<Vec<_>>().join(" ")
                }
                Action::Invoke(batch) => format!("invoke {}", shown(&batch)),
                Action::SendToOnFailure { batch, condition } => {
                    format!(
                        "{condition} {} after {}",
                        shown(&batch),
                        batch.invocations()
                    )
                }
            })
            .collect()
    }

    fn answer(&mut self, outcome: &Outcome) -> Vec<String> {
        self.poller.answered(self.now, outcome);
        self.actions()
    }

    /// The actions of the next moment at which time alone brings any.
    fn later(&mut self) -> Vec<String> {
        self.now = self
            .poller
            .wake_at()
            .expect("something to come")
            .max(self.now);
        self.actions()
    }
}

const FROM_LOWEST: PartialRetry = PartialRetry::FromLowest;

#[test]
fn a_batch_spans_partitions_and_one_is_in_flight() {
    let mut bench = Bench::new(FROM_LOWEST, |parameters| parameters.batch_size = 3);
    bench.push(&[(0, 10), (2, 5), (0, 11), (1, 0)]);
    assert_eq!(bench.actions(), ["invoke 0/10 2/5 0/11"]);
    bench.push(&[(1, 1), (1, 2)]);
    assert!(bench.actions().is_empty());
    assert_eq!(bench.answer(&SUCCESS), ["0=12 2=6", "invoke 1/0 1/1 1/2"]);
}

#[test]
fn records_are_gathered_until_the_batch_is_full_or_the_window_ends() {
    let mut bench = Bench::new(FROM_LOWEST, |parameters| {
        parameters.batch_size = 2;
        parameters.maximum_batching_window_in_seconds = 5;
    });
    bench.push(&[(0, 1)]);
    assert!(bench.actions().is_empty());
    assert_eq!(bench.later(), ["invoke 0/1"]);
    assert_eq!(bench.now, 5_000);
    bench.push(&[(0, 2), (1, 7)]);
    assert_eq!(bench.answer(&SUCCESS), ["0=2", "invoke 0/2 1/7"]);
}

#[test]
fn a_batch_stays_below_the_limit_of_an_invocation_and_a_larger_record_is_given_up() {
    let mut bench = Bench::new(FROM_LOWEST, |parameters| parameters.batch_size = 100);
    let third = MAXIMUM_PAYLOAD_BYTES / 4; // base64 makes it a third of the limit
    for offset in 0..4 {
        bench.poller.push(0, record(0, offset, third));
    }
    assert_eq!(bench.actions(), ["invoke 0/0 0/1"]);
    assert_eq!(bench.answer(&SUCCESS), ["0=2", "invoke 0/2 0/3"]);
    bench.poller.push(0, record(1, 8, MAXIMUM_PAYLOAD_BYTES));
    let given_up = "MaximumPayloadSizeExceeded 1/8 after 0";
    assert_eq!(bench.answer(&SUCCESS), ["0=4", given_up]);
    bench.poller.handed_over(bench.now);
    assert_eq!(bench.actions(), ["1=9"]);
}

#[test]
fn a_failed_batch_is_retried_whole_until_it_succeeds_and_nothing_is_committed_meanwhile() {
    let mut bench = Bench::new(FROM_LOWEST, |_| ());
    bench.push(&[(0, 1), (1, 1)]);
    bench.actions();
    let mut waits = Vec::new();
    for _ in 0..8 {
        assert!(bench.answer(&failed()).is_empty());
        let before = bench.now;
        assert_eq!(bench.later(), ["invoke 0/1 1/1"]);
        waits.push(bench.now - before);
    }
    assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
    assert_eq!(bench.answer(&SUCCESS), ["0=2 1=2"]);
}

#[test]
fn a_partition_is_retried_from_its_lowest_reported_offset_and_the_others_are_committed() {
    let mut bench = Bench::new(FROM_LOWEST, |_| ());
    bench.push(&[(0, 1), (1, 1), (0, 2), (0, 4), (1, 2)]);
    bench.actions();
    // 3 does not exist: offsets have gaps.
    assert_eq!(bench.answer(&partial(&[(0, &[2])])), ["0=2 1=3"]);
    assert_eq!(bench.later(), ["invoke 0/2 0/4"]);
    assert_eq!(bench.answer(&SUCCESS), ["0=5"]);
}

#[test]
fn with_only_the_reported_offsets_a_later_one_may_be_done_and_is_not_committed_before_them() {
    let mut bench = Bench::new(PartialRetry::OnlyReported, |_| ());
    bench.push(&[(0, 1), (0, 2), (0, 3), (0, 4)]);
    bench.actions();
    assert_eq!(bench.answer(&partial(&[(0, &[1, 3])])), ["0=1"]);
    assert_eq!(bench.later(), ["invoke 0/1 0/3"]);
    assert_eq!(bench.answer(&partial(&[(0, &[3])])), ["0=3"]);
    assert_eq!(bench.later(), ["invoke 0/3"]);
    assert_eq!(bench.answer(&SUCCESS), ["0=5"]);
}

#[test]
fn an_answer_that_reports_everything_is_a_failure() {
    let mut bench = Bench::new(FROM_LOWEST, |parameters| {
        parameters.maximum_retry_attempts = 0;
    });
    bench.push(&[(0, 1), (1, 1)]);
    bench.actions();
    assert_eq!(
        bench.answer(&partial(&[(0, &[1]), (1, &[1])])),
        ["RetryAttemptsExhausted 0/1 1/1 after 1"]
    );
}

#[test]
fn a_failed_batch_is_split_in_two_without_using_up_a_retry() {
    let mut bench = Bench::new(FROM_LOWEST, |parameters| {
        parameters.bisect_batch_on_function_error = true;
        parameters.maximum_retry_attempts = 0;
    });
    bench.push(&[(0, 1), (1, 1), (0, 2)]);
    bench.actions();
    bench.answer(&failed());
    assert_eq!(bench.later(), ["invoke 0/1"]);
    assert_eq!(
        bench.answer(&failed()),
        ["RetryAttemptsExhausted 0/1 after 2"]
    );
    bench.poller.handed_over(bench.now);
    assert_eq!(bench.actions(), ["0=2", "invoke 1/1 0/2"]);
    assert_eq!(bench.answer(&SUCCESS), ["0=3 1=2"]);
}

#[test]
fn records_that_are_too_old_are_given_up_before_the_younger_ones_of_their_partition() {
    let mut bench = Bench::new(FROM_LOWEST, |parameters| {
        parameters.maximum_record_age_in_seconds = 60;
    });
    let young = |partition, offset| {
        let envelope = Envelope::new("t", "b:9092");
        envelope.record(&Message {
            partition,
            offset,
            timestamp: 60_000,
            timestamp_type: TimestampType::LogAppendTime,
            key: None,
            value: None,
            headers: &[],
        })
    };
    bench.push(&[(0, 1)]);
    bench.poller.push(0, young(0, 2));
    bench.poller.push(0, young(1, 1));
    bench.push(&[(1, 2)]);
    bench.now = 60_001;
    assert_eq!(bench.actions(), ["RecordAgeExceeded 0/1 after 0"]);
    bench.poller.handed_over(bench.now);
    assert_eq!(bench.actions(), ["0=2", "invoke 0/2 1/1 1/2"]);
}

#[test]
fn a_function_that_does_not_start_uses_up_no_retry() {
    let mut bench = Bench::new(FROM_LOWEST, |parameters| {
        parameters.maximum_retry_attempts = 0;
    });
    bench.push(&[(0, 1)]);
    bench.actions();
    for _ in 0..3 {
        assert!(bench.answer(&Outcome::NotInvoked).is_empty());
        assert_eq!(bench.later(), ["invoke 0/1"]);
    }
}

#[test]
fn what_was_read_before_is_passed_over_and_so_is_a_partition_of_somebody_else() {
    let mut bench = Bench::new(FROM_LOWEST, |_| ());
    bench.push(&[(0, 5), (0, 5), (0, 4), (9, 1)]);
    assert_eq!(bench.actions(), ["invoke 0/5"]);
    assert_eq!(bench.answer(&SUCCESS), ["0=6"]);
}

#[test]
fn a_partition_that_is_taken_away_is_neither_retried_nor_committed() {
    let mut bench = Bench::new(FROM_LOWEST, |parameters| parameters.batch_size = 2);
    bench.push(&[(0, 1), (1, 1), (1, 2), (0, 2)]);
    assert_eq!(bench.actions(), ["invoke 0/1 1/1"]);
    bench.poller.revoke(1);
    assert!(bench.answer(&failed()).is_empty());
    assert_eq!(bench.later(), ["invoke 0/1"]);
    assert_eq!(bench.answer(&SUCCESS), ["0=2", "invoke 0/2"]);
    // It may come back, from where the group has committed it.
    bench.poller.assign(1);
    bench.push(&[(1, 1)]);
    assert_eq!(bench.answer(&SUCCESS), ["0=3", "invoke 1/1"]);
}

#[test]
fn a_batch_of_which_everything_is_taken_away_is_no_batch() {
    let mut bench = Bench::new(FROM_LOWEST, |parameters| {
        parameters.bisect_batch_on_function_error = true;
    });
    bench.push(&[(0, 1), (0, 2)]);
    bench.actions();
    bench.answer(&failed());
    bench.poller.revoke(0);
    assert_eq!(bench.poller.wake_at(), None);
    bench.push(&[(1, 7)]);
    assert_eq!(bench.later(), ["invoke 1/7"]);
    assert!(bench.poller.wants_records());
}

/// How an invocation of the history ends.
#[derive(Clone, Debug)]
enum End {
    Succeeds,
    Fails,
    NotInvoked,
    /// Reports the records at these places of the batch.
    Reports(Vec<prop::sample::Index>),
}

fn ends() -> impl Strategy<Value = End> {
    prop_oneof![
        3 => Just(End::Succeeds),
        1 => Just(End::Fails),
        1 => Just(End::NotInvoked),
        3 => prop::collection::vec(any::<prop::sample::Index>(), 1..4).prop_map(End::Reports),
    ]
}

proptest! {
    #[test]
    fn every_record_is_done_once_and_no_commit_passes_one_that_is_not(
        places in prop::collection::vec(0..3_i32, 1..60),
        history in prop::collection::vec(ends(), 0..40),
        batch_size in 1..10_i64, bisect: bool, only_reported: bool,
    ) {
        let retry = if only_reported { PartialRetry::OnlyReported } else { FROM_LOWEST };
        let mut bench = Bench::new(retry, |parameters| {
            parameters.batch_size = batch_size;
            parameters.bisect_batch_on_function_error = bisect;
        });
        let places: Vec<(i32, i64)> = places.into_iter().zip((0..).map(|n| n * 2)).collect();
        bench.push(&places);
        let mut undone: BTreeSet<(i32, i64)> = places.iter().copied().collect();
        let mut first_invoked: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
        let mut committed: BTreeMap<i32, i64> = BTreeMap::new();
        let mut history = history.into_iter();
        while let Some(at) = bench.poller.wake_at() {
            bench.now = bench.now.max(at);
            match bench.poller.poll(bench.now).expect("something at the time foretold") {
                Action::Commit(progress) => for one in progress {
                    let passed = undone.range((one.partition, 0)..(one.partition, one.next_offset));
                    prop_assert_eq!(passed.count(), 0);
                    let before = committed.insert(one.partition, one.next_offset);
                    prop_assert!(before.is_none_or(|before| before <= one.next_offset));
                },
                Action::SendToOnFailure { .. } => panic!("there is no limit"),
                Action::Invoke(batch) => {
                    prop_assert!(batch.records().len() <= usize::try_from(batch_size).expect("small"));
                    for record in batch.records() {
                        let seen = first_invoked.entry(record.partition).or_default();
                        if !seen.contains(&record.offset) {
                            seen.push(record.offset);
                        }
                    }
                    let outcome = match history.next() {
                        None | Some(End::Succeeds) => SUCCESS,
                        Some(End::Fails) => failed(),
                        Some(End::NotInvoked) => Outcome::NotInvoked,
                        Some(End::Reports(at)) => {
                            let mut failures: BTreeMap<i32, BTreeSet<i64>> = BTreeMap::new();
                            for index in at {
                                let record = index.get(batch.records());
                                failures.entry(record.partition).or_default().insert(record.offset);
                            }
                            Outcome::Answered(Answer::Partial(failures))
                        }
                    };
                    let left = outcome.failed_records(batch.records(), |failures, record| retry.is_left(failures, record));
                    let mut done = 0;
                    for record in batch.records() {
                        let retried = match &outcome {
                            Outcome::Answered(Answer::Success) => false,
                            Outcome::Answered(Answer::Partial(failures)) => failures
                                .get(&record.partition)
                                .is_some_and(|offsets| if only_reported {
                                    offsets.contains(&record.offset)
                                } else {
                                    offsets.iter().any(|offset| *offset <= record.offset)
                                }),
                            _ => true,
                        };
                        if !retried {
                            prop_assert!(undone.remove(&(record.partition, record.offset)));
                            done += 1;
                        }
                    }
                    prop_assert_eq!(done + left, batch.records().len());
                    bench.poller.answered(bench.now, &outcome);
                }
            }
        }
        prop_assert!(undone.is_empty());
        for (partition, offsets) in first_invoked {
            prop_assert!(offsets.is_sorted());
            prop_assert_eq!(committed[&partition], offsets[offsets.len() - 1] + 1);
        }
    }
}
