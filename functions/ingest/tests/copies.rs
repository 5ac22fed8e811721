//! One id twice in a batch, in two cells of the grid: arrival times may step back.

mod common;

use std::sync::Mutex;

use bytes::Bytes;
use common::{NOON, committed_ids, deliver, environment, record};
use ingest::error::LakeError;
use ingest::lake::{Lake, Listed, Memory};
use pipeline::commit::Created;
use pipeline::layout::{EVENTS, KeyRange};

/// A lake in which another delivery commits the first record just before the first create of this one.
struct Overtaken {
    memory: Memory,
    winner: Mutex<Option<common::Record>>,
    /// Part of the keys that are not made.
    refuses: Option<&'static str>,
}

impl Lake for &Overtaken {
    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, LakeError> {
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
        if self.refuses.is_some_and(|refused| key.contains(refused)) && key.starts_with(EVENTS) {
            return Ok(Created::Unknown);
        }
        let winner = self.winner.lock().expect("not poisoned").take();
        if let Some(winner) = winner {
            deliver(&mut environment(self.memory.clone()), &[winner]).await;
        }
        self.memory.create(key, body, metadata).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_copy_in_an_earlier_cell_is_not_written_while_another_delivery_commits_the_first_one() {
    let memory = Memory::default();
    let batch = [record(1, NOON + 5, "x"), record(2, NOON - 5, "x")];
    let lake = Overtaken {
        memory: memory.clone(),
        winner: Mutex::new(Some(batch[0].clone())),
        refuses: None,
    };
    let outcome = deliver(&mut environment(&lake), &batch).await;
    assert_eq!(outcome.failed_from, None);
    assert_eq!(committed_ids(&memory), ["x"]);
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_handed_back_with_the_first_one_and_the_rest_of_its_cell_is_done() {
    let memory = Memory::default();
    let batch = [
        record(1, NOON - 5, "y"),
        record(2, NOON + 5, "x"),
        record(3, NOON - 5, "x"),
    ];
    let lake = Overtaken {
        memory: memory.clone(),
        winner: Mutex::new(None),
        refuses: Some("T1200Z"),
    };
    let outcome = deliver(&mut environment(&lake), &batch).await;
    assert_eq!(outcome.failed, ["2", "3"]);
    let counts = outcome.counts;
    assert_eq!(
        (
            counts.received,
            counts.written,
            counts.duplicates,
            counts.handed_back
        ),
        (3, 1, 1, 1)
    );
    // What is given up with the first one can be delivered later, and is still one row.
    deliver(&mut environment(memory.clone()), &batch[2..]).await;
    deliver(&mut environment(memory.clone()), &batch[1..2]).await;
    assert_eq!(committed_ids(&memory), ["x", "y"]);
}
