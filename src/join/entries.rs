//! The ids a model's join remembers, and when each is due.
//!
//! A slab of 56-byte slots, an index of slot numbers by id, and buckets of event time that say
//! which slots to look at as the clock moves on. Holds no rule of joining: what an entry means
//! is `model`'s business.
//!
//! *Bound*: 56 bytes a slot and 5 to 10 of index; the slab grows by pages, so growing copies
//! nothing.

use std::collections::BTreeMap;
use std::hash::BuildHasher;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use crate::event::time::EventTime;

/// Slots of a page.
const PAGE: usize = 4_096;
/// End of a list of slots.
const NONE: u32 = u32::MAX;
/// Buckets a horizon is cut into: what the clock makes one look at again is a thousandth.
const BUCKETS_PER_HORIZON: i64 = 1_024;

/// What is known of an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// A prediction without its outcome.
    Prediction {
        /// The positive decision was taken.
        flagged: bool,
    },
    /// An outcome without its prediction.
    Outcome {
        /// The label.
        positive: bool,
    },
    /// Both were seen and counted.
    Joined {
        /// The label that counted.
        positive: bool,
    },
    /// A prediction whose horizon passed; remembered because of what came after it.
    Expired,
    /// Replaced; no longer in the index.
    Dead,
}

/// One id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// Time of the fact that made it.
    pub(super) time: EventTime,
    /// Newest time of all facts it took: it is forgotten a horizon after this.
    pub(super) life: EventTime,
    /// Cell of a waiting prediction; of a waiting outcome, the place of what its label means.
    pub(super) cell: u32,
    /// What is known.
    pub(super) state: State,
}

impl Entry {
    /// The time that counts for what happens to it next.
    fn due(&self) -> EventTime {
        match self.state {
            State::Prediction { .. } => self.time,
            State::Outcome { .. } | State::Joined { .. } | State::Expired | State::Dead => {
                self.life
            }
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Halves, so that the slot needs no 16-byte alignment.
    id: [u64; 2],
    entry: Entry,
    next: u32,
    /// Where replay must start so that this entry comes back.
    start: i64,
}

const _: () = assert!(size_of::<Slot>() == 56);

#[derive(Clone, Copy, Debug)]
struct Bucket {
    head: u32,
    /// Smallest start of the slots put in here; those that moved on since still count.
    start: i64,
}

/// Entries by id and by time.
#[derive(Debug)]
pub(super) struct Entries {
    pages: Vec<Vec<Slot>>,
    free: u32,
    index: HashTable<u32>,
    hasher: FixedState,
    buckets: BTreeMap<i64, Bucket>,
    bucket_ms: i64,
}

impl Entries {
    pub(super) fn new(horizon_ms: i64) -> Entries {
        Entries {
            pages: Vec::new(),
            free: NONE,
            index: HashTable::new(),
            hasher: FixedState::default(),
            buckets: BTreeMap::new(),
            bucket_ms: (horizon_ms / BUCKETS_PER_HORIZON).max(1),
        }
    }

    /// Ids remembered.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// The entry of an id.
    pub(super) fn get_mut(&mut self, id: u128) -> Option<&mut Entry> {
        let halves = split(id);
        let pages = &self.pages;
        let found =
            self.index.find(self.hasher.hash_one(halves), |at| slot(pages, *at).id == halves);
        let at = *found?;
        Some(&mut slot_mut(&mut self.pages, at).entry)
    }

    /// Adds an entry for an id that has none. `start` is where replay must start to see it.
    pub(super) fn insert(&mut self, id: u128, entry: Entry, start: i64) {
        let halves = split(id);
        let at = self.allocate(Slot { id: halves, entry, next: NONE, start });
        let Entries { pages, index, hasher, .. } = self;
        index.insert_unique(hasher.hash_one(halves), at, |other| {
            hasher.hash_one(slot(pages, *other).id)
        });
        self.link(at);
    }

    /// Takes an id out of the index and says where replay had to start to see it; its slot is
    /// freed when its time comes.
    pub(super) fn forget(&mut self, id: u128) -> Option<i64> {
        let at = self.unindex(split(id))?;
        let slot = slot_mut(&mut self.pages, at);
        slot.entry.state = State::Dead;
        Some(slot.start)
    }

    /// Where replay must start so that every entry comes back; `None` when there is none.
    pub(super) fn start(&self) -> Option<i64> {
        self.buckets.values().map(|bucket| bucket.start).min()
    }

    /// Hands every entry that is due before `threshold` to `settle`, which may change it; an
    /// entry that is then due at or after `threshold` stays.
    pub(super) fn settle_before(
        &mut self,
        threshold: EventTime,
        mut settle: impl FnMut(&mut Entry),
    ) {
        let last = threshold.0.div_euclid(self.bucket_ms);
        while let Some((&key, _)) = self.buckets.first_key_value() {
            if key > last {
                break;
            }
            let bucket = self.buckets.remove(&key).expect("its key was just read");
            self.walk(bucket.head, |entry| {
                if entry.due() < threshold {
                    settle(entry);
                }
                entry.due() >= threshold
            });
            if key == last {
                break;
            }
        }
    }

    /// Drops every entry whose id is not kept, handing it to `dropped` first.
    pub(super) fn retain(&mut self, keep: impl Fn(u128) -> bool, mut dropped: impl FnMut(&Entry)) {
        for bucket in std::mem::take(&mut self.buckets).into_values() {
            let mut at = bucket.head;
            while at != NONE {
                let Slot { id, entry, next, .. } = *slot(&self.pages, at);
                if entry.state == State::Dead || !keep(join(id)) {
                    dropped(&entry);
                    self.release(at);
                } else {
                    self.link(at);
                }
                at = next;
            }
        }
    }

    /// Visits the slots of a list: they stay, linked where they are due, or are freed.
    fn walk(&mut self, head: u32, mut stays: impl FnMut(&mut Entry) -> bool) {
        let mut at = head;
        while at != NONE {
            let slot = slot_mut(&mut self.pages, at);
            let next = slot.next;
            if stays(&mut slot.entry) {
                self.link(at);
            } else {
                self.release(at);
            }
            at = next;
        }
    }

    fn link(&mut self, at: u32) {
        let slot = slot_mut(&mut self.pages, at);
        let key = slot.entry.due().0.div_euclid(self.bucket_ms);
        let bucket = self.buckets.entry(key).or_insert(Bucket { head: NONE, start: i64::MAX });
        slot.next = bucket.head;
        bucket.head = at;
        bucket.start = bucket.start.min(slot.start);
    }

    fn allocate(&mut self, new: Slot) -> u32 {
        if self.free != NONE {
            let at = self.free;
            let slot = slot_mut(&mut self.pages, at);
            self.free = slot.next;
            *slot = new;
            return at;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let pages = self.pages.len();
        let page = self.pages.last_mut().expect("one was just made sure of");
        page.push(new);
        u32::try_from((pages - 1) * PAGE + page.len() - 1).expect("limits keep slots below 2^32")
    }

    fn release(&mut self, at: u32) {
        let Slot { id, entry, .. } = *slot(&self.pages, at);
        if entry.state != State::Dead {
            self.unindex(id);
        }
        slot_mut(&mut self.pages, at).next = self.free;
        self.free = at;
    }

    /// Every id with its entry, by id.
    #[cfg(test)]
    pub(super) fn all(&self) -> Vec<(u128, Entry)> {
        let slots = self.index.iter().map(|at| slot(&self.pages, *at));
        let mut all: Vec<(u128, Entry)> = slots.map(|slot| (join(slot.id), slot.entry)).collect();
        all.sort_by_key(|(id, _)| *id);
        all
    }

    fn unindex(&mut self, id: [u64; 2]) -> Option<u32> {
        let Entries { pages, index, hasher, .. } = self;
        let found = index.find_entry(hasher.hash_one(id), |at| slot(pages, *at).id == id);
        found.ok().map(|occupied| occupied.remove().0)
    }
}

fn slot(pages: &[Vec<Slot>], at: u32) -> &Slot {
    &pages[at as usize / PAGE][at as usize % PAGE]
}

fn slot_mut(pages: &mut [Vec<Slot>], at: u32) -> &mut Slot {
    &mut pages[at as usize / PAGE][at as usize % PAGE]
}

fn split(id: u128) -> [u64; 2] {
    [(id >> 64) as u64, id as u64]
}

fn join(id: [u64; 2]) -> u128 {
    (u128::from(id[0]) << 64) | u128::from(id[1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(time: i64, life: i64, state: State) -> Entry {
        Entry { time: EventTime(time), life: EventTime(life), cell: 0, state }
    }

    const WAITING: State = State::Prediction { flagged: false };
    const JOINED: State = State::Joined { positive: true };

    #[test]
    fn entry_due_at_the_threshold_stays_and_one_before_it_goes() {
        let mut entries = Entries::new(10);
        entries.insert(1, entry(99, 99, JOINED), 0);
        entries.insert(2, entry(100, 100, JOINED), 0);

        entries.settle_before(EventTime(100), |_| ());

        assert!(entries.get_mut(1).is_none());
        assert!(entries.get_mut(2).is_some());
    }

    #[test]
    fn entry_that_outlives_its_prediction_moves_to_its_later_time() {
        let mut entries = Entries::new(10);
        entries.insert(1, entry(50, 80, WAITING), 7);
        let mut settled = 0;

        entries.settle_before(EventTime(60), |entry| {
            settled += 1;
            entry.state = State::Expired;
        });

        assert_eq!((settled, entries.len()), (1, 1));
        assert_eq!(entries.start(), Some(7));
        entries.settle_before(EventTime(81), |_| ());
        assert_eq!((entries.len(), entries.start()), (0, None));
    }

    #[test]
    fn forgotten_id_can_come_back_while_its_old_slot_waits_to_be_freed() {
        let mut entries = Entries::new(10);
        entries.insert(1, entry(50, 50, WAITING), 0);
        entries.forget(1);
        entries.insert(1, entry(70, 70, JOINED), 0);

        entries.settle_before(EventTime(60), |_| ());

        assert_eq!(entries.get_mut(1).map(|entry| entry.state), Some(JOINED));
        assert_eq!(entries.len(), 1);
    }

    #[test]
    fn slots_are_used_again() {
        let mut entries = Entries::new(1_000);
        for round in 0..10_i64 {
            for id in 0..1_000_u32 {
                entries.insert(u128::from(id) << 70, entry(round, round, JOINED), 0);
            }
            entries.settle_before(EventTime(round + 1), |_| ());
        }

        assert_eq!(entries.len(), 0);
        assert_eq!(entries.pages.len(), 1);
    }

    #[test]
    fn start_is_that_of_the_oldest_entry_left() {
        let mut entries = Entries::new(10);
        entries.insert(1, entry(10, 10, JOINED), 100);
        entries.insert(2, entry(20, 20, JOINED), 200);

        assert_eq!(entries.start(), Some(100));
        entries.settle_before(EventTime(15), |_| ());
        assert_eq!(entries.start(), Some(200));
    }

    #[test]
    fn retain_drops_ids_and_keeps_the_rest_in_order_of_time() {
        let mut entries = Entries::new(10);
        for id in 0..10_u128 {
            entries.insert(id, entry(5, 5, WAITING), 0);
        }
        let mut dropped = 0;

        entries.retain(|id| id < 3, |_| dropped += 1);

        assert_eq!((dropped, entries.len()), (7, 3));
        entries.settle_before(EventTime(6), |entry| entry.state = State::Expired);
        assert_eq!(entries.len(), 0);
    }
}
