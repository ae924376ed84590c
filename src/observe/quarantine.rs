//! Records set aside: the original bytes, and why, in headers.
//!
//! The configuration may say that the bytes of value and key are kept by their keyed hash alone,
//! or not at all. Where the record stands in its own topic is said always.

use super::record::SourceRecord;
use crate::config::values::{Keeps, ValuesPlan};
use crate::event::route::{Outgoing, Route};

/// Why a record cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// Code for metric labels and headers.
    pub(super) reason: &'static str,
    /// More, without any value of the record; may be empty.
    pub(super) detail: String,
}

impl Trouble {
    /// Trouble with something to add.
    pub(super) fn new(reason: &'static str, detail: String) -> Trouble {
        Trouble { reason, detail }
    }
}

/// How records are set aside.
pub(super) struct Quarantine {
    keeping: Keeping,
    /// Values are cut to this. *Units*: bytes.
    bytes: usize,
}

/// What is kept of value and key.
enum Keeping {
    Bytes,
    /// Their hashes, each under a key of its own.
    Hashes {
        value: [u8; 32],
        key: [u8; 32],
    },
    Nothing,
}

impl std::fmt::Debug for Quarantine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Quarantine").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl Quarantine {
    /// Keeps what the plan says, values cut to `bytes`.
    pub(super) fn new(values: &ValuesPlan, bytes: usize) -> Quarantine {
        let keeping = match (values.quarantine, &values.key) {
            (Keeps::Full, _) => Keeping::Bytes,
            (Keeps::Hash, Some(key)) => Keeping::Hashes {
                value: key.of("quarantine", "value"),
                key: key.of("quarantine", "key"),
            },
            (Keeps::Hash, None) | (Keeps::None, _) => Keeping::Nothing,
        };
        Quarantine { keeping, bytes }
    }

    /// The message that sets a record aside.
    pub(super) fn message(&self, record: &SourceRecord<'_>, trouble: Trouble) -> Outgoing {
        let value = record.payload.unwrap_or_default();
        let mut message = Outgoing {
            route: Route::Quarantine,
            key: None,
            payload: Vec::new(),
            headers: vec![
                text("reason", trouble.reason.to_owned()),
                text("topic", record.topic.to_owned()),
                text("partition", record.partition.to_string()),
                text("offset", record.offset.to_string()),
            ],
        };
        if !trouble.detail.is_empty() {
            message.headers.push(text("detail", trouble.detail));
        }
        match &self.keeping {
            Keeping::Bytes => {
                message.key = record.key.map(<[u8]>::to_vec);
                message.payload = value[..value.len().min(self.bytes)].to_vec();
            }
            Keeping::Hashes { value: for_value, key: for_key } => {
                message.headers.push(text("value_hash", hash(for_value, value)));
                let key = record.key.map(|key| text("key_hash", hash(for_key, key)));
                message.headers.extend(key);
            }
            Keeping::Nothing => {}
        }
        message
    }
}

fn text(name: &str, value: String) -> (String, Vec<u8>) {
    (format!("driftline.{name}"), value.into_bytes())
}

/// 128 bits in hexadecimal: enough to tell every record apart.
fn hash(key: &[u8; 32], bytes: &[u8]) -> String {
    blake3::keyed_hash(key, bytes).to_hex()[..32].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::values::ValuesKey;

    fn set_aside(quarantine: Keeps, secret: Option<&str>, value: &[u8], key: &[u8]) -> Outgoing {
        let key_of_values = secret.and_then(ValuesKey::new);
        let plan = ValuesPlan { key: key_of_values, quarantine, ..ValuesPlan::default() };
        let record = SourceRecord {
            topic: "orders",
            partition: 3,
            offset: 41,
            timestamp_ms: 0,
            key: Some(key),
            payload: Some(value),
            headers: &[],
        };
        let trouble = Trouble::new("contract", "field amount: min".into());
        Quarantine::new(&plan, 4).message(&record, trouble)
    }

    fn header(message: &Outgoing, name: &str) -> Option<String> {
        let name = format!("driftline.{name}");
        let found = message.headers.iter().find(|(known, _)| *known == name)?;
        Some(String::from_utf8_lossy(&found.1).into_owned())
    }

    #[test]
    fn bytes_are_kept_cut() {
        let message = set_aside(Keeps::Full, None, b"value", b"4111");

        assert_eq!(message.payload, b"valu");
        assert_eq!(message.key.as_deref(), Some(b"4111".as_slice()));
        assert_eq!((header(&message, "value_hash"), header(&message, "key_hash")), (None, None));
    }

    #[test]
    fn hashes_take_the_place_of_value_and_key() {
        let secret = "0123456789abcdef0123456789abcdef";
        let told = |secret: &str, value: &[u8], key: &[u8]| {
            let message = set_aside(Keeps::Hash, Some(secret), value, key);
            assert!(message.payload.is_empty() && message.key.is_none());
            assert_eq!(header(&message, "offset").as_deref(), Some("41"));
            (header(&message, "value_hash"), header(&message, "key_hash"))
        };
        let first = told(secret, b"value", b"4111");

        assert_eq!(told(secret, b"value", b"4111"), first);
        assert_ne!(told(secret, b"value, longer", b"4111").0, first.0);
        assert_ne!(told(&secret.replace('0', "9"), b"value", b"4111").0, first.0);
        assert_ne!(told(secret, b"4111", b"4111").0, first.1, "each has a key of its own");
        assert_eq!(first.0.map(|hash| hash.len()), Some(32));
    }

    #[test]
    fn nothing_is_kept_but_the_place() {
        for (keeps, secret) in [(Keeps::None, None), (Keeps::Hash, None)] {
            let message = set_aside(keeps, secret, b"value", b"4111");

            assert!(message.payload.is_empty() && message.key.is_none());
            assert_eq!(message.headers.len(), 5, "{:?}", message.headers);
        }
    }
}
