//! Invokes the function again with batches that were given up to an S3 on-failure destination.

use std::collections::BTreeSet;
use std::fmt;

use tokio::sync::watch;
use uuid::Uuid;

use super::answer::{self, Answer};
use super::given_up::StoredBatch;
use crate::lambda::environment::{FunctionSettings, InvocationEnd};
use crate::lambda::function::Function;
use crate::mapping::position::Position;

/// `s3://<bucket>/<key>`: an object, or all objects whose keys begin so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Address {
    /// Name of the bucket.
    pub bucket: String,
    /// Key or prefix; may be empty.
    pub key: String,
}

/// The text is not an address.
#[derive(Debug, thiserror::Error)]
#[error("must be s3://<bucket>/<key or prefix>")]
pub struct InvalidAddress;

impl std::str::FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let path = text.strip_prefix("s3://").ok_or(InvalidAddress)?;
        let (bucket, key) = path.split_once('/').unwrap_or((path, ""));
        if bucket.is_empty() {
            return Err(InvalidAddress);
        }
        Ok(Self {
            bucket: bucket.to_owned(),
            key: key.to_owned(),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "s3://{}/{}", self.bucket, self.key)
    }
}

/// When an object's turn comes: as the records were in their shard. The order of the fields is that order.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    shard: String,
    first: Position,
    object: Address,
}

/// What has become of the objects.
#[derive(Debug, Default)]
pub struct Totals {
    /// The function is done with the batch, and the object is removed if that was asked for.
    pub redriven: usize,
    /// The object could not be read, the batch is not done with, or the object could not be removed.
    pub failed: usize,
    /// Not begun, because of a stop or because the function does not start.
    pub not_tried: usize,
    /// Addresses without an object.
    pub not_found: usize,
}

impl Totals {
    /// Whether there was something at every address and all of it is redriven.
    pub fn is_success(&self) -> bool {
        self.failed + self.not_tried + self.not_found == 0
    }
}

/// What is invoked with what.
#[derive(Debug)]
pub struct Redrive {
    function: Function,
    client: aws_sdk_s3::Client,
    remove: bool,
}

impl Redrive {
    /// `remove`: whether to delete an object when the function is done with its batch. The answers are read as those
    /// to a mapping that reads partial ones.
    pub fn new(
        mut settings: FunctionSettings,
        config: &aws_config::SdkConfig,
        remove: bool,
    ) -> Self {
        settings.set_partial_responses(answer::PARTIAL_RESPONSES);
        Self {
            function: Function::new(settings),
            client: aws_sdk_s3::Client::from_conf(aws::s3(config).build()),
            remove,
        }
    }

    /// One invocation per object, one at a time, by shard and position, until `stop` turns true. The outcome of each
    /// object, and then the totals, are logged.
    pub async fn run(&self, addresses: &[Address], stop: &watch::Receiver<bool>) -> Totals {
        let mut totals = Totals::default();
        let objects = self.find(addresses, &mut totals).await;
        let turns = self.order(objects, stop, &mut totals).await;
        let mut starts = true;
        for turn in turns {
            if *stop.borrow() || !starts {
                totals.not_tried += 1;
                continue;
            }
            match self.redrive(&turn.object).await {
                Ok(()) => totals.redriven += 1,
                Err(failure) => {
                    totals.failed += 1;
                    starts = failure != Failure::NotInvoked;
                }
            }
        }
        tracing::info!(
            redriven = totals.redriven,
            failed = totals.failed,
            not_tried = totals.not_tried,
            not_found = totals.not_found,
            "redrive ended"
        );
        totals
    }

    async fn find(&self, addresses: &[Address], totals: &mut Totals) -> BTreeSet<Address> {
        let mut found = BTreeSet::new();
        for address in addresses {
            let reason = match self.list(address).await {
                Ok(objects) if objects.is_empty() => "no object has this key or prefix".to_owned(),
                Ok(objects) => {
                    found.extend(objects);
                    continue;
                }
                Err(reason) => reason,
            };
            tracing::error!("{address}: {reason}");
            totals.not_found += 1;
        }
        found
    }

    /// The object with this very key, or else those with this prefix.
    async fn list(&self, address: &Address) -> Result<Vec<Address>, String> {
        let request = self.client.list_objects_v2();
        let request = request.bucket(&address.bucket).prefix(&address.key);
        let mut pages = request.into_paginator().send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| aws::explain(&error))?;
            for object in page.contents.unwrap_or_default() {
                objects.push(Address {
                    bucket: address.bucket.clone(),
                    key: object.key.unwrap_or_default(),
                });
            }
        }
        if objects.contains(address) {
            return Ok(vec![address.clone()]);
        }
        Ok(objects)
    }

    /// Only the turns are kept: the batches of a long outage would not fit into memory.
    async fn order(
        &self,
        objects: BTreeSet<Address>,
        stop: &watch::Receiver<bool>,
        totals: &mut Totals,
    ) -> Vec<Turn> {
        let mut turns = Vec::with_capacity(objects.len());
        for object in objects {
            if *stop.borrow() {
                totals.not_tried += 1;
                continue;
            }
            match self.read(&object).await {
                Ok(StoredBatch { shard, first, .. }) => turns.push(Turn {
                    shard,
                    first,
                    object,
                }),
                Err(reason) => {
                    tracing::error!("{object}: {reason}");
                    totals.failed += 1;
                }
            }
        }
        turns.sort();
        turns
    }

    async fn read(&self, object: &Address) -> Result<StoredBatch, String> {
        let request = self.client.get_object();
        let request = request.bucket(&object.bucket).key(&object.key);
        let answer = request.send().await.map_err(|error| aws::explain(&error))?;
        let body = answer.body.collect().await;
        let body = body.map_err(|error| error.to_string())?.into_bytes();
        StoredBatch::read(&body).map_err(|error| error.to_string())
    }

    async fn redrive(&self, object: &Address) -> Result<(), Failure> {
        let mut batch = self.read(object).await.map_err(|reason| {
            tracing::error!("{object}: {reason}");
            Failure::Other
        })?;
        let request_id = Uuid::new_v4();
        let payload = std::mem::take(&mut batch.payload).into_bytes();
        let end = self.function.invoke(request_id, payload).await;
        let invoked = !matches!(end, InvocationEnd::NotInvoked(_));
        let outcome = match done(end, &batch.positions) {
            Ok(()) if self.remove => self.delete(object).await,
            outcome => outcome,
        };
        let (shard, first, last) = (&batch.shard, &batch.first, &batch.last);
        let records = batch.positions.len();
        match outcome {
            Ok(()) => {
                let removed = self.remove;
                tracing::info!(shard, %first, %last, records, removed, %request_id, "{object}: redriven");
                Ok(())
            }
            Err(reason) => {
                tracing::error!(shard, %first, %last, records, %request_id, "{object}: {reason}");
                Err(if invoked {
                    Failure::Other
                } else {
                    Failure::NotInvoked
                })
            }
        }
    }

    async fn delete(&self, object: &Address) -> Result<(), String> {
        let request = self.client.delete_object();
        let request = request.bucket(&object.bucket).key(&object.key);
        let answer = request.send().await;
        answer.map_err(|error| format!("redriven, but not removed: {}", aws::explain(&error)))?;
        Ok(())
    }
}

#[derive(PartialEq, Eq)]
enum Failure {
    /// The function does not start; it would not for the next batch either.
    NotInvoked,
    Other,
}

/// The error says what is not done of a batch.
fn done(end: InvocationEnd, positions: &[Position]) -> Result<(), String> {
    let answer = match end {
        InvocationEnd::Answered(body) => answer::read(&body, true, positions),
        InvocationEnd::Failed(reason) => Answer::Failed(reason.into()),
        InvocationEnd::NotInvoked(reason) => return Err(format!("not invoked: {reason}")),
    };
    match answer {
        Answer::Success => Ok(()),
        Answer::Partial(position) => Err(format!("partly done: handed back from {position} on")),
        Answer::Failed(reason) => Err(format!("failed: {reason}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(shard: &str, first: u64, key: &str) -> Turn {
        Turn {
            shard: shard.to_owned(),
            first: Position::from(first),
            object: Address {
                bucket: "failed".to_owned(),
                key: key.to_owned(),
            },
        }
    }

    #[test]
    fn batches_come_by_shard_and_then_by_the_value_of_their_position_not_by_key() {
        let mut turns = [
            turn("shardId-000000000001", 1, "a"),
            turn("shardId-000000000000", 10, "b"),
            turn("shardId-000000000000", 9, "c"),
        ];
        turns.sort();
        assert_eq!(turns.map(|turn| turn.object.key), ["c", "b", "a"]);
    }

    #[test]
    fn an_address_is_a_bucket_and_a_key_or_a_prefix() {
        let table = [
            ("s3://failed/aws/lambda/", Some(("failed", "aws/lambda/"))),
            ("s3://failed/", Some(("failed", ""))),
            ("s3://failed", Some(("failed", ""))),
            ("s3:///aws", None),
            ("failed/aws", None),
            ("arn:aws:s3:::failed", None),
            ("", None),
        ];
        for (text, expected) in table {
            let address = text.parse::<Address>().ok();
            let parts = address
                .as_ref()
                .map(|address| (&*address.bucket, &*address.key));
            assert_eq!(parts, expected, "{text}");
        }
    }
}
