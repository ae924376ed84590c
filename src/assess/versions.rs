//! How many schema versions a dataset or a model remembers: producers may bring ever new ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::event::time::EventTime;

/// Versions remembered; those of windows that are kept are remembered in any case.
pub(super) const VERSIONS_MAX: usize = 256;

/// Forgets the versions seen first while there are too many; those that are still `needed` are
/// asked for once, and only then.
pub(super) fn forget_oldest<K: Ord + Clone, V>(
    versions: &mut BTreeMap<K, V>,
    first_seen: impl Fn(&V) -> EventTime,
    needed: impl FnOnce() -> BTreeSet<K>,
) {
    let excess = versions.len().saturating_sub(VERSIONS_MAX);
    if excess == 0 {
        return;
    }
    let needed = needed();
    let gone = versions.iter().filter(|(version, _)| !needed.contains(version));
    let mut gone: Vec<(EventTime, K)> =
        gone.map(|(version, known)| (first_seen(known), version.clone())).collect();
    gone.sort();
    for (_, version) in gone.into_iter().take(excess) {
        versions.remove(&version);
    }
}
