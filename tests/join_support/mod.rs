//! A plan with one model, and facts to feed its join with.

pub(crate) mod history;

use std::collections::BTreeMap;
use std::sync::Arc;

use driftline::config::plan::{
    Absent, Covers, Decision, Limits, Locator, ModelPlan, OutcomePlan, Plan, PredictionPlan,
    TimeBounds, TimeSource,
};
use driftline::config::values::ValuesPlan;
use driftline::event::cell::{ModelCellKey, Origin};
use driftline::event::fact::{
    FactBatch, FactCell, FactTerms, OutcomeFact, PredictionFact, fact_id,
};
use driftline::event::progress::{OutcomeCounts, Progress};
use driftline::event::route::{Note, Outbox};
use driftline::event::summary::{OutcomeDelta, OutcomeSums, SummaryBatch};
use driftline::event::time::{EventTime, WindowSize};
use driftline::event::wire;
use driftline::join::Join;
use driftline::stage::{Incoming, Stage};

pub(crate) const HORIZON_MS: i64 = 100;
pub(crate) const WINDOW_MS: i64 = 10;
pub(crate) const LATENESS_MS: i64 = 5;
pub(crate) const HOLD_MAX_MS: i64 = 50;
/// What the clock stays behind the headers.
pub(crate) const DISORDER_MS: i64 = WINDOW_MS + LATENESS_MS;
pub(crate) const SOURCE_PARTITIONS: i32 = 2;

/// Everything known of a cell.
pub(crate) type Sums = BTreeMap<(EventTime, ModelCellKey), OutcomeSums>;
/// Operators' counts by name.
pub(crate) type Counts = BTreeMap<&'static str, u64>;

pub(crate) fn plan(absent: Absent, waiting: usize) -> Arc<Plan> {
    let field = |name: &str| Locator::Field(name.into());
    let model = ModelPlan {
        name: "fraud".into(),
        predictions: PredictionPlan {
            topic: "scores".into(),
            id: field("tx_id"),
            score: Some(field("p_fraud")),
            decision: Decision::ScoreAbove(0.8),
            version: None,
            time: TimeSource::Record,
            exposure: BTreeMap::new(),
        },
        outcomes: Some(OutcomePlan {
            topic: "labels".into(),
            id: field("tx_id"),
            label: field("is_fraud"),
            positive: vec!["true".into()],
            time: TimeSource::Record,
            covers: Covers::All,
            absent,
            horizon_ms: HORIZON_MS,
        }),
        inputs: BTreeMap::new(),
        window: window(),
        lateness_ms: LATENESS_MS,
        bounds: TimeBounds { past_ms: i64::MAX, future_ms: i64::MAX },
        definition: 1,
    };
    Arc::new(Plan {
        app: "test".into(),
        datasets: BTreeMap::new(),
        models: BTreeMap::from([("fraud".to_owned(), model)]),
        act_within_ms: 1_000,
        hold_max_ms: HOLD_MAX_MS,
        values: ValuesPlan::default(),
        max_ahead: 4,
        limits: Limits {
            memory_bytes: 1 << 30,
            cells_per_window: 64,
            fields_per_dataset: 64,
            versions_per_dataset: 16,
            items_per_record: 64,
            text_bytes: 256,
            record_bytes: 1 << 20,
            depth: 16,
            pending_bytes: 8 << 20,
            prefetch_bytes: 8 << 20,
            waiting: waiting * 8,
        },
    })
}

/// One thing observe found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fact {
    /// Id, time, schema version of the exposure, flagged.
    Prediction(u64, i64, u8, bool),
    /// Id, time, positive.
    Outcome(u64, i64, bool),
}

impl Fact {
    pub(crate) fn id(&self) -> u64 {
        match self {
            Fact::Prediction(id, ..) | Fact::Outcome(id, ..) => *id,
        }
    }

    pub(crate) fn time(&self) -> i64 {
        match self {
            Fact::Prediction(_, time, ..) | Fact::Outcome(_, time, _) => *time,
        }
    }

    pub(crate) fn topic(&self) -> &'static str {
        match self {
            Fact::Prediction(..) => "scores",
            Fact::Outcome(..) => "labels",
        }
    }

    /// Source partition: by id, as a producer's key has it.
    pub(crate) fn partition(&self) -> i32 {
        (self.id() % 2) as i32
    }
}

fn window() -> WindowSize {
    WindowSize::from_ms(WINDOW_MS).expect("positive")
}

pub(crate) fn cell(version: u8) -> ModelCellKey {
    ModelCellKey {
        model_version: "7".into(),
        exposure: vec![Origin {
            dataset: "orders".into(),
            producer: "pos-7".into(),
            schema_version: version.to_string(),
        }],
    }
}

/// The message observe would write.
pub(crate) fn batch(facts: &[Fact], header: Option<Vec<Progress>>) -> FactBatch {
    let mut batch = FactBatch {
        header,
        models: vec!["fraud".into()],
        terms: Vec::new(),
        cells: Vec::new(),
        predictions: Vec::new(),
        outcomes: Vec::new(),
    };
    for fact in facts {
        let id = fact_id(fact.id().to_string().as_bytes());
        let time = EventTime(fact.time());
        match *fact {
            Fact::Prediction(_, _, version, flagged) => {
                let window = window().start_of(time);
                let wanted = FactCell { model: 0, window, key: cell(version) };
                let cells = &mut batch.cells;
                let known = cells.iter().position(|cell| *cell == wanted);
                let at = known.unwrap_or_else(|| {
                    cells.push(wanted);
                    cells.len() - 1
                });
                batch.predictions.push(PredictionFact { id, cell: at as u32, time, flagged });
            }
            Fact::Outcome(_, _, positive) => {
                batch.outcomes.push(OutcomeFact { id, model: 0, time, positive });
            }
        }
    }
    batch
}

pub(crate) fn report(topic: &str, partition: i32, newest: Option<i64>, at_end: bool) -> Progress {
    Progress {
        topic: topic.into(),
        partition,
        partition_count: SOURCE_PARTITIONS,
        from: 0,
        to: 0,
        counts: OutcomeCounts::default(),
        max_event_time: newest.map(EventTime),
        newest_append_ms: newest,
        at_end,
    }
}

/// A header by which every partition has been read up to `time`, none of them to its end.
pub(crate) fn all_at(time: i64) -> Vec<Progress> {
    ["scores", "labels"]
        .iter()
        .flat_map(|topic| (0..SOURCE_PARTITIONS).map(|p| report(topic, p, Some(time), false)))
        .collect()
}

/// A message of `facts`: payload and timestamp; its offset is its place.
pub(crate) type Message = (Vec<u8>, i64);

/// A join under test, with what it has said so far.
pub(crate) struct Bench {
    pub(crate) join: Join,
    pub(crate) next: i64,
    pub(crate) sums: Sums,
    pub(crate) counts: Counts,
    pub(crate) notes: Vec<Note>,
    /// Every message of every commit: partition and body.
    pub(crate) said: Vec<(Outbox, String)>,
}

impl Bench {
    pub(crate) fn new(plan: &Arc<Plan>) -> Bench {
        Bench {
            join: Join::new(Arc::clone(plan), 3),
            next: 0,
            sums: Sums::new(),
            counts: Counts::new(),
            notes: Vec::new(),
            said: Vec::new(),
        }
    }

    pub(crate) fn step(&mut self, message: &Message) {
        let mut out = Outbox::default();
        step(&mut self.join, self.next, message, &mut out);
        self.notes.extend(out.notes);
        self.next += 1;
    }

    /// Feeds facts counted under `terms` and a header by which everything has been read up to
    /// `time`.
    pub(crate) fn feed_under(&mut self, terms: FactTerms, facts: &[Fact], time: i64) {
        let told = FactBatch { terms: vec![terms], ..batch(facts, Some(all_at(time))) };
        self.step(&(wire::encode(&told), 0));
    }

    /// Feeds facts and a header by which everything has been read up to `time`.
    pub(crate) fn feed(&mut self, facts: &[Fact], time: i64) {
        self.step(&(wire::encode(&batch(facts, Some(all_at(time)))), 0));
    }

    /// Commits, and adds what was said to what is known.
    pub(crate) fn commit(&mut self) -> String {
        let mut out = Outbox::default();
        let metadata = self.join.commit(self.next, &mut out);
        for delta in deltas(&out) {
            self.sums.entry((delta.window, delta.key)).or_default().merge(&delta.sums);
        }
        for note in &out.notes {
            if let Note::Count { name, n, .. } = note {
                *self.counts.entry(name).or_default() += n;
            }
        }
        self.said.push((out, metadata.clone()));
        metadata
    }

    /// Loses all memory and reads it again, as a process does after a crash.
    pub(crate) fn crash(&mut self, plan: &Arc<Plan>, metadata: &str, log: &[Message]) {
        self.join = Join::new(Arc::clone(plan), 3);
        let mut thrown = Outbox::default();
        for offset in Join::replay_from(metadata, self.next)..self.next {
            step(&mut self.join, offset, &log[offset as usize], &mut thrown);
        }
        self.join.replayed(metadata);
        let _ = self.join.commit(self.next, &mut thrown);
    }

    /// Sums over all cells.
    pub(crate) fn total(&self) -> OutcomeSums {
        let mut total = OutcomeSums::default();
        for sums in self.sums.values() {
            total.merge(sums);
        }
        total
    }
}

fn step(join: &mut Join, offset: i64, message: &Message, out: &mut Outbox) {
    let (payload, timestamp_ms) = message;
    join.step(Incoming { offset, timestamp_ms: *timestamp_ms, payload }, out);
}

pub(crate) fn summaries(out: &Outbox) -> Vec<SummaryBatch> {
    out.messages
        .iter()
        .map(|message| wire::decode(&message.payload).expect("join writes summaries"))
        .collect()
}

pub(crate) fn deltas(out: &Outbox) -> Vec<OutcomeDelta> {
    summaries(out).into_iter().flat_map(|batch| batch.outcomes).collect()
}
