//! A configuration that changes under windows that are open.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use crate::assess::partition_of_subject;
use crate::config::Config;
use crate::event::cell::{CellKey, ModelCellKey};
use crate::event::finding::{AlarmState, CellTable, FindingBatch};
use crate::event::layout::{Layout, LayoutUpdate};
use crate::event::progress::{Header, JoinProgress, OutcomeCounts, Progress};
use crate::event::route::Route;
use crate::event::summary::{
    CellDelta, DatasetDelta, ModelDelta, OutcomeDelta, OutcomeSums, PredictionSums, SampleDelta,
    SummaryBatch,
};
use crate::event::wire;
use crate::sketch::{FieldKind, FieldSummary, Sample, SampleValue};
use crate::stage::{Incoming, Stage, state_value};

/// One of two fields is held to a contract.
const CHANGED: &str = "only: [amount, age]\n    fields: { amount: { min: 0 } }";
const HOLD_MS: i64 = 50_000;
const ORDERS: fn() -> Subject = || Subject::Dataset("orders".into());
const FRAUD: fn() -> Subject = || Subject::Model("fraud".into());

/// A plan with windows of so many seconds.
fn plan(window_s: i64) -> Arc<Plan> {
    plan_of(window_s, "only: [amount, age]")
}

fn plan_of(window_s: i64, fields: &str) -> Arc<Plan> {
    let text = format!(
        "app: drain
kafka: {{ bootstrap_servers: \"127.0.0.1:9092\" }}
datasets:
  orders:
    topic: orders
    event_time: {{ field: at }}
    window: {{ size: {window_s}s, lateness: 1s }}
    {fields}
models:
  fraud:
    predictions: {{ topic: scores, id: id, score: p, decision: {{ score_above: 0.5 }}, time: at }}
    outcomes:
      {{ topic: labels, id: id, label: l, positive: true, time: at, absent: unknown,
        horizon: 60s }}
    inputs: {{ orders: [amount] }}
hold_max: {HOLD_MS}ms
"
    );
    let planned = Config::parse(&text, "drain.yaml").and_then(|config| config.plan());
    Arc::new(planned.unwrap_or_else(|error| panic!("{error}")).0)
}

/// An assess, its state topic and what it said.
struct Bench {
    subject: Subject,
    assess: Assess,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    now_ms: i64,
    offset: i64,
    read_to: i64,
    counts: BTreeMap<&'static str, u64>,
    /// Ends of windows that were judged, in seconds, and their rows.
    closed: Vec<(i64, u64)>,
    items: Vec<FindingItem>,
    layout: Option<Layout>,
}

impl Bench {
    fn new(subject: Subject, plan: &Arc<Plan>) -> Bench {
        let shard = partition_of_subject(&subject);
        Bench {
            subject,
            assess: Assess::new(Arc::clone(plan), shard),
            state: BTreeMap::new(),
            now_ms: 1_000_000,
            offset: 0,
            read_to: 0,
            counts: BTreeMap::new(),
            closed: Vec::new(),
            items: Vec::new(),
            layout: None,
        }
    }

    fn step(&mut self, batch: &SummaryBatch) {
        let payload = wire::encode(batch);
        let (offset, timestamp_ms) = (self.offset, self.now_ms);
        let mut out = Outbox::default();
        self.assess.step(Incoming { offset, timestamp_ms, payload: &payload }, &mut out);
        self.offset += 1;
        for note in out.notes {
            match note {
                Note::Count { name, n, .. } => *self.counts.entry(name).or_default() += n,
                Note::WindowClosed { subject, end_ms, rows }
                    if subject == self.subject.to_string() =>
                {
                    self.closed.push((end_ms / 1_000, rows));
                }
                Note::WindowClosed { .. } | Note::Undecodable { .. } | Note::Learning { .. } => {}
            }
        }
        for message in &out.messages {
            if message.route == Route::Layouts {
                let update: LayoutUpdate = wire::decode(&message.payload).expect("ours");
                self.layout = update.layout;
                continue;
            }
            let batch: FindingBatch = wire::decode(&message.payload).expect("ours");
            self.items.extend(batch.items);
        }
    }

    /// Rows counted under a plan, in the window that begins at so many seconds.
    fn rows(&mut self, plan: &Plan, window_s: i64, rows: u64) {
        let window = EventTime(window_s * 1_000);
        let mut batch = SummaryBatch::default();
        match &self.subject {
            Subject::Dataset(name) => {
                let key = CellKey { producer: "a".into(), schema_version: "1".into() };
                let cell = CellDelta { key, rows, max_event_time: window, fields: Vec::new() };
                batch.datasets.push(DatasetDelta {
                    dataset: name.clone(),
                    definition: plan.datasets[name].definition,
                    window,
                    layout: None,
                    evicted_from: None,
                    cells: vec![cell],
                });
            }
            Subject::Model(name) => {
                let mut sums = PredictionSums::default();
                (0..rows).for_each(|_| sums.add(Some(0.9), true));
                batch.models.push(ModelDelta {
                    model: name.clone(),
                    definition: plan.models[name].definition,
                    window,
                    evicted_from: None,
                    cells: vec![(key(), sums)],
                });
            }
        }
        self.step(&batch);
    }

    /// A window of 300 orders whose ages are multiplied; with samples while there is no layout.
    fn orders(&mut self, plan: &Plan, window_s: i64, factor: f64) {
        let layouts = self.layout.as_ref().map(|layout| &layout.fields);
        let mut samples =
            BTreeMap::from([("age", Sample::default()), ("amount", Sample::default())]);
        let mut fields = Vec::new();
        for (path, sample) in &mut samples {
            let layout = layouts.and_then(|layouts| layouts.get(*path));
            let mut summary = FieldSummary::new(FieldKind::Numeric, layout);
            for n in 0..300_u64 {
                let value = (n * 7 % 300) as f64 * if *path == "age" { factor } else { 1.0 } + 1.0;
                summary.add_number(value, layout);
                sample.add(
                    xxhash_rust::xxh3::xxh3_64(format!("{path}{n}").as_bytes()),
                    SampleValue::Number(value),
                );
            }
            fields.push(((*path).to_owned(), summary));
        }
        let (window, definition) =
            (EventTime(window_s * 1_000), plan.datasets["orders"].definition);
        let key = CellKey { producer: "a".into(), schema_version: "1".into() };
        let cell = CellDelta { key, rows: 300, max_event_time: window, fields };
        let delta = DatasetDelta {
            dataset: "orders".into(),
            definition,
            window,
            layout: self.layout.as_ref().map(|layout| layout.id),
            evicted_from: None,
            cells: vec![cell],
        };
        let samples = samples.into_iter().filter(|_| self.layout.is_none());
        let samples = samples.map(|(path, sample)| SampleDelta {
            dataset: "orders".into(),
            definition,
            field: path.into(),
            sample,
        });
        let samples = samples.collect();
        self.step(&SummaryBatch { datasets: vec![delta], samples, ..SummaryBatch::default() });
        self.read(window_s + 12);
    }

    fn drifting(&self) -> Vec<&str> {
        let opened = self.items.iter().filter_map(|item| match item {
            FindingItem::Alarm(alarm) if alarm.state == AlarmState::Opened => Some(&**alarm),
            _ => None,
        });
        opened.map(|alarm| alarm.finding.series.field.as_str()).collect()
    }

    /// All sources have been read up to so many seconds.
    fn read(&mut self, to_s: i64) {
        let line = |topic: &str| Progress {
            topic: topic.into(),
            partition: 0,
            partition_count: 1,
            from: self.read_to,
            to: to_s,
            counts: OutcomeCounts::default(),
            max_event_time: Some(EventTime(to_s * 1_000)),
            newest_append_ms: Some(self.now_ms),
            at_end: false,
        };
        let header = Header::Observe(["orders", "scores", "labels"].map(line).to_vec());
        self.read_to = to_s;
        self.step(&SummaryBatch { header: Some(header), ..SummaryBatch::default() });
    }

    /// The join has come to so many seconds, and labels so many predictions of a plan's window.
    fn joined(&mut self, plan: &Plan, (window_s, n): (i64, u64), to_s: i64) {
        let mut sums = OutcomeSums::default();
        (0..n).for_each(|_| sums.add(true, false));
        let labelled = OutcomeDelta {
            model: "fraud".into(),
            window: EventTime(window_s * 1_000),
            key: key(),
            age: 0,
            sums,
            definition: Some(plan.models["fraud"].definition),
        };
        self.step(&SummaryBatch { outcomes: vec![labelled], ..SummaryBatch::default() });
        for partition in 0..8 {
            let progress = JoinProgress {
                partition,
                partition_count: 8,
                from: 0,
                to: 0,
                clocks: vec![("fraud".into(), EventTime(to_s * 1_000))],
            };
            let header = Some(Header::Join(progress));
            self.step(&SummaryBatch { header, ..SummaryBatch::default() });
        }
    }

    fn save(&mut self) {
        for (key, value) in self.assess.checkpoint() {
            match value {
                Some(value) => self.state.insert(key, value),
                None => self.state.remove(&key),
            };
        }
    }

    /// Stops after a checkpoint and starts with a plan.
    fn restart(&mut self, plan: &Arc<Plan>) {
        self.save();
        self.assess = Assess::new(Arc::clone(plan), partition_of_subject(&self.subject));
        for (key, value) in &self.state {
            self.assess.restore(key, value).expect("its own entries");
        }
        self.assess.replayed("");
    }

    /// Definitions of the subject that the state topic holds anything of.
    fn definitions(&mut self) -> BTreeSet<u64> {
        self.save();
        let keys = self.state.keys().map(|key| state_value::<Key>(key, "key").expect("ours"));
        let of = keys.filter_map(|key| match key {
            Key::Dataset(name, definition, _) => Some((Subject::Dataset(name), definition)),
            Key::Model(name, definition, _) => Some((Subject::Model(name), definition)),
            Key::Ledger | Key::Breaks | Key::Strays | Key::Gaps | Key::Piece(..) => None,
        });
        of.filter(|(of, _)| *of == self.subject).map(|(_, definition)| definition).collect()
    }

    fn tables(&self) -> Vec<&CellTable> {
        let tables = self.items.iter().filter_map(|item| match item {
            FindingItem::Cells(table) => Some(&**table),
            _ => None,
        });
        tables.collect()
    }
}

fn key() -> ModelCellKey {
    ModelCellKey { model_version: "7".into(), exposure: Vec::new() }
}

#[test]
fn windows_of_an_old_definition_close_by_the_watermark_and_leave_nothing_behind() {
    for subject in [ORDERS(), FRAUD()] {
        let (old, new) = (plan(10), plan(20));
        let mut bench = Bench::new(subject.clone(), &old);
        for window in 0..4 {
            bench.rows(&old, window * 10, 100);
        }
        bench.read(32);
        bench.restart(&new);
        bench.rows(&old, 20, 7);
        bench.rows(&new, 40, 300);
        bench.read(62);

        assert_eq!(bench.closed, [(10, 100), (20, 100), (30, 100), (40, 100), (60, 300)]);
        let late = match &subject {
            // What the new definition is held against is amended no more; rates still are.
            Subject::Dataset(_) => BTreeMap::from([("window_gone", 7)]),
            Subject::Model(_) => BTreeMap::new(),
        };
        assert_eq!(bench.counts, late);
        bench.joined(&new, (40, 1), 200);
        bench.now_ms += HOLD_MS + 1;
        bench.read(63);
        let home = |plan: &Plan| match &subject {
            Subject::Dataset(name) => plan.datasets[name].definition,
            Subject::Model(name) => plan.models[name].definition,
        };
        assert_eq!(bench.definitions(), BTreeSet::from([home(&new)]), "{subject}");
    }
}

#[test]
fn a_window_that_two_definitions_share_is_judged_under_neither() {
    for subject in [ORDERS(), FRAUD()] {
        let (old, new) = (plan(10), plan(20));
        let mut bench = Bench::new(subject, &old);
        bench.rows(&old, 0, 100);
        bench.rows(&old, 10, 60);
        bench.restart(&new);
        bench.rows(&new, 0, 40);
        bench.rows(&new, 20, 300);
        bench.read(42);

        assert_eq!(bench.closed, [(40, 300)]);
        assert_eq!(bench.counts["window_split"], 200, "and nothing is lost in silence");
    }
}

#[test]
fn what_is_counted_under_a_definition_not_known_yet_is_held_until_it_is_the_plans() {
    for subject in [ORDERS(), FRAUD()] {
        let (old, new) = (plan(10), plan(20));
        let mut bench = Bench::new(subject, &old);
        bench.rows(&old, 0, 100);
        bench.rows(&old, 10, 100);
        bench.rows(&new, 20, 200);
        bench.rows(&new, 40, 200);
        bench.read(62);
        assert_eq!(bench.closed, [(10, 100), (20, 100)]);

        bench.restart(&new);
        bench.rows(&new, 40, 5);
        bench.read(63);

        assert_eq!(bench.closed[2..], [(40, 200), (60, 205)]);
        assert_eq!(bench.counts.get("definition_other"), None);
    }
}

/// Processes that assess may be the first to have a new configuration.
#[test]
fn an_old_definition_without_anything_open_is_known_as_long_as_a_change_goes_round() {
    for subject in [ORDERS(), FRAUD()] {
        let (old, new) = (plan(10), plan(20));
        let mut bench = Bench::new(subject, &old);
        bench.rows(&old, 0, 100);
        bench.read(12);
        bench.joined(&old, (0, 1), 100);
        bench.restart(&new);
        bench.read(13);
        bench.rows(&old, 10, 100);
        bench.read(22);

        assert_eq!(bench.closed, [(10, 100), (20, 100)]);
        assert_eq!(bench.counts, BTreeMap::new());
    }
}

#[test]
fn two_definitions_for_longer_than_the_hold_are_a_mismatch_and_no_longer_taken() {
    for subject in [ORDERS(), FRAUD()] {
        let (old, new) = (plan(10), plan(20));
        let mut bench = Bench::new(subject, &old);
        bench.rows(&new, 0, 10);
        bench.now_ms += HOLD_MS;
        bench.rows(&new, 20, 10);
        let mismatches = |bench: &Bench| {
            let over = bench.items.iter().filter_map(|item| match item {
                FindingItem::Mismatch(mismatch) => Some(mismatch.over),
                _ => None,
            });
            over.collect::<Vec<bool>>()
        };
        assert!(mismatches(&bench).is_empty(), "a change goes round");

        bench.now_ms += 1;
        bench.rows(&new, 20, 10);
        bench.rows(&new, 20, 10);
        bench.read(1);
        assert_eq!(mismatches(&bench), [false], "told once");
        assert_eq!(bench.counts["definition_other"], 40, "and what was held is let go");

        bench.now_ms += HOLD_MS + 1;
        bench.read(2);
        assert_eq!(mismatches(&bench), [false, true]);
    }
}

#[test]
fn a_change_and_back_is_two_changes() {
    let (old, new) = (plan(10), plan(20));
    let mut bench = Bench::new(ORDERS(), &old);
    bench.rows(&old, 0, 100);
    bench.read(12);
    bench.restart(&new);
    bench.rows(&new, 20, 200);
    bench.restart(&old);
    bench.rows(&old, 40, 100);
    bench.read(62);

    assert_eq!(bench.closed, [(10, 100), (40, 200), (50, 100)]);
    assert_eq!(bench.counts, BTreeMap::new());
}

#[test]
fn more_definitions_than_are_kept_are_counted() {
    let plans: Vec<Arc<Plan>> = (1..=4).map(|window| plan(window * 10)).collect();
    let mut bench = Bench::new(ORDERS(), &plans[0]);
    for plan in &plans[1..] {
        bench.rows(plan, 0, 10);
    }

    assert_eq!(bench.counts, BTreeMap::from([("definition_other", 10)]));
    bench.restart(&plans[3]);
    bench.read(1);
    // The first of the plans has nothing to drain; the others were never the plan's.
    assert_eq!(bench.counts, BTreeMap::from([("definition_other", 10)]));
}

#[test]
fn outcomes_of_an_old_definition_ripen_its_windows_and_no_others() {
    let (old, new) = (plan(10), plan(20));
    let mut bench = Bench::new(FRAUD(), &old);
    bench.rows(&old, 0, 100);
    bench.read(12);
    bench.restart(&new);
    bench.rows(&new, 20, 100);
    bench.read(42);
    bench.joined(&old, (0, 95), 45);

    let ripe = bench.tables().into_iter().filter(|table| table.revision > 0);
    let ripe: Vec<(i64, u64)> =
        ripe.map(|table| (table.window_start.0 / 1_000, table.cells[0].2.labelled)).collect();
    assert_eq!(ripe, [(0, 95)]);
    assert!(bench.tables().iter().all(|table| table.complete));
}

#[test]
fn a_window_whose_labels_mean_something_else_by_now_is_incomplete() {
    let old = plan(10);
    let mut relabelled = (*plan(20)).clone();
    let fraud = relabelled.models.get_mut("fraud").expect("the model");
    fraud.outcomes.as_mut().expect("outcomes").positive = vec!["yes".into()];
    let mut bench = Bench::new(FRAUD(), &old);
    bench.rows(&old, 0, 100);
    bench.rows(&old, 10, 100);
    bench.read(12);
    bench.restart(&Arc::new(relabelled));
    bench.read(42);
    bench.joined(&old, (0, 95), 45);

    let complete: Vec<(i64, bool)> =
        bench.tables().iter().map(|table| (table.window_start.0 / 1_000, table.complete)).collect();
    assert_eq!(complete, [(0, true), (10, false), (0, false)]);
}

#[test]
fn a_field_that_is_counted_as_before_keeps_its_layout_and_its_baseline() {
    let (old, new) = (plan(10), plan_of(10, CHANGED));
    let mut bench = Bench::new(ORDERS(), &old);
    let ready = 30;
    for window in 0..ready {
        bench.orders(&old, window * 10, 1.0);
    }
    let before = bench.layout.take().expect("a layout is learnt");

    bench.restart(&new);
    let mut window = ready;
    while bench.layout.is_none() {
        assert!(window < ready + 10, "the other field is learnt anew");
        bench.orders(&new, window * 10, 1.0);
        window += 1;
    }
    let after = bench.layout.clone().expect("a layout is learnt");
    assert_eq!(after.fields.get("age"), before.fields.get("age"));
    assert!(after.fields.contains_key("amount"));
    // Crashing loses nothing of it.
    bench.restart(&new);
    for drifted in window..window + 2 {
        bench.orders(&new, drifted * 10, 3.0);
    }

    assert_eq!(bench.drifting().iter().filter(|field| **field != "age").count(), 0);
    assert!(bench.drifting().contains(&"age"), "two windows are enough: {:?}", bench.items.len());
}

#[test]
fn where_the_same_counts_layout_and_baseline_stay_and_the_layout_is_told_anew() {
    let (old, new) = (plan(10), plan(20));
    let mut bench = Bench::new(ORDERS(), &old);
    for window in 0..30 {
        bench.orders(&old, window * 10, 1.0);
    }
    let before = bench.layout.take().expect("a layout is learnt");

    bench.restart(&new);
    bench.read(312);

    let after = bench.layout.clone().expect("it is told with the first message");
    assert_eq!((after.id, &after.fields), (before.id, &before.fields));
    for window in 0..2 {
        bench.orders(&new, 320 + window * 20, 3.0);
    }
    bench.read(362);
    assert!(bench.drifting().contains(&"age"));
}
