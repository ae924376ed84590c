//! Minimum-effect chi-square on bins: is the drift certainly larger than what is tolerated?
//!
//! The null hypothesis is not "nothing moved" but "the divergence is at most `delta0`", so that
//! significance and size are one test: at 10^8 rows a harmless wobble stays quiet. Few rows fail
//! open by design; support and null tests (`rates`) still see those windows.
//! Choosing baselines and phases, and persistence over windows, happen above.

use super::Interval;
use super::special::{chi_square_median, noncentral_chi_square_sf};

/// Bins expected to hold fewer rows than this are merged; below it X2 is not chi-square.
const EXPECTED_MIN: f64 = 2.0;

/// Beyond this overdispersion the phase model is wrong, and widening would only hide it.
pub const PHI_MAX: f64 = 5.0;

/// Shares of a baseline, each bin smoothed by half a row; they sum to 1.
///
/// *Source*: `(b + 1/2) / (N0 + B/2)`.
#[must_use]
pub fn baseline_shares(counts: &[u64]) -> Vec<f64> {
    let rows = counts.iter().sum::<u64>() as f64;
    let total = rows + 0.5 * counts.len() as f64;
    counts.iter().map(|&count| (count as f64 + 0.5) / total).collect()
}

/// What one window is tested against.
#[derive(Debug, Clone, Copy)]
pub struct Baseline<'a> {
    /// Expected share per bin, all above 0, summing to 1.
    pub shares: &'a [f64],
    /// Rows the shares were counted on; above 0.
    pub rows: u64,
    /// Overdispersion of windows around the shares, at least 1 (see [`overdispersion`]).
    pub phi: f64,
}

/// Result of the test, with everything needed to explain it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MinEffect {
    /// Bins left after merging sparse ones.
    pub groups: usize,
    /// Degrees of freedom, `groups - 1`.
    pub df: usize,
    /// Effective rows: `1 / (1/window + 1/baseline)`.
    pub n_e: f64,
    /// Chi-square distance, before dividing by phi.
    pub x2: f64,
    /// Non-centrality under the largest tolerated drift, `n_e delta0 / phi`.
    pub lambda: f64,
    /// P(distance at least this large | divergence = delta0): small means certainly drifted.
    pub p: f64,
    /// Estimated divergence `sum (p - pi)^2 / pi`, at least 0, no unit.
    pub delta_hat: f64,
    /// 95 % interval of the divergence.
    pub delta: Interval,
}

/// Tests a window's counts against a baseline with tolerance `delta0`.
///
/// *Shape*: `observed` has one count per share. Returns `None` when the window is empty or fewer
/// than two groups remain: there is nothing to compare, which is not the same as "no drift".
/// *Bound*: `O(B log B)` and a few survival functions. *Source*: the non-central chi-square
/// limit of X2; interval by inverting it in lambda (equal tails, 2.5 % each).
///
/// ```
/// use driftline::assess::tests::chi_square::{Baseline, baseline_shares, min_effect};
/// let shares = baseline_shares(&[10_000, 10_000, 10_000, 10_000]);
/// let baseline = Baseline { shares: &shares, rows: 40_000, phi: 1.0 };
/// let moved = min_effect(baseline, &[100, 100, 100, 1_700], 0.02).expect("four groups of rows");
/// assert!(moved.p < 1e-12 && moved.delta.low > 0.02);
/// ```
///
/// # Panics
/// When the slices differ in length: counts of two layouts must never be compared.
#[must_use]
pub fn min_effect(baseline: Baseline<'_>, observed: &[u64], delta0: f64) -> Option<MinEffect> {
    assert_eq!(baseline.shares.len(), observed.len(), "counts and shares must be of one layout");
    let rows = observed.iter().sum::<u64>();
    if rows == 0 || baseline.rows == 0 {
        return None;
    }
    let n = rows as f64;
    let groups = merged(baseline.shares, observed, n);
    if groups.len() < 2 {
        return None;
    }
    let n_e = 1.0 / (1.0 / n + 1.0 / baseline.rows as f64);
    let mut sum = 0.0;
    for group in &groups {
        let difference = group.observed as f64 - group.expected;
        sum += difference * difference / group.expected;
    }
    let x2 = sum * n_e / n;
    let df = groups.len() - 1;
    let phi = baseline.phi.max(1.0);
    let lambda = n_e * delta0 / phi;
    let scaled = x2 / phi;
    let to_delta = phi / n_e;
    Some(MinEffect {
        groups: groups.len(),
        df,
        n_e,
        x2,
        lambda,
        p: noncentral_chi_square_sf(scaled, df as f64, lambda),
        delta_hat: ((x2 - phi * df as f64) / n_e).max(0.0),
        delta: Interval {
            low: noncentrality_at(scaled, df as f64, 0.025) * to_delta,
            high: noncentrality_at(scaled, df as f64, 0.975) * to_delta,
        },
    })
}

struct Group {
    expected: f64,
    observed: u64,
}

/// Merges bins in ascending order of share (ties by index) until each group expects enough rows;
/// a rest joins the last group.
fn merged(shares: &[f64], observed: &[u64], n: f64) -> Vec<Group> {
    let mut order: Vec<usize> = (0..shares.len()).collect();
    order.sort_by(|&left, &right| shares[left].total_cmp(&shares[right]).then(left.cmp(&right)));
    let mut groups: Vec<Group> = Vec::with_capacity(shares.len());
    let mut open = Group { expected: 0.0, observed: 0 };
    for bin in order {
        open.expected += n * shares[bin];
        open.observed += observed[bin];
        if open.expected >= EXPECTED_MIN {
            groups.push(open);
            open = Group { expected: 0.0, observed: 0 };
        }
    }
    if open.expected > 0.0 {
        match groups.last_mut() {
            Some(last) => {
                last.expected += open.expected;
                last.observed += open.observed;
            }
            None => groups.push(open),
        }
    }
    groups
}

/// The non-centrality under which P(X >= x) = `level`; 0 when even the central distribution
/// exceeds it.
///
/// *Bound*: the level is met to a relative 1e-9, in about ten evaluations; the bracket starts
/// at the normal approximation.
fn noncentrality_at(x: f64, df: f64, level: f64) -> f64 {
    let excess = |lambda: f64| noncentral_chi_square_sf(x, df, lambda) - level;
    if excess(0.0) >= 0.0 {
        return 0.0;
    }
    let deviation = (2.0 * (df + 2.0 * x)).sqrt();
    let mut low = 0.0;
    let mut high = (x - df).max(0.0) + deviation;
    let mut at_low = excess(low);
    let mut at_high = excess(high);
    while at_high < 0.0 {
        (low, at_low) = (high, at_high);
        high += 2.0 * deviation;
        at_high = excess(high);
    }
    // False position with Illinois' correction: as safe as bisection, far fewer evaluations.
    let mut last_side = 0_i8;
    for _ in 0..100 {
        if high - low <= 1e-9 * high {
            break;
        }
        let next = (low * at_high - high * at_low) / (at_high - at_low);
        let at_next = excess(next);
        if at_next.abs() < 1e-9 * level {
            return next;
        }
        if at_next < 0.0 {
            (low, at_low) = (next, at_next);
            if last_side == -1 {
                at_high *= 0.5;
            }
            last_side = -1;
        } else {
            (high, at_high) = (next, at_next);
            if last_side == 1 {
                at_low *= 0.5;
            }
            last_side = 1;
        }
    }
    0.5 * (low + high)
}

/// One accepted window of the warm-up, as tested with `phi = 1`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WarmUpWindow {
    /// Its chi-square distance.
    pub x2: f64,
    /// Its degrees of freedom, at least 1.
    pub df: usize,
}

/// Overdispersion: how many times farther than chance warm-up windows of one phase lie from
/// their own baseline, between 1 and [`PHI_MAX`].
///
/// Returns 1 without windows. *Source*: median of X2 over the median of its distribution, as a
/// ratio per window because merging may leave windows with different degrees of freedom; robust
/// against up to half of the windows being bad.
#[must_use]
pub fn overdispersion(windows: &[WarmUpWindow]) -> f64 {
    let mut ratios: Vec<f64> = windows
        .iter()
        .filter(|window| window.df > 0)
        .map(|window| window.x2 / chi_square_median(window.df as f64))
        .collect();
    if ratios.is_empty() {
        return 1.0;
    }
    ratios.sort_by(f64::total_cmp);
    let middle = ratios.len() / 2;
    let median = if ratios.len() % 2 == 1 {
        ratios[middle]
    } else {
        0.5 * (ratios[middle - 1] + ratios[middle])
    };
    median.clamp(1.0, PHI_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test_of(shares: &[f64], observed: &[u64]) -> Option<MinEffect> {
        min_effect(Baseline { shares, rows: 40_000, phi: 1.0 }, observed, 0.02)
    }

    #[test]
    fn an_empty_window_is_not_tested() {
        assert_eq!(test_of(&[0.5, 0.5], &[0, 0]), None);
        assert_eq!(test_of(&[0.5, 0.5], &[1, 1]), None, "one group is nothing to compare");
    }

    #[test]
    fn sparse_bins_merge_and_a_rest_joins_the_last_group() {
        // 10 rows: 0.5 + 0.5 + 1 makes a group, 8 the next one.
        let groups = merged(&[0.05, 0.05, 0.1, 0.8], &[1, 0, 2, 7], 10.0);
        let sizes: Vec<u64> = groups.iter().map(|group| group.observed).collect();
        assert_eq!(sizes, [3, 7]);
    }

    #[test]
    fn interval_holds_the_true_divergence_and_the_estimate() {
        // Observed shares lie exactly at divergence 0.2^2 / 0.5 * 2 = 0.16.
        let found = test_of(&[0.5, 0.5], &[7_000, 3_000]).expect("two groups of rows");

        assert!(found.delta.low < 0.16 && 0.16 < found.delta.high, "{found:?}");
        assert!(found.delta.low <= found.delta_hat && found.delta_hat <= found.delta.high);
    }

    #[test]
    fn inverted_noncentrality_gives_back_its_level() {
        for (x, df) in [(40.0, 19.0), (414.0, 21.0), (9e4, 5.0)] {
            for level in [0.025, 0.975] {
                let lambda = noncentrality_at(x, df, level);
                let found = noncentral_chi_square_sf(x, df, lambda);
                assert!((found - level).abs() < 1e-4 * level, "{x} {df} {level}: {found}");
            }
        }
    }

    #[test]
    fn no_drift_leaves_the_interval_open_towards_zero() {
        assert_eq!(noncentrality_at(19.0, 19.0, 0.025), 0.0);
        assert_eq!(noncentrality_at(1.0, 19.0, 0.975), 0.0, "closer than chance allows");
    }

    #[test]
    fn quiet_windows_have_no_overdispersion_and_wild_ones_are_capped() {
        let at_median = chi_square_median(19.0);
        let all = |x2| [WarmUpWindow { x2, df: 19 }; 15];

        assert_eq!(overdispersion(&[]), 1.0);
        assert_eq!(overdispersion(&all(0.5 * at_median)), 1.0);
        assert!((overdispersion(&all(1.7 * at_median)) - 1.7).abs() < 1e-9);
        assert_eq!(overdispersion(&all(22.0 * at_median)), PHI_MAX);
    }
}
