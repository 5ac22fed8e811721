//! Counts for `CloudWatch`: namespace `Tributary`, dimension `Stream`.

use std::sync::Arc;
use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use events::metrics::{Metric, NAMESPACE};
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::totals::Totals;

const PERIOD: Duration = Duration::from_secs(10);
/// The end of a run does not wait longer than this for `CloudWatch`.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Publishes what [`Totals`] gained, every 10 s and once at the end.
#[derive(Debug)]
pub struct Publisher {
    client: Client,
    stream: String,
    totals: Arc<Totals>,
    published: Counts,
    warned: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    produced: u64,
    retries: u64,
    failures: u64,
}

impl Counts {
    fn of(totals: &Totals) -> Self {
        Self {
            produced: totals.acknowledged(),
            retries: totals.retries(),
            failures: totals.failed(),
        }
    }

    fn since(self, earlier: Self) -> [(Metric, u64); 3] {
        [
            (Metric::EventsProduced, self.produced - earlier.produced),
            (Metric::PutRetries, self.retries - earlier.retries),
            (Metric::PutFailures, self.failures - earlier.failures),
        ]
    }
}

impl Publisher {
    /// A publisher that has published nothing.
    pub fn new(config: &SdkConfig, stream: &str, totals: Arc<Totals>) -> Self {
        Self {
            client: Client::new(config),
            stream: stream.to_owned(),
            totals,
            published: Counts::default(),
            warned: false,
        }
    }

    /// Publishes until `end` is sent or dropped, and then once more.
    pub async fn run(mut self, mut end: oneshot::Receiver<()>) {
        let mut ticks = interval(PERIOD);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks.tick().await; // the first tick is at once
        loop {
            tokio::select! {
                _ = &mut end => break,
                _ = ticks.tick() => self.publish().await,
            }
        }
        self.publish().await;
    }

    /// What cannot be published now is part of the next publication.
    async fn publish(&mut self) {
        let counts = Counts::of(&self.totals);
        let dimension = Dimension::builder()
            .name("Stream")
            .value(&self.stream)
            .build();
        let data = counts.since(self.published).map(|(metric, count)| {
            #[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
            let value = count as f64;
            MetricDatum::builder()
                .metric_name(metric.name())
                .value(value)
                .unit(StandardUnit::from(metric.unit().name()))
                .dimensions(dimension.clone())
                .build()
        });
        let request = self.client.put_metric_data().namespace(NAMESPACE);
        let request = request.set_metric_data(Some(data.to_vec())).send();
        let error = match timeout(TIMEOUT, request).await {
            Ok(Ok(_)) => {
                self.published = counts;
                return;
            }
            Ok(Err(error)) => aws::explain(&error),
            Err(_) => format!("no answer within {} s", TIMEOUT.as_secs()),
        };
        if !std::mem::replace(&mut self.warned, true) {
            tracing::warn!(error, "metrics could not be published");
        }
    }
}
