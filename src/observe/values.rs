//! What becomes of a value before it leaves observe.
//!
//! | `values` | leaves | told apart by |
//! |---|---|---|
//! | `keep` | text up to 64 bytes, numbers | an unkeyed hash; the text is there to be read anyway |
//! | `auto` | the text of up to 64 values, of more their hash alone | the key's hash, if any |
//! | `hash` | its hash | the key's hash |
//! | `drop` | nothing | nothing |
//!
//! A hash without a key hides nothing that can be guessed: card numbers, names and birthdays are
//! few enough to hash them all. So no unkeyed hash of a `hash` or `drop` value leaves, nor of an
//! `auto` value whose text does not leave beside it. Place by place:
//!
//! - *Deltas* hold counts: counters, bins, magnitudes of numbers. Of a dropped field there are
//!   counts of presence and of breaches of what the configuration itself asks, no others. Hashes
//!   only choose the bin.
//! - *Samples* hold numbers, texts and hashes as in the table, under a hash of where the record
//!   stands, in which no value has a part. A dropped field has none. Without a key an `auto` value
//!   beyond the 64th is told as [`UNNAMED`], and its field gets no layout, so no bins.
//! - *Layouts* are made of samples, in assess: what did not leave cannot come back. A field of
//!   more than 64 values has no texts there, and without a key no entry at all.
//! - *Schemas* are the producer's words about values and pass, but for defaults and symbols of a
//!   field that is hashed or dropped: they are values.
//! - *Cell names* (producer, schema version, model version) and times are told as they are: the
//!   configuration names the place, and that counts before tags and `drop`. `hash` on such a field
//!   would hide nothing and is refused.
//! - *Facts* carry an unkeyed 128-bit hash of the prediction's id, as every deployment must find
//!   the same one. An id that can be guessed can be found again, whatever its field says.
//! - *Quarantine* keeps what [`super::quarantine`] is told to. Details and notes name fields and
//!   rules, never values.
//! - *Paths* are names. Where JSON uses values as keys of an object, they are told as paths: name
//!   the fields with `only`.
//!
//! The key's hash is BLAKE3 in keyed mode, cut to 64 bits, under a key of the field's own. Whoever
//! lacks the key cannot test a guess; counts stay, so that a value known to be the most frequent
//! can still be told by its count. It is computed once for a value that comes again soon: a small
//! table remembers it by an unkeyed hash, which never leaves. Two texts made to collide there
//! would be counted as one, and no more.

use xxhash_rust::xxh3::xxh3_64;

use crate::config::plan::ValuePolicy;
use crate::config::values::{ValuesKey, first_eight};
use crate::sketch::{UNNAMED, category_hash};

/// Values remembered of a field, a power of two: 8 KiB, so that four busy fields fit a cache.
const REMEMBERED: usize = 512;

/// How the categories of one field are told apart.
#[derive(Debug)]
pub(super) enum Naming {
    /// By an unkeyed hash, which may leave.
    Open,
    /// By an unkeyed hash, which leaves beside the text or not at all.
    BesideText,
    /// By a keyed hash, which may leave.
    Keyed(Box<Keyed>),
    /// Not at all.
    Never,
}

/// A field's key and the hashes computed last.
pub(super) struct Keyed {
    key: [u8; 32],
    /// Unkeyed and keyed hash, placed by the unkeyed one; empty until the first value.
    remembered: Vec<(u64, u64)>,
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyed(***)")
    }
}

impl Naming {
    /// The naming of a field with this policy.
    pub(super) fn new(policy: ValuePolicy, key: Option<&ValuesKey>, place: (&str, &str)) -> Naming {
        let keyed = |key: &ValuesKey| {
            Naming::Keyed(Box::new(Keyed { key: key.of(place.0, place.1), remembered: Vec::new() }))
        };
        match (policy, key) {
            (ValuePolicy::Keep, _) => Naming::Open,
            (ValuePolicy::Auto, None) => Naming::BesideText,
            (ValuePolicy::Auto | ValuePolicy::Hash, Some(key)) => keyed(key),
            (ValuePolicy::Hash, None) | (ValuePolicy::Drop, _) => Naming::Never,
        }
    }

    /// What a category is counted under.
    #[inline]
    pub(super) fn hash(&mut self, text: &str) -> u64 {
        match self {
            Naming::Open | Naming::BesideText => category_hash(text.as_bytes()),
            Naming::Keyed(keyed) => keyed.hash(text.as_bytes()),
            Naming::Never => UNNAMED,
        }
    }

    /// Whether a hash may leave without the text.
    pub(super) fn leaves_alone(&self) -> bool {
        matches!(self, Naming::Open | Naming::Keyed(_))
    }
}

impl Keyed {
    #[inline]
    fn hash(&mut self, text: &[u8]) -> u64 {
        let quick = xxh3_64(text);
        match self.remembered.get(quick as usize & (REMEMBERED - 1)) {
            Some((known, hash)) if *known == quick && *hash != UNNAMED => *hash,
            _ => self.compute(quick, text),
        }
    }

    /// Apart from [`Keyed::hash`], which stays small where it is called.
    #[inline(never)]
    fn compute(&mut self, quick: u64, text: &[u8]) -> u64 {
        let hash = first_eight(*blake3::keyed_hash(&self.key, text).as_bytes());
        let hash = hash.min(UNNAMED - 1);
        self.remembered.resize(REMEMBERED, (0, UNNAMED));
        self.remembered[quick as usize & (REMEMBERED - 1)] = (quick, hash);
        hash
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(digit: &str) -> ValuesKey {
        ValuesKey::new(&digit.repeat(32)).expect("long enough")
    }

    fn naming(policy: ValuePolicy, key: Option<&ValuesKey>) -> Naming {
        Naming::new(policy, key, ("dataset/orders", "card"))
    }

    #[test]
    fn a_hash_that_leaves_alone_needs_the_key() {
        let (one, two) = (key("1"), key("2"));
        for policy in [ValuePolicy::Auto, ValuePolicy::Hash] {
            let hash = |key| naming(policy, Some(key)).hash("4111");
            assert_ne!(hash(&one), category_hash(b"4111"), "{policy:?}");
            assert_ne!(hash(&one), hash(&two), "{policy:?}");
            assert!(!naming(policy, None).leaves_alone(), "{policy:?}");
        }
        assert_eq!(naming(ValuePolicy::Hash, None).hash("4111"), UNNAMED);
        assert_eq!(naming(ValuePolicy::Drop, Some(&one)).hash("4111"), UNNAMED);
    }

    #[test]
    fn what_is_remembered_is_what_would_be_computed() {
        let key = key("1");
        let mut naming = naming(ValuePolicy::Hash, Some(&key));
        let own = key.of("dataset/orders", "card");
        for round in 0..3 {
            for value in 0..5_000 {
                let text = format!("card {}", value * (round + 1) % 1_777);
                let fresh = first_eight(*blake3::keyed_hash(&own, text.as_bytes()).as_bytes());
                assert_eq!(naming.hash(&text), fresh, "{text}");
            }
        }
    }
}
