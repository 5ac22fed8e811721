//! A lane's batches at work, whatever the broker is: invoking the function, handing over what was given up, and coming
//! to an end.

use std::sync::Arc;
use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout};
use uuid::Uuid;

use super::answer::{Answer, Outcome};
use super::checkpoint::CheckpointStore;
use super::given_up::{BatchInfo, Condition, GivenUp};
use super::lane::Batch;
use super::metrics::{Invocation, Metrics};
use super::on_failure::OnFailure;
use super::parameters::Mapping;
use super::position::Millis;
use super::time::now;
use crate::lambda::environment::{FunctionSettings, InvocationEnd};
use crate::lambda::function::Function;

pub(crate) const SAVE_INTERVAL: Duration = Duration::from_millis(250);
/// Invocations in flight may end within this after a stop was asked for.
const STOP_BOUND: Duration = Duration::from_secs(15);

/// What an event source has for either broker.
#[derive(Debug)]
pub struct Delivery {
    /// The checked parameters.
    pub(crate) mapping: Mapping,
    /// What is invoked.
    pub(crate) function: Function,
    /// Where batches go that were given up; without one they are discarded, with an error in the log.
    pub(crate) on_failure: Option<OnFailure>,
    /// What Lambda would publish.
    pub(crate) metrics: Metrics,
    /// What outlives a restart.
    pub(crate) checkpoints: CheckpointStore,
}

/// What a delivery must know of the records that it carries.
pub(crate) trait Source {
    type Record;
    type Partial;

    /// The shard or the topic, for the log.
    fn of(&self) -> &str;

    /// The event with these records.
    fn payload(&self, records: &[Self::Record]) -> Vec<u8>;

    /// The meaning of an answer for a batch of these records.
    fn read(&self, body: &[u8], records: &[Self::Record]) -> Answer<Self::Partial>;

    fn is_left(&self, partial: &Self::Partial, record: &Self::Record) -> bool;

    /// Where what a partial answer leaves begins, for the log.
    fn first_left(partial: &Self::Partial) -> String;

    /// Where a record is, for the log.
    fn place(record: &Self::Record) -> String;

    /// Age of the batch's last record at `now`, where Lambda publishes it.
    fn iterator_age(records: &[Self::Record], now: Millis) -> Option<Millis>;

    fn batch_info<'a>(
        &'a self,
        records: &'a [Self::Record],
        payload_bytes: usize,
    ) -> impl BatchInfo + Sync;
}

impl Delivery {
    /// A function behind a mapping. `form`: that of the broker's partial answers, which the function is told to give if,
    /// and only if, the mapping reads them.
    pub fn new(
        mapping: Mapping,
        mut settings: FunctionSettings,
        form: &str,
        on_failure: Option<OnFailure>,
        checkpoints: CheckpointStore,
    ) -> Self {
        settings.set_partial_responses(if mapping.report_batch_item_failures {
            form
        } else {
            "off"
        });
        Self {
            mapping,
            metrics: Metrics::new(&settings.name, &checkpoints.current().uuid.to_string()),
            function: Function::new(settings),
            on_failure,
            checkpoints,
        }
    }

    /// Invokes the function with a batch. Returns the request's id besides how it ended.
    pub(crate) async fn invoke<S: Source>(
        &self,
        source: &S,
        batch: &Batch<S::Record>,
    ) -> (Uuid, Outcome<S::Partial>) {
        let request_id = Uuid::new_v4();
        let records = batch.records();
        let iterator_age_ms = S::iterator_age(records, now());
        let started = Instant::now();
        let payload = source.payload(records);
        let outcome = match self.function.invoke(request_id, payload).await {
            InvocationEnd::Answered(body) => Outcome::Answered(source.read(&body, records)),
            InvocationEnd::Failed(reason) => Outcome::Answered(Answer::Failed(reason.into())),
            InvocationEnd::NotInvoked(_) => Outcome::NotInvoked,
        };
        log(source, request_id, batch, &outcome);
        let is_left = |partial: &S::Partial, record: &S::Record| source.is_left(partial, record);
        self.metrics.invoked(&Invocation {
            records: records.len(),
            failed_records: outcome.failed_records(records, is_left),
            error: !matches!(
                outcome,
                Outcome::Answered(Answer::Success | Answer::Partial(_))
            ),
            duration: started.elapsed(),
            iterator_age_ms,
        });
        (request_id, outcome)
    }

    /// Hands a batch over that was given up. `request_id`: of its last invocation.
    pub(crate) async fn give_up<S: Source>(
        &self,
        source: &S,
        batch: &Batch<S::Record>,
        condition: Condition,
        request_id: Option<Uuid>,
    ) {
        let records = batch.records();
        let has_destination = self.on_failure.is_some();
        tracing::error!(
            of = source.of(),
            records = records.len(),
            first = S::place(&records[0]),
            last = S::place(&records[records.len() - 1]),
            %condition,
            destination = has_destination,
            "records given up"
        );
        self.metrics.given_up(records.len(), has_destination);
        if let Some(on_failure) = &self.on_failure {
            let payload = source.payload(records);
            let given_up = GivenUp {
                request_id: request_id.unwrap_or_else(Uuid::new_v4),
                function_arn: &self.function.arn(),
                batch: source.batch_info(records, payload.len()),
                condition,
                invocations: batch.invocations(),
                at: now(),
            };
            let event = String::from_utf8_lossy(&payload);
            on_failure.deliver(&given_up, &event).await;
        }
    }

    /// Publishes metrics, where there is a client, until the event source ends.
    pub(crate) fn publish(self: &Arc<Self>, client: Option<Client>) -> Publishing {
        let (ended, end) = watch::channel(false);
        let task = client.map(|client| {
            let delivery = Arc::clone(self);
            tokio::spawn(async move { delivery.metrics.publish(client, end).await })
        });
        Publishing { ended, task }
    }

    /// Ends the tasks of an event source: those of one that failed at once, others when what they have in flight has
    /// ended.
    pub(crate) async fn end<T: 'static>(
        &self,
        mut tasks: JoinSet<T>,
        failure: Option<anyhow::Error>,
        publishing: Publishing,
    ) -> anyhow::Result<()> {
        self.function.start_no_more();
        if failure.is_none() {
            let drained = async { while tasks.join_next().await.is_some() {} };
            if timeout(STOP_BOUND, drained).await.is_err() {
                tracing::warn!(
                    "invocations in flight were abandoned; their records will be delivered again"
                );
            }
        }
        tasks.shutdown().await;
        self.function.stop();
        self.checkpoints.save()?;
        publishing.ended.send_replace(true);
        if let Some(task) = publishing.task {
            task.await?;
        }
        failure.map_or(Ok(()), Err)
    }
}

/// The task that publishes metrics, if there is one.
pub(crate) struct Publishing {
    ended: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

fn log<S: Source>(
    source: &S,
    request_id: Uuid,
    batch: &Batch<S::Record>,
    outcome: &Outcome<S::Partial>,
) {
    let (of, records) = (source.of(), batch.records().len());
    let invocations = batch.invocations() + 1;
    match outcome {
        Outcome::Answered(Answer::Success) => tracing::debug!(of, %request_id, records, "done"),
        Outcome::Answered(Answer::Failed(reason)) => {
            tracing::warn!(of, %request_id, records, invocations, "invocation failed: {reason}");
        }
        Outcome::Answered(Answer::Partial(partial)) => {
            let from = S::first_left(partial);
            tracing::warn!(of, %request_id, records, invocations, from, "partly done");
        }
        // The function said why when it failed to start.
        Outcome::NotInvoked => tracing::debug!(of, %request_id, records, "not invoked"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::checkpoint::StateDirectory;
    use super::super::parameters::Parameters;
    use super::*;
    use crate::lambda::environment::{FunctionLog, PARTIAL_RESPONSES};

    #[test]
    fn a_function_is_told_to_answer_in_part_only_by_a_mapping_that_reads_partial_answers() {
        for form in [
            crate::kinesis::answer::PARTIAL_RESPONSES,
            crate::kafka::answer::PARTIAL_RESPONSES,
        ] {
            for (report_batch_item_failures, told) in [(true, form), (false, "off")] {
                let directory = tempfile::tempdir().expect("directory");
                let state = StateDirectory::lock(directory.path()).expect("free");
                let settings = FunctionSettings {
                    artifact: "bootstrap".into(),
                    name: "f".to_owned(),
                    memory_mb: 512,
                    timeout: Duration::from_secs(1),
                    region: "us-east-1".to_owned(),
                    account: "000000000000".to_owned(),
                    // What somebody says on the command line does not part the two.
                    variables: vec![(PARTIAL_RESPONSES.to_owned(), "other".to_owned())],
                    log: FunctionLog::open(&directory.path().join("log")).expect("log"),
                    reaper: None,
                };
                let mapping = Mapping::try_from(&Parameters {
                    report_batch_item_failures,
                    ..Parameters::default()
                });
                let delivery = Delivery::new(
                    mapping.expect("valid"),
                    settings,
                    form,
                    None,
                    state.load("s", 0).expect("fresh"),
                );
                let variables = &delivery.function.settings().variables;
                assert_eq!(
                    *variables,
                    [(PARTIAL_RESPONSES.to_owned(), told.to_owned())]
                );
            }
        }
    }
}
