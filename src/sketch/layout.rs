//! What observe needs to count a field: bin edges, frequent values, a dictionary.
//!
//! Learnt once from a sample by assess; from then on counts are exact and every comparison is of
//! like with like. Frequent values have bins of their own, and so has everything outside the
//! range seen, because a sentinel or a new unit otherwise hides inside an ordinary bin.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::sample::{Sample, SampleValue};

/// Quantile bins of a numeric layout.
const QUANTILE_BINS: usize = 20;
/// Values with at least this share of the sample get a bin of their own.
const ATOM_SHARE: f64 = 0.02;
/// Numeric values with a bin of their own, at most.
const ATOMS_MAX: usize = 8;
/// Categories with at least this share of the sample are in the dictionary.
const CATEGORY_SHARE: f64 = 0.005;
/// Categories in a dictionary, at most.
pub const DICTIONARY_MAX: usize = 64;

/// Stands in for the hash of a value that must not be told: no value has it.
pub const UNNAMED: u64 = u64::MAX;

/// The layout of one field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FieldLayout {
    /// For numbers.
    Numeric(NumericLayout),
    /// For categories.
    Category(CategoryLayout),
}

impl FieldLayout {
    /// Bins it has.
    #[must_use]
    pub fn bins(&self) -> usize {
        match self {
            FieldLayout::Numeric(layout) => layout.bins(),
            FieldLayout::Category(layout) => layout.bins(),
        }
    }

    /// Reads a layout from a sample of one field; `None` when the sample is empty, or holds
    /// categories without a name: those cannot be found again.
    #[must_use]
    pub fn learn(sample: &Sample) -> Option<FieldLayout> {
        let mut numbers = Vec::new();
        let mut categories = Vec::new();
        for value in sample.values() {
            match value {
                SampleValue::Number(number) => numbers.push(*number),
                SampleValue::Category { hash: UNNAMED, .. } => return None,
                SampleValue::Category { hash, text } => categories.push((*hash, text.as_deref())),
            }
        }
        if numbers.len() >= categories.len() {
            NumericLayout::learn(numbers).map(FieldLayout::Numeric)
        } else {
            Some(FieldLayout::Category(CategoryLayout::learn(categories)))
        }
    }
}

/// Bins of a numeric field, in this order: below the minimum, the quantile bins, above the
/// maximum, the frequent values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct NumericLayout {
    minimum: f64,
    maximum: f64,
    /// Inner edges, strictly ascending: a value belongs to the first bin whose edge exceeds it.
    edges: Vec<f64>,
    /// Frequent values, ascending.
    atoms: Vec<f64>,
}

impl NumericLayout {
    fn learn(mut numbers: Vec<f64>) -> Option<NumericLayout> {
        numbers.sort_by(f64::total_cmp);
        let (minimum, maximum) = (*numbers.first()?, *numbers.last()?);
        let atoms = frequent(&numbers);
        let rest: Vec<f64> = numbers.into_iter().filter(|x| !atoms.contains(x)).collect();
        let mut edges = Vec::new();
        for i in 1..QUANTILE_BINS {
            let Some(edge) = rest.get(i * rest.len() / QUANTILE_BINS) else {
                break;
            };
            if *edge > rest[0] && edges.last().is_none_or(|last| edge > last) {
                edges.push(*edge);
            }
        }
        Some(NumericLayout { minimum, maximum, edges, atoms })
    }

    /// Bins it has: at most 31.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.edges.len() + 3 + self.atoms.len()
    }

    /// The bin of a finite number.
    #[must_use]
    pub fn bin(&self, value: f64) -> usize {
        if let Some(atom) = self.atoms.iter().position(|atom| *atom == value) {
            return self.edges.len() + 3 + atom;
        }
        if value < self.minimum {
            return 0;
        }
        if value > self.maximum {
            return self.edges.len() + 2;
        }
        // Counted in one go: the steps of a binary search wait for each other, and with at most 19
        // edges that costs more than comparing all.
        1 + self.edges.iter().map(|edge| usize::from(*edge <= value)).sum::<usize>()
    }

    /// Index of the bin below the minimum.
    #[must_use]
    pub fn below(&self) -> usize {
        0
    }

    /// Index of the bin above the maximum.
    #[must_use]
    pub fn above(&self) -> usize {
        self.edges.len() + 2
    }
}

/// Runs of equal values in sorted numbers that hold at least [`ATOM_SHARE`] of them.
fn frequent(sorted: &[f64]) -> Vec<f64> {
    let needed = ((sorted.len() as f64 * ATOM_SHARE).ceil() as usize).max(2);
    let mut runs: Vec<(usize, f64)> = sorted
        .chunk_by(|a, b| a == b)
        .filter(|run| run.len() >= needed)
        .map(|run| (run.len(), run[0]))
        .collect();
    runs.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.total_cmp(&b.1)));
    runs.truncate(ATOMS_MAX);
    let mut atoms: Vec<f64> = runs.into_iter().map(|(_, value)| value).collect();
    atoms.sort_by(f64::total_cmp);
    atoms
}

/// Bins of a categorical field, in this order: the dictionary, other known values, never seen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryLayout {
    /// Frequent values, by hash.
    dictionary: Vec<CategoryValue>,
    /// Hashes of the other values of the sample, ascending.
    known: Vec<u64>,
}

/// A value that has a bin of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryValue {
    /// [`category_hash`] of it, or its keyed hash.
    pub hash: u64,
    /// The value itself where it may be kept.
    pub text: Option<String>,
}

/// Hash under which a category is counted whose text may be kept. It hides nothing that can be
/// guessed.
#[must_use]
pub fn category_hash(text: &[u8]) -> u64 {
    xxh3_64(text).min(UNNAMED - 1)
}

impl CategoryLayout {
    fn learn(mut values: Vec<(u64, Option<&str>)>) -> CategoryLayout {
        values.sort();
        let needed = ((values.len() as f64 * CATEGORY_SHARE).ceil() as usize).max(2);
        let mut runs: Vec<(usize, u64, Option<&str>)> = values
            .chunk_by(|a, b| a.0 == b.0)
            .map(|run| (run.len(), run[0].0, run.iter().find_map(|(_, text)| *text)))
            .collect();
        let keep_text = runs.len() <= DICTIONARY_MAX;
        runs.sort_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
        let frequent = runs.iter().take(DICTIONARY_MAX).filter(|run| run.0 >= needed).count();
        let mut known: Vec<u64> = runs[frequent..].iter().map(|run| run.1).collect();
        known.sort_unstable();
        let mut dictionary: Vec<CategoryValue> = runs[..frequent]
            .iter()
            .map(|(_, hash, text)| CategoryValue {
                hash: *hash,
                text: text.filter(|_| keep_text).map(str::to_owned),
            })
            .collect();
        dictionary.sort_by_key(|value| value.hash);
        CategoryLayout { dictionary, known }
    }

    /// Bins it has: at most 66.
    #[must_use]
    pub fn bins(&self) -> usize {
        self.dictionary.len() + 2
    }

    /// The bin of a value by its hash.
    #[must_use]
    pub fn bin(&self, hash: u64) -> usize {
        match self.dictionary.binary_search_by_key(&hash, |value| value.hash) {
            Ok(index) => index,
            Err(_) if self.known.binary_search(&hash).is_ok() => self.dictionary.len(),
            Err(_) => self.dictionary.len() + 1,
        }
    }

    /// Index of the bin of values never seen before.
    #[must_use]
    pub fn never_seen(&self) -> usize {
        self.dictionary.len() + 1
    }

    /// Frequent values, in bin order.
    #[must_use]
    pub fn dictionary(&self) -> &[CategoryValue] {
        &self.dictionary
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numeric(values: &[f64]) -> NumericLayout {
        NumericLayout::learn(values.to_vec()).expect("values")
    }

    #[test]
    fn every_number_has_a_bin_and_bins_hold_like_shares() {
        let values: Vec<f64> = (0..2_000).map(f64::from).collect();
        let layout = numeric(&values);
        let mut counts = vec![0; layout.bins()];
        for value in &values {
            counts[layout.bin(*value)] += 1;
        }

        assert_eq!(layout.bins(), 22);
        assert_eq!((counts[layout.below()], counts[layout.above()]), (0, 0));
        assert!(counts[1..21].iter().all(|n| *n == 100), "{counts:?}");
    }

    #[test]
    fn values_outside_the_range_seen_have_their_own_bins() {
        let layout = numeric(&[1.0, 2.0, 3.0, 4.0]);

        assert_eq!(layout.bin(0.5), layout.below());
        assert_eq!(layout.bin(400.0), layout.above());
        assert_ne!(layout.bin(1.0), layout.below());
        assert_ne!(layout.bin(4.0), layout.above());
    }

    #[test]
    fn a_frequent_value_has_a_bin_of_its_own() {
        let mut values: Vec<f64> = (0..900).map(|i| f64::from(i) + 0.5).collect();
        values.extend([0.0; 100]);
        let layout = numeric(&values);

        assert_eq!(layout.bin(0.0), layout.bins() - 1);
        assert_ne!(layout.bin(0.5), layout.bins() - 1);
    }

    #[test]
    fn a_constant_field_is_one_frequent_value() {
        let layout = numeric(&[7.0; 50]);

        assert_eq!(layout.bin(7.0), layout.bins() - 1);
        assert_eq!(layout.bin(6.0), layout.below());
        assert_eq!(layout.bin(8.0), layout.above());
    }

    #[test]
    fn a_category_is_frequent_known_or_never_seen() {
        let mut values = vec![(1, Some("DE")); 300];
        values.push((2, Some("LI")));
        let layout = CategoryLayout::learn(values);

        assert_eq!(layout.bin(1), 0);
        assert_eq!(layout.bin(2), 1);
        assert_eq!(layout.bin(3), layout.never_seen());
        assert_eq!(layout.dictionary()[0].text.as_deref(), Some("DE"));
    }

    #[test]
    fn texts_are_not_kept_when_there_are_more_than_the_dictionary_holds() {
        let texts: Vec<String> = (0..100).map(|i| format!("card {i}")).collect();
        let values = (0..2_000u64).map(|i| (i % 100, Some(texts[(i % 100) as usize].as_str())));
        let layout = CategoryLayout::learn(values.collect());

        assert_eq!(layout.dictionary().len(), DICTIONARY_MAX);
        assert!(layout.dictionary().iter().all(|value| value.text.is_none()));
    }
}
