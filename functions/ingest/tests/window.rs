//! The window: how much memory it takes, and how many listings.

mod common;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{
    Family, NOON, SETTINGS, committed_ids, deliver, deliver_by, deliver_kafka, environment,
    garbage, record,
};
use events::Contract;
use ingest::error::{BatchError, LakeError};
use ingest::handler::{Handler, Settings};
use ingest::lake::{Lake, Listed, Memory};
use ingest::lineage::Relatives;
use pipeline::commit::Created;
use pipeline::layout::KeyRange;
use tokio::time::Instant;

const DAY: i64 = 24 * 60 * common::MINUTE;

/// A lake whose listings take the time that S3's do, and are counted.
#[derive(Default)]
struct Slow {
    memory: Memory,
    listings: AtomicUsize,
}

impl Lake for &Slow {
    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, LakeError> {
        self.listings.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(25)).await;
        self.memory.list(range).await
    }

    async fn get_suffix(&self, key: &str, bytes: u64) -> Result<Option<Bytes>, LakeError> {
        self.memory.get_suffix(key, bytes).await
    }

    async fn create(
        &self,
        key: &str,
        body: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<Created, LakeError> {
        self.memory.create(key, body, metadata).await
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_a_producer_has_dated_over_years_are_done_before_the_deadline() {
    let lake = Slow::default();
    let records: Vec<_> = (0..600)
        .map(|n| {
            let at = NOON - i64::try_from(n * 7919 % 900).expect("small") * DAY;
            record(n, at + i64::try_from(n).expect("small"), &n.to_string())
        })
        .collect();
    let orders: &[_] = &[("orders", 0, records.as_slice())];
    let outcomes = deliver_kafka(&mut environment(&lake), orders).await;
    let failed: Vec<_> = outcomes
        .into_iter()
        .flat_map(|outcome| outcome.failed)
        .collect();
    assert_eq!(failed, [""; 0]);
    // A listing for each day that a record arrived on, or the one before or after it.
    let listings = lake.listings.load(Ordering::Relaxed);
    assert!(listings <= 600, "{listings}");
}

#[tokio::test(start_paused = true)]
async fn rejected_records_do_not_widen_the_window() {
    let lake = Slow::default();
    let mut records: Vec<_> = (1..40)
        .map(|n| garbage(n, NOON - (40 - i64::try_from(n).expect("small")) * 3 * DAY))
        .collect();
    records.push(record(40, NOON, "a"));
    let outcome = deliver(&mut environment(&lake), &records).await;
    assert_eq!(outcome.failed_from, None);
    assert_eq!(
        (outcome.counts.rejected_total(), outcome.counts.written),
        (39, 1)
    );
    // Of noon's day alone: no row of the other days is looked for.
    assert_eq!(lake.listings.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn two_records_of_never_are_rejected_and_hold_up_nobody() {
    let never = 253_402_300_799_999;
    let records = [
        record(1, never, "a"),
        record(2, never, "b"),
        record(3, NOON, "c"),
        record(4, -1, "d"),
    ];
    let lake = Memory::default();
    for _ in 0..2 {
        let orders: &[_] = &[("orders", 0, records.as_slice())];
        for outcome in deliver_kafka(&mut environment(lake.clone()), orders).await {
            assert_eq!(outcome.failed_from, None);
            assert_eq!(
                outcome.counts.rejected,
                [("arrival_out_of_range", 3)].into()
            );
        }
    }
    assert_eq!(committed_ids(&lake), ["c"]);
}

#[tokio::test(start_paused = true)]
async fn a_window_that_the_memory_does_not_hold_is_one_clear_error_and_nothing_is_written() {
    let memory = Memory::default();
    let ids: Vec<_> = (0..3000).map(|n| record(n, NOON, &n.to_string())).collect();
    for batch in ids.chunks(500) {
        deliver(&mut environment(memory.clone()), batch).await;
    }
    let small = Settings {
        memory_mb: 0,
        ..SETTINGS
    };
    let mut handler = Handler::new(
        memory.clone(),
        Family(Ok(Relatives::default())),
        Contract::ours().clone(),
        small,
        7,
    );
    let before = memory.objects();
    for _ in 0..2 {
        let deadline = Instant::now() + Duration::from_mins(1);
        let again = [record(9000, NOON, "new")];
        let outcome = deliver_by(&mut handler, &again, deadline).await;
        assert_eq!(outcome.failed_from.as_deref(), Some("9000"));
        assert!(
            matches!(outcome.error, Some(BatchError::WindowTooLarge { .. })),
            "{:?}",
            outcome.error
        );
    }
    assert_eq!(memory.objects(), before);
}

#[tokio::test(start_paused = true)]
async fn windows_of_other_shards_make_room_when_memory_is_short() {
    let memory = Memory::default();
    let one = Settings {
        memory_mb: 1,
        ..SETTINGS
    };
    let mut handler = Handler::new(
        memory.clone(),
        Family(Ok(Relatives::default())),
        Contract::ours().clone(),
        one,
        7,
    );
    // Each of the partitions fills over half of the half megabyte: 5,000 ids are 200 kB.
    for partition in 0..6 {
        let records: Vec<_> = (0..7000).map(|n| record(n, NOON, &n.to_string())).collect();
        let orders: &[_] = &[("orders", partition, records.as_slice())];
        for _ in 0..2 {
            for outcome in deliver_kafka(&mut handler, orders).await {
                assert!(outcome.error.is_none(), "{partition}: {:?}", outcome.error);
            }
        }
    }
}
