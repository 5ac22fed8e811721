//! The command line.
#![expect(
    clippy::doc_markdown,
    reason = "these doc comments are the text of --help"
)]

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, ValueEnum};
use jiff::SignedDuration;
use jiff::civil::Date;

use crate::generate::Shares;

const EVENTS_BY_DEFAULT: u64 = 60_000;
const DAYS_BY_DEFAULT: u16 = 3;

const EXAMPLES: &str = "\
Examples:
  Look at ten events:
    producer --sink stdout --events 10 --seed 1
  60,000 events over the last 3 full days, with a ledger to verify the lake against:
    producer --events 60000 --days 3 --ledger .local/ledger/monday.jsonl
  The same to a topic of Redpanda:
    producer --sink redpanda --brokers 127.0.0.1:9092 --topic tributary-events --ledger monday.jsonl
  A steady 2,000 events/s for five minutes, happening now, with metrics:
    producer --rate 2000 --duration 5m --metrics
  Events of another contract, typed columns and broken rules of its own among them:
    producer --contract my-contract.toml --sink stdout --events 10
  Only good, ordinary events:
    producer --duplicates 0 --malformed 0 --late 0 --outliers 0 --test-events 0

Signals:
  SIGINT (Ctrl-C) and SIGTERM stop making events, deliver those that were made, and print
  the totals. A second one leaves at once.

Exit status:
  0  every event that was made was acknowledged, also after a signal
  1  something could not be delivered or written; one line says what
  2  the command line was not understood

Delivery:
  A record that the stream refuses, or a request that fails, is sent again with exponential
  back-off and jitter until --give-up-after; the first record given up ends the run.
  When only the answer was lost, the stream holds a second copy that no ledger names; the
  pipeline drops it by its event_id.
  The order of a device's records is not kept: several requests are under way at once.
  To Redpanda, librdkafka's idempotent producer does this: what it sends again is stored once,
  and the order of a device's records is kept. PutRetries counts its requests then.

TLS:
  Brokers behind TLS or SASL need a build with --features tls (it links OpenSSL), and librdkafka's
  properties: --property security.protocol=sasl_ssl --property sasl.mechanisms=SCRAM-SHA-512 ...

AWS:
  Region, credentials and AWS_ENDPOINT_URL are read as by the AWS CLI.";

/// Makes device events from a seed and sends them to a stream.
///
/// The same seed and the same options make the same records, byte for byte, at any rate. Some records are malformed,
/// repeated, late or otherwise unlike the rest; --ledger notes what must become of each.
#[derive(Clone, Debug, Parser)]
#[command(version, max_term_width = 120, allow_negative_numbers = true, after_help = EXAMPLES)]
pub struct Cli {
    /// Where records go
    #[arg(long, value_enum, default_value_t = SinkName::Kinesis, help_heading = "Destination")]
    pub sink: SinkName,

    /// The Kinesis data stream; the partition key is the device_id
    #[arg(
        long,
        value_name = "NAME",
        env = "TRIBUTARY_STREAM",
        default_value = "tributary-events",
        help_heading = "Destination"
    )]
    pub stream: String,

    /// The topic; the key is the device_id
    #[arg(
        long,
        value_name = "NAME",
        env = "TRIBUTARY_TOPIC",
        default_value = "tributary-events",
        help_heading = "Destination"
    )]
    pub topic: String,

    /// Brokers of Redpanda, or of Kafka, to begin with
    #[arg(
        long,
        value_name = "HOST:PORT,...",
        env = "TRIBUTARY_BROKERS",
        default_value = "127.0.0.1:9092",
        help_heading = "Destination"
    )]
    pub brokers: String,

    /// A property of librdkafka, for --sink redpanda; may be repeated
    #[arg(long, value_name = "NAME=VALUE", value_parser = property, help_heading = "Destination")]
    pub property: Vec<(String, String)>,

    /// Write one JSON line per acknowledged record to a new file: where it was stored and what must become of it
    #[arg(long, value_name = "FILE", help_heading = "Destination")]
    pub ledger: Option<PathBuf>,

    /// Publish EventsProduced, PutRetries and PutFailures to CloudWatch, namespace Tributary, every 10 s
    #[arg(long, help_heading = "Destination")]
    pub metrics: bool,

    /// The most batches of up to 500 records under way at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..), help_heading = "Destination")]
    pub in_flight: u16,

    /// How long to keep sending a record again
    #[arg(long, value_name = "TIME", default_value = "60s", value_parser = duration, help_heading = "Destination")]
    pub give_up_after: Duration,

    /// Number of events [default: 60000, unless --duration is given]
    #[arg(long, value_name = "N", conflicts_with = "duration", value_parser = clap::value_parser!(u64).range(1..), help_heading = "How many and how fast")]
    pub events: Option<u64>,

    /// Make events for that long, like 30s or 5m; they happen now
    #[arg(long, value_name = "TIME", value_parser = duration, help_heading = "How many and how fast")]
    pub duration: Option<Duration>,

    /// Events per second; 0 is as fast as possible
    #[arg(long, value_name = "N", default_value_t = 0.0, value_parser = rate, help_heading = "How many and how fast")]
    pub rate: f64,

    /// Spread the events evenly over that many UTC days; 0: they happen now [default: 3, or 0 with --duration]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(..=3660), help_heading = "What")]
    pub days: Option<u16>,

    /// The first of the days [default: so that the last one is yesterday]
    #[arg(long, value_name = "YYYY-MM-DD", help_heading = "What")]
    pub first_day: Option<Date>,

    /// The contract that events keep to: a file like functions/events/contract.toml [default: Tributary's own]
    #[arg(
        long,
        value_name = "FILE",
        env = "TRIBUTARY_CONTRACT",
        help_heading = "What"
    )]
    pub contract: Option<PathBuf>,

    /// Devices, of six types in turn
    #[arg(long, value_name = "N", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=1_000_000), help_heading = "What")]
    pub devices: u32,

    /// From which everything is drawn [default: another one each time; the totals name it]
    #[arg(long, value_name = "N", help_heading = "What")]
    pub seed: Option<u64>,

    /// Events that repeat an earlier one, byte for byte
    #[arg(long, value_name = "F", default_value_t = 0.02, value_parser = fraction, help_heading = "Shares (fractions of all records)")]
    pub duplicates: f64,

    /// Records that break one rule of the event contract
    #[arg(long, value_name = "F", default_value_t = 0.01, value_parser = fraction, help_heading = "Shares (fractions of all records)")]
    pub malformed: f64,

    /// Events that happened 10 minutes to 6 hours before
    #[arg(long, value_name = "F", default_value_t = 0.02, value_parser = fraction, help_heading = "Shares (fractions of all records)")]
    pub late: f64,

    /// Events whose duration is 20 or more standard deviations above the mean
    #[arg(long, value_name = "F", default_value_t = 0.005, value_parser = fraction, help_heading = "Shares (fractions of all records)")]
    pub outliers: f64,

    /// Events that the contract drops on purpose (ours: test: true)
    #[arg(long, value_name = "F", default_value_t = 0.01, value_parser = fraction, help_heading = "Shares (fractions of all records)")]
    pub test_events: f64,
}

/// The kinds of destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SinkName {
    /// A Kinesis data stream
    Kinesis,
    /// A topic of Redpanda, Apache Kafka or Amazon MSK
    Redpanda,
    /// Standard output, each payload as it is and a newline; no payload holds one
    Stdout,
}

impl Cli {
    /// Checks what one option alone cannot tell.
    pub fn check(&self) -> Result<(), String> {
        if self.metrics && self.sink == SinkName::Stdout {
            return Err(
                "--metrics needs another sink than stdout: metrics belong to a stream".to_owned(),
            );
        }
        if !self.property.is_empty() && self.sink != SinkName::Redpanda {
            return Err("--property needs --sink redpanda".to_owned());
        }
        if self.duration.is_some() && self.days.is_some_and(|days| days > 0) {
            return Err(
                "--days needs --events: without a number of events they cannot be spread"
                    .to_owned(),
            );
        }
        if self.first_day.is_some() && self.days() == 0 {
            return Err(
                "--first-day needs --days of at least 1: otherwise events happen now".to_owned(),
            );
        }
        self.shares().check().map_err(|error| error.to_string())
    }

    /// What the records go to, by name: its metrics have it as dimension.
    pub fn stream_or_topic(&self) -> &str {
        match self.sink {
            SinkName::Kinesis | SinkName::Stdout => &self.stream,
            SinkName::Redpanda => &self.topic,
        }
    }

    /// Number of days over which events are spread; 0 when they happen now.
    pub fn days(&self) -> u16 {
        self.days.unwrap_or(if self.duration.is_some() {
            0
        } else {
            DAYS_BY_DEFAULT
        })
    }

    /// Number of events, where `--duration` does not limit the run.
    pub fn events(&self) -> u64 {
        self.events.unwrap_or(EVENTS_BY_DEFAULT)
    }

    /// The mixture of kinds.
    pub fn shares(&self) -> Shares {
        Shares {
            duplicates: self.duplicates,
            malformed: self.malformed,
            late: self.late,
            outliers: self.outliers,
            test_events: self.test_events,
        }
    }
}

fn property(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("a property is written NAME=VALUE".to_owned()),
    }
}

fn fraction(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(fraction) if (0.0..=1.0).contains(&fraction) => Ok(fraction),
        _ => Err("a fraction is a number from 0 to 1".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate >= 0.0 => Ok(rate),
        _ => Err("a rate is a number of events per second, not negative".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration: Option<SignedDuration> = text.parse().ok();
    let duration = duration.and_then(|duration| Duration::try_from(duration).ok());
    duration
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "a time is written like 30s, 5m or 1h30m".to_owned())
}
