//! How verbs that work on a deployment begin: its configuration, and the wish to stop.

use std::path::Path;

use super::{Exit, signals};
use crate::config::Config;
use crate::config::deployment::Deployment;
use crate::config::plan::Plan;
use crate::runtime::Shutdown;

/// What a configuration says; where it is wrong, that is reported.
pub(super) fn planned(config: &Path) -> Result<(Plan, Deployment), Exit> {
    Config::load(config).and_then(|config| config.plan()).map_err(|error| {
        eprintln!("{:?}", error.report());
        Exit::Configuration
    })
}

/// The same, with a shutdown that signals ask for.
pub(super) fn until_signal(config: &Path) -> Result<(Plan, Deployment, Shutdown), Exit> {
    let shutdown = Shutdown::new();
    if let Err(error) = signals::request_on_signal(&shutdown) {
        eprintln!("error: cannot listen for signals: {error}");
        return Err(Exit::Failed);
    }
    let (plan, deployment) = planned(config)?;
    Ok((plan, deployment, shutdown))
}
