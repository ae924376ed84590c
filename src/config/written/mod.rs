//! The configuration as written. Doc comments here are the user's reference: they become the
//! JSON Schema.
//!
//! Nothing is checked but shape; `validate` does the rest and fills in defaults.

mod dataset;
mod model;
mod security;
mod values;

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

pub use dataset::{BoundsAsWritten, Dataset, Field, Kind, Remember, Window};
pub use model::{AbsentAsWritten, CoversAsWritten, DecisionAsWritten, Exposure, Model};
pub use model::{Outcomes, Predictions};
pub use security::{Kerberos, Oidc, Registry, Security};
pub use values::{KeepsAsWritten, Values};

use super::Source;
use super::scalar::{Bytes, Millis};
use super::secret::Opaque;

/// One Driftline deployment: which topics to watch, which models they feed, and how to reach
/// Kafka. In any text, `${NAME}` and `${NAME:-default}` are replaced from the environment.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Prefix of internal topics, consumer groups and transactional ids: a-z, 0-9 and `-`, at
    /// most 64. State belongs to it, so a new one starts with no memory.
    pub app: String,
    /// How to reach Kafka.
    #[serde(default)]
    pub kafka: Kafka,
    /// Schema registry. Without one, records must be JSON and events are JSON too.
    pub registry: Option<Registry>,
    /// Datasets by name: topics whose records are watched.
    #[serde(default)]
    pub datasets: BTreeMap<String, Dataset>,
    /// Models by name.
    #[serde(default)]
    pub models: BTreeMap<String, Model>,
    /// Names of the public topics.
    #[serde(default)]
    pub topics: Topics,
    /// When progress is committed.
    #[serde(default)]
    pub commit: Commit,
    /// Verdicts about windows that ended longer ago than this never act. Default: two windows
    /// of the largest size.
    pub act_within: Option<Millis>,
    /// How long a partition that cannot be read holds windows open. Default: 10m.
    pub hold_max: Option<Millis>,
    /// What may be remembered of values.
    #[serde(default)]
    pub values: Values,
    /// Windows that a partition may be read ahead of the slowest of its topic, and predictions and
    /// outcomes of a model ahead of each other. Default: 4.
    pub max_ahead: Option<u32>,
    /// Upper bounds.
    #[serde(default)]
    pub limits: LimitsAsWritten,
    /// Metrics and health.
    #[serde(default)]
    pub http: Http,
    /// The file, to point into it.
    #[serde(skip)]
    #[schemars(skip)]
    pub(crate) source: Source,
}

/// How to reach Kafka.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Kafka {
    /// `host:port`, several separated by commas. Default: localhost:9092.
    pub bootstrap_servers: Option<String>,
    /// Encryption and log-in.
    #[serde(default)]
    pub security: Security,
    /// Further librdkafka properties, passed on as they are. Those that exactly-once rests on, and
    /// those that `security` says, are refused.
    #[serde(default)]
    pub properties: BTreeMap<String, Opaque>,
}

/// Names of the public topics.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Topics {
    /// Schema changes, alarms, incidents. Default: drift-events.
    pub drift_events: Option<String>,
    /// Retrain requests. Default: retrain-requests.
    pub retrain_requests: Option<String>,
    /// Hold and fix-upstream requests. Default: action-requests.
    pub action_requests: Option<String>,
}

/// When progress is committed.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// Longest time between two commits. Default: a 120th of the smallest window, at least 1s
    /// and at most 30s.
    pub interval: Option<Millis>,
}

/// Upper bounds; reaching one is counted and never stops anything.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LimitsAsWritten {
    /// Memory the process aims to stay below, at least 64MiB; the other limits follow from it
    /// unless given. Default: 512MiB.
    pub memory: Option<Bytes>,
    /// Cells (schema versions times producers) of one window that are kept apart.
    pub cells_per_window: Option<u32>,
    /// Fields watched of one dataset. Default: 256.
    pub fields_per_dataset: Option<u32>,
    /// Predictions and outcomes that may wait for each other.
    pub waiting: Option<u32>,
    /// Largest record decoded; larger ones are set aside. Default: 4MiB.
    pub record: Option<Bytes>,
}

/// Metrics and health over HTTP.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Http {
    /// `address:port`, or `off`. Default: 127.0.0.1:9464.
    pub listen: Option<String>,
}
