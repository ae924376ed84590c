//! Change typing: after an alarm, what happened to the values? A unit, a sign, or something else.
//!
//! Reads two vectors of quantiles, because only a change that is the same at every quantile can
//! be called by name. Not a test: run it only once a test has said that something moved. Time
//! zones, rounding, truncation, stuck values and recoding need other summaries and live elsewhere.
//!
//! The reference should be other producers in the same window where those are unaffected, else
//! the last accepted window, not an old baseline, which has drifted on its own.

use std::fmt;

/// Quantiles at 0.05, 0.10, ..., 0.95, ascending.
pub type Quantiles = [f64; 19];

/// At most this median absolute deviation of log ratios, and all quantiles moved alike.
const SCALE_SPREAD_MAX: f64 = 0.05;

/// A factor nearer to 1 than this (in ln) is not worth a name.
const SCALE_MIN: f64 = 0.05;

/// A known factor names a measured one within 15 %.
const SNAP: f64 = 1.15;

/// Fewer comparable quantiles than this say nothing about the whole distribution.
const QUANTILES_MIN: usize = 10;

/// A quantile this far (in ln) from the median ratio went its own way.
const APART: f64 = 0.2;

/// Where the middle stayed put, this many quantiles on their own mean that part of the rows moved.
const MOVED_APART_MIN: usize = 2;

/// One side of a comparison.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    /// Its quantiles.
    pub quantiles: &'a Quantiles,
    /// Share of its values below zero, 0 to 1.
    pub negative_share: f64,
}

/// A conversion that people make, by the factor that values are multiplied with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum KnownFactor {
    /// x100: dollars to cents, fraction to per cent.
    Hundred,
    /// x0.01: cents to dollars.
    Hundredth,
    /// x1000: seconds to milliseconds, kilo to unit.
    Thousand,
    /// x0.001.
    Thousandth,
    /// x60: minutes to seconds, hours to minutes.
    Sixty,
    /// x1/60.
    Sixtieth,
    /// x3600: hours to seconds.
    Hour,
    /// x1/3600.
    PerHour,
    /// x1.609: miles to kilometres.
    MilesToKilometres,
    /// x0.6214.
    KilometresToMiles,
    /// x2.205: kilograms to pounds.
    KilogramsToPounds,
    /// x0.4536.
    PoundsToKilograms,
    /// x3.281: metres to feet.
    MetresToFeet,
    /// x0.3048.
    FeetToMetres,
}

impl KnownFactor {
    const ALL: [Self; 14] = [
        Self::Hundred,
        Self::Hundredth,
        Self::Thousand,
        Self::Thousandth,
        Self::Sixty,
        Self::Sixtieth,
        Self::Hour,
        Self::PerHour,
        Self::MilesToKilometres,
        Self::KilometresToMiles,
        Self::KilogramsToPounds,
        Self::PoundsToKilograms,
        Self::MetresToFeet,
        Self::FeetToMetres,
    ];

    /// The exact factor.
    #[must_use]
    pub fn factor(self) -> f64 {
        match self {
            Self::Hundred => 100.0,
            Self::Hundredth => 0.01,
            Self::Thousand => 1_000.0,
            Self::Thousandth => 0.001,
            Self::Sixty => 60.0,
            Self::Sixtieth => 1.0 / 60.0,
            Self::Hour => 3_600.0,
            Self::PerHour => 1.0 / 3_600.0,
            Self::MilesToKilometres => 1.609_344,
            Self::KilometresToMiles => 1.0 / 1.609_344,
            Self::KilogramsToPounds => 1.0 / 0.453_592_37,
            Self::PoundsToKilograms => 0.453_592_37,
            Self::MetresToFeet => 1.0 / 0.3048,
            Self::FeetToMetres => 0.3048,
        }
    }

    /// The known factor nearest to `factor`, when within 15 %.
    #[must_use]
    pub fn nearest(factor: f64) -> Option<Self> {
        let distance = |known: &Self| (factor / known.factor()).ln().abs();
        Self::ALL
            .into_iter()
            .min_by(|left, right| distance(left).total_cmp(&distance(right)))
            .filter(|known| distance(known) <= SNAP.ln())
    }
}

impl fmt::Display for KnownFactor {
    /// As said in a sentence: `x100`, `x1.609`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Hundred => "x100",
            Self::Hundredth => "x0.01",
            Self::Thousand => "x1000",
            Self::Thousandth => "x0.001",
            Self::Sixty => "x60",
            Self::Sixtieth => "x1/60",
            Self::Hour => "x3600",
            Self::PerHour => "x1/3600",
            Self::MilesToKilometres => "x1.609",
            Self::KilometresToMiles => "x0.6214",
            Self::KilogramsToPounds => "x2.205",
            Self::PoundsToKilograms => "x0.4536",
            Self::MetresToFeet => "x3.281",
            Self::FeetToMetres => "x0.3048",
        })
    }
}

/// What happened to the values.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// All values were multiplied by the same factor.
    Scale {
        /// Measured factor, new over reference.
        factor: f64,
        /// The conversion it most likely is.
        snapped: Option<KnownFactor>,
        /// Median absolute deviation of the log ratios; below 0.05.
        spread: f64,
    },
    /// Values changed sign and kept their size.
    Sign,
    /// Quantiles moved, and not alike: an offset, or only part of the rows changed.
    ShiftOrMixture,
    /// No quantile moved to speak of, or too few can be compared.
    None,
}

/// The numbers a verdict rests on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Quantiles that could be compared: both not zero and of the same sign.
    pub quantiles: usize,
    /// Median of ln(new / reference) over those; 0 when there are none.
    pub median_log_ratio: f64,
    /// Median absolute deviation around it.
    pub mad: f64,
    /// Quantiles farther than 0.2 (in ln) from the median: 0 for a clean change of unit.
    pub moved_apart: usize,
}

/// A verdict with its evidence.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Typing {
    /// What happened.
    pub change: Change,
    /// Why it is believed; for a change of sign, of the mirrored quantiles.
    pub evidence: Evidence,
}

/// Types the change from `reference` to `new`.
///
/// A change of sign is looked for first: it is accepted only where shares of negatives swapped
/// and the mirrored quantiles match in size.
///
/// ```
/// use driftline::assess::tests::change::{Change, KnownFactor, Side, type_change};
/// let dollars: [f64; 19] = std::array::from_fn(|i| 5.0 + i as f64);
/// let cents = dollars.map(|value| value * 98.7);
/// let side = |quantiles| Side { quantiles, negative_share: 0.0 };
/// let Change::Scale { snapped, .. } = type_change(side(&cents), side(&dollars)).change else {
///     panic!("all quantiles moved alike");
/// };
/// assert_eq!(snapped, Some(KnownFactor::Hundred));
/// ```
#[must_use]
pub fn type_change(new: Side<'_>, reference: Side<'_>) -> Typing {
    let mirrored: Quantiles = std::array::from_fn(|i| -new.quantiles[18 - i]);
    let of_mirrored = evidence(&mirrored, reference.quantiles);
    let swapped = (new.negative_share - (1.0 - reference.negative_share)).abs() < 0.1
        && (new.negative_share - reference.negative_share).abs() > 0.2;
    if swapped && of_mirrored.is_uniform() && of_mirrored.median_log_ratio.abs() < SCALE_MIN {
        return Typing { change: Change::Sign, evidence: of_mirrored };
    }

    let found = evidence(new.quantiles, reference.quantiles);
    let change = if found.quantiles < QUANTILES_MIN {
        Change::None
    } else if !found.is_uniform() {
        Change::ShiftOrMixture
    } else if found.median_log_ratio.abs() >= SCALE_MIN {
        let factor = found.median_log_ratio.exp();
        Change::Scale { factor, snapped: KnownFactor::nearest(factor), spread: found.mad }
    } else if found.moved_apart >= MOVED_APART_MIN {
        Change::ShiftOrMixture
    } else {
        Change::None
    };
    Typing { change, evidence: found }
}

impl Evidence {
    fn is_uniform(&self) -> bool {
        self.quantiles >= QUANTILES_MIN && self.mad < SCALE_SPREAD_MAX
    }
}

fn evidence(new: &Quantiles, reference: &Quantiles) -> Evidence {
    let mut ratios: Vec<f64> = new
        .iter()
        .zip(reference)
        .filter(|(n, r)| *n * *r > 0.0 && n.is_finite() && r.is_finite())
        .map(|(n, r)| (n / r).ln())
        .collect();
    let quantiles = ratios.len();
    let median_log_ratio = median(&mut ratios);
    for ratio in &mut ratios {
        *ratio = (*ratio - median_log_ratio).abs();
    }
    let moved_apart = ratios.iter().filter(|&&distance| distance > APART).count();
    Evidence { quantiles, median_log_ratio, mad: median(&mut ratios), moved_apart }
}

/// Median, 0 for nothing; sorts its argument.
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        length if length % 2 == 1 => values[middle],
        _ => 0.5 * (values[middle - 1] + values[middle]),
    }
}

/// A measured factor with three significant digits, as said beside its name: `x98.7`, `x0.0101`.
#[must_use]
pub fn factor_text(factor: f64) -> String {
    if !factor.is_finite() || factor <= 0.0 {
        return format!("x{factor}");
    }
    let digits = (2 - factor.log10().floor() as i64).clamp(0, 12) as usize;
    format!("x{factor:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn skewed() -> Quantiles {
        std::array::from_fn(|i| (0.2 * i as f64).exp())
    }

    fn check(new: &Quantiles, negative_share: f64, expected: Change) {
        let reference = skewed();
        let found = type_change(
            Side { quantiles: new, negative_share },
            Side { quantiles: &reference, negative_share: 0.0 },
        );
        assert_eq!(found.change, expected, "{:?}", found.evidence);
    }

    #[test]
    fn one_factor_at_every_quantile_is_a_scale_with_its_name() {
        let new = skewed().map(|value| value * 98.7);
        let reference = skewed();
        let typing = type_change(
            Side { quantiles: &new, negative_share: 0.0 },
            Side { quantiles: &reference, negative_share: 0.0 },
        );

        let Change::Scale { factor, snapped, spread } = typing.change else {
            panic!("{typing:?}");
        };
        assert!((factor - 98.7).abs() < 1e-9 && spread < 1e-9);
        assert_eq!(snapped, Some(KnownFactor::Hundred));
        assert_eq!(factor_text(factor), "x98.7");
        assert_eq!(KnownFactor::Hundred.to_string(), "x100");
    }

    #[test]
    fn a_factor_nobody_uses_stays_unnamed() {
        assert_eq!(KnownFactor::nearest(7.0), None);
        assert_eq!(KnownFactor::nearest(114.0), Some(KnownFactor::Hundred));
        assert_eq!(KnownFactor::nearest(117.0), None);
        assert_eq!(KnownFactor::nearest(1.6), Some(KnownFactor::MilesToKilometres));
    }

    #[test]
    fn unmoved_quantiles_are_no_change() {
        check(&skewed(), 0.0, Change::None);
    }

    #[test]
    fn an_offset_is_a_shift_and_not_a_scale() {
        check(&skewed().map(|value| value + 5.0), 0.0, Change::ShiftOrMixture);
    }

    #[test]
    fn a_part_of_the_rows_is_a_mixture_and_not_a_scale() {
        let mut new = skewed();
        for value in &mut new[12..] {
            *value *= 100.0;
        }
        check(&new, 0.0, Change::ShiftOrMixture);
    }

    #[test]
    fn mirrored_values_are_a_change_of_sign() {
        let mut new = skewed().map(|value| -value);
        new.reverse();
        check(&new, 1.0, Change::Sign);
    }

    #[test]
    fn mostly_zeros_say_nothing() {
        let mut new = [0.0; 19];
        new[18] = 500.0;
        check(&new, 0.0, Change::None);
    }

    #[test]
    fn factors_are_told_with_three_digits() {
        assert_eq!(factor_text(0.010_13), "x0.0101");
        assert_eq!(factor_text(1_234.5), "x1234");
        assert_eq!(factor_text(1.609), "x1.61");
    }
}
