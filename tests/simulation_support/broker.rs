//! A model of Kafka as the stages need it: partitions, transactions, groups.
//!
//! What is kept of the real thing: offsets, with control records among them; readers see nothing
//! at or after the first record of an open transaction, and never one of an aborted transaction;
//! outputs and offsets become visible together or not at all; a new producer with the same id
//! ends what its predecessor left open; offsets are taken from members of the group's current
//! generation alone; timestamps are the broker's own.

use std::collections::{BTreeMap, BTreeSet};

use driftline::event::public::PublicEvent;

/// A topic and a partition.
pub type Place = (&'static str, i32);

/// A record that is there before anything runs: where, key and body.
pub type Given = (Place, Option<Vec<u8>>, Vec<u8>);

/// A transaction nobody ends is aborted after this long.
const TRANSACTION_MS: i64 = 10_000;

/// What a broker may be told to do wrong, so that the checker can be seen to notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flaws {
    /// One commit in some keeps its offsets and loses its outputs.
    pub loses_outputs: bool,
    /// One commit in some keeps its outputs and loses its offsets.
    pub loses_offsets: bool,
    /// Offsets are taken from anyone, whatever the generation.
    pub takes_zombies: bool,
    /// Readers see what was aborted.
    pub shows_aborted: bool,
}

/// A record of an internal topic.
#[derive(Clone, Debug)]
pub struct Stored {
    pub timestamp_ms: i64,
    pub key: Option<Vec<u8>>,
    pub payload: Option<Vec<u8>>,
    transaction: u64,
    is_control: bool,
}

/// Why a producer's call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Abort, forget, go on with the same producer.
    Abort,
    /// Another producer has this id, or the transaction timed out: make a new one.
    Fenced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Open,
    Committed,
    Aborted,
}

#[derive(Debug)]
struct Transaction {
    status: Status,
    begun_ms: i64,
    producer: String,
    /// First offset in each partition written to.
    firsts: BTreeMap<Place, i64>,
    /// Offsets to commit: group, place, offset, metadata.
    offsets: Vec<(&'static str, Place, i64, String)>,
}

#[derive(Debug, Default)]
struct Producer {
    epoch: u32,
    open: Option<u64>,
}

/// All topics, transactions and committed offsets.
#[derive(Debug, Default)]
pub struct Broker {
    pub flaws: Flaws,
    now_ms: i64,
    logs: BTreeMap<Place, Vec<Stored>>,
    /// First offsets of open transactions, by partition.
    open: BTreeMap<Place, BTreeSet<i64>>,
    transactions: Vec<Transaction>,
    producers: BTreeMap<String, Producer>,
    committed: BTreeMap<(&'static str, Place), (i64, String)>,
    groups: BTreeMap<&'static str, Group>,
    events: Vec<(u64, PublicEvent)>,
    commits: u64,
}

impl Broker {
    pub fn set_now(&mut self, now_ms: i64) {
        self.now_ms = now_ms;
        let timed_out: Vec<u64> = (self.producers.values().filter_map(|producer| producer.open))
            .filter(|id| now_ms - self.transactions[*id as usize].begun_ms > TRANSACTION_MS)
            .collect();
        for id in timed_out {
            let producer = self.transactions[id as usize].producer.clone();
            self.end(id, false);
            self.producers.entry(producer).or_default().epoch += 1;
        }
    }

    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub fn group(&mut self, name: &'static str) -> &mut Group {
        self.groups.entry(name).or_default()
    }

    /// Commits that were made.
    pub fn commits(&self) -> u64 {
        self.commits
    }

    /// Ends what the predecessor left open; returns the epoch of the new producer.
    pub fn init_producer(&mut self, id: &str) -> u32 {
        let producer = self.producers.entry(id.to_owned()).or_default();
        producer.epoch += 1;
        let (epoch, open) = (producer.epoch, producer.open);
        if let Some(open) = open {
            self.end(open, false);
        }
        epoch
    }

    pub fn begin(&mut self, id: &str, epoch: u32) -> Result<u64, Refused> {
        let next = self.transactions.len() as u64;
        let producer = self.producers.get_mut(id).expect("it was initialised");
        if producer.epoch != epoch {
            return Err(Refused::Fenced);
        }
        assert!(producer.open.replace(next).is_none(), "{id} has a transaction open");
        self.transactions.push(Transaction {
            status: Status::Open,
            begun_ms: self.now_ms,
            producer: id.to_owned(),
            firsts: BTreeMap::new(),
            offsets: Vec::new(),
        });
        Ok(next)
    }

    pub fn send(
        &mut self,
        transaction: u64,
        place: Place,
        key: Option<Vec<u8>>,
        payload: Option<Vec<u8>>,
    ) {
        let offset = self.append(place, transaction, key, payload, false);
        let firsts = &mut self.transactions[transaction as usize].firsts;
        if let std::collections::btree_map::Entry::Vacant(first) = firsts.entry(place) {
            first.insert(offset);
            self.open.entry(place).or_default().insert(offset);
        }
    }

    pub fn send_event(&mut self, transaction: u64, event: PublicEvent) {
        self.events.push((transaction, event));
    }

    /// Adds offsets to the transaction, as a member of a generation of the group.
    pub fn send_offsets(
        &mut self,
        transaction: u64,
        group: &'static str,
        member: u64,
        generation: u32,
        offsets: Vec<(Place, i64, String)>,
    ) -> Result<(), Refused> {
        let fences = !self.flaws.takes_zombies;
        if fences && !self.group(group).accepts(member, generation) {
            return Err(Refused::Abort);
        }
        let offsets = offsets.into_iter().map(|(place, at, meta)| (group, place, at, meta));
        self.transactions[transaction as usize].offsets.extend(offsets);
        Ok(())
    }

    /// Ends a transaction, unless the broker has ended it already.
    pub fn finish(&mut self, transaction: u64, commit: bool) -> Result<(), Refused> {
        if self.transactions[transaction as usize].status != Status::Open {
            return Err(Refused::Fenced);
        }
        self.end(transaction, commit);
        Ok(())
    }

    fn end(&mut self, id: u64, commit: bool) {
        let flawed = commit && id % 16 == 5;
        let keeps_outputs = commit && !(flawed && self.flaws.loses_outputs);
        let transaction = &mut self.transactions[id as usize];
        transaction.status = if keeps_outputs { Status::Committed } else { Status::Aborted };
        let firsts = std::mem::take(&mut transaction.firsts);
        let offsets = std::mem::take(&mut transaction.offsets);
        self.producers.get_mut(&transaction.producer).expect("it began it").open = None;
        for (place, first) in firsts {
            self.open.get_mut(&place).expect("it was entered").remove(&first);
            self.append(place, id, None, None, true);
        }
        if commit && !(flawed && self.flaws.loses_offsets) {
            for (group, place, offset, metadata) in offsets {
                self.committed.insert((group, place), (offset, metadata));
            }
        }
        self.commits += u64::from(commit);
    }

    fn append(
        &mut self,
        place: Place,
        transaction: u64,
        key: Option<Vec<u8>>,
        payload: Option<Vec<u8>>,
        is_control: bool,
    ) -> i64 {
        let timestamp_ms = self.now_ms;
        let log = self.logs.entry(place).or_default();
        log.push(Stored { timestamp_ms, key, payload, transaction, is_control });
        log.len() as i64 - 1
    }

    /// A record that is there before anything runs.
    pub fn seed(&mut self, place: Place, key: Option<Vec<u8>>, payload: Vec<u8>) {
        let epoch = self.init_producer("seed");
        let transaction = self.begin("seed", epoch).expect("just initialised");
        self.send(transaction, place, key, Some(payload));
        self.finish(transaction, true).expect("nobody else is there");
    }

    /// End of a partition, open transactions and control records included.
    pub fn high(&self, place: Place) -> i64 {
        self.logs.get(&place).map_or(0, |log| log.len() as i64)
    }

    /// Where reading ends for now: at the first open transaction.
    pub fn stable(&self, place: Place) -> i64 {
        let first = self.open.get(&place).and_then(BTreeSet::first).copied();
        first.unwrap_or_else(|| self.high(place))
    }

    /// The next record a reader of committed data gets at or after `from`.
    pub fn next(&self, place: Place, from: i64) -> Option<(i64, &Stored)> {
        let log = self.logs.get(&place)?;
        (from..self.stable(place)).find_map(|offset| {
            let stored = &log[offset as usize];
            self.is_seen(stored).then_some((offset, stored))
        })
    }

    fn is_seen(&self, stored: &Stored) -> bool {
        let status = self.transactions[stored.transaction as usize].status;
        let shown = status == Status::Committed || self.flaws.shows_aborted;
        shown && !stored.is_control
    }

    /// Every committed record of a partition, with its offset.
    pub fn records(&self, place: Place) -> Vec<(i64, &Stored)> {
        let mut from = 0;
        std::iter::from_fn(|| {
            let (offset, stored) = self.next(place, from)?;
            from = offset + 1;
            Some((offset, stored))
        })
        .collect()
    }

    /// Every committed public event.
    pub fn events(&self) -> Vec<PublicEvent> {
        let committed = self.events.iter().filter(|(transaction, _)| {
            self.transactions[*transaction as usize].status == Status::Committed
        });
        committed.map(|(_, event)| event.clone()).collect()
    }

    /// The committed offset of a partition and its metadata; `Err` while a transaction holds it.
    pub fn committed(
        &self,
        group: &'static str,
        place: Place,
    ) -> Result<Option<(i64, String)>, Refused> {
        let pending = self.producers.values().filter_map(|producer| producer.open).any(|id| {
            let offsets = &self.transactions[id as usize].offsets;
            offsets.iter().any(|(of, at, ..)| (*of, *at) == (group, place))
        });
        if pending {
            return Err(Refused::Abort);
        }
        Ok(self.committed.get(&(group, place)).cloned())
    }
}

/// A consumer group with static members and the eager `range` protocol.
#[derive(Debug, Default)]
pub struct Group {
    /// Topics and their partitions, as this generation knows them.
    topics: Vec<(&'static str, i32)>,
    /// The same, as the next generation will.
    next_topics: Vec<(&'static str, i32)>,
    generation: u32,
    members: BTreeMap<String, Member>,
    preparing_since: Option<i64>,
    next_id: u64,
}

#[derive(Debug)]
struct Member {
    id: u64,
    joined: bool,
    heard_ms: i64,
}

/// What a member's heartbeat is answered with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    /// Go on.
    Stable,
    /// Give up what you have and join again.
    Rejoin,
    /// Joined; the others have not yet.
    Wait,
    /// Not a member.
    Unknown,
}

/// A member not heard of for this long is no member.
const SESSION_MS: i64 = 12_000;

impl Group {
    fn accepts(&self, member: u64, generation: u32) -> bool {
        generation == self.generation && self.members.values().any(|known| known.id == member)
    }

    /// Joins as a static member; another member of this name is out. Returns the member's id.
    pub fn join(&mut self, slot: &str, known: Option<u64>, now_ms: i64) -> u64 {
        let returns = self.members.contains_key(slot);
        let same = known.filter(|id| self.members.get(slot).is_some_and(|m| m.id == *id));
        let id = same.unwrap_or_else(|| {
            self.next_id += 1;
            self.next_id
        });
        let stable = self.preparing_since.is_none() && self.generation > 0;
        let member = Member { id, joined: true, heard_ms: now_ms };
        self.members.insert(slot.to_owned(), member);
        // A static member that comes back to a stable group gets its partitions at once.
        if !(returns && stable) {
            self.prepare(now_ms, Some(id));
        }
        id
    }

    /// Tells it what its topics have: known from the next generation on.
    pub fn learn(&mut self, topics: Vec<(&'static str, i32)>, now_ms: i64) {
        self.next_topics = topics;
        if self.generation > 0 {
            self.prepare(now_ms, None);
        }
    }

    /// Asks all members to join again.
    fn prepare(&mut self, now_ms: i64, except: Option<u64>) {
        if self.preparing_since.is_none() {
            self.preparing_since = Some(now_ms);
            for member in self.members.values_mut() {
                member.joined = Some(member.id) == except;
            }
        }
    }

    pub fn leave(&mut self, slot: &str, now_ms: i64) {
        if self.members.remove(slot).is_some() {
            self.prepare(now_ms, None);
        }
    }

    /// Lets time pass: sessions end, rebalances complete.
    pub fn tick(&mut self, now_ms: i64) {
        let before = self.members.len();
        self.members.retain(|_, member| now_ms - member.heard_ms <= SESSION_MS);
        if self.members.len() < before {
            self.prepare(now_ms, None);
        }
        if self.preparing_since.is_some() && self.members.values().all(|member| member.joined) {
            self.preparing_since = None;
            self.topics = self.next_topics.clone();
            self.generation += 1;
        }
    }

    pub fn heartbeat(&mut self, slot: &str, id: u64, now_ms: i64) -> Heartbeat {
        let preparing = self.preparing_since.is_some();
        let Some(member) = self.members.get_mut(slot).filter(|member| member.id == id) else {
            return Heartbeat::Unknown;
        };
        member.heard_ms = now_ms;
        match (preparing, member.joined) {
            (false, _) => Heartbeat::Stable,
            (true, true) => Heartbeat::Wait,
            (true, false) => Heartbeat::Rejoin,
        }
    }

    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Partitions of a member, by range over each topic.
    pub fn assignment(&self, slot: &str) -> Vec<Place> {
        let members = self.members.len() as i32;
        let Some(rank) = self.members.keys().position(|known| known == slot) else {
            return Vec::new();
        };
        let rank = rank as i32;
        let mut places = Vec::new();
        for (topic, count) in &self.topics {
            let (each, more) = (count / members, count % members);
            let from = rank * each + rank.min(more);
            let to = from + each + i32::from(rank < more);
            places.extend((from..to).map(|partition| (*topic, partition)));
        }
        places
    }
}
