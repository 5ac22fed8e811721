//! What every function does before its first event: logging, configuration, clients.

use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, SystemTime};

use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::{Builder, tls};
use lambda_runtime::{Context, LambdaEvent, service_fn};
use pipeline::decode::EnvelopeError;
use pipeline::filter::Filter;
use pipeline::rollup::Lateness;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing_subscriber::EnvFilter;

use crate::answer;
use crate::config::Config;
use crate::handler::{Handler, Outcome, Settings};
use crate::lake::S3;
use crate::lineage::{Kinesis, Lineage, Roots};
use crate::publish::{self, Circumstances};

/// Ids held in memory: about 200 MB, in a function of 512 MB.
const MAX_WINDOW_IDS: usize = 5_000_000;

/// JSON lines on standard output, which Lambda carries to CloudWatch Logs. `RUST_LOG` sets the level.
pub fn logging() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_env_filter(filter)
        .init();
}

/// Credentials, region and endpoint from the environment, as every AWS SDK reads them.
pub async fn aws() -> SdkConfig {
    let provider = tls::Provider::Rustls(tls::rustls_provider::CryptoMode::Ring);
    let http_client = Builder::new().tls_provider(provider).build_https();
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client)
        .load()
        .await
}

/// Serves Kinesis batches until Lambda ends the environment.
///
/// # Errors
/// If the configuration is incomplete, or the Runtime API cannot be reached.
pub async fn kinesis() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_environment()?;
    let aws = aws().await;
    let lineage = Kinesis::new(&aws);
    let handle = async |handler: &mut Handler<S3, Kinesis>, event: &[u8], deadline| {
        Ok(vec![handler.kinesis(event, deadline).await?])
    };
    // An event is one batch.
    let answer = |outcomes: &[Outcome]| Ok(answer::kinesis(&outcomes[0]));
    serve(&config, &aws, lineage, handle, answer).await
}

/// Serves Kafka batches until Lambda ends the environment.
///
/// # Errors
/// As [`kinesis`].
pub async fn kafka() -> Result<(), lambda_runtime::Error> {
    let config = Config::from_environment()?;
    let aws = aws().await;
    let handle = async |handler: &mut Handler<S3, Roots>, event: &[u8], deadline| {
        handler.kafka(event, deadline).await
    };
    let answer = |outcomes: &[Outcome]| Ok(answer::kafka(outcomes, config.kafka_partial_response)?);
    serve(&config, &aws, Roots, handle, answer).await
}

async fn serve<G: Lineage + Sync, A: Serialize>(
    config: &Config,
    aws: &SdkConfig,
    lineage: G,
    handle: impl AsyncFn(&mut Handler<S3, G>, &[u8], Instant) -> Result<Vec<Outcome>, EnvelopeError>,
    answer: impl Fn(&[Outcome]) -> Result<A, lambda_runtime::Error>,
) -> Result<(), lambda_runtime::Error> {
    let cloudwatch = config.metrics.then(|| aws_sdk_cloudwatch::Client::new(aws));
    let settings = Settings {
        filter: Filter {
            keep_test_events: config.keep_test_events,
        },
        lateness: Lateness {
            bound_ms: config.lateness_ms,
        },
        horizon_ms: config.horizon_ms,
        max_window_ids: MAX_WINDOW_IDS,
    };
    let hash_seed = std::hash::RandomState::new().build_hasher().finish();
    let lake = S3::new(aws, config.bucket.clone());
    // Lambda sends an environment one event at a time; the lock is never waited for.
    let environment = tokio::sync::Mutex::new(Environment {
        handler: Handler::new(lake, lineage, settings, hash_seed),
        cold: true,
    });
    let (environment, handle, answer) = (&environment, &handle, &answer);
    let cloudwatch = cloudwatch.as_ref();
    lambda_runtime::run(service_fn(
        move |event: LambdaEvent<Box<RawValue>>| async move {
            let started = Instant::now();
            let mut environment = environment.lock().await;
            let deadline = deadline(&event.context, started, SystemTime::now());
            let event = event.payload.get().as_bytes();
            let outcomes = handle(&mut environment.handler, event, deadline).await?;
            let duration = started.elapsed();
            for outcome in &outcomes {
                log(outcome, duration);
            }
            let cold_start = std::mem::replace(&mut environment.cold, false);
            // An empty batch belongs to no stream.
            let reports = outcomes.iter().map(|outcome| &outcome.report);
            let reports: Vec<_> = reports.filter(|report| report.received > 0).collect();
            if let Some(client) = cloudwatch {
                let circumstances = Circumstances {
                    cold_start,
                    duration,
                    now: SystemTime::now(),
                };
                publish::publish(client, &reports, circumstances).await;
            }
            answer(&outcomes)
        },
    ))
    .await
}

struct Environment<G> {
    handler: Handler<S3, G>,
    cold: bool,
}

fn deadline(context: &Context, started: Instant, now: SystemTime) -> Instant {
    let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
    started + deadline.duration_since(now).unwrap_or_default()
}

fn log(outcome: &Outcome, duration: Duration) {
    let report = &outcome.report;
    tracing::info!(
        stream = report.stream,
        shard = report.shard,
        received = report.received,
        written = report.written,
        objects = report.objects,
        duplicates = report.duplicates,
        filtered = report.filtered,
        rejected = report.rejected_total(),
        late = report.late,
        handed_back = report.handed_back,
        conflicts = report.conflicts,
        window_reads = report.window_reads,
        milliseconds = duration.as_secs_f64() * 1000.0,
        "batch"
    );
    if let Some(error) = &outcome.error {
        tracing::error!(
            stream = report.stream,
            shard = report.shard,
            from = outcome.failed_from,
            %error,
            "batch_handed_back"
        );
    }
}
