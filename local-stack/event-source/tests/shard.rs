//! The rules of a shard's state machine, in virtual time.

mod common;

use common::{SUCCESS, failed, from, numbers, record};
use event_source::kinesis::envelope::EMPTY_PAYLOAD_BYTES;
use event_source::kinesis::record::Record;
use event_source::kinesis::shard::{Action, Batch, Outcome, Shard};
use event_source::lambda::MAXIMUM_PAYLOAD_BYTES;
use event_source::mapping::parameters::{Mapping, Parameters};
use event_source::mapping::position::{Millis, Position};

fn mapping(change: impl FnOnce(&mut Parameters)) -> Mapping {
    let mut parameters = Parameters::default();
    change(&mut parameters);
    Mapping::try_from(&parameters).expect("valid parameters")
}

fn records(numbers: std::ops::Range<u64>) -> Vec<Record> {
    numbers.map(|number| record(number, "key", 0)).collect()
}

/// One shard with its owner: actions as short text, the time moved on by hand.
struct Bench {
    shard: Shard,
    now: Millis,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Parameters)) -> Self {
        Self {
            shard: Shard::new(mapping(change), None),
            now: 0,
        }
    }

    /// All actions at this moment; checkpoints are told apart by `=`, batches by their bounds.
    fn actions(&mut self) -> Vec<String> {
        let bounds = |batch: &Batch| {
            let numbers = numbers(batch);
            format!("{}..={}", numbers[0], numbers[numbers.len() - 1])
        };
        std::iter::from_fn(|| self.shard.poll(self.now))
            .map(|action| match action {
                Action::Checkpoint {
                    sequence_number, ..
                } => format!("={sequence_number}"),
                Action::Invoke { batch, .. } => format!("invoke {}", bounds(&batch)),
                Action::SendToOnFailure {
                    batch, condition, ..
                } => {
                    format!(
                        "{condition} {} after {}",
                        bounds(&batch),
                        batch.invocations()
                    )
                }
            })
            .collect()
    }

    /// The actions of the next moment at which time alone brings any.
    fn next(&mut self) -> Vec<String> {
        self.now = self
            .now
            .max(self.shard.wake_at().expect("something to come"));
        self.actions()
    }

    fn answer(&mut self, outcome: &Outcome) -> Vec<String> {
        self.shard.answered(self.now, 0, outcome);
        self.next()
    }

    fn answer_last(&mut self, outcome: &Outcome) -> Vec<String> {
        self.shard.answered(self.now, 0, outcome);
        self.actions()
    }
}

#[test]
fn a_batch_is_flushed_at_batch_size() {
    let mut bench = Bench::new(|parameters| {
        parameters.batch_size = 10;
        parameters.maximum_batching_window_in_seconds = 5;
    });
    bench.shard.push(0, records(1..10));
    assert!(bench.actions().is_empty());
    bench.shard.push(0, records(10..25));
    assert_eq!(bench.actions(), ["invoke 1..=10"]);
    assert_eq!(bench.answer_last(&SUCCESS), ["=10", "invoke 11..=20"]);
}

#[test]
fn a_batch_is_flushed_when_the_window_is_over_and_the_next_window_begins_at_its_completion() {
    let mut bench = Bench::new(|parameters| parameters.maximum_batching_window_in_seconds = 5);
    bench.shard.push(1000, records(1..3));
    bench.now = 5999;
    assert!(bench.actions().is_empty());
    assert_eq!(bench.shard.wake_at(), Some(6000));
    assert_eq!(bench.next(), ["invoke 1..=2"]);
    bench.shard.push(6500, records(3..4));
    bench.now = 8000;
    assert_eq!(bench.answer_last(&SUCCESS), ["=2"]);
    assert_eq!(bench.shard.wake_at(), Some(13_000));
}

#[test]
fn a_batch_is_flushed_before_its_payload_exceeds_six_megabytes() {
    let mut bench = Bench::new(|parameters| {
        parameters.batch_size = 10_000;
        parameters.maximum_batching_window_in_seconds = 300;
    });
    let third = (MAXIMUM_PAYLOAD_BYTES - EMPTY_PAYLOAD_BYTES) / 3;
    let sized = |numbers: std::ops::Range<u64>| {
        records(numbers).into_iter().map(|mut record| {
            record.payload_bytes = third;
            record
        })
    };
    bench.shard.push(0, sized(1..4));
    assert!(
        bench.actions().is_empty(),
        "exactly full is not yet over the limit"
    );
    bench.shard.push(0, sized(4..5));
    assert_eq!(bench.actions(), ["invoke 1..=3"]);
}

#[test]
fn a_record_that_fits_no_invocation_is_given_up_alone() {
    let mut bench = Bench::new(|_| {});
    let mut oversized = record(2, "key", 0);
    oversized.payload_bytes = MAXIMUM_PAYLOAD_BYTES;
    bench
        .shard
        .push(0, [record(1, "key", 0), oversized, record(3, "key", 0)]);
    assert_eq!(bench.actions(), ["invoke 1..=1"]);
    assert_eq!(
        bench.answer_last(&SUCCESS),
        ["=1", "InvokePayloadSizeExceeded 2..=2 after 0"]
    );
    bench.shard.handed_over(0, 0);
    assert_eq!(bench.actions(), ["=2", "invoke 3..=3"]);
}

#[test]
fn a_failed_batch_is_retried_with_growing_bounded_waits_and_nothing_overtakes_it() {
    let mut bench = Bench::new(|parameters| parameters.batch_size = 2);
    bench.shard.push(0, records(1..5));
    assert_eq!(bench.actions(), ["invoke 1..=2"]);
    let mut waits = Vec::new();
    for _ in 0..9 {
        let before = bench.now;
        assert_eq!(bench.answer(&failed()), ["invoke 1..=2"]);
        waits.push(bench.now - before);
    }
    assert_eq!(
        waits,
        [200, 400, 800, 1600, 3200, 6400, 10_000, 10_000, 10_000]
    );
    assert_eq!(bench.answer_last(&SUCCESS), ["=2", "invoke 3..=4"]);
}

#[test]
fn a_partial_answer_moves_the_checkpoint_and_the_remainder_is_a_retry() {
    let mut bench = Bench::new(|parameters| parameters.maximum_retry_attempts = 1);
    bench.shard.push(0, records(1..11));
    assert_eq!(bench.actions(), ["invoke 1..=10"]);
    bench.shard.answered(0, 0, &from(4));
    assert_eq!(bench.actions(), ["=3"]);
    assert_eq!(bench.next(), ["invoke 4..=10"]);
    bench.shard.answered(bench.now, 0, &from(6));
    assert_eq!(
        bench.actions(),
        ["=5", "RetryAttemptsExhausted 6..=10 after 2"]
    );
}

#[test]
fn a_partial_answer_with_bisect_splits_at_the_number_and_costs_no_retry() {
    let mut bench = Bench::new(|parameters| {
        parameters.maximum_retry_attempts = 0;
        parameters.bisect_batch_on_function_error = true;
    });
    bench.shard.push(0, records(1..11));
    bench.actions();
    bench.shard.answered(0, 0, &from(9));
    assert_eq!(bench.actions(), ["=8"]);
    assert_eq!(bench.next(), ["invoke 9..=10"]);
    // The first record itself: nothing to split off, so the halves.
    assert_eq!(bench.answer(&from(9)), ["invoke 9..=9"]);
    assert_eq!(
        bench.answer_last(&from(9)),
        ["RetryAttemptsExhausted 9..=9 after 3"]
    );
}

#[test]
fn bisect_isolates_a_single_bad_record_without_using_up_retries() {
    let mut bench = Bench::new(|parameters| {
        parameters.maximum_retry_attempts = 0;
        parameters.bisect_batch_on_function_error = true;
        parameters.batch_size = 1000;
    });
    bench.shard.push(0, records(1..1001));
    let (mut given_up, mut done, mut invocations) = (Vec::new(), Vec::new(), 0);
    while let Some(at) = bench.shard.wake_at() {
        bench.now = bench.now.max(at);
        match bench.shard.poll(bench.now) {
            Some(Action::Invoke { batch, .. }) => {
                invocations += 1;
                let bad = numbers(&batch).contains(&700);
                if !bad {
                    done.extend(numbers(&batch));
                }
                let outcome = if bad { failed() } else { SUCCESS };
                bench.shard.answered(bench.now, 0, &outcome);
            }
            Some(Action::SendToOnFailure { batch, .. }) => {
                given_up.extend(numbers(&batch));
                bench.shard.handed_over(bench.now, 0);
            }
            Some(Action::Checkpoint { .. }) | None => {}
        }
    }
    assert_eq!(given_up, [700]);
    assert_eq!(
        done,
        (1..1001)
            .filter(|number| *number != 700)
            .collect::<Vec<_>>()
    );
    assert!(invocations <= 2 * 10 + 1, "{invocations}");
}

#[test]
fn retries_are_counted_after_the_first_invocation() {
    let mut bench = Bench::new(|parameters| parameters.maximum_retry_attempts = 2);
    bench.shard.push(0, records(1..3));
    assert_eq!(bench.actions(), ["invoke 1..=2"]);
    assert_eq!(bench.answer(&failed()), ["invoke 1..=2"]);
    assert_eq!(bench.answer(&failed()), ["invoke 1..=2"]);
    assert_eq!(
        bench.answer(&failed()),
        ["RetryAttemptsExhausted 1..=2 after 3"]
    );
    bench.now += 1;
    assert!(
        bench.actions().is_empty(),
        "the shard waits until the records are in safe hands"
    );
    bench.shard.handed_over(bench.now, 0);
    assert_eq!(bench.actions(), ["=2"]);
}

#[test]
fn a_function_that_cannot_be_invoked_costs_no_retry_and_splits_nothing() {
    let mut bench = Bench::new(|parameters| {
        parameters.maximum_retry_attempts = 0;
        parameters.maximum_record_age_in_seconds = 60;
        parameters.bisect_batch_on_function_error = true;
    });
    bench.shard.push(0, records(1..5));
    bench.actions();
    let mut actions = Vec::new();
    while bench.now <= 60_000 {
        actions = bench.answer(&Outcome::NotInvoked);
        if bench.now <= 60_000 {
            assert_eq!(actions, ["invoke 1..=4"]);
        }
    }
    assert_eq!(actions, ["RecordAgeExceeded 1..=4 after 0"]);
}

#[test]
fn only_the_records_that_are_too_old_are_given_up() {
    let mut bench = Bench::new(|parameters| parameters.maximum_record_age_in_seconds = 60);
    let arrivals = [0, 1000, 5000, 9000];
    bench.shard.push(
        0,
        (1..)
            .zip(arrivals)
            .map(|(number, arrival)| record(number, "key", arrival)),
    );
    bench.now = 62_000;
    assert_eq!(bench.actions(), ["RecordAgeExceeded 1..=2 after 0"]);
    bench.shard.handed_over(bench.now, 0);
    assert_eq!(bench.actions(), ["=2", "invoke 3..=4"]);
}

#[test]
fn a_closed_shard_flushes_what_waits_and_finishes() {
    let mut bench = Bench::new(|parameters| parameters.maximum_batching_window_in_seconds = 300);
    bench.shard.push(0, records(1..3));
    bench.shard.close();
    assert_eq!(bench.actions(), ["invoke 1..=2"]);
    assert!(!bench.shard.is_finished());
    assert_eq!(bench.answer_last(&SUCCESS), ["=2"]);
    assert!(bench.shard.is_finished());
}

#[test]
fn records_up_to_the_checkpoint_or_pushed_before_are_passed_over() {
    let mut shard = Shard::new(mapping(|_| {}), Some(Position::from(5)));
    shard.push(0, records(4..8));
    shard.push(0, records(6..9));
    let Some(Action::Invoke { batch, .. }) = shard.poll(0) else {
        panic!("nothing to invoke")
    };
    assert_eq!(numbers(&batch), [6, 7, 8]);
}
