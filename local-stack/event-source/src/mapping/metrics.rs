//! What Lambda itself publishes about a function and an event source mapping, published here in its place
//! ("Types of metrics for Lambda functions",
//! <https://docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics-types.html>), so that dashboards and alarms live
//! on the local stack too. AWS itself refuses the namespace to anybody else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use events::metrics::Metric;
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval, timeout};

const PERIOD: Duration = Duration::from_secs(5);
const PATIENCE: Duration = Duration::from_secs(5);
/// A datum holds at most so many values
/// (<https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html>).
const MOST_VALUES: usize = 150;

/// An invocation that has ended.
#[derive(Clone, Copy, Debug)]
pub struct Invocation {
    /// Records of the batch.
    pub records: usize,
    /// How many of them were not reported as done.
    pub failed_records: usize,
    /// Whether the function failed as a whole: an error, a crash, a time-out, or no start.
    pub error: bool,
    /// From the delivery of the event to its end.
    pub duration: Duration,
    /// Age of the batch's last record when it was delivered, in milliseconds; Lambda publishes it for Kinesis only.
    pub iterator_age_ms: Option<i64>,
}

/// Gathers values until they are published.
#[derive(Debug)]
pub struct Metrics {
    function: String,
    mapping: String,
    gathered: Mutex<BTreeMap<Metric, Vec<f64>>>,
}

impl Metrics {
    /// For a function, by name, and a mapping, by UUID.
    pub fn new(function: &str, mapping: &str) -> Self {
        Self {
            function: function.to_owned(),
            mapping: mapping.to_owned(),
            gathered: Mutex::default(),
        }
    }

    /// Notes an invocation.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
    pub fn invoked(&self, invocation: &Invocation) {
        self.gather(&[
            (Metric::Invocations, 1.0),
            (Metric::Errors, f64::from(u8::from(invocation.error))),
            (Metric::Duration, invocation.duration.as_secs_f64() * 1000.0),
            (Metric::InvokedEventCount, invocation.records as f64),
            (
                Metric::FailedInvokeEventCount,
                invocation.failed_records as f64,
            ),
            // Lambda publishes these when there is something to count; zeros keep their panels from being empty.
            (Metric::DroppedEventCount, 0.0),
            (Metric::OnFailureDestinationDeliveredEventCount, 0.0),
        ]);
        if let Some(age) = invocation.iterator_age_ms {
            self.gather(&[(Metric::IteratorAge, age as f64)]);
        }
    }

    /// Notes how far a topic's consumers are behind.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
    pub fn offset_lag(&self, lag: i64) {
        self.gather(&[(Metric::OffsetLag, lag as f64)]);
    }

    /// Notes records that were given up, to a destination or not.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
    pub fn given_up(&self, records: usize, delivered: bool) {
        let metric = if delivered {
            Metric::OnFailureDestinationDeliveredEventCount
        } else {
            Metric::DroppedEventCount
        };
        self.gather(&[(metric, records as f64)]);
    }

    fn gather(&self, values: &[(Metric, f64)]) {
        let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
        for (metric, value) in values {
            gathered.entry(*metric).or_default().push(*value);
        }
    }

    /// Everything gathered since the last time, as data for one request.
    fn take(&self) -> Vec<MetricDatum> {
        let gathered = {
            let mut gathered = self.gathered.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *gathered)
        };
        let chunks = gathered.iter().flat_map(|(metric, values)| {
            values
                .chunks(MOST_VALUES)
                .map(|values| self.datum(*metric, values))
        });
        chunks.collect()
    }

    fn datum(&self, metric: Metric, values: &[f64]) -> MetricDatum {
        let definition = metric.definition();
        let dimension = definition.dimensions[0][0];
        let value = match dimension {
            "FunctionName" => &self.function,
            _ => &self.mapping,
        };
        MetricDatum::builder()
            .metric_name(definition.name)
            .unit(StandardUnit::from(definition.unit.name()))
            .dimensions(Dimension::builder().name(dimension).value(value).build())
            .set_values(Some(values.to_vec()))
            .build()
    }

    /// Publishes every few seconds until `stop` turns true, and then once more. A failure is a warning, the first time.
    pub async fn publish(&self, client: Client, mut stop: watch::Receiver<bool>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut warned = false;
        let mut stopped = false;
        while !stopped {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => stopped = true,
                _ = ticks.tick() => {}
            }
            let data = self.take();
            if data.is_empty() {
                continue;
            }
            let namespace = Metric::Invocations.definition().namespace;
            let request = client.put_metric_data().namespace(namespace);
            let error = match timeout(PATIENCE, request.set_metric_data(Some(data)).send()).await {
                Ok(Ok(_)) => continue,
                Ok(Err(error)) => aws::explain(&error),
                Err(_) => "no answer in time".to_owned(),
            };
            if !std::mem::replace(&mut warned, true) {
                tracing::warn!("metrics could not be published: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(metrics: &Metrics) -> Vec<String> {
        let data = metrics.take();
        let lines = data.iter().map(|datum| {
            let dimension = &datum.dimensions()[0];
            format!(
                "{} {}={} {:?} {}",
                datum.metric_name().unwrap_or_default(),
                dimension.name().unwrap_or_default(),
                dimension.value().unwrap_or_default(),
                datum.values(),
                datum.unit().map_or("", StandardUnit::as_str),
            )
        });
        lines.collect()
    }

    #[test]
    fn invocations_are_published_value_by_value_and_once() {
        let metrics = Metrics::new("ingest-kinesis", "uuid");
        let invocation = Invocation {
            records: 10,
            failed_records: 0,
            error: false,
            duration: Duration::from_micros(12_500),
            iterator_age_ms: Some(800),
        };
        metrics.invoked(&invocation);
        metrics.invoked(&Invocation {
            failed_records: 10,
            error: true,
            ..invocation
        });
        metrics.given_up(10, true);
        insta::assert_snapshot!(printed(&metrics).join("\n"), @r"
        Invocations FunctionName=ingest-kinesis [1.0, 1.0] Count
        Errors FunctionName=ingest-kinesis [0.0, 1.0] Count
        Duration FunctionName=ingest-kinesis [12.5, 12.5] Milliseconds
        IteratorAge FunctionName=ingest-kinesis [800.0, 800.0] Milliseconds
        InvokedEventCount EventSourceMappingUUID=uuid [10.0, 10.0] Count
        FailedInvokeEventCount EventSourceMappingUUID=uuid [0.0, 10.0] Count
        DroppedEventCount EventSourceMappingUUID=uuid [0.0, 0.0] Count
        OnFailureDestinationDeliveredEventCount EventSourceMappingUUID=uuid [0.0, 0.0, 10.0] Count
        ");
        assert!(printed(&metrics).is_empty());
    }

    #[test]
    fn no_datum_holds_more_values_than_cloudwatch_takes() {
        let metrics = Metrics::new("f", "uuid");
        for _ in 0..=MOST_VALUES {
            metrics.given_up(1, false);
        }
        let lengths: Vec<_> = metrics
            .take()
            .iter()
            .map(|datum| datum.values().len())
            .collect();
        assert_eq!(lengths, [MOST_VALUES, 1]);
    }
}
