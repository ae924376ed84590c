//! What a commit says about the source partitions it read: the ledger's lines.
//!
//! Every commit of observe, empty ones too, carries one [`Progress`] per source partition to
//! every partition downstream. Time, idleness and completeness are read from these alone.

use serde::{Deserialize, Serialize};

use super::epoch::Rewound;
use super::time::EventTime;

/// Each record has exactly one outcome; this counts them. *Bound*: their sum is the number read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeCounts {
    /// Decoded, in time, and added to a summary.
    pub accepted: u64,
    /// Its window had ended more than the lateness before the partition's highest event time.
    pub late: u64,
    /// Event time before the configured past limit.
    pub past: u64,
    /// Event time further ahead than the configured future limit.
    pub future: u64,
    /// Left out on purpose by configuration.
    pub filtered: u64,
    /// Could not be decoded or broke its contract so that it was set aside.
    pub quarantined: u64,
    /// No payload.
    pub tombstone: u64,
}

impl OutcomeCounts {
    /// The number of records counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.accepted
            + self.late
            + self.past
            + self.future
            + self.filtered
            + self.quarantined
            + self.tombstone
    }

    /// Adds another count to this one.
    pub fn add(&mut self, other: &OutcomeCounts) {
        self.accepted += other.accepted;
        self.late += other.late;
        self.past += other.past;
        self.future += other.future;
        self.filtered += other.filtered;
        self.quarantined += other.quarantined;
        self.tombstone += other.tombstone;
    }
}

/// How far one source partition has been read, cumulative except for `from` and `counts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The user's topic.
    pub topic: String,
    /// Partition of that topic.
    pub partition: i32,
    /// Partitions the topic has: a watermark needs a word from each.
    pub partition_count: i32,
    /// First offset this commit covers; equals the previous commit's `to`.
    pub from: i64,
    /// First offset it does not cover.
    pub to: i64,
    /// What became of the records in `from..to`.
    pub counts: OutcomeCounts,
    /// Highest event time ever seen in the partition.
    pub max_event_time: Option<EventTime>,
    /// Append time of the newest record read, in broker milliseconds.
    pub newest_append_ms: Option<i64>,
    /// The partition had been read to its end when the commit was made.
    pub at_end: bool,
}

/// How far one partition of `facts` has been joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinProgress {
    /// Partition of `facts`.
    pub partition: i32,
    /// Partitions `facts` has.
    pub partition_count: i32,
    /// First offset this commit covers; equals the previous commit's `to`.
    pub from: i64,
    /// First offset it does not cover.
    pub to: i64,
    /// Per model, the clock of its join here: everything that could pair with a prediction older
    /// than `clock - horizon` has been seen. Absent until both sides have reported.
    pub clocks: Vec<(String, EventTime)>,
}

/// Who wrote a batch of summaries, and how far it had read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Header {
    /// A commit of observe.
    Observe(Vec<Progress>),
    /// A commit of join.
    Join(JoinProgress),
    /// Nobody's commit: someone went back in time.
    Rewound(Rewound),
}

/// Which event times had been written to a topic by which broker time, as far as its readers have
/// told. A partition read to its end is idle up to these, and nothing is known of it beyond.
#[derive(Debug)]
pub struct Written(Vec<(i64, EventTime)>);

impl Written {
    /// From each partition's newest record: by when it was written, and the highest event time.
    /// Producers may set a record's timestamp, so the time it was told by bounds the former.
    #[must_use]
    pub fn of(newest: impl Iterator<Item = (i64, EventTime)>) -> Written {
        let mut written: Vec<(i64, EventTime)> = newest.collect();
        written.sort_unstable();
        let mut highest = EventTime::MIN;
        for (_, time) in &mut written {
            highest = highest.max(*time);
            *time = highest;
        }
        Written(written)
    }

    /// Nothing has been told of any record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The highest event time of what had been written by then.
    #[must_use]
    pub fn by(&self, at_ms: i64) -> Option<EventTime> {
        let later = self.0.partition_point(|(written_ms, _)| *written_ms <= at_ms);
        self.0[..later].last().map(|(_, time)| *time)
    }
}
