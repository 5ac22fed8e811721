//! `event-source`: see the library.

mod cli;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::Parser as _;
use event_source::kafka;
use event_source::kafka::envelope::Envelope;
use event_source::kafka::poller::PartialRetry;
use event_source::kinesis;
use event_source::kinesis::reader::Stream;
use event_source::kinesis::redrive::Redrive;
use event_source::lambda::environment::{FunctionLog, FunctionSettings};
use event_source::lambda::reaper::{Reaper, reap};
use event_source::mapping::checkpoint::{CheckpointStore, StateDirectory};
use event_source::mapping::delivery::Delivery;
use event_source::mapping::on_failure::OnFailure;
use event_source::mapping::parameters::{Mapping, StartingPosition};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{
    BrokerArguments, Cli, Command, FunctionArguments, RedriveArguments, RunArguments,
    TopicArguments,
};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => carry_out(start(*arguments)),
        Command::Redrive(arguments) => carry_out(redrive(arguments)),
        Command::Topic(arguments) => carry_out(provision(arguments)),
        Command::Reap => {
            reap(std::io::stdin().lock());
            ExitCode::SUCCESS
        }
    }
}

fn carry_out(command: impl Future<Output = anyhow::Result<ExitCode>>) -> ExitCode {
    tracing_subscriber::fmt()
        .with_env_filter(
            tracing_subscriber::EnvFilter::try_from_env("TRIBUTARY_LOG")
                .unwrap_or_else(|_| "error,event_source=info".into()),
        )
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(command) {
        Ok(code) => code,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                tracing::error!("{line}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: RunArguments) -> anyhow::Result<ExitCode> {
    let parameters = arguments.parameters();
    let mapping = Mapping::try_from(&parameters).map_err(|invalid| {
        let lines: Vec<String> = invalid.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    let state = StateDirectory::lock(&arguments.state)?;
    let config = aws::configuration().await;
    let region = region(&config)?;
    let settings = function_settings(&arguments.function, &region, &arguments.state)?;
    let cloudwatch = arguments
        .metrics
        .then(|| aws_sdk_cloudwatch::Client::new(&config));
    if arguments.topic.is_some() {
        let source = of_topic(&arguments, mapping, state, settings, &config).await?;
        kafka::run::run(source, cloudwatch, stop_signal()?).await?;
        return Ok(ExitCode::SUCCESS);
    }
    let endpoint = config.endpoint_url().unwrap_or("AWS");
    let client = aws_sdk_kinesis::Client::new(&config);
    let stream = arguments.stream.as_deref().context("no --stream")?;
    let stream = Stream::find(client, stream, endpoint).await?;
    let checkpoints = state.load(&stream.name, stream.created)?;
    let source = kinesis::source::EventSource {
        stream,
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{}", settings.name),
        delivery: delivery(
            &arguments,
            mapping,
            settings,
            kinesis::answer::PARTIAL_RESPONSES,
            &config,
            checkpoints,
        )
        .await?,
        region,
    };
    kinesis::run::run(source, cloudwatch, stop_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}

async fn delivery(
    arguments: &RunArguments,
    mapping: Mapping,
    settings: FunctionSettings,
    form: &str,
    config: &aws_config::SdkConfig,
    checkpoints: CheckpointStore,
) -> anyhow::Result<Arc<Delivery>> {
    let uuid = checkpoints.current().uuid;
    let on_failure = match &arguments.on_failure_destination {
        Some(destination) => Some(OnFailure::find(destination, config, uuid).await?),
        None => None,
    };
    let delivery = Delivery::new(mapping, settings, form, on_failure, checkpoints);
    Ok(Arc::new(delivery))
}

/// "When you configure both infinite retries and an on-failure destination, Lambda automatically applies a maximum of
/// 10 retry attempts" (developer guide, "Configuring error handling controls for Kafka event sources").
const RETRIES_BEFORE_A_DESTINATION: u32 = 10;

async fn of_topic(
    arguments: &RunArguments,
    mut mapping: Mapping,
    state: StateDirectory,
    settings: FunctionSettings,
    config: &aws_config::SdkConfig,
) -> anyhow::Result<kafka::source::EventSource> {
    if mapping.parallelization_factor != 1 {
        bail!("ParallelizationFactor is of streams only: a topic has --pollers");
    }
    if let StartingPosition::AtTimestamp(_) = mapping.starting_position {
        bail!("StartingPosition AT_TIMESTAMP is of streams only here");
    }
    if arguments.on_failure_destination.is_some() {
        mapping
            .maximum_retry_attempts
            .get_or_insert(RETRIES_BEFORE_A_DESTINATION);
    }
    let topic = arguments.topic.as_deref().unwrap_or_default();
    let BrokerArguments { brokers, property } = &arguments.brokers;
    // A topic made anew under the same name has a group without offsets.
    let checkpoints = state.load(topic, 0)?;
    Ok(kafka::source::EventSource {
        partial_retry: if arguments.retry_only_reported {
            PartialRetry::OnlyReported
        } else {
            PartialRetry::FromLowest
        },
        config: kafka::topic::client_config(brokers, property),
        brokers: brokers.clone(),
        consumer_group: arguments.consumer_group.clone(),
        pollers: arguments.pollers.into(),
        envelope: Envelope::new(topic, brokers),
        delivery: delivery(
            arguments,
            mapping,
            settings,
            kafka::answer::PARTIAL_RESPONSES,
            config,
            checkpoints,
        )
        .await?,
    })
}

async fn provision(arguments: TopicArguments) -> anyhow::Result<ExitCode> {
    let BrokerArguments { brokers, property } = &arguments.brokers;
    let config = kafka::topic::client_config(brokers, property);
    let (topic, partitions) = (&arguments.topic, arguments.partitions);
    let made = kafka::topic::provision(&config, topic, partitions, arguments.replicas).await?;
    tracing::info!(topic, made, "the topic has the broker's time stamps");
    Ok(ExitCode::SUCCESS)
}

async fn redrive(arguments: RedriveArguments) -> anyhow::Result<ExitCode> {
    let config = aws::configuration().await;
    let settings = function_settings(&arguments.function, &region(&config)?, Path::new("."))?;
    let redrive = Redrive::new(settings, &config, arguments.remove);
    let totals = redrive.run(&arguments.objects, &stop_signal()?).await;
    Ok(if totals.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Where no account is known: the one that LocalStack uses.
const ACCOUNT: &str = "000000000000";

fn region(config: &aws_config::SdkConfig) -> anyhow::Result<String> {
    let region = config.region().context("no AWS region: set AWS_REGION")?;
    Ok(region.to_string())
}

/// Turns true at the first SIGTERM or SIGINT; a second one ends the process at once.
fn stop_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let (stop, stopped) = watch::channel(false);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if stop.send_replace(true) {
                std::process::exit(130);
            }
            tracing::info!("stopping: invocations in flight may end first");
        }
    });
    Ok(stopped)
}

/// `directory`: where the log is unless another place was named.
fn function_settings(
    arguments: &FunctionArguments,
    region: &str,
    directory: &Path,
) -> anyhow::Result<FunctionSettings> {
    let shown = arguments.function.display();
    let artifact = arguments
        .function
        .canonicalize()
        .with_context(|| format!("function {shown}"))?;
    let metadata = artifact
        .metadata()
        .with_context(|| format!("function {shown}"))?;
    if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
        bail!("function {shown}: is not an executable file");
    }
    let log = arguments.function_log.clone();
    let log = log.unwrap_or_else(|| directory.join("function.log"));
    Ok(FunctionSettings {
        artifact,
        name: arguments.function_name.clone(),
        memory_mb: arguments.function_memory_mb,
        timeout: Duration::from_secs(arguments.function_timeout_seconds),
        region: region.to_owned(),
        account: ACCOUNT.to_owned(),
        variables: inherited()
            .chain(arguments.function_env.iter().cloned())
            .collect(),
        log: FunctionLog::open(&log).with_context(|| format!("function log {}", log.display()))?,
        reaper: Some(start_reaper().context("the companion process that cleans up")?),
    })
}

fn start_reaper() -> std::io::Result<Reaper> {
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.arg("reap");
    Reaper::start(command)
}

/// Credentials and endpoints: what a function on Lambda has from its role and its network. Nothing else is inherited.
fn inherited() -> impl Iterator<Item = (String, String)> {
    const CREDENTIALS: [&str; 3] = [
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
    ];
    std::env::vars().filter(|(name, _)| {
        CREDENTIALS.contains(&name.as_str()) || name.starts_with("AWS_ENDPOINT_URL")
    })
}
