//! An event as JSON text by name: what `serde_json::Value` cannot hold (a field twice, 1e999) fits in.

use serde::Serialize;

/// An object, its members in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Tree {
    members: Vec<(String, Node)>,
}

#[derive(Clone, Debug)]
enum Node {
    Object(Tree),
    Json(String),
}

pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("strings and numbers have a JSON form")
}

impl Tree {
    /// Gives a field its JSON, whatever is there.
    pub(super) fn put(&mut self, path: &[String], json: String) {
        let Some((name, rest)) = path.split_first() else {
            return;
        };
        let place = self.members.iter().position(|(member, _)| member == name);
        if rest.is_empty() {
            let node = Node::Json(json);
            match place {
                Some(place) => self.members[place].1 = node,
                None => self.members.push((name.clone(), node)),
            }
            return;
        }
        let place = place.unwrap_or_else(|| {
            self.members
                .push((name.clone(), Node::Object(Self::default())));
            self.members.len() - 1
        });
        if let Node::Object(object) = &mut self.members[place].1 {
            object.put(rest, json);
        }
    }

    /// The object that has the last name of a path.
    fn parent(&mut self, path: &[String]) -> Option<&mut Self> {
        let (name, rest) = path.split_first()?;
        if rest.is_empty() {
            return Some(self);
        }
        let mut members = self.members.iter_mut();
        match members.find(|(member, _)| member == name) {
            Some((_, Node::Object(object))) => object.parent(rest),
            _ => None,
        }
    }

    pub(super) fn remove(&mut self, path: &[String]) {
        if let (Some(object), Some(name)) = (self.parent(path), path.last()) {
            object.members.retain(|(member, _)| member != name);
        }
    }

    pub(super) fn double(&mut self, path: &[String]) {
        if let (Some(object), Some(name)) = (self.parent(path), path.last()) {
            let again = object
                .members
                .iter()
                .find(|(member, _)| member == name)
                .cloned();
            object.members.extend(again);
        }
    }

    pub(super) fn render(&self) -> Vec<u8> {
        self.text().into_bytes()
    }

    fn text(&self) -> String {
        let members: Vec<String> = self
            .members
            .iter()
            .map(|(name, node)| {
                let value = match node {
                    Node::Object(object) => object.text(),
                    Node::Json(json) => json.clone(),
                };
                format!("{}:{value}", json(name))
            })
            .collect();
        format!("{{{}}}", members.join(","))
    }
}
