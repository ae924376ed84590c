//! A uniform sample that merges exactly, in any order: the values with the smallest hashes.
//!
//! The hash is of (topic, partition, offset, field), so a sample of one field is no row, and
//! reading a record twice changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// Values a sample holds, at most.
pub const SAMPLE_SIZE: usize = 2_048;

/// One value of a sample, after keep, hash or drop.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum SampleValue {
    /// A finite number.
    Number(f64),
    /// A category.
    Category {
        /// [`super::category_hash`] of it, its keyed hash, or [`super::UNNAMED`].
        hash: u64,
        /// The value itself where it may be kept.
        text: Option<String>,
    },
}

/// The [`SAMPLE_SIZE`] values with the smallest hashes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    entries: BTreeMap<u64, SampleValue>,
}

impl Sample {
    /// Whether a value with this hash would be taken.
    #[must_use]
    pub fn takes(&self, hash: u64) -> bool {
        self.entries.len() < SAMPLE_SIZE
            || self.entries.last_key_value().is_some_and(|(largest, _)| hash < *largest)
    }

    /// Adds a value.
    pub fn add(&mut self, hash: u64, value: SampleValue) {
        if self.takes(hash) {
            self.entries.insert(hash, value);
            if self.entries.len() > SAMPLE_SIZE {
                self.entries.pop_last();
            }
        }
    }

    /// Adds another sample to this one.
    pub fn merge(&mut self, other: &Sample) {
        for (hash, value) in &other.entries {
            self.add(*hash, value.clone());
        }
    }

    /// The hash from which on nothing is taken any more; `None` while there is room.
    #[must_use]
    pub fn bound(&self) -> Option<u64> {
        if self.entries.len() < SAMPLE_SIZE {
            return None;
        }
        self.entries.last_key_value().map(|(largest, _)| *largest)
    }

    /// The values, in hash order.
    pub fn values(&self) -> impl Iterator<Item = &SampleValue> {
        self.entries.values()
    }

    /// Number of different categories.
    #[must_use]
    pub fn categories(&self) -> usize {
        let hashes = self.entries.values().filter_map(|value| match value {
            SampleValue::Category { hash, .. } => Some(*hash),
            SampleValue::Number(_) => None,
        });
        hashes.collect::<BTreeSet<u64>>().len()
    }

    /// Number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Holds nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Forgets the values.
    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(hashes: &[u64]) -> Sample {
        let mut sample = Sample::default();
        for hash in hashes {
            sample.add(*hash, SampleValue::Number(*hash as f64));
        }
        sample
    }

    proptest! {
        #[test]
        fn merging_in_any_order_keeps_the_smallest_hashes(
            a in prop::collection::vec(any::<u64>(), 0..3_000),
            b in prop::collection::vec(any::<u64>(), 0..3_000),
        ) {
            let together = sample(&[a.clone(), b.clone()].concat());
            let mut forth = sample(&a);
            forth.merge(&sample(&b));
            let mut back = sample(&b);
            back.merge(&sample(&a));

            prop_assert_eq!(&forth, &together);
            prop_assert_eq!(&back, &together);
            prop_assert!(together.len() <= SAMPLE_SIZE);
        }
    }
}
