//! Makes the topics that are missing and checks those that are there.
//!
//! What cannot be mended from here is said with the command that mends it. Nothing that exists
//! is ever changed: a topic may be shared, and its settings are its owner's.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, ConfigResourceResult, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::client::{ReservedProperty, base_config, check_properties};
use super::topics::{TopicNames, TopicSpec};
use crate::config::deployment::{Deployment, KafkaAccess};
use crate::config::plan::Plan;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// Until it is asked again about what it does not know yet.
const AGAIN: Duration = Duration::from_millis(100);

/// What is wrong with the topics.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopicsError {
    /// A property that the runtime must set itself.
    #[error(transparent)]
    Property(#[from] ReservedProperty),
    /// The cluster does not answer.
    #[error("cannot reach Kafka at {servers}: {source}")]
    Unreachable {
        /// Bootstrap servers.
        servers: String,
        /// Why.
        source: KafkaError,
    },
    /// A topic that is read does not exist; driftline does not make it.
    #[error("topic {topic} does not exist: it is read, so its producer's side must create it")]
    SourceMissing {
        /// Topic.
        topic: String,
    },
    /// The cluster refused to make a topic.
    #[error("cannot create topic {topic}: {code}; as someone who may, run: {command}")]
    Refused {
        /// Topic.
        topic: String,
        /// What the broker said.
        code: RDKafkaErrorCode,
        /// Command that makes it.
        command: String,
    },
    /// A topic is not as it must be.
    #[error("topic {topic}: {what}; {advice}: {command}")]
    Wrong {
        /// Topic.
        topic: String,
        /// What is wrong.
        what: String,
        /// What the command is for.
        advice: &'static str,
        /// Command that mends it.
        command: String,
    },
}

impl TopicsError {
    /// 75 when trying again may help, else 78.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            TopicsError::Unreachable { .. } => 75,
            _ => 78,
        }
    }
}

/// One line of `driftline check --connect`.
#[derive(Debug)]
pub struct Check {
    /// What was looked at.
    pub name: String,
    /// What was found.
    pub result: Result<String, TopicsError>,
}

/// Makes missing topics and checks the others; returns the names of those it made.
///
/// # Errors
/// On the first thing that is wrong and cannot be mended from here.
pub fn ensure_topics(
    access: &KafkaAccess,
    specs: &[TopicSpec],
    sources: &[String],
) -> Result<Vec<String>, TopicsError> {
    let cluster = Cluster::connect(access)?;
    let present = cluster.partitions()?;
    for topic in sources {
        if !present.contains_key(topic) {
            return Err(TopicsError::SourceMissing { topic: topic.clone() });
        }
    }
    let missing: Vec<&TopicSpec> =
        specs.iter().filter(|spec| !present.contains_key(&spec.name)).collect();
    let made = cluster.create(&missing)?;
    // Again, with those that another process may have made in the same moment.
    let existing: Vec<&TopicSpec> =
        specs.iter().filter(|spec| !made.contains(&spec.name)).collect();
    let present =
        if existing.len() + made.len() > present.len() { cluster.partitions()? } else { present };
    for (_, result) in cluster.check(&existing, &present)? {
        result?;
    }
    Ok(made)
}

/// Looks at everything and changes nothing.
#[must_use]
pub fn check_connect(plan: &Plan, deployment: &Deployment, sources: &[String]) -> Vec<Check> {
    let servers = deployment.kafka.bootstrap_servers.clone();
    let name = format!("kafka at {servers}");
    let looked = Cluster::connect(&deployment.kafka)
        .and_then(|cluster| cluster.partitions().map(|present| (cluster, present)));
    let (cluster, present) = match looked {
        Ok(found) => found,
        Err(error) => {
            return vec![Check { name, result: Err(error) }];
        }
    };
    let found = format!("reachable, {} topics", present.len());
    let mut checks = vec![Check { name, result: Ok(found) }];
    for topic in sources {
        let result = match present.get(topic) {
            Some(partitions) => Ok(format!("{partitions} partitions")),
            None => Err(TopicsError::SourceMissing { topic: topic.clone() }),
        };
        checks.push(Check { name: format!("source topic {topic}"), result });
    }
    let specs = TopicNames::new(&deployment.app, &deployment.topics).specs(plan);
    let (there, missing): (Vec<&TopicSpec>, Vec<&TopicSpec>) =
        specs.iter().partition(|spec| present.contains_key(&spec.name));
    for spec in missing {
        let result = Ok("missing; run will create it".to_owned());
        checks.push(Check { name: format!("topic {}", spec.name), result });
    }
    match cluster.check(&there, &present) {
        Ok(results) => checks.extend(results.into_iter().map(|(topic, result)| Check {
            name: format!("topic {topic}"),
            result: result.map(|()| "as it must be".to_owned()),
        })),
        Err(error) => checks.push(Check { name: "topic settings".into(), result: Err(error) }),
    }
    checks
}

/// A topic and whether it is as it must be.
type TopicResult = (String, Result<(), TopicsError>);

/// An admin connection and the name it goes by in messages.
struct Cluster {
    admin: AdminClient<DefaultClientContext>,
    servers: String,
    waiter: tokio::runtime::Runtime,
}

impl Cluster {
    fn connect(access: &KafkaAccess) -> Result<Cluster, TopicsError> {
        check_properties(access)?;
        let servers = access.bootstrap_servers.clone();
        let admin = AdminClient::from_config(&base_config(access))
            .map_err(|source| TopicsError::Unreachable { servers: servers.clone(), source })?;
        let waiter = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without drivers needs nothing from the system");
        Ok(Cluster { admin, servers, waiter })
    }

    fn wait<T>(&self, call: impl Future<Output = KafkaResult<T>>) -> Result<T, TopicsError> {
        self.waiter.block_on(call).map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: KafkaError) -> TopicsError {
        TopicsError::Unreachable { servers: self.servers.clone(), source }
    }

    /// Number of partitions of every topic.
    fn partitions(&self) -> Result<BTreeMap<String, usize>, TopicsError> {
        let metadata = self
            .admin
            .inner()
            .fetch_metadata(None, PATIENCE)
            .map_err(|source| self.unreachable(source))?;
        let topics = metadata.topics().iter();
        Ok(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
    }

    fn create(&self, specs: &[&TopicSpec]) -> Result<Vec<String>, TopicsError> {
        if specs.is_empty() {
            return Ok(Vec::new());
        }
        let settings: Vec<Vec<(&str, String)>> = specs.iter().map(|spec| spec.settings()).collect();
        let topics: Vec<NewTopic<'_>> = specs
            .iter()
            .zip(&settings)
            .map(|(spec, settings)| {
                let partitions = spec.partitions.unwrap_or(1);
                // -1: the cluster's own default, which is the operator's decision.
                let topic = NewTopic::new(&spec.name, partitions, TopicReplication::Fixed(-1));
                settings.iter().fold(topic, |topic, (key, value)| topic.set(key, value))
            })
            .collect();
        let options =
            AdminOptions::new().request_timeout(Some(PATIENCE)).operation_timeout(Some(PATIENCE));
        let mut made = Vec::new();
        for result in self.wait(self.admin.create_topics(&topics, &options))? {
            match result {
                Ok(topic) => made.push(topic),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, code)) => {
                    let spec = specs.iter().find(|spec| spec.name == topic);
                    let command = spec.map_or_else(String::new, |spec| self.creating(spec));
                    return Err(TopicsError::Refused { topic, code, command });
                }
            }
        }
        Ok(made)
    }

    fn check(
        &self,
        specs: &[&TopicSpec],
        present: &BTreeMap<String, usize>,
    ) -> Result<Vec<TopicResult>, TopicsError> {
        let resources: Vec<ResourceSpecifier<'_>> =
            specs.iter().map(|spec| ResourceSpecifier::Topic(&spec.name)).collect();
        let described = if resources.is_empty() { Vec::new() } else { self.describe(&resources)? };
        let mut results = Vec::new();
        for (spec, config) in specs.iter().zip(described) {
            let result = match config {
                Ok(config) => self.check_one(spec, present.get(&spec.name), &config),
                Err(code) => Err(self.unreachable(KafkaError::AdminOp(code))),
            };
            results.push((spec.name.clone(), result));
        }
        Ok(results)
    }

    /// Settings of topics. One that another process made a moment ago is answered with none at
    /// first; those are asked for again.
    fn describe(
        &self,
        resources: &[ResourceSpecifier<'_>],
    ) -> Result<Vec<ConfigResourceResult>, TopicsError> {
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let started = Instant::now();
        loop {
            let described = self.wait(self.admin.describe_configs(resources, &options))?;
            let is_there = |config: &ConfigResource| {
                config.get("cleanup.policy").is_some_and(|entry| entry.value.is_some())
            };
            let complete = described.iter().flatten().all(is_there);
            if complete || started.elapsed() > PATIENCE {
                return Ok(described);
            }
            std::thread::sleep(AGAIN);
        }
    }

    fn check_one(
        &self,
        spec: &TopicSpec,
        partitions: Option<&usize>,
        config: &ConfigResource,
    ) -> Result<(), TopicsError> {
        if let (Some(wanted), Some(found)) = (spec.partitions, partitions)
            && usize::try_from(wanted) != Ok(*found)
        {
            return Err(TopicsError::Wrong {
                topic: spec.name.clone(),
                what: format!("has {found} partitions and must have {wanted}"),
                advice: "choose another app prefix, or if it holds nothing yet, delete it and \
                         driftline makes it again",
                command: format!("{} --delete --topic {}", self.topics_tool(), spec.name),
            });
        }
        let value = |name: &str| config.get(name).and_then(|entry| entry.value.clone());
        let policy = value("cleanup.policy").unwrap_or_default();
        if spec.compacted != policy.contains("compact") {
            let wanted = if spec.compacted { "compact" } else { "delete" };
            return Err(self.wrong(spec, "cleanup.policy", &policy, wanted));
        }
        let stamp = value("message.timestamp.type").unwrap_or_default();
        if spec.append_time && stamp != "LogAppendTime" {
            return Err(self.wrong(spec, "message.timestamp.type", &stamp, "LogAppendTime"));
        }
        let retention = value("retention.ms").unwrap_or_default();
        let found_ms: i64 = retention.parse().unwrap_or(-1);
        if let Some(wanted_ms) = spec.retention_ms_min
            && found_ms >= 0
            && found_ms < wanted_ms
        {
            return Err(self.wrong(spec, "retention.ms", &retention, &wanted_ms.to_string()));
        }
        Ok(())
    }

    fn wrong(&self, spec: &TopicSpec, key: &str, found: &str, wanted: &str) -> TopicsError {
        TopicsError::Wrong {
            topic: spec.name.clone(),
            what: format!("has {key}={found} and must have {wanted}"),
            advice: "run",
            command: format!(
                "kafka-configs.sh --bootstrap-server {} --alter --entity-type topics \
                 --entity-name {} --add-config {key}={wanted}",
                self.servers, spec.name
            ),
        }
    }

    fn topics_tool(&self) -> String {
        format!("kafka-topics.sh --bootstrap-server {}", self.servers)
    }

    fn creating(&self, spec: &TopicSpec) -> String {
        use std::fmt::Write;

        let partitions = spec.partitions.unwrap_or(1);
        let tool = self.topics_tool();
        let mut command =
            format!("{tool} --create --topic {} --partitions {partitions}", spec.name);
        for (key, value) in spec.settings() {
            write!(command, " --config {key}={value}").expect("writing to a string cannot fail");
        }
        command
    }
}
