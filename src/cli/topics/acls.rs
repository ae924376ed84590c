//! Rights as `kafka-acls.sh` commands: one for all resources with the same rights.

use std::fmt::{self, Write};

use super::{Needs, user};
use crate::runtime::rights::Right;

pub(super) fn write(out: &mut String, needs: &Needs) -> fmt::Result {
    needs.write_notes(out, "Rights")?;
    needs.write_notes_of_rights(out)?;
    for grant in &needs.grants {
        writeln!(out, "\n# {}", grant.purpose)?;
        for alike in grant.rights.chunk_by(is_alike) {
            write_command(out, &needs.servers, &grant.principal, alike)?;
        }
    }
    Ok(())
}

fn is_alike(a: &Right, b: &Right) -> bool {
    (a.resource, a.prefixed, &a.operations) == (b.resource, b.prefixed, &b.operations)
}

/// One command for rights that are alike.
fn write_command(out: &mut String, servers: &str, principal: &str, alike: &[Right]) -> fmt::Result {
    let Some(first) = alike.first() else { return Ok(()) };
    write!(out, "kafka-acls.sh --bootstrap-server {} --add", quoted(servers))?;
    write!(out, " --allow-principal {}", quoted(&user(principal)))?;
    for operation in &first.operations {
        write!(out, " --operation {}", operation.name())?;
    }
    for right in alike {
        write!(out, " {} {}", right.resource.option(), right.name)?;
    }
    if first.prefixed {
        write!(out, " --resource-pattern-type prefixed")?;
    }
    writeln!(out)
}

/// A word for a shell.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "._-:,/@=".contains(c);
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}
