//! Attribution: which candidate cause moved a model's outcomes, and how sure is that?
//!
//! Every candidate predicts *where* (which cells are exposed to it, and how much) and *which*
//! metrics move. [`attribute`] scores those patterns on one small cell table with closed-form
//! Bayes factors, lets `unexplained` compete on equal terms, and weighs the evidence with a
//! calibrated conditional logit. One formula covers order in time (no exposure before), contrast
//! (exposure differs in the same window), dose and difference-in-differences.
//!
//! Pure arithmetic: which candidates exist, lineage, and what to do about the answer are decided
//! by the rooms around it. Cost: `O(cells x candidates)`, some microseconds for a usual table.
//!
//! Reading order: [`table`] (what goes in), `residuals` (what is usual), `patterns` (evidence per
//! pattern), [`posterior`] (from evidence to probabilities), [`share`] (how much a cause
//! explains), [`placebo`] (the same for a random label).
//!
//! *Before labels*: a metric whose denominators are zero before or after the first candidate
//! carries no evidence; its Bayes factors are 1 for every pattern, its gap is 0 for every
//! candidate and for `unexplained`, and the metrics that exist decide alone (they then share the
//! price `unexplained` pays for its free choice of pattern).

mod patterns;
pub mod placebo;
pub mod posterior;
mod residuals;
pub mod share;
pub mod table;

pub use patterns::{Fit, PatternScores};
pub use placebo::Placebo;
pub use posterior::{Features, Posterior};
pub use residuals::MetricFit;
pub use share::ExplainedShare;
pub use table::{Candidate, CauseClass, CellRow, Exposure, Grade, Metric, PerMetric, Table};

use patterns::Patterns;
use residuals::Residuals;

/// What the table itself does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Circumstances {
    /// Whole windows since the outcome moved; picks between the weights for one and three days.
    pub windows_after_onset: u32,
    /// How well exposure is known.
    pub grade: Grade,
}

/// The answer, with all it was computed from.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    /// Probabilities as calibrated, before floor and cap.
    pub raw: Posterior,
    /// Probabilities to state: `unexplained` at least 0.05; at grade C without contrast a
    /// candidate at most 0.8.
    pub stated: Posterior,
    /// Evidence per candidate, in the order given.
    pub scores: Vec<PatternScores>,
    /// Share of the false positives' (and of each other metric's) rise per candidate; `None`
    /// where the rise itself is not certain.
    pub shares: Vec<PerMetric<Option<ExplainedShare>>>,
    /// Log Bayes factor per metric of the pattern `unexplained` took.
    pub unexplained_log_bf: PerMetric<f64>,
    /// Largest log Bayes factor of any pattern per metric, at least 0.
    pub best_log_bf: PerMetric<f64>,
    /// Inputs of the logit: one row per candidate, `unexplained` last.
    pub features: Vec<Features>,
    /// What is usual per metric; `None` where it has no evidence.
    pub metrics: PerMetric<Option<MetricFit>>,
}

/// Attributes a change of outcomes to candidates.
///
/// *Shape*: any number of candidates and cells, none included: without candidates `unexplained`
/// is 1. *Bound*: the order of candidates or the names of producers do not change a probability
/// by more than rounding; identical candidates get equal ones.
///
/// ```
/// use driftline::decide::attribution::{Circumstances, Grade, Table, attribute};
/// let quiet = Table { pre_windows: 4, windows: 8, phases: 1, cells: Vec::new() };
/// let now = Circumstances { windows_after_onset: 4, grade: Grade::A };
/// assert_eq!(attribute(&quiet, &[], now).stated.unexplained, 1.0);
/// ```
#[must_use]
pub fn attribute(table: &Table, candidates: &[Candidate], now: Circumstances) -> Attribution {
    let residuals = Residuals::of(table);
    let patterns = Patterns::score(table, candidates, &residuals);
    let features = posterior::features(&patterns, candidates);
    let raw = posterior::posterior(&features, candidates, now.windows_after_onset);
    let stated = posterior::stated(&raw, candidates, now.grade);
    let shares = (0..candidates.len())
        .map(|candidate| share::explained(table, &residuals, candidate))
        .collect();
    Attribution {
        raw,
        stated,
        shares,
        unexplained_log_bf: patterns.unexplained.log_bf,
        best_log_bf: patterns.best_log_bf,
        scores: patterns.candidates,
        features,
        metrics: residuals.metrics.map(|metric| metric.map(|known| known.fit)),
    }
}

#[cfg(test)]
mod tests;
