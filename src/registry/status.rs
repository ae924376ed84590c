//! How the registry is doing, for metrics and logs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::fetch::Failure;

/// Between two warnings about the same outage.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// How the registry is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistryStatus {
    /// The last call was answered; `None` before the first.
    pub up: Option<bool>,
    /// Why the last failed call failed; kept after recovery.
    pub last_error: Option<String>,
    /// Ids asked for and not answered yet.
    pub waiting: usize,
    /// Answers kept.
    pub cached: usize,
    /// Calls answered, 404 included.
    pub answered: u64,
    /// Calls that failed and are tried again.
    pub failed: u64,
    /// Of these, those the registry did not let in (401, 403).
    pub denied: u64,
}

/// Writes the status, and a log line when it changes or an outage goes on.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    shared: Arc<Mutex<RegistryStatus>>,
    warned: Option<Instant>,
}

impl Reporter {
    pub(super) fn shared(&self) -> Arc<Mutex<RegistryStatus>> {
        Arc::clone(&self.shared)
    }

    pub(super) fn sizes(&self, waiting: usize, cached: usize) {
        self.change(|status| {
            status.waiting = waiting;
            status.cached = cached;
        });
    }

    pub(super) fn answered(&mut self) {
        let before = self.change(|status| {
            status.up = Some(true);
            status.answered += 1;
        });
        if before.up == Some(false) {
            self.warned = None;
            info!(failed_calls = before.failed, "schema registry answers again");
        }
    }

    pub(super) fn failed(&mut self, failure: &Failure, now: Instant) {
        let before = self.change(|status| {
            status.up = Some(false);
            status.last_error = Some(failure.reason.clone());
            status.failed += 1;
            status.denied += u64::from(failure.denied);
        });
        if self.warned.is_none_or(|at| now.duration_since(at) >= WARN_EVERY) {
            self.warned = Some(now);
            let failed_calls = before.failed + 1;
            let reason = &failure.reason;
            if failure.denied {
                warn!(reason, failed_calls, "schema registry does not let us in, trying again");
            } else {
                warn!(reason, failed_calls, "schema registry does not answer, trying again");
            }
        }
    }

    /// Applies a change and returns what was before.
    fn change(&self, change: impl FnOnce(&mut RegistryStatus)) -> RegistryStatus {
        let mut status = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let before = status.clone();
        change(&mut status);
        before
    }
}
