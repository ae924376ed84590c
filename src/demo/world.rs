//! What the demo runs against: a broker and a registry inside the process, or real ones.
//!
//! IMPURE. Registers the stream's schemas, eleven older versions of orders first, so that the
//! story's version numbers are the registry's own.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::error::KafkaError;
use thiserror::Error;

use super::bank::{BankPlan, TopicKind};
use super::feed::{Destination, PARTITIONS};
use super::record::SchemaRef;
use crate::config::deployment::{KafkaAccess, RegistryAccess};
use crate::registry::{Options, Registry, RegistryError, StandIn};
use crate::runtime::{Commit, MockBroker, TopicSpec, TopicsError, ensure_topics};

/// How long a registry may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why there is nothing to run against.
#[derive(Debug, Error)]
pub enum WorldError {
    /// The embedded broker.
    #[error("the embedded broker does not start: {0}")]
    Broker(#[from] KafkaError),
    /// The embedded registry.
    #[error("the embedded registry does not start: {0}")]
    StandIn(#[from] std::io::Error),
    /// Topics on a real cluster.
    #[error(transparent)]
    Topics(#[from] TopicsError),
    /// Registering schemas.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// A broker and a registry, embedded or real.
#[derive(Debug)]
pub struct World {
    /// How to reach the broker.
    pub kafka: KafkaAccess,
    /// How to reach the registry.
    pub registry: RegistryAccess,
    /// How commits are made on it.
    pub commit: Commit,
    broker: Option<MockBroker>,
    _stand_in: Option<StandIn>,
}

impl World {
    /// A broker and a registry inside the process; they end with this value.
    ///
    /// # Errors
    /// When either does not start.
    pub fn embedded() -> Result<World, WorldError> {
        let broker = MockBroker::start()?;
        let stand_in = StandIn::start()?;
        Ok(World {
            kafka: broker.access()?,
            registry: RegistryAccess::open(vec![stand_in.url()]),
            commit: Commit::Plain,
            broker: Some(broker),
            _stand_in: Some(stand_in),
        })
    }

    /// A real cluster and a real registry.
    #[must_use]
    pub fn real(kafka: KafkaAccess, registry: RegistryAccess) -> World {
        World { kafka, registry, commit: Commit::Transactional, broker: None, _stand_in: None }
    }

    /// Runs inside the process.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.broker.is_some()
    }

    /// Makes the stream's topics and Driftline's own, so that readers of events find theirs, and
    /// registers the stream's schemas.
    ///
    /// # Errors
    /// When a topic cannot be made or a schema not be registered.
    pub fn prepare(
        &self,
        plan: &BankPlan,
        prefix: &str,
        own: &[TopicSpec],
    ) -> Result<Destination, WorldError> {
        let ids = self.register(plan, prefix)?;
        let destination =
            Destination { access: self.kafka.clone(), prefix: prefix.to_owned(), ids };
        let sources: Vec<TopicSpec> = [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels]
            .into_iter()
            .map(|kind| TopicSpec::records(&destination.topic(kind), PARTITIONS))
            .collect();
        match &self.broker {
            Some(broker) => {
                broker.create_topics(&sources)?;
                broker.create_topics(own)?;
            }
            None => {
                ensure_topics(&self.kafka, &[&sources, own].concat(), &[])?;
            }
        }
        Ok(destination)
    }

    fn register(
        &self,
        plan: &BankPlan,
        prefix: &str,
    ) -> Result<BTreeMap<SchemaRef, u32>, WorldError> {
        let registry = Registry::start(&self.registry, Options::default())?;
        let first = SchemaRef::OrderV12;
        let subject = |schema: SchemaRef| format!("{prefix}{}", schema.subject());
        for number in 1..first.number() {
            registry.register(&subject(first), &predecessor(first, number), PATIENCE)?;
        }
        let mut ids = BTreeMap::new();
        for schema in plan.schemas() {
            ids.insert(schema, registry.register(&subject(schema), schema.text(), PATIENCE)?);
        }
        Ok(ids)
    }
}

/// An older version: the same record under another documentation.
fn predecessor(schema: SchemaRef, number: u32) -> String {
    schema.text().replacen("An order.", &format!("An order, revision {number}."), 1)
}
