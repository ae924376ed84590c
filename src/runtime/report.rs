//! What a loop tells about itself: one small message per commit, for metrics and health.
//!
//! Sent over a plain channel; a loop never waits for its reader, and nobody listening is fine.

use std::time::Duration;

use crate::event::progress::Progress;
use crate::event::public::PublicEvent;
use crate::event::route::{Note, Outgoing};

/// One message of a loop.
#[derive(Clone, Debug)]
pub struct Report {
    /// Stage: `observe`, `join`, `assess`, `decide`.
    pub stage: &'static str,
    /// What happened.
    pub kind: ReportKind,
}

/// What happened in a loop.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum ReportKind {
    /// Partitions were taken over and restored; the stage works.
    Assigned {
        /// Partitions held now.
        partitions: usize,
        /// How long the restore took.
        took: Duration,
    },
    /// The partitions were given up; the stage waits for its group.
    Revoked,
    /// A commit was made.
    Committed {
        /// How long it took.
        took: Duration,
        /// Messages read since the last one.
        read: u64,
        /// Messages and events written by it.
        written: u64,
        /// Messages behind the end of the input, over all partitions held.
        lag: u64,
        /// Whether it held a checkpoint.
        checkpoint: bool,
        /// What the stage wants operators to see.
        notes: Vec<Note>,
        /// Lines of the ledger; of observe alone.
        lines: Vec<Progress>,
        /// Records set aside, without their bytes; of observe alone.
        set_aside: Vec<Outgoing>,
        /// Public events it published.
        events: Vec<PublicEvent>,
    },
    /// A transaction was undone and the stage restores; nothing is lost.
    Rewound {
        /// `aborted`, `fatal`, `fenced`, `member_fenced`, `not_a_member`, `fetch`, `overtaken`,
        /// `unfed`, `made_anew`: for a metric's label.
        cause: &'static str,
    },
    /// The loop turns: it has nothing to commit, restores, or waits for Kafka. Sent about every
    /// five seconds.
    Turning,
    /// Partitions of observe waiting for a schema or a layout.
    Waiting {
        /// Partitions waiting for a schema.
        schema: usize,
        /// Partitions that are ahead of their layout.
        layout: usize,
    },
}
