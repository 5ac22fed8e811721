//! What a cold start costs: commits objects to a real lake, then lets a new environment rebuild the window of them.
//!
//! `make bench-window` runs it against the local stack. Environment: `TRIBUTARY_BUCKET`, and what every AWS SDK reads.

#![allow(clippy::print_stdout, reason = "it is a command")]

use std::fmt::Write as _;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use benches::{SEED, settings};
use events::Contract;
use ingest::handler::{Handler, Outcome};
use ingest::lake::S3;
use ingest::lineage::Roots;
use tokio::time::Instant;

const OBJECTS: u32 = 200;
const IDS_PER_OBJECT: u32 = 5_000;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let bucket = std::env::var("TRIBUTARY_BUCKET")?;
    let lake = S3::new(&aws::configuration().await, bucket);
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;

    let mut warm = environment(lake.clone());
    let mut warm_times = Vec::new();
    for object in 0..OBJECTS {
        let event = event(now.as_secs(), object * IDS_PER_OBJECT, IDS_PER_OBJECT);
        warm_times.push(deliver(&mut warm, &event).await?.0);
    }
    drop(warm);
    warm_times.sort_unstable();

    let event = event(now.as_secs(), OBJECTS * IDS_PER_OBJECT, 1);
    let before = resident_bytes()?;
    let mut cold = environment(lake);
    let (elapsed, Outcome { counts, .. }) = deliver(&mut cold, &event).await?;
    let grown = resident_bytes()? - before;
    println!(
        "{OBJECTS} objects of {IDS_PER_OBJECT} ids\n\
         warm batch of {IDS_PER_OBJECT} records, median {:>8.1} ms\n\
         cold batch of 1 record           {:>8.1} ms, {} objects read\n\
         resident memory grew by          {:>8.1} MB",
        milliseconds(warm_times[warm_times.len() / 2]),
        milliseconds(elapsed),
        counts.window_reads,
        grown / 1e6,
    );
    Ok(())
}

fn environment(lake: S3) -> Handler<S3, Roots> {
    Handler::new(lake, Roots, Contract::ours().clone(), settings(), SEED)
}

async fn deliver(
    environment: &mut Handler<S3, Roots>,
    event: &str,
) -> anyhow::Result<(Duration, Outcome)> {
    let started = Instant::now();
    let deadline = started + Duration::from_mins(10);
    let batch = pipeline::decode::kinesis(event.as_bytes())?;
    let outcomes = environment.begin(&[batch], deadline).deliver().await;
    let outcome = outcomes.into_iter().next().context("no batch")?;
    match outcome.error {
        Some(error) => Err(error.into()),
        None => Ok((started.elapsed(), outcome)),
    }
}

/// `count` records that arrived at `second`, of a stream that no other run has.
fn event(second: u64, first: u32, count: u32) -> String {
    let mut records = String::new();
    for n in first..first + count {
        let payload = format!(
            r#"{{"schema_version":1,"event_id":"0193a5c0-7b1e-7c3a-9f00-{:012x}","device_id":"d{}","device_type":"t","event_time":"2026-11-22T11:59:00Z","event_duration":1}}"#,
            u64::from(n) * 2_654_435_761 % (1 << 48),
            n % 300
        );
        let _ = write!(
            records,
            r#"{}{{"kinesis":{{"partitionKey":"d","sequenceNumber":"{n}","data":"{}","approximateArrivalTimestamp":{second}.000}},"eventID":"shardId-000000000000:{n}","eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/bench-window-{second}"}}"#,
            if n == first { "" } else { "," },
            base64_simd::STANDARD.encode_to_string(payload),
        );
    }
    format!(r#"{{"Records":[{records}]}}"#)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// Resident set size of this process (proc(5), `/proc/self/statm`, in pages of 4 KiB).
fn resident_bytes() -> anyhow::Result<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).unwrap_or_default();
    Ok(pages.parse::<f64>()? * 4096.0)
}
