//! The handler over a lake in memory that does what it is asked: one test per sentence of the commit protocol.

mod common;

use common::faulty::{Fault, Faulty};
use common::{
    Family, MINUTE, NOON, SECOND, SETTINGS, committed, committed_ids, deliver, environment,
    garbage, record,
};
use events::Contract;
use ingest::handler::Handler;
use ingest::lake::{Lake, Memory};
use ingest::lineage::Relatives;
use pipeline::layout::ObjectName;

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_list_one_create_and_one_rollup() {
    let lake = Faulty::new(&[]);
    let mut handler = environment(&lake);
    let outcome = deliver(&mut handler, &[record(1, NOON, "a"), record(2, NOON, "b")]).await;
    assert_eq!((outcome.failed_from, outcome.counts.written), (None, 2));
    assert_eq!(lake.requests(), ["LIST", "CREATE", "ROLLUP"]);
    deliver(&mut handler, &[record(3, NOON + SECOND, "c")]).await;
    assert_eq!(
        lake.requests(),
        ["LIST", "CREATE", "ROLLUP"],
        "a warm environment reads nothing back"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cold_environment_reads_each_object_of_the_window_once() {
    let memory = Memory::default();
    let mut first = environment(memory.clone());
    deliver(&mut first, &[record(1, NOON, "a")]).await;
    deliver(&mut first, &[record(2, NOON, "b")]).await;
    let lake = Faulty::on(&memory, &[]);
    let mut second = environment(&lake);
    let outcome = deliver(&mut second, &[record(3, NOON, "a"), record(4, NOON, "c")]).await;
    assert_eq!(
        lake.requests(),
        ["LIST", "GET", "GET", "CREATE", "ROLLUP", "LIST ROLLUPS"]
    );
    assert_eq!((outcome.counts.duplicates, outcome.counts.written), (1, 1));
    assert_eq!(committed_ids(&memory), ["a", "b", "c"]);
    deliver(&mut second, &[record(5, NOON, "d")]).await;
    assert_eq!(lake.requests(), ["LIST", "CREATE", "ROLLUP"]);
}

#[tokio::test(start_paused = true)]
async fn a_redelivery_writes_nothing_and_succeeds() {
    let memory = Memory::default();
    let records = [record(1, NOON, "a"), record(2, NOON, "b")];
    deliver(&mut environment(memory.clone()), &records).await;
    let outcome = deliver(&mut environment(memory.clone()), &records).await;
    assert_eq!(outcome.failed_from, None);
    assert!(outcome.counts.is_redelivery());
    assert_eq!(committed(&memory).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_longer_redelivery_adds_only_what_is_missing() {
    let memory = Memory::default();
    let records = [
        record(1, NOON, "a"),
        record(2, NOON, "b"),
        record(3, NOON, "c"),
    ];
    deliver(&mut environment(memory.clone()), &records[..2]).await;
    deliver(&mut environment(memory.clone()), &records).await;
    assert_eq!(committed_ids(&memory), ["a", "b", "c"]);
}

#[tokio::test(start_paused = true)]
async fn a_place_that_a_listing_left_out_is_tried_before_those_after_it() {
    let memory = Memory::default();
    deliver(&mut environment(memory.clone()), &[record(1, NOON, "a")]).await;
    let (key, body) = memory.objects().pop_first().expect("an object");
    let mut later = ObjectName::of_events_key(&key).expect("a name");
    later.commit = 2;
    memory
        .create(&later.events_key(), body, &[])
        .await
        .expect("memory");
    deliver(&mut environment(memory.clone()), &[record(2, NOON, "b")]).await;
    let keys: Vec<_> = committed(&memory).into_keys().collect();
    assert!(keys[1].ends_with(".000001.parquet"), "{keys:?}");
}

#[tokio::test(start_paused = true)]
async fn a_duplicate_that_straddles_a_reshard_is_dropped() {
    let memory = Memory::default();
    deliver(&mut environment(memory.clone()), &[record(1, NOON, "a")]).await;
    let lake = Faulty::default();
    for (key, object) in memory.objects() {
        let of_parent = key.replace("shardId-000000000000", "shardId-parent");
        lake.memory
            .create(&of_parent, object, &[])
            .await
            .expect("memory");
    }
    let mut child = child(&lake);
    let outcome = deliver(&mut child, &[record(2, NOON, "a"), record(3, NOON, "b")]).await;
    assert_eq!((outcome.counts.duplicates, outcome.counts.written), (1, 1));
    assert_eq!(committed_ids(&lake.memory), ["a", "b"]);
    assert_eq!(
        lake.requests(),
        ["LIST", "LIST", "GET", "CREATE", "ROLLUP", "LIST ROLLUPS"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_parent_is_listed_until_the_window_lies_behind_the_first_record_of_the_child() {
    let lake = Faulty::default();
    let mut child = child(&lake);
    for after in [0, 15 * MINUTE, 60 * MINUTE] {
        deliver(&mut child, &[record(1, NOON + after, &after.to_string())]).await;
        assert_eq!(lake.requests(), ["LIST", "LIST", "CREATE", "ROLLUP"]);
    }
    deliver(&mut child, &[record(2, NOON + 90 * MINUTE, "b")]).await;
    assert_eq!(lake.requests(), ["LIST", "CREATE", "ROLLUP"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_redriven_of_a_parent_is_seen_by_a_child_that_found_it_empty() {
    let lake = Faulty::default();
    let mut child = child(&lake);
    deliver(&mut child, &[record(1, NOON, "a")]).await;
    let redriven = Memory::default();
    deliver(&mut environment(redriven.clone()), &[record(1, NOON, "x")]).await;
    for (key, object) in redriven.objects() {
        let of_parent = key.replace("shardId-000000000000", "shardId-parent");
        let created = lake.memory.create(&of_parent, object, &[]).await;
        created.expect("memory");
    }
    deliver(&mut child, &[record(2, NOON, "x")]).await;
    assert_eq!(committed_ids(&lake.memory), ["a", "x"]);
}

fn child(lake: &Faulty) -> Handler<&Faulty, Family> {
    let relatives = Relatives {
        ancestors: vec!["shardId-parent".to_owned()],
        ..Relatives::default()
    };
    Handler::new(
        lake,
        Family(Ok(relatives)),
        Contract::ours().clone(),
        SETTINGS,
        7,
    )
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_parents_are_not_known_commits_nothing() {
    let memory = Memory::default();
    let mut handler = Handler::new(
        memory.clone(),
        Family(Err("throttled")),
        Contract::ours().clone(),
        SETTINGS,
        7,
    );
    let outcome = deliver(&mut handler, &[record(1, NOON, "a")]).await;
    assert_eq!(outcome.failed_from.as_deref(), Some("1"));
    let error = outcome.error.expect("an error").to_string();
    assert_eq!(error, "ListShards s: throttled");
    assert!(memory.objects().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_producer_duplicate_is_dropped_within_the_horizon_and_kept_beyond_it() {
    let memory = Memory::default();
    let mut handler = environment(memory.clone());
    deliver(&mut handler, &[record(1, NOON, "a")]).await;
    deliver(&mut handler, &[record(2, NOON + 14 * MINUTE, "a")]).await;
    assert_eq!(committed_ids(&memory), ["a"]);
    deliver(&mut handler, &[record(3, NOON + 45 * MINUTE, "a")]).await;
    assert_eq!(committed_ids(&memory), ["a", "a"]);
}

#[tokio::test(start_paused = true)]
async fn a_replay_from_an_earlier_position_writes_nothing_again() {
    let memory = Memory::default();
    let mut handler = environment(memory.clone());
    let records: Vec<_> = (0..6)
        .map(|n| {
            record(
                n + 1,
                NOON + i64::try_from(n).expect("small") * 10 * MINUTE,
                &n.to_string(),
            )
        })
        .collect();
    for record in &records {
        deliver(&mut handler, std::slice::from_ref(record)).await;
    }
    // In other batches than before, through the same warm environment and a cold one.
    for chunk in records.chunks(4) {
        deliver(&mut handler, chunk).await;
        deliver(&mut environment(memory.clone()), chunk).await;
    }
    assert_eq!(committed_ids(&memory), ["0", "1", "2", "3", "4", "5"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_rejected_records_does_not_need_the_window() {
    let lake = Faulty::new(&[Fault::ListFails]);
    let outcome = deliver(&mut environment(&lake), &[garbage(1, NOON)]).await;
    assert_eq!(outcome.failed_from, None);
    // Nobody knows before it is parsed.
    assert_eq!(lake.requests(), ["LIST", "QUARANTINE"]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_batch_is_a_success() {
    let outcome = deliver(&mut environment(Memory::default()), &[]).await;
    assert_eq!((outcome.failed_from, outcome.counts.received), (None, 0));
}
