//! The handler on Kafka events: partitions are committed each on its own, by the same protocol.

mod common;

use std::sync::Mutex;

use bytes::Bytes;
use common::{
    MINUTE, NOON, Record, SECOND, committed, committed_ids, deliver_kafka, environment, garbage,
    record,
};
use ingest::config::{Broker, PartialResponses};
use ingest::error::LakeError;
use ingest::lake::{Lake, Listed, Memory};
use ingest::response;
use pipeline::commit::Created;
use pipeline::layout::KeyRange;

/// A lake that makes no object whose key contains `refuses`, and counts its listings.
#[derive(Default)]
struct Refusing {
    memory: Memory,
    refuses: Option<&'static str>,
    listings: Mutex<usize>,
}

impl Lake for &Refusing {
    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, LakeError> {
        *self.listings.lock().expect("not poisoned") += 1;
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
        if self.refuses.is_some_and(|refused| key.contains(refused)) {
            return Err(LakeError {
                operation: "create",
                key: key.to_owned(),
                cause: "a fault".to_owned(),
            });
        }
        self.memory.create(key, body, metadata).await
    }
}

#[tokio::test(start_paused = true)]
async fn every_partition_is_committed_to_its_own_log() {
    let lake = Memory::default();
    let (zero, ten) = (
        [record(5, NOON, "a"), record(6, NOON, "b")],
        [record(5, NOON + SECOND, "c"), garbage(9, NOON + SECOND)],
    );
    let events: [(&str, u32, &[Record]); 2] = [("orders", 10, &ten), ("orders", 0, &zero)];
    let outcomes = deliver_kafka(&mut environment(lake.clone()), &events).await;
    let told: Vec<_> = outcomes
        .iter()
        .map(|outcome| (&*outcome.counts.shard, outcome.failed_from.as_deref()))
        .collect();
    assert_eq!(told, [("0", None), ("10", None)]);
    let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let expected = [
        (
            "events/date=2026-11-22/orders.0.20261122T1200Z.000000.parquet",
            ids(&["a", "b"]),
        ),
        (
            "events/date=2026-11-22/orders.10.20261122T1200Z.000000.parquet",
            ids(&["c"]),
        ),
    ];
    assert_eq!(
        committed(&lake),
        expected.map(|(key, ids)| (key.to_owned(), ids)).into()
    );
    let quarantine = "quarantine/date=2026-11-22/orders.10.00000000000000000009.";
    let mut keys = lake.objects().into_keys();
    assert!(keys.any(|key| key.starts_with(quarantine)));
}

#[tokio::test(start_paused = true)]
async fn a_partition_that_fails_holds_up_no_other_and_is_handed_back_whole() {
    let lake = Refusing {
        refuses: Some("events/date=2026-11-22/orders.1."),
        ..Refusing::default()
    };
    let records = |first: u64| {
        let id = |n| format!("e{}", first + n);
        [
            record(first, NOON, &id(0)),
            record(first + 2, NOON + MINUTE, &id(1)),
        ]
    };
    let (zero, one, two) = (records(10), records(20), records(30));
    let event: [(&str, u32, &[Record]); 3] = [
        ("orders", 0, &zero),
        ("orders", 1, &one),
        ("orders", 2, &two),
    ];
    let outcomes = deliver_kafka(&mut environment(&lake), &event).await;
    let failed: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.failed.clone())
        .collect();
    assert_eq!(
        failed,
        [vec![], vec!["20".to_owned(), "22".to_owned()], vec![]]
    );
    assert_eq!(committed_ids(&lake.memory), ["e10", "e11", "e30", "e31"]);
    let partial =
        response::of(Broker::Kafka, &outcomes, PartialResponses::Partition).expect("partial");
    assert_eq!(
        serde_json::to_string(&partial).expect("JSON"),
        r#"{"batchItemFailures":[{"itemIdentifier":{"partition":"orders-1","offset":20}},{"itemIdentifier":{"partition":"orders-1","offset":22}}]}"#
    );
    response::of(Broker::Kafka, &outcomes, PartialResponses::Off).expect_err("all or nothing");

    // Lambda delivers all of it again: what is committed is recognised.
    let lake = Refusing {
        refuses: None,
        ..lake
    };
    let outcomes = deliver_kafka(&mut environment(&lake), &event).await;
    let written: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.counts.written)
        .collect();
    assert_eq!(written, [0, 2, 0]);
    assert_eq!(
        committed_ids(&lake.memory),
        ["e10", "e11", "e20", "e21", "e30", "e31"]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_handed_back_is_every_record_of_the_cells_not_committed_by_offset() {
    // The producer's clock: the second record arrives in a later cell than the third, and that cell is refused.
    let lake = Refusing {
        refuses: Some("20261122T1215Z"),
        ..Refusing::default()
    };
    let records = [
        record(1, NOON, "a"),
        record(2, NOON + 15 * MINUTE, "b"),
        record(3, NOON, "c"),
        record(4, NOON + 16 * MINUTE, "d"),
    ];
    let outcomes = deliver_kafka(&mut environment(&lake), &[("orders", 0, &records)]).await;
    assert_eq!(outcomes[0].failed_from.as_deref(), Some("2"));
    assert_eq!(outcomes[0].failed, ["2", "4"]);
    assert_eq!(committed_ids(&lake.memory), ["a", "c"]);
}

#[tokio::test(start_paused = true)]
async fn the_same_id_in_two_partitions_or_topics_is_two_rows() {
    let lake = Memory::default();
    let same = [record(1, NOON, "a")];
    // Topic `t.1`'s keys begin like those of partition 1 of `t`; the batch of `t` reaches back over midnight.
    let midnight = [record(7, NOON + 12 * 60 * MINUTE, "b")];
    let first: [(&str, u32, &[Record]); 2] = [("t.1", 0, &same), ("t.1", 1, &midnight)];
    deliver_kafka(&mut environment(lake.clone()), &first).await;
    let same = [
        record(1, NOON, "a"),
        record(7, NOON + 12 * 60 * MINUTE, "b"),
    ];
    let outcomes = deliver_kafka(&mut environment(lake.clone()), &[("t", 1, &same)]).await;
    assert_eq!(outcomes[0].counts.duplicates, 0);
    assert_eq!(outcomes[0].counts.window_reads, 0);
    assert_eq!(committed_ids(&lake), ["a", "a", "b", "b"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_with_a_time_of_long_ago_costs_a_few_listings_and_not_one_a_day() {
    let lake = Refusing::default();
    // A record of 2001 that is good, and one without a time stamp, which is not.
    let old = record(1, 1_000_000_000_000, "old").payload;
    let old = old.replace("2026-11-22T11:59:00Z", "2001-09-09T01:46:00Z");
    let old = Record {
        position: 1,
        arrival_ms: 1_000_000_000_000,
        payload: old,
    };
    let records = [old, record(2, -1, "none"), record(3, NOON, "now")];
    let mut handler = environment(&lake);
    let outcomes = deliver_kafka(&mut handler, &[("orders", 0, &records)]).await;
    assert_eq!(outcomes[0].failed_from, None);
    assert_eq!(
        outcomes[0].counts.rejected,
        [("arrival_out_of_range", 1)].into()
    );
    assert_eq!(committed_ids(&lake.memory), ["now", "old"]);
    deliver_kafka(&mut handler, &[("orders", 0, &records)]).await;
    assert_eq!(committed_ids(&lake.memory), ["now", "old"]);
    let listings = *lake.listings.lock().expect("not poisoned");
    assert!(listings < 20, "{listings} listings");
}

#[tokio::test(start_paused = true)]
async fn an_event_without_records_is_answered_with_nothing() {
    assert!(
        deliver_kafka(&mut environment(Memory::default()), &[])
            .await
            .is_empty()
    );
}
