//! Things that must be said once: steps of alarms in `findings`, ids of public events.
//!
//! Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::finding::{FindingBatch, FindingItem};
use crate::event::wire;

/// Steps of alarms.
pub(super) struct Alarms {
    topic: String,
    /// Alarm, revision.
    seen: BTreeSet<(u64, u32)>,
    pub(super) differences: Vec<String>,
}

impl Alarms {
    pub(super) fn new(topic: &str) -> Alarms {
        Alarms { topic: topic.to_owned(), seen: BTreeSet::new(), differences: Vec::new() }
    }

    pub(super) fn take(&mut self, offset: i64, payload: &[u8]) {
        let batch: FindingBatch = match wire::decode(payload) {
            Ok(batch) => batch,
            Err(error) => {
                self.differences.push(format!("{}/0 offset {offset}: {error}", self.topic));
                return;
            }
        };
        for item in &batch.items {
            if let FindingItem::Alarm(alarm) = item
                && !self.seen.insert((alarm.id, alarm.revision))
            {
                let (id, revision) = (alarm.id, alarm.revision);
                self.differences.push(format!(
                    "{}/0 offset {offset}: step {revision} of alarm {id:016x} is said twice",
                    self.topic
                ));
            }
        }
    }

    pub(super) fn checked(&self) -> String {
        format!("{}: {} steps of alarms, each once", self.topic, self.seen.len())
    }
}

/// Ids of the events of one public topic, of one app: others may write there too.
pub(super) struct Ids {
    topic: String,
    app: String,
    seen: BTreeMap<String, (i32, i64)>,
    others: u64,
    pub(super) differences: Vec<String>,
}

impl Ids {
    pub(super) fn new(topic: &str, app: &str) -> Ids {
        let (topic, app) = (topic.to_owned(), format!("/{app}"));
        Ids { topic, app, seen: BTreeMap::new(), others: 0, differences: Vec::new() }
    }

    pub(super) fn take(
        &mut self,
        (partition, offset): (i32, i64),
        source: Option<String>,
        id: Option<String>,
    ) {
        let (Some(source), Some(id)) = (source, id) else {
            self.others += 1;
            return;
        };
        if !source.ends_with(&self.app) {
            self.others += 1;
            return;
        }
        if let Some((first, at)) = self.seen.insert(id.clone(), (partition, offset)) {
            self.differences.push(format!(
                "{}/{partition} offset {offset}: event {id} has been said before, at {first} \
                 offset {at}",
                self.topic
            ));
        }
    }

    pub(super) fn checked(&self) -> String {
        let (ids, others) = (self.seen.len(), self.others);
        format!("{}: {ids} events, each id once ({others} of others passed over)", self.topic)
    }
}
