//! Evidence for a pattern: does this set of cells, weighted by exposure, lie off what is usual?
//!
//! A pattern is an exposure per cell. Candidates bring theirs; the free patterns "everything from
//! window t on" and "this producer from window t on" stand for causes nobody listed. No classes
//! and no probabilities here.

use std::collections::BTreeMap;

use super::residuals::{KnownMetric, Residuals};
use super::table::{Candidate, PerMetric, Table};

/// Fit of one pattern on one metric; all zero where either has no evidence.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Fit {
    /// Log Bayes factor of the pattern against "nothing moved" (natural logarithm).
    pub log_bf: f64,
    /// Standardised effect.
    pub z: f64,
    /// Estimated effect at full exposure, in the metric's own unit.
    pub theta: f64,
}

/// Fits of one pattern on all metrics.
pub type PatternScores = PerMetric<Fit>;

/// Sufficient statistics of a pattern: weighted sum of squared exposure, and of exposure times
/// residual.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Weighed {
    pub(super) exposure: f64,
    pub(super) effect: f64,
}

impl Weighed {
    fn plus(self, other: Self) -> Self {
        Self { exposure: self.exposure + other.exposure, effect: self.effect + other.effect }
    }

    /// Closed form for residual ~ N(theta g, v), theta ~ N(0, tau2).
    fn fit(self, tau2: f64) -> Fit {
        if self.exposure <= 0.0 {
            return Fit::default();
        }
        let z = self.effect / self.exposure.sqrt();
        let gain = tau2 * self.exposure;
        Fit {
            log_bf: -0.5 * gain.ln_1p() + 0.5 * z * z * gain / (1.0 + gain),
            z,
            theta: self.effect / self.exposure,
        }
    }
}

/// The pattern that stands for a cause nobody listed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Unexplained {
    pub(super) log_bf: PerMetric<f64>,
    /// Natural logarithm of the number of patterns it was picked from.
    pub(super) ln_choices: f64,
}

/// All patterns, scored.
#[derive(Debug, Clone)]
pub(super) struct Patterns {
    pub(super) candidates: Vec<PatternScores>,
    pub(super) unexplained: Unexplained,
    /// Largest log Bayes factor per metric over candidates and free patterns, at least 0.
    pub(super) best_log_bf: PerMetric<f64>,
    /// Which metrics have evidence at all.
    pub(super) known: PerMetric<bool>,
}

impl Patterns {
    pub(super) fn score(table: &Table, candidates: &[Candidate], residuals: &Residuals) -> Self {
        let scores: Vec<PatternScores> = (0..candidates.len())
            .map(|candidate| score(residuals, |index| table.cells[index].exposed.share(candidate)))
            .collect();
        let mut free = free_patterns(table, residuals);
        // An unlisted cause at the moment of a cutover without contrast looks exactly like it,
        // so such a candidate's pattern is open to `unexplained` as well.
        let ln_steps = steps(table).ln();
        for (candidate, scored) in candidates.iter().zip(&scores) {
            if !candidate.contrast {
                free.push(Unexplained { log_bf: log_bfs(scored), ln_choices: ln_steps });
            }
        }
        let mut best_log_bf = PerMetric([0.0_f64; 4]);
        let all = scores.iter().map(log_bfs).chain(free.iter().map(|pattern| pattern.log_bf));
        for log_bf in all {
            for (best, found) in best_log_bf.0.iter_mut().zip(log_bf.0) {
                *best = best.max(found);
            }
        }
        Self {
            candidates: scores,
            unexplained: most_likely(&free),
            best_log_bf,
            known: PerMetric::each(|metric| residuals.metrics.get(metric).is_some()),
        }
    }
}

/// Natural logarithm of the Bayes factor of "may move": half "moved as fitted", half "did not".
pub(super) fn may(log_bf: f64) -> f64 {
    let larger = log_bf.max(0.0);
    larger + (0.5 * (log_bf - larger).exp() + 0.5 * (-larger).exp()).ln()
}

/// Weighs a pattern given by the exposure of each cell.
pub(super) fn weigh(metric: &KnownMetric, exposure: impl Fn(usize) -> f64) -> Weighed {
    let mut weighed = Weighed::default();
    for (index, residual) in metric.cells.iter().enumerate() {
        let g = exposure(index);
        if g > 0.0 {
            weighed.exposure += g * g * residual.precision;
            weighed.effect += g * residual.value * residual.precision;
        }
    }
    weighed
}

/// Scores a pattern on all metrics.
fn score(residuals: &Residuals, exposure: impl Fn(usize) -> f64) -> PatternScores {
    let mut scores = PatternScores::default();
    for (fit, metric) in scores.0.iter_mut().zip(&residuals.metrics.0) {
        if let Some(known) = metric {
            *fit = weigh(known, &exposure).fit(known.fit.tau2);
        }
    }
    scores
}

pub(super) fn log_bfs(scores: &PatternScores) -> PerMetric<f64> {
    scores.map(|fit| fit.log_bf)
}

/// Windows at which a free pattern may start, at least 1.
fn steps(table: &Table) -> f64 {
    f64::from(table.windows.saturating_sub(table.pre_windows).max(1))
}

/// Every "from window t on", for all cells and for each producer, with the number of its kind.
fn free_patterns(table: &Table, residuals: &Residuals) -> Vec<Unexplained> {
    let mut producers: Vec<u32> = table.cells.iter().map(|cell| cell.producer).collect();
    producers.sort_unstable();
    producers.dedup();
    let ln_steps = steps(table).ln();
    let ln_each = (steps(table) * producers.len().max(1) as f64).ln();

    let by_window = weighed_by_window(table, residuals);
    let mut running: BTreeMap<u32, PerMetric<Weighed>> = BTreeMap::new();
    let mut patterns = Vec::new();
    for window in (table.pre_windows..table.windows).rev() {
        let mut common: PerMetric<Weighed> = PerMetric::default();
        for &producer in &producers {
            let from_here = running.entry(producer).or_default();
            if let Some(here) = by_window.get(&(window, producer)) {
                *from_here = sum(from_here, here);
            }
            common = sum(&common, from_here);
            patterns.push(free_pattern(from_here, residuals, ln_each));
        }
        patterns.push(free_pattern(&common, residuals, ln_steps));
    }
    patterns
}

fn weighed_by_window(
    table: &Table,
    residuals: &Residuals,
) -> BTreeMap<(u32, u32), PerMetric<Weighed>> {
    let mut by_window: BTreeMap<(u32, u32), PerMetric<Weighed>> = BTreeMap::new();
    for (index, cell) in table.cells.iter().enumerate() {
        let sums = by_window.entry((cell.window, cell.producer)).or_default();
        for (weighed, metric) in sums.0.iter_mut().zip(&residuals.metrics.0) {
            if let Some(known) = metric {
                let residual = known.cells[index];
                weighed.exposure += residual.precision;
                weighed.effect += residual.value * residual.precision;
            }
        }
    }
    by_window
}

fn sum(left: &PerMetric<Weighed>, right: &PerMetric<Weighed>) -> PerMetric<Weighed> {
    PerMetric::each(|metric| left.get(metric).plus(*right.get(metric)))
}

fn free_pattern(
    weighed: &PerMetric<Weighed>,
    residuals: &Residuals,
    ln_choices: f64,
) -> Unexplained {
    let log_bf = PerMetric::each(|metric| match residuals.metrics.get(metric) {
        Some(known) => weighed.get(metric).fit(known.fit.tau2).log_bf,
        None => 0.0,
    });
    Unexplained { log_bf, ln_choices }
}

/// The pattern with most evidence after paying for the number it was picked from; the first of
/// equals. Without any pattern, one that says nothing.
fn most_likely(patterns: &[Unexplained]) -> Unexplained {
    let mut most = Unexplained { log_bf: PerMetric::default(), ln_choices: 0.0 };
    let mut most_evidence = f64::NEG_INFINITY;
    for pattern in patterns {
        let evidence =
            pattern.log_bf.0.iter().map(|&log_bf| may(log_bf)).sum::<f64>() - pattern.ln_choices;
        if evidence > most_evidence {
            (most, most_evidence) = (*pattern, evidence);
        }
    }
    most
}
