//! The answer: in time, whatever hangs, and never a success that skips records.

mod common;

use std::sync::Mutex;
use std::time::Duration;

use aws_sdk_cloudwatch::types::MetricDatum;
use bytes::Bytes;
use common::{Family, NOON, SETTINGS, deliver, deliver_by, event, garbage, record};
use events::Contract;
use ingest::config::{Broker, PartialResponses};
use ingest::environment::Environment;
use ingest::error::{BatchError, LakeError};
use ingest::handler::Handler;
use ingest::lake::{Lake, Listed, Memory};
use ingest::lineage::Relatives;
use ingest::publish::Metrics;
use pipeline::commit::Created;
use pipeline::layout::KeyRange;
use tokio::time::Instant;

/// A lake that takes its time.
#[derive(Default)]
struct Slow {
    memory: Memory,
    list: Duration,
    create: Duration,
    no_rollups: bool,
}

impl Slow {
    /// As S3 is.
    fn s3() -> Self {
        Self {
            list: Duration::from_millis(25),
            create: Duration::from_millis(30),
            ..Self::default()
        }
    }

    /// Nobody waits so long for a create.
    fn hanging() -> Self {
        Self {
            create: Duration::from_hours(1),
            ..Self::default()
        }
    }
}

impl Lake for &Slow {
    async fn list(&self, range: &KeyRange) -> Result<Vec<Listed>, LakeError> {
        tokio::time::sleep(self.list).await;
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
        tokio::time::sleep(self.create).await;
        if self.no_rollups && key.starts_with("rollups/") {
            return Ok(Created::Unknown);
        }
        self.memory.create(key, body, metadata).await
    }
}

/// The values of `BatchFailures` that were published.
#[derive(Default)]
struct Sent(Mutex<Vec<(String, f64)>>);

impl Metrics for &Sent {
    async fn send(&self, data: Vec<MetricDatum>) -> Result<(), String> {
        let of = |datum: &MetricDatum| {
            (
                datum.metric_name().unwrap_or_default().to_owned(),
                datum.value().unwrap_or_default(),
            )
        };
        let failures = data
            .iter()
            .map(of)
            .filter(|(name, _)| name == "BatchFailures");
        self.0.lock().expect("not poisoned").extend(failures);
        Ok(())
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
        let lake = Slow::hanging();
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
    let lake = Slow::hanging();
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

#[tokio::test(start_paused = true)]
async fn a_create_that_the_deadline_cuts_off_is_not_waited_for() {
    let lake = Slow::hanging();
    let deadline = Instant::now() + Duration::from_mins(1);
    let records = [record(7, NOON, "a")];
    let outcome = deliver_by(&mut common::environment(&lake), &records, deadline).await;
    assert!(matches!(outcome.error, Some(BatchError::Deadline)));
    assert_eq!(deadline - Instant::now(), Duration::from_millis(250));
}

#[tokio::test(start_paused = true)]
async fn metrics_go_out_while_the_rollup_does() {
    let lake = Slow::s3();
    let cloudwatch = CloudWatch(Some(Duration::from_millis(20)));
    let mut environment = environment(&lake, PartialResponses::Off, cloudwatch);
    let started = Instant::now();
    let deadline = started + Duration::from_mins(1);
    let event = event(&[record(7, NOON, "a")]);
    let response = environment.invoke(&event, deadline).await;
    assert!(response.is_ok());
    assert_eq!(started.elapsed(), Duration::from_millis(25 + 30 + 30));
}

#[tokio::test(start_paused = true)]
async fn quarantine_goes_out_while_the_lake_is_listed() {
    let lake = Slow::s3();
    let started = Instant::now();
    let records = [record(7, NOON, "a"), garbage(8, NOON)];
    let outcome = deliver(&mut common::environment(&lake), &records).await;
    assert_eq!(outcome.failed_from, None);
    assert_eq!(started.elapsed(), Duration::from_millis(30 + 30 + 30));
}

#[tokio::test(start_paused = true)]
async fn a_batch_without_a_row_does_not_wait_for_a_listing() {
    let lake = Slow {
        list: Duration::from_hours(1),
        ..Slow::default()
    };
    let started = Instant::now();
    let outcome = deliver(&mut common::environment(&lake), &[garbage(7, NOON)]).await;
    assert_eq!(outcome.failed_from, None);
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_rollup_that_fails_after_the_counts_were_published_is_published_as_a_failure() {
    let lake = Slow {
        no_rollups: true,
        ..Slow::default()
    };
    let sent = Sent::default();
    let relatives = Family(Ok(Relatives::default()));
    let handler = Handler::new(&lake, relatives, Contract::ours().clone(), SETTINGS, 7);
    let form = PartialResponses::SequenceNumber;
    let mut environment = Environment::new(handler, Broker::Kinesis, form, Some(&sent));
    let deadline = Instant::now() + Duration::from_mins(1);
    let event = event(&[record(7, NOON, "a")]);
    let response = environment.invoke(&event, deadline).await;
    assert!(response.is_ok());
    let sent = sent.0.into_inner().expect("not poisoned");
    assert_eq!(
        sent,
        [
            ("BatchFailures".to_owned(), 0.0),
            ("BatchFailures".to_owned(), 1.0)
        ]
    );
}
