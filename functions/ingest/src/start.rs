//! What every function does before its first event: logging, configuration, clients.

use std::hash::{BuildHasher, Hasher};
use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use events::{Contract, ContractError};
use lambda_runtime::{Context, LambdaEvent, service_fn};
use pipeline::filter::Filter;
use pipeline::rollup::Lateness;
use serde_json::value::RawValue;
use tokio::time::Instant;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{self, Broker, Config};
use crate::environment::Environment;
use crate::handler::{Handler, Settings};
use crate::lake::S3;
use crate::lineage::{Kinesis, Lineage, Roots};

/// JSON lines on standard output, which Lambda carries to CloudWatch Logs. `RUST_LOG` sets the level, or that of each
/// target. Not by the filter with regular expressions, which would be 3 % of the function.
pub fn logging() {
    let levels: Option<Targets> = config::log_levels().and_then(|levels| levels.parse().ok());
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .with_filter(levels.unwrap_or(Targets::new().with_default(LevelFilter::INFO)));
    tracing_subscriber::registry().with(lines).init();
}

/// Serves a broker's batches until Lambda ends the environment.
///
/// # Errors
/// If the configuration is incomplete, the contract is not one, or the Runtime API cannot be reached.
pub async fn serve(broker: Broker) -> Result<(), lambda_runtime::Error> {
    let config = Config::from_environment(broker)?;
    let contract = contract(&config.contract)?;
    tracing::info!(file = config.contract, hash = contract.hash(), "contract");
    let aws = aws::configuration_of_function().await;
    match broker {
        Broker::Kinesis => run(broker, &config, contract, &aws, Kinesis::new(&aws)).await,
        Broker::Kafka => run(broker, &config, contract, &aws, Roots).await,
    }
}

async fn run<G: Lineage + Sync>(
    broker: Broker,
    config: &Config,
    contract: Contract,
    aws: &SdkConfig,
    lineage: G,
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
        memory_mb: config.memory_mb,
    };
    let hash_seed = std::hash::RandomState::new().build_hasher().finish();
    let lake = S3::new(aws, config.bucket.clone());
    let handler = Handler::new(lake, lineage, contract, settings, hash_seed);
    let environment = Environment::new(handler, broker, config.partial_responses, cloudwatch);
    // Lambda sends an environment one event at a time; the lock is never waited for.
    let environment = &tokio::sync::Mutex::new(environment);
    lambda_runtime::run(service_fn(
        move |event: LambdaEvent<Box<RawValue>>| async move {
            let deadline = deadline(&event.context, Instant::now(), SystemTime::now());
            let event = event.payload.get().as_bytes();
            let response = environment.lock().await.invoke(event, deadline).await?;
            Ok::<_, lambda_runtime::Error>(response)
        },
    ))
    .await
}

/// The contract of a file.
fn contract(file: &str) -> Result<Contract, ContractError> {
    let bytes = std::fs::read(file).map_err(|error| ContractError::unreadable(file, &error))?;
    Contract::of_file(file, &bytes)
}

fn deadline(context: &Context, started: Instant, now: SystemTime) -> Instant {
    let deadline = SystemTime::UNIX_EPOCH + Duration::from_millis(context.deadline);
    started + deadline.duration_since(now).unwrap_or_default()
}
