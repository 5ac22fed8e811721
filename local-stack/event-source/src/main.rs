//! `event-source`: see the library.

mod cli;

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_smithy_http_client::tls;
use clap::Parser as _;
use event_source::checkpoint::StateDirectory;
use event_source::environment::{FunctionLog, FunctionSettings};
use event_source::function::Function;
use event_source::kinesis::Stream;
use event_source::mapping::Mapping;
use event_source::metrics::Metrics;
use event_source::on_failure::OnFailure;
use event_source::reaper::{Reaper, reap};
use event_source::redrive::Redrive;
use event_source::run::{EventSource, run};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::cli::{Cli, Command, FunctionArguments, RedriveArguments, RunArguments};

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(arguments) => carry_out(start(*arguments)),
        Command::Redrive(arguments) => carry_out(redrive(arguments)),
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
    let config = aws_configuration().await;
    let region = region(&config)?;
    let endpoint = config.endpoint_url().unwrap_or("AWS").to_owned();
    let settings = function_settings(&arguments.function, &region, &arguments.state)?;
    let client = aws_sdk_kinesis::Client::new(&config);
    let stream = Stream::find(client, &arguments.stream, &endpoint).await?;
    let checkpoints = state.load(&stream.name, stream.created)?;
    let on_failure = match &arguments.on_failure_destination {
        None => None,
        Some(destination) => {
            Some(OnFailure::find(destination, &config, checkpoints.current().uuid).await?)
        }
    };
    let source = EventSource {
        mapping,
        stream,
        role_arn: format!("arn:aws:iam::{ACCOUNT}:role/{}", settings.name),
        metrics: Metrics::new(&settings.name, &checkpoints.current().uuid.to_string()),
        function: Function::new(settings),
        on_failure,
        checkpoints,
        region,
    };
    let cloudwatch = arguments
        .metrics
        .then(|| aws_sdk_cloudwatch::Client::new(&config));
    run(source, cloudwatch, stop_signal()?).await?;
    Ok(ExitCode::SUCCESS)
}

async fn redrive(arguments: RedriveArguments) -> anyhow::Result<ExitCode> {
    let config = aws_configuration().await;
    let settings = function_settings(&arguments.function, &region(&config)?, Path::new("."))?;
    let redrive = Redrive::new(Function::new(settings), &config, arguments.remove);
    let totals = redrive.run(&arguments.objects, &stop_signal()?).await;
    Ok(if totals.is_success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Where no account is known: the one that LocalStack uses.
const ACCOUNT: &str = "000000000000";

async fn aws_configuration() -> aws_config::SdkConfig {
    let http_client = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(
            tls::rustls_provider::CryptoMode::Ring,
        ))
        .build_https();
    let timeouts = aws_config::timeout::TimeoutConfig::builder()
        .connect_timeout(Duration::from_secs(3))
        .operation_attempt_timeout(Duration::from_secs(20))
        .build();
    aws_config::defaults(aws_config::BehaviorVersion::latest())
        .http_client(http_client)
        .timeout_config(timeouts)
        .load()
        .await
}

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
