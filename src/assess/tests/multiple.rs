//! Benjamini and Hochberg's step-up rule: which of many p-values of one window stand.
//!
//! Not here: control across time, which persistence over windows does.

/// Indices, ascending, of the p-values rejected at false-discovery rate `q`.
///
/// *Shape*: p-values in any order; one that is not a number is never rejected but counts as a
/// test made. *Bound*: `O(n log n)`. Valid for independent and positively dependent tests.
/// *Source*: Benjamini and Hochberg 1995.
///
/// ```
/// use driftline::assess::tests::multiple::benjamini_hochberg;
/// assert_eq!(benjamini_hochberg(&[0.2, 1e-6, 0.004], 0.01), [1, 2]);
/// ```
#[must_use]
pub fn benjamini_hochberg(p_values: &[f64], q: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p_values.len()).filter(|&i| !p_values[i].is_nan()).collect();
    order
        .sort_by(|&left, &right| p_values[left].total_cmp(&p_values[right]).then(left.cmp(&right)));
    let tests = p_values.len() as f64;
    let rejected = (1..=order.len())
        .rev()
        .find(|&rank| p_values[order[rank - 1]] <= q * rank as f64 / tests)
        .unwrap_or(0);
    order.truncate(rejected);
    order.sort_unstable();
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_tested_rejects_nothing() {
        assert!(benjamini_hochberg(&[], 0.01).is_empty());
    }

    #[test]
    fn a_large_p_below_its_step_takes_the_smaller_ones_with_it() {
        // 0.009 alone misses its own step (0.005) but the second step, 0.01, carries both.
        assert_eq!(benjamini_hochberg(&[0.009, 0.0095], 0.01), [0, 1]);
    }

    #[test]
    fn not_a_number_is_never_rejected() {
        assert_eq!(benjamini_hochberg(&[f64::NAN, 1e-9], 0.01), [1]);
    }
}
