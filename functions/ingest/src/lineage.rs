//! Which shards a shard came from: after a reshard, a producer may send an event again and reach a child of the shard
//! that has it already.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use aws_sdk_kinesis::Client;

use crate::error::{LineageError, with_causes};

/// The family tree of the shards of a stream.
pub trait Lineage {
    /// The shards from which `shard` came by splits and merges, over all generations that the stream still lists.
    /// A shard leaves the list when its last record has expired, at the earliest a day after it was closed.
    fn ancestors(
        &self,
        stream: &str,
        shard: &str,
    ) -> impl Future<Output = Result<Vec<String>, LineageError>> + Send;
}

/// A stream whose shards have no parents.
#[derive(Clone, Copy, Debug)]
pub struct Roots;

impl Lineage for Roots {
    async fn ancestors(&self, _stream: &str, _shard: &str) -> Result<Vec<String>, LineageError> {
        Ok(Vec::new())
    }
}

/// The tree as Kinesis has it.
#[derive(Clone, Debug)]
pub struct Kinesis {
    client: Client,
}

impl Kinesis {
    /// With the SDK's shared configuration (credentials, region, endpoint, HTTP client).
    pub fn new(config: &aws_config::SdkConfig) -> Self {
        Self {
            client: Client::new(config),
        }
    }
}

impl Lineage for Kinesis {
    async fn ancestors(&self, stream: &str, shard: &str) -> Result<Vec<String>, LineageError> {
        let mut parents = BTreeMap::new();
        let mut next_token = None;
        loop {
            // The stream may be named on the first page only.
            let request = match next_token.take() {
                None => self.client.list_shards().stream_name(stream),
                Some(token) => self.client.list_shards().next_token(token),
            };
            let page = request.send().await.map_err(|error| LineageError {
                stream: stream.to_owned(),
                cause: with_causes(&error),
            })?;
            for shard in page.shards.unwrap_or_default() {
                let of = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
                parents.insert(shard.shard_id, of.into_iter().flatten().collect());
            }
            next_token = page.next_token;
            if next_token.is_none() {
                return Ok(ancestors(shard, &parents));
            }
        }
    }
}

fn ancestors(shard: &str, parents: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut generation = vec![shard.to_owned()];
    while let Some(child) = generation.pop() {
        for parent in parents.get(&child).into_iter().flatten() {
            if parents.contains_key(parent) && found.insert(parent.clone()) {
                generation.push(parent.clone());
            }
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ancestors_are_all_generations_that_are_listed() {
        let tree = [
            // Shard 2 came of 0 and 1, 3 and 4 of 2; 0 came of one that has expired.
            ("0", vec!["expired"]),
            ("1", vec![]),
            ("2", vec!["0", "1"]),
            ("3", vec!["2"]),
            ("4", vec!["2"]),
        ];
        let tree = tree
            .into_iter()
            .map(|(shard, parents)| {
                let parents = parents.into_iter().map(ToOwned::to_owned).collect();
                (shard.to_owned(), parents)
            })
            .collect();
        assert_eq!(ancestors("4", &tree), ["0", "1", "2"]);
        assert_eq!(ancestors("2", &tree), ["0", "1"]);
        assert!(ancestors("0", &tree).is_empty());
    }
}
