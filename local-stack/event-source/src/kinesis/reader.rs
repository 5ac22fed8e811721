//! Reading a Kinesis stream within its limits, through throttling, expired iterators and restarts of the service.

use std::time::Duration;

use aws_sdk_kinesis::Client;
use aws_sdk_kinesis::error::ProvideErrorMetadata;
use aws_sdk_kinesis::primitives::DateTime;
use aws_sdk_kinesis::types::{Record as KinesisRecord, ShardIteratorType};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};

use super::lineage::ListedShard;
use crate::mapping::position::{Position, Start};

/// Five reads per second and shard (Kinesis quotas): the pace while the reader is behind.
const READ_INTERVAL: Duration = Duration::from_millis(200);
/// "Lambda polls shards in your stream for records at a base rate of once per second" (developer guide, Kinesis): the
/// pace of a reader that has caught up.
const BASE_INTERVAL: Duration = Duration::from_secs(1);
/// Two megabytes per second and shard.
const BYTES_PER_SECOND: f64 = 2.0 * 1024.0 * 1024.0;
const LONGEST_BACK_OFF: Duration = Duration::from_secs(10);

/// The stream cannot be read, and trying again would not help.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct StreamError(String);

/// A stream that was found.
#[derive(Clone, Debug)]
pub struct Stream {
    client: Client,
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// When it was created, milliseconds since the epoch.
    pub created: i64,
}

impl Stream {
    /// Finds the stream.
    pub async fn find(client: Client, name: &str, endpoint: &str) -> Result<Self, StreamError> {
        let answer = client
            .describe_stream_summary()
            .stream_name(name)
            .send()
            .await;
        let summary = answer
            .map_err(|error| {
                StreamError(format!(
                    "stream {name:?} at {endpoint}: {}",
                    aws::explain(&error)
                ))
            })?
            .stream_description_summary
            .ok_or_else(|| StreamError(format!("stream {name:?} at {endpoint}: no description")))?;
        Ok(Self {
            client,
            name: name.to_owned(),
            arn: summary.stream_arn,
            created: summary
                .stream_creation_timestamp
                .to_millis()
                .unwrap_or_default(),
        })
    }

    /// All shards that the stream still has, parents of reshards included.
    pub async fn list_shards(&self) -> Result<Vec<ListedShard>, StreamError> {
        let mut listed = Vec::new();
        let mut token: Option<String> = None;
        loop {
            let request = self.client.list_shards();
            let request = match token {
                Some(token) => request.next_token(token),
                None => request.stream_name(&self.name),
            };
            let answer = request.send().await.map_err(|error| {
                StreamError(format!(
                    "ListShards of {:?}: {}",
                    self.name,
                    aws::explain(&error)
                ))
            })?;
            for shard in answer.shards.unwrap_or_default() {
                let parents = shard
                    .parent_shard_id
                    .into_iter()
                    .chain(shard.adjacent_parent_shard_id);
                listed.push(ListedShard {
                    id: shard.shard_id,
                    parents: parents.collect(),
                });
            }
            token = answer.next_token;
            if token.is_none() {
                return Ok(listed);
            }
        }
    }
}

/// What one read of a shard gave.
#[derive(Debug)]
pub struct Page {
    /// In the shard's order; may be empty.
    pub records: Vec<KinesisRecord>,
    /// How far the read is behind the newest record.
    pub millis_behind_latest: i64,
    /// Whether the shard ended with this page.
    pub end_of_shard: bool,
}

/// Reads one shard from its start to its end.
#[derive(Debug)]
pub struct Reader {
    stream: Stream,
    shard: String,
    start: Start,
    after: Option<Position>,
    iterator: Option<String>,
    not_before: Instant,
    failures: u32,
}

/// Why a read gave no page.
enum ReadError {
    Fatal(StreamError),
    Expired,
    Passing(String),
}

impl Reader {
    /// A reader that begins after `after`, or at `start` where there is no such record.
    pub fn new(stream: Stream, shard: &str, start: Start, after: Option<Position>) -> Self {
        Self {
            stream,
            shard: shard.to_owned(),
            start,
            after,
            iterator: None,
            not_before: Instant::now(),
            failures: 0,
        }
    }

    /// Reads page after page for as long as there is somebody to take them; holds one page ready.
    pub async fn run(mut self, pages: mpsc::Sender<Result<Page, StreamError>>) {
        while let Ok(permit) = pages.reserve().await {
            let page = self.page().await;
            let last = page.as_ref().map_or(true, |page| page.end_of_shard);
            permit.send(page);
            if last {
                return;
            }
        }
    }

    async fn page(&mut self) -> Result<Page, StreamError> {
        loop {
            sleep_until(self.not_before).await;
            let (reason, attempt) = match self.try_page().await {
                Ok(page) => {
                    if self.failures > 1 {
                        tracing::info!(shard = self.shard, "reading again");
                    }
                    self.failures = 0;
                    return Ok(page);
                }
                Err(ReadError::Fatal(error)) => return Err(error),
                Err(ReadError::Expired) => {
                    self.iterator = None;
                    continue;
                }
                Err(ReadError::Passing(reason)) => {
                    self.failures += 1;
                    (reason, self.failures)
                }
            };
            // After a restart of the service an old iterator may be refused in many ways: take a new one.
            self.iterator = None;
            let wait = (READ_INTERVAL * 2_u32.pow(attempt.min(8))).min(LONGEST_BACK_OFF);
            tracing::warn!(
                shard = self.shard,
                attempt,
                next_in_ms = wait.as_millis(),
                "reading failed: {reason}"
            );
            sleep(wait).await;
        }
    }

    async fn try_page(&mut self) -> Result<Page, ReadError> {
        let iterator = match self.iterator.take() {
            Some(iterator) => iterator,
            None => self.new_iterator().await?,
        };
        let began = Instant::now();
        let answer = self
            .stream
            .client
            .get_records()
            .shard_iterator(&iterator)
            .send()
            .await
            .map_err(|error| match error.code() {
                Some("ExpiredIteratorException") => ReadError::Expired,
                _ => ReadError::Passing(aws::explain(&error)),
            })?;
        let records = answer.records;
        if let Some(last) = records.last() {
            let number = Position::parse(&last.sequence_number)
                .map_err(|error| ReadError::Fatal(StreamError(error.to_string())))?;
            self.after = Some(number);
        }
        let bytes: usize = records
            .iter()
            .map(|record| record.data.as_ref().len())
            .sum();
        #[expect(clippy::cast_precision_loss, reason = "a page has at most 10 MB")]
        let paid = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        let millis_behind_latest = answer.millis_behind_latest.unwrap_or_default();
        let pace = if millis_behind_latest > 0 {
            READ_INTERVAL
        } else {
            BASE_INTERVAL
        };
        self.not_before = (began + pace).max(Instant::now() + paid);
        self.iterator = answer.next_shard_iterator;
        Ok(Page {
            records,
            millis_behind_latest,
            end_of_shard: self.iterator.is_none(),
        })
    }

    async fn new_iterator(&self) -> Result<String, ReadError> {
        let request = self
            .stream
            .client
            .get_shard_iterator()
            .stream_name(&self.stream.name)
            .shard_id(&self.shard);
        let request = match (&self.after, self.start) {
            (Some(number), _) => request
                .shard_iterator_type(ShardIteratorType::AfterSequenceNumber)
                .starting_sequence_number(number.as_str()),
            (None, Start::TrimHorizon) => {
                request.shard_iterator_type(ShardIteratorType::TrimHorizon)
            }
            (None, Start::AtTimestamp(millis)) => request
                .shard_iterator_type(ShardIteratorType::AtTimestamp)
                .timestamp(DateTime::from_millis(millis)),
        };
        let answer = request.send().await.map_err(|error| match (error.code(), &self.after) {
            (Some("InvalidArgumentException"), Some(after)) => ReadError::Fatal(StreamError(format!(
                "shard {} of stream {:?} does not know sequence number {after}, its checkpoint: {}",
                self.shard,
                self.stream.name,
                aws::explain(&error)
            ))),
            _ => ReadError::Passing(aws::explain(&error)),
        })?;
        answer.shard_iterator.ok_or_else(|| {
            ReadError::Passing("GetShardIterator answered without an iterator".to_owned())
        })
    }
}
