//! A Kinesis data stream, by `PutRecords`.
//!
//! Several requests are under way at once, and what a request could not store is sent again: the order of the records
//! of a partition key is not kept. Consumers order by `event_time`.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use aws_config::SdkConfig;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_kinesis::operation::put_records::PutRecordsOutput;
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{PutRecordsRequestEntry, StreamStatus};

use crate::account::endpoint;
use crate::batch::Position;
use crate::generate::{Expected, Record};
use crate::put_records::{Answer, RetryPolicy, decide, is_retryable};
use crate::totals::Totals;

/// A request without an answer for this long counts as failed. Long, because an emulator short of CPU stores all the
/// same what it has not answered in time, and sending it again stores it twice.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A stream that exists and can be written to.
#[derive(Debug)]
pub struct Kinesis {
    client: Client,
    stream: String,
    policy: RetryPolicy,
}

impl Kinesis {
    /// Checks the stream, so that a wrong name or endpoint is told before the first record is made.
    pub async fn connect(config: &SdkConfig, stream: &str, policy: RetryPolicy) -> Result<Self> {
        check_stream(config, stream).await?;
        let timeouts = TimeoutConfig::builder()
            .operation_attempt_timeout(REQUEST_TIMEOUT)
            .build();
        // `decide` retries, record by record; the SDK would retry, uncounted, beneath it.
        let config = aws_sdk_kinesis::config::Builder::from(config)
            .retry_config(RetryConfig::disabled())
            .timeout_config(timeouts)
            .build();
        Ok(Self {
            client: Client::from_conf(config),
            stream: stream.to_owned(),
            policy,
        })
    }

    pub(super) async fn deliver(
        &self,
        batch: Vec<Record>,
        totals: &Totals,
    ) -> Vec<(Expected, Position)> {
        let started = Instant::now();
        let mut acknowledged = Vec::with_capacity(batch.len());
        let mut pending = batch;
        for retry in 0.. {
            let answer = self.put(&pending).await;
            let decision = decide(pending, answer, started.elapsed(), &self.policy);
            acknowledged.extend(
                decision
                    .stored
                    .into_iter()
                    .map(|(record, at)| (record.expected, at)),
            );
            if let Some(error) = &decision.error
                && totals.note_error(error)
            {
                let (retrying, given_up) = (decision.retry.len(), decision.given_up.len());
                tracing::warn!(error, retrying, given_up, "records were not stored");
            }
            totals.count_failed(decision.given_up.len());
            if decision.retry.is_empty() {
                break;
            }
            totals.count_retries(decision.retry.len());
            pending = decision.retry;
            tokio::time::sleep(self.policy.backoff(retry, rand::random())).await;
        }
        acknowledged
    }

    async fn put(&self, records: &[Record]) -> Answer {
        let entry = |record: &Record| {
            PutRecordsRequestEntry::builder()
                .data(Blob::new(&*record.payload))
                .partition_key(&*record.partition_key)
                .build()
                .expect("data and partition key are all that is required")
        };
        let entries = records.iter().map(entry).collect();
        let request = self
            .client
            .put_records()
            .stream_name(&self.stream)
            .set_records(Some(entries));
        match request.send().await {
            Ok(output) => results(output),
            Err(error) => Answer::Failed {
                retryable: can_succeed_later(&error),
                error: describe(&error),
            },
        }
    }
}

fn results(output: PutRecordsOutput) -> Answer {
    let result = |entry: aws_sdk_kinesis::types::PutRecordsResultEntry| match entry {
        aws_sdk_kinesis::types::PutRecordsResultEntry {
            shard_id: Some(shard),
            sequence_number: Some(sequence_number),
            error_code: None,
            ..
        } => Ok(Position {
            shard,
            sequence_number,
        }),
        refused => Err(refused
            .error_code
            .unwrap_or_else(|| "no sequence number".to_owned())),
    };
    Answer::Records(output.records.into_iter().map(result).collect())
}

async fn check_stream(config: &SdkConfig, stream: &str) -> Result<()> {
    let at = endpoint(config);
    let request = Client::new(config)
        .describe_stream_summary()
        .stream_name(stream);
    let summary = match request.send().await {
        Ok(output) => output.stream_description_summary,
        Err(error) => match error.code() {
            Some("ResourceNotFoundException") => bail!("there is no stream {stream} at {at}"),
            // Writing needs no right to describe.
            Some("AccessDeniedException") => return Ok(()),
            _ => bail!(
                "cannot reach the stream {stream} at {at}: {}",
                describe(&error)
            ),
        },
    };
    let status = summary
        .context("DescribeStreamSummary answered without a summary")?
        .stream_status;
    match status {
        StreamStatus::Active | StreamStatus::Updating => Ok(()),
        other => {
            bail!("the stream {stream} at {at} is {other}; it takes records once it is ACTIVE")
        }
    }
}

/// One line: the service's error code and message, or what the transport met.
fn describe<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + std::error::Error + 'static,
{
    match error {
        SdkError::TimeoutError(_) => format!("no answer within {} s", REQUEST_TIMEOUT.as_secs()),
        _ => aws::explain(error),
    }
}

fn can_succeed_later<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    match error {
        SdkError::ConstructionFailure(_) => false,
        SdkError::ServiceError(refusal) => {
            let status = refusal.raw().status().as_u16();
            is_retryable(status, refusal.err().code().unwrap_or_default())
        }
        // No connection, no answer in time, or an answer that cannot be read.
        _ => true,
    }
}
