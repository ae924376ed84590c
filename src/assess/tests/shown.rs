//! PSI, Jensen-Shannon and Kolmogorov-Smirnov on bins: numbers people know from other tools.
//!
//! They are displayed and never decide: their usual cut-offs alarm too often on few rows and too
//! seldom on many (PSI over 0.1 with no drift: 31 % of windows of 100 rows in 10 bins).

/// The three distances between a baseline and a window in the same bins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Shown {
    /// Population stability index, each bin smoothed by half a row.
    pub psi: f64,
    /// Jensen-Shannon divergence in nats (0 to ln 2), each bin smoothed by half a row.
    pub js_nats: f64,
    /// Largest difference of the cumulative shares at a bin edge (0 to 1), unsmoothed: a lower
    /// bound of the statistic on raw values, and meaningful only when bins are in order.
    pub ks_on_bins: f64,
}

/// Computes the three distances; bins are summed in slice order.
///
/// *Shape*: equally long slices. Empty slices, or a side without rows, give zeros for KS and
/// smoothed values for the others.
///
/// # Panics
/// When the slices differ in length: counts of two layouts must never be compared.
#[must_use]
pub fn shown(baseline: &[u64], window: &[u64]) -> Shown {
    assert_eq!(baseline.len(), window.len(), "both sides must be counted in the same layout");
    let bins = baseline.len() as f64;
    let baseline_rows = baseline.iter().sum::<u64>() as f64;
    let window_rows = window.iter().sum::<u64>() as f64;
    let mut shown = Shown { psi: 0.0, js_nats: 0.0, ks_on_bins: 0.0 };
    let (mut cumulative_baseline, mut cumulative_window) = (0_u64, 0_u64);
    for (&b, &w) in baseline.iter().zip(window) {
        let q = (b as f64 + 0.5) / (baseline_rows + 0.5 * bins);
        let p = (w as f64 + 0.5) / (window_rows + 0.5 * bins);
        let middle = 0.5 * (p + q);
        shown.psi += (p - q) * (p / q).ln();
        shown.js_nats += 0.5 * (p * (p / middle).ln() + q * (q / middle).ln());
        cumulative_baseline += b;
        cumulative_window += w;
        if baseline_rows > 0.0 && window_rows > 0.0 {
            let gap =
                cumulative_window as f64 / window_rows - cumulative_baseline as f64 / baseline_rows;
            shown.ks_on_bins = shown.ks_on_bins.max(gap.abs());
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_shares_are_at_distance_zero() {
        let same = shown(&[10, 20, 30], &[10, 20, 30]);

        assert!(same.psi.abs() < 1e-15 && same.js_nats.abs() < 1e-15 && same.ks_on_bins == 0.0);
    }

    #[test]
    fn disjoint_shares_reach_the_upper_ends() {
        let apart = shown(&[1_000_000, 0], &[0, 1_000_000]);

        assert!((apart.ks_on_bins - 1.0).abs() < 1e-12);
        assert!((apart.js_nats - std::f64::consts::LN_2).abs() < 1e-4);
    }

    #[test]
    fn a_side_without_rows_is_finite() {
        let empty = shown(&[5, 5], &[0, 0]);

        assert!(empty.psi.is_finite() && empty.ks_on_bins == 0.0);
    }
}
