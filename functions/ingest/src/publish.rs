//! Metrics to CloudWatch: one `PutMetricData` an invocation, after the commit, while rollups are made.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::builders::MetricDatumBuilder;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use events::metrics::{Metric, NAMESPACE};
use tokio::time::Instant;

use crate::counts::BatchCounts;

/// Longer is not worth holding up the next batch.
const PATIENCE: Duration = Duration::from_secs(2);

/// What only the invocation's edge knows.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Whether this is the environment's first invocation.
    pub cold_start: bool,
    /// From the start of the invocation until its rows are committed.
    pub duration: Duration,
    /// The time of publishing.
    pub now: SystemTime,
}

/// One request holds at most so many data
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html>).
pub const MOST_DATA: usize = 1000;

/// Where metrics go.
pub trait Metrics {
    /// Sends at most [`MOST_DATA`] of them; an error says why they were not taken.
    fn send(&self, data: Vec<MetricDatum>) -> impl Future<Output = Result<(), String>> + Send;
}

impl Metrics for Client {
    async fn send(&self, data: Vec<MetricDatum>) -> Result<(), String> {
        let request = self.put_metric_data().namespace(NAMESPACE);
        let sent = request.set_metric_data(Some(data)).send().await;
        sent.map(|_| ()).map_err(|error| aws::explain(&error))
    }
}

/// Publishes an invocation's counts, by stream, over all partitions of a Kafka event. It takes 2 s at most and ends by
/// `until`, the answer's time: metrics are worth no redelivery. A failure is a warning, never a failed batch.
pub async fn publish(
    metrics: Option<&impl Metrics>,
    counts: &[BatchCounts],
    circumstances: Circumstances,
    until: Instant,
) {
    // An empty batch belongs to no stream.
    let counts = counts.iter().filter(|counts| counts.received > 0);
    let counts: Vec<&BatchCounts> = counts.collect();
    send(metrics, &data(&counts, circumstances), until).await;
}

/// Publishes that batches of `streams` failed after their counts were published.
pub async fn publish_failures(
    metrics: Option<&impl Metrics>,
    streams: &BTreeSet<&str>,
    now: SystemTime,
    until: Instant,
) {
    let failures = streams.iter().map(|stream| {
        let failures = datum(stream, Metric::BatchFailures, 1.0, None);
        failures.timestamp(now.into()).build()
    });
    send(metrics, &failures.collect::<Vec<_>>(), until).await;
}

async fn send(metrics: Option<&impl Metrics>, data: &[MetricDatum], until: Instant) {
    let Some(metrics) = metrics else { return };
    let until = until.min(Instant::now() + PATIENCE);
    for data in data.chunks(MOST_DATA) {
        let failure = if Instant::now() >= until {
            Err("no time is left before the deadline".to_owned())
        } else {
            let sent = tokio::time::timeout_at(until, metrics.send(data.to_vec())).await;
            sent.unwrap_or_else(|_| Err("no answer in time".to_owned()))
        };
        if let Err(error) = failure {
            tracing::warn!(error, "metrics_not_published");
        }
    }
}

fn datum(
    stream: &str,
    metric: Metric,
    value: f64,
    second: Option<(&str, &str)>,
) -> MetricDatumBuilder {
    let dimension = |name, value| Dimension::builder().name(name).value(value).build();
    let second = second.map(|(name, value)| dimension(name, value));
    let dimensions = std::iter::once(dimension("Stream", stream)).chain(second);
    MetricDatum::builder()
        .metric_name(metric.name())
        .unit(StandardUnit::from(metric.unit().name()))
        .set_dimensions(Some(dimensions.collect()))
        .value(value)
}

#[expect(clippy::cast_precision_loss, reason = "CloudWatch values are doubles")]
fn data(counts: &[&BatchCounts], circumstances: Circumstances) -> Vec<MetricDatum> {
    let Circumstances {
        cold_start,
        duration,
        now,
    } = circumstances;
    let datum = |stream: &str, metric, value, second| {
        let datum = datum(stream, metric, value, second);
        datum.timestamp(now.into()).build()
    };
    let mut data = Vec::new();
    for of_stream in BatchCounts::by_stream(counts) {
        let numbers = [
            (Metric::RecordsReceived, of_stream.received),
            (Metric::BytesReceived, of_stream.bytes_received),
            (Metric::RowsWritten, of_stream.written),
            (Metric::ObjectsWritten, of_stream.objects),
            (Metric::BytesWritten, of_stream.bytes_written),
            (Metric::DuplicatesDropped, of_stream.duplicates),
            (Metric::Filtered, of_stream.filtered),
            (Metric::Rejected, of_stream.rejected_total()),
            (Metric::LateEvents, of_stream.late),
            (Metric::BatchFailures, u64::from(of_stream.failed)),
            (Metric::Redeliveries, u64::from(of_stream.is_redelivery())),
            (Metric::CommitConflicts, of_stream.conflicts),
            (Metric::ColdStarts, u64::from(cold_start)),
        ];
        let stream = &of_stream.stream;
        data.extend(
            numbers
                .iter()
                .map(|(metric, count)| datum(stream, *metric, *count as f64, None)),
        );
        let milliseconds = duration.as_secs_f64() * 1000.0;
        data.push(datum(stream, Metric::BatchDuration, milliseconds, None));
        data.extend(of_stream.rejected.iter().map(|(reason, count)| {
            let reason = Some(("Reason", *reason));
            datum(stream, Metric::Rejected, *count as f64, reason)
        }));
    }
    let now_ms = now
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    data.extend(counts.iter().filter_map(|of_shard| {
        let lag_ms = (now_ms as f64 - of_shard.last_arrival_ms? as f64).max(0.0);
        let shard = Some(("Shard", of_shard.shard.as_str()));
        Some(datum(&of_shard.stream, Metric::Lag, lag_ms, shard))
    }));
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(counts: &[&BatchCounts]) -> Vec<String> {
        let circumstances = Circumstances {
            cold_start: true,
            duration: Duration::from_micros(12_500),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1003),
        };
        data(counts, circumstances)
            .iter()
            .map(|datum| {
                let dimensions: Vec<_> = datum
                    .dimensions()
                    .iter()
                    .filter_map(|dimension| dimension.value())
                    .collect();
                let unit = datum.unit().map_or("", StandardUnit::as_str);
                let name = datum.metric_name().unwrap_or_default();
                format!(
                    "{name} {} {unit} {}",
                    datum.value().unwrap_or_default(),
                    dimensions.join("+")
                )
            })
            .collect()
    }

    #[test]
    fn every_invocation_says_what_became_of_its_records() {
        let report = BatchCounts {
            stream: "orders".into(),
            shard: "shardId-000000000001".into(),
            received: 10,
            written: 6,
            duplicates: 1,
            filtered: 1,
            rejected: [("invalid_json", 2)].into(),
            last_arrival_ms: Some(1_000_000),
            ..BatchCounts::default()
        };
        insta::assert_snapshot!(lines(&[&report]).join("\n"), @r"
        RecordsReceived 10 Count orders
        BytesReceived 0 Bytes orders
        RowsWritten 6 Count orders
        ObjectsWritten 0 Count orders
        BytesWritten 0 Bytes orders
        DuplicatesDropped 1 Count orders
        Filtered 1 Count orders
        Rejected 2 Count orders
        LateEvents 0 Count orders
        BatchFailures 0 Count orders
        Redeliveries 0 Count orders
        CommitConflicts 0 Count orders
        ColdStarts 1 Count orders
        BatchDuration 12.5 Milliseconds orders
        Rejected 2 Count orders+invalid_json
        Lag 3000 Milliseconds orders+shardId-000000000001
        ");
    }
    #[test]
    fn the_partitions_of_an_event_are_one_invocation_with_a_lag_each() {
        let partition = |shard: &str, written, last_arrival_ms| BatchCounts {
            stream: "orders".into(),
            shard: shard.into(),
            received: 2,
            written,
            duplicates: 2 - written,
            rejected: [("invalid_json", 1)].into(),
            last_arrival_ms,
            failed: last_arrival_ms.is_none(),
            ..BatchCounts::default()
        };
        let (one, other) = (partition("0", 0, Some(1_000_000)), partition("1", 2, None));
        let lines = lines(&[&one, &other]);
        let of = |name: &str| -> Vec<&String> {
            lines.iter().filter(|line| line.starts_with(name)).collect()
        };
        assert_eq!(of("RecordsReceived"), ["RecordsReceived 4 Count orders"]);
        assert_eq!(of("RowsWritten"), ["RowsWritten 2 Count orders"]);
        // One of two partitions found its rows committed: that is no redelivery of the event.
        assert_eq!(of("Redeliveries"), ["Redeliveries 0 Count orders"]);
        assert_eq!(of("BatchFailures"), ["BatchFailures 1 Count orders"]);
        assert_eq!(of("ColdStarts"), ["ColdStarts 1 Count orders"]);
        assert_eq!(of("BatchDuration").len(), 1);
        assert_eq!(of("Rejected").len(), 2);
        assert_eq!(of("Lag"), ["Lag 3000 Milliseconds orders+0"]);
    }
}
