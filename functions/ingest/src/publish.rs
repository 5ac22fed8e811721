//! Metrics to CloudWatch: one `PutMetricData` an invocation, after the commit.

use std::time::{Duration, SystemTime};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use events::metrics::{Metric, NAMESPACE};

use crate::error::with_causes;
use crate::report::Report;

/// Longer is not worth holding up the next batch.
const PATIENCE: Duration = Duration::from_secs(2);

/// What only the invocation's edge knows.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Whether this is the environment's first invocation.
    pub cold_start: bool,
    /// From the start of the invocation to its answer.
    pub duration: Duration,
    /// The time of publishing.
    pub now: SystemTime,
}

/// Publishes an invocation's counts. A failure is a warning, never a failed batch.
pub async fn publish(client: &Client, report: &Report, circumstances: Circumstances) {
    let request = client
        .put_metric_data()
        .namespace(NAMESPACE)
        .set_metric_data(Some(data(report, circumstances)));
    match tokio::time::timeout(PATIENCE, request.send()).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::warn!(error = with_causes(&error), "metrics_not_published");
        }
        Err(_) => tracing::warn!(error = "no answer in time", "metrics_not_published"),
    }
}

#[expect(clippy::cast_precision_loss, reason = "CloudWatch values are doubles")]
fn data(report: &Report, circumstances: Circumstances) -> Vec<MetricDatum> {
    let Circumstances {
        cold_start,
        duration,
        now,
    } = circumstances;
    let stream = || {
        Dimension::builder()
            .name("Stream")
            .value(&report.stream)
            .build()
    };
    let datum = |metric: Metric, value: f64, second: Option<(&str, &str)>| {
        let second =
            second.map(|(name, value)| Dimension::builder().name(name).value(value).build());
        MetricDatum::builder()
            .metric_name(metric.name())
            .unit(StandardUnit::from(metric.unit().name()))
            .timestamp(now.into())
            .set_dimensions(Some(std::iter::once(stream()).chain(second).collect()))
            .value(value)
            .build()
    };
    let counts = [
        (Metric::RecordsReceived, report.received),
        (Metric::BytesReceived, report.bytes_received),
        (Metric::RowsWritten, report.written),
        (Metric::ObjectsWritten, report.objects),
        (Metric::BytesWritten, report.bytes_written),
        (Metric::DuplicatesDropped, report.duplicates),
        (Metric::Filtered, report.filtered),
        (Metric::Rejected, report.rejected_total()),
        (Metric::LateEvents, report.late),
        (Metric::BatchFailures, u64::from(report.failed)),
        (Metric::Redeliveries, u64::from(report.is_redelivery())),
        (Metric::CommitConflicts, report.conflicts),
        (Metric::ColdStarts, u64::from(cold_start)),
    ];
    let mut data: Vec<_> = counts
        .iter()
        .map(|(metric, count)| datum(*metric, *count as f64, None))
        .collect();
    data.push(datum(
        Metric::BatchDuration,
        duration.as_secs_f64() * 1000.0,
        None,
    ));
    for (reason, count) in &report.rejected {
        data.push(datum(
            Metric::Rejected,
            *count as f64,
            Some(("Reason", reason)),
        ));
    }
    if let Some(arrival_ms) = report.last_arrival_ms {
        let now_ms = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_millis();
        let lag_ms = (now_ms as f64 - arrival_ms as f64).max(0.0);
        data.push(datum(Metric::Lag, lag_ms, Some(("Shard", &report.shard))));
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_invocation_says_what_became_of_its_records() {
        let report = Report {
            stream: "orders".into(),
            shard: "shardId-000000000001".into(),
            received: 10,
            written: 6,
            duplicates: 1,
            filtered: 1,
            rejected: [("invalid_json", 2)].into(),
            last_arrival_ms: Some(1_000_000),
            ..Report::default()
        };
        let circumstances = Circumstances {
            cold_start: true,
            duration: Duration::from_micros(12_500),
            now: SystemTime::UNIX_EPOCH + Duration::from_secs(1003),
        };
        let lines: Vec<_> = data(&report, circumstances)
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
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
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
}
