//! The loop of join, assess and decide: one thread, one input topic, one stage per partition.
//!
//! Poll, step, commit; and whatever goes wrong: forget, restore, go on. Generic over the stage
//! and ignorant of what it does.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::consumer::Consumer;

use super::error::RunError;
use super::ffi;
use super::group::GroupEvent;
use super::member::{Member, Polled};
use super::pulse::Pulse;
use super::reader::Reader;
use super::report::ReportKind;
use super::restore::{CHECKPOINT_KEY, Restorer, incoming};
use super::send::Batch;
use super::setup::{Input, Setup};
use super::transaction::{Committed, EventEncoder, Writer, offsets};
use crate::event::route::Outbox;
use crate::stage::{Restart, Stage, StateEntry};

/// Longest a poll waits; also how soon a shutdown is noticed.
const POLL: Duration = Duration::from_millis(100);
/// After a quiet time the first commit waits this long for company, unless the input is read up.
const COMPANY: Duration = Duration::from_millis(200);
/// Records between two looks at the clock.
const BURST: u32 = 256;

/// A stage and how far it has read.
struct Held<S> {
    stage: S,
    /// Next offset to read.
    next: i64,
    /// Metadata of the last commit.
    metadata: String,
    /// Read to here by the last commit.
    committed: i64,
    /// Read to here by the last checkpoint, or at the restore.
    checkpointed: i64,
    /// Whether the state topic holds a checkpoint of it. The first commit writes one: state and
    /// offset exist together or not at all.
    has_checkpoint: bool,
    at_end: bool,
}

/// The loop's memory.
struct StageLoop<'a, S> {
    setup: &'a Setup,
    member: Member,
    reader: Reader,
    writer: Writer,
    topic: &'a str,
    state_topic: String,
    fresh: &'a dyn Fn(i32) -> S,
    held: BTreeMap<i32, Held<S>>,
    out: Outbox,
    pending_bytes: usize,
    measured_messages: usize,
    read: u64,
    dirty_since: Option<Instant>,
    last_commit: Instant,
    last_checkpoint: Instant,
    pulse: Pulse,
}

/// Drives a stage until a shutdown is asked for or something cannot be mended.
pub(super) fn run<S: Stage>(
    setup: &Setup,
    input: Input,
    encoder: EventEncoder,
    fresh: &dyn Fn(i32) -> S,
) -> Result<(), RunError> {
    let stage = S::NAME;
    let identity = setup.identity(stage);
    let topic = setup.topic(input);
    // First of all: ends what a dead predecessor left open, so that its offsets can be read.
    let writer = Writer::new(setup, stage, encoder)?;
    let reader = Reader::new(&setup.access, &identity)
        .map_err(|source| RunError::Client { stage, source })?;
    let state_topic = setup.names.state(stage);
    let mut needed = vec![topic];
    if S::RESTART == Restart::Checkpoint {
        needed.push(&state_topic);
    }
    reader.await_topics(stage, &needed, &setup.shutdown)?;
    let member = Member::join(setup, stage, &[topic])?;
    let now = Instant::now();
    let mut driver = StageLoop {
        setup,
        member,
        reader,
        writer,
        topic,
        state_topic,
        fresh,
        held: BTreeMap::new(),
        out: Outbox::default(),
        pending_bytes: 0,
        measured_messages: 0,
        read: 0,
        dirty_since: None,
        last_commit: now,
        last_checkpoint: now,
        pulse: Pulse::new(setup, stage),
    };
    let end = driver.turn_until_shutdown();
    driver.member.leave(setup.leave && end.is_ok());
    end
}

impl<S: Stage> StageLoop<'_, S> {
    fn turn_until_shutdown(&mut self) -> Result<(), RunError> {
        while !self.setup.shutdown.requested() {
            while let Some(event) = self.member.next_event() {
                self.answer(event)?;
            }
            self.look_after_member()?;
            if !self.writer.is_ready()? {
                self.member.serve(POLL, &self.setup.shutdown);
                self.pulse.beat();
                continue;
            }
            if !self.member.restored && !self.member.assigned.is_empty() {
                self.restore()?;
                continue;
            }
            let drained = self.read_some()?;
            if self.commit_is_due(drained) {
                let checkpoint = self.last_checkpoint.elapsed() >= self.setup.pace.checkpoint;
                self.commit(checkpoint)?;
            } else {
                self.pulse.beat();
            }
        }
        // With a checkpoint, so that the next start has nothing to replay.
        if self.member.restored { self.commit(true) } else { Ok(()) }
    }

    fn answer(&mut self, event: GroupEvent) -> Result<(), RunError> {
        match event {
            GroupEvent::Assign(places) => {
                self.forget();
                self.member.take(places)
            }
            GroupEvent::Revoke { lost } => {
                // Spares the next owner the work; if it fails nothing is lost.
                if !lost && self.member.restored {
                    self.commit(false)?;
                }
                self.forget();
                self.member.give_up();
                self.setup.report(S::NAME, ReportKind::Revoked);
                Ok(())
            }
        }
    }

    fn forget(&mut self) {
        self.held.clear();
        self.clear_batch();
        self.member.restored = false;
    }

    fn clear_batch(&mut self) {
        self.out.clear();
        self.pending_bytes = 0;
        self.measured_messages = 0;
        self.read = 0;
        self.dirty_since = None;
    }

    /// Restores all partitions held; leaves them for the next turn when the group asks.
    fn restore(&mut self) -> Result<(), RunError> {
        let started = Instant::now();
        self.forget();
        let restorer = Restorer::new(self.setup, &self.member, &self.reader, &self.pulse);
        let Some(standings) = restorer.standings(&self.member.assigned, |_, _| false)? else {
            return Ok(());
        };
        let mut starts = Vec::with_capacity(standings.len());
        for standing in standings {
            let fresh = (self.fresh)(standing.partition);
            let Some(stage) = restorer.stage(&standing, fresh, &self.state_topic)? else {
                self.held.clear();
                return Ok(());
            };
            let next = standing.next();
            starts.push(((standing.topic, standing.partition), next));
            let held = Held {
                stage,
                next,
                metadata: standing.metadata,
                committed: next,
                checkpointed: next,
                has_checkpoint: standing.committed.is_some(),
                at_end: false,
            };
            self.held.insert(standing.partition, held);
        }
        if !restorer.resume_all(&starts, &|| {})? {
            self.held.clear();
            return Ok(());
        }
        self.member.restored_at(&starts);
        let (partitions, took) = (self.held.len(), started.elapsed());
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(stage = S::NAME, partitions, took_ms, "restored");
        self.setup.report(S::NAME, ReportKind::Assigned { partitions, took });
        Ok(())
    }

    /// Reads what is there, up to a burst; whether nothing more was there.
    fn read_some(&mut self) -> Result<bool, RunError> {
        let mut wait = self.wait();
        for _ in 0..BURST {
            match self.member.poll(wait)? {
                Polled::Record(message) => {
                    let Some(held) = self.held.get_mut(&message.partition()) else {
                        continue;
                    };
                    if message.offset() < held.next {
                        continue;
                    }
                    held.stage.step(incoming(&message), &mut self.out);
                    held.next = message.offset() + 1;
                    held.at_end = false;
                    self.read += 1;
                }
                Polled::End(partition) => {
                    if let Some(held) = self.held.get_mut(&partition) {
                        held.at_end = true;
                        let client = self.member.consumer.client();
                        let end = ffi::cached_high(client, self.topic, partition);
                        self.member.at_end(self.topic, partition, end.unwrap_or(held.next));
                    }
                }
                Polled::PositionLost => {
                    self.rewind("fetch");
                    return Ok(true);
                }
                Polled::Nothing => return Ok(true),
            }
            if self.dirty_since.is_none() && self.read > 0 {
                self.dirty_since = Some(Instant::now());
            }
            wait = Duration::ZERO;
        }
        Ok(false)
    }

    fn look_after_member(&mut self) -> Result<(), RunError> {
        let Some(broken) = self.member.broken(&self.reader, |_| false) else {
            return Ok(());
        };
        self.setup.report(S::NAME, ReportKind::Rewound { cause: broken.cause() });
        self.forget();
        let old = self.member.replace(self.setup, broken)?;
        self.member.rejoin(old, &[self.topic])
    }

    fn wait(&self) -> Duration {
        if self.dirty_since.is_none() {
            return POLL;
        }
        self.setup.pace.stages.saturating_sub(self.last_commit.elapsed()).min(POLL)
    }

    fn commit_is_due(&mut self, drained: bool) -> bool {
        let Some(since) = self.dirty_since else {
            return false;
        };
        if !self.member.restored {
            return false;
        }
        for message in &self.out.messages[self.measured_messages..] {
            self.pending_bytes += message.payload.len();
        }
        self.measured_messages = self.out.messages.len();
        if self.pending_bytes >= self.setup.pending_bytes {
            return true;
        }
        let rested = self.last_commit.elapsed() >= self.setup.pace.stages;
        rested && (drained || since.elapsed() >= COMPANY)
    }

    /// Commits what was read; with `checkpoint`, what changed in the state since the last one.
    fn commit(&mut self, checkpoint: bool) -> Result<(), RunError> {
        let mut state: Vec<(i32, StateEntry)> = Vec::new();
        for (&partition, held) in &mut self.held {
            if held.next > held.committed {
                held.metadata = held.stage.commit(held.next, &mut self.out);
            }
            let changed = held.next > held.checkpointed;
            let due = checkpoint || !held.has_checkpoint;
            if S::RESTART == Restart::Checkpoint && changed && due {
                let entries = held.stage.checkpoint();
                state.extend(entries.into_iter().map(|entry| (partition, entry)));
                let at = held.next.to_be_bytes().to_vec();
                state.push((partition, (CHECKPOINT_KEY.to_vec(), Some(at))));
            }
        }
        // A checkpoint goes with the offset it belongs to, even one that was committed before.
        let saved = |partition: i32| state.iter().any(|(saved, _)| *saved == partition);
        let moved: Vec<i32> = self
            .held
            .iter()
            .filter(|(partition, held)| held.next > held.committed || saved(**partition))
            .map(|(partition, _)| *partition)
            .collect();
        if moved.is_empty() {
            return Ok(());
        }
        let list = offsets(moved.iter().map(|partition| {
            let held = &self.held[partition];
            (self.topic, *partition, held.next, held.metadata.as_str())
        }));
        let batch = Batch {
            out: &self.out,
            state: (!state.is_empty()).then_some((self.state_topic.as_str(), &state)),
            offsets: &list,
        };
        let started = Instant::now();
        match self.writer.commit(&self.member.consumer, &batch)? {
            Committed::Yes => {
                self.mark_committed(&state, checkpoint);
                self.report_commit(started.elapsed(), state.len());
            }
            Committed::Rewind(cause) => self.rewind(cause),
        }
        Ok(())
    }

    fn mark_committed(&mut self, state: &[(i32, StateEntry)], checkpoint: bool) {
        self.member.progressed();
        self.last_commit = Instant::now();
        if checkpoint {
            self.last_checkpoint = self.last_commit;
        }
        for (partition, (key, _)) in state {
            if key == CHECKPOINT_KEY
                && let Some(held) = self.held.get_mut(partition)
            {
                held.checkpointed = held.next;
                held.has_checkpoint = true;
            }
        }
        for held in self.held.values_mut() {
            held.committed = held.next;
        }
    }

    fn report_commit(&mut self, took: Duration, state_entries: usize) {
        let written = self.out.messages.len() + self.out.events.len() + state_entries;
        let client = self.member.consumer.client();
        let behind = self.held.iter().filter(|(_, held)| !held.at_end).map(|(partition, held)| {
            let high = ffi::cached_high(client, self.topic, *partition).unwrap_or(held.next);
            u64::try_from(high - held.next).unwrap_or(0)
        });
        let kind = ReportKind::Committed {
            took,
            read: self.read,
            written: written as u64,
            lag: behind.sum(),
            checkpoint: state_entries > 0,
            notes: std::mem::take(&mut self.out.notes),
            lines: Vec::new(),
            set_aside: Vec::new(),
            events: std::mem::take(&mut self.out.events),
        };
        self.setup.report(S::NAME, kind);
        self.pulse.reset();
        self.clear_batch();
    }

    /// Forgets everything since the last commit; the next turn restores.
    fn rewind(&mut self, cause: &'static str) {
        self.setup.report(S::NAME, ReportKind::Rewound { cause });
        self.forget();
        self.member.pause();
        self.member.rest_after_rewind(&self.setup.shutdown);
    }
}
