//! The command line.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};
use event_source::kinesis::redrive::Address;
use event_source::mapping::on_failure::Destination;
use event_source::mapping::parameters::Parameters;

/// Lambda's event source mappings for Kinesis and Kafka, and the Runtime API behind them, on one machine.
#[derive(Parser)]
#[command(version, about, max_term_width = 110)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Read a stream or a topic and invoke the function with batches of its records, until SIGTERM or SIGINT.
    Run(Box<RunArguments>),
    /// Invoke the function again with batches that were given up to an S3 bucket.
    ///
    /// Once each, one at a time, by shard and position. Exits with 0 when all are done, and with 1 when one is not.
    Redrive(RedriveArguments),
    /// Make a topic with the broker's time stamps, or check that it has them
    Topic(TopicArguments),
    /// Companion of `run`: kills the processes noted on standard input when that ends
    #[command(hide = true)]
    Reap,
}

/// Parameters have the names, ranges and meanings of AWS's `CreateEventSourceMapping`.
#[derive(clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
pub(crate) struct RunArguments {
    /// Stream to read
    #[arg(long, env = "TRIBUTARY_STREAM", required_unless_present = "topic")]
    pub(crate) stream: Option<String>,
    /// Topic to read instead of a stream
    #[arg(long)]
    pub(crate) topic: Option<String>,
    #[command(flatten)]
    pub(crate) brokers: BrokerArguments,
    /// Consumer group that has the topic's checkpoints (`ConsumerGroupId`)
    #[arg(long, default_value = "tributary", value_name = "GROUP")]
    pub(crate) consumer_group: String,
    /// Members of the consumer group, each with one batch in flight (`MinimumPollers`)
    #[arg(long, default_value_t = 1, value_name = "POLLERS", value_parser = clap::value_parser!(u16).range(1..=200))]
    pub(crate) pollers: u16,
    /// Retry only the records that a partial answer reports, instead of everything from the lowest of a partition on
    #[arg(long)]
    pub(crate) retry_only_reported: bool,
    /// Directory of checkpoints.json; one running instance each
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) state: PathBuf,
    #[command(flatten)]
    pub(crate) function: FunctionArguments,
    /// Most records in one invocation (1 to 10000)
    #[arg(
        long,
        default_value_t = 1000,
        value_name = "RECORDS",
        allow_negative_numbers = true
    )]
    pub(crate) batch_size: i64,
    /// How long records are gathered before an invocation (0 to 300)
    #[arg(
        long,
        default_value_t = 1,
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    pub(crate) maximum_batching_window_in_seconds: i64,
    /// Batches in flight per shard (1 to 10); of streams only
    #[arg(
        long,
        default_value_t = 1,
        value_name = "BATCHES",
        allow_negative_numbers = true
    )]
    pub(crate) parallelization_factor: i64,
    /// Split a failed batch in two
    #[arg(long)]
    pub(crate) bisect_batch_on_function_error: bool,
    /// Retries before a batch is given up (0 to 10000; -1: endless)
    #[arg(long, default_value_t = -1, value_name = "RETRIES", allow_negative_numbers = true)]
    pub(crate) maximum_retry_attempts: i64,
    /// Age past which a record is given up (60 to 604800; -1: endless)
    #[arg(long, default_value_t = -1, value_name = "SECONDS", allow_negative_numbers = true)]
    pub(crate) maximum_record_age_in_seconds: i64,
    /// Whether the function's answer tells which records failed (`ReportBatchItemFailures`)
    #[arg(long, default_value_t = true, action = ArgAction::Set, value_name = "BOOL")]
    pub(crate) report_batch_item_failures: bool,
    /// Where the first start begins: `TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP`
    #[arg(long, default_value = "TRIM_HORIZON", value_name = "POSITION")]
    pub(crate) starting_position: String,
    /// With `AT_TIMESTAMP`: RFC 3339 time of arrival of the first record read
    #[arg(long, value_name = "TIME")]
    pub(crate) starting_position_timestamp: Option<jiff::Timestamp>,
    /// Publish what Lambda would to CloudWatch; `LocalStack` takes it, AWS does not
    #[arg(long)]
    pub(crate) metrics: bool,
    /// Where given-up batches go: an SQS queue's ARN or URL, or an S3 bucket's ARN [default: discarded]
    #[arg(long, value_name = "ARN_OR_URL")]
    pub(crate) on_failure_destination: Option<Destination>,
}

/// How the brokers of a topic are reached.
#[derive(clap::Args)]
pub(crate) struct BrokerArguments {
    /// Brokers of the topic to begin with
    #[arg(
        long,
        env = "TRIBUTARY_BROKERS",
        default_value = "127.0.0.1:9092",
        value_name = "HOST:PORT,..."
    )]
    pub(crate) brokers: String,
    /// A property of librdkafka; may be repeated. TLS and SASL need a build with `--features tls`
    #[arg(long, value_name = "NAME=VALUE", value_parser = variable)]
    pub(crate) property: Vec<(String, String)>,
}

#[derive(clap::Args)]
pub(crate) struct TopicArguments {
    /// Name of the topic
    #[arg(long)]
    pub(crate) topic: String,
    #[command(flatten)]
    pub(crate) brokers: BrokerArguments,
    /// Partitions of a new topic
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) partitions: i32,
    /// Replicas of a new topic's partitions
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(i32).range(1..))]
    pub(crate) replicas: i32,
}

/// How the function's execution environments are made.
#[derive(clap::Args)]
pub(crate) struct FunctionArguments {
    /// The function's executable, as it would be deployed
    #[arg(long, value_name = "BOOTSTRAP")]
    pub(crate) function: PathBuf,
    /// Environment variable for the function, besides those that Lambda sets; may be repeated
    #[arg(long, value_name = "KEY=VALUE", value_parser = variable)]
    pub(crate) function_env: Vec<(String, String)>,
    /// Name of the function
    #[arg(long, default_value = "ingest-kinesis")]
    pub(crate) function_name: String,
    /// File to which the function's output and REPORT lines are appended [default: function.log, in --state if any]
    #[arg(long, value_name = "FILE")]
    pub(crate) function_log: Option<PathBuf>,
    /// Time from an event's delivery to its deadline, at which the function is killed (1 to 900)
    #[arg(long, default_value_t = 60, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=900))]
    pub(crate) function_timeout_seconds: u64,
    /// Memory told to the function (128 to 10240); not enforced
    #[arg(long, default_value_t = 512, value_name = "MB", value_parser = clap::value_parser!(u32).range(128..=10240))]
    pub(crate) function_memory_mb: u32,
}

#[derive(clap::Args)]
pub(crate) struct RedriveArguments {
    /// Objects of the on-failure destination, or prefixes of their keys
    #[arg(required = true, value_name = "s3://BUCKET/KEY")]
    pub(crate) objects: Vec<Address>,
    #[command(flatten)]
    pub(crate) function: FunctionArguments,
    /// Delete an object when the function is done with its batch
    #[arg(long)]
    pub(crate) remove: bool,
}

fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be KEY=VALUE".to_owned()),
    }
}

impl RunArguments {
    pub(crate) fn parameters(&self) -> Parameters {
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
}
