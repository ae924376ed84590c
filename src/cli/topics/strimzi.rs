//! Topics and rights as resources of Strimzi's operators: KafkaTopic and KafkaUser.

use std::fmt::{self, Write};

use super::{Grant, Needs, Proof};
use crate::runtime::TopicSpec;
use crate::runtime::rights::{Resource, Right};

/// Read by all Strimzi versions since 0.22.
const API: &str = "kafka.strimzi.io/v1beta2";

pub(super) fn write(out: &mut String, needs: &Needs) -> fmt::Result {
    needs.write_notes(out, "Topics and rights")?;
    needs.write_notes_of_rights(out)?;
    if needs.proof == Proof::Other {
        writeln!(out, "# Users are given rights alone: how they log in is set up elsewhere.")?;
    }
    for topic in &needs.topics {
        write_topic(out, needs, topic)?;
    }
    needs.grants.iter().try_for_each(|grant| write_user(out, needs, grant))
}

fn write_head(out: &mut String, needs: &Needs, kind: &str, name: &str) -> fmt::Result {
    writeln!(out, "---")?;
    writeln!(out, "apiVersion: {API}")?;
    writeln!(out, "kind: {kind}")?;
    writeln!(out, "metadata:")?;
    writeln!(out, "  name: {}", resource_name(name))?;
    writeln!(out, "  labels:")?;
    writeln!(out, "    strimzi.io/cluster: {}", needs.cluster)?;
    writeln!(out, "spec:")
}

fn write_topic(out: &mut String, needs: &Needs, topic: &TopicSpec) -> fmt::Result {
    write_head(out, needs, "KafkaTopic", &topic.name)?;
    writeln!(out, "  topicName: {:?}", topic.name)?;
    writeln!(out, "  partitions: {}", topic.partitions.unwrap_or(1))?;
    let settings = topic.settings();
    if !settings.is_empty() {
        writeln!(out, "  config:")?;
    }
    settings.iter().try_for_each(|(key, value)| writeln!(out, "    {key}: {value:?}"))
}

fn write_user(out: &mut String, needs: &Needs, grant: &Grant) -> fmt::Result {
    write_head(out, needs, "KafkaUser", &grant.principal)?;
    let proof = match needs.proof {
        Proof::Scram => Some("scram-sha-512"),
        Proof::Certificate => Some("tls"),
        Proof::Other => None,
    };
    if let Some(proof) = proof {
        writeln!(out, "  authentication:")?;
        writeln!(out, "    type: {proof}")?;
    }
    writeln!(out, "  authorization:")?;
    writeln!(out, "    type: simple")?;
    writeln!(out, "    acls: # {}", grant.purpose)?;
    grant.rights.iter().try_for_each(|right| write_rule(out, right))
}

fn write_rule(out: &mut String, right: &Right) -> fmt::Result {
    let kind = match right.resource {
        Resource::Topic => "topic",
        Resource::Group => "group",
        Resource::TransactionalId => "transactionalId",
    };
    let pattern = if right.prefixed { "prefix" } else { "literal" };
    let operations: Vec<&str> = right.operations.iter().map(|operation| operation.name()).collect();
    writeln!(out, "      - resource:")?;
    writeln!(out, "          type: {kind}")?;
    writeln!(out, "          name: {:?}", right.name)?;
    writeln!(out, "          patternType: {pattern}")?;
    writeln!(out, "        operations: [{}]", operations.join(", "))
}

/// A name that Kubernetes takes: lower case, digits, `.` and `-`, with a letter or digit at both
/// ends.
fn resource_name(name: &str) -> String {
    let fit = |c: char| match c.to_ascii_lowercase() {
        c if c.is_ascii_alphanumeric() || c == '.' => c,
        _ => '-',
    };
    let name: String = name.chars().map(fit).collect();
    name.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}
