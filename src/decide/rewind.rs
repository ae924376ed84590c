//! Going back in time on purpose: what decide forgets so that it can be told anew.

use super::{Decide, QueueKey, Queued};
use crate::event::finding::{FindingItem, Restarted, Subject};
use crate::event::route::Outbox;
use crate::event::time::EventTime;

impl Decide {
    /// Forgets what has been told of windows that are counted anew. Incidents stay: what still
    /// holds of them comes again, and what does not is resolved by what comes.
    pub(super) fn rewind(&mut self, restarted: &Restarted, out: &mut Outbox) {
        for (subject, from) in &restarted.subjects {
            self.epochs.enter(restarted.epoch, subject.clone(), *from);
            if let Some(closed) = self.closed.get_mut(subject) {
                *closed = (*closed).min(*from);
            }
            self.queue.retain(|key, queued| !is_after(key, queued, (subject, *from)));
            if let Subject::Model(model) = subject {
                self.evidence.tables.retain(|(name, start), _| name != model || start < from);
            }
        }
        self.mend(restarted, out);
    }
}

/// Whether a waiting item is about a window of the subject that starts at `from` or later.
fn is_after(key: &QueueKey, queued: &Queued, (subject, from): (&Subject, EventTime)) -> bool {
    let start = match &queued.item {
        FindingItem::Alarm(alarm) => alarm.finding.window_start,
        FindingItem::Contrast(finding) => finding.window_start,
        FindingItem::Cells(table) => table.window_start,
        FindingItem::Schema(_)
        | FindingItem::Integrity(_)
        | FindingItem::Rewound(_)
        | FindingItem::Mismatch(_) => {
            return false;
        }
    };
    key.1 == *subject && start >= from
}
