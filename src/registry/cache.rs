//! Answers kept: bounded by count, least recently asked for goes first.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::observe::{SchemaAnswer, SchemaKey};

/// Answers by what was asked for. *Bound*: `entries_max`; eviction looks at all entries.
#[derive(Debug)]
pub(super) struct Cache {
    entries_max: usize,
    useless_kept: Duration,
    entries: BTreeMap<SchemaKey, Entry>,
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
    pub(super) fn new(entries_max: usize, useless_kept: Duration) -> Cache {
        Cache { entries_max: entries_max.max(1), useless_kept, entries: BTreeMap::new(), uses: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The answer, unless it has expired.
    pub(super) fn get(&mut self, key: SchemaKey, now: Instant) -> Option<SchemaAnswer> {
        self.uses += 1;
        let entry = self.entries.get_mut(&key)?;
        if entry.expires.is_some_and(|expires| expires <= now) {
            self.entries.remove(&key);
            return None;
        }
        entry.used = self.uses;
        Some(entry.answer.clone())
    }

    /// Keeps an answer. What an id stands for never changes, so only "there is none" and "it cannot
    /// be read" can become wrong: by a registration, or an import that overwrites.
    pub(super) fn put(&mut self, key: SchemaKey, answer: SchemaAnswer, now: Instant) {
        self.uses += 1;
        let expires = match answer {
            SchemaAnswer::Known(_) => None,
            SchemaAnswer::Unknown | SchemaAnswer::Unreadable(_) => Some(now + self.useless_kept),
        };
        self.entries.insert(key, Entry { answer, used: self.uses, expires });
        if self.entries.len() > self.entries_max {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.used);
            if let Some(key) = oldest.map(|(key, _)| *key) {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::{RegisteredSchema, SchemaLanguage};

    fn known(id: u32) -> SchemaAnswer {
        SchemaAnswer::Known(RegisteredSchema {
            id,
            language: SchemaLanguage::Avro,
            schema: String::new(),
            subject: None,
            number: None,
            tags: BTreeMap::new(),
        })
    }

    #[test]
    fn least_recently_asked_for_goes_first() {
        let now = Instant::now();
        let [one, two, three] = [1, 2, 3].map(SchemaKey::Id);
        let mut cache = Cache::new(2, Duration::ZERO);
        cache.put(one, known(1), now);
        cache.put(two, known(2), now);
        assert!(cache.get(one, now).is_some());

        cache.put(three, known(3), now);

        assert_eq!(cache.len(), 2);
        assert!(cache.get(one, now).is_some());
        assert!(cache.get(two, now).is_none());
    }

    #[test]
    fn all_but_a_schema_expires() {
        let now = Instant::now();
        let [one, two, three] = [1, 2, 3].map(SchemaKey::Id);
        let mut cache = Cache::new(9, Duration::from_secs(30));
        cache.put(one, SchemaAnswer::Unknown, now);
        cache.put(two, SchemaAnswer::Unreadable("x".into()), now);
        cache.put(three, known(3), now);

        let (before, after) = (now + Duration::from_secs(29), now + Duration::from_secs(30));
        assert!([one, two, three].into_iter().all(|key| cache.get(key, before).is_some()));
        assert!([one, two].into_iter().all(|key| cache.get(key, after).is_none()));
        assert!(cache.get(three, now + Duration::from_secs(86_400)).is_some());
    }
}
