//! An instance of join, assess or decide, driven as `runtime::stage_loop` and `runtime::restore`
//! drive it.

use std::collections::BTreeMap;

use driftline::event::route::Outbox;
use driftline::stage::{Incoming, Restart, Stage};

use super::broker::{Broker, Place, Stored};
use super::member::{Context, Ended, Instance, Member};

/// Key of the record that holds a checkpoint's input offset.
const CHECKPOINT_KEY: &[u8] = b"__checkpoint";
/// Longest time between two commits.
const INTERVAL_MS: u64 = 20_000;

/// Makes the stage of a partition.
pub type Fresh<S> = Box<dyn Fn(i32) -> S>;

/// The instance and what it holds.
pub struct Worker<S> {
    member: Member,
    input: &'static str,
    state: &'static str,
    fresh: Fresh<S>,
    held: BTreeMap<i32, Held<S>>,
    out: Outbox,
    commit_at_ms: i64,
}

struct Held<S> {
    stage: S,
    next: i64,
    metadata: String,
    committed: i64,
    checkpointed: i64,
    has_checkpoint: bool,
}

fn incoming(offset: i64, stored: &Stored) -> Incoming<'_> {
    let payload = stored.payload.as_deref().unwrap_or_default();
    Incoming { offset, timestamp_ms: stored.timestamp_ms, payload }
}

impl<S: Stage> Worker<S> {
    /// A process that starts. `state` is the topic of its checkpoints.
    pub fn start(
        fresh: Fresh<S>,
        (input, state): (&'static str, &'static str),
        slot: &str,
        broker: &mut Broker,
    ) -> Worker<S> {
        Worker {
            member: Member::start(broker, slot, S::NAME),
            input,
            state,
            fresh,
            held: BTreeMap::new(),
            out: Outbox::default(),
            commit_at_ms: i64::MIN,
        }
    }

    pub fn leave(&self, broker: &mut Broker) {
        self.member.leave(broker);
    }

    fn read(&mut self, context: &mut Context<'_>) -> bool {
        let mut moved = false;
        for (partition, held) in &mut self.held {
            let most = match context.random.bits() % 3 {
                _ if context.thorough => usize::MAX,
                0 => 0,
                1 => 3,
                _ => 50,
            };
            for _ in 0..most {
                let next = context.broker.next((self.input, *partition), held.next);
                let Some((offset, stored)) = next else { break };
                held.stage.step(incoming(offset, stored), &mut self.out);
                held.next = offset + 1;
                moved = true;
            }
        }
        moved
    }

    /// A partition as its last commit left it; `None` while that cannot be read.
    fn restored(&self, partition: i32, context: &mut Context<'_>) -> Option<Held<S>> {
        let broker = &*context.broker;
        let place: Place = (self.input, partition);
        let committed = broker.committed(self.member.group(), place).ok()?;
        let mut stage = (self.fresh)(partition);
        let mut has_checkpoint = false;
        let from = match (S::RESTART, &committed) {
            (Restart::Replay, None) => None,
            (Restart::Replay, Some((at, metadata))) => Some(S::replay_from(metadata, *at)),
            (Restart::Checkpoint, _) => {
                let checkpoint = self.load(partition, &mut stage, broker)?;
                let at = committed.as_ref().map(|(at, _)| *at);
                assert_eq!(checkpoint.is_some(), at.is_some(), "state and offset go together");
                assert!(checkpoint <= at, "state at {checkpoint:?} is ahead of the offset {at:?}");
                has_checkpoint = checkpoint.is_some();
                checkpoint
            }
        };
        let (next, metadata) = committed.unwrap_or_default();
        if let Some(mut at) = from
            && !context.skips_replay
        {
            let mut silent = Outbox::default();
            while let Some((offset, stored)) = broker.next(place, at).filter(|(o, _)| *o < next) {
                stage.step(incoming(offset, stored), &mut silent);
                silent.clear();
                at = offset + 1;
            }
            stage.replayed(&metadata);
            stage.commit(next, &mut silent);
        }
        Some(Held { stage, next, metadata, committed: next, checkpointed: next, has_checkpoint })
    }

    /// Loads a checkpoint; gives the input offset it belongs to, `Some(None)` without one.
    fn load(&self, partition: i32, stage: &mut S, broker: &Broker) -> Option<Option<i64>> {
        let place: Place = (self.state, partition);
        if broker.stable(place) < broker.high(place) {
            return None;
        }
        let mut entries: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        for (_, stored) in broker.records(place) {
            let key = stored.key.clone().expect("state has keys");
            match &stored.payload {
                Some(value) => entries.insert(key, value.clone()),
                None => entries.remove(&key),
            };
        }
        let checkpoint = entries
            .remove(CHECKPOINT_KEY)
            .map(|bytes| i64::from_be_bytes(bytes.try_into().expect("a checkpoint is an offset")));
        for (key, value) in entries {
            stage.restore(&key, &value).expect("its own entries");
        }
        Some(checkpoint)
    }
}

impl<S: Stage> Instance for Worker<S> {
    fn member(&mut self) -> &mut Member {
        &mut self.member
    }

    fn forget(&mut self) {
        self.held.clear();
        self.out.clear();
        self.member.restored = false;
    }

    fn restore(&mut self, context: &mut Context<'_>) -> bool {
        self.forget();
        for (_, partition) in self.member.assigned.clone() {
            let Some(held) = self.restored(partition, context) else {
                self.held.clear();
                return false;
            };
            self.held.insert(partition, held);
        }
        self.member.restored = true;
        true
    }

    fn work(&mut self, context: &mut Context<'_>) -> (bool, bool) {
        let moved = self.read(context);
        let dirty = self.held.values().any(|held| held.next > held.committed);
        let due = context.thorough || context.broker.now_ms() >= self.commit_at_ms;
        (moved, dirty && due)
    }

    fn commit(&mut self, context: &mut Context<'_>) -> Ended {
        let checkpoint = context.random.one_in(4);
        let mut state = Vec::new();
        for (partition, held) in &mut self.held {
            let place: Place = (self.state, *partition);
            if held.next > held.committed {
                held.metadata = held.stage.commit(held.next, &mut self.out);
            }
            let changed = held.next > held.checkpointed;
            if S::RESTART == Restart::Checkpoint && changed && (checkpoint || !held.has_checkpoint)
            {
                let entries = held.stage.checkpoint();
                state.extend(entries.into_iter().map(|(key, value)| (place, key, value)));
                let at = held.next.to_be_bytes().to_vec();
                state.push((place, CHECKPOINT_KEY.to_vec(), Some(at)));
            }
        }
        let saved: Vec<i32> = state.iter().map(|((_, partition), ..)| *partition).collect();
        let moved = self
            .held
            .iter()
            .filter(|(partition, held)| held.next > held.committed || saved.contains(partition));
        let offsets: Vec<(Place, i64, String)> = moved
            .map(|(partition, held)| ((self.input, *partition), held.next, held.metadata.clone()))
            .collect();
        if offsets.is_empty() {
            return Ended::Committed;
        }
        let ended = self.member.commit(context, &self.out, state, offsets);
        self.out.clear();
        if ended == Ended::Committed {
            for (partition, held) in &mut self.held {
                held.committed = held.next;
                if saved.contains(partition) {
                    held.checkpointed = held.next;
                    held.has_checkpoint = true;
                }
            }
        }
        let wait_ms = (context.random.bits() % INTERVAL_MS) as i64;
        self.commit_at_ms = context.broker.now_ms() + wait_ms;
        ended
    }
}
