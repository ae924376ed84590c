//! `driftline schema`: prints schemas of what goes in.

use clap::{Args, Subcommand};

use super::Exit;
use crate::config::schema::config_schema;

/// Print a schema
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  driftline schema config > drift.schema.json

An editor that knows YAML checks a file that starts with
  # yaml-language-server: $schema=drift.schema.json")]
pub(super) struct SchemaArgs {
    #[command(subcommand)]
    which: Which,
}

#[derive(Debug, Subcommand)]
enum Which {
    /// The configuration, as JSON Schema
    Config,
}

pub(super) fn run(args: &SchemaArgs) -> Exit {
    match args.which {
        Which::Config => print!("{}", config_schema()),
    }
    Exit::Done
}
