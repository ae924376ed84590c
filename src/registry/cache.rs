//! Answers kept: bounded by count, least recently asked for goes first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::observe::SchemaAnswer;

/// Answers by id. *Bound*: `entries_max`; eviction looks at all entries.
#[derive(Debug)]
pub(super) struct Cache {
    entries_max: usize,
    unknown_kept: Duration,
    entries: BTreeMap<u32, Entry>,
    /// Counts up with each use.
    uses: u64,
}

#[derive(Debug)]
struct Entry {
    answer: SchemaAnswer,
    used: u64,
    expires: Option<Instant>,
}

impl Cache {
    pub(super) fn new(entries_max: usize, unknown_kept: Duration) -> Cache {
        Cache { entries_max: entries_max.max(1), unknown_kept, entries: BTreeMap::new(), uses: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The answer, unless it has expired.
    pub(super) fn get(&mut self, id: u32, now: Instant) -> Option<SchemaAnswer> {
        self.uses += 1;
        let entry = self.entries.get_mut(&id)?;
        if entry.expires.is_some_and(|expires| expires <= now) {
            self.entries.remove(&id);
            return None;
        }
        entry.used = self.uses;
        Some(entry.answer.clone())
    }

    /// Keeps an answer; ids are immutable, so that only `Unknown` can become wrong.
    pub(super) fn put(&mut self, id: u32, answer: SchemaAnswer, now: Instant) {
        self.uses += 1;
        let expires = (answer == SchemaAnswer::Unknown).then(|| now + self.unknown_kept);
        self.entries.insert(id, Entry { answer, used: self.uses, expires });
        if self.entries.len() > self.entries_max {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(id) = oldest.map(|(id, _)| *id) {
                self.entries.remove(&id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_recently_asked_for_goes_first() {
        let now = Instant::now();
        let mut cache = Cache::new(2, Duration::ZERO);
        let answer = SchemaAnswer::Unreadable("x".into());
        cache.put(1, answer.clone(), now);
        cache.put(2, answer.clone(), now);
        assert!(cache.get(1, now).is_some());

        cache.put(3, answer, now);

        assert_eq!(cache.len(), 2);
        assert!(cache.get(1, now).is_some());
        assert!(cache.get(2, now).is_none());
    }

    #[test]
    fn only_unknown_expires() {
        let now = Instant::now();
        let mut cache = Cache::new(9, Duration::from_secs(30));
        cache.put(1, SchemaAnswer::Unknown, now);
        cache.put(2, SchemaAnswer::Unreadable("x".into()), now);

        assert!(cache.get(1, now + Duration::from_secs(29)).is_some());
        assert!(cache.get(1, now + Duration::from_secs(30)).is_none());
        assert!(cache.get(2, now + Duration::from_secs(86_400)).is_some());
    }
}
