//! What a sample shows of one field: how often it is there, of which types, how many values.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

use crate::observe::Slot;

/// Distinct values counted; an id shows by then that it repeats next to nothing.
const DISTINCT_MAX: usize = 4_096;
/// Texts kept to tell a label's positive value.
const TEXTS_MAX: usize = 64;
/// Integers in this range can be epoch milliseconds: 1990 to 2100. Counters and epoch seconds
/// lie below it.
const PLAUSIBLE_MS: std::ops::Range<i64> = 631_152_000_000..4_102_444_800_000;

/// Counts of one field over the sampled records.
#[derive(Clone, Debug, Default)]
pub struct FieldSample {
    /// Records in which it has a value.
    pub present: u64,
    /// Values with a logical timestamp type.
    pub(super) logical_times: u64,
    /// Values that can be read as a time, logical ones among them.
    pub(super) times: u64,
    pub(super) integers: u64,
    pub(super) texts: u64,
    pub(super) bools: u64,
    /// Numbers in [0, 1].
    pub(super) unit_numbers: u64,
    pub(super) numbers: u64,
    distinct: BTreeSet<u64>,
    /// Values looked at for `distinct`.
    looked_at: u64,
    /// The values as text, while there are few.
    pub(super) values: BTreeSet<String>,
    /// Stretches of time it covers, one a file or partition.
    pub(super) stretches: Vec<Stretch>,
    range: Option<(i64, i64)>,
}

/// The time one file or partition covers, as far as it was sampled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stretch {
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    pub(super) records: u64,
    /// Share of the file that was sampled.
    pub(super) share: f64,
}

impl FieldSample {
    /// Adds a value.
    pub(super) fn add(&mut self, slot: Slot<'_>) {
        if matches!(slot, Slot::Absent | Slot::Null | Slot::Composite) {
            return;
        }
        self.present += 1;
        match slot {
            Slot::Integer(number) => {
                self.integers += 1;
                self.number(number as f64);
                if PLAUSIBLE_MS.contains(&number) {
                    self.time(number);
                }
                self.value(&number.to_string());
            }
            Slot::Float(number) => self.number(number),
            Slot::Bool(value) => {
                self.bools += 1;
                self.value(if value { "true" } else { "false" });
            }
            Slot::Text(text) => {
                self.texts += 1;
                if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
                    self.time(timestamp.as_millisecond());
                }
                self.value(text);
            }
            Slot::TimeMs(ms) => {
                self.logical_times += 1;
                self.time(ms);
            }
            Slot::Absent | Slot::Null | Slot::Composite | Slot::Bytes(_) => {}
        }
    }

    fn number(&mut self, number: f64) {
        self.numbers += 1;
        self.unit_numbers += u64::from((0.0..=1.0).contains(&number));
    }

    fn time(&mut self, ms: i64) {
        self.times += 1;
        let (from, to) = self.range.unwrap_or((ms, ms));
        self.range = Some((from.min(ms), to.max(ms)));
    }

    fn value(&mut self, text: &str) {
        if self.distinct.len() < DISTINCT_MAX {
            self.distinct.insert(xxh3_64(text.as_bytes()));
            self.looked_at += 1;
        }
        if self.values.len() < TEXTS_MAX {
            self.values.insert(text.to_owned());
        }
    }

    /// Ends a file or partition of which this share was sampled.
    pub(super) fn end(&mut self, share: f64) {
        if let Some((from_ms, to_ms)) = self.range.take() {
            self.stretches.push(Stretch { from_ms, to_ms, records: self.present, share });
        }
    }

    /// Adds what another file or partition of the topic showed.
    pub(super) fn merge(&mut self, other: FieldSample) {
        self.present += other.present;
        self.logical_times += other.logical_times;
        self.times += other.times;
        self.integers += other.integers;
        self.texts += other.texts;
        self.bools += other.bools;
        self.unit_numbers += other.unit_numbers;
        self.numbers += other.numbers;
        self.looked_at += other.looked_at;
        self.distinct.extend(other.distinct);
        self.values.extend(other.values);
        self.stretches.extend(other.stretches);
    }

    /// Whether every value can be read as a time.
    pub(super) fn is_time(&self) -> bool {
        self.present > 0 && self.times == self.present
    }

    /// Whether it can name one record: text or integers, hardly ever twice the same.
    pub(super) fn is_id(&self) -> bool {
        self.present > 0
            && self.integers + self.texts == self.present
            && self.distinct.len() as u64 * 10 >= self.looked_at * 9
    }

    /// Whether it can be a score: numbers in [0, 1], not all whole.
    pub(super) fn is_score(&self) -> bool {
        self.present > 0 && self.unit_numbers == self.present && self.integers < self.present
    }

    /// Whether it takes few values, as a producer or a schema version does.
    pub(super) fn is_name(&self) -> bool {
        self.present > 0
            && self.integers + self.texts == self.present
            && self.distinct.len() < TEXTS_MAX
    }
}
