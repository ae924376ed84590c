//! Where the ledger broke, and where it was started anew on purpose.
//!
//! A source partition whose ranges leave a gap or overlap takes no further part in the ledger: to
//! go on from the new place would make the break look mended. It holds the watermark as one that
//! cannot be read, and windows of its topic are incomplete. What it goes on counting cannot be told
//! from what others count in the same commit, so that is still added up. It stays so until someone
//! goes back in time, which starts an epoch and replaces those windows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::epoch::Epochs;
use crate::event::finding::IntegrityBreach;

/// Breaks and epochs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Breaks {
    /// By subject, where windows were counted anew.
    pub(super) epochs: Epochs,
    /// By topic and partition.
    stopped: BTreeMap<String, BTreeMap<i32, IntegrityBreach>>,
}

impl Breaks {
    /// Whether a partition takes no part.
    pub(super) fn stops(&self, topic: &str, partition: i32) -> bool {
        self.stopped.get(topic).is_some_and(|partitions| partitions.contains_key(&partition))
    }

    /// Whether any partition of a topic takes no part.
    pub(super) fn touch(&self, topic: &str) -> bool {
        self.stopped.get(topic).is_some_and(|partitions| !partitions.is_empty())
    }

    /// Stops a partition.
    pub(super) fn stop(&mut self, breach: IntegrityBreach) {
        let partitions = self.stopped.entry(breach.topic.clone()).or_default();
        partitions.insert(breach.partition, breach);
    }

    /// Lets a partition take part again.
    pub(super) fn mend(&mut self, topic: &str, partition: i32) {
        if let Some(partitions) = self.stopped.get_mut(topic) {
            partitions.remove(&partition);
        }
    }
}
