//! Whether the process lives and whether its stages work, as loops tell it.
#![expect(clippy::disallowed_methods, reason = "a loop that hangs is known by the clock alone")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A loop says something at least every five seconds, also while it waits for a broker; its
/// longest single call takes ten. One silent for this long hangs.
const SILENT_MAX: Duration = Duration::from_secs(120);

/// What loops tell about themselves. Cheap to clone.
///
/// *Ready* means that every expected stage has its partitions and has restored its state; a
/// process that waits in its group for partitions is not ready, and is well. *Alive* means that
/// every loop turns; one whose loop has ended ends as a whole, so nothing is said of that here.
#[derive(Clone, Debug)]
pub struct Health {
    stages: Arc<Mutex<BTreeMap<String, Condition>>>,
    silent_max: Duration,
}

impl Default for Health {
    fn default() -> Health {
        Health::with_patience(SILENT_MAX)
    }
}

#[derive(Clone, Debug)]
struct Condition {
    /// Why it is not ready.
    waits_for: Option<String>,
    /// When its loop was last heard of.
    heard: Instant,
}

impl Health {
    /// One that takes a loop for hanging after this long without a word.
    pub(super) fn with_patience(silent_max: Duration) -> Health {
        Health { stages: Arc::default(), silent_max }
    }

    /// A stage this process is to run; not ready until it says so.
    pub fn expect(&self, stage: &str) {
        self.not_ready(stage, "not assigned yet");
    }

    /// The stage has its partitions and its state.
    pub fn ready(&self, stage: &str) {
        self.put(stage, None);
    }

    /// The stage works on it, and on what.
    pub fn not_ready(&self, stage: &str, reason: &str) {
        self.put(stage, Some(reason.to_owned()));
    }

    /// The stage's loop turns, whatever it does.
    pub fn turns(&self, stage: &str) {
        if let Some(condition) = self.lock().get_mut(stage) {
            condition.heard = Instant::now();
        }
    }

    /// Stage and reason of each stage that is not ready; empty when all are.
    #[must_use]
    pub fn reasons_not_ready(&self) -> Vec<(String, String)> {
        let stages = self.lock();
        if stages.is_empty() {
            return vec![("process".to_owned(), "no stage has started yet".to_owned())];
        }
        let waiting = stages.iter().filter_map(|(stage, condition)| {
            condition.waits_for.as_ref().map(|reason| (stage.clone(), reason.clone()))
        });
        waiting.collect()
    }

    /// Stage and reason of each stage whose loop does not turn: only a restart helps.
    #[must_use]
    pub fn reasons_dead(&self) -> Vec<(String, String)> {
        let hanging = |(stage, condition): (&String, &Condition)| {
            let silent = condition.heard.elapsed();
            let reason = || format!("its loop has not turned for {} s", silent.as_secs());
            (silent > self.silent_max).then(|| (stage.clone(), reason()))
        };
        self.lock().iter().filter_map(hanging).collect()
    }

    fn put(&self, stage: &str, waits_for: Option<String>) {
        self.lock().insert(stage.to_owned(), Condition { waits_for, heard: Instant::now() });
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Condition>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loop_that_does_not_turn_is_dead_until_it_turns() {
        let health = Health::default();
        health.expect("observe");
        health.ready("join");
        assert_eq!(health.reasons_dead(), []);

        let long_ago = Instant::now().checked_sub(SILENT_MAX * 2).expect("up for some minutes");
        health.lock().get_mut("join").expect("known").heard = long_ago;

        let dead = ("join".to_owned(), "its loop has not turned for 240 s".to_owned());
        assert_eq!(health.reasons_dead(), [dead]);
        health.turns("join");
        assert_eq!(health.reasons_dead(), []);
    }
}
