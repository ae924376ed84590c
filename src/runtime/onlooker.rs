//! The client context of readers that only look on: no group, nothing committed.

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::ConsumerContext;
use rdkafka::error::KafkaError;

/// Says nothing by itself: its errors come back from `poll` or another call, and are said there,
/// once.
#[derive(Clone, Copy, Debug)]
pub struct Onlooker;

impl ClientContext for Onlooker {
    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, reason, "kafka");
    }

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "kafka");
    }
}

impl ConsumerContext for Onlooker {}
