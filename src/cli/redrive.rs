//! `driftline redrive`: records that were set aside go back in, once the reason is gone.

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::exit::Exit;
use super::start;
use crate::event::route::Route;
use crate::observe::REASONS;
use crate::runtime::{Redrive, RedriveError, TopicNames, redrive};

/// Drive records that were set aside in again, once the reason is gone
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct RedriveArgs {
    /// The configuration of the deployment that set them aside
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Why they were set aside, as header driftline.reason says
    #[arg(long, value_parser = PossibleValuesParser::new(REASONS), hide_possible_values = true)]
    reason: String,
    /// Topic to write them to; each goes to the topic it came from when absent
    #[arg(long, value_name = "TOPIC")]
    to: Option<String>,
    /// Count what would be written, and write nothing
    #[arg(long)]
    dry_run: bool,
    /// Records to write at most
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
}

const EXAMPLES: &str = "\
Examples:
  driftline redrive --config drift.yaml --reason unknown_schema --dry-run
  driftline redrive --config drift.yaml --reason unknown_schema
                                   after the schema was registered: back to their own topics
  driftline redrive --config drift.yaml --reason contract --to orders-repaired --limit 1000

Each record is written once, with the key, bytes, headers and timestamp it had, however often this
is run: how far each reason has come is kept in a consumer group, committed together with what is
written. Records that were cut, or whose bytes the configuration does not keep, are counted and
stay where they are. A record that comes in again is judged again: where its window has closed it
counts as late. A schema that was missing is looked for again within 10 seconds of being
registered; everyone who reads the topic sees the record a second time.";

/// Drives in what the configuration's quarantine has.
pub(super) fn run(args: &RedriveArgs) -> Exit {
    let (_, deployment, shutdown) = match start::until_signal(&args.config) {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    let Some(reason) = REASONS.iter().find(|known| **known == args.reason) else {
        eprintln!("error: no record is set aside for {}", args.reason);
        return Exit::Configuration;
    };
    let names = TopicNames::new(&deployment.app, &deployment.topics);
    let wanted = Redrive {
        app: deployment.app.clone(),
        quarantine: names.place(Route::Quarantine).0.to_owned(),
        reason,
        to: args.to.clone(),
        limit: args.limit,
        dry_run: args.dry_run,
    };
    match redrive(&deployment.kafka, &wanted, &shutdown) {
        Ok(done) => {
            let verb = if args.dry_run { "would be driven in again" } else { "driven in again" };
            println!("{reason}: {} {verb}, {} cut and left", done.driven, done.cut);
            Exit::Done
        }
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                RedriveError::Kafka { .. } | RedriveError::Stopped => Exit::Temporary,
                _ => Exit::Configuration,
            }
        }
    }
}
