//! How much of a change a candidate explains, with an interval: the "97 % of the rise" of a
//! sentence. It fills the sentence; it does not enter the probability.

use super::patterns::weigh;
use super::residuals::{KnownMetric, Residuals};
use super::table::{PerMetric, Table};
use crate::assess::tests::{Interval, Z_95};

/// The change itself must be this many standard errors from zero before shares of it mean much.
const RISE_Z_MIN: f64 = 2.0;

/// Part of a metric's total change that lies on exposed rows by the candidate's effect.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExplainedShare {
    /// Estimate; 1 is all of it, above 1 when the rest moved the other way.
    pub rho: f64,
    /// 95 % interval by the delta method.
    pub interval: Interval,
}

/// Explained share per metric, over the windows from the candidate's first exposure on.
///
/// *Source*: `theta sum(rows g) / sum(rows r)`; its variance from those of theta, of the total
/// and of their covariance, all under the fitted cell variances.
pub(super) fn explained(
    table: &Table,
    residuals: &Residuals,
    candidate: usize,
) -> PerMetric<Option<ExplainedShare>> {
    let exposure = |index: usize| table.cells[index].exposed.share(candidate);
    let first = (0..table.cells.len())
        .filter(|&index| exposure(index) > 0.0)
        .map(|index| table.cells[index].window)
        .min();
    PerMetric::each(|metric| {
        let (known, first) = (residuals.metrics.get(metric).as_ref()?, first?);
        share_of(table, known, first, exposure)
    })
}

fn share_of(
    table: &Table,
    metric: &KnownMetric,
    first: u32,
    exposure: impl Fn(usize) -> f64,
) -> Option<ExplainedShare> {
    let (mut exposed_rows, mut total, mut total_variance) = (0.0, 0.0, 0.0);
    for (index, (cell, residual)) in table.cells.iter().zip(&metric.cells).enumerate() {
        if cell.window >= first && residual.rows > 0.0 {
            exposed_rows += residual.rows * exposure(index);
            total += residual.rows * residual.value;
            total_variance += residual.rows * residual.rows / residual.precision;
        }
    }
    if total * total < RISE_Z_MIN * RISE_Z_MIN * total_variance || total == 0.0 {
        return None;
    }
    let weighed = weigh(metric, &exposure);
    if weighed.exposure <= 0.0 {
        return None;
    }
    let theta = weighed.effect / weighed.exposure;
    let rho = theta * exposed_rows / total;
    let by_theta = exposed_rows / total;
    let by_total = -rho / total;
    let theta_variance = 1.0 / weighed.exposure;
    // Each exposed cell enters both: cov = sum(g / v * rows * v) / sum(g^2 / v).
    let covariance = exposed_rows / weighed.exposure;
    let variance = by_theta * by_theta * theta_variance
        + by_total * by_total * total_variance
        + 2.0 * by_theta * by_total * covariance;
    let half = Z_95 * variance.max(0.0).sqrt();
    Some(ExplainedShare { rho, interval: Interval { low: rho - half, high: rho + half } })
}
