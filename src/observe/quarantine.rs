//! Records set aside: the original bytes, and why, in headers.

use super::record::SourceRecord;
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

/// The message that sets a record aside; its value is cut to `bytes`.
pub(super) fn message(record: &SourceRecord<'_>, trouble: Trouble, bytes: usize) -> Outgoing {
    let payload = record.payload.unwrap_or_default();
    let text = |name: &str, value: String| (format!("driftline.{name}"), value.into_bytes());
    let mut headers = vec![
        text("reason", trouble.reason.to_owned()),
        text("topic", record.topic.to_owned()),
        text("partition", record.partition.to_string()),
        text("offset", record.offset.to_string()),
    ];
    if !trouble.detail.is_empty() {
        headers.push(text("detail", trouble.detail));
    }
    Outgoing {
        route: Route::Quarantine,
        key: record.key.map(<[u8]>::to_vec),
        payload: payload[..payload.len().min(bytes)].to_vec(),
        headers,
    }
}
