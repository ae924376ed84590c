//! The scheduler: whose turn it is, what time it is, what goes wrong. A function of a seed.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use driftline::assess::Assess;
use driftline::config::plan::Plan;
use driftline::decide::Decide;
use driftline::join::Join;

use super::broker::{Broker, Flaws, Given, Place};
use super::member::{Context, Fate, Instance, Turn};
use super::observer::Observer;
use super::source::{HOLD_MS, Row, SOURCES, START, Source};
use super::worker::Worker;
use crate::support::random::Random;

/// Steps kept for the message of a failure.
const STEPS_KEPT: usize = 60;
/// Longest a process is down or stopped.
const DOWN_MS: u64 = 25_000;
/// Longest all of an instance's transactions are aborted.
const SICK_MS: u64 = 300_000;
/// Rounds without faults by which everything must have come to rest.
const ROUNDS_MOST: u32 = 600;

/// What a world may be told to do wrong, so that the checker can be seen to notice.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mutation {
    pub broker: Flaws,
    /// A stage begins after a crash with its checkpoint alone, or with nothing.
    pub skips_replay: bool,
}

/// The users' topics as far as they have been written.
pub struct Sources<'a> {
    source: &'a Source,
    rows: BTreeMap<Place, Vec<usize>>,
    now_ms: i64,
}

impl<'a> Sources<'a> {
    fn new(source: &'a Source) -> Sources<'a> {
        let mut rows: BTreeMap<Place, Vec<usize>> = BTreeMap::new();
        for (index, row) in source.rows.iter().enumerate() {
            rows.entry(row.place).or_default().push(index);
        }
        Sources { source, rows, now_ms: START }
    }

    pub fn end(&self, place: Place) -> i64 {
        let rows = self.rows.get(&place).map_or(&[][..], Vec::as_slice);
        let written = rows.partition_point(|row| self.source.rows[*row].append_ms <= self.now_ms);
        written as i64
    }

    pub fn row(&self, place: Place, offset: i64) -> &Row {
        &self.source.rows[self.rows[&place][offset as usize]]
    }

    pub fn partitions(&self, topic: &str) -> i32 {
        let grown = self
            .source
            .grows
            .is_some_and(|(grown, from_ms)| grown == topic && self.now_ms >= from_ms);
        self.source.partitions[topic] + i32::from(grown)
    }

    fn counts(&self) -> Vec<(&'static str, i32)> {
        SOURCES.iter().map(|topic| (*topic, self.partitions(topic))).collect()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Observe,
    Join,
    Assess,
    Decide,
}

enum Process {
    Observe(Box<Observer>),
    Join(Worker<Join>),
    Assess(Worker<Assess>),
    Decide(Worker<Decide>),
}

impl Process {
    fn start(role: Role, plan: &Arc<Plan>, slot: &str, broker: &mut Broker) -> Process {
        let plan = Arc::clone(plan);
        match role {
            Role::Observe => Process::Observe(Box::new(Observer::start(&plan, slot, broker))),
            Role::Join => {
                let fresh = Box::new(move |partition| Join::new(Arc::clone(&plan), partition));
                Process::Join(Worker::start(fresh, ("facts", "none"), slot, broker))
            }
            Role::Assess => {
                let fresh = Box::new(move |partition| Assess::new(Arc::clone(&plan), partition));
                Process::Assess(Worker::start(fresh, ("summaries", "state-assess"), slot, broker))
            }
            Role::Decide => {
                let fresh = Box::new(move |_| Decide::new(Arc::clone(&plan)));
                Process::Decide(Worker::start(fresh, ("findings", "state-decide"), slot, broker))
            }
        }
    }

    fn turn(&mut self, context: &mut Context<'_>) -> Turn {
        match self {
            Process::Observe(process) => process.turn(context),
            Process::Join(process) => process.turn(context),
            Process::Assess(process) => process.turn(context),
            Process::Decide(process) => process.turn(context),
        }
    }

    fn leave(&self, broker: &mut Broker) {
        match self {
            Process::Observe(process) => process.leave(broker),
            Process::Join(process) => process.leave(broker),
            Process::Assess(process) => process.leave(broker),
            Process::Decide(process) => process.leave(broker),
        }
    }
}

/// A slot: a process, or the place of one that is down.
struct Slot {
    name: String,
    role: Role,
    process: Option<Process>,
    /// Down or stopped until then.
    until_ms: i64,
    /// It was stopped and does not know how long.
    unaware: bool,
    /// Its transactions are aborted until then, while its group sees it alive.
    sick_until_ms: i64,
    /// It has left for good.
    gone: bool,
    /// It has the new configuration.
    knows: bool,
}

/// How often things go wrong: one in so many turns; 0 is never.
#[derive(Clone, Copy, Debug)]
struct Faults {
    crash: u64,
    abort: u64,
    stop: u64,
    sicken: u64,
    scale: u64,
}

/// What went wrong, counted.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub crashes: u64,
    pub aborts: u64,
    pub stops: u64,
    pub sick: u64,
    pub joined: u64,
    pub left: u64,
    pub reconfigured: u64,
    pub turns: u64,
}

/// A step, for the message of a failure.
#[derive(Clone, Copy, Debug)]
struct Step {
    now_ms: i64,
    slot: usize,
    what: &'static str,
    turn: Option<Turn>,
}

/// A run in progress.
pub struct World<'a> {
    pub broker: Broker,
    pub counts: Counts,
    sources: Sources<'a>,
    /// The configuration, and the one that follows.
    plans: [Arc<Plan>; 2],
    /// When the second begins to go round.
    changes_at_ms: Option<i64>,
    slots: Vec<Slot>,
    random: Random,
    faults: Faults,
    mutation: Mutation,
    steps: VecDeque<Step>,
    /// When the groups find out that a topic has grown.
    grown_at_ms: Option<i64>,
}

impl<'a> World<'a> {
    /// A world that has not begun. `seeded` is what topics hold beforehand.
    /// With `changes` its configuration is replaced while it runs, one process after the other.
    pub fn new(
        source: &'a Source,
        seeded: &[Given],
        seed: u64,
        (mutation, changes): (Mutation, bool),
    ) -> World<'a> {
        let mut random = Random::new(seed);
        let mut pick = |choices: [u64; 4]| choices[(random.bits() % 4) as usize];
        let faults = Faults {
            crash: pick([0, 300, 80, 25]),
            abort: pick([0, 200, 50, 12]),
            stop: pick([0, 400, 120, 40]),
            sicken: pick([0, 0, 600, 200]),
            scale: pick([0, 0, 400, 120]),
        };
        let mut broker = Broker::default();
        broker.flaws = mutation.broker;
        broker.set_now(START);
        for (place, key, payload) in seeded {
            broker.seed(*place, key.clone(), payload.clone());
        }
        let sources = Sources::new(source);
        broker.group("observe").learn(sources.counts(), START);
        broker.group("join").learn(vec![("facts", 8)], START);
        broker.group("assess").learn(vec![("summaries", 8)], START);
        broker.group("decide").learn(vec![("findings", 1)], START);
        let late = (random.bits() % 5_000) as i64;
        let grown_at_ms = source.grows.map(|(_, at_ms)| at_ms + late);
        let span = (source.last_append_ms() - START).unsigned_abs();
        let changes_at_ms = changes.then(|| START + (random.bits() % span) as i64);
        let mut world = World {
            broker,
            counts: Counts::default(),
            sources,
            plans: [Arc::clone(&source.plan), Arc::clone(&source.plan_after)],
            changes_at_ms,
            slots: Vec::new(),
            random,
            faults,
            mutation,
            steps: VecDeque::new(),
            grown_at_ms,
        };
        for (role, most) in
            [(Role::Observe, 3), (Role::Join, 2), (Role::Assess, 2), (Role::Decide, 2)]
        {
            for _ in 0..=world.random.bits() % most {
                world.add(role);
            }
        }
        world
    }

    /// The last steps, for the message of a failure.
    pub fn last_steps(&self) -> String {
        let lines = self.steps.iter().map(|step| {
            let Step { now_ms, slot, what, turn } = step;
            let seconds = (now_ms - START) as f64 / 1_000.0;
            let turn = turn.map_or(String::new(), |turn| format!("{turn:?}"));
            format!("  {seconds:9.3} s  {:<10} {what} {turn}", self.slots[*slot].name)
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// Next offset of each source partition.
    pub fn ends(&self) -> BTreeMap<(String, i32), i64> {
        let counts = self.sources.counts();
        let places = counts.iter().flat_map(|(topic, count)| (0..*count).map(|p| (*topic, p)));
        places.map(|place| ((place.0.to_owned(), place.1), self.sources.end(place))).collect()
    }

    /// Runs until all is written, with faults; then without, until all is read; then until the
    /// silence has been noticed.
    pub fn run(&mut self) -> Result<(), String> {
        let end_ms = self.sources.source.last_append_ms() + 30_000;
        while self.sources.now_ms < end_ms {
            let turns = self.slots.len() as u64;
            for _ in 0..turns {
                let slot = (self.random.bits() % turns) as usize;
                let ms = (self.random.bits() % 700) as i64;
                self.pass(ms);
                self.disturbed_turn(slot);
                self.settle_groups();
            }
        }
        self.rest()?;
        self.pass(HOLD_MS + 1_000);
        for slot in 0..self.slots.len() {
            self.calm_turn(slot, true);
        }
        self.rest()
    }

    fn add(&mut self, role: Role) {
        let name = format!("{role:?}-{}", self.slots.len()).to_lowercase();
        let (process, until_ms) = (None, self.sources.now_ms);
        self.slots.push(Slot {
            name,
            role,
            process,
            until_ms,
            unaware: false,
            sick_until_ms: until_ms,
            gone: false,
            knows: false,
        });
    }

    fn pass(&mut self, ms: i64) {
        self.sources.now_ms += ms;
        self.broker.set_now(self.sources.now_ms);
        if self.grown_at_ms.is_some_and(|at_ms| at_ms <= self.sources.now_ms) {
            self.grown_at_ms = None;
            let counts = self.sources.counts();
            self.broker.group("observe").learn(counts, self.sources.now_ms);
        }
    }

    fn settle_groups(&mut self) {
        for group in ["observe", "join", "assess", "decide"] {
            self.broker.group(group).tick(self.sources.now_ms);
        }
    }

    fn one_in(&mut self, n: u64) -> bool {
        n > 0 && self.random.one_in(n)
    }

    fn fate(&mut self) -> Fate {
        if self.one_in(self.faults.crash) {
            return [Fate::CrashBefore, Fate::CrashOpen, Fate::CrashAfter]
                [(self.random.bits() % 3) as usize];
        }
        if self.one_in(self.faults.abort) { Fate::Abort } else { Fate::Fine }
    }

    fn disturbed_turn(&mut self, index: usize) {
        let now_ms = self.sources.now_ms;
        if self.slots[index].gone || self.slots[index].until_ms > now_ms {
            return;
        }
        if self.is_behind(index) && self.random.one_in(8) {
            self.reconfigure(index);
            return;
        }
        if self.one_in(self.faults.scale) {
            self.scale(index);
            return;
        }
        if self.one_in(self.faults.stop) && self.slots[index].process.is_some() {
            self.counts.stops += 1;
            let ms = (self.random.bits() % DOWN_MS) as i64;
            let slot = &mut self.slots[index];
            (slot.until_ms, slot.unaware) = (now_ms + ms, true);
            self.note(index, "stops", None);
            return;
        }
        if self.one_in(self.faults.sicken) {
            self.counts.sick += 1;
            let ms = (self.random.bits() % SICK_MS) as i64;
            self.slots[index].sick_until_ms = now_ms + ms;
            self.note(index, "is sick", None);
        }
        let sick = self.slots[index].sick_until_ms > now_ms;
        let fate = if sick { Fate::Abort } else { self.fate() };
        let (turn, left) = self.turn(index, fate, false, false);
        self.counts.aborts += u64::from(fate == Fate::Abort && left == Fate::Fine);
        let dies = matches!(fate, Fate::CrashBefore | Fate::CrashOpen | Fate::CrashAfter);
        if turn == Turn::Crashed || dies {
            self.counts.crashes += 1;
            let ms = if self.random.one_in(2) { 0 } else { self.random.bits() % DOWN_MS };
            let slot = &mut self.slots[index];
            slot.process = None;
            slot.until_ms = now_ms + ms as i64;
            self.note(index, "dies", None);
        }
    }

    /// Whether a slot still has the configuration that is being replaced.
    fn is_behind(&self, index: usize) -> bool {
        let slot = &self.slots[index];
        let changes = self.changes_at_ms.is_some_and(|at_ms| at_ms <= self.sources.now_ms);
        changes && !slot.knows && !slot.gone
    }

    /// Ends a process; the next one in its slot has the new configuration.
    fn reconfigure(&mut self, index: usize) {
        self.counts.reconfigured += 1;
        let slot = &mut self.slots[index];
        (slot.process, slot.knows) = (None, true);
        self.note(index, "is reconfigured", None);
    }

    fn scale(&mut self, index: usize) {
        let role = self.slots[index].role;
        let alive = self.slots.iter().filter(|slot| slot.role == role && !slot.gone).count();
        if alive < 3 {
            self.counts.joined += 1;
            self.add(role);
            self.note(self.slots.len() - 1, "is added", None);
        } else if let Some(process) = self.slots[index].process.take() {
            self.counts.left += 1;
            process.leave(&mut self.broker);
            self.slots[index].gone = true;
            self.note(index, "leaves", None);
        }
    }

    /// A turn, and the fate that was not met.
    fn turn(&mut self, index: usize, fate: Fate, thorough: bool, even_empty: bool) -> (Turn, Fate) {
        let slot = &mut self.slots[index];
        let unaware = std::mem::take(&mut slot.unaware);
        let starts = slot.process.is_none();
        let process = slot.process.get_or_insert_with(|| {
            let plan = &self.plans[usize::from(slot.knows)];
            Process::start(slot.role, plan, &slot.name, &mut self.broker)
        });
        let mut context = Context {
            broker: &mut self.broker,
            sources: &self.sources,
            random: &mut self.random,
            fate,
            thorough,
            even_empty,
            unaware: unaware && !starts,
            skips_replay: self.mutation.skips_replay,
        };
        let turn = process.turn(&mut context);
        let left = context.fate;
        self.counts.turns += 1;
        self.note(index, if starts { "starts" } else { "goes on" }, Some(turn));
        (turn, left)
    }

    fn calm_turn(&mut self, index: usize, even_empty: bool) -> bool {
        if self.slots[index].gone {
            return false;
        }
        if self.is_behind(index) {
            self.reconfigure(index);
        }
        let (turn, _) = self.turn(index, Fate::Fine, true, even_empty);
        turn != Turn::Idle
    }

    /// Rounds without faults until nothing moves any more, and nothing is left open.
    fn rest(&mut self) -> Result<(), String> {
        let mut still = 0;
        for _ in 0..ROUNDS_MOST {
            self.pass(1_000);
            let mut moved = false;
            for slot in 0..self.slots.len() {
                moved |= self.calm_turn(slot, false);
                self.settle_groups();
            }
            still = if moved { 0 } else { still + 1 };
            // Longer than any transaction or session that somebody left behind.
            if still > 30 {
                return Ok(());
            }
        }
        Err(format!("does not come to rest within {ROUNDS_MOST} rounds"))
    }

    fn note(&mut self, slot: usize, what: &'static str, turn: Option<Turn>) {
        if self.steps.len() == STEPS_KEPT {
            self.steps.pop_front();
        }
        self.steps.push_back(Step { now_ms: self.sources.now_ms, slot, what, turn });
    }
}
