//! How long a partition waits for schemas that the registry does not have.
//!
//! A registry of several nodes knows a new schema at different times, so "there is none" is not
//! believed at once. But names that nobody registered may keep coming, and each would hold its
//! partition up. So a partition waits once in a while, and when it has met many such names it waits
//! for none: what may be a good record among them can be driven in again from the quarantine.
//!
//! A registry that does not answer is another matter: then nothing is known and partitions wait.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::group::Place;

/// How long a schema that the registry does not have is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long after such a wait the partition waits for none again.
const PERIOD: Duration = Duration::from_secs(600);
/// Schemas in a period after which those to come are taken for missing before they are asked for.
const MISSING_MAX: u32 = 8;
/// Answers outstanding up to which that is done: a registry that does not answer says nothing.
const OUTSTANDING_MAX: usize = 16;
/// How long a schema that cannot be read is believed to stay so; the registry's client believes it
/// for as long again.
const BELIEVED: Duration = Duration::from_secs(5);

/// What a partition does about a schema it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wait {
    /// Waits for the answer; "there is none" counts when it still holds after this.
    For(Duration),
    /// Takes it for missing, and asks for the records to come.
    No,
}

/// What each partition has waited for.
///
/// *Bound*: an entry for each partition that met a missing schema within the period.
#[derive(Debug)]
pub(super) struct SchemaWaits {
    missing: BTreeMap<Place, (Instant, u32)>,
    believed_since: Instant,
}

impl SchemaWaits {
    pub(super) fn new(now: Instant) -> SchemaWaits {
        SchemaWaits { missing: BTreeMap::new(), believed_since: now }
    }

    /// What to do about a schema that a partition does not know, with so many `outstanding`
    /// answers.
    pub(super) fn wait(&self, place: &Place, outstanding: usize, now: Instant) -> Wait {
        match self.missing.get(place) {
            Some((since, met)) if now.duration_since(*since) < PERIOD => {
                if *met >= MISSING_MAX && outstanding < OUTSTANDING_MAX {
                    Wait::No
                } else {
                    Wait::For(Duration::ZERO)
                }
            }
            _ => Wait::For(PATIENCE),
        }
    }

    /// The registry has no schema that a partition waited for.
    pub(super) fn missing(&mut self, place: &Place, now: Instant) {
        self.missing.retain(|_, (since, _)| now.duration_since(*since) < PERIOD);
        self.missing.entry(place.clone()).or_insert((now, 0)).1 += 1;
    }

    /// Whether it is time to ask once more for schemas that could not be read.
    pub(super) fn doubts(&mut self, now: Instant) -> bool {
        let doubts = now.duration_since(self.believed_since) >= BELIEVED;
        if doubts {
            self.believed_since = now;
        }
        doubts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(partition: i32) -> Place {
        ("orders".to_owned(), partition)
    }

    #[test]
    fn a_partition_waits_once_in_a_period() {
        let start = Instant::now();
        let mut waits = SchemaWaits::new(start);
        assert_eq!(waits.wait(&place(0), 0, start), Wait::For(PATIENCE));

        waits.missing(&place(0), start);

        let later = start + PERIOD - Duration::from_millis(1);
        assert_eq!(waits.wait(&place(0), 0, later), Wait::For(Duration::ZERO));
        assert_eq!(waits.wait(&place(1), 0, later), Wait::For(PATIENCE));
        assert_eq!(waits.wait(&place(0), 0, start + PERIOD), Wait::For(PATIENCE));
    }

    #[test]
    fn ever_new_names_are_not_waited_for_while_the_registry_answers() {
        let start = Instant::now();
        let mut waits = SchemaWaits::new(start);
        for _ in 0..MISSING_MAX {
            assert_ne!(waits.wait(&place(0), 0, start), Wait::No);
            waits.missing(&place(0), start);
        }

        assert_eq!(waits.wait(&place(0), OUTSTANDING_MAX - 1, start), Wait::No);
        let unheard = waits.wait(&place(0), OUTSTANDING_MAX, start);
        assert_eq!(unheard, Wait::For(Duration::ZERO));
        assert_eq!(waits.wait(&place(1), 0, start), Wait::For(PATIENCE));
    }

    #[test]
    fn what_is_forgotten_after_its_period_takes_no_room() {
        let start = Instant::now();
        let mut waits = SchemaWaits::new(start);
        (0..100).for_each(|partition| waits.missing(&place(partition), start));

        waits.missing(&place(0), start + PERIOD);

        assert_eq!(waits.missing.len(), 1);
    }

    #[test]
    fn schemas_that_cannot_be_read_are_doubted_every_now_and_then() {
        let start = Instant::now();
        let mut waits = SchemaWaits::new(start);

        assert!(!waits.doubts(start + BELIEVED - Duration::from_millis(1)));
        assert!(waits.doubts(start + BELIEVED));
        assert!(!waits.doubts(start + BELIEVED));
        assert!(waits.doubts(start + 2 * BELIEVED));
    }
}
