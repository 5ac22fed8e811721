//! Which shards a shard came from, and which came from it: after a reshard, a producer may send an event again and
//! reach a child of the shard that has it already.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;

use aws_sdk_kinesis::Client;

use crate::error::LineageError;

/// The relatives of a shard, over all generations that the stream still lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Relatives {
    /// The shards from which it came by splits and merges. Lambda delivers all of them first. One that the stream lists
    /// no more (its last record has expired) is among them while a listed shard names it as its parent, and ends its
    /// line: a late delivery of that child still has to leave out what it holds.
    pub ancestors: Vec<String>,
    /// The shards that came from it. They have rows before it has where a mapping started behind a reshard, and a second
    /// one makes up for what came before.
    pub descendants: Vec<String>,
}

/// The family tree of the shards of a stream.
pub trait Lineage {
    /// The relatives of `shard`.
    fn relatives(
        &self,
        stream: &str,
        shard: &str,
    ) -> impl Future<Output = Result<Relatives, LineageError>> + Send;
}

/// A stream whose shards have no parents.
#[derive(Clone, Copy, Debug)]
pub struct Roots;

impl Lineage for Roots {
    async fn relatives(&self, _stream: &str, _shard: &str) -> Result<Relatives, LineageError> {
        Ok(Relatives::default())
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
    async fn relatives(&self, stream: &str, shard: &str) -> Result<Relatives, LineageError> {
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
                cause: aws::explain(&error),
            })?;
            for shard in page.shards.unwrap_or_default() {
                let of = [shard.parent_shard_id, shard.adjacent_parent_shard_id];
                parents.insert(shard.shard_id, of.into_iter().flatten().collect());
            }
            next_token = page.next_token;
            if next_token.is_none() {
                return Ok(relatives(shard, &parents));
            }
        }
    }
}

/// The relatives of a shard, by the parents that each listed shard names.
pub fn relatives(shard: &str, parents: &BTreeMap<String, Vec<String>>) -> Relatives {
    let ancestors = generations(shard, |child| {
        parents.get(child).into_iter().flatten().collect()
    });
    let descendants = generations(shard, |parent| {
        let children = parents
            .iter()
            .filter(|(_, of)| of.iter().any(|of| of == parent));
        children.map(|(child, _)| child).collect()
    });
    Relatives {
        ancestors,
        descendants,
    }
}

/// All that is reached from `shard`, without itself.
fn generations<'t>(shard: &str, next: impl Fn(&str) -> Vec<&'t String>) -> Vec<String> {
    let mut found = BTreeSet::new();
    let mut generation = vec![shard];
    while let Some(one) = generation.pop() {
        for relative in next(one) {
            if found.insert(relative.as_str()) {
                generation.push(relative);
            }
        }
    }
    found.into_iter().map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relatives_are_all_generations_and_the_parents_that_have_left_the_list() {
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
        let of = |shard| {
            let Relatives {
                ancestors,
                descendants,
            } = relatives(shard, &tree);
            (ancestors.join(" "), descendants.join(" "))
        };
        assert_eq!(of("4"), ("0 1 2 expired".into(), String::new()));
        assert_eq!(of("2"), ("0 1 expired".into(), "3 4".into()));
        assert_eq!(of("0"), ("expired".into(), "2 3 4".into()));
        assert_eq!(of("1"), (String::new(), "2 3 4".into()));
    }
}
