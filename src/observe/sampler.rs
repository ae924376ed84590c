//! Picks the values of a field that a layout is learnt from.
//!
//! Downstream keeps the values with the smallest hashes; this sends no value that cannot be among
//! them. What has been sent is remembered by its hashes alone, and losing those only sends more.

use std::collections::BinaryHeap;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::config::plan::ValuePolicy;
use crate::sketch::{DICTIONARY_MAX, SAMPLE_SIZE, Sample, SampleValue, UNNAMED};

/// Longer texts are told by their hash alone or not at all, in bytes.
const TEXT_BYTES: usize = 64;

/// The sample of one field since the last commit.
#[derive(Debug, Default)]
pub(super) struct Sampler {
    /// Hashes sent or pending, the smallest [`SAMPLE_SIZE`] of them.
    smallest: BinaryHeap<u64>,
    pending: Vec<(u64, SampleValue)>,
    /// Distinct categories met, until there are too many to keep their texts. Ascending.
    distinct: Vec<u64>,
    crowded: bool,
}

/// Hash of where a record is, shared by its fields.
pub(super) fn record_hash(topic: &str, partition: i32, offset: i64) -> u64 {
    let seed = xxh3_64(topic.as_bytes()) ^ u64::from(partition.cast_unsigned());
    xxh3_64_with_seed(&offset.to_le_bytes(), seed)
}

/// Hash of one field of one record.
pub(super) fn value_hash(record: u64, path: u64) -> u64 {
    xxh3_64_with_seed(&record.to_le_bytes(), path)
}

impl Sampler {
    /// Whether a value with this hash can be among the smallest.
    pub(super) fn takes(&self, hash: u64) -> bool {
        self.smallest.len() < SAMPLE_SIZE || self.smallest.peek().is_some_and(|top| hash < *top)
    }

    /// Takes a number; the caller has asked [`Sampler::takes`].
    pub(super) fn number(&mut self, hash: u64, value: f64) {
        if value.is_finite() {
            self.push(hash, SampleValue::Number(value));
        }
    }

    /// Takes a category; the caller has asked [`Sampler::takes`]. `alone` says whether its hash
    /// may leave without its text.
    pub(super) fn category(
        &mut self,
        hash: u64,
        (value, text): (u64, &str),
        (policy, alone): (ValuePolicy, bool),
    ) {
        let may_keep = match policy {
            ValuePolicy::Keep => true,
            ValuePolicy::Auto => self.has_room(value),
            ValuePolicy::Hash | ValuePolicy::Drop => false,
        };
        let text = (may_keep && text.len() <= TEXT_BYTES).then(|| text.to_owned());
        let value = if alone || text.is_some() { value } else { UNNAMED };
        self.push(hash, SampleValue::Category { hash: value, text });
    }

    /// Moves what is pending into a sample; texts go if too many distinct ones were met since, and
    /// with them the hashes that may not leave alone.
    pub(super) fn drain(&mut self, policy: ValuePolicy, alone: bool) -> Sample {
        let strip = self.crowded && policy != ValuePolicy::Keep;
        let mut sample = Sample::default();
        for (hash, mut value) in self.pending.drain(..) {
            if let SampleValue::Category { text, hash } = &mut value
                && strip
            {
                *text = None;
                *hash = if alone { *hash } else { UNNAMED };
            }
            sample.add(hash, value);
        }
        sample
    }

    /// Values waiting.
    pub(super) fn pending(&self) -> usize {
        self.pending.len()
    }

    /// Forgets what was sent and what waits.
    pub(super) fn forget(&mut self) {
        *self = Sampler::default();
    }

    fn has_room(&mut self, value: u64) -> bool {
        if self.crowded {
            return false;
        }
        if let Err(at) = self.distinct.binary_search(&value) {
            self.crowded = self.distinct.len() == DICTIONARY_MAX;
            if !self.crowded {
                self.distinct.insert(at, value);
            }
        }
        !self.crowded
    }

    fn push(&mut self, hash: u64, value: SampleValue) {
        self.smallest.push(hash);
        if self.smallest.len() > SAMPLE_SIZE {
            self.smallest.pop();
        }
        self.pending.push((hash, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(sampler: &mut Sampler, policy: ValuePolicy) -> usize {
        let sample = sampler.drain(policy, true);
        let with_text =
            |value: &&SampleValue| matches!(value, SampleValue::Category { text: Some(_), .. });
        sample.values().filter(with_text).count()
    }

    #[test]
    fn sends_what_the_whole_sample_would_keep() {
        let mut sampler = Sampler::default();
        let mut sent = Sample::default();
        let mut whole = Sample::default();
        for i in 0..20_000u64 {
            let hash = value_hash(record_hash("t", 0, i as i64), 7);
            whole.add(hash, SampleValue::Number(i as f64));
            if sampler.takes(hash) {
                sampler.number(hash, i as f64);
            }
            if i % 777 == 0 {
                sent.merge(&sampler.drain(ValuePolicy::Auto, true));
            }
        }
        sent.merge(&sampler.drain(ValuePolicy::Auto, true));

        assert_eq!(sent, whole);
    }

    #[test]
    fn texts_are_kept_as_the_policy_says() {
        let check = |policy, distinct: u64, expected| {
            let mut sampler = Sampler::default();
            for i in 0..distinct {
                sampler.category(i, (i + 1, "text"), (policy, true));
            }
            assert_eq!(texts(&mut sampler, policy), expected, "{policy:?} {distinct}");
        };
        check(ValuePolicy::Auto, 64, 64);
        check(ValuePolicy::Auto, 65, 0);
        check(ValuePolicy::Keep, 65, 65);
        check(ValuePolicy::Hash, 3, 0);
    }

    #[test]
    fn a_hash_that_may_not_leave_alone_goes_with_its_text() {
        let hashes = |distinct: u64, text: &str| {
            let mut sampler = Sampler::default();
            for i in 0..distinct {
                sampler.category(i, (i + 1, text), (ValuePolicy::Auto, false));
            }
            let sample = sampler.drain(ValuePolicy::Auto, false);
            let named = |value: &&SampleValue| {
                !matches!(value, SampleValue::Category { hash: UNNAMED, .. })
            };
            sample.values().filter(named).count()
        };
        assert_eq!(hashes(64, "text"), 64);
        assert_eq!(hashes(65, "text"), 0);
        assert_eq!(hashes(3, &"x".repeat(65)), 0);
    }

    #[test]
    fn a_long_text_is_never_kept() {
        let mut sampler = Sampler::default();
        sampler.category(1, (1, &"x".repeat(65)), (ValuePolicy::Keep, true));

        assert_eq!(texts(&mut sampler, ValuePolicy::Keep), 0);
    }
}
