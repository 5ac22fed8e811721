//! `event-source`: see the library.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use aws_smithy_http_client::tls;
use clap::{ArgAction, Parser, Subcommand};
use event_source::checkpoint::StateDirectory;
use event_source::environment::{FunctionLog, FunctionSettings};
use event_source::function::Function;
use event_source::kinesis::Stream;
use event_source::mapping::{Mapping, Parameters};
use event_source::on_failure::{Destination, OnFailure};
use event_source::reaper::{Reaper, reap};
use event_source::run::{EventSource, run};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Lambda's event source mapping for Kinesis, and the Runtime API behind it, on one machine.
#[derive(Parser)]
#[command(version, about, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Read a stream and invoke the function with batches of its records, until SIGTERM or SIGINT.
    Run(Box<RunArguments>),
    /// Companion of `run`: kills the processes noted on standard input when that ends
    #[command(hide = true)]
    Reap,
}

/// Parameters have the names, ranges and meanings of AWS's `CreateEventSourceMapping`.
#[derive(clap::Args)]
struct RunArguments {
    /// Stream to read
    #[arg(long, env = "TRIBUTARY_STREAM")]
    stream: String,
    /// The function's executable, as it would be deployed
    #[arg(long, value_name = "BOOTSTRAP")]
    function: PathBuf,
    /// Directory of checkpoints.json; one running instance each
    #[arg(long, value_name = "DIRECTORY")]
    state: PathBuf,
    /// Environment variable for the function, besides those that Lambda sets; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    function_env: Vec<(String, String)>,
    /// Name of the function
    #[arg(long, default_value = "ingest-kinesis")]
    function_name: String,
    /// File to which the function's output and REPORT lines are appended [default: function.log in --state]
    #[arg(long, value_name = "FILE")]
    function_log: Option<PathBuf>,
    /// Time from an event's delivery to its deadline, at which the function is killed (1 to 900)
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=900))]
    function_timeout_seconds: u64,
    /// Memory told to the function (128 to 10240); not enforced
    #[arg(long, default_value_t = 512, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10240))]
    function_memory_mb: u32,
    /// Most records in one invocation (1 to 10000)
    #[arg(
        long,
        default_value_t = 1000,
        value_name = "RECORDS",
        allow_negative_numbers = true
    )]
    batch_size: i64,
    /// How long records are gathered before an invocation (0 to 300)
    #[arg(
        long,
        default_value_t = 1,
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    maximum_batching_window_in_seconds: i64,
    /// Batches in flight per shard (1 to 10)
    #[arg(
        long,
        default_value_t = 1,
        value_name = "BATCHES",
        allow_negative_numbers = true
    )]
    parallelization_factor: i64,
    /// Split a failed batch in two
    #[arg(long)]
    bisect_batch_on_function_error: bool,
    /// Retries before a batch is given up (0 to 10000; -1: endless)
    #[arg(long, default_value_t = -1, value_name = "RETRIES", allow_negative_numbers = true)]
    maximum_retry_attempts: i64,
    /// Age past which a record is given up (60 to 604800; -1: endless)
    #[arg(long, default_value_t = -1, value_name = "SECONDS", allow_negative_numbers = true)]
    maximum_record_age_in_seconds: i64,
    /// Whether the function's answer tells which records failed (`ReportBatchItemFailures`)
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    report_batch_item_failures: bool,
    /// Where the first start begins: `TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP`
    #[arg(long, default_value = "TRIM_HORIZON", value_name = "POSITION")]
    starting_position: String,
    /// With `AT_TIMESTAMP`: RFC 3339 time of arrival of the first record read
    #[arg(long, value_name = "TIME")]
    starting_position_timestamp: Option<jiff::Timestamp>,
    /// Where given-up batches go: an SQS queue's ARN or URL, or an S3 bucket's ARN [default: discarded]
    #[arg(long, value_name = "ARN_OR_URL")]
    on_failure_destination: Option<Destination>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments = match Cli::parse().command {
        Command::Run(arguments) => arguments,
        Command::Reap => {
            reap(std::io::stdin().lock());
            return ExitCode::SUCCESS;
        }
    };
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
    match runtime.block_on(start(*arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            for line in format!("{error:#}").lines() {
                tracing::error!("{line}");
            }
            ExitCode::FAILURE
        }
    }
}

async fn start(arguments: RunArguments) -> anyhow::Result<()> {
    let parameters = arguments.parameters();
    let mapping = Mapping::try_from(&parameters).map_err(|invalid| {
        let lines: Vec<String> = invalid.iter().map(ToString::to_string).collect();
        anyhow::anyhow!(lines.join("\n"))
    })?;
    let state = StateDirectory::lock(&arguments.state)?;
    let config = aws_configuration().await;
    let region = config
        .region()
        .context("no AWS region: set AWS_REGION")?
        .to_string();
    let endpoint = config.endpoint_url().unwrap_or("AWS").to_owned();
    let settings = arguments.function_settings(&region)?;
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
        function: Function::new(settings),
        on_failure,
        checkpoints,
        region,
    };
    run(source, stop_signal()?).await
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

impl RunArguments {
    fn parameters(&self) -> Parameters {
        Parameters {
            batch_size: self.batch_size,
            maximum_batching_window_in_seconds: self.maximum_batching_window_in_seconds,
            parallelization_factor: self.parallelization_factor,
            bisect_batch_on_function_error: self.bisect_batch_on_function_error,
            maximum_retry_attempts: self.maximum_retry_attempts,
            maximum_record_age_in_seconds: self.maximum_record_age_in_seconds,
            report_batch_item_failures: self.report_batch_item_failures,
            starting_position: self.starting_position.clone(),
            starting_position_timestamp: self
                .starting_position_timestamp
                .map(jiff::Timestamp::as_millisecond),
        }
    }

    fn function_settings(&self, region: &str) -> anyhow::Result<FunctionSettings> {
        let shown = self.function.display();
        let artifact = self
            .function
            .canonicalize()
            .with_context(|| format!("function {shown}"))?;
        let metadata = artifact
            .metadata()
            .with_context(|| format!("function {shown}"))?;
        if !metadata.is_file() || metadata.permissions().mode() & 0o111 == 0 {
            bail!("function {shown}: is not an executable file");
        }
        let log = self.function_log.clone();
        let log = log.unwrap_or_else(|| self.state.join("function.log"));
        Ok(FunctionSettings {
            artifact,
            name: self.function_name.clone(),
            memory_mb: self.function_memory_mb,
            timeout: Duration::from_secs(self.function_timeout_seconds),
            region: region.to_owned(),
            account: ACCOUNT.to_owned(),
            variables: inherited()
                .chain(self.function_env.iter().cloned())
                .collect(),
            log: FunctionLog::open(&log)
                .with_context(|| format!("function log {}", log.display()))?,
            reaper: Some(start_reaper().context("the companion process that cleans up")?),
        })
    }
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
