//! Records set aside: the original bytes, and why, in headers.

use super::record::SourceRecord;
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

/// The message that sets a record aside: its key, headers and value, the value cut to `bytes`, and
/// all of them to what a broker takes. How much there was is said, so that only records that are
/// here as a whole are driven in again.
pub(super) fn message(record: &SourceRecord<'_>, trouble: Trouble, bytes: usize) -> Outgoing {
    let value = record.payload.unwrap_or_default();
    let text = |name: &str, value: String| (format!("{OWN}{name}"), value.into_bytes());
    let theirs = record.headers.iter().filter(|(name, _)| !name.starts_with(OWN));
    let mut headers = vec![
        text("reason", trouble.reason.to_owned()),
        text("topic", record.topic.to_owned()),
        text("partition", record.partition.to_string()),
        text("offset", record.offset.to_string()),
        text("timestamp", record.timestamp_ms.to_string()),
        text("bytes", value.len().to_string()),
        text("headers", theirs.clone().count().to_string()),
    ];
    if !trouble.detail.is_empty() {
        headers.push(text("detail", trouble.detail));
    }
    if let Some(key) = record.key {
        headers.push(text("key_bytes", key.len().to_string()));
    }
    let mut room = MESSAGE_BYTES;
    let key = record.key.filter(|key| takes(&mut room, key.len()));
    let kept = theirs.filter(|(name, value)| takes(&mut room, name.len() + value.len()));
    headers.extend(kept.map(|(name, value)| ((*name).to_owned(), value.to_vec())));
    Outgoing {
        route: Route::Quarantine,
        key: key.map(<[u8]>::to_vec),
        payload: value[..value.len().min(bytes).min(room)].to_vec(),
        headers,
    }
}

/// Whether so much of key and headers fits; half of the room is the value's.
fn takes(room: &mut usize, bytes: usize) -> bool {
    let fits = bytes <= room.saturating_sub(MESSAGE_BYTES / 2);
    if fits {
        *room -= bytes;
    }
    fits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set_aside(key: &[u8], value: &[u8], headers: &[(&str, &[u8])]) -> Outgoing {
        let record = SourceRecord {
            topic: "orders",
            partition: 3,
            offset: 41,
            timestamp_ms: 17,
            key: Some(key),
            payload: Some(value),
            headers,
        };
        message(&record, Trouble::new("contract", "field amount: min".into()), 4 << 20)
    }

    fn header(message: &Outgoing, name: &str) -> String {
        let found = message.headers.iter().find(|(known, _)| known == name);
        String::from_utf8(found.unwrap_or_else(|| panic!("no {name}")).1.clone()).expect("text")
    }

    #[test]
    fn a_record_is_kept_whole_with_the_headers_it_had() {
        let had: [(&str, &[u8]); 3] =
            [("app", b"pos-7"), ("driftline.reason", b"forged"), ("app", b"pos-8")];
        let message = set_aside(b"key", b"value", &had);

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
            assert_eq!(header(&message, &format!("{OWN}{name}")), value);
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
            let message = set_aside(key, value, &[("app", name)]);
            let headers = message.headers.iter().map(|(name, value)| name.len() + value.len());
            let key = message.key.as_ref().map_or(0, Vec::len);
            let bytes = message.payload.len() + key + headers.sum::<usize>();

            assert!(bytes < 1_000_000, "{bytes}");
            assert_eq!(header(&message, "driftline.bytes"), value.len().to_string());
            assert!(!message.payload.is_empty());
        }
    }
}
