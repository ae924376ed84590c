//! The command line: one file a verb. The only room that prints.
//!
//! A new verb is a file here, a variant of `Verb` and an arm of `run`.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "printing is what a command line does"
)]

mod check;
mod demo;
mod events;
mod exit;
mod logging;
mod property;
mod redrive;
mod replay;
mod report;
mod rewind;
mod run;
mod schema;
mod signals;
mod start;
mod topics;
mod verify;
mod watch;
mod wishes;

use clap::{Parser, Subcommand};

pub use exit::Exit;
pub use logging::LogFormat;

/// Finds which upstream change moved which model's outcomes, while the data moves through Kafka.
#[derive(Debug, Parser)]
#[command(name = "driftline", version, after_help = EXAMPLES)]
struct Cli {
    #[command(flatten)]
    logging: logging::Logging,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Check(check::Check),
    Demo(demo::DemoArgs),
    Events(events::EventsArgs),
    Redrive(redrive::RedriveArgs),
    Replay(Box<replay::ReplayArgs>),
    Rewind(rewind::RewindArgs),
    Run(run::RunArgs),
    Schema(schema::SchemaArgs),
    Topics(topics::TopicsArgs),
    Verify(verify::VerifyArgs),
    Watch(Box<watch::WatchArgs>),
}

const EXAMPLES: &str = "\
Examples:
  driftline demo                   see it work, with nothing installed
  driftline run drift.yaml         watch the sources, publish events and requests
  driftline check drift.yaml       say what would be watched, and how to see more
  driftline events --brokers HOST  print what has been published
  driftline replay orders.csv      say what history would have been told
  driftline watch --brokers HOST --topic orders
                                   look at live topics, writing nothing
  driftline verify --config drift.yaml
                                   compute the ledger again from the topics
  driftline rewind --config drift.yaml --to 2026-11-24T08:00:00Z
                                   go back in time on purpose
  driftline redrive --config drift.yaml --reason unknown_schema
                                   drive records that were set aside in again
  driftline schema config          print the JSON Schema of the configuration
  driftline topics --config drift.yaml --format kafka-acls
                                   print the topics it needs and the rights to them

Exit codes:
  0  done
  1  failed
  75 failed for now: starting again may help
  78 the configuration is wrong: starting again will not help";

/// Reads the command line and does what it asks.
#[must_use]
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Where the terminal is gone there is nobody to tell.
            let _ = error.print();
            return if error.use_stderr() { Exit::Configuration } else { Exit::Done };
        }
    };
    // The demo's terminal is for the story.
    let usual = if matches!(cli.verb, Verb::Demo(_)) { "warn" } else { "info" };
    if let Err(message) = logging::start(&cli.logging, usual) {
        eprintln!("error: {message}");
        return Exit::Configuration;
    }
    run(&cli.verb)
}

fn run(verb: &Verb) -> Exit {
    match verb {
        Verb::Check(args) => check::run(args),
        Verb::Demo(args) => demo::run(args),
        Verb::Events(args) => events::run(args),
        Verb::Redrive(args) => redrive::run(args),
        Verb::Replay(args) => replay::run(args),
        Verb::Rewind(args) => rewind::run(args),
        Verb::Run(args) => run::run(args),
        Verb::Schema(args) => schema::run(args),
        Verb::Topics(args) => topics::run(args),
        Verb::Verify(args) => verify::run(args),
        Verb::Watch(args) => watch::run(args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
