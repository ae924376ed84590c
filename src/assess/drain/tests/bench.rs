//! An assess whose configuration changes: what is counted comes as observe and join would say it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::*;
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

pub(super) const HOLD_MS: i64 = 50_000;

/// A plan with windows of so many seconds.
pub(super) fn plan(window_s: i64) -> Arc<Plan> {
    plan_of(window_s, "only: [amount, age]")
}

pub(super) fn plan_of(window_s: i64, fields: &str) -> Arc<Plan> {
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
pub(super) struct Bench {
    subject: Subject,
    assess: Assess,
    state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) now_ms: i64,
    offset: i64,
    read_to: i64,
    pub(super) counts: BTreeMap<&'static str, u64>,
    /// Ends of windows that were judged, in seconds, and their rows.
    pub(super) closed: Vec<(i64, u64)>,
    pub(super) items: Vec<FindingItem>,
    pub(super) layout: Option<Layout>,
    /// What is left of `layouts` once it is compacted.
    pub(super) layouts: BTreeMap<Vec<u8>, LayoutUpdate>,
}

impl Bench {
    pub(super) fn new(subject: Subject, plan: &Arc<Plan>) -> Bench {
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
            layouts: BTreeMap::new(),
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
                self.layout.clone_from(&update.layout);
                self.layouts.insert(message.key.clone().expect("it is compacted"), update);
                continue;
            }
            let batch: FindingBatch = wire::decode(&message.payload).expect("ours");
            self.items.extend(batch.items);
        }
    }

    /// Rows counted under a plan, in the window that begins at so many seconds.
    pub(super) fn rows(&mut self, plan: &Plan, window_s: i64, rows: u64) {
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
    pub(super) fn orders(&mut self, plan: &Plan, window_s: i64, factor: f64) {
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

    pub(super) fn drifting(&self) -> Vec<&str> {
        let opened = self.items.iter().filter_map(|item| match item {
            FindingItem::Alarm(alarm) if alarm.state == AlarmState::Opened => Some(&**alarm),
            _ => None,
        });
        opened.map(|alarm| alarm.finding.series.field.as_str()).collect()
    }

    /// All sources have been read up to so many seconds.
    pub(super) fn read(&mut self, to_s: i64) {
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
    pub(super) fn joined(&mut self, plan: &Plan, (window_s, n): (i64, u64), to_s: i64) {
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
    pub(super) fn restart(&mut self, plan: &Arc<Plan>) {
        self.save();
        self.assess = Assess::new(Arc::clone(plan), partition_of_subject(&self.subject));
        for (key, value) in &self.state {
            self.assess.restore(key, value).expect("its own entries");
        }
        self.assess.replayed("");
    }

    /// Definitions of the subject that the state topic holds anything of.
    pub(super) fn definitions(&mut self) -> BTreeSet<u64> {
        self.save();
        let keys = self.state.keys().map(|key| state_value::<Key>(key, "key").expect("ours"));
        let of = keys.filter_map(|key| match key {
            Key::Dataset(name, definition, _) => Some((Subject::Dataset(name), definition)),
            Key::Model(name, definition, _) => Some((Subject::Model(name), definition)),
            Key::Ledger | Key::Breaks | Key::Strays | Key::Gaps | Key::Piece(..) => None,
        });
        of.filter(|(of, _)| *of == self.subject).map(|(_, definition)| definition).collect()
    }

    pub(super) fn tables(&self) -> Vec<&CellTable> {
        let tables = self.items.iter().filter_map(|item| match item {
            FindingItem::Cells(table) => Some(&**table),
            _ => None,
        });
        tables.collect()
    }
}

pub(super) fn key() -> ModelCellKey {
    ModelCellKey { model_version: "7".into(), exposure: Vec::new() }
}
