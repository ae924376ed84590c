//! What is usual: level, producer and phase effects of each metric, and how far every cell lies
//! from them.
//!
//! Fitted on the windows before the first candidate. Effects are plain differences of pooled
//! rates, not a regression: they need no iteration and cannot fail on a thin table. A producer or
//! phase unseen before has no effect of its own. Nothing here looks at candidates.

use std::collections::BTreeMap;

use super::table::{Metric, PerMetric, Table};

/// Prior standard deviation of a candidate's effect on the mean logit.
const TAU_LOGIT: f64 = 0.3;

/// Prior standard deviation of an effect on a rate, relative to the usual rate.
const TAU_RELATIVE: f64 = 0.75;

/// The usual behaviour of one metric.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricFit {
    /// Pooled level before the first candidate (mean logit, or a rate).
    pub mu: f64,
    /// What each producer adds to the level, by producer.
    pub producers: BTreeMap<u32, f64>,
    /// What each phase adds, by phase.
    pub phases: BTreeMap<u32, f64>,
    /// Variance of one row: of the logits over all cells; `mu (1 - mu)` for a rate.
    pub sigma2: f64,
    /// Overdispersion of cells before the first candidate, at least 1.
    pub phi: f64,
    /// Prior variance of an effect.
    pub tau2: f64,
}

/// A metric with evidence: what is usual, and each cell's distance from it.
#[derive(Debug, Clone)]
pub(super) struct KnownMetric {
    pub(super) fit: MetricFit,
    /// One entry per cell of the table, in its order.
    pub(super) cells: Vec<Residual>,
}

/// One cell's distance from what is usual.
#[derive(Debug, Clone, Copy)]
pub(super) struct Residual {
    /// Observed minus usual; 0 without rows.
    pub(super) value: f64,
    /// One over its variance; 0 without rows.
    pub(super) precision: f64,
    /// Rows it rests on.
    pub(super) rows: f64,
}

/// Residuals of all metrics.
#[derive(Debug, Clone)]
pub(super) struct Residuals {
    pub(super) metrics: PerMetric<Option<KnownMetric>>,
}

impl Residuals {
    pub(super) fn of(table: &Table) -> Self {
        Self { metrics: PerMetric::each(|metric| known_metric(table, metric)) }
    }
}

#[derive(Default, Clone, Copy)]
struct Pool {
    sum: f64,
    rows: f64,
}

impl Pool {
    fn add(&mut self, (sum, rows): (f64, f64)) {
        self.sum += sum;
        self.rows += rows;
    }
}

/// `None` where the metric has no rows before or none after, or rows that never vary: then it
/// says nothing about any candidate.
fn known_metric(table: &Table, metric: Metric) -> Option<KnownMetric> {
    let phases_in_season = table.phases.max(1);
    let (mut all, mut after) = (Pool::default(), Pool::default());
    let mut producers: BTreeMap<u32, Pool> = BTreeMap::new();
    let mut phases: BTreeMap<u32, Pool> = BTreeMap::new();
    for cell in &table.cells {
        let parts = metric.parts(cell);
        if cell.window >= table.pre_windows {
            after.add(parts);
        } else if parts.1 > 0.0 {
            all.add(parts);
            producers.entry(cell.producer).or_default().add(parts);
            phases.entry(cell.window % phases_in_season).or_default().add(parts);
        }
    }
    if all.rows <= 0.0 || after.rows <= 0.0 {
        return None;
    }
    let mu = all.sum / all.rows;
    let effect = |pools: BTreeMap<u32, Pool>| -> BTreeMap<u32, f64> {
        pools.into_iter().map(|(key, pool)| (key, pool.sum / pool.rows - mu)).collect()
    };
    let (sigma2, tau) = spread(table, metric, all);
    if sigma2.is_nan() || sigma2 <= 0.0 {
        return None;
    }
    let mut fit = MetricFit {
        mu,
        producers: effect(producers),
        phases: effect(phases),
        sigma2,
        phi: 1.0,
        tau2: tau * tau,
    };
    let mut cells = distances(table, metric, &fit);
    fit.phi = overdispersion(table, &cells, &fit);
    for residual in &mut cells {
        residual.precision /= fit.phi;
    }
    Some(KnownMetric { fit, cells })
}

/// Variance of one row and prior standard deviation of an effect.
///
/// A rate that was never (or always) hit is taken as half a row away from it, so that the first
/// hit is evidence and not a division by zero. The logit's variance is taken over all cells:
/// a change that widens the scores makes itself less certain, which is the safe side.
fn spread(table: &Table, metric: Metric, before: Pool) -> (f64, f64) {
    if metric != Metric::Score {
        let half_row = 0.5 / before.rows;
        let rate = (before.sum / before.rows).clamp(half_row, 1.0 - half_row);
        return (rate * (1.0 - rate), TAU_RELATIVE * rate);
    }
    let (mut rows, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for cell in &table.cells {
        rows += cell.n as f64;
        sum += cell.logit_sum;
        squares += cell.logit_sq;
    }
    let mean = sum / rows;
    (squares / rows - mean * mean, TAU_LOGIT)
}

fn distances(table: &Table, metric: Metric, fit: &MetricFit) -> Vec<Residual> {
    let of_cell = |cell: &super::CellRow| {
        let (sum, rows) = metric.parts(cell);
        if rows <= 0.0 {
            return Residual { value: 0.0, precision: 0.0, rows: 0.0 };
        }
        let producer = fit.producers.get(&cell.producer).copied().unwrap_or(0.0);
        let phase = fit.phases.get(&(cell.window % table.phases.max(1))).copied().unwrap_or(0.0);
        Residual {
            value: sum / rows - fit.mu - producer - phase,
            precision: rows / fit.sigma2,
            rows,
        }
    };
    table.cells.iter().map(of_cell).collect()
}

/// Pearson's chi-square over its degrees of freedom on the windows before, at least 1; 1 also
/// when there are too few cells to tell.
fn overdispersion(table: &Table, cells: &[Residual], fit: &MetricFit) -> f64 {
    let (mut distance, mut used) = (0.0, 0_usize);
    for (cell, residual) in table.cells.iter().zip(cells) {
        if cell.window < table.pre_windows && residual.rows > 0.0 {
            distance += residual.value * residual.value * residual.precision;
            used += 1;
        }
    }
    let fitted = fit.producers.len() + fit.phases.len() - 1;
    if used <= fitted {
        return 1.0;
    }
    (distance / (used - fitted) as f64).max(1.0)
}
