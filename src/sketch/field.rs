//! Everything kept of one field in one cell: counters, bins, log histogram.

use serde::{Deserialize, Serialize};

use super::layout::FieldLayout;
use super::log_histogram::LogHistogram;

/// What a field's values are counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FieldKind {
    /// Numbers: counters, bins, log histogram.
    Numeric,
    /// Text, enums, booleans: counters and bins.
    Category,
    /// Timestamps and dates: counters alone.
    Time,
    /// Bytes: counters alone.
    Opaque,
}

/// Exact counts. A record counts once in `present`, `null`, `absent` or `mismatch`; of a field of
/// items each item does, and a record without items counts in none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldCounters {
    /// A value of the field's kind.
    pub present: u64,
    /// Null.
    pub null: u64,
    /// Not in the record or its schema.
    pub absent: u64,
    /// A value of another kind, or text that does not parse.
    pub mismatch: u64,
    /// Of the present: NaN.
    pub nan: u64,
    /// Of the present: infinite.
    pub infinite: u64,
    /// Of the present: zero.
    pub zero: u64,
    /// Of the present: below zero.
    pub negative: u64,
    /// Of the present: whole numbers.
    pub integral: u64,
    /// Breaks the field's contract: missing though required, out of range, not allowed.
    pub breach: u64,
}

impl FieldCounters {
    /// Adds another count to this one.
    pub fn merge(&mut self, other: &FieldCounters) {
        self.present += other.present;
        self.null += other.null;
        self.absent += other.absent;
        self.mismatch += other.mismatch;
        self.nan += other.nan;
        self.infinite += other.infinite;
        self.zero += other.zero;
        self.negative += other.negative;
        self.integral += other.integral;
        self.breach += other.breach;
    }

    /// Values that are there, of whatever kind.
    #[must_use]
    pub fn there(&self) -> u64 {
        self.present + self.mismatch
    }

    /// Records counted, or items.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.present + self.null + self.absent + self.mismatch
    }
}

/// Everything kept of one field in one cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FieldSummary {
    /// What its values are counted as.
    pub kind: FieldKind,
    /// Exact counters.
    pub counters: FieldCounters,
    /// Counts in the layout's bins; empty while there is no layout.
    pub bins: Vec<u64>,
    /// Magnitudes of numbers.
    pub histogram: LogHistogram,
}

impl FieldSummary {
    /// An empty summary with room for the bins of `layout`.
    #[must_use]
    pub fn new(kind: FieldKind, layout: Option<&FieldLayout>) -> FieldSummary {
        FieldSummary {
            kind,
            counters: FieldCounters::default(),
            bins: vec![0; layout.map_or(0, FieldLayout::bins)],
            histogram: LogHistogram::default(),
        }
    }

    /// Counts a number.
    pub fn add_number(&mut self, value: f64, layout: Option<&FieldLayout>) {
        let counters = &mut self.counters;
        counters.present += 1;
        if !value.is_finite() {
            counters.nan += u64::from(value.is_nan());
            counters.infinite += u64::from(value.is_infinite());
            return;
        }
        counters.integral += u64::from(is_whole(value));
        if value == 0.0 {
            counters.zero += 1;
        } else {
            counters.negative += u64::from(value < 0.0);
            self.histogram.add(value);
        }
        if let Some(FieldLayout::Numeric(layout)) = layout {
            self.count_bin(layout.bin(value));
        }
    }

    /// Counts a category by its hash.
    pub fn add_category(&mut self, hash: u64, layout: Option<&FieldLayout>) {
        self.counters.present += 1;
        if let Some(FieldLayout::Category(layout)) = layout {
            self.count_bin(layout.bin(hash));
        }
    }

    /// A summary without bins stays without: it holds values that were counted in none.
    #[inline]
    fn count_bin(&mut self, bin: usize) {
        if let Some(count) = self.bins.get_mut(bin) {
            *count += 1;
        }
    }

    /// Adds another summary of the same field to this one. Bins of another length were counted
    /// in another layout: they are dropped on both sides rather than mixed.
    pub fn merge(&mut self, other: &FieldSummary) {
        self.counters.merge(&other.counters);
        self.histogram.merge(&other.histogram);
        let same_kind = self.kind == other.kind;
        // The smaller one, so that order does not matter; only nulls have no kind of their own.
        self.kind = self.kind.min(other.kind);
        if !same_kind || self.bins.len() != other.bins.len() {
            self.bins.clear();
            return;
        }
        for (mine, theirs) in self.bins.iter_mut().zip(&other.bins) {
            *mine += theirs;
        }
    }

    /// Sets every count to zero, keeping memory.
    pub fn clear(&mut self) {
        self.counters = FieldCounters::default();
        self.bins.fill(0);
        self.histogram.clear();
    }
}

/// Whether a finite number is a whole one. `trunc` is a call on processors of the baseline, 4 % of
/// the record path.
#[inline]
fn is_whole(value: f64) -> bool {
    // From 2^52 on there are no others.
    value.abs() >= 4_503_599_627_370_496.0 || (value as i64) as f64 == value
}

#[cfg(test)]
mod tests {
    use super::super::sample::{Sample, SampleValue};
    use super::*;

    fn layout() -> FieldLayout {
        let mut sample = Sample::default();
        for i in 1..=100u64 {
            sample.add(i, SampleValue::Number(i as f64));
        }
        FieldLayout::learn(&sample).expect("values")
    }

    #[test]
    fn not_a_number_is_counted_and_never_binned() {
        let layout = layout();
        let mut summary = FieldSummary::new(FieldKind::Numeric, Some(&layout));
        for value in [f64::NAN, f64::INFINITY, -0.0, 5.0, -3.5] {
            summary.add_number(value, Some(&layout));
        }

        let counters = summary.counters;
        assert_eq!((counters.present, counters.nan, counters.infinite), (5, 1, 1));
        assert_eq!((counters.zero, counters.negative, counters.integral), (1, 1, 2));
        assert_eq!(summary.bins.iter().sum::<u64>(), 3);
        assert_eq!(summary.histogram.total(), 2);
    }

    #[test]
    fn whole_numbers_are_those_that_trunc_leaves_alone() {
        let edges =
            [0.0, 0.5, 1.0, 1e15, 4_503_599_627_370_495.5, 9.3e18, 1e300, f64::MIN_POSITIVE];
        for value in edges.into_iter().flat_map(|value| [value, -value]) {
            assert_eq!(is_whole(value), value.trunc() == value, "{value}");
        }
    }

    #[test]
    fn bins_of_two_layouts_are_never_mixed() {
        let layout = layout();
        let mut with = FieldSummary::new(FieldKind::Numeric, Some(&layout));
        with.add_number(5.0, Some(&layout));
        let mut without = FieldSummary::new(FieldKind::Numeric, None);
        without.add_number(6.0, None);
        with.merge(&without);

        assert!(with.bins.is_empty());
        assert_eq!(with.counters.present, 2);
    }
}
