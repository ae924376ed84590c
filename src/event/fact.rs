//! Facts: what join needs of a prediction or an outcome, 16 to 40 bytes each.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_128;

use super::cell::ModelCellKey;
use super::progress::Progress;
use super::time::EventTime;

/// One message on `facts`. A large commit is several; only the last carries the header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactBatch {
    /// How far the writer had read; present in the last message of a commit.
    pub header: Option<Vec<Progress>>,
    /// Models named by `cells` and `outcomes`.
    pub models: Vec<String>,
    /// What the facts of each of `models` were counted under; shorter than `models` where the
    /// writer did not say. Written behind the other fields, from version 2 on.
    #[serde(skip)]
    pub terms: Vec<FactTerms>,
    /// Cells named by `predictions`.
    pub cells: Vec<FactCell>,
    /// Predictions.
    pub predictions: Vec<PredictionFact>,
    /// Outcomes.
    pub outcomes: Vec<OutcomeFact>,
}

/// What the facts of a model were counted under: as much of its definition as join needs to keep
/// what was counted under another one apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FactTerms {
    /// Hash of what the model's configuration means.
    pub definition: u64,
    /// Hash of where outcomes are and what their labels mean.
    pub labels: u64,
    /// Hash of all that is said of outcomes: what a label means, and what it means when none comes.
    pub outcomes: u64,
    /// Length of the model's windows.
    pub window_ms: i64,
}

/// Coordinates shared by many predictions of a batch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FactCell {
    /// Index into the batch's `models`.
    pub model: u16,
    /// Window start.
    pub window: EventTime,
    /// Cell within the window.
    pub key: ModelCellKey,
}

/// A prediction, waiting for its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionFact {
    /// Hash of the canonical id, [`fact_id`].
    pub id: u128,
    /// Index into the batch's `cells`.
    pub cell: u32,
    /// Prediction time.
    pub time: EventTime,
    /// The positive decision was taken.
    pub flagged: bool,
}

/// An outcome, looking for its prediction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeFact {
    /// Hash of the canonical id, [`fact_id`].
    pub id: u128,
    /// Index into the batch's `models`.
    pub model: u16,
    /// Outcome time.
    pub time: EventTime,
    /// The label is a positive one.
    pub positive: bool,
}

/// Key of a fact: unkeyed 128-bit XXH3 of the canonical id (UTF-8; integers in decimal; no
/// trimming).
#[must_use]
pub fn fact_id(canonical: &[u8]) -> u128 {
    xxh3_128(canonical)
}
