//! Records set aside: the original bytes, and why, in headers.
//!
//! The configuration may say that the bytes of value and key are kept by their keyed hash alone,
//! or not at all. Where the record stands in its own topic is said always.

use super::record::SourceRecord;
use crate::config::values::{Keeps, ValuesPlan};
use crate::event::route::{Outgoing, Route};

/// Begins the names of the headers that say what became of a record.
pub const OWN: &str = "driftline.";

/// All reasons for which records are set aside.
pub const REASONS: &[&str] = &[
    "bad_branch",
    "bad_bool",
    "bad_decimal",
    "bad_enum",
    "bad_json",
    "bad_length",
    "bad_magic",
    "bad_schema_header",
    "bad_utf8",
    "bad_varint",
    "contract",
    "event_time",
    "missing_id",
    "missing_label",
    "oversized",
    "too_deep",
    "trailing_bytes",
    "truncated",
    "unknown_schema",
    "unreadable_schema",
];

/// Most bytes of one message: a broker takes 1 MiB with everything around it, and one record that
/// it refuses would hold up all others of its commit.
const MESSAGE_BYTES: usize = 900 << 10;

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
        debug_assert!(REASONS.contains(&reason), "{reason} is not in the list of reasons");
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

    /// The message that sets a record aside: its key, headers and value, the value cut, and all of
    /// them to what a broker takes. How much there was is said, so that only records that are here
    /// as a whole are driven in again.
    pub(super) fn message(&self, record: &SourceRecord<'_>, trouble: Trouble) -> Outgoing {
        let value = record.payload.unwrap_or_default();
        let theirs = record.headers.iter().filter(|(name, _)| !name.starts_with(OWN));
        let mut message = Outgoing {
            route: Route::Quarantine,
            key: None,
            payload: Vec::new(),
            headers: vec![
                text("reason", trouble.reason.to_owned()),
                text("topic", record.topic.to_owned()),
                text("partition", record.partition.to_string()),
                text("offset", record.offset.to_string()),
                text("timestamp", record.timestamp_ms.to_string()),
                text("bytes", value.len().to_string()),
                text("headers", theirs.clone().count().to_string()),
            ],
        };
        if !trouble.detail.is_empty() {
            message.headers.push(text("detail", trouble.detail));
        }
        if let Some(key) = record.key {
            message.headers.push(text("key_bytes", key.len().to_string()));
        }
        match &self.keeping {
            Keeping::Bytes => {
                let mut room = MESSAGE_BYTES;
                let key = record.key.filter(|key| takes(&mut room, key.len()));
                let kept =
                    theirs.filter(|(name, value)| takes(&mut room, name.len() + value.len()));
                let kept = kept.map(|(name, value)| ((*name).to_owned(), value.to_vec()));
                message.headers.extend(kept);
                message.key = key.map(<[u8]>::to_vec);
                message.payload = value[..value.len().min(self.bytes).min(room)].to_vec();
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
    (format!("{OWN}{name}"), value.into_bytes())
}

/// Whether so much of key and headers fits; half of the room is the value's.
fn takes(room: &mut usize, bytes: usize) -> bool {
    let fits = bytes <= room.saturating_sub(MESSAGE_BYTES / 2);
    if fits {
        *room -= bytes;
    }
    fits
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
            assert_eq!(message.headers.len(), 9, "{:?}", message.headers);
        }
    }

    fn kept(key: &[u8], value: &[u8], headers: &[(&str, &[u8])]) -> Outgoing {
        let record = SourceRecord {
            topic: "orders",
            partition: 3,
            offset: 41,
            timestamp_ms: 17,
            key: Some(key),
            payload: Some(value),
            headers,
        };
        let trouble = Trouble::new("contract", "field amount: min".into());
        Quarantine::new(&ValuesPlan::default(), 4 << 20).message(&record, trouble)
    }

    #[test]
    fn a_record_is_kept_whole_with_the_headers_it_had() {
        let had: [(&str, &[u8]); 3] =
            [("app", b"pos-7"), ("driftline.reason", b"forged"), ("app", b"pos-8")];
        let message = kept(b"key", b"value", &had);

        assert_eq!(message.key.as_deref(), Some(&b"key"[..]));
        assert_eq!(message.payload, b"value");
        for (name, value) in [
            ("reason", "contract"),
            ("detail", "field amount: min"),
            ("partition", "3"),
            ("offset", "41"),
            ("timestamp", "17"),
            ("bytes", "5"),
            ("key_bytes", "3"),
            ("headers", "2"),
        ] {
            assert_eq!(header(&message, name).expect("said"), value);
        }
        let theirs = message.headers.iter().filter(|(name, _)| !name.starts_with(OWN));
        let theirs: Vec<_> = theirs.map(|(name, value)| (name.as_str(), &value[..])).collect();
        assert_eq!(theirs, [had[0], had[2]]);
    }

    #[test]
    fn no_message_is_larger_than_a_broker_takes() {
        let large = vec![b'x'; 3 << 20];
        for (key, value, name) in [
            (&large[..], &large[..], &large[..]),
            (b"key", &large, b"app"),
            (&large, b"value", b"app"),
        ] {
            let message = kept(key, value, &[("app", name)]);
            let headers = message.headers.iter().map(|(name, value)| name.len() + value.len());
            let key = message.key.as_ref().map_or(0, Vec::len);
            let bytes = message.payload.len() + key + headers.sum::<usize>();

            assert!(bytes < 1_000_000, "{bytes}");
            assert_eq!(header(&message, "bytes"), Some(value.len().to_string()));
            assert!(!message.payload.is_empty());
        }
    }
}
