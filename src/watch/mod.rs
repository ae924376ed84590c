//! Looks at live topics with read rights alone: the four stages in memory over Kafka.
//!
//! An impure room: it reads topics, asks the registry, and takes *now* from the machine's clock.
//! It joins no group, commits no offset and writes nothing, so looking changes nothing; and what
//! it has learnt is gone with the process. Topics are read from their oldest record, as warm-up:
//! what that says is about the past and asks for nothing.

mod session;
mod topic;

pub use session::{Watch, sample};
pub use topic::TopicReader;

/// Why a topic cannot be watched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WatchError {
    /// A property is wrong.
    #[error("cannot set up a consumer: {0}")]
    Setup(rdkafka::error::KafkaError),
    /// No broker answers.
    #[error("no broker of {brokers} answers: {reason}")]
    Unreachable {
        /// As given.
        brokers: String,
        /// Why.
        reason: String,
    },
    /// There is no such topic.
    #[error("topic `{topic}` does not exist at {brokers}, or may not be described: name another")]
    NoTopic {
        /// Topic.
        topic: String,
        /// As given.
        brokers: String,
    },
    /// The user may not read it.
    #[error("topic `{topic}` may not be read: grant READ and DESCRIBE on it ({reason})")]
    Denied {
        /// Topic.
        topic: String,
        /// What the broker said.
        reason: String,
    },
    /// The log-in failed.
    #[error("{brokers} refuses the log-in: check --property sasl.* and ssl.* ({reason})")]
    LogIn {
        /// As given.
        brokers: String,
        /// What the broker said.
        reason: String,
    },
}

impl WatchError {
    /// Whether starting again may help.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self, WatchError::Unreachable { .. })
    }
}
