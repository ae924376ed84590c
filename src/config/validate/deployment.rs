//! Checks of where a plan runs: brokers, registry, topic names, HTTP.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::{Checks, security};
use crate::config::Millis;
use crate::config::deployment::{Deployment, KafkaAccess, PublicTopics, RegistryAccess};
use crate::config::plan::Plan;
use crate::config::security::{Credentials, KafkaSecurity, RegistrySecurity};

const BOOTSTRAP_SERVERS: &str = "localhost:9092";
/// Where Prometheus exporters of OpenTelemetry listen.
const HTTP_PORT: u16 = 9464;
const INTERNAL_TOPICS: [&str; 7] =
    ["facts", "summaries", "findings", "state-assess", "state-decide", "layouts", "quarantine"];

/// The deployment of a plan whose smallest window is given.
pub(super) fn deployment(checks: &mut Checks<'_>, plan: &Plan, smallest_ms: i64) -> Deployment {
    let interval = checks.positive(&["commit", "interval"], checks.config.commit.interval);
    let interval_ms = interval.unwrap_or((smallest_ms / 120).clamp(1_000, 30_000));
    if interval_ms > smallest_ms {
        let message = format!(
            "{} is longer than the smallest window of {}",
            Millis(interval_ms),
            Millis(smallest_ms)
        );
        checks.problem(&["commit", "interval"], message, "leave it out, or shorten it");
    }
    let (kafka, kafka_security) = kafka(checks);
    let (registry, registry_security) = registry(checks).unzip();
    Deployment {
        app: plan.app.clone(),
        slot: 0,
        kafka,
        registry,
        credentials: Credentials {
            kafka: kafka_security,
            registry: registry_security.unwrap_or_default(),
        },
        topics: topics(checks, plan),
        commit_interval: Duration::from_millis(interval_ms.unsigned_abs()),
        http: http(checks),
    }
}

fn kafka(checks: &mut Checks<'_>) -> (KafkaAccess, KafkaSecurity) {
    let written = &checks.config.kafka;
    let servers = written.bootstrap_servers.clone().unwrap_or_else(|| BOOTSTRAP_SERVERS.into());
    if servers.trim().is_empty() {
        let path = ["kafka", "bootstrap_servers"];
        checks.problem(&path, "no broker is named".into(), "write `host:port`");
    }
    security::kafka(checks, servers)
}

fn registry(checks: &mut Checks<'_>) -> Option<(RegistryAccess, RegistrySecurity)> {
    let written = checks.config.registry.as_ref()?;
    let urls: Vec<String> =
        written.url.0.iter().map(|url| url.0.trim_end_matches('/').to_owned()).collect();
    if urls.is_empty() {
        checks.problem(
            &["registry", "url"],
            "no address is given".into(),
            "write `url: http://...`",
        );
    }
    for url in &urls {
        if url.contains('@') {
            let message = "a log-in in the address would be printed with it".into();
            checks.problem(&["registry", "url"], message, "use `username` and `password`");
        } else if !url.starts_with("http://") && !url.starts_with("https://") {
            let message = format!("`{url}` is no address of a registry");
            checks.problem(&["registry", "url"], message, "start it with http:// or https://");
        }
    }
    Some(security::registry(checks, urls))
}

fn topics(checks: &mut Checks<'_>, plan: &Plan) -> PublicTopics {
    let written = &checks.config.topics;
    let default = PublicTopics::default();
    let topics = PublicTopics {
        drift_events: written.drift_events.clone().unwrap_or(default.drift_events),
        retrain_requests: written.retrain_requests.clone().unwrap_or(default.retrain_requests),
        action_requests: written.action_requests.clone().unwrap_or(default.action_requests),
    };
    let internal = INTERNAL_TOPICS.map(|name| format!("{}.{name}", plan.app));
    let mut taken: BTreeMap<String, String> =
        internal.iter().map(|name| (name.clone(), "an internal topic".to_owned())).collect();
    for (path, topic) in inputs(plan) {
        if internal.contains(&topic) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            let message = format!("`{topic}` is an internal topic of this app");
            checks.problem(&path, message, "read another topic, or change `app`");
        }
        taken.insert(topic, format!("read as {}", path.join(".")));
    }
    for (key, topic) in [
        ("drift_events", &topics.drift_events),
        ("retrain_requests", &topics.retrain_requests),
        ("action_requests", &topics.action_requests),
    ] {
        checks.topic(&["topics", key], topic);
        if let Some(other) = taken.insert(topic.clone(), format!("topics.{key}")) {
            let message = format!("`{topic}` is already taken: {other}");
            checks.problem(&["topics", key], message, "choose another name");
        }
    }
    topics
}

/// Every topic that is read, with the keys that name it.
fn inputs(plan: &Plan) -> Vec<(Vec<String>, String)> {
    let path = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect();
    let mut inputs = Vec::new();
    for (name, dataset) in &plan.datasets {
        inputs.push((path(&["datasets", name, "topic"]), dataset.topic.clone()));
    }
    for (name, model) in &plan.models {
        let topic = model.predictions.topic.clone();
        inputs.push((path(&["models", name, "predictions", "topic"]), topic));
        if let Some(outcomes) = &model.outcomes {
            inputs.push((path(&["models", name, "outcomes", "topic"]), outcomes.topic.clone()));
        }
    }
    inputs
}

fn http(checks: &mut Checks<'_>) -> Option<SocketAddr> {
    match checks.config.http.listen.as_deref() {
        None => Some(SocketAddr::from((Ipv4Addr::LOCALHOST, HTTP_PORT))),
        Some("off") => None,
        Some(text) => match text.parse() {
            Ok(address) => Some(address),
            Err(_) => {
                let message = format!("`{text}` is no address to listen on");
                let fix = "write an IP address and a port, as in 127.0.0.1:9464, or `off`";
                checks.problem(&["http", "listen"], message, fix);
                None
            }
        },
    }
}
