//! Tails of the binomial and the beta-binomial distribution, for counts up to 10^8 and
//! probabilities down to underflow.
//!
//! A tail is the density at its edge times a sum of ratios, so it keeps its relative precision
//! however small it is. Always the side away from the mean is summed; the other is one minus it.
//! A binomial tail takes at most about nine standard deviations of steps (45,000 at 10^8 rows);
//! a beta-binomial one likewise, where the standard deviation grows with the rows over the square
//! root of the baseline's rows (2,000 baseline rows and 10^6 new ones: about 10^5 steps).
//! With hardly any baseline every row above k is a step: test outcomes from 2,000 rows on.

use super::special::ln_binomial;

/// A remaining tail below this share of the sum no longer matters.
const STOP_SHARE: f64 = 1e-15;

/// P(X >= k) for X binomial with `n` rows and probability `p`.
///
/// *Shape*: `p` is clamped to [0, 1]. *Bound*: relative error about 1e-12.
#[must_use]
pub fn binomial_upper(k: u64, n: u64, p: f64) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k > n || p <= 0.0 {
        return 0.0;
    }
    if p >= 1.0 {
        return 1.0;
    }
    if (k as f64) <= n as f64 * p {
        return 1.0 - binomial_down(k - 1, n, p);
    }
    binomial_up(k, n, p)
}

/// P(X <= k) for X binomial with `n` rows and probability `p`; bounds as [`binomial_upper`].
#[must_use]
pub fn binomial_lower(k: u64, n: u64, p: f64) -> f64 {
    if k >= n || p <= 0.0 {
        return 1.0;
    }
    if p >= 1.0 {
        return 0.0;
    }
    if (k as f64) < n as f64 * p {
        return binomial_down(k, n, p);
    }
    1.0 - binomial_up(k + 1, n, p)
}

/// Sum of the density over k, k + 1, ...; good when k lies above the mean.
fn binomial_up(k: u64, n: u64, p: f64) -> f64 {
    let odds = p / (1.0 - p);
    let rows = n as f64;
    let sum = sum_of_ratios(k as f64, rows, |i| (rows - i) / (i + 1.0) * odds);
    (ln_binomial(k as f64, rows, p) + sum.ln()).exp().min(1.0)
}

/// Sum of the density over k, k - 1, ...; the same sum for the rows that are not counted.
fn binomial_down(k: u64, n: u64, p: f64) -> f64 {
    let against = (1.0 - p) / p;
    let rows = n as f64;
    let missing = (n - k) as f64;
    let sum = sum_of_ratios(missing, rows, |i| (rows - i) / (i + 1.0) * against);
    (ln_binomial(k as f64, rows, p) + sum.ln()).exp().min(1.0)
}

/// `1 + r(from) + r(from) r(from + 1) + ...` up to `last`, stopped when the rest cannot matter.
///
/// Ratios fall along a tail, so the rest is at most `term * r / (1 - r)`.
fn sum_of_ratios(from: f64, last: f64, ratio: impl Fn(f64) -> f64) -> f64 {
    let mut sum = 1.0;
    let mut term = 1.0;
    let mut i = from;
    while i < last {
        let next = ratio(i);
        term *= next;
        sum += term;
        i += 1.0;
        if next < 1.0 && term * next < STOP_SHARE * sum * (1.0 - next) {
            break;
        }
    }
    sum
}

/// A beta distribution of a rate, as prior or baseline: `a` for and `b` against, both above 0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Beta {
    /// Weight of the rows that count.
    pub a: f64,
    /// Weight of the rows that do not.
    pub b: f64,
}

/// P(X >= k) for X beta-binomial: binomial over `n` rows with a rate drawn from `beta`.
///
/// *Bound*: relative error about 1e-11. *Source*: density as a quotient of three binomial
/// densities at a common probability, whose powers cancel.
#[must_use]
pub fn beta_binomial_upper(k: u64, n: u64, beta: Beta) -> f64 {
    if k == 0 {
        return 1.0;
    }
    if k > n {
        return 0.0;
    }
    let mean = n as f64 * beta.a / (beta.a + beta.b);
    if k as f64 <= mean {
        return 1.0 - beta_binomial_up(n - k + 1, n, mirrored(beta));
    }
    beta_binomial_up(k, n, beta)
}

/// P(X <= k) for X beta-binomial; bounds as [`beta_binomial_upper`].
#[must_use]
pub fn beta_binomial_lower(k: u64, n: u64, beta: Beta) -> f64 {
    if k >= n {
        return 1.0;
    }
    beta_binomial_upper(n - k, n, mirrored(beta))
}

fn mirrored(beta: Beta) -> Beta {
    Beta { a: beta.b, b: beta.a }
}

fn beta_binomial_up(k: u64, n: u64, beta: Beta) -> f64 {
    let (rows, Beta { a, b }) = (n as f64, beta);
    let sum = sum_of_ratios(k as f64, rows, |i| {
        (rows - i) * (i + a) / ((i + 1.0) * (rows - i - 1.0 + b))
    });
    (ln_beta_binomial(k as f64, rows, beta) + sum.ln()).exp().min(1.0)
}

fn ln_beta_binomial(k: f64, n: f64, Beta { a, b }: Beta) -> f64 {
    let total = n + a + b;
    let p = (k + a) / total;
    let odds_of_sizes = (total * a * b) / ((k + a) * (n - k + b) * (a + b));
    ln_binomial(k, n, p) + ln_binomial(a, a + b, p) - ln_binomial(k + a, total, p)
        + odds_of_sizes.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, relative: f64) {
        let error = (found - expected).abs() / expected.abs();
        assert!(error <= relative, "{found:e} is not {expected:e} (relative error {error:e})");
    }

    #[test]
    fn binomial_tails_of_a_fair_coin_are_counted_exactly() {
        close(binomial_upper(8, 10, 0.5), 56.0 / 1024.0, 1e-13);
        close(binomial_lower(2, 10, 0.5), 56.0 / 1024.0, 1e-13);
        close(binomial_upper(2, 10, 0.5), 1013.0 / 1024.0, 1e-13);
    }

    #[test]
    fn tails_on_both_sides_of_a_value_sum_to_one() {
        for k in [1_u64, 40, 100, 101, 140, 9_999] {
            let sum = binomial_upper(k, 10_000, 0.01) + binomial_lower(k - 1, 10_000, 0.01);
            close(sum, 1.0, 1e-12);
            let beta = Beta { a: 12.5, b: 1_200.0 };
            let both =
                beta_binomial_upper(k, 10_000, beta) + beta_binomial_lower(k - 1, 10_000, beta);
            close(both, 1.0, 1e-10);
        }
    }

    #[test]
    fn uniform_prior_makes_every_count_equally_likely() {
        let uniform = Beta { a: 1.0, b: 1.0 };

        close(beta_binomial_upper(30, 99, uniform), 0.7, 1e-12);
        close(beta_binomial_lower(9, 99, uniform), 0.1, 1e-12);
    }

    #[test]
    fn a_hundred_million_rows_agree_with_the_normal_tail() {
        let n = 100_000_000_u64;
        // Five standard deviations (995 rows each) above the mean; skewness adds 2 % to the tail.
        let deviation = (n as f64 * 0.01 * 0.99).sqrt();
        let k = 1_000_000 + (5.0 * deviation) as u64;
        close(binomial_upper(k, n, 0.01), 2.866_5e-7, 0.04);
        let sharp = Beta { a: 1e10, b: 99e10 };
        close(beta_binomial_upper(k, n, sharp), 2.866_5e-7, 0.04);
    }
}
