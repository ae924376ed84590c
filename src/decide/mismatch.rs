//! Incidents of two configurations at once: someone counts what nobody judges.
//!
//! Assess says so when it begins and when it has not been heard for a while.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::Decide;
use super::events::{self, Trouble};
use super::sentences;
use crate::event::finding::{ConfigMismatch, Subject};
use crate::event::route::Outbox;
use crate::event::time::EventTime;

/// Since when, by subject and the definition nobody judges.
pub(super) type Mismatches = BTreeMap<(Subject, u64), EventTime>;

impl Decide {
    /// Takes what assess says of a definition that is not its own.
    pub(super) fn mismatch(&mut self, mismatch: &ConfigMismatch, out: &mut Outbox) {
        let ConfigMismatch { subject, known, other, over } = mismatch;
        let now = EventTime(self.now_ms);
        let key = (subject.clone(), *other);
        let since = if *over {
            self.mismatches.remove(&key)
        } else {
            (!self.mismatches.contains_key(&key)).then_some(now)
        };
        let Some(since) = since else { return };
        if !over {
            self.mismatches.insert(key, since);
        }
        let text = format!("config_mismatch {subject} {other:016x} {}", since.0);
        let trouble = Trouble {
            id: format!("{:016x}", xxh3_64(text.as_bytes())),
            kind: "config_mismatch",
            name: subject.to_string(),
            subjects: vec![subject.clone()],
            since,
            over: *over,
            evidence: format!("definitions {known:016x} and {other:016x}"),
            sentence: sentences::mismatch(subject, (*known, *other), *over),
        };
        out.events.push(events::trouble(trouble, now));
    }
}
