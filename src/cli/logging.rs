//! Log lines: to standard error, as text or JSON. Standard output belongs to the verbs.

use std::io::IsTerminal;

use clap::{Args, ValueEnum};
use tracing_subscriber::EnvFilter;

/// Options every verb takes.
#[derive(Debug, Args)]
pub(super) struct Logging {
    /// What log lines look like
    #[arg(long, global = true, value_enum, default_value_t = LogFormat::Text)]
    log_format: LogFormat,
    /// Which log lines are written: error, warn, info, debug, trace, or a filter such as
    /// `driftline::runtime=debug`; default info (demo: warn)
    #[arg(long, global = true, value_name = "LEVEL", env = "RUST_LOG")]
    log: Option<String>,
}

/// What log lines look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Starts logging; once a process. `usual` is the filter where none is given.
///
/// # Errors
/// When the filter is not one.
pub(super) fn start(options: &Logging, usual: &str) -> Result<(), String> {
    let filter = options.log.as_deref().filter(|text| !text.trim().is_empty()).unwrap_or(usual);
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| format!("--log (or RUST_LOG) `{filter}` is no filter: {error}"))?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let result = match options.log_format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    result.map_err(|error| format!("cannot start logging: {error}"))
}
