//! One source partition: how far it has been read and what became of its records.

use crate::event::progress::{OutcomeCounts, Progress};
use crate::event::time::EventTime;

/// Progress of one assigned partition since the last commit.
#[derive(Clone, Debug)]
pub(super) struct Partition {
    partition_count: i32,
    from: i64,
    to: i64,
    counts: OutcomeCounts,
    /// Highest event time of an accepted record, ever.
    pub(super) max_event_time: Option<EventTime>,
    newest_append_ms: Option<i64>,
    /// Read to its end, and nothing since.
    pub(super) at_end: bool,
}

/// The one outcome of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Counted; its event time moves the partition's.
    Accepted(EventTime),
    /// Late.
    Late,
    /// Past.
    Past,
    /// Future.
    Future,
    /// Set aside.
    Quarantined,
    /// No payload.
    Tombstone,
}

impl Partition {
    /// A partition read from `next_offset` on; `metadata` is what the last commit said.
    pub(super) fn new(partition_count: i32, next_offset: i64, metadata: &str) -> Partition {
        let (time, append) = metadata.split_once(' ').unwrap_or((metadata, ""));
        Partition {
            partition_count,
            from: next_offset,
            to: next_offset,
            counts: OutcomeCounts::default(),
            max_event_time: time.parse().ok().map(EventTime),
            newest_append_ms: append.parse().ok(),
            at_end: false,
        }
    }

    /// Whether a record at `offset` has had its outcome already.
    pub(super) fn is_behind(&self, offset: i64) -> bool {
        offset < self.to
    }

    /// Gives the record at `offset` its outcome.
    pub(super) fn settle(&mut self, offset: i64, append_ms: i64, outcome: Outcome) {
        self.to = offset.saturating_add(1);
        self.at_end = false;
        if append_ms >= 0 {
            self.newest_append_ms = self.newest_append_ms.max(Some(append_ms));
        }
        let count = match outcome {
            Outcome::Accepted(time) => {
                self.max_event_time = self.max_event_time.max(Some(time));
                &mut self.counts.accepted
            }
            Outcome::Late => &mut self.counts.late,
            Outcome::Past => &mut self.counts.past,
            Outcome::Future => &mut self.counts.future,
            Outcome::Quarantined => &mut self.counts.quarantined,
            Outcome::Tombstone => &mut self.counts.tombstone,
        };
        *count += 1;
    }

    /// What a commit says of it.
    pub(super) fn progress(&self, topic: &str, partition: i32) -> Progress {
        Progress {
            topic: topic.to_owned(),
            partition,
            partition_count: self.partition_count,
            from: self.from,
            to: self.to,
            counts: self.counts,
            max_event_time: self.max_event_time,
            newest_append_ms: self.newest_append_ms,
            at_end: self.at_end,
        }
    }

    /// Starts the next commit; gives the metadata of the one made.
    pub(super) fn committed(&mut self) -> String {
        self.from = self.to;
        self.counts = OutcomeCounts::default();
        let text = |number: Option<i64>| number.map_or_else(String::new, |n| n.to_string());
        let time = text(self.max_event_time.map(|time| time.0));
        format!("{time} {}", text(self.newest_append_ms))
    }
}
