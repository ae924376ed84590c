//! Kafka: the loops that drive the stages, transactions, checkpoints, topics, shutdown.
//!
//! The impure room. A loop is one OS thread with a group consumer, an unsubscribed reader and a
//! transactional producer; it hands records to a stage, and commits what the stage says together
//! with the offsets. Whatever goes wrong has one answer: forget what is in memory, restore from
//! what is committed, go on. What is decided about data is decided in the stages, never here.
#![expect(
    clippy::disallowed_methods,
    reason = "drives stages from clocks, threads and the network; the stages themselves do not"
)]

mod archive;
mod client;
mod cluster;
mod error;
mod ffi;
mod group;
mod layouts;
mod member;
mod mock;
mod observe_loop;
mod onlooker;
mod quiet;
mod reader;
mod report;
mod restore;
mod rewind;
mod send;
mod set_aside;
mod setup;
mod shutdown;
mod stage_loop;
mod supervisor;
mod topics;
mod transaction;

pub use archive::{Archive, Committed, Found};
pub use client::{Identity, ReservedProperty};
pub use cluster::{Check, TopicsError, check_connect, ensure_topics};
pub use error::RunError;
pub use mock::MockBroker;
pub use onlooker::Onlooker;
pub use report::{Report, ReportKind};
pub use rewind::{Return, Stand};
pub use setup::{Input, Pace, Setup};
pub use shutdown::Shutdown;
pub use supervisor::Supervisor;
pub use topics::{TopicNames, TopicSpec};
pub use transaction::{Commit, EventEncoder};
