//! A loop's sign of life: whatever it is busy with, it tells every five seconds that it turns.
//!
//! Beaten wherever a loop waits, so that a loop which hangs in a call is told from one that waits
//! for a broker. What silence means is decided by who listens.

use std::cell::Cell;
use std::time::{Duration, Instant};

use super::report::ReportKind;
use super::setup::Setup;

/// About this often.
const INTERVAL: Duration = Duration::from_secs(5);

/// The sign of life of one loop. Clones beat for themselves.
#[derive(Clone, Debug)]
pub(super) struct Pulse {
    setup: Setup,
    stage: &'static str,
    last: Cell<Instant>,
}

impl Pulse {
    /// The next beat that is told is one interval away.
    pub(super) fn new(setup: &Setup, stage: &'static str) -> Pulse {
        Pulse { setup: setup.clone(), stage, last: Cell::new(Instant::now()) }
    }

    /// The loop turns. Cheap: most beats only look at the clock.
    pub(super) fn beat(&self) {
        if self.last.get().elapsed() >= INTERVAL {
            self.reset();
            self.setup.report(self.stage, ReportKind::Turning);
        }
    }

    /// The loop has said something else, which counts as well.
    pub(super) fn reset(&self) {
        self.last.set(Instant::now());
    }
}
