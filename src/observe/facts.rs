//! Facts waiting for the commit, by partition of `facts`.
//!
//! A prediction and its outcome meet because both go where their model's name and id say.

use crate::event::fact::fact_id;
use crate::event::route::{FACTS_PARTITIONS, partition_of};
use crate::event::time::EventTime;

/// Rough size of one fact on the wire.
const FACT_BYTES: usize = 48;

/// Facts since the last commit.
#[derive(Debug, Default)]
pub(super) struct Facts {
    partitions: Vec<Waiting>,
    /// Model name, zero byte, canonical id.
    key: Vec<u8>,
    count: usize,
}

/// Facts of one partition, in the order of their records.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// Predictions.
    pub(super) predictions: Vec<WaitingPrediction>,
    /// Outcomes.
    pub(super) outcomes: Vec<WaitingOutcome>,
}

/// A prediction whose cell has no name yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingPrediction {
    /// Hash of its canonical id.
    pub(super) id: u128,
    /// Index of the model.
    pub(super) model: usize,
    /// Cell of the model.
    pub(super) cell: u32,
    /// Prediction time.
    pub(super) time: EventTime,
    /// The positive decision was taken.
    pub(super) flagged: bool,
}

/// An outcome.
#[derive(Clone, Copy, Debug)]
pub(super) struct WaitingOutcome {
    /// Hash of its canonical id.
    pub(super) id: u128,
    /// Index of the model.
    pub(super) model: usize,
    /// Outcome time.
    pub(super) time: EventTime,
    /// The label is a positive one.
    pub(super) positive: bool,
}

impl Facts {
    /// The facts that share a partition with this id of a model, and the id's hash.
    pub(super) fn of(&mut self, model: &str, id: &str) -> (u128, &mut Waiting) {
        self.key.clear();
        self.key.extend_from_slice(model.as_bytes());
        self.key.push(0);
        self.key.extend_from_slice(id.as_bytes());
        self.count += 1;
        let partition = partition_of(&self.key, FACTS_PARTITIONS) as usize;
        if self.partitions.len() <= partition {
            self.partitions.resize_with(FACTS_PARTITIONS as usize, Waiting::default);
        }
        (fact_id(id.as_bytes()), &mut self.partitions[partition])
    }

    /// The facts of a partition.
    pub(super) fn partition(&self, partition: i32) -> Option<&Waiting> {
        self.partitions.get(usize::try_from(partition).ok()?)
    }

    /// Rough size of what waits.
    pub(super) fn pending_bytes(&self) -> usize {
        self.count * FACT_BYTES
    }

    /// Empties it, keeping memory.
    pub(super) fn clear(&mut self) {
        for waiting in &mut self.partitions {
            waiting.predictions.clear();
            waiting.outcomes.clear();
        }
        self.count = 0;
    }
}
