//! Summaries as values: exact, mergeable, bounded. No I/O, no time.
//!
//! | value | keeps | bound |
//! |---|---|---|
//! | [`FieldSummary`] | counters, bins of a layout, log histogram | below 2 KiB on average |
//! | [`LogHistogram`] | counts by magnitude, 64 buckets an octave | relative error 0.8 % |
//! | [`FieldLayout`] | what to count: bin edges, frequent values, dictionary | 31 or 66 bins |
//! | [`Sample`] | the k values with the smallest hashes | k = 2,048 |
//!
//! Bins are exact counts and not a rank sketch: the error floor of a rank sketch hides real
//! drift in small windows and invents it in large ones.

mod counts;
mod field;
mod layout;
mod log_histogram;
mod sample;

pub use field::{FieldCounters, FieldKind, FieldSummary};
pub use layout::{
    CategoryLayout, CategoryValue, DICTIONARY_MAX, FieldLayout, NumericLayout, UNNAMED,
    category_hash,
};
pub use log_histogram::LogHistogram;
pub use sample::{SAMPLE_SIZE, Sample, SampleValue};
