//! Summary deltas: the one currency between observe, join and assess.
//!
//! Everything in a delta adds up: merging is exact, associative and commutative, so neither the
//! order of commits nor the number of instances can change what assess sees.

use serde::{Deserialize, Serialize};

use super::cell::{CellKey, ModelCellKey};
use super::progress::Header;
use super::schema::SchemaSeen;
use super::time::EventTime;
use crate::sketch::{FieldSummary, Sample};

/// Bins of a score histogram: equal width over [0, 1], the last one closed.
pub const SCORE_BINS: usize = 20;
/// Scale of fixed-point sums of logits: 2^32.
pub const FIXED_POINT: f64 = 4_294_967_296.0;
/// Scores are clipped to [1e-6, 1 - 1e-6] before the logit.
pub const SCORE_CLIP: f64 = 1e-6;

/// One message on `summaries`. A large commit is several; only the last carries the header.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SummaryBatch {
    /// How far the writer had read; present in the last message of a commit.
    pub header: Option<Header>,
    /// Dataset cells.
    pub datasets: Vec<DatasetDelta>,
    /// Model cells, counted at the prediction.
    pub models: Vec<ModelDelta>,
    /// Model cells, counted at the outcome.
    pub outcomes: Vec<OutcomeDelta>,
    /// Values for learning layouts.
    pub samples: Vec<SampleDelta>,
    /// Schemas met for the first time by the writer; repeats are normal.
    pub schemas: Vec<SchemaSeen>,
}

/// What one commit adds to one window of a dataset.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DatasetDelta {
    /// Dataset name.
    pub dataset: String,
    /// Hash of what the dataset's configuration means.
    pub definition: u64,
    /// Window start.
    pub window: EventTime,
    /// Layout the bins were counted in; `None` while there is none.
    pub layout: Option<u64>,
    /// Smallest admission rank that found no room: assess moves every cell at or above it
    /// into `__other__`.
    pub evicted_from: Option<u64>,
    /// The cells.
    pub cells: Vec<CellDelta>,
}

/// What one commit adds to one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellDelta {
    /// Which cell.
    pub key: CellKey,
    /// Records accepted.
    pub rows: u64,
    /// Highest event time among them.
    pub max_event_time: EventTime,
    /// Field summaries by path, in ascending path order.
    pub fields: Vec<(String, FieldSummary)>,
}

/// What one commit adds to one window of a model, at the prediction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelDelta {
    /// Model name.
    pub model: String,
    /// Hash of what the model's configuration means.
    pub definition: u64,
    /// Window start (of the prediction's time).
    pub window: EventTime,
    /// Smallest admission rank that found no room.
    pub evicted_from: Option<u64>,
    /// The cells.
    pub cells: Vec<(ModelCellKey, PredictionSums)>,
}

/// Sums over predictions. *Bound*: logits are at most 13.9 in size, so i128 cannot overflow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PredictionSums {
    /// Predictions.
    pub n: u64,
    /// Of these, flagged (the positive decision).
    pub flags: u64,
    /// Predictions without a usable score (missing, NaN, outside [0, 1]); counted in `n`.
    pub unscored: u64,
    /// Counts by score, [`SCORE_BINS`] equal bins.
    pub score_bins: [u64; SCORE_BINS],
    /// Sum of logit(score) in fixed point.
    pub logit_sum: i128,
    /// Sum of logit(score)^2 in fixed point.
    pub logit_sq: i128,
}

impl PredictionSums {
    /// Adds another sum to this one.
    pub fn merge(&mut self, other: &PredictionSums) {
        self.n += other.n;
        self.flags += other.flags;
        self.unscored += other.unscored;
        for (mine, theirs) in self.score_bins.iter_mut().zip(other.score_bins) {
            *mine += theirs;
        }
        self.logit_sum += other.logit_sum;
        self.logit_sq += other.logit_sq;
    }

    /// Adds one prediction.
    pub fn add(&mut self, score: Option<f64>, flagged: bool) {
        self.n += 1;
        self.flags += u64::from(flagged);
        match score {
            Some(score) if (0.0..=1.0).contains(&score) => {
                let bin = ((score * SCORE_BINS as f64) as usize).min(SCORE_BINS - 1);
                self.score_bins[bin] += 1;
                let clipped = score.clamp(SCORE_CLIP, 1.0 - SCORE_CLIP);
                let logit = (clipped / (1.0 - clipped)).ln();
                self.logit_sum += (logit * FIXED_POINT).round() as i128;
                self.logit_sq += (logit * logit * FIXED_POINT).round() as i128;
            }
            _ => self.unscored += 1,
        }
    }
}

/// What one commit of join adds to one cell of a model, at the outcome.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeDelta {
    /// Model name.
    pub model: String,
    /// Window start (of the prediction's time).
    pub window: EventTime,
    /// Which cell.
    pub key: ModelCellKey,
    /// When these outcomes came, see [`outcome_age`].
    pub age: u8,
    /// The counts.
    pub sums: OutcomeSums,
    /// Definition the predictions were counted under; `None` where the writer did not say. Written
    /// behind the batch, from version 3 on.
    #[serde(skip)]
    pub definition: Option<u64>,
}

/// Steps of the horizon by which outcomes are told apart.
pub const OUTCOME_AGES: u8 = 24;

/// Where each age ends, in 65,536ths of the horizon: each a quarter longer than the one before, so
/// that judging waits at most that much longer than the outcomes took, whatever the horizon.
const AGE_ENDS: [i64; OUTCOME_AGES as usize + 1] = {
    let mut ends = [0; OUTCOME_AGES as usize + 1];
    let mut age = OUTCOME_AGES as usize;
    let mut end = 65_536;
    while age > 0 {
        ends[age] = end;
        end = end * 4 / 5;
        age -= 1;
    }
    ends
};

/// When an outcome came after the end of its prediction's window: 0 within the window, 1 within
/// the first 0.6 % of the horizon, [`OUTCOME_AGES`] with the horizon or by its passing.
///
/// A window is judged by the outcomes up to an age, never by those that happen to have been read,
/// so that the order of reading does not show.
#[must_use]
pub fn outcome_age(window_end: EventTime, time: EventTime, horizon_ms: i64) -> u8 {
    let come = |age: &u8| time <= outcome_age_end(window_end, *age, horizon_ms);
    (0..OUTCOME_AGES).find(come).unwrap_or(OUTCOME_AGES)
}

/// The time by which all outcomes of an age have come.
#[must_use]
pub fn outcome_age_end(window_end: EventTime, age: u8, horizon_ms: i64) -> EventTime {
    let end = i128::from(AGE_ENDS[usize::from(age.min(OUTCOME_AGES))]);
    let lag = (i128::from(horizon_ms) * end + 65_535) / 65_536;
    window_end.plus_ms(i64::try_from(lag).unwrap_or(i64::MAX))
}

/// Confusion counts over labelled predictions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeSums {
    /// Predictions with an outcome.
    pub labelled: u64,
    /// Of these, taken as negative because the horizon passed without an outcome.
    pub assumed: u64,
    /// Labelled negative.
    pub negatives: u64,
    /// Labelled negative and flagged.
    pub false_positives: u64,
    /// Labelled positive.
    pub positives: u64,
    /// Labelled positive and flagged.
    pub true_positives: u64,
}

impl OutcomeSums {
    /// Adds another sum to this one.
    pub fn merge(&mut self, other: &OutcomeSums) {
        self.labelled += other.labelled;
        self.assumed += other.assumed;
        self.negatives += other.negatives;
        self.false_positives += other.false_positives;
        self.positives += other.positives;
        self.true_positives += other.true_positives;
    }

    /// Adds one labelled prediction.
    pub fn add(&mut self, flagged: bool, positive: bool) {
        self.labelled += 1;
        if positive {
            self.positives += 1;
            self.true_positives += u64::from(flagged);
        } else {
            self.negatives += 1;
            self.false_positives += u64::from(flagged);
        }
    }
}

/// Values of one field for learning its layout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SampleDelta {
    /// Dataset name.
    pub dataset: String,
    /// Hash of what the dataset's configuration means.
    pub definition: u64,
    /// Field path.
    pub field: String,
    /// The values with the smallest hashes.
    pub sample: Sample,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_outcome_has_come_by_the_end_of_its_age_and_not_by_the_one_before(
            end in -1_000_000_i64..1_000_000,
            lag in -5_000_i64..5_000,
            horizon in 1_i64..5_000,
        ) {
            let (end, time) = (EventTime(end), EventTime(end + lag.min(horizon)));
            let age = outcome_age(end, time, horizon);

            prop_assert!(age <= OUTCOME_AGES);
            prop_assert!(time <= outcome_age_end(end, age, horizon));
            if let Some(before) = age.checked_sub(1) {
                prop_assert!(time > outcome_age_end(end, before, horizon));
            }
        }
    }

    #[test]
    fn the_last_age_ends_with_the_horizon() {
        assert_eq!(outcome_age_end(EventTime(10), OUTCOME_AGES, 77), EventTime(87));
        assert_eq!(outcome_age(EventTime(10), EventTime(9_999), 77), OUTCOME_AGES);
        assert_eq!(outcome_age(EventTime(10), EventTime(3), 77), 0);
    }
}
