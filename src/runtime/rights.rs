//! The rights a deployment needs, the least of them, and what each missing one is called.
//!
//! Kafka lets Read and Write imply Describe, so Describe is never asked for by itself. Making
//! topics is not among the rights: `driftline topics --format kafka-topics` prints how someone
//! else makes them. Asks nobody; that is `access`.

use std::collections::BTreeSet;
use std::fmt;

use super::topics::TopicNames;
use crate::config::deployment::Deployment;
use crate::config::plan::Plan;
use crate::event::route::Route;

/// Stages whose groups and transactional ids exist.
const STAGES: [&str; 4] = ["observe", "join", "assess", "decide"];

/// What is done with a resource, as Kafka names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Fetch records, or join a group and commit its offsets.
    Read,
    /// Write records, or use a transactional id.
    Write,
    /// Look at a topic's settings, which are checked at the start.
    DescribeConfigs,
}

impl Operation {
    /// Kafka's name of it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Operation::Read => "Read",
            Operation::Write => "Write",
            Operation::DescribeConfigs => "DescribeConfigs",
        }
    }
}

/// What a right is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Resource {
    /// A topic.
    Topic,
    /// A consumer group.
    Group,
    /// A transactional id.
    TransactionalId,
}

impl Resource {
    /// As people call it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Resource::Topic => "topic",
            Resource::Group => "group",
            Resource::TransactionalId => "transactional id",
        }
    }

    /// The option of `kafka-acls.sh`.
    #[must_use]
    pub fn option(self) -> &'static str {
        match self {
            Resource::Topic => "--topic",
            Resource::Group => "--group",
            Resource::TransactionalId => "--transactional-id",
        }
    }
}

/// Rights to one resource, or to all whose names begin alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// What it is about.
    pub resource: Resource,
    /// Its name, or how names begin.
    pub name: String,
    /// Whether `name` is how names begin.
    pub prefixed: bool,
    /// What may be done.
    pub operations: Vec<Operation>,
}

impl Right {
    /// To one resource.
    #[must_use]
    pub fn literal(resource: Resource, name: &str, operations: &[Operation]) -> Right {
        let operations = operations.to_vec();
        Right { resource, name: name.to_owned(), prefixed: false, operations }
    }

    fn prefixed(resource: Resource, name: &str, operations: &[Operation]) -> Right {
        Right { prefixed: true, ..Right::literal(resource, name, operations) }
    }

    /// Whether it is about this resource.
    #[must_use]
    pub fn covers(&self, resource: Resource, name: &str) -> bool {
        let is_named = match self.prefixed {
            true => name.starts_with(&self.name),
            false => name == self.name,
        };
        self.resource == resource && is_named
    }

    /// `topic orders`, or `topics fraud-watch.*`.
    #[must_use]
    pub fn subject(&self) -> String {
        let (resource, name) = (self.resource.name(), &self.name);
        if self.prefixed { format!("{resource}s {name}*") } else { format!("{resource} {name}") }
    }
}

/// Topics that are read and not ours.
#[must_use]
pub fn source_topics(plan: &Plan) -> BTreeSet<String> {
    let datasets = plan.datasets.values().map(|dataset| dataset.topic.clone());
    let models = plan.models.values();
    let predictions = models.clone().map(|model| model.predictions.topic.clone());
    let outcomes = models.filter_map(|model| model.outcomes.as_ref().map(|o| o.topic.clone()));
    datasets.chain(predictions).chain(outcomes).collect()
}

/// What `driftline run` needs, for all its stages.
#[must_use]
pub fn needed(plan: &Plan, deployment: &Deployment) -> Vec<Right> {
    use Operation::{DescribeConfigs, Read, Write};

    let own = format!("{}.", deployment.app);
    let mut rights: Vec<Right> = source_topics(plan)
        .iter()
        .map(|topic| Right::literal(Resource::Topic, topic, &[Read]))
        .collect();
    rights.push(Right::prefixed(Resource::Topic, &own, &[Read, Write, DescribeConfigs]));
    let public = deployment.topics.all();
    rights.extend(
        public.iter().map(|name| Right::literal(Resource::Topic, name, &[Write, DescribeConfigs])),
    );
    rights.push(Right::prefixed(Resource::Group, &own, &[Read]));
    rights.push(Right::prefixed(Resource::TransactionalId, &own, &[Write]));
    rights
}

/// The same, resource by resource, as far as a cluster can be asked: of transactional ids it
/// tells nothing.
pub(super) fn askable(plan: &Plan, deployment: &Deployment) -> Vec<Right> {
    use Operation::{DescribeConfigs, Read, Write};

    let names = TopicNames::new(&deployment.app, &deployment.topics);
    let (quarantine, _) = names.place(Route::Quarantine);
    let written_only = [&deployment.topics.all()[..], &[quarantine]].concat();
    let mut rights: Vec<Right> = source_topics(plan)
        .iter()
        .map(|topic| Right::literal(Resource::Topic, topic, &[Read]))
        .collect();
    for spec in names.specs(plan) {
        let operations: &[Operation] = match written_only.contains(&spec.name.as_str()) {
            true => &[Write, DescribeConfigs],
            false => &[Read, Write, DescribeConfigs],
        };
        rights.push(Right::literal(Resource::Topic, &spec.name, operations));
    }
    rights.extend(STAGES.iter().map(|stage| {
        Right::literal(Resource::Group, &format!("{}.{stage}", deployment.app), &[Read])
    }));
    rights
}

/// What is missing of `asked`, told in the words of `needed`: where all that a prefix stands for
/// lacks an operation, the prefix lacks it. `lacks` says whether a resource lacks one.
pub(super) fn missing(
    needed: &[Right],
    asked: &[Right],
    lacks: impl Fn(&Right, Operation) -> bool,
) -> Vec<Right> {
    let mut found: Vec<Right> = Vec::new();
    let mut add = |of: &Right, operation: Operation| {
        let same = |right: &&mut Right| right.prefixed == of.prefixed && right.name == of.name;
        match found.iter_mut().filter(|right| right.resource == of.resource).find(same) {
            Some(right) if right.operations.contains(&operation) => {}
            Some(right) => right.operations.push(operation),
            None => found.push(Right { operations: vec![operation], ..of.clone() }),
        }
    };
    for right in needed {
        for &operation in &right.operations {
            let concrete: Vec<&Right> = asked
                .iter()
                .filter(|one| right.covers(one.resource, &one.name))
                .filter(|one| one.operations.contains(&operation))
                .collect();
            let lacking: Vec<&&Right> =
                concrete.iter().filter(|one| lacks(one, operation)).collect();
            if !lacking.is_empty() && lacking.len() == concrete.len() {
                add(right, operation);
            } else {
                lacking.into_iter().for_each(|one| add(one, operation));
            }
        }
    }
    found
}

/// Rights that a principal does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MissingRight {
    /// What cannot be done with what.
    pub right: Right,
    /// Where to grant it.
    pub servers: String,
}

impl fmt::Display for MissingRight {
    /// `no right to Read on topic orders`, and the command that mends it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: Vec<&str> =
            self.right.operations.iter().map(|operation| operation.name()).collect();
        write!(
            f,
            "no right to {} on {}; as someone who may, run: kafka-acls.sh --bootstrap-server {} \
             --add --allow-principal User:NAME",
            operations.join(", "),
            self.right.subject(),
            self.servers
        )?;
        for operation in operations {
            write!(f, " --operation {operation}")?;
        }
        write!(f, " {} {}", self.right.resource.option(), self.right.name)?;
        if self.right.prefixed {
            write!(f, " --resource-pattern-type prefixed")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn planned() -> (Plan, Deployment) {
        let text = "app: a\ndatasets: { orders: { topic: orders } }";
        let planned = Config::parse(text, "drift.yaml").and_then(|config| config.plan());
        planned.expect("valid")
    }

    #[test]
    fn every_right_that_is_asked_for_is_one_that_is_needed() {
        let (plan, deployment) = planned();
        let needed = needed(&plan, &deployment);

        for asked in askable(&plan, &deployment) {
            let covered = |operation: &Operation| {
                needed.iter().any(|right| {
                    right.covers(asked.resource, &asked.name)
                        && right.operations.contains(operation)
                })
            };
            assert!(asked.operations.iter().all(covered), "{asked:?}");
        }
    }

    #[test]
    fn what_a_whole_prefix_lacks_is_told_of_the_prefix() {
        let (plan, deployment) = planned();
        let (needed, asked) = (needed(&plan, &deployment), askable(&plan, &deployment));
        let subjects = |lacks: &dyn Fn(&Right, Operation) -> bool| -> Vec<String> {
            missing(&needed, &asked, lacks).iter().map(Right::subject).collect()
        };

        assert_eq!(subjects(&|_, _| false), Vec::<String>::new());
        assert_eq!(
            subjects(&|right, _| right.name.starts_with("a.")),
            ["topics a.*", "groups a.*"]
        );
        assert_eq!(subjects(&|right, _| right.name == "a.facts"), ["topic a.facts"]);
        assert_eq!(subjects(&|right, _| right.name == "a.join"), ["group a.join"]);
    }

    #[test]
    fn a_missing_right_names_resource_operation_and_fix() {
        let right =
            Right::prefixed(Resource::Topic, "a.", &[Operation::Read, Operation::DescribeConfigs]);
        let missing = MissingRight { right, servers: "b:9092".into() };

        assert_eq!(
            missing.to_string(),
            "no right to Read, DescribeConfigs on topics a.*; as someone who may, run: \
             kafka-acls.sh --bootstrap-server b:9092 --add --allow-principal User:NAME \
             --operation Read --operation DescribeConfigs --topic a. --resource-pattern-type \
             prefixed"
        );
    }
}
