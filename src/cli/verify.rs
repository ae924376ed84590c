//! `driftline verify`: computes the ledger again from the topics and says where it differs.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Args;

use super::{Exit, start};
use crate::verify::{self, Options};

/// Compute the ledger again from the topics: nothing lost, nothing counted twice
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  driftline verify --config drift.yaml
  driftline verify --config drift.yaml --records

Reads summaries, facts, findings and the public topics, with isolation.level=read_committed, and
holds them against each other and against the offsets the groups have committed: ranges of each
source partition follow each other, what was counted adds up, no event is said twice. With
--records it also counts the source records that are still kept. Changes nothing; a deployment can
go on working meanwhile. Progress goes to standard error.

Exit codes: 0 the ledger adds up, 1 it does not, 75 Kafka is away, 78 the configuration is wrong.")]
pub(super) struct VerifyArgs {
    /// Configuration of the deployment
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Count the source records too: reads all of them
    #[arg(long)]
    records: bool,
}

pub(super) fn run(args: &VerifyArgs) -> Exit {
    let (plan, deployment, stop) = match start::until_signal(&args.config) {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    let mut tell = |line: String| eprintln!("{line}");
    let options = Options { records: args.records };
    match verify::verify(&plan, &deployment, options, (&stop, &mut tell)) {
        Ok(report) => {
            let printed = write!(io::stdout().lock(), "{report}");
            if printed.is_ok() && report.differences.is_empty() { Exit::Done } else { Exit::Failed }
        }
        Err(error) => {
            eprintln!("error: {error}");
            Exit::of_code(error.exit_code())
        }
    }
}
