//! Topics and rights as Terraform resources of the provider Mongey/kafka.

use std::fmt::{self, Write};

use super::{Grant, Needs, user};
use crate::runtime::TopicSpec;
use crate::runtime::rights::{Operation, Resource, Right};

pub(super) fn write(out: &mut String, needs: &Needs) -> fmt::Result {
    needs.write_notes(out, "Topics and rights")?;
    needs.write_notes_of_rights(out)?;
    out.push_str(HEAD);
    for topic in &needs.topics {
        write_topic(out, topic)?;
    }
    needs.grants.iter().try_for_each(|grant| write_grant(out, grant))
}

const HEAD: &str = r#"
terraform {
  required_providers {
    kafka = {
      source = "Mongey/kafka"
    }
  }
}

variable "replication_factor" {
  type    = number
  default = 3
}
"#;

fn write_topic(out: &mut String, topic: &TopicSpec) -> fmt::Result {
    writeln!(out, "\nresource \"kafka_topic\" \"{}\" {{", label(&topic.name))?;
    writeln!(out, "  name               = {:?}", topic.name)?;
    writeln!(out, "  partitions         = {}", topic.partitions.unwrap_or(1))?;
    writeln!(out, "  replication_factor = var.replication_factor")?;
    let settings = topic.settings();
    if !settings.is_empty() {
        writeln!(out, "  config = {{")?;
        for (key, value) in settings {
            writeln!(out, "    {key:?} = {value:?}")?;
        }
        writeln!(out, "  }}")?;
    }
    writeln!(out, "}}")
}

fn write_grant(out: &mut String, grant: &Grant) -> fmt::Result {
    writeln!(out, "\n# {}", grant.purpose)?;
    for right in &grant.rights {
        for operation in &right.operations {
            write_rule(out, &grant.principal, right, *operation)?;
        }
    }
    Ok(())
}

fn write_rule(
    out: &mut String,
    principal: &str,
    right: &Right,
    operation: Operation,
) -> fmt::Result {
    let kind = match right.resource {
        Resource::Topic => "Topic",
        Resource::Group => "Group",
        Resource::TransactionalId => "TransactionalID",
    };
    let name = label(&format!("{principal}.{kind}.{}.{}", right.name, operation.name()));
    let pattern = if right.prefixed { "Prefixed" } else { "Literal" };
    writeln!(out, "resource \"kafka_acl\" \"{name}\" {{")?;
    writeln!(out, "  resource_name                = {:?}", right.name)?;
    writeln!(out, "  resource_type                = \"{kind}\"")?;
    writeln!(out, "  resource_pattern_type_filter = \"{pattern}\"")?;
    writeln!(out, "  acl_principal                = {:?}", user(principal))?;
    writeln!(out, "  acl_host                     = \"*\"")?;
    writeln!(out, "  acl_operation                = \"{}\"", operation.name())?;
    writeln!(out, "  acl_permission_type          = \"Allow\"")?;
    writeln!(out, "}}")
}

/// A name that Terraform takes: letters, digits, `_` and `-`, not beginning with a digit.
fn label(name: &str) -> String {
    let fit = |c: char| match c {
        c if c.is_ascii_alphanumeric() || c == '-' => c,
        _ => '_',
    };
    let label: String = name.chars().map(fit).collect();
    if label.starts_with(|c: char| c.is_ascii_alphabetic()) { label } else { format!("t_{label}") }
}
