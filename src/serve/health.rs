//! Whether the process lives and whether its stages work, as loops tell it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What loops tell about themselves. Cheap to clone.
///
/// *Ready* means that every expected stage has its partitions and has restored its state; a
/// process that waits in its group for partitions is not ready, and is well.
#[derive(Clone, Debug, Default)]
pub struct Health {
    stages: Arc<Mutex<BTreeMap<String, Condition>>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Ready,
    NotReady(String),
    Dead(String),
}

impl Health {
    /// A stage this process is to run; not ready until it says so.
    pub fn expect(&self, stage: &str) {
        self.not_ready(stage, "not assigned yet");
    }

    /// The stage has its partitions and its state.
    pub fn ready(&self, stage: &str) {
        self.put(stage, Condition::Ready);
    }

    /// The stage works on it, and on what.
    pub fn not_ready(&self, stage: &str, reason: &str) {
        self.put(stage, Condition::NotReady(reason.to_owned()));
    }

    /// The stage's loop has ended and nobody will start it again: the process should be restarted.
    pub fn dead(&self, stage: &str, reason: &str) {
        self.put(stage, Condition::Dead(reason.to_owned()));
    }

    /// Stage and reason of each stage that is not ready; empty when all are.
    #[must_use]
    pub fn reasons_not_ready(&self) -> Vec<(String, String)> {
        let stages = self.lock();
        if stages.is_empty() {
            return vec![("process".to_owned(), "no stage has started yet".to_owned())];
        }
        let reason = |(stage, condition): (&String, &Condition)| match condition {
            Condition::Ready => None,
            Condition::NotReady(reason) | Condition::Dead(reason) => {
                Some((stage.clone(), reason.clone()))
            }
        };
        stages.iter().filter_map(reason).collect()
    }

    /// Stage and reason of each stage that has ended.
    #[must_use]
    pub fn reasons_dead(&self) -> Vec<(String, String)> {
        let reason = |(stage, condition): (&String, &Condition)| match condition {
            Condition::Dead(reason) => Some((stage.clone(), reason.clone())),
            Condition::Ready | Condition::NotReady(_) => None,
        };
        self.lock().iter().filter_map(reason).collect()
    }

    fn put(&self, stage: &str, condition: Condition) {
        self.lock().insert(stage.to_owned(), condition);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Condition>> {
        self.stages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
