//! Batching within the API's limits, and what is retried.
#![expect(
    clippy::unnecessary_wraps,
    reason = "results of records are made by functions"
)]

use std::time::Duration;

use producer::batch::{Batcher, LIMITS, Limits, Position};
use producer::pace::Pace;
use producer::put_records::{Answer, RetryPolicy, decide, is_retryable};
use proptest::prelude::*;

const POLICY: RetryPolicy = RetryPolicy {
    base: Duration::from_millis(50),
    cap: Duration::from_secs(5),
    give_up_after: Duration::from_mins(1),
};
const EARLY: Duration = Duration::from_secs(1);
const TOO_LATE: Duration = Duration::from_mins(1);

fn stored(number: u32) -> Result<Position, String> {
    Ok(position(number))
}

fn position(number: u32) -> Position {
    Position {
        shard: "shardId-000000000000".to_owned(),
        sequence_number: number.to_string(),
    }
}

fn throttled() -> Result<Position, String> {
    Err("ProvisionedThroughputExceededException".to_owned())
}

#[test]
fn only_the_records_that_were_refused_are_sent_again() {
    let answer = Answer::Records(vec![stored(1), throttled(), stored(3), throttled()]);
    let decision = decide(vec!['a', 'b', 'c', 'd'], answer, EARLY, &POLICY);
    assert_eq!(decision.stored, [('a', position(1)), ('c', position(3))]);
    assert_eq!(decision.retry, ['b', 'd']);
    assert!(decision.given_up.is_empty());
    assert_eq!(
        decision.error.as_deref(),
        Some("ProvisionedThroughputExceededException")
    );
}

#[test]
fn when_all_are_refused_all_are_sent_again() {
    let decision = decide(
        vec!['a', 'b'],
        Answer::Records(vec![throttled(), throttled()]),
        EARLY,
        &POLICY,
    );
    assert_eq!(
        (decision.stored, decision.retry, decision.given_up),
        (vec![], vec!['a', 'b'], vec![])
    );
}

#[test]
fn after_the_last_try_what_is_not_stored_is_given_up_and_what_is_stored_is_not() {
    let decision = decide(
        vec!['a', 'b'],
        Answer::Records(vec![stored(1), throttled()]),
        TOO_LATE,
        &POLICY,
    );
    assert_eq!(decision.stored, [('a', position(1))]);
    assert_eq!((decision.retry, decision.given_up), (vec![], vec!['b']));
}

#[test]
fn a_request_whose_answer_was_lost_is_sent_again_whole() {
    let lost = || Answer::Failed {
        error: "no answer within 10 s".to_owned(),
        retryable: true,
    };
    let decision = decide(vec!['a', 'b'], lost(), EARLY, &POLICY);
    assert_eq!(
        (decision.retry, decision.given_up),
        (vec!['a', 'b'], vec![])
    );
    let decision = decide(vec!['a', 'b'], lost(), TOO_LATE, &POLICY);
    assert_eq!(
        (decision.retry, decision.given_up),
        (vec![], vec!['a', 'b'])
    );
}

#[test]
fn a_request_that_can_never_succeed_is_given_up_at_once() {
    let error = "ResourceNotFoundException: Stream gone".to_owned();
    let decision = decide(
        vec!['a'],
        Answer::Failed {
            error: error.clone(),
            retryable: false,
        },
        EARLY,
        &POLICY,
    );
    assert_eq!(
        (decision.retry, decision.given_up, decision.error),
        (vec![], vec!['a'], Some(error))
    );
}

#[test]
fn an_answer_about_another_number_of_records_acknowledges_nothing() {
    let decision = decide(
        vec!['a', 'b'],
        Answer::Records(vec![stored(1)]),
        EARLY,
        &POLICY,
    );
    assert_eq!((decision.stored, decision.retry), (vec![], vec!['a', 'b']));
    assert_eq!(
        decision.error.as_deref(),
        Some("an answer for 1 of 2 records")
    );
}

#[test]
fn faults_of_the_service_and_throttling_are_retryable_and_refusals_are_not() {
    for (status, code) in [
        (500, "InternalFailure"),
        (503, ""),
        (429, ""),
        (400, "LimitExceededException"),
    ] {
        assert!(is_retryable(status, code), "{status} {code}");
    }
    for (status, code) in [
        (400, "ResourceNotFoundException"),
        (400, "ExpiredTokenException"),
        (403, "AccessDeniedException"),
    ] {
        assert!(!is_retryable(status, code), "{status} {code}");
    }
}

#[test]
fn a_rate_makes_events_due_evenly_and_zero_makes_all_due_at_once() {
    let pace = Pace::new(200.0);
    assert_eq!(pace.due(Duration::ZERO), 1);
    assert_eq!(pace.due(Duration::from_secs(1)), 201);
    assert_eq!(pace.wait(1, Duration::ZERO), Duration::from_millis(5));
    assert_eq!(pace.wait(1, Duration::from_millis(7)), Duration::ZERO);
    let unpaced = Pace::new(0.0);
    assert_eq!(
        (unpaced.due(Duration::ZERO), unpaced.wait(9, Duration::ZERO)),
        (u64::MAX, Duration::ZERO)
    );
}

proptest! {
    #[test]
    fn batches_stay_within_the_limits_and_hold_every_item_once_in_order(
        sizes in prop::collection::vec(0_usize..=40, 0..300),
    ) {
        let limits = Limits { records: 7, bytes: 100 };
        let mut batcher = Batcher::new(limits);
        let mut batches = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            batches.extend(batcher.push((number, *size), *size));
        }
        batches.extend(batcher.take());
        for batch in &batches {
            prop_assert!((1..=limits.records).contains(&batch.len()));
            prop_assert!(batch.iter().map(|(_, size)| size).sum::<usize>() <= limits.bytes);
        }
        let items: Vec<_> = batches.concat();
        prop_assert_eq!(items, sizes.into_iter().enumerate().collect::<Vec<_>>());
        prop_assert!(batcher.is_empty() && batcher.take().is_none());
    }

    #[test]
    fn an_item_over_the_limit_is_sent_alone(before in 0_usize..5, after in 0_usize..5) {
        let mut batcher = Batcher::new(LIMITS);
        let mut batches = Vec::new();
        let sizes = [vec![10; before], vec![LIMITS.bytes + 1], vec![10; after]].concat();
        for size in sizes {
            batches.extend(batcher.push(size, size));
        }
        batches.extend(batcher.take());
        let alone = batches.iter().find(|batch| batch.contains(&(LIMITS.bytes + 1))).unwrap();
        prop_assert_eq!(alone.len(), 1);
    }

    #[test]
    fn every_record_of_a_request_is_stored_retried_or_given_up(
        outcomes in prop::collection::vec(any::<bool>(), 0..50), seconds in 0_u64..120,
    ) {
        let request: Vec<usize> = (0..outcomes.len()).collect();
        let results = outcomes.iter().map(|ok| if *ok { stored(0) } else { throttled() }).collect();
        let decision = decide(request.clone(), Answer::Records(results), Duration::from_secs(seconds), &POLICY);
        let mut all: Vec<usize> = decision.stored.iter().map(|(number, _)| *number).collect();
        prop_assert_eq!(all.len(), outcomes.iter().filter(|ok| **ok).count());
        prop_assert!(decision.retry.is_empty() || decision.given_up.is_empty());
        all.extend(decision.retry.iter().chain(&decision.given_up));
        all.sort_unstable();
        prop_assert_eq!(all, request);
    }

    #[test]
    fn back_off_doubles_up_to_its_cap_and_jitters_over_all_of_it(retry: u32, chance in 0.0..=1.0) {
        let most = POLICY.backoff(retry, 1.0);
        prop_assert_eq!(most, if retry < 7 { POLICY.base * 2_u32.pow(retry) } else { POLICY.cap });
        prop_assert!(POLICY.backoff(retry, chance) <= most);
        prop_assert_eq!(POLICY.backoff(retry, 0.0), Duration::ZERO);
    }
}
