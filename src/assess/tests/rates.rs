//! Tests and intervals of rates: k of n rows in a bin, null, flagged, false positive.
//!
//! Exact tails, never a normal approximation: what matters is small rates and small p-values.
//! A tolerance is part of each null hypothesis, so that a certain but harmless move stays quiet.
//! Not here: which rates are watched, and when labels are mature enough to be read.

use super::tails::{
    Beta, beta_binomial_lower, beta_binomial_upper, binomial_lower, binomial_upper,
};
use super::{Interval, Z_95};

/// Tolerance of support and null tests, in absolute share: 2 rows in 1,000.
pub const SUPPORT_TOLERANCE: f64 = 0.002;

/// Tolerance of outcome rates, relative to the baseline rate.
pub const OUTCOME_TOLERANCE: f64 = 0.05;

/// `hits` among `rows`; a rate with its size. Invariant: `hits <= rows`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Count {
    /// Rows that count.
    pub hits: u64,
    /// All rows.
    pub rows: u64,
}

impl Count {
    /// The plain share, 0 without rows.
    #[must_use]
    pub fn share(self) -> f64 {
        if self.rows == 0 { 0.0 } else { self.hits as f64 / self.rows as f64 }
    }
}

/// Both tails of a rate against its baseline, each beyond a tolerance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateTest {
    /// Rate expected from the baseline, before tolerance.
    pub expected: f64,
    /// Rate in the window.
    pub estimate: f64,
    /// Wilson 95 % interval of the window's rate.
    pub interval: Interval,
    /// P(at least this many | rate raised by the tolerance): small means it certainly rose.
    pub p_rise: f64,
    /// P(at most this many | rate lowered by the tolerance): small means it certainly fell.
    pub p_fall: f64,
}

/// Support, null, atom and never-seen test: are there certainly more (or fewer) such rows than
/// the baseline rate plus (or minus) `tolerance`?
///
/// *Units*: `tolerance` is an absolute share ([`SUPPORT_TOLERANCE`]). *Source*: exact binomial
/// tails at `(b + 1) / (N0 + 1)`, which stays above 0 for what was never seen.
///
/// ```
/// use driftline::assess::tests::rates::{Count, SUPPORT_TOLERANCE, support};
/// let never_seen = Count { hits: 0, rows: 20_000 };
/// let test = support(never_seen, Count { hits: 16, rows: 330 }, SUPPORT_TOLERANCE);
/// assert!(test.p_rise < 1e-12);
/// ```
#[must_use]
pub fn support(baseline: Count, window: Count, tolerance: f64) -> RateTest {
    let expected = (baseline.hits as f64 + 1.0) / (baseline.rows as f64 + 1.0);
    RateTest {
        expected: expected.min(1.0),
        estimate: window.share(),
        interval: wilson_95(window),
        p_rise: rise(window, expected, tolerance),
        p_fall: fall(window, expected, tolerance),
    }
}

/// P(X >= hits) at `rate + tolerance`, capped at 1.
#[must_use]
pub fn rise(window: Count, rate: f64, tolerance: f64) -> f64 {
    binomial_upper(window.hits, window.rows, (rate + tolerance).min(1.0))
}

/// P(X <= hits) at `rate - tolerance`, floored at 0: what cannot fall further gives 1.
#[must_use]
pub fn fall(window: Count, rate: f64, tolerance: f64) -> f64 {
    binomial_lower(window.hits, window.rows, (rate - tolerance).max(0.0))
}

/// Wilson's 95 % interval of a rate; (0, 1) without rows.
///
/// *Source*: Wilson 1927. Ends are exactly 0 and 1 for no hits and for all hits.
#[must_use]
pub fn wilson_95(count: Count) -> Interval {
    if count.rows == 0 {
        return Interval { low: 0.0, high: 1.0 };
    }
    let n = count.rows as f64;
    let p = count.share();
    let z2 = Z_95 * Z_95;
    let centre = p + z2 / (2.0 * n);
    let half = Z_95 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z2 / n;
    let low = if count.hits == 0 { 0.0 } else { ((centre - half) / scale).max(0.0) };
    let high = if count.hits == count.rows { 1.0 } else { ((centre + half) / scale).min(1.0) };
    Interval { low, high }
}

/// Outcome rates: has the rate certainly moved by more than a relative `tolerance`, given that
/// the baseline is itself an estimate and that windows scatter more than chance (`phi >= 1`)?
///
/// *Source*: beta-binomial with Jeffreys' prior, `a = 1/2 + k0/phi`, `b = 1/2 + (n0 - k0)/phi`,
/// its mean moved by the tolerance at unchanged size `a + b`. *Bound*: see `tails`.
#[must_use]
pub fn outcome_change(baseline: Count, window: Count, spread: Spread) -> RateTest {
    let a = 0.5 + baseline.hits as f64 / spread.phi;
    let b = 0.5 + (baseline.rows - baseline.hits) as f64 / spread.phi;
    let size = a + b;
    let raised = a * (1.0 + spread.tolerance);
    let p_rise = if raised < size {
        let beta = Beta { a: raised, b: size - raised };
        beta_binomial_upper(window.hits, window.rows, beta)
    } else {
        1.0
    };
    let lowered = a * (1.0 - spread.tolerance);
    let p_fall = if lowered > 0.0 {
        let beta = Beta { a: lowered, b: size - lowered };
        beta_binomial_lower(window.hits, window.rows, beta)
    } else {
        1.0
    };
    RateTest {
        expected: a / size,
        estimate: window.share(),
        interval: wilson_95(window),
        p_rise,
        p_fall,
    }
}

/// How loosely an outcome rate is held.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Spread {
    /// Overdispersion of windows, at least 1.
    pub phi: f64,
    /// Tolerated relative move ([`OUTCOME_TOLERANCE`]), from 0 up to but not including 1.
    pub tolerance: f64,
}

/// An estimate with its 95 % interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Point estimate, inside the interval.
    pub value: f64,
    /// 95 % interval.
    pub interval: Interval,
}

/// Rate of `window` minus rate of `reference`, with its interval; within [-1, 1].
///
/// *Source*: Newcombe 1998, method 10 (square-and-add of two Wilson intervals).
#[must_use]
pub fn rate_difference(window: Count, reference: Count) -> Estimate {
    let (p, q) = (window.share(), reference.share());
    let (of_p, of_q) = (wilson_95(window), wilson_95(reference));
    let value = p - q;
    Estimate {
        value,
        interval: Interval {
            low: (value - (p - of_p.low).hypot(of_q.high - q)).max(-1.0),
            high: (value + (of_p.high - p).hypot(q - of_q.low)).min(1.0),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Spread = Spread { phi: 1.0, tolerance: OUTCOME_TOLERANCE };

    fn count(hits: u64, rows: u64) -> Count {
        Count { hits, rows }
    }

    #[test]
    fn a_rate_inside_its_tolerance_stays_quiet_at_any_size() {
        let test = support(count(3_500, 10_000), count(3_510_000, 10_000_000), SUPPORT_TOLERANCE);

        assert!(test.p_rise > 0.99 && test.p_fall > 0.99, "{test:?}");
    }

    #[test]
    fn a_null_rate_that_falls_to_zero_is_seen() {
        let test = support(count(800, 10_000), count(0, 400), SUPPORT_TOLERANCE);

        assert!(test.p_fall < 1e-12 && test.p_rise == 1.0);
    }

    #[test]
    fn what_was_never_there_cannot_fall() {
        assert_eq!(support(count(0, 10_000), count(0, 400), SUPPORT_TOLERANCE).p_fall, 1.0);
    }

    #[test]
    fn an_outcome_rate_that_doubles_is_certain_and_one_that_wobbles_is_not() {
        let baseline = count(6_300, 300_000);

        assert!(outcome_change(baseline, count(860, 20_000), USUAL).p_rise < 1e-9);
        assert!(outcome_change(baseline, count(430, 20_000), USUAL).p_rise > 0.4);
        assert!(outcome_change(baseline, count(210, 20_000), USUAL).p_fall < 1e-9);
    }

    #[test]
    fn overdispersion_makes_the_same_rise_less_certain() {
        let (baseline, window) = (count(300, 30_000), count(80, 5_000));
        let wide = Spread { phi: 4.0, ..USUAL };

        let narrow_p = outcome_change(baseline, window, USUAL).p_rise;
        assert!(outcome_change(baseline, window, wide).p_rise > narrow_p);
    }

    #[test]
    fn a_rate_at_one_has_no_room_to_rise() {
        assert_eq!(outcome_change(count(50, 50), count(9, 9), USUAL).p_rise, 1.0);
    }

    #[test]
    fn difference_of_equal_rates_is_zero_within_its_interval() {
        let difference = rate_difference(count(21, 1_000), count(210, 10_000));

        assert_eq!(difference.value, 0.0);
        assert!(difference.interval.low < 0.0 && 0.0 < difference.interval.high);
    }

    #[test]
    fn newcombe_interval_matches_the_published_example() {
        // Newcombe 1998, table II, contrast (a): 56/70 against 48/80.
        let found = rate_difference(count(56, 70), count(48, 80)).interval;

        assert!((found.low - 0.0524).abs() < 5e-5 && (found.high - 0.3339).abs() < 5e-5);
    }

    #[test]
    fn no_rows_leave_every_rate_possible() {
        assert_eq!(wilson_95(count(0, 0)), Interval { low: 0.0, high: 1.0 });
    }
}
