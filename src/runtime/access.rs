//! Asks the cluster what we may do, and says which right is missing.
//!
//! A broker that says no names neither the resource nor the operation in all cases, and the
//! client library passes on less. So a denial is answered with a question: which of the rights
//! that are needed are not there? At the start a missing one ends the process; while it runs the
//! loop that met it waits, says so, and goes on once it is granted.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::client::Identity;
use super::ffi::{self, Described, Kind};
use super::quiet::Quiet;
use super::rights::{self, MissingRight, Operation, Resource, Right};
use crate::config::deployment::Deployment;
use crate::config::plan::Plan;

/// One question about rights, asked from a loop: short beside the session of its member.
const ASK: Duration = Duration::from_secs(3);

/// Whether a broker refused for want of a right, and to what.
pub(super) fn denied(error: &KafkaError) -> Option<Resource> {
    match error.rdkafka_error_code()? {
        RDKafkaErrorCode::TopicAuthorizationFailed => Some(Resource::Topic),
        RDKafkaErrorCode::GroupAuthorizationFailed => Some(Resource::Group),
        RDKafkaErrorCode::TransactionalIdAuthorizationFailed => Some(Resource::TransactionalId),
        _ => None,
    }
}

/// The rights of a process, for telling which is missing. Clones share their memory.
#[derive(Clone, Debug, Default)]
pub struct Rights {
    needed: Arc<Vec<Right>>,
    /// As far as a cluster can be asked, resource by resource.
    askable: Arc<Vec<Right>>,
    servers: String,
    quiet: Arc<Mutex<Quiet>>,
}

impl Rights {
    /// Of a plan where it runs.
    #[must_use]
    pub fn new(plan: &Plan, deployment: &Deployment) -> Rights {
        Rights {
            needed: Arc::new(rights::needed(plan, deployment)),
            askable: Arc::new(rights::askable(plan, deployment)),
            servers: deployment.kafka.bootstrap_servers.clone(),
            quiet: Arc::default(),
        }
    }

    /// Whether an error is a denial; if so, which right is missing is said, now and then.
    pub(super) fn explain<C: ClientContext>(
        &self,
        client: &Client<C>,
        identity: &Identity,
        error: &KafkaError,
    ) -> bool {
        let Some(resource) = denied(error) else { return false };
        let stage = identity.stage;
        if !self.may_log(&format!("{stage} {resource:?}")) {
            return true;
        }
        let missing = match resource {
            Resource::TransactionalId => {
                let right = Right::literal(resource, &identity.instance(), &[Operation::Write]);
                Some(vec![MissingRight { right, servers: self.servers.clone() }])
            }
            Resource::Topic | Resource::Group => self.missing(client, ASK, |_| false),
        };
        match missing {
            Some(missing) if !missing.is_empty() => {
                for right in missing {
                    tracing::warn!(stage, "waiting: {right}");
                }
            }
            // Granted in the meantime, or a cluster that does not tell what is allowed.
            _ => tracing::warn!(stage, %error, "denied; trying again"),
        }
        true
    }

    fn may_log(&self, cause: &str) -> bool {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        quiet.may_log(cause).is_some()
    }

    /// Names of the topics that are asked about.
    pub(super) fn topics(&self) -> impl Iterator<Item = &str> {
        let topics = self.askable.iter().filter(|right| right.resource == Resource::Topic);
        topics.map(|right| right.name.as_str())
    }

    /// The rights that are needed and not there; `None` when nobody answers. Of a topic that may
    /// not be described it is not told whether its settings may be: `hides_settings` says.
    pub(super) fn missing<C: ClientContext>(
        &self,
        client: &Client<C>,
        timeout: Duration,
        hides_settings: impl Fn(&str) -> bool,
    ) -> Option<Vec<MissingRight>> {
        let ask = |resource, kind| {
            let rights = self.askable.iter().filter(|right| right.resource == resource);
            let names: Vec<&str> = rights.map(|right| right.name.as_str()).collect();
            ffi::describe(client, kind, &names, timeout)
        };
        let topics = ask(Resource::Topic, Kind::Topics)?;
        let groups = ask(Resource::Group, Kind::Groups)?;
        let lacks = |right: &Right, operation: Operation| {
            let described = if right.resource == Resource::Topic { &topics } else { &groups };
            let found = described.iter().find(|found| found.name == right.name);
            found.is_some_and(|found| match operation {
                Operation::DescribeConfigs if is_refused(found) => hides_settings(&found.name),
                _ => lacks(found, operation),
            })
        };
        let missing = rights::missing(&self.needed, &self.askable, lacks);
        let servers = &self.servers;
        Some(
            missing
                .into_iter()
                .map(|right| MissingRight { right, servers: servers.clone() })
                .collect(),
        )
    }
}

/// Whether it may not even be described: then neither read nor written.
fn is_refused(found: &Described) -> bool {
    matches!(
        found.error,
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed | RDKafkaErrorCode::GroupAuthorizationFailed
        )
    )
}

/// Whether an operation on what was described is not allowed. One that is not there yet, or of
/// which the cluster does not tell, is taken to be.
fn lacks(found: &Described, operation: Operation) -> bool {
    match (found.error, &found.allowed) {
        _ if is_refused(found) => true,
        (Some(_), _) | (None, None) => false,
        (None, Some(allowed)) => !allowed.contains(&operation),
    }
}
