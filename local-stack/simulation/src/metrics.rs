//! CloudWatch, which may take its time, and the counts that it is told.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_cloudwatch::types::MetricDatum;
use ingest::publish::Metrics;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::faults::{Kind, Tally};
use super::scenario::Scenario;
use super::trace::Trace;

#[derive(Clone)]
pub(crate) struct CloudWatch {
    rng: Arc<Mutex<ChaCha8Rng>>,
    faults: f64,
    tally: Tally,
    trace: Trace,
}

impl CloudWatch {
    pub(crate) fn new(scenario: &Scenario, seed: u64, tally: Tally, trace: Trace) -> Self {
        Self {
            rng: Arc::new(Mutex::new(ChaCha8Rng::seed_from_u64(!seed))),
            faults: scenario.faults,
            tally,
            trace,
        }
    }

    /// As long as an answer takes, or 2 s without one.
    pub(crate) async fn take_time(&self) {
        let pause = {
            let mut rng = self.rng.lock().expect("not poisoned");
            let slow = rng.random_bool(self.faults);
            rng.random_range(if slow { 400..10_000 } else { 1..30 })
        };
        self.tally.count_if(pause > 1_000, Kind::MetricsSlow);
        tokio::time::sleep(Duration::from_millis(pause)).await;
    }

    /// What was received is accounted for, all of it where nothing failed.
    fn check(&self, data: &[MetricDatum]) {
        let sum = |name: &str| -> f64 {
            let of_name = data
                .iter()
                .filter(|datum| datum.metric_name() == Some(name) && datum.dimensions().len() == 1);
            of_name.filter_map(MetricDatum::value).sum()
        };
        let parts = ["RowsWritten", "DuplicatesDropped", "Filtered", "Rejected"].map(sum);
        let (received, accounted) = (sum("RecordsReceived"), parts.iter().sum::<f64>());
        if accounted > received || accounted < received && sum("BatchFailures") == 0.0 {
            let said = format!(
                "{received} received, and written, duplicates, filtered, rejected: {parts:?}"
            );
            self.trace
                .broken(format!("the counts of an event do not add up: {said}"));
        }
    }
}

impl Metrics for CloudWatch {
    async fn send(&self, data: Vec<MetricDatum>) -> Result<(), String> {
        self.check(&data);
        self.take_time().await;
        Ok(())
    }
}
