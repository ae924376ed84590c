//! Definitions that others count under and this assess does not judge by.
//!
//! While a change of configuration goes round they are heard beside the plan's own, and drain.
//! Heard for longer than the hold they are two configurations at once: an incident, and not taken
//! any more.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::finding::{ConfigMismatch, FindingItem, Subject};

/// Definitions remembered; what is counted under more of them is not taken.
const STRAYS_MAX: usize = 64;

/// Since when each has been heard, and when last, by subject and definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Strays {
    heard: BTreeMap<(Subject, u64), Stray>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Stray {
    known: u64,
    first_ms: i64,
    heard_ms: i64,
    /// It has been heard for too long, and told.
    told: bool,
}

impl Strays {
    /// Hears of a subject under another definition than the known one; gives whether what was
    /// counted is to be taken, and what there is to tell.
    pub(super) fn hear(
        &mut self,
        subject: Subject,
        (known, other): (u64, u64),
        (now_ms, hold_ms): (i64, i64),
    ) -> (bool, Option<FindingItem>) {
        let key = (subject, other);
        let is_new = !self.heard.contains_key(&key);
        if is_new && self.heard.len() >= STRAYS_MAX {
            return (false, None);
        }
        let subject = key.0.clone();
        let fresh = Stray { known, first_ms: now_ms, heard_ms: now_ms, told: false };
        let stray = self.heard.entry(key).or_insert(fresh);
        stray.heard_ms = now_ms;
        if now_ms.saturating_sub(stray.first_ms) <= hold_ms {
            return (true, None);
        }
        let first = !std::mem::replace(&mut stray.told, true);
        let mismatch = ConfigMismatch { subject, known, other, over: false };
        (false, first.then_some(FindingItem::Mismatch(mismatch)))
    }

    /// Whether what is counted under a definition is still being taken.
    pub(super) fn takes(&self, subject: &Subject, definition: u64) -> bool {
        self.heard.get(&(subject.clone(), definition)).is_some_and(|stray| !stray.told)
    }

    /// Lets go of those not heard for longer than `hold_ms`; tells that of what was told.
    pub(super) fn let_go(&mut self, now_ms: i64, hold_ms: i64) -> Vec<FindingItem> {
        let mut gone = Vec::new();
        self.heard.retain(|(subject, other), stray| {
            let stays = now_ms.saturating_sub(stray.heard_ms) <= hold_ms;
            if !stays && stray.told {
                let (subject, known, other) = (subject.clone(), stray.known, *other);
                let mismatch = ConfigMismatch { subject, known, other, over: true };
                gone.push(FindingItem::Mismatch(mismatch));
            }
            stays
        });
        gone
    }

    /// There is none.
    pub(super) fn is_empty(&self) -> bool {
        self.heard.is_empty()
    }
}
