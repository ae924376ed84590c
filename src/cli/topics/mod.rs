//! `driftline topics`: the topics a configuration needs and the least rights to them, as others
//! can apply them.
//!
//! Reads the file alone. What is needed is said by [`crate::runtime::rights`]; each format is a
//! file here.

mod acls;
mod commands;
mod strimzi;
mod terraform;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::{Exit, start};
use crate::config::deployment::Deployment;
use crate::config::plan::Plan;
use crate::config::security::KafkaLogin;
use crate::event::route::Route;
use crate::publish::EventKind;
use crate::runtime::rights::{self, Operation, Resource, Right};
use crate::runtime::{TopicNames, TopicSpec};

/// Print the topics that are needed and the least rights to them
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  driftline topics --config drift.yaml --format kafka-topics
  driftline topics --config drift.yaml --format kafka-acls --principal fraud-watch
  driftline topics --config drift.yaml --format strimzi --cluster prod | kubectl apply -f -

`run` makes the topics itself where it may; with the rights printed here it may not.")]
pub(super) struct TopicsArgs {
    /// Configuration
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// What to print
    #[arg(long, value_enum)]
    format: Format,
    /// Who Driftline is to Kafka
    #[arg(long, value_name = "NAME", default_value = "driftline")]
    principal: String,
    /// Who may read events and requests
    #[arg(long, value_name = "NAME", default_value = "driftline-events")]
    events_reader: String,
    /// Who may read what was set aside, with its payload
    #[arg(long, value_name = "NAME", default_value = "driftline-quarantine")]
    quarantine_reader: String,
    /// The Kafka resource of Strimzi that topics and users belong to
    #[arg(long, value_name = "NAME", default_value = "my-cluster")]
    cluster: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Rights, as commands of Kafka's own tool
    KafkaAcls,
    /// Topics, as commands of Kafka's own tool
    KafkaTopics,
    /// Both, as Kubernetes resources of Strimzi
    Strimzi,
    /// Both, as Terraform resources of the provider Mongey/kafka
    Terraform,
}

pub(super) fn run(args: &TopicsArgs) -> Exit {
    match start::planned(&args.config) {
        Ok((plan, deployment)) => {
            print!("{}", printed(args, &plan, &deployment));
            Exit::Done
        }
        Err(exit) => exit,
    }
}

fn printed(args: &TopicsArgs, plan: &Plan, deployment: &Deployment) -> String {
    let needs = Needs::new(args, plan, deployment);
    let mut out = String::new();
    let written = match args.format {
        Format::KafkaAcls => acls::write(&mut out, &needs),
        Format::KafkaTopics => commands::write(&mut out, &needs),
        Format::Strimzi => strimzi::write(&mut out, &needs),
        Format::Terraform => terraform::write(&mut out, &needs),
    };
    written.expect("a String takes all text");
    out
}

/// Everything that any format prints.
struct Needs {
    app: String,
    servers: String,
    /// Topics that are read, which their owners make.
    sources: Vec<String>,
    /// Topics to make.
    topics: Vec<TopicSpec>,
    grants: Vec<Grant>,
    /// Subjects that are written to the registry; empty without one.
    subjects: Vec<String>,
    proof: Proof,
    /// Of Strimzi.
    cluster: String,
}

/// The rights of one principal.
struct Grant {
    principal: String,
    /// What they are for, in a few words.
    purpose: &'static str,
    rights: Vec<Right>,
}

/// How a principal shows who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    Scram,
    Certificate,
    Other,
}

impl Needs {
    fn new(args: &TopicsArgs, plan: &Plan, deployment: &Deployment) -> Needs {
        let names = TopicNames::new(&deployment.app, &deployment.topics);
        let (quarantine, _) = names.place(Route::Quarantine);
        let read = |topic: &str| Right::literal(Resource::Topic, topic, &[Operation::Read]);
        let security = &deployment.credentials.kafka;
        let mut subjects: Vec<String> = match deployment.registry {
            Some(_) => EventKind::ALL.iter().map(|kind| kind.subject(&deployment.topics)).collect(),
            None => Vec::new(),
        };
        subjects.sort();
        Needs {
            app: deployment.app.clone(),
            servers: deployment.kafka.bootstrap_servers.clone(),
            sources: rights::source_topics(plan).into_iter().collect(),
            topics: names.specs(plan),
            grants: vec![
                Grant {
                    principal: args.principal.clone(),
                    purpose: "Driftline itself",
                    rights: rights::needed(plan, deployment),
                },
                Grant {
                    principal: args.events_reader.clone(),
                    purpose: "readers of events and requests",
                    rights: deployment.topics.all().map(read).to_vec(),
                },
                Grant {
                    principal: args.quarantine_reader.clone(),
                    purpose: "readers of quarantine, which holds payloads",
                    rights: vec![read(quarantine)],
                },
            ],
            subjects,
            proof: match (&security.login, &security.tls.client) {
                (Some(KafkaLogin::Password { mechanism, .. }), _) if mechanism != "PLAIN" => {
                    Proof::Scram
                }
                (None, Some(_)) => Proof::Certificate,
                _ => Proof::Other,
            },
            cluster: args.cluster.clone(),
        }
    }

    /// What no format can say: what is read, and what the registry must allow.
    fn write_notes(&self, out: &mut String, what: &str) -> fmt::Result {
        writeln!(out, "# {what} of app {}, for `driftline run`.", self.app)?;
        writeln!(out, "# Read, and made by their owners: {}", self.sources.join(", "))?;
        Ok(())
    }

    fn write_notes_of_rights(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            "# Read and Write imply Describe. Whoever joins a group also needs Read on it."
        )?;
        if !self.subjects.is_empty() {
            writeln!(out, "# In the registry: read schemas by id, and write the subjects")?;
            for subject in &self.subjects {
                writeln!(out, "#   {subject}")?;
            }
        }
        Ok(())
    }
}

/// A principal as Kafka names users.
fn user(principal: &str) -> String {
    if principal.contains(':') { principal.to_owned() } else { format!("User:{principal}") }
}
