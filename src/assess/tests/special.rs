//! Densities and survival functions that statrs lacks or loses digits on: the non-central
//! chi-square, the regularised gamma function in log space, saddle-point densities.
//!
//! Everything is built on densities in saddle-point form, so that arguments of 10^8 cost no
//! digits: the usual `a ln x - x - ln_gamma(a)` subtracts numbers of size 10^9 from each other.
//! Nothing here knows what is being tested.
//!
//! Source: C. Loader, "Fast and accurate computation of binomial probabilities" (2000), for
//! [`ln_poisson`] and [`ln_binomial`], both extended to real arguments.

use std::f64::consts::{LN_2, PI};

use statrs::function::gamma::ln_gamma;

/// Half of ln(2 pi).
const HALF_LN_TWO_PI: f64 = 0.918_938_533_204_672_8;

/// A term this much smaller (in ln) than the largest one no longer changes an `f64` sum.
const NEGLIGIBLE_LN: f64 = 42.0;

/// Error of Stirling's formula: `ln Gamma(x + 1) - (x + 1/2) ln x + x - ln(2 pi) / 2`.
///
/// *Shape*: `x > 0`. *Bound*: absolute error about 1e-15 (series above 16, `ln_gamma` below).
fn stirling_error(x: f64) -> f64 {
    if x < 16.0 {
        return ln_gamma(x + 1.0) - (x + 0.5) * x.ln() + x - HALF_LN_TWO_PI;
    }
    let square = x * x;
    let tail = 1.0 / 1260.0 - (1.0 / 1680.0 - 1.0 / 1188.0 / square) / square;
    (1.0 / 12.0 - (1.0 / 360.0 - tail / square) / square) / x
}

/// Deviance `x ln(x / mean) + mean - x`, without cancellation when the two are close.
fn deviance(x: f64, mean: f64) -> f64 {
    let difference = x - mean;
    if difference.abs() >= 0.1 * (x + mean) {
        return x * (x / mean).ln() - difference;
    }
    let ratio = difference / (x + mean);
    let mut sum = difference * ratio;
    let mut term = 2.0 * x * ratio;
    for power in (3..200).step_by(2) {
        term *= ratio * ratio;
        let next = sum + term / f64::from(power);
        if next == sum {
            break;
        }
        sum = next;
    }
    sum
}

/// Natural logarithm of `mean^x e^-mean / Gamma(x + 1)`: the Poisson density, for real `x` too.
///
/// *Shape*: `x >= 0`, `mean >= 0`. *Bound*: relative error of the density about 1e-14 times
/// its deviance.
#[must_use]
pub fn ln_poisson(x: f64, mean: f64) -> f64 {
    if mean <= 0.0 {
        return if x == 0.0 { 0.0 } else { f64::NEG_INFINITY };
    }
    if x <= 0.0 {
        return -mean;
    }
    if x < 1e-6 * mean || x < 1e-3 {
        return x * mean.ln() - mean - ln_gamma(x + 1.0);
    }
    -stirling_error(x) - deviance(x, mean) - 0.5 * (2.0 * PI * x).ln()
}

/// Natural logarithm of `C(m, x) p^x (1-p)^(m-x)`, with the binomial coefficient written in
/// gamma functions so that `x` and `m` may be real.
///
/// *Shape*: `0 <= x <= m`, `0 < p < 1`. *Bound*: as [`ln_poisson`].
#[must_use]
pub fn ln_binomial(x: f64, m: f64, p: f64) -> f64 {
    if m <= 0.0 {
        return 0.0;
    }
    if x <= 0.0 {
        return m * (-p).ln_1p();
    }
    if x >= m {
        return m * p.ln();
    }
    let rest = m - x;
    stirling_error(m)
        - stirling_error(x)
        - stirling_error(rest)
        - deviance(x, m * p)
        - deviance(rest, m * (1.0 - p))
        + 0.5 * (m / (2.0 * PI * x * rest)).ln()
}

/// Natural logarithm of the regularised upper incomplete gamma function Q(a, y).
///
/// *Shape*: `a > 0`, `y >= 0`. *Bound*: relative error of Q about 1e-12, also where Q itself
/// would underflow; `O(sqrt(a))` steps. *Source*: series and continued fraction (modified Lentz),
/// Numerical Recipes 6.2, with the prefactor in saddle-point form.
#[must_use]
pub fn ln_gamma_upper(a: f64, y: f64) -> f64 {
    if y <= 0.0 {
        return 0.0;
    }
    // y^a e^-y / Gamma(a + 1)
    let ln_front = ln_poisson(a, y);
    if y < a + 1.0 {
        let mut term = 1.0;
        let mut sum = 1.0;
        let mut divisor = a;
        while term > sum * 1e-17 {
            divisor += 1.0;
            term *= y / divisor;
            sum += term;
        }
        let lower = (ln_front + sum.ln()).exp();
        return (-lower.min(1.0)).ln_1p();
    }
    ln_front + a.ln() + ln_gamma_fraction(a, y)
}

/// The continued fraction of Q, `Gamma(a, y) / (y^a e^-y)`, in ln; converges for `y > a + 1`.
fn ln_gamma_fraction(a: f64, y: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let mut b = y + 1.0 - a;
    let mut c = 1.0 / TINY;
    let mut d = 1.0 / b;
    let mut fraction = d;
    let mut step = 0.0;
    // 10^6 steps is past sqrt(a) for every a that a count of rows can give.
    while step < 1e6 {
        step += 1.0;
        let numerator = step * (a - step);
        b += 2.0;
        d = guarded(numerator * d + b, TINY);
        c = guarded(b + numerator / c, TINY);
        d = 1.0 / d;
        let change = d * c;
        fraction *= change;
        if (change - 1.0).abs() < 1e-16 {
            break;
        }
    }
    fraction.ln()
}

fn guarded(value: f64, tiny: f64) -> f64 {
    if value.abs() < tiny { tiny } else { value }
}

/// Survival function of the chi-square distribution: P(X >= x) with `df` degrees of freedom.
#[must_use]
pub fn chi_square_sf(x: f64, df: f64) -> f64 {
    ln_gamma_upper(df / 2.0, x / 2.0).exp()
}

/// Median of the chi-square distribution with `df > 0` degrees of freedom.
///
/// *Bound*: relative error 1e-12, by bisection around Wilson and Hilferty's approximation.
#[must_use]
pub fn chi_square_median(df: f64) -> f64 {
    let cube_root = 1.0 - 2.0 / (9.0 * df.max(0.5));
    let guess = df * cube_root * cube_root * cube_root;
    let (mut low, mut high) = (guess * 0.5, guess * 1.5);
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if ln_gamma_upper(df / 2.0, middle / 2.0) > -LN_2 {
            low = middle;
        } else {
            high = middle;
        }
    }
    0.5 * (low + high)
}

/// Survival function of the non-central chi-square distribution: P(X >= x) with `df` degrees of
/// freedom and non-centrality `lambda`.
///
/// *Shape*: `df > 0`, `lambda >= 0`. *Bound*: relative error 1e-9 above 1e-280 (held to golden
/// values), then down to underflow; `O(sqrt(lambda) + sqrt(x))` steps,
/// no allocation. *Method*: the Poisson mixture of central survival functions, summed upwards
/// over the part that matters. Going up, Q(a + 1, y) = Q(a, y) + y^a e^-y / Gamma(a + 1) only
/// adds positive numbers.
#[must_use]
pub fn noncentral_chi_square_sf(x: f64, df: f64, lambda: f64) -> f64 {
    if x <= 0.0 {
        return 1.0;
    }
    let (shape, y, mean) = (df / 2.0, x / 2.0, lambda / 2.0);
    if mean <= 0.0 {
        return ln_gamma_upper(shape, y).exp();
    }
    let ln_term = |j: f64| ln_poisson(j, mean) + ln_gamma_upper(shape + j, y);
    // Where the next term would be as large as this one: at the mean while Q is near 1, else
    // where mean / j * y / (shape + j) = 1.
    let in_tail = 0.5 * ((shape * shape + 4.0 * mean * y).sqrt() - shape);
    let peak = mean.max(in_tail).floor();
    let ln_peak = ln_term(peak);
    let mut width = 10.0 * (peak + 1.0).sqrt() + 10.0;
    let mut start = (peak - width).max(0.0).floor();
    while start > 0.0 && ln_term(start) > ln_peak - NEGLIGIBLE_LN {
        width *= 2.0;
        start = (peak - width).max(0.0).floor();
    }

    // Both parts are kept relative to the first term; only their sum is scaled back.
    let ln_first = ln_term(start);
    let mut term = 1.0;
    let mut increment = (ln_poisson(start, mean) + ln_poisson(shape + start, y) - ln_first).exp();
    let mut sum = 1.0;
    let mut j = start;
    loop {
        let weight = mean / (j + 1.0);
        term = weight * (term + increment);
        increment *= weight * y / (shape + j + 1.0);
        sum += term;
        j += 1.0;
        if j > peak && term < sum * 1e-17 {
            break;
        }
    }
    (ln_first + sum.ln()).exp().min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn close(found: f64, expected: f64, relative: f64) {
        let error = (found - expected).abs() / expected.abs().max(1e-300);
        assert!(error <= relative, "{found:e} is not {expected:e} (relative error {error:e})");
    }

    #[test]
    fn poisson_density_keeps_its_digits_at_large_arguments() {
        // At the mode the density is 1 / sqrt(2 pi x), corrected by 1 / (12 x).
        let x = 1e12;
        close(ln_poisson(x, x).exp(), 1.0 / (2.0 * PI * x).sqrt(), 1e-12);
        close(ln_poisson(3.0, 2.0).exp(), 8.0 / 6.0 * (-2.0_f64).exp(), 1e-13);
    }

    #[test]
    fn one_degree_pair_is_an_exponential() {
        for x in [0.1, 1.0, 2.5, 40.0, 900.0] {
            close(chi_square_sf(x, 2.0), (-x / 2.0).exp(), 1e-12);
        }
        close(chi_square_median(2.0), 2.0 * LN_2, 1e-10);
        close(chi_square_median(1.0), 0.454_936_423_119_572_8, 1e-9);
    }

    #[test]
    fn noncentral_survival_falls_in_x_and_rises_in_lambda() {
        let at = noncentral_chi_square_sf;

        assert!(at(30.0, 19.0, 4.0) < at(25.0, 19.0, 4.0));
        assert!(at(30.0, 19.0, 4.0) > at(30.0, 19.0, 3.0));
        close(at(12.0, 5.0, 0.0), chi_square_sf(12.0, 5.0), 1e-14);
    }

    #[test]
    fn a_hundred_million_rows_neither_overflow_nor_lose_the_answer() {
        // Far from zero the distribution is nearly normal around df + lambda.
        let lambda = 2e6_f64;
        let deviation = (2.0 * (19.0 + 2.0 * lambda)).sqrt();
        let middle = noncentral_chi_square_sf(19.0 + lambda, 19.0, lambda);
        assert!((middle - 0.5).abs() < 1e-3, "{middle}");
        let tail = noncentral_chi_square_sf(19.0 + lambda + 3.0 * deviation, 19.0, lambda);
        assert!((tail / 1.349_9e-3 - 1.0).abs() < 0.02, "{tail}");
        assert!(noncentral_chi_square_sf(4e6, 19.0, lambda) < 1e-300);
    }
}
