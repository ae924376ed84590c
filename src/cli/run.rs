//! `driftline run`: the stages on Kafka, until told to stop.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;

use super::exit::Exit;
use super::start;
use crate::process::{self, Settings, StageName};
use crate::runtime::Commit;

/// Run the stages on Kafka: read the sources, publish events and requests.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArgs {
    /// The configuration.
    config: PathBuf,
    /// Stages this process runs.
    #[arg(long, value_delimiter = ',', default_values_t = StageName::ALL, value_enum)]
    stages: Vec<StageName>,
    /// Which of several processes on one app this is; each needs its own.
    #[arg(long, default_value_t = 0)]
    slot: u32,
    /// Leave the groups for good at SIGTERM: for a slot that will not come back. Without it the
    /// slot is expected back within 6 seconds, and others wait that long for its partitions.
    #[arg(long)]
    leave: bool,
}

const EXAMPLES: &str = "\
Examples:
  driftline run drift.yaml                          all four stages in one process
  driftline run drift.yaml --slot 1                 a second process beside it
  driftline run drift.yaml --slot 1 --leave         the same, for a slot that comes and goes
  driftline run drift.yaml --stages observe         reading apart from judging

SIGTERM and Ctrl-C commit what was read and end the process within 10 seconds.";

/// Runs until a signal comes or a stage cannot go on.
pub(super) fn run(args: &RunArgs) -> Exit {
    let (plan, mut deployment, shutdown) = match start::until_signal(&args.config) {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    deployment.slot = args.slot;
    let settings = Settings {
        stages: args.stages.iter().copied().collect(),
        commit: Commit::Transactional,
        pace: None,
        leave: args.leave,
        listener: None,
    };
    match process::run(&Arc::new(plan), &deployment, &settings, &shutdown) {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::of_code(error.exit_code())
        }
    }
}
