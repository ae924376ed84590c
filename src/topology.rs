//! The four stages chained in memory: the topology without the broker.
//!
//! Replay, `watch` and tests drive the same state machines as the Kafka runtime, through the same
//! bytes. Internal topics are plain calls here; what they would have held can be recorded.

use std::sync::Arc;

use crate::assess::Assess;
use crate::config::plan::Plan;
use crate::decide::Decide;
use crate::event::layout::LayoutUpdate;
use crate::event::route::{FACTS_PARTITIONS, Outbox, Outgoing, Route, SUMMARIES_PARTITIONS};
use crate::event::wire;
use crate::join::Join;
use crate::observe::{Observe, SourceCommit};
use crate::stage::{Incoming, Stage};

/// One value of each stage and partition.
#[derive(Debug)]
pub struct Topology {
    observe: Observe,
    join: Vec<Seat<Join>>,
    assess: Vec<Seat<Assess>>,
    decide: Seat<Decide>,
    record: Option<Vec<Recorded>>,
}

/// A stage and the next offset of its partition.
#[derive(Debug)]
struct Seat<S> {
    stage: S,
    next_offset: i64,
}

/// A message that an internal topic would have held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// Where it went.
    pub route: Route,
    /// Broker time it was given, milliseconds.
    pub timestamp_ms: i64,
    /// Its bytes.
    pub payload: Vec<u8>,
}

impl<S: Stage> Seat<S> {
    fn new(stage: S) -> Seat<S> {
        Seat { stage, next_offset: 0 }
    }

    fn step(&mut self, message: &Outgoing, now_ms: i64, out: &mut Outbox) {
        let payload = message.payload.as_slice();
        let incoming = Incoming { offset: self.next_offset, timestamp_ms: now_ms, payload };
        self.next_offset += 1;
        self.stage.step(incoming, out);
    }
}

impl Topology {
    /// All stages, with nothing seen, for who can read partitions in an order of their choice.
    #[must_use]
    pub fn paced(plan: &Arc<Plan>) -> Topology {
        Topology { observe: Observe::paced(Arc::clone(plan)), ..Topology::new(plan) }
    }

    /// All stages, with nothing seen.
    #[must_use]
    pub fn new(plan: &Arc<Plan>) -> Topology {
        let join = (0..FACTS_PARTITIONS).map(|p| Seat::new(Join::new(Arc::clone(plan), p)));
        let assess = (0..SUMMARIES_PARTITIONS).map(|p| Seat::new(Assess::new(Arc::clone(plan), p)));
        Topology {
            observe: Observe::new(Arc::clone(plan)),
            join: join.collect(),
            assess: assess.collect(),
            decide: Seat::new(Decide::new(Arc::clone(plan))),
            record: None,
        }
    }

    /// Keeps every internal message from now on.
    pub fn start_recording(&mut self) {
        self.record = Some(Vec::new());
    }

    /// What was recorded.
    #[must_use]
    pub fn recorded(&self) -> &[Recorded] {
        self.record.as_deref().unwrap_or_default()
    }

    /// The first stage, to hand records to.
    pub fn observe(&mut self) -> &mut Observe {
        &mut self.observe
    }

    /// Commits observe and carries what it says through the other stages. `now_ms` is the broker
    /// time all of it gets. Quarantined records, public events and notes go to `out`.
    pub fn commit(&mut self, now_ms: i64, out: &mut Outbox) -> Vec<SourceCommit> {
        let mut said = Outbox::default();
        let commits = self.observe.commit(&mut said);
        self.carry(said, now_ms, out);
        let mut joined = Outbox::default();
        for seat in &mut self.join {
            seat.stage.commit(seat.next_offset, &mut joined);
        }
        self.carry(joined, now_ms, out);
        commits
    }

    /// Takes a message as an internal topic would deliver it.
    pub fn deliver(&mut self, route: Route, payload: Vec<u8>, now_ms: i64, out: &mut Outbox) {
        let message = Outgoing { route, key: None, payload, headers: Vec::new() };
        self.carry(Outbox { messages: vec![message], ..Outbox::default() }, now_ms, out);
    }

    /// Delivers messages, and what is said to them, until there is nothing left to deliver.
    fn carry(&mut self, said: Outbox, now_ms: i64, out: &mut Outbox) {
        out.events.extend(said.events);
        out.notes.extend(said.notes);
        for message in said.messages {
            if let Some(record) = &mut self.record {
                let payload = message.payload.clone();
                record.push(Recorded { route: message.route, timestamp_ms: now_ms, payload });
            }
            let mut answer = Outbox::default();
            match message.route {
                Route::Facts(p) => seat(&mut self.join, p).step(&message, now_ms, &mut answer),
                Route::Summaries(p) => {
                    seat(&mut self.assess, p).step(&message, now_ms, &mut answer)
                }
                Route::Findings => self.decide.step(&message, now_ms, &mut answer),
                Route::Layouts => {
                    let update = wire::decode::<LayoutUpdate>(&message.payload);
                    self.observe.layout(&update.expect("assess wrote it just now"));
                }
                Route::Quarantine => out.messages.push(message),
            }
            self.carry(answer, now_ms, out);
        }
    }
}

fn seat<S>(seats: &mut [Seat<S>], partition: i32) -> &mut Seat<S> {
    let index = usize::try_from(partition).expect("stages choose partitions from 0 up");
    &mut seats[index]
}
