//! From evidence to probabilities: what each class must move, the calibrated logit, the floor
//! and the cap of what is stated.
//!
//! The weights were fitted on simulated episodes (one data set, one model), one and three days
//! after onset; they are data here, so that a refit on confirmed incidents changes numbers only.

use super::patterns::{Patterns, may};
use super::table::{Candidate, CauseClass, Grade, PerMetric};

/// `unexplained` is never stated below this: a list of candidates is never complete.
pub const UNEXPLAINED_MIN: f64 = 0.05;

/// At grade C without contrast no candidate is stated above this.
pub const GRADE_C_MAX: f64 = 0.8;

/// Drift terms are clipped to plus and minus this (a hundredfold of 0.02 either way).
const DRIFT_CLIP: f64 = 2.0;

/// Up to this many windows after onset the weights for one day hold.
const EARLY_WINDOWS: f64 = 4.0;

/// From this many windows after onset on the weights for three days hold.
const LATE_WINDOWS: f64 = 12.0;

/// Inputs of the logit, in this order: gap of score, flag rate, false-positive rate, label rate;
/// drift d; d < 0; d without contrast; d < 0 without contrast; no contrast; then one of
/// data cause, threshold, model, label pipeline, `unexplained`.
pub type Features = [f64; 14];

/// One weight per feature.
pub type Weights = [f64; 14];

/// Weights one day (4 windows of 6 hours) after onset.
pub const WEIGHTS_EARLY: Weights =
    [0.43, 0.42, 0.93, 0.25, 0.67, -0.31, 0.39, -0.06, 0.07, -0.21, 0.62, -0.21, 0.17, -0.37];

/// Weights three days (12 windows) after onset.
pub const WEIGHTS_LATE: Weights =
    [0.53, 0.51, 0.86, 0.63, 0.70, -0.24, 0.22, -0.01, 0.03, -0.14, 0.47, -0.18, 0.29, -0.44];

/// Probabilities of all causes; they sum to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct Posterior {
    /// Per candidate, in the order given.
    pub candidates: Vec<f64>,
    /// That none of them did it.
    pub unexplained: f64,
}

/// What a class says about a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Signature {
    Must,
    May,
    Not,
}

impl Signature {
    /// Log Bayes factor of the class's prediction.
    fn log_bf(self, pattern: f64) -> f64 {
        match self {
            Self::Must => pattern,
            Self::May => may(pattern),
            Self::Not => 0.0,
        }
    }
}

fn signature(class: CauseClass) -> PerMetric<Signature> {
    use Signature::{May, Must, Not};
    PerMetric(match class {
        CauseClass::SchemaChange | CauseClass::DataAlarm => [Must, May, Must, Not],
        CauseClass::Model => [May, May, Must, Not],
        CauseClass::Threshold => [Not, Must, Must, Not],
        CauseClass::LabelPipeline => [Not, Not, Must, Must],
    })
}

/// Feature rows, one per candidate and `unexplained` last.
pub(super) fn features(patterns: &Patterns, candidates: &[Candidate]) -> Vec<Features> {
    let mut rows: Vec<Features> = candidates
        .iter()
        .zip(&patterns.candidates)
        .map(|(candidate, scores)| {
            let signs = signature(candidate.class);
            candidate_features(candidate, |metric| {
                let predicted = signs.0[metric].log_bf(scores.0[metric].log_bf);
                gap(patterns.best_log_bf.0[metric], predicted)
            })
        })
        .collect();
    // Metrics with evidence share the price of having picked the pattern from many.
    let known = patterns.known.0.iter().filter(|&&known| known).count();
    let price = patterns.unexplained.ln_choices / known.max(1) as f64;
    let mut unexplained = [0.0; 14];
    for (metric, feature) in unexplained.iter_mut().take(4).enumerate() {
        if patterns.known.0[metric] {
            let predicted = may(patterns.unexplained.log_bf.0[metric]) - price;
            *feature = gap(patterns.best_log_bf.0[metric], predicted);
        }
    }
    unexplained[13] = 1.0;
    rows.push(unexplained);
    rows
}

/// Distance to the best pattern, compressed: effects differ between records, so that raw Bayes
/// factors overstate certainty.
fn gap(best: f64, predicted: f64) -> f64 {
    -(best - predicted).max(0.0).ln_1p()
}

fn candidate_features(candidate: &Candidate, gap_of: impl Fn(usize) -> f64) -> Features {
    let mut row = [0.0; 14];
    for (metric, feature) in row.iter_mut().take(4).enumerate() {
        *feature = gap_of(metric);
    }
    if candidate.class.is_data() {
        // Unknown drift (not a number) is no evidence either way.
        let known = if candidate.drift.is_nan() { 0.0 } else { candidate.drift };
        let drift = known.clamp(-DRIFT_CLIP, DRIFT_CLIP);
        let fell = if drift < 0.0 { 1.0 } else { 0.0 };
        row[4] = drift;
        row[5] = fell;
        if !candidate.contrast {
            row[6] = drift;
            row[7] = fell;
            row[8] = 1.0;
        }
    }
    let class = match candidate.class {
        CauseClass::SchemaChange | CauseClass::DataAlarm => 9,
        CauseClass::Threshold => 10,
        CauseClass::Model => 11,
        CauseClass::LabelPipeline => 12,
    };
    row[class] = 1.0;
    row
}

/// The weights in force so many windows after onset: early ones, late ones, or in between.
#[must_use]
pub fn weights(windows_after_onset: u32) -> Weights {
    let elapsed = f64::from(windows_after_onset) - EARLY_WINDOWS;
    let late = (elapsed / (LATE_WINDOWS - EARLY_WINDOWS)).clamp(0.0, 1.0);
    std::array::from_fn(|i| (1.0 - late) * WEIGHTS_EARLY[i] + late * WEIGHTS_LATE[i])
}

/// Softmax of the weighted features and log priors, as calibrated.
pub(super) fn posterior(
    features: &[Features],
    candidates: &[Candidate],
    windows_after_onset: u32,
) -> Posterior {
    let weights = weights(windows_after_onset);
    let ln_priors = candidates.iter().map(|candidate| candidate.prior.max(f64::MIN_POSITIVE).ln());
    let mut utilities: Vec<f64> = features
        .iter()
        .zip(ln_priors.chain([0.0]))
        .map(|(row, ln_prior)| {
            row.iter().zip(&weights).map(|(feature, weight)| feature * weight).sum::<f64>()
                + ln_prior
        })
        .collect();
    let largest = utilities.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut total = 0.0;
    for utility in &mut utilities {
        *utility = (*utility - largest).exp();
        total += *utility;
    }
    for utility in &mut utilities {
        *utility /= total;
    }
    let unexplained = utilities.pop().expect("features always end with the row of `unexplained`");
    Posterior { candidates: utilities, unexplained }
}

/// Probabilities to state: caps candidates without contrast at grade C (what is cut off goes to
/// `unexplained`), then raises `unexplained` to its floor at the expense of all alike.
pub(super) fn stated(raw: &Posterior, candidates: &[Candidate], grade: Grade) -> Posterior {
    let mut stated = raw.clone();
    if grade == Grade::C {
        for (p, candidate) in stated.candidates.iter_mut().zip(candidates) {
            if !candidate.contrast && *p > GRADE_C_MAX {
                stated.unexplained += *p - GRADE_C_MAX;
                *p = GRADE_C_MAX;
            }
        }
    }
    if stated.unexplained < UNEXPLAINED_MIN {
        let scale = (1.0 - UNEXPLAINED_MIN) / (1.0 - stated.unexplained);
        for p in &mut stated.candidates {
            *p *= scale;
        }
        stated.unexplained = UNEXPLAINED_MIN;
    }
    stated
}
