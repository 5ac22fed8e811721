//! The answer: in time, whatever hangs, and never a success that skips records.

mod common;

use std::time::Duration;

use aws_sdk_cloudwatch::types::MetricDatum;
use bytes::Bytes;
use common::{Family, NOON, SETTINGS, event, record};
use events::Contract;
use ingest::config::{Broker, PartialResponses};
use ingest::environment::Environment;
use ingest::error::LakeError;
use ingest::handler::Handler;
use ingest::lake::{Lake, Listed, Memory};
use ingest::lineage::Relatives;
use ingest::publish::Metrics;
use pipeline::commit::Created;
use pipeline::layout::KeyRange;
use tokio::time::Instant;

/// A lake in which creates hang.
struct Hanging(Memory);

impl Lake for &Hanging {
    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, LakeError> {
        self.0.list(range).await
    }

    async fn get_suffix(&self, key: &str, bytes: u64) -> Result<Option<Bytes>, LakeError> {
        self.0.get_suffix(key, bytes).await
    }

    async fn create(
        &self,
        _key: &str,
        _body: Bytes,
        _metadata: &[(&'static str, String)],
    ) -> Result<Created, LakeError> {
        std::future::pending().await
    }
}

/// CloudWatch, which answers after a while or never.
struct CloudWatch(Option<Duration>);

impl Metrics for CloudWatch {
    async fn send(&self, _data: Vec<MetricDatum>) -> Result<(), String> {
        match self.0 {
            Some(delay) => tokio::time::sleep(delay).await,
            None => std::future::pending().await,
        }
        Ok(())
    }
}

fn environment<L: Lake + Sync>(
    lake: L,
    partial_responses: PartialResponses,
    cloudwatch: CloudWatch,
) -> Environment<L, Family, CloudWatch> {
    let handler = Handler::new(
        lake,
        Family(Ok(Relatives::default())),
        Contract::ours().clone(),
        SETTINGS,
        7,
    );
    Environment::new(
        handler,
        Broker::Kinesis,
        partial_responses,
        Some(cloudwatch),
    )
}

#[tokio::test(start_paused = true)]
async fn the_answer_is_out_before_the_deadline_whatever_lake_and_cloudwatch_do() {
    for delay in [Some(Duration::from_millis(400)), None] {
        let lake = Hanging(Memory::default());
        let form = PartialResponses::SequenceNumber;
        let mut environment = environment(&lake, form, CloudWatch(delay));
        let deadline = Instant::now() + Duration::from_mins(1);
        let response = environment
            .invoke(&event(&[record(7, NOON, "a")]), deadline)
            .await;
        assert!(Instant::now() < deadline, "{delay:?}");
        assert_eq!(
            serde_json::to_string(&response.expect("a response")).expect("JSON"),
            r#"{"batchItemFailures":[{"itemIdentifier":"7"}]}"#
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_cloudwatch_that_hangs_holds_up_a_batch_for_two_seconds_at_most() {
    let lake = Memory::default();
    let mut environment = environment(lake, PartialResponses::Off, CloudWatch(None));
    let started = Instant::now();
    let deadline = started + Duration::from_mins(1);
    let response = environment
        .invoke(&event(&[record(7, NOON, "a")]), deadline)
        .await;
    assert!(response.is_ok());
    assert!(started.elapsed() <= Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn a_mapping_that_does_not_read_partial_answers_sees_the_invocation_fail() {
    let lake = Hanging(Memory::default());
    let cloudwatch = CloudWatch(Some(Duration::ZERO));
    let mut environment = environment(&lake, PartialResponses::Off, cloudwatch);
    let deadline = Instant::now() + Duration::from_secs(10);
    let response = environment
        .invoke(&event(&[record(7, NOON, "a")]), deadline)
        .await;
    let error = response
        .expect_err("the batch is not committed")
        .to_string();
    assert!(
        error.starts_with("1 of 1 batches were not committed: s-shardId-000000000000 from 7: "),
        "{error}"
    );
}
