//! Definitions that others count under and this assess does not judge: two configurations at once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::finding::{ConfigMismatch, FindingItem, Subject};

/// Definitions remembered; more of them are counted and not told.
const STRAYS_MAX: usize = 64;

/// When each was heard last, by subject and definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Strays {
    heard: BTreeMap<(Subject, u64), Stray>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stray {
    known: u64,
    heard_ms: i64,
}

impl Strays {
    /// Hears of a subject under another definition than the known one; tells it the first time.
    pub(super) fn hear(
        &mut self,
        subject: Subject,
        (known, other): (u64, u64),
        now_ms: i64,
    ) -> Option<FindingItem> {
        let key = (subject, other);
        if let Some(stray) = self.heard.get_mut(&key) {
            stray.heard_ms = now_ms;
            return None;
        }
        if self.heard.len() >= STRAYS_MAX {
            return None;
        }
        let subject = key.0.clone();
        self.heard.insert(key, Stray { known, heard_ms: now_ms });
        Some(FindingItem::Mismatch(ConfigMismatch { subject, known, other, over: false }))
    }

    /// Lets go of those not heard for longer than `hold_ms`; tells that.
    pub(super) fn let_go(&mut self, now_ms: i64, hold_ms: i64) -> Vec<FindingItem> {
        let mut gone = Vec::new();
        self.heard.retain(|(subject, other), stray| {
            let stays = now_ms.saturating_sub(stray.heard_ms) <= hold_ms;
            if !stays {
                let (subject, known, other) = (subject.clone(), stray.known, *other);
                let mismatch = ConfigMismatch { subject, known, other, over: true };
                gone.push(FindingItem::Mismatch(mismatch));
            }
            stays
        });
        gone
    }
}
