//! Topics as `kafka-topics.sh` commands. Replicas are the cluster's default.

use std::fmt::{self, Write};

use super::Needs;
use super::acls::quoted;

pub(super) fn write(out: &mut String, needs: &Needs) -> fmt::Result {
    needs.write_notes(out, "Topics")?;
    writeln!(out, "# One that exists is left as it is; `driftline check --connect` looks at it.")?;
    writeln!(out)?;
    for topic in &needs.topics {
        write!(
            out,
            "kafka-topics.sh --bootstrap-server {} --create --if-not-exists --topic {} \
             --partitions {}",
            quoted(&needs.servers),
            topic.name,
            topic.partitions.unwrap_or(1)
        )?;
        for (key, value) in topic.settings() {
            write!(out, " --config {key}={value}")?;
        }
        writeln!(out)?;
    }
    Ok(())
}
