//! `producer`: see `producer --help`.

use std::io::{IsTerminal, Write, stderr};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use events::{Contract, ContractError};
use indicatif::HumanCount;
use jiff::Timestamp;
use producer::cli::{Cli, SinkName};
use producer::generate::{Generator, Kind, Settings, Timeline};
use producer::ledger::Ledger;
use producer::metrics::Publisher;
use producer::pace::{Limit, Pace};
use producer::progress::{Progress, events_per_second};
use producer::put_records::RetryPolicy;
use producer::run::{Plan, Run, Stop};
use producer::sink::{Sink, kinesis::Kinesis, redpanda::Redpanda, stdout::Stdout};
use producer::totals::Totals;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, oneshot};
use tracing_subscriber::EnvFilter;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let timeline = cli.check().and_then(|()| timeline(&cli));
    let timeline = timeline.unwrap_or_else(|rule| {
        Cli::command()
            .error(ErrorKind::ValueValidation, rule)
            .exit()
    });
    match produce(&cli, timeline) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(stderr(), "producer: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn timeline(cli: &Cli) -> Result<Timeline, String> {
    if cli.days() == 0 {
        return Ok(Timeline::Live);
    }
    Timeline::over_days(cli.first_day, cli.days(), cli.events(), Timestamp::now())
        .map_err(|error| error.to_string())
}

/// True when everything that was made was acknowledged.
#[tokio::main]
async fn produce(cli: &Cli, timeline: Timeline) -> Result<bool> {
    let limit = cli
        .duration
        .map_or(Limit::Events(cli.events()), Limit::Duration);
    let mut progress = Progress::new(limit);
    log_through(&progress);
    // Listening starts before anything is sent: a signal must not end the process with records under way.
    let mut stops = stops()?;

    let totals = Arc::new(Totals::default());
    let (sink, publisher) = connect(cli, &totals).await?;
    let ledger = cli.ledger.as_deref().map(Ledger::create).transpose()?;
    let (end, ended) = oneshot::channel();
    let publishing = publisher.map(|publisher| tokio::spawn(publisher.run(ended)));

    let seed = cli.seed.unwrap_or_else(|| rand::random::<u32>().into());
    let settings = Settings {
        seed,
        devices: cli.devices,
        shares: cli.shares(),
    };
    let generator = match &cli.contract {
        None => Generator::new(&settings),
        Some(file) => Generator::of(&settings, &contract(file)?)?,
    };
    let plan = Plan {
        limit,
        timeline,
        pace: Pace::new(cli.rate),
        in_flight: cli.in_flight.into(),
    };
    let result = Run::new(plan, generator, Arc::new(sink), Arc::clone(&totals), ledger)
        .to_end(&mut stops, &mut progress)
        .await;

    progress.finish();
    drop(end);
    if let Some(publishing) = publishing {
        publishing.await.context("publishing metrics")?;
    }
    let elapsed = result?;
    report(cli, seed, &totals, elapsed);
    Ok(totals.acknowledged() == totals.generated())
}

fn contract(file: &Path) -> Result<Contract> {
    let name = file.display().to_string();
    let bytes = std::fs::read(file).map_err(|error| ContractError::unreadable(&name, &error))?;
    Ok(Contract::of_file(&name, &bytes)?)
}

async fn connect(cli: &Cli, totals: &Arc<Totals>) -> Result<(Sink, Option<Publisher>)> {
    let publisher = |config| {
        let publisher = Publisher::new(config, cli.stream_or_topic(), Arc::clone(totals));
        cli.metrics.then_some(publisher)
    };
    match cli.sink {
        SinkName::Stdout => Ok((Sink::Stdout(Stdout::default()), None)),
        SinkName::Kinesis => {
            let policy = RetryPolicy {
                base: Duration::from_millis(50),
                cap: Duration::from_secs(5),
                give_up_after: cli.give_up_after,
            };
            let config = producer::account::load_config().await?;
            let kinesis = Kinesis::connect(&config, &cli.stream, policy).await?;
            Ok((Sink::Kinesis(kinesis), publisher(&config)))
        }
        SinkName::Redpanda => {
            // No AWS is needed where there are no metrics.
            let publisher = if cli.metrics {
                publisher(&producer::account::load_config().await?)
            } else {
                None
            };
            let (brokers, topic) = (&cli.brokers, &cli.topic);
            let (patience, totals) = (cli.give_up_after, Arc::clone(totals));
            let redpanda =
                Redpanda::connect(brokers, topic, &cli.property, patience, totals).await?;
            Ok((Sink::Redpanda(redpanda), publisher))
        }
    }
}

fn log_through(progress: &Progress) {
    let progress = progress.clone();
    tracing_subscriber::fmt()
        .with_env_filter(
            EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("producer=warn")),
        )
        .with_writer(move || progress.clone())
        .with_target(false)
        .without_time()
        .with_ansi(stderr().is_terminal())
        .init();
}

/// The first SIGINT or SIGTERM flushes, the next one abandons.
fn stops() -> Result<mpsc::Receiver<Stop>> {
    let mut interrupts = signal(SignalKind::interrupt()).context("listening to SIGINT")?;
    let mut terminations = signal(SignalKind::terminate()).context("listening to SIGTERM")?;
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        for stop in [Stop::Flush, Stop::Abandon] {
            tokio::select! {
                _ = interrupts.recv() => {}
                _ = terminations.recv() => {}
            }
            if sender.send(stop).await.is_err() {
                return;
            }
        }
    });
    Ok(receiver)
}

fn report(cli: &Cli, seed: u64, totals: &Totals, elapsed: Duration) {
    let count = |kind: Kind| format!("{} {}", kind.name(), HumanCount(totals.generated_of(kind)));
    let kinds: Vec<String> = Kind::ALL.into_iter().map(count).collect();
    let target = match cli.sink {
        SinkName::Kinesis => format!("stream {}", cli.stream),
        SinkName::Redpanda => format!("topic {}", cli.topic),
        SinkName::Stdout => "standard output".to_owned(),
    };
    let (generated, acknowledged) = (totals.generated(), totals.acknowledged());
    let mut lines = vec![
        format!(
            "{} events to {target} in {:.1} s, {} events/s (seed {seed})",
            HumanCount(acknowledged),
            elapsed.as_secs_f64(),
            HumanCount(events_per_second(acknowledged, elapsed)),
        ),
        format!("  made {}: {}", HumanCount(generated), kinds.join(", ")),
        format!(
            "  acknowledged {}, retries {}, failed {}",
            HumanCount(acknowledged),
            HumanCount(totals.retries()),
            HumanCount(totals.failed()),
        ),
    ];
    if let Some(ledger) = &cli.ledger {
        lines.push(format!("  ledger {}", ledger.display()));
    }
    if acknowledged < generated {
        lines.push(format!(
            "producer: {} of {} events were not acknowledged; last error: {}",
            HumanCount(generated - acknowledged),
            HumanCount(generated),
            totals
                .last_error()
                .as_deref()
                .unwrap_or("none, the run was abandoned"),
        ));
    }
    let _ = writeln!(stderr(), "{}", lines.join("\n"));
}
