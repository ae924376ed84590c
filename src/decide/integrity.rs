//! Incidents of the ledger itself: a source partition whose offsets do not add up.
//!
//! They have no cause to weigh and ask for nothing: who reads the sentence knows what to do. Every
//! shard of assess hears of the same break; it is said once. It is over when someone has gone back
//! in time over the partition.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::Decide;
use super::events::{self, Trouble};
use super::sentences;
use crate::event::finding::{IntegrityBreach, Restarted, Subject};
use crate::event::route::{Note, Outbox};
use crate::event::time::EventTime;

/// Name under which partitions of `facts` are told.
const FACTS: &str = "facts";
/// Breaks that are over and remembered, so that a shard that is behind does not open one again.
const OVER_MAX: usize = 256;

/// Breaks by topic, partition, offset expected and offset that came.
pub(super) type Breaches = BTreeMap<BreachKey, Breach>;
/// What makes a break the same break.
pub(super) type BreachKey = (String, i32, i64, i64);

/// What became of a break.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Breach {
    /// When it was heard of.
    pub(super) since: EventTime,
    /// Someone has gone back over it.
    pub(super) over: bool,
}

/// How a break came to be over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Someone went back in time over it.
    CountedAnew,
    /// What is missing is gone, and someone went on without it.
    GivenUp,
}

/// Which offsets, and what is wrong with them.
fn evidence((_, _, expected, got): &BreachKey) -> String {
    if *got == 0 {
        // A partition begins there once.
        return format!("it was at offset {expected} and began again at 0, as one made anew does");
    }
    if got > expected {
        format!("offsets {expected} to {} were never counted", got - 1)
    } else {
        format!("offsets {got} to {} came a second time", expected - 1)
    }
}

impl Decide {
    /// Takes a break that assess has met.
    pub(super) fn breach(&mut self, breach: IntegrityBreach, out: &mut Outbox) {
        let IntegrityBreach { topic, partition, expected, got } = breach;
        let n = got.abs_diff(expected);
        let subject = format!("{topic}/{partition}");
        let key = (topic, partition, expected, got);
        if self.breaches.contains_key(&key) {
            return;
        }
        out.notes.push(Note::Count { name: "integrity_breach", subject, n });
        let breach = Breach { since: EventTime(self.now_ms), over: false };
        self.tell_breach(&key, (breach.since, None), out);
        self.breaches.insert(key, breach);
    }

    /// Ends the breaks of partitions whose ledger starts anew.
    pub(super) fn mend(&mut self, restarted: &Restarted, out: &mut Outbox) {
        let mended = |key: &BreachKey| {
            restarted.partitions.iter().any(|(topic, p)| *topic == key.0 && *p == key.1)
        };
        let mut over = Vec::new();
        for (key, breach) in &mut self.breaches {
            if !breach.over && mended(key) {
                breach.over = true;
                over.push((key.clone(), breach.clone()));
            }
        }
        let end = if restarted.subjects.is_empty() { End::GivenUp } else { End::CountedAnew };
        for (key, breach) in &over {
            self.tell_breach(key, (breach.since, Some(end)), out);
        }
        let mut excess = self.breaches.len().saturating_sub(OVER_MAX);
        self.breaches.retain(|_, breach| {
            let goes = breach.over && excess > 0;
            excess -= usize::from(goes);
            !goes
        });
    }

    /// Breaks that are not over.
    pub(super) fn open_breaches(&self) -> usize {
        self.breaches.values().filter(|breach| !breach.over).count()
    }

    /// Partitions of a subject that are not counted any more, in words.
    pub(super) fn stopped_of(&self, subject: &Subject) -> Vec<String> {
        let open = self.breaches.iter().filter(|(_, breach)| !breach.over);
        let mine = open.filter(|(key, _)| self.readers(&key.0).contains(subject));
        mine.map(|(key, _)| format!("{}/{} from offset {}", key.0, key.1, key.2)).collect()
    }

    fn tell_breach(
        &self,
        key: &BreachKey,
        (since, end): (EventTime, Option<End>),
        out: &mut Outbox,
    ) {
        let (topic, partition, expected, got) = key;
        let text = format!("integrity {topic}/{partition} {expected} {got}");
        let (name, evidence) = (format!("{topic}/{partition}"), evidence(key));
        let trouble = Trouble {
            id: format!("{:016x}", xxh3_64(text.as_bytes())),
            kind: "integrity",
            subjects: self.readers(topic),
            since,
            over: end.is_some(),
            sentence: sentences::integrity(&name, &evidence, end),
            name,
            evidence,
        };
        out.events.push(events::trouble(trouble, EventTime(self.now_ms)));
    }

    /// Subjects that records of a topic belong to.
    fn readers(&self, topic: &str) -> Vec<Subject> {
        let datasets = self.plan.datasets.values().filter(|dataset| dataset.topic == topic);
        let mut subjects: Vec<Subject> =
            datasets.map(|dataset| Subject::Dataset(dataset.name.clone())).collect();
        for model in self.plan.models.values() {
            let outcomes = model.outcomes.as_ref();
            let of_outcomes = outcomes.is_some_and(|o| o.topic == topic || topic == FACTS);
            if model.predictions.topic == topic || of_outcomes {
                subjects.push(Subject::Model(model.name.clone()));
            }
        }
        subjects
    }
}
