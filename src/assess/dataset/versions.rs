//! What a dataset's schema versions are held against: sums of every field, which is most of what a
//! version costs, so that few have them.

use super::super::versions::forget_oldest;
use super::*;

/// Versions that have sums of their own to be held against, as many as observe reads side by side.
const REFERENCES_MAX: usize = 16;

impl Learnt {
    /// Whether a version that is met has still to be given what it is held against.
    pub(super) fn wants_reference(&self, version: &str, start: EventTime) -> bool {
        let Some(known) = self.versions.get(version) else { return false };
        let held = self.versions.values().filter(|known| known.reference.is_some()).count();
        !known.original
            && known.reference.is_none()
            && known.is_young(start)
            && held < REFERENCES_MAX
    }

    /// Forgets what nothing is compared with any more, now that the window that starts at `start`
    /// is closed; `live` gives the versions in windows that are kept.
    pub(super) fn forget_versions(
        &mut self,
        start: EventTime,
        live: impl FnOnce() -> BTreeSet<String>,
    ) {
        let alarms = &self.alarms;
        let is_open = |version: &str| {
            alarms.open().any(|series| series.schema_version.as_deref() == Some(version))
        };
        for (version, known) in &mut self.versions {
            if known.reference.is_some() && !known.is_young(start) && !is_open(version) {
                known.reference = None;
            }
        }
        let Learnt { versions, main_version, .. } = self;
        let needed = || live().into_iter().chain(main_version.clone()).collect();
        forget_oldest(versions, |known| known.first_seen, needed);
    }
}

impl Version {
    /// Whether it still counts as new.
    pub(super) fn is_young(&self, start: EventTime) -> bool {
        start.since_ms(self.first_seen) < YOUNG_MS
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::versions::VERSIONS_MAX;
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn version(first_seen: i64, original: bool) -> Version {
        let reference = Some(Total::default());
        Version { seen: None, first_seen: EventTime(first_seen), original, reference }
    }

    #[test]
    fn ever_new_versions_are_forgotten_oldest_first_and_those_in_use_never() {
        let mut learnt = Learnt { main_version: Some("v0000".into()), ..Learnt::default() };
        let live = || BTreeSet::from(["v0001".to_owned()]);
        for n in 0..1_000 {
            learnt.versions.insert(format!("v{n:04}"), version(n * HOUR, n == 0));
            learnt.forget_versions(EventTime(n * HOUR), live);
        }

        assert_eq!(learnt.versions.len(), VERSIONS_MAX);
        let names: Vec<&String> = learnt.versions.keys().collect();
        assert_eq!((names[0].as_str(), names[1].as_str()), ("v0000", "v0001"));
        assert_eq!((names[2].as_str(), names[255].as_str()), ("v0746", "v0999"));
    }

    #[test]
    fn a_version_is_held_against_sums_of_its_own_while_it_is_new_and_few_are() {
        let mut learnt = Learnt::default();
        for n in 0..REFERENCES_MAX as i64 {
            learnt.versions.insert(format!("v{n}"), version(n, false));
        }
        let late = Version { reference: None, ..version(20, false) };
        learnt.versions.insert("late".into(), late);
        assert!(!learnt.wants_reference("late", EventTime(20)), "there are enough");

        learnt.forget_versions(EventTime(YOUNG_MS), BTreeSet::new);

        assert!(learnt.versions["v0"].reference.is_none(), "it is not new any more");
        assert!(learnt.versions["v1"].reference.is_some());
        assert!(learnt.wants_reference("late", EventTime(YOUNG_MS)));
        assert!(!learnt.wants_reference("late", EventTime(20 + YOUNG_MS)), "nor is this one");
        let original = Version { reference: None, ..version(YOUNG_MS, true) };
        learnt.versions.insert("original".into(), original);
        assert!(!learnt.wants_reference("original", EventTime(YOUNG_MS)));
    }
}
