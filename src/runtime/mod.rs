//! Kafka: the loops that drive the stages, transactions, checkpoints, topics, shutdown.
//!
//! The impure room. A loop is one OS thread with a group consumer, an unsubscribed reader and a
//! transactional producer; it hands records to a stage, and commits what the stage says together
//! with the offsets. Whatever goes wrong has one answer: forget what is in memory, restore from
//! what is committed, go on. What is decided about data is decided in the stages, never here.
//!
//! # Traps of exactly-once, and what holds the loops out of them
//!
//! - *A join that starts again at the oldest entry it waits for* meets halves whose partner was
//!   joined before: it starts a horizon earlier. `restart_point_moves_on_with_the_clock`,
//!   `constant_id_does_not_hold_the_restart_point_for_ever`.
//! - *Offsets sent outside a generation fence nobody*: a loop that belongs to none does not
//!   commit (`transaction`). Zombies in
//!   `under_faults_at_random_it_loses_nothing_doubles_nothing_and_says_the_same`.
//! - *A flush inside the commit waits 100 ms* unless everything is delivered before: drained
//!   first. No test: it is a matter of time alone, and the cost of a commit is a metric.
//! - *A fence may be an accident*, or a second process:
//!   `a_fenced_producer_is_replaced_and_nothing_is_lost`,
//!   `a_second_process_on_a_slot_ends_the_first_and_says_so`,
//!   `of_two_processes_on_one_slot_the_older_ends_and_the_other_goes_on`.
//! - *The open transaction of a dead producer holds readers back*: ids are stable, so that a
//!   restart ends it, and 10 s bound it otherwise. Restarts and failovers of the same test as
//!   zombies.
//! - *Under `read_committed` a partition seems to end at its last stable offset*: a restore reads
//!   to the high watermark (`reader`). No test: one broker does not show the gap between them
//!   for long enough.
//! - *A seek may be refused*, for a moment after an assignment and for ever after a fetch that
//!   was: `each_answer_of_kafka_ends_committed_or_recovered_and_none_spins`,
//!   `a_topic_that_begins_late_is_read_from_there_by_a_new_group`.
//! - *A static member that closes is waited for*:
//!   `a_member_that_leaves_for_good_hands_over_at_once`.
//! - *A consumer whose revoke nobody answers cannot be dropped*: `group` answers once it is
//!   closing. Every test that stops a loop would hang.
//! - *A broker that is down floods poll with errors*, and calls block: `quiet`, `COMMIT_FOR`
//!   below `max.poll.interval.ms`. `a_cause_is_logged_once_per_interval`, and the broker killed
//!   in the test with the zombies.
//! - *What the group asks waits behind that flood*: a loop that rests, or waits for a producer,
//!   hears it to the end (`Member::serve`). The broker killed in the test with the zombies.
//! - *Contiguous ranges do not show what retention took*: nothing starts at a default.
//!   `offsets_that_retention_has_taken_end_the_run_and_are_counted`.
//! - *A topic made anew is read on in its middle*: its id is committed beside its offsets
//!   (`incarnation`). `a_source_made_anew_is_read_from_its_beginning`.
//! - *Metadata set twice on one element leaks*: set in one place, once (`offsets`). No test: what
//!   leaks is librdkafka's.
#![expect(
    clippy::disallowed_methods,
    reason = "drives stages from clocks, threads and the network; the stages themselves do not"
)]

mod access;
mod archive;
mod client;
mod cluster;
mod error;
mod fed;
mod ffi;
mod group;
mod incarnation;
mod layouts;
mod member;
mod mock;
mod neighbours;
mod observe_loop;
mod onlooker;
mod pulse;
mod quiet;
mod reader;
mod redrive;
mod redrive_record;
mod report;
mod restore;
mod rewind;
pub mod rights;
mod schema_waits;
mod send;
mod set_aside;
mod setup;
mod shutdown;
mod stage_loop;
mod supervisor;
mod topics;
mod transaction;

pub use access::Rights;
pub use archive::{Archive, Committed, Found};
pub(crate) use client::log_in;
pub use client::{Identity, ReservedProperty, try_access};
pub use cluster::{Check, TopicsError, check_connect, check_rights, ensure_topics};
pub use error::RunError;
pub use mock::MockBroker;
pub use neighbours::check_neighbours;
pub use onlooker::Onlooker;
pub use redrive::{Redrive, RedriveError, Redriven, redrive};
pub use report::{Report, ReportKind};
pub use rewind::{Return, Stand};
pub use setup::{Input, Pace, Setup};
pub use shutdown::Shutdown;
pub use supervisor::Supervisor;
pub use topics::{TopicNames, TopicSpec};
pub use transaction::{Commit, EventEncoder};
