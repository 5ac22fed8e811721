//! The handler over a lake that fails, or that another delivery is writing to.

mod common;

use std::time::Duration;

use bytes::Bytes;
use common::faulty::{Fault, Faulty};
use common::{NOON, committed, committed_ids, deliver, deliver_by, environment, garbage, record};
use ingest::error::BatchError;
use ingest::lake::Memory;
use pipeline::layout::{ObjectName, ROLLUPS};
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn a_create_that_finds_its_name_taken_looks_again() {
    let memory = Memory::default();
    let records = [
        record(1, NOON, "a"),
        record(2, NOON, "b"),
        record(3, NOON, "c"),
    ];
    let lake = Faulty {
        winner: records[..2].to_vec(),
        ..Faulty::on(&memory, &[Fault::CreateOvertaken])
    };
    let outcome = deliver(&mut environment(&lake), &records).await;
    assert_eq!(
        (
            outcome.counts.conflicts,
            outcome.counts.written,
            outcome.counts.duplicates
        ),
        (1, 1, 2)
    );
    assert_eq!(committed_ids(&memory), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn overlapping_deliveries_that_begin_at_different_records_meet_in_the_log_of_the_cell() {
    let memory = Memory::default();
    let records = [
        record(1, NOON, "a"),
        record(2, NOON, "b"),
        record(3, NOON, "c"),
    ];
    let lake = Faulty {
        winner: records[1..].to_vec(),
        ..Faulty::on(&memory, &[Fault::CreateOvertaken])
    };
    let outcome = deliver(&mut environment(&lake), &records[..2]).await;
    assert_eq!((outcome.counts.conflicts, outcome.counts.written), (1, 1));
    assert_eq!(committed_ids(&memory), ["a", "b", "c"]);
    let commits: Vec<_> = committed(&memory)
        .into_keys()
        .map(|key| ObjectName::of_events_key(&key).expect("a name").commit)
        .collect();
    assert_eq!(commits, [0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_create_whose_answer_is_lost_is_found_in_the_lake() {
    let lake = Faulty::new(&[Fault::CreateUnanswered]);
    let outcome = deliver(&mut environment(&lake), &[record(1, NOON, "a")]).await;
    assert_eq!((outcome.failed_from, outcome.counts.written), (None, 1));
    assert_eq!(committed_ids(&lake.memory), ["a"]);
    assert_eq!(
        lake.requests(),
        [
            "LIST",
            "CREATE",
            "LIST",
            "GET",
            "LIST ROLLUPS",
            "GET",
            "ROLLUP"
        ]
    );
}

/// The lake as it is when nobody came to make a rollup.
fn without_rollups(memory: &Memory) -> Memory {
    let objects = memory.objects().into_iter();
    objects
        .filter(|(key, _)| !key.starts_with(ROLLUPS))
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_later_delivery_makes_the_rollup_that_a_crash_left_out_to_the_byte() {
    let whole = Memory::default();
    deliver(
        &mut environment(whole.clone()),
        &[record(1, NOON, "a"), record(2, NOON, "b")],
    )
    .await;
    let crashed = without_rollups(&whole);
    assert_ne!(crashed.objects(), whole.objects());
    let again = [record(1, NOON, "a"), record(2, NOON, "b")];
    let outcome = deliver(&mut environment(crashed.clone()), &again).await;
    assert_eq!((outcome.failed_from, outcome.counts.written), (None, 0));
    assert_eq!(crashed.objects(), whole.objects());
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_not_done_with_until_its_rollup_is_there() {
    let lake = Faulty::new(&[Fault::RollupRefused; 2]);
    let mut handler = environment(&lake);
    let outcome = deliver(&mut handler, &[record(1, NOON, "a"), record(2, NOON, "b")]).await;
    assert_eq!(outcome.failed_from.as_deref(), Some("1"));
    let counts = outcome.counts;
    assert_eq!(
        (counts.written, counts.handed_back, counts.failed),
        (2, 0, true)
    );
    let outcome = deliver(&mut handler, &[record(1, NOON, "a"), record(2, NOON, "b")]).await;
    assert_eq!((outcome.failed_from, outcome.counts.duplicates), (None, 2));
    assert_eq!(lake.memory.objects().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_rollup_that_nobody_answered_for_is_looked_for_and_made_if_it_is_not_there() {
    for fault in [Fault::RollupUnanswered, Fault::RollupLost] {
        let lake = Faulty::new(&[fault]);
        let outcome = deliver(&mut environment(&lake), &[record(1, NOON, "a")]).await;
        assert_eq!(outcome.failed_from, None, "{fault:?}");
        assert_eq!(lake.memory.objects().len(), 2, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_create_that_was_lost_is_sent_again() {
    let lake = Faulty::new(&[Fault::CreateLost, Fault::CreateConflict]);
    let outcome = deliver(&mut environment(&lake), &[record(1, NOON, "a")]).await;
    assert_eq!((outcome.failed_from, outcome.counts.written), (None, 1));
    assert_eq!(committed_ids(&lake.memory), ["a"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_few_rounds_the_batch_is_handed_back_whole() {
    let lake = Faulty::new(&[Fault::CreateLost; 5]);
    let outcome = deliver(
        &mut environment(&lake),
        &[record(7, NOON, "a"), record(8, NOON, "b")],
    )
    .await;
    assert_eq!(outcome.failed_from.as_deref(), Some("7"));
    assert!(
        matches!(
            outcome.error,
            Some(BatchError::NotCreated { uncertain: 5, .. })
        ),
        "{:?}",
        outcome.error
    );
    assert_eq!(outcome.counts.handed_back, 2);
}

#[tokio::test(start_paused = true)]
async fn the_answer_names_the_first_record_that_is_not_committed_and_never_one_past_a_gap() {
    // Arrival steps back: the second cell, which fails, holds positions 2 and 4; the first one 1 and 3.
    let records = [
        record(1, NOON - 2, "a"),
        record(2, NOON, "b"),
        record(3, NOON - 1, "c"),
        record(4, NOON + 1, "d"),
    ];
    let memory = Memory::default();
    let lake = Faulty::on(&memory, &[Fault::CreatePasses, Fault::CreateRefused]);
    let outcome = deliver(&mut environment(&lake), &records).await;
    assert_eq!(outcome.failed_from.as_deref(), Some("2"));
    assert_eq!((outcome.counts.written, outcome.counts.handed_back), (2, 2));
    deliver(&mut environment(memory.clone()), &records[1..]).await;
    assert_eq!(committed_ids(&memory), ["a", "b", "c", "d"]);
}

#[tokio::test(start_paused = true)]
async fn no_row_is_committed_before_the_rejected_records_are_in_quarantine() {
    let lake = Faulty::new(&[Fault::QuarantineRefused]);
    let records = [record(1, NOON, "a"), garbage(2, NOON)];
    let outcome = deliver(&mut environment(&lake), &records).await;
    assert_eq!(outcome.failed_from.as_deref(), Some("1"));
    assert_eq!(lake.memory.objects().len(), 0);
    let outcome = deliver(&mut environment(&lake), &records).await;
    assert_eq!(outcome.failed_from, None);
    let keys: Vec<_> = lake.memory.objects().into_keys().collect();
    assert_eq!(keys.len(), 3);
    assert!(
        keys[1].starts_with("quarantine/date=2026-11-22/s.shardId-000000000000.0000"),
        "{}",
        keys[1]
    );
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_fails_commits_nothing() {
    let lake = Faulty::new(&[Fault::ListFails]);
    let outcome = deliver(&mut environment(&lake), &[record(1, NOON, "a")]).await;
    assert_eq!(outcome.failed_from.as_deref(), Some("1"));
    assert!(lake.memory.objects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_begun_when_the_deadline_is_near() {
    let lake = Faulty::new(&[]);
    let mut handler = environment(&lake);
    let deadline = Instant::now() + Duration::from_millis(900);
    let outcome = deliver_by(&mut handler, &[record(1, NOON, "a")], deadline).await;
    assert_eq!(outcome.failed_from.as_deref(), Some("1"));
    assert!(matches!(outcome.error, Some(BatchError::Deadline)));
    assert!(lake.requests().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_request_that_hangs_is_cut_off_in_time_to_answer() {
    let lake = Faulty::new(&[Fault::CreateHangs]);
    let mut handler = environment(&lake);
    let deadline = Instant::now() + Duration::from_secs(10);
    let outcome = deliver_by(&mut handler, &[record(1, NOON, "a")], deadline).await;
    assert_eq!(outcome.failed_from.as_deref(), Some("1"));
    assert!(
        Instant::now() < deadline,
        "the answer must be out before the deadline"
    );
}

#[tokio::test(start_paused = true)]
async fn an_object_that_cannot_be_read_back_stops_the_batch_instead_of_doubling_rows() {
    let memory = Memory::default();
    deliver(&mut environment(memory.clone()), &[record(1, NOON, "a")]).await;
    let damaged = |(key, _)| (key, Bytes::from_static(b"not Parquet"));
    let memory: Memory = memory.objects().into_iter().map(damaged).collect();
    let outcome = deliver(&mut environment(memory.clone()), &[record(1, NOON, "a")]).await;
    assert_eq!(outcome.failed_from.as_deref(), Some("1"));
    assert!(
        matches!(outcome.error, Some(BatchError::Unreadable { .. })),
        "{:?}",
        outcome.error
    );
}
