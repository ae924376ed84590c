//! Where a plan runs: brokers, registry, topic names, pace. Read by the runtime, never by a stage.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use super::security::Credentials;
use crate::event::public::PublicTopic;

/// Everything the runtime needs beyond the [`super::plan::Plan`].
#[derive(Clone, Debug)]
pub struct Deployment {
    /// Prefix of internal topics, groups and transactional ids; the same as the plan's.
    pub app: String,
    /// Which of several processes on one `app` this is; part of static ids.
    pub slot: u32,
    /// Brokers.
    pub kafka: KafkaAccess,
    /// Schema registry; without one, public events are JSON and records must be too.
    pub registry: Option<RegistryAccess>,
    /// Where the secrets in both came from, to be read again.
    pub credentials: Credentials,
    /// Names of public topics.
    pub topics: PublicTopics,
    /// Longest time between two commits of observe.
    pub commit_interval: Duration,
    /// Where metrics and health are served; `None` serves nothing.
    pub http: Option<SocketAddr>,
}

/// How to reach Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KafkaAccess {
    /// `host:port` list.
    pub bootstrap_servers: String,
    /// librdkafka properties, as name and value: those configured, and those of `security`.
    pub properties: Vec<(String, Secret)>,
}

/// How to reach the schema registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegistryAccess {
    /// Base URL, tried in order.
    pub urls: Vec<String>,
    /// Who we are, where it asks.
    pub login: Option<RegistryLogin>,
    /// Certificates.
    pub tls: Pems,
}

impl RegistryAccess {
    /// Without log-in or certificates of our own.
    #[must_use]
    pub fn open(urls: Vec<String>) -> RegistryAccess {
        RegistryAccess { urls, login: None, tls: Pems::default() }
    }
}

/// What is sent with each call to the registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistryLogin {
    /// User name and password.
    Basic(String, Secret),
    /// A token.
    Bearer(Secret),
}

/// Certificates as texts in PEM.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pems {
    /// Authorities to trust in place of the system's.
    pub ca: Option<Secret>,
    /// Our certificate and its private key.
    pub client: Option<(Secret, Secret)>,
}

/// Names of public topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicTopics {
    /// Schema changes, alarms, incidents.
    pub drift_events: String,
    /// Retrain requests.
    pub retrain_requests: String,
    /// Hold and fix-upstream requests.
    pub action_requests: String,
}

impl Default for PublicTopics {
    fn default() -> PublicTopics {
        PublicTopics {
            drift_events: "drift-events".into(),
            retrain_requests: "retrain-requests".into(),
            action_requests: "action-requests".into(),
        }
    }
}

impl PublicTopics {
    /// All names.
    #[must_use]
    pub fn all(&self) -> [&str; 3] {
        [&self.drift_events, &self.retrain_requests, &self.action_requests]
    }

    /// The name of a topic.
    #[must_use]
    pub fn name(&self, topic: PublicTopic) -> &str {
        match topic {
            PublicTopic::DriftEvents => &self.drift_events,
            PublicTopic::RetrainRequests => &self.retrain_requests,
            PublicTopic::ActionRequests => &self.action_requests,
        }
    }
}

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    #[must_use]
    pub fn new(value: String) -> Secret {
        Secret(value)
    }

    /// The value, for the one who needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
