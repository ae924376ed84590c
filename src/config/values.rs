//! What may be remembered of values, as far as it holds for a whole deployment: the key of their
//! hashes, the registry tags that silence a field, what quarantine keeps.
//!
//! What holds for one field is in its plan. How each is done is said in `observe::values`.

use std::fmt;

/// Fewer characters than this are no key: `openssl rand -hex 32` writes 64.
pub(crate) const KEY_CHARACTERS_LEAST: usize = 32;

/// What may be remembered of values.
#[derive(Clone, Debug)]
pub struct ValuesPlan {
    /// Key of hashes; without one no value leaves as a hash alone.
    pub key: Option<ValuesKey>,
    /// Registry tags, any of which silences a field whose policy is the default.
    pub drop_tags: Vec<String>,
    /// What quarantine keeps of a record.
    pub quarantine: Keeps,
}

impl Default for ValuesPlan {
    fn default() -> ValuesPlan {
        // Those of Confluent's catalog that say that values are not for everybody.
        let drop_tags = ["PII", "PRIVATE", "SENSITIVE"].map(str::to_owned).to_vec();
        ValuesPlan { key: None, drop_tags, quarantine: Keeps::Full }
    }
}

/// What quarantine keeps of a record's value and key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Keeps {
    /// Their bytes.
    #[default]
    Full,
    /// Their keyed hashes, in headers.
    Hash,
    /// Nothing.
    None,
}

/// The key of a deployment's hashes. Never printed, nor is what it was made from.
#[derive(Clone, PartialEq, Eq)]
pub struct ValuesKey([u8; 32]);

impl ValuesKey {
    /// The key made from a secret text; `None` where that is too short to be one.
    #[must_use]
    pub fn new(secret: &str) -> Option<ValuesKey> {
        (secret.chars().count() >= KEY_CHARACTERS_LEAST)
            .then(|| ValuesKey(blake3::derive_key("driftline 2026 values key", secret.as_bytes())))
    }

    /// Says which key it is and nothing of it: part of definitions, so that hashes of two keys
    /// are never put together.
    #[must_use]
    pub fn id(&self) -> u64 {
        first_eight(self.of("id", ""))
    }

    /// The key for one use. Those of two fields differ, so that equal values in two fields have
    /// nothing in common.
    #[must_use]
    pub fn of(&self, subject: &str, path: &str) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&(subject.len() as u64).to_le_bytes());
        hasher.update(subject.as_bytes());
        hasher.update(path.as_bytes());
        *hasher.finalize().as_bytes()
    }
}

impl fmt::Debug for ValuesKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ValuesKey({:016x})", self.id())
    }
}

/// The first 64 bits of a hash.
pub(crate) fn first_eight(hash: [u8; 32]) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&hash[..8]);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn a_short_text_is_no_key() {
        assert_eq!(ValuesKey::new(&SECRET[1..]), None);
        assert!(ValuesKey::new(SECRET).is_some());
    }

    #[test]
    fn each_key_and_each_use_has_its_own_hashes() {
        let key = ValuesKey::new(SECRET).expect("long enough");
        let other = ValuesKey::new(&SECRET.replace('0', "1")).expect("long enough");

        assert_ne!(key.id(), other.id());
        assert_ne!(key.of("dataset/a", "x"), other.of("dataset/a", "x"));
        assert_ne!(key.of("dataset/a", "x"), key.of("dataset/a", "y"));
        assert_ne!(key.of("ab", "c"), key.of("a", "bc"));
    }

    #[test]
    fn a_key_prints_its_id_alone() {
        let key = ValuesKey::new(SECRET).expect("long enough");

        assert_eq!(format!("{key:?}"), format!("ValuesKey({:016x})", key.id()));
    }
}
