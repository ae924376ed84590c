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

mod access;
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
pub use onlooker::Onlooker;
pub use redrive::{Redrive, RedriveError, Redriven, redrive};
pub use report::{Report, ReportKind};
pub use rewind::Return;
pub use setup::{Input, Pace, Setup};
pub use shutdown::Shutdown;
pub use supervisor::Supervisor;
pub use topics::{TopicNames, TopicSpec};
pub use transaction::{Commit, EventEncoder};
