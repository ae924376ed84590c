//! Which topic it is that goes by a name: Kafka gives each an id when it is made, so that one
//! deleted and made anew is another.
//!
//! Offsets of the one say nothing of the other, and a consumer that stands within the new one would
//! go on in its middle without an error. So the id of a source is committed beside its offsets,
//! and asked for now and then. What it means that it differs is for the loop to say. A cluster
//! that tells no ids is believed.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};

use super::ffi::{self, Kind};

/// Between two looks; a topic that is deleted and made anew is seldom back sooner.
const LOOK_EVERY: Duration = Duration::from_secs(15);
/// For one answer: short beside the session of a member.
const ASK: Duration = Duration::from_secs(3);

/// Ids of topics as they are known.
#[derive(Debug)]
pub(super) struct Incarnations {
    ids: BTreeMap<String, String>,
    looked: Instant,
}

impl Incarnations {
    /// None known.
    pub(super) fn new() -> Incarnations {
        Incarnations { ids: BTreeMap::new(), looked: Instant::now() }
    }

    /// Asks for the ids of these topics; one that is not told stays as it was known.
    pub(super) fn learn<'t, C: ClientContext>(
        &mut self,
        client: &Client<C>,
        topics: impl Iterator<Item = &'t str>,
    ) {
        self.looked = Instant::now();
        let topics: Vec<&str> = topics.collect();
        self.ids.extend(ask(client, &topics));
    }

    /// A topic that is another one than is known, if there is one; asks now and then only.
    pub(super) fn changed<C: ClientContext>(&mut self, client: &Client<C>) -> Option<String> {
        if self.looked.elapsed() < LOOK_EVERY || self.ids.is_empty() {
            return None;
        }
        self.looked = Instant::now();
        let topics: Vec<&str> = self.ids.keys().map(String::as_str).collect();
        let found = ask(client, &topics);
        found.into_iter().find(|(topic, id)| self.ids[topic] != *id).map(|(topic, _)| topic)
    }

    /// What is committed beside an offset: what the stage says, and the id of its topic.
    pub(super) fn beside(&self, topic: &str, said: &str) -> String {
        match self.ids.get(topic) {
            Some(id) => format!("{said}{MARK}{id}"),
            None => said.to_owned(),
        }
    }

    /// Whether an offset was committed of another topic of that name.
    pub(super) fn is_other(&self, topic: &str, committed: &str) -> bool {
        let then = committed.split_once(MARK).map(|(_, id)| id);
        let now = self.ids.get(topic).map(String::as_str);
        then.is_some() && now.is_some() && then != now
    }
}

/// Before the id; no stage says it.
const MARK: char = '@';

/// What the stage said that was committed with [`Incarnations::beside`].
pub(super) fn said(committed: &str) -> &str {
    committed.split_once(MARK).map_or(committed, |(said, _)| said)
}

/// Ids by topic, of those that exist.
fn ask<C: ClientContext>(client: &Client<C>, topics: &[&str]) -> Vec<(String, String)> {
    let found = ffi::describe(client, Kind::Topics, topics, ASK).unwrap_or_default();
    found.into_iter().filter_map(|found| Some((found.name, found.id?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_of_another_topic_of_the_name_is_known_by_its_id() {
        let mut incarnations = Incarnations::new();
        let before = incarnations.beside("orders", "17 18");
        incarnations.ids.insert("orders".into(), "first".into());
        let first = incarnations.beside("orders", "17 18");

        assert_eq!((said(&before), said(&first)), ("17 18", "17 18"));
        assert!(!incarnations.is_other("orders", &first));
        incarnations.ids.insert("orders".into(), "second".into());
        assert!(incarnations.is_other("orders", &first));
        assert!(!incarnations.is_other("orders", &before), "its id was not known");
        assert!(!incarnations.is_other("scores", &first), "its id is not known");
    }
}
