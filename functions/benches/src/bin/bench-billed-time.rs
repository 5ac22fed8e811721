//! What a warm invocation takes when the lake and CloudWatch answer as late as AWS does: the real handler and the real
//! clients, against a server that waits before it answers.
//!
//! The delays are assumed, not measured: no account was at hand. AWS promises less, "small object latencies of roughly
//! 100–200 milliseconds" (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html>).

#![allow(clippy::print_stdout, reason = "it is a command")]

use std::fmt::Write as _;
use std::time::Duration;

use benches::{SEED, settings, stub};
use events::Contract;
use ingest::config::{Broker, PartialResponses};
use ingest::environment::Environment;
use ingest::handler::Handler;
use ingest::lake::S3;
use ingest::lineage::Roots;
use tokio::time::Instant;

const DELAYS: stub::Delays = stub::Delays {
    read: Duration::from_millis(25),
    put: Duration::from_millis(30),
    metrics: Duration::from_millis(20),
};

const BATCHES: u32 = 60;
const RECORDS: u32 = 5_000;

/// The deployed function has one thread, too.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
        .endpoint_url(stub::serve(DELAYS)?)
        .region(aws_config::Region::new("us-east-1"))
        .credentials_provider(aws_sdk_s3::config::Credentials::new(
            "test", "test", None, None, "test",
        ))
        .http_client(aws_smithy_http_client::Builder::new().build_http())
        .load()
        .await;
    let lake = S3::new(&config, "lake".to_owned());
    let handler = Handler::new(lake, Roots, Contract::ours().clone(), settings(), SEED);
    let metrics = aws_sdk_cloudwatch::Client::new(&config);
    let form = PartialResponses::SequenceNumber;
    let mut environment = Environment::new(handler, Broker::Kinesis, form, Some(metrics));

    let mut times = Vec::new();
    for batch in 0..=BATCHES {
        let event = event(batch * RECORDS);
        let started = Instant::now();
        let deadline = started + Duration::from_mins(1);
        environment.invoke(event.as_bytes(), deadline).await?;
        times.push(started.elapsed());
    }
    // The first has no connections yet.
    times.remove(0);
    times.sort_unstable();
    let stub::Delays { read, put, metrics } = DELAYS;
    let milliseconds = |time: Duration| time.as_secs_f64() * 1000.0;
    println!(
        "warm batches of {RECORDS} records; LIST {}, PUT {}, PutMetricData {} ms\n\
         fastest {:.1} ms, median {:.1} ms; LIST + PUT + max(PUT, PutMetricData) is {} ms",
        milliseconds(read),
        milliseconds(put),
        milliseconds(metrics),
        milliseconds(times[0]),
        milliseconds(times[times.len() / 2]),
        milliseconds(read + put + put.max(metrics)),
    );
    Ok(())
}

/// Records of one minute and one shard, from the `first` on.
fn event(first: u32) -> String {
    let mut records = String::new();
    for n in first..first + RECORDS {
        let payload = format!(
            r#"{{"schema_version":1,"event_id":"0193a5c0-7b1e-7c3a-9f00-{:012x}","device_id":"device-{:05}","device_type":"thermostat","event_time":"2026-11-22T11:59:{:02}.{:03}Z","event_duration":{}.5,"value":{}.25,"firmware":"4.2.1"}}"#,
            u64::from(n) * 2_654_435_761 % (1 << 48),
            n % 3000,
            n % 60,
            n % 1000,
            n % 900,
            n % 40,
        );
        let _ = write!(
            records,
            r#"{}{{"kinesis":{{"kinesisSchemaVersion":"1.0","partitionKey":"device-{:05}","sequenceNumber":"4959033827149025660855969253836157109542157{n:013}","data":"{}","approximateArrivalTimestamp":1795348805.{:03}}},"eventSource":"aws:kinesis","eventVersion":"1.0","eventID":"shardId-000000000000:{n}","eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::000000000000:role/tributary","awsRegion":"us-east-1","eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/s"}}"#,
            if n == first { "" } else { "," },
            n % 3000,
            base64_simd::STANDARD.encode_to_string(payload),
            n % 1000,
        );
    }
    format!(r#"{{"Records":[{records}]}}"#)
}
