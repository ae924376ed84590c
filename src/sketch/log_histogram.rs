//! Counts by magnitude, for quantiles over an open range and for telling kinds of change.
//!
//! A bucket is an exponent and the six leading bits of the mantissa, so finding it is a shift:
//! exact on every platform, no logarithm. Not for tests: those read bins.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::counts::Counts;

/// Mantissa bits kept: 64 buckets an octave.
const MANTISSA_BITS: u32 = 6;
const SHIFT: u32 = 52 - MANTISSA_BITS;
/// Magnitudes below 2^-40 (9e-13) share the lowest bucket.
const LOWEST: u32 = (1023 - 40) << MANTISSA_BITS;
/// Magnitudes of 2^80 (1e24) and more share the highest bucket.
const HIGHEST: u32 = ((1023 + 80) << MANTISSA_BITS) - 1;
/// A range grows by so many buckets at the least, so that it does not grow at every new extreme.
const STEP: u32 = 8;

/// A histogram of non-zero finite numbers. *Bound*: the value told for a bucket is within 0.8 %
/// of each value counted in it, for magnitudes from 1e-12 to 1e24. *Memory*: 1 byte for each
/// bucket between the smallest and the largest magnitude while no bucket has more than 255
/// values, 2 up to 65,535, then 4 and 8; 61 KiB a sign at the most. *Serialised*: the first bucket
/// that is not empty and the counts from there to the last, whatever has been in it before.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogHistogram {
    positive: Store,
    negative: Store,
}

/// Dense counts from bucket `first` on; both ends may be zero.
#[derive(Clone, Debug, Default)]
struct Store {
    first: u32,
    counts: Counts,
}

impl Store {
    #[inline]
    fn add(&mut self, bucket: u32, n: u64) {
        let index = bucket.wrapping_sub(self.first) as usize;
        if index < self.counts.len() {
            self.counts.add(index, n);
        } else {
            self.reach(bucket);
            self.counts.add((bucket - self.first) as usize, n);
        }
    }

    /// Makes room for a bucket outside the range.
    #[cold]
    fn reach(&mut self, bucket: u32) {
        let step = bucket - bucket % STEP;
        if self.counts.is_empty() {
            self.first = step;
        }
        let before = self.first.saturating_sub(step);
        self.first -= before;
        let needed = (step - self.first + STEP) as usize;
        self.counts.grow(before as usize, needed.saturating_sub(self.counts.len()));
    }

    fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    fn entries(&self) -> impl DoubleEndedIterator<Item = (u32, u64)> {
        let counts = self.counts.iter().enumerate();
        counts.map(|(index, n)| (self.first + index as u32, n)).filter(|(_, n)| *n > 0)
    }
}

impl PartialEq for Store {
    fn eq(&self, other: &Store) -> bool {
        self.entries().eq(other.entries())
    }
}

impl Eq for Store {}

/// How a store is written.
#[derive(Serialize, Deserialize)]
struct Written {
    first: u32,
    counts: Vec<u64>,
}

impl Serialize for Store {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let ends = self.entries().next().zip(self.entries().next_back());
        let written = match ends {
            None => Written { first: 0, counts: Vec::new() },
            Some(((first, _), (last, _))) => {
                let (skip, take) = ((first - self.first) as usize, (last - first + 1) as usize);
                Written { first, counts: self.counts.iter().skip(skip).take(take).collect() }
            }
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Store {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Store, D::Error> {
        let Written { first, counts } = Written::deserialize(deserializer)?;
        let last = (first as usize).saturating_add(counts.len());
        if !counts.is_empty() && (first < LOWEST || last > HIGHEST as usize + 1) {
            return Err(D::Error::custom(format!(
                "buckets {first} to {last} of a log histogram are not all of {LOWEST} to {HIGHEST}"
            )));
        }
        Ok(Store { first, counts: counts.into_iter().collect() })
    }
}

fn bucket_of(magnitude: f64) -> u32 {
    ((magnitude.to_bits() >> SHIFT) as u32).clamp(LOWEST, HIGHEST)
}

/// The middle of a bucket.
fn value_of(bucket: u32) -> f64 {
    let low = f64::from_bits(u64::from(bucket) << SHIFT);
    let high = f64::from_bits(u64::from(bucket + 1) << SHIFT);
    f64::midpoint(low, high)
}

impl LogHistogram {
    /// Counts a value; zero and numbers that are not finite are the caller's counters.
    pub fn add(&mut self, value: f64) {
        debug_assert!(value.is_finite() && value != 0.0);
        if value > 0.0 {
            self.positive.add(bucket_of(value), 1);
        } else {
            self.negative.add(bucket_of(-value), 1);
        }
    }

    /// Adds another histogram to this one; exact.
    pub fn merge(&mut self, other: &LogHistogram) {
        for (bucket, n) in other.positive.entries() {
            self.positive.add(bucket, n);
        }
        for (bucket, n) in other.negative.entries() {
            self.negative.add(bucket, n);
        }
    }

    /// Sets every count to zero, keeping memory and range.
    pub fn clear(&mut self) {
        self.positive.counts.clear();
        self.negative.counts.clear();
    }

    /// Values counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.positive.total() + self.negative.total()
    }

    /// Share of the counted values that are negative; 0 when there are none.
    #[must_use]
    pub fn negative_share(&self) -> f64 {
        let total = self.total();
        if total == 0 { 0.0 } else { self.negative.total() as f64 / total as f64 }
    }

    /// The value at rank `ceil(q n)` among the counted values and `zeros` zeros; `None` when
    /// there are neither. *Range*: `q` in [0, 1].
    #[must_use]
    pub fn quantile(&self, q: f64, zeros: u64) -> Option<f64> {
        let n = self.total() + zeros;
        if n == 0 {
            return None;
        }
        let rank = ((q * n as f64).ceil() as u64).clamp(1, n);
        let mut seen = 0;
        for (bucket, count) in self.negative.entries().rev() {
            seen += count;
            if seen >= rank {
                return Some(-value_of(bucket));
            }
        }
        seen += zeros;
        if seen >= rank {
            return Some(0.0);
        }
        for (bucket, count) in self.positive.entries() {
            seen += count;
            if seen >= rank {
                return Some(value_of(bucket));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn histogram(values: &[f64]) -> LogHistogram {
        let mut histogram = LogHistogram::default();
        for value in values {
            histogram.add(*value);
        }
        histogram
    }

    proptest! {
        #[test]
        fn a_bucket_tells_its_values_within_the_bound(magnitude in 1e-12..1e24_f64) {
            let told = value_of(bucket_of(magnitude));

            prop_assert!((told - magnitude).abs() <= 0.008 * magnitude, "{told} for {magnitude}");
        }

        #[test]
        fn merging_in_any_order_counts_the_same(
            a in prop::collection::vec(-1e6..1e6_f64, 0..50),
            b in prop::collection::vec(-1e6..1e6_f64, 0..50),
        ) {
            let (a, b): (Vec<f64>, Vec<f64>) = (
                a.into_iter().filter(|v| *v != 0.0).collect(),
                b.into_iter().filter(|v| *v != 0.0).collect(),
            );
            let together = histogram(&[a.clone(), b.clone()].concat());
            let mut forth = histogram(&a);
            forth.merge(&histogram(&b));
            let mut back = histogram(&b);
            back.merge(&histogram(&a));

            for q in [0.0, 0.05, 0.5, 0.95, 1.0] {
                prop_assert_eq!(forth.quantile(q, 3), together.quantile(q, 3));
                prop_assert_eq!(back.quantile(q, 3), together.quantile(q, 3));
            }
            prop_assert_eq!(forth.total(), together.total());
        }
    }

    #[test]
    fn what_was_counted_before_a_clear_is_not_told() {
        let mut reused = histogram(&[1e-6, -5.0, 1e9]);
        reused.clear();
        reused.add(3.5);
        let fresh = histogram(&[3.5]);

        let told = postcard::to_stdvec(&reused).expect("fits");
        assert_eq!(told, postcard::to_stdvec(&fresh).expect("fits"));
        assert_eq!(postcard::from_bytes::<LogHistogram>(&told).expect("whole"), reused);
    }

    #[test]
    fn buckets_that_no_number_has_are_refused() {
        for first in [0, LOWEST - 1, HIGHEST, u32::MAX] {
            let bytes = postcard::to_stdvec(&(first, vec![1_u64, 1])).expect("fits");

            assert!(postcard::from_bytes::<Store>(&bytes).is_err(), "{first}");
        }
    }

    #[test]
    fn quantiles_walk_from_negative_through_zero_to_positive() {
        let histogram = histogram(&[-100.0, -1.0, 1.0, 100.0]);

        let at = |q| histogram.quantile(q, 1).expect("five values");
        assert!((at(0.2) + 100.0).abs() < 1.0);
        assert!((at(0.4) + 1.0).abs() < 0.01);
        assert!(at(0.6) == 0.0);
        assert!((at(1.0) - 100.0).abs() < 1.0);
        assert!(LogHistogram::default().quantile(0.5, 0).is_none());
    }
}
