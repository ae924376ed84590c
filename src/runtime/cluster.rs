//! Makes the topics that are missing and checks those that are there.
//!
//! What cannot be mended from here is said with the command that mends it. Nothing that exists
//! is ever changed: a topic may be shared, and its settings are its owner's.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, ConfigResource, ConfigResourceResult, NewTopic, ResourceSpecifier,
    TopicReplication,
};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::config::{FromClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};

use super::access::Rights;
use super::client::{ReservedProperty, base_config, check_properties, log_in};
use super::rights::{MissingRight, Operation, Resource, Right};
use super::topics::{TopicNames, TopicSpec};
use crate::config::deployment::{Deployment, KafkaAccess};
use crate::config::plan::Plan;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);
/// What connections may have said in that time: about four a second and broker tried.
const EVENTS_MAX: u32 = 256;
/// By then a topic that exists is seen by everybody who may.
const SEEN_WITHIN: Duration = Duration::from_secs(3);
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
    #[error("cannot reach Kafka at {servers}: {source}{}", why(.reason))]
    Unreachable {
        /// Bootstrap servers.
        servers: String,
        /// What failed.
        source: KafkaError,
        /// What the last connection said, such as a log-in refused.
        reason: Option<String>,
    },
    /// Rights are missing.
    #[error("{}", lines(.missing))]
    Denied {
        /// All of them.
        missing: Vec<MissingRight>,
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

fn why(reason: &Option<String>) -> String {
    reason.as_ref().map_or_else(String::new, |reason| format!(" ({reason})"))
}

fn lines(missing: &[MissingRight]) -> String {
    let lines: Vec<String> = missing.iter().map(ToString::to_string).collect();
    lines.join("\n")
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

/// Asks for every right that is needed, as far as a cluster can be asked.
///
/// # Errors
/// With all that are missing, or when nobody answers.
pub fn check_rights(access: &KafkaAccess, rights: &Rights) -> Result<(), TopicsError> {
    let cluster = Cluster::connect(access)?;
    // First what needs no right: its failure says best why there is no connection.
    cluster.partitions()?;
    let missing = cluster.missing_rights(rights)?;
    if missing.is_empty() { Ok(()) } else { Err(TopicsError::Denied { missing }) }
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
    let existing: Vec<&TopicSpec> =
        specs.iter().filter(|spec| !made.contains(&spec.name)).collect();
    // One that another process made in the same moment is not seen at once.
    let (mut present, started) = (present, Instant::now());
    while existing.iter().any(|spec| !present.contains_key(&spec.name))
        && started.elapsed() < SEEN_WITHIN
    {
        std::thread::sleep(AGAIN);
        present = cluster.partitions()?;
    }
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
    let denied = match cluster.missing_rights(&Rights::new(plan, deployment)) {
        Ok(missing) => missing,
        Err(error) => {
            return vec![Check { name, result: Err(error) }];
        }
    };
    let found = format!("reachable, {} topics", present.len());
    let mut checks = vec![Check { name, result: Ok(found) }];
    // Of a topic that may not be looked at nothing more is known.
    let is_hidden =
        |topic: &str| denied.iter().any(|missing| missing.right.covers(Resource::Topic, topic));
    for missing in &denied {
        let name = format!("right to {}", missing.right.subject());
        let result = Err(TopicsError::Denied { missing: vec![missing.clone()] });
        checks.push(Check { name, result });
    }
    for topic in sources.iter().filter(|topic| !is_hidden(topic)) {
        let result = match present.get(topic) {
            Some(partitions) => Ok(format!("{partitions} partitions")),
            None => Err(TopicsError::SourceMissing { topic: topic.clone() }),
        };
        checks.push(Check { name: format!("source topic {topic}"), result });
    }
    let specs = TopicNames::new(&deployment.app, &deployment.topics).specs(plan);
    let (there, missing): (Vec<&TopicSpec>, Vec<&TopicSpec>) = specs
        .iter()
        .filter(|spec| !is_hidden(&spec.name))
        .partition(|spec| present.contains_key(&spec.name));
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

/// The settings of a topic, as the cluster has them.
pub(super) fn topic_settings(
    access: &KafkaAccess,
    topic: &str,
) -> Result<BTreeMap<String, String>, TopicsError> {
    let cluster = Cluster::connect(access)?;
    let options = AdminOptions::new().request_timeout(Some(PATIENCE));
    let resource = [ResourceSpecifier::Topic(topic)];
    let described = cluster.wait(cluster.admin.describe_configs(&resource, &options))?;
    let mut settings = BTreeMap::new();
    for config in described {
        let config = config.map_err(|code| cluster.unreachable(KafkaError::AdminOp(code)))?;
        let values = config.entries.into_iter();
        settings.extend(values.filter_map(|entry| Some((entry.name, entry.value?))));
    }
    Ok(settings)
}

/// A topic and whether it is as it must be.
type TopicResult = (String, Result<(), TopicsError>);

/// Remembers what its connections last said: without it, a log-in that is refused looks like a
/// broker that is silent.
#[derive(Debug, Default)]
struct Asker {
    said: Mutex<Option<String>>,
}

impl ClientContext for Asker {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, facility, message, "kafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::AllBrokersDown) {
            // Follows on what is wrong with each.
            return;
        }
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_owned());
    }
}

impl ConsumerContext for Asker {}

/// Two connections and the name they go by in messages.
struct Cluster {
    admin: AdminClient<DefaultClientContext>,
    /// Asks what needs no administrator; an admin client tells nothing of its connections.
    asker: BaseConsumer<Asker>,
    servers: String,
    waiter: tokio::runtime::Runtime,
}

impl Cluster {
    fn connect(access: &KafkaAccess) -> Result<Cluster, TopicsError> {
        check_properties(access)?;
        let servers = access.bootstrap_servers.clone();
        let made = || {
            let config = base_config(access);
            let asker: BaseConsumer<Asker> = config.create_with_context(Asker::default())?;
            log_in(asker.client(), access)?;
            let admin = AdminClient::from_config(&config)?;
            log_in(admin.inner(), access)?;
            Ok((asker, admin))
        };
        let (asker, admin) = made().map_err(|source| TopicsError::Unreachable {
            servers: servers.clone(),
            source,
            reason: None,
        })?;
        let waiter = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime without drivers needs nothing from the system");
        Ok(Cluster { admin, asker, servers, waiter })
    }

    fn wait<T>(&self, call: impl Future<Output = KafkaResult<T>>) -> Result<T, TopicsError> {
        self.waiter.block_on(call).map_err(|source| self.unreachable(source))
    }

    fn unreachable(&self, source: KafkaError) -> TopicsError {
        // Hands over what connections have said since, log lines among it.
        for _ in 0..EVENTS_MAX {
            let _ = self.asker.poll(Duration::ZERO);
        }
        let said = &self.asker.context().said;
        let reason = said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        TopicsError::Unreachable { servers: self.servers.clone(), source, reason }
    }

    /// Number of partitions of every topic that may be seen.
    fn partitions(&self) -> Result<BTreeMap<String, usize>, TopicsError> {
        let metadata =
            self.asker.fetch_metadata(None, PATIENCE).map_err(|source| self.unreachable(source))?;
        let topics = metadata.topics().iter();
        Ok(topics.map(|topic| (topic.name().to_owned(), topic.partitions().len())).collect())
    }

    fn missing_rights(&self, rights: &Rights) -> Result<Vec<MissingRight>, TopicsError> {
        let hidden = self.hidden_settings(rights)?;
        let silent = KafkaError::AdminOp(RDKafkaErrorCode::OperationTimedOut);
        rights
            .missing(self.asker.client(), PATIENCE, |topic| hidden.contains(&topic))
            .ok_or_else(|| self.unreachable(silent))
    }

    /// Topics whose settings may not be looked at.
    fn hidden_settings<'a>(&self, rights: &'a Rights) -> Result<Vec<&'a str>, TopicsError> {
        let topics: Vec<&str> = rights.topics().collect();
        let resources: Vec<ResourceSpecifier<'_>> =
            topics.iter().map(|topic| ResourceSpecifier::Topic(topic)).collect();
        let options = AdminOptions::new().request_timeout(Some(PATIENCE));
        let described = self.wait(self.admin.describe_configs(&resources, &options))?;
        let refused = RDKafkaErrorCode::TopicAuthorizationFailed;
        let hidden = topics
            .into_iter()
            .zip(described)
            .filter(|(_, found)| found.as_ref().err() == Some(&refused));
        Ok(hidden.map(|(topic, _)| topic).collect())
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
                Err(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                    let right =
                        Right::literal(Resource::Topic, &spec.name, &[Operation::DescribeConfigs]);
                    let missing = vec![MissingRight { right, servers: self.servers.clone() }];
                    Err(TopicsError::Denied { missing })
                }
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
