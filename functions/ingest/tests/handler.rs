//! The handler over a lake in memory: one test per sentence of the commit protocol.

mod common;

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use common::{
    Family, MINUTE, NOON, Record, SECOND, SETTINGS, committed, committed_ids, deliver, deliver_by,
    environment, garbage, record,
};
use ingest::error::{BatchError, LakeError};
use ingest::handler::Handler;
use ingest::lake::{Lake, Listed, Memory};
use ingest::lineage::Relatives;
use pipeline::commit::Created;
use pipeline::layout::{KeyRange, ObjectName, QUARANTINE, ROLLUPS};
use tokio::time::Instant;

/// What a [`Faulty`] lake does instead of an operation, once.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    ListFails,
    QuarantineRefused,
    /// The object is made, and the answer is lost.
    QuarantineUnanswered,
    CreateRefused,
    /// The object is made, and the answer is lost.
    CreateUnanswered,
    /// The request is lost, and so is the answer.
    CreateLost,
    CreateConflict,
    CreateHangs,
    /// Another environment commits [`Faulty::winner`] just before.
    CreateOvertaken,
    /// No fault: the next one is for a later create.
    CreatePasses,
    RollupRefused,
    /// The rollup is made, and the answer is lost.
    RollupUnanswered,
    RollupLost,
}

/// A lake with faults that are used up in order, and a count of what it was asked.
#[derive(Default)]
struct Faulty {
    memory: Memory,
    faults: Mutex<Vec<Fault>>,
    requests: Mutex<Vec<&'static str>>,
    winner: Vec<Record>,
}

impl Faulty {
    fn new(faults: &[Fault]) -> Self {
        Self {
            faults: Mutex::new(faults.to_vec()),
            ..Self::default()
        }
    }

    fn on(memory: &Memory, faults: &[Fault]) -> Self {
        Self {
            memory: memory.clone(),
            ..Self::new(faults)
        }
    }

    fn count(&self, request: &'static str) {
        self.requests.lock().expect("not poisoned").push(request);
    }

    fn take(&self, among: &[Fault]) -> Option<Fault> {
        let mut faults = self.faults.lock().expect("not poisoned");
        let next = faults
            .first()
            .copied()
            .filter(|fault| among.contains(fault))?;
        faults.remove(0);
        Some(next)
    }

    fn requests(&self) -> Vec<&'static str> {
        std::mem::take(&mut self.requests.lock().expect("not poisoned"))
    }
}

impl Faulty {
    async fn create_rollup(&self, key: &str, body: Bytes) -> Result<Created, LakeError> {
        self.count("ROLLUP");
        let faults = [
            Fault::RollupRefused,
            Fault::RollupUnanswered,
            Fault::RollupLost,
        ];
        match self.take(&faults) {
            Some(Fault::RollupRefused) => Err(failure("create", key)),
            Some(Fault::RollupLost) => Ok(Created::Unknown),
            Some(_) => {
                self.memory.create(key, body, &[]).await?;
                Ok(Created::Unknown)
            }
            None => self.memory.create(key, body, &[]).await,
        }
    }
}

impl Faulty {
    async fn create_quarantine(&self, key: &str, body: Bytes) -> Result<Created, LakeError> {
        self.count("QUARANTINE");
        match self.take(&[Fault::QuarantineRefused, Fault::QuarantineUnanswered]) {
            Some(Fault::QuarantineRefused) => Err(failure("create", key)),
            Some(_) => {
                self.memory.create(key, body, &[]).await?;
                Ok(Created::Unknown)
            }
            None => self.memory.create(key, body, &[]).await,
        }
    }
}

fn failure(operation: &'static str, key: &str) -> LakeError {
    LakeError {
        operation,
        key: key.to_owned(),
        cause: "a fault".to_owned(),
    }
}

impl Lake for &Faulty {
    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, LakeError> {
        let of_rollups = range.prefix.starts_with(ROLLUPS);
        self.count(if of_rollups { "LIST ROLLUPS" } else { "LIST" });
        match self.take(&[Fault::ListFails]) {
            Some(_) => Err(failure("list", &range.prefix)),
            None => self.memory.list(range).await,
        }
    }

    async fn get_suffix(&self, key: &str, bytes: u64) -> Result<Option<Bytes>, LakeError> {
        self.count("GET");
        self.memory.get_suffix(key, bytes).await
    }

    async fn create(
        &self,
        key: &str,
        body: Bytes,
        metadata: &[(&'static str, String)],
    ) -> Result<Created, LakeError> {
        if key.starts_with(ROLLUPS) {
            return self.create_rollup(key, body).await;
        }
        if key.starts_with(QUARANTINE) {
            return self.create_quarantine(key, body).await;
        }
        self.count("CREATE");
        let faults = [
            Fault::CreateRefused,
            Fault::CreateUnanswered,
            Fault::CreateLost,
            Fault::CreateConflict,
            Fault::CreateHangs,
            Fault::CreateOvertaken,
            Fault::CreatePasses,
        ];
        match self.take(&faults) {
            Some(Fault::CreateRefused) => Err(failure("create", key)),
            Some(Fault::CreateUnanswered) => {
                self.memory.create(key, body, metadata).await?;
                Ok(Created::Unknown)
            }
            Some(Fault::CreateConflict) => Ok(Created::Conflict),
            Some(Fault::CreateHangs) => std::future::pending().await,
            Some(Fault::CreateLost) => Ok(Created::Unknown),
            Some(Fault::CreateOvertaken) => {
                deliver(&mut environment(self.memory.clone()), &self.winner).await;
                self.memory.create(key, body, metadata).await
            }
            _ => self.memory.create(key, body, metadata).await,
        }
    }
}

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
async fn a_parent_is_listed_until_its_listing_is_empty() {
    let lake = Faulty::default();
    let mut child = child(&lake);
    deliver(&mut child, &[record(1, NOON, "a")]).await;
    assert_eq!(lake.requests(), ["LIST", "LIST", "CREATE", "ROLLUP"]);
    deliver(&mut child, &[record(2, NOON, "b")]).await;
    assert_eq!(lake.requests(), ["LIST", "CREATE", "ROLLUP"]);
    // A replay goes further back than the listing did.
    deliver(&mut child, &[record(0, NOON - 15 * MINUTE, "c")]).await;
    assert_eq!(lake.requests(), ["LIST", "LIST", "CREATE", "ROLLUP"]);
}

fn child(lake: &Faulty) -> Handler<&Faulty, Family> {
    let relatives = Relatives {
        ancestors: vec!["shardId-parent".to_owned()],
        ..Relatives::default()
    };
    Handler::new(lake, Family(Ok(relatives)), SETTINGS, 7)
}

#[tokio::test(start_paused = true)]
async fn a_shard_whose_parents_are_not_known_commits_nothing() {
    let memory = Memory::default();
    let mut handler = Handler::new(memory.clone(), Family(Err("throttled")), SETTINGS, 7);
    let outcome = deliver(&mut handler, &[record(1, NOON, "a")]).await;
    assert_eq!(outcome.failed_from.as_deref(), Some("1"));
    let error = outcome.error.expect("an error").to_string();
    assert_eq!(error, "ListShards s: throttled");
    assert!(memory.objects().is_empty());
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

#[tokio::test(start_paused = true)]
async fn a_batch_of_rejected_records_does_not_ask_for_the_window() {
    let lake = Faulty::new(&[]);
    let outcome = deliver(&mut environment(&lake), &[garbage(1, NOON)]).await;
    assert_eq!(outcome.failed_from, None);
    assert_eq!(lake.requests(), ["QUARANTINE"]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_batch_is_a_success() {
    let outcome = deliver(&mut environment(Memory::default()), &[]).await;
    assert_eq!((outcome.failed_from, outcome.counts.received), (None, 0));
}
