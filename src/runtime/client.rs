//! Kafka clients with the settings that exactly-once and quick failover need.
//!
//! Values were measured on a real broker: `range` with static membership takes over in 2 s after
//! a crash in place; transactions of at most 10 s bound how long a dead owner can hold readers
//! back. Properties that correctness rests on cannot be overridden by the configuration.

use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer};

use super::ffi;
use super::group::Group;
use super::transaction::Deliveries;
use crate::config::deployment::KafkaAccess;
use crate::config::property::RESERVED;
use crate::config::security::TOKEN_PROPERTY;

/// Longest a single call to Kafka blocks. Short enough to leave room for a shutdown in 10 s.
pub(super) const CALL: Duration = Duration::from_secs(5);
/// How long Kafka may be away before a restart of the process is better than more patience. A
/// broker that dies is back within two minutes, a cluster that rolls within a few more; a restart
/// would only wait for it anew.
pub(super) const AWAY_MAX: Duration = Duration::from_secs(300);

/// A configured property that the runtime must set itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("kafka property {name} is set by driftline and cannot be configured: remove it")]
pub struct ReservedProperty {
    /// Its name.
    pub name: String,
}

/// Who a loop is to Kafka. All names derive from it and stay the same over restarts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Prefix.
    pub app: String,
    /// Stage.
    pub stage: &'static str,
    /// Slot of the process.
    pub slot: u32,
}

impl Identity {
    /// Consumer group.
    #[must_use]
    pub fn group(&self) -> String {
        format!("{}.{}", self.app, self.stage)
    }

    /// Static member id and transactional id: one live process each.
    #[must_use]
    pub fn instance(&self) -> String {
        format!("{}.{}.{}", self.app, self.stage, self.slot)
    }
}

/// Refuses properties that are the runtime's own.
///
/// # Errors
/// Names the first one.
pub(super) fn check_properties(access: &KafkaAccess) -> Result<(), ReservedProperty> {
    for (name, _) in &access.properties {
        if RESERVED.contains(&name.as_str()) {
            return Err(ReservedProperty { name: name.clone() });
        }
    }
    Ok(())
}

/// What all clients share.
pub(super) fn base_config(access: &KafkaAccess) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning);
    config
        .set("client.id", "driftline")
        // New partitions of a source, or a topic made anew, are noticed this soon; the default
        // is five minutes.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "500");
    for (name, value) in access.properties.iter().filter(|(name, _)| name != TOKEN_PROPERTY) {
        config.set(name, value.reveal());
    }
    config.set("bootstrap.servers", &access.bootstrap_servers);
    config
}

/// Gives a new client the token it logs in with, where there is one.
pub(crate) fn log_in<C: ClientContext>(
    client: &Client<C>,
    access: &KafkaAccess,
) -> KafkaResult<()> {
    match access.properties.iter().find(|(name, _)| name == TOKEN_PROPERTY) {
        Some((_, token)) => {
            ffi::set_token(client, token.reveal()).map_err(KafkaError::ClientCreation)
        }
        None => Ok(()),
    }
}

/// Whether a client can be made: certificates and keys belong together, properties are known.
/// Connects to nothing.
///
/// # Errors
/// What librdkafka says.
pub fn try_access(access: &KafkaAccess) -> KafkaResult<()> {
    let consumer = base_config(access).create_with_context::<_, BaseConsumer<Silent>>(Silent)?;
    log_in(consumer.client(), access)
}

/// The consumer of a stage's group.
pub(super) fn group_consumer(
    access: &KafkaAccess,
    identity: &Identity,
    prefetch_bytes: usize,
) -> KafkaResult<BaseConsumer<Group>> {
    // Counted in payload only; small messages take about three times as much.
    let prefetch_kib = (prefetch_bytes / 1024).clamp(64, 1 << 20).to_string();
    let mut config = base_config(access);
    config
        .set("group.id", identity.group())
        .set("group.instance.id", identity.instance())
        .set("group.protocol", "classic")
        .set("partition.assignment.strategy", "range")
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "500")
        // A commit or an abort may block for 10 s and more while a broker is away.
        .set("max.poll.interval.ms", "60000")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // Where to start is decided by the restore, never by a default.
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "50")
        // The default of 1 s costs three quarters of the throughput of a slow reader.
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.min.messages", "20000")
        .set("queued.max.messages.kbytes", prefetch_kib);
    let consumer: BaseConsumer<Group> =
        config.create_with_context(Group::new(identity.instance()))?;
    log_in(consumer.client(), access)?;
    Ok(consumer)
}

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Isolation {
    /// Committed ones; ends at the last stable offset.
    Committed,
    /// All; used for high watermarks alone.
    Uncommitted,
}

/// A consumer that is assigned by hand and commits nothing. The group id is there because
/// librdkafka wants one for `assign`; it never joins.
pub(super) fn unsubscribed(
    access: &KafkaAccess,
    identity: &Identity,
    isolation: Isolation,
) -> KafkaResult<BaseConsumer<Silent>> {
    let level = match isolation {
        Isolation::Committed => "read_committed",
        Isolation::Uncommitted => "read_uncommitted",
    };
    let mut config = base_config(access);
    config
        .set("group.id", identity.group())
        .set("isolation.level", level)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "20")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", "8192");
    let consumer: BaseConsumer<Silent> = config.create_with_context(Silent)?;
    log_in(consumer.client(), access)?;
    Ok(consumer)
}

/// A producer; with a transactional id where `transactional`.
pub(super) fn producer(
    access: &KafkaAccess,
    identity: &Identity,
    transactional: bool,
) -> KafkaResult<BaseProducer<Deliveries>> {
    let mut config = base_config(access);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("linger.ms", "5")
        .set("compression.type", "zstd");
    if transactional {
        config
            .set("transactional.id", identity.instance())
            .set("transaction.timeout.ms", "10000")
            // Must not be longer than the transaction.
            .set("message.timeout.ms", "10000");
    } else {
        config.set("message.timeout.ms", "30000");
    }
    let producer: BaseProducer<Deliveries> = config.create_with_context(Deliveries::default())?;
    log_in(producer.client(), access)?;
    Ok(producer)
}

/// Context of readers: their errors come back from `poll`, so librdkafka's own reports of the
/// same are not logged a second time.
#[derive(Debug)]
pub(super) struct Silent;

impl ClientContext for Silent {
    fn error(&self, _error: KafkaError, _reason: &str) {}
}

impl ConsumerContext for Silent {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::deployment::Secret;

    #[test]
    fn a_property_that_breaks_correctness_is_refused() {
        let access = KafkaAccess {
            bootstrap_servers: "localhost:9092".into(),
            properties: vec![
                ("security.protocol".into(), Secret::new("PLAINTEXT".into())),
                ("isolation.level".into(), Secret::new("read_uncommitted".into())),
            ],
        };

        let refused = check_properties(&access).unwrap_err();

        assert_eq!(refused.name, "isolation.level");
    }
}
