//! Ledger epochs: going back in time on purpose, and what it does to ids.
//!
//! A rewind starts an epoch. From a boundary on, a subject's windows are counted anew and replace
//! what had been counted; older ones stay and take nothing more from records read again. What is
//! told of a window counted anew is something new, so its ids differ from those of before.
//!
//! An epoch may also begin further on, behind records that are gone: then no window is counted
//! anew, and those that may have held them are incomplete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::finding::Subject;
use super::time::EventTime;

/// Boundaries remembered for one subject. An alarm open since before that many rewinds would
/// change its id; each of them would have to go less far back than the one before it.
const BOUNDARIES_MAX: usize = 16;

/// Someone went back in time: told to every partition of `summaries`, in one transaction with the
/// offsets of observe and join.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rewound {
    /// Counts up from 1.
    pub epoch: u64,
    /// Every source partition that has been read, and where its ledger goes on.
    pub sources: Vec<RewoundSource>,
    /// Where join goes on, by partition of `facts`.
    pub facts: Vec<(i32, i64)>,
    /// Windows of a subject from here (start) on are counted anew; empty where records that are
    /// gone are given up.
    pub subjects: Vec<(Subject, EventTime)>,
}

/// Where the ledger of a source partition goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewoundSource {
    /// The user's topic.
    pub topic: String,
    /// Partition of that topic.
    pub partition: i32,
    /// Partitions the topic has.
    pub partition_count: i32,
    /// First offset read again.
    pub from: i64,
    /// Highest event time before it.
    pub max_event_time: Option<EventTime>,
    /// Append time of the newest record before it, in broker milliseconds.
    pub newest_append_ms: Option<i64>,
}

/// The epochs a stage knows of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epochs {
    number: u64,
    /// By subject: epochs and their boundaries, both ascending.
    boundaries: BTreeMap<Subject, Vec<(u64, EventTime)>>,
}

impl Epochs {
    /// The newest epoch; 0 before the first rewind.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Enters the boundary of a subject in an epoch. Older ones at or after it are forgotten.
    pub fn enter(&mut self, epoch: u64, subject: Subject, from: EventTime) {
        self.number = self.number.max(epoch);
        let boundaries = self.boundaries.entry(subject).or_default();
        boundaries.retain(|(_, known)| *known < from);
        boundaries.push((epoch, from));
        let excess = boundaries.len().saturating_sub(BOUNDARIES_MAX);
        boundaries.drain(..excess);
    }

    /// Where the newest epoch of a subject begins: records of older windows were counted before.
    #[must_use]
    pub fn boundary(&self, subject: &Subject) -> Option<EventTime> {
        self.boundaries.get(subject)?.last().map(|(_, from)| *from)
    }

    /// Whether a window of a subject was counted before the newest epoch and takes nothing more.
    #[must_use]
    pub fn precedes(&self, subject: &Subject, window: EventTime) -> bool {
        self.boundary(subject).is_some_and(|from| window < from)
    }

    /// The epoch a window of a subject was counted in.
    #[must_use]
    pub fn of(&self, subject: &Subject, window: EventTime) -> u64 {
        let boundaries = self.boundaries.get(subject).map_or(&[][..], Vec::as_slice);
        let found = boundaries.iter().rev().find(|(_, from)| *from <= window);
        found.map_or(0, |(epoch, _)| *epoch)
    }

    /// An id as it is in the epoch of a window; in the first one it stays as it is.
    #[must_use]
    pub fn id(&self, subject: &Subject, window: EventTime, id: u64) -> u64 {
        match self.of(subject, window) {
            0 => id,
            epoch => xxh3_64(format!("{id:016x} epoch {epoch}").as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_belongs_to_the_newest_epoch_that_reaches_back_to_it() {
        let orders = Subject::Dataset("orders".into());
        let mut epochs = Epochs::default();
        epochs.enter(1, orders.clone(), EventTime(100));
        epochs.enter(2, orders.clone(), EventTime(300));

        let of = |epochs: &Epochs, time| epochs.of(&orders, EventTime(time));
        assert_eq!([99, 100, 299, 300].map(|time| of(&epochs, time)), [0, 1, 1, 2]);
        epochs.enter(3, orders.clone(), EventTime(50));
        assert_eq!([49, 50, 300].map(|time| of(&epochs, time)), [0, 3, 3]);
        assert_eq!(epochs.boundary(&orders), Some(EventTime(50)));
        assert_eq!(of(&epochs, 10), 0);
    }

    #[test]
    fn ids_change_where_windows_are_counted_anew() {
        let orders = Subject::Dataset("orders".into());
        let mut epochs = Epochs::default();
        epochs.enter(1, orders.clone(), EventTime(100));

        assert_eq!(epochs.id(&orders, EventTime(99), 7), 7);
        assert_ne!(epochs.id(&orders, EventTime(100), 7), 7);
    }
}
