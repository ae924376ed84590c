//! Stage 3, assess: one subject at a time, a dataset or a model.
//!
//! Merges summary deltas, closes event-time windows, learns layouts and baselines, tests. What it
//! says goes to `findings`; it never looks at two subjects together, that is for decide.
//!
//! What was counted under another definition than the plan's is kept apart and brought to its end
//! (`drain`); what was learnt under it goes over as far as the same is counted (`succession`).
//!
//! An [`Assess`] value is one partition of `summaries`. It acts on messages alone: a window closes
//! when a header moves the watermark past its end and lateness, so the same messages give the same
//! findings, byte for byte.

mod alarms;
mod baseline;
mod breaks;
mod checkpoint;
mod dataset;
mod drain;
mod gaps;
mod judge;
mod ledger;
mod model;
mod outcomes;
mod rewind;
mod schema;
mod strays;
mod succession;
mod terms;
#[cfg(test)]
mod testing;
pub mod tests;
mod versions;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::breaks::Breaks;
use self::checkpoint::{Key, Pieces};
use self::dataset::Dataset;
use self::drain::Drains;
use self::gaps::Gaps;
use self::ledger::{Ledger, Patience};
use self::model::Model;
use self::strays::Strays;
use crate::config::plan::Plan;
use crate::event::finding::{FindingBatch, FindingItem, Subject, UNJUDGED};
use crate::event::progress::Header;
use crate::event::route::{Note, Outbox, Outgoing, Route, SUMMARIES_PARTITIONS, partition_of};
use crate::event::summary::{DatasetDelta, ModelDelta, OutcomeDelta, SummaryBatch};
use crate::event::time::EventTime;
use crate::event::wire;
use crate::stage::{Incoming, Restart, Stage, StateEntry};

/// One partition of `summaries`, assessed.
#[derive(Debug)]
pub struct Assess {
    plan: Arc<Plan>,
    partition: i32,
    /// Broker time of the newest message: the only now there is.
    now_ms: i64,
    ledger: Ledger,
    strays: Strays,
    datasets: BTreeMap<String, Dataset>,
    models: BTreeMap<String, Model>,
    /// What was counted under other definitions than the plan's.
    drains: Drains,
    arrears: Arrears,
    dirty: BTreeSet<Key>,
    pieces: Pieces,
}

/// What there was to say when the plan's definitions took over, and is said with the first message
/// that is not read again in silence.
#[derive(Debug, Default)]
struct Arrears {
    /// Definitions have been compared with those of the checkpoint.
    settled: bool,
    /// Messages are being read again, or none has been read yet.
    silent: bool,
    items: Vec<FindingItem>,
    notes: Vec<Note>,
    /// Datasets whose layout is told under the new definition.
    layouts: BTreeSet<String>,
}

/// Where a subject's summaries go.
#[must_use]
pub fn partition_of_subject(subject: &Subject) -> i32 {
    partition_of(subject.to_string().as_bytes(), SUMMARIES_PARTITIONS)
}

impl Assess {
    /// Starts a partition from nothing.
    #[must_use]
    pub fn new(plan: Arc<Plan>, partition: i32) -> Assess {
        let mine = |subject: Subject| partition_of_subject(&subject) == partition;
        let datasets = plan.datasets.keys().filter(|name| mine(Subject::Dataset((*name).clone())));
        let models = plan.models.keys().filter(|name| mine(Subject::Model((*name).clone())));
        Assess {
            datasets: datasets.map(|name| (name.clone(), Dataset::default())).collect(),
            models: models.map(|name| (name.clone(), Model::default())).collect(),
            plan: Arc::clone(&plan),
            partition,
            now_ms: i64::MIN,
            ledger: Ledger::default(),
            strays: Strays::default(),
            drains: Drains::default(),
            arrears: Arrears::default(),
            dirty: BTreeSet::new(),
            pieces: Pieces::default(),
        }
    }

    /// Once: compares the plan's definitions with those that a checkpoint was written under.
    fn settle(&mut self) {
        if !std::mem::replace(&mut self.arrears.settled, true) {
            let mut out = Outbox::default();
            self.succeed(&mut out);
            self.arrears.notes = out.notes;
        }
    }

    /// What is left to say of the change of definitions.
    fn arrears(&mut self, out: &mut Outbox) -> Vec<FindingItem> {
        if self.arrears.silent {
            return Vec::new();
        }
        for name in std::mem::take(&mut self.arrears.layouts) {
            out.messages.push(self.datasets[&name].layout_update(&self.plan.datasets[&name]));
        }
        out.notes.append(&mut self.arrears.notes);
        std::mem::take(&mut self.arrears.items)
    }

    fn patience(&self, lateness_ms: i64) -> Patience {
        let hold_ms = self.plan.hold_max_ms;
        Patience { hold_ms, quiet_ms: hold_ms.max(lateness_ms) }
    }

    /// Adds everything a batch brings but its header. What was counted before someone went back in
    /// time is passed over, and read again on the way.
    fn merge(&mut self, batch: &mut SummaryBatch, out: &mut Outbox) -> Vec<FindingItem> {
        let plan = Arc::clone(&self.plan);
        let mut items = Vec::new();
        for delta in batch.datasets.drain(..) {
            self.add_dataset(&plan, delta, &mut items, out);
        }
        for delta in batch.models.drain(..) {
            self.add_model(&plan, delta, &mut items, out);
        }
        for delta in batch.outcomes.drain(..) {
            self.add_outcomes(&plan, delta, out);
        }
        items.extend(self.learn(batch));
        items
    }

    /// Takes samples counted under the own definition, and schemas.
    fn learn(&mut self, batch: &mut SummaryBatch) -> Vec<FindingItem> {
        let plan = &self.plan;
        let mut items = Vec::new();
        for delta in batch.samples.drain(..) {
            let definition = plan.datasets.get(&delta.dataset).map(|plan| plan.definition);
            let dataset = self.datasets.get_mut(&delta.dataset);
            if let Some(dataset) = dataset.filter(|_| definition == Some(delta.definition)) {
                dataset.sample(&delta);
            }
        }
        for seen in batch.schemas.drain(..) {
            if let Some(dataset) = self.datasets.get_mut(&seen.dataset) {
                let config = &plan.datasets[&seen.dataset];
                items.extend(dataset.schema(seen, config));
            }
        }
        items
    }

    /// Tells of subjects that someone counts and that are not configured here.
    fn unjudged(&mut self, batch: &SummaryBatch) -> Vec<FindingItem> {
        let plan = Arc::clone(&self.plan);
        let datasets = batch.datasets.iter().filter(|d| !plan.datasets.contains_key(&d.dataset));
        let datasets = datasets.map(|d| (Subject::Dataset(d.dataset.clone()), d.definition));
        let models = batch.models.iter().filter(|m| !plan.models.contains_key(&m.model));
        let models = models.map(|m| (Subject::Model(m.model.clone()), m.definition));
        let mut items = Vec::new();
        for (subject, other) in datasets.chain(models) {
            self.hears(subject, (UNJUDGED, other), &mut items);
        }
        items
    }

    fn add_dataset(
        &mut self,
        plan: &Plan,
        delta: DatasetDelta,
        items: &mut Vec<FindingItem>,
        out: &mut Outbox,
    ) {
        let name = delta.dataset.clone();
        let Some(current) = self.datasets.get_mut(&name) else { return };
        let (known, definition) = (plan.datasets[&name].definition, delta.definition);
        let subject = Subject::Dataset(name.clone());
        let rows = delta.cells.iter().map(|cell| cell.rows).sum();
        let lost = if self.ledger.breaks.epochs.precedes(&subject, delta.window) {
            Some("counted_before")
        } else if known == definition {
            (!current.merge(delta, &plan.limits)).then_some("window_gone")
        } else if self.hears(subject, (known, definition), items)
            && let Some(other) = self.drains.dataset_at((&name, definition), delta.window)
        {
            (!other.merge(delta, &plan.limits)).then_some("window_gone")
        } else {
            Some("definition_other")
        };
        note(lost, name, rows, out);
    }

    fn add_model(
        &mut self,
        plan: &Plan,
        delta: ModelDelta,
        items: &mut Vec<FindingItem>,
        out: &mut Outbox,
    ) {
        let name = delta.model.clone();
        let Some(current) = self.models.get_mut(&name) else { return };
        let (known, definition) = (plan.models[&name].definition, delta.definition);
        let subject = Subject::Model(name.clone());
        let n = delta.cells.iter().map(|(_, sums)| sums.n).sum();
        let lost = if self.ledger.breaks.epochs.precedes(&subject, delta.window) {
            Some("counted_before")
        } else if known == definition {
            (!current.predictions(delta, &plan.limits)).then_some("window_gone")
        } else if self.hears(subject, (known, definition), items)
            && let Some(other) = self.drains.model_at((&name, definition), delta.window)
        {
            (!other.predictions(delta, &plan.limits)).then_some("window_gone")
        } else {
            Some("definition_other")
        };
        note(lost, name, n, out);
    }

    /// Outcomes follow their predictions, also to a definition that drains.
    fn add_outcomes(&mut self, plan: &Plan, delta: OutcomeDelta, out: &mut Outbox) {
        let name = delta.model.clone();
        let Some(current) = self.models.get_mut(&name) else { return };
        let known = plan.models[&name].definition;
        let definition = delta.definition.unwrap_or(known);
        let n = delta.sums.labelled;
        let subject = Subject::Model(name.clone());
        let counted = if known == definition {
            Some(current)
        } else {
            self.drains.models.get_mut(&(name.clone(), definition))
        };
        let lost = if self.ledger.breaks.epochs.precedes(&subject, delta.window) {
            Some("counted_before")
        } else {
            let taken = counted.is_some_and(|model| model.outcomes(delta));
            (!taken).then_some("window_gone")
        };
        note(lost, name, n, out);
    }

    /// Hears of another definition than the plan's; gives whether its counts are taken.
    fn hears(
        &mut self,
        subject: Subject,
        definitions: (u64, u64),
        items: &mut Vec<FindingItem>,
    ) -> bool {
        let now = (self.now_ms, self.plan.hold_max_ms);
        let (taken, told) = self.strays.hear(subject, definitions, now);
        items.extend(told);
        taken
    }

    fn header(&mut self, header: &Header) -> Vec<FindingItem> {
        let breaches = match header {
            Header::Observe(lines) => self.ledger.observe(lines, self.now_ms),
            Header::Join(progress) => self.ledger.join(progress).into_iter().collect(),
            Header::Rewound(rewound) => return self.rewind(rewound),
        };
        let mut items: Vec<FindingItem> =
            breaches.into_iter().map(FindingItem::Integrity).collect();
        if !self.strays.is_empty() {
            self.dirty.insert(Key::Strays);
            items.extend(self.strays.let_go(self.now_ms, self.plan.hold_max_ms));
        }
        items
    }

    /// Closes what is due in every subject, datasets first.
    fn advance(&mut self, batch: &mut FindingBatch, out: &mut Outbox) {
        let plan = Arc::clone(&self.plan);
        for name in plan.datasets.keys() {
            self.advance_dataset(&plan, name, batch, out);
        }
        for name in plan.models.keys() {
            self.advance_model(&plan, name, batch, out);
        }
    }

    fn advance_dataset(
        &mut self,
        plan: &Plan,
        name: &str,
        batch: &mut FindingBatch,
        out: &mut Outbox,
    ) {
        let Some(config) = plan.datasets.get(name) else {
            return;
        };
        let mut items = self.drain_dataset((name, config), out);
        let patience = self.patience(config.lateness_ms);
        let watermark = self.ledger.watermark(&config.topic, self.now_ms, patience);
        let subject = Subject::Dataset(name.to_owned());
        self.identify(&subject, &mut items);
        batch.items.append(&mut items);
        let Some(dataset) = self.datasets.get_mut(name) else {
            return;
        };
        let (Some(watermark), Some(newest)) = (watermark, self.ledger.newest(&config.topic)) else {
            return;
        };
        let keyed = plan.values.key.is_some();
        let moment = dataset::Moment { plan: config, keyed, watermark, newest };
        let had_layout = dataset.has_layout();
        while let Some(start) = dataset.due(&moment) {
            let span = (start, config.window.end_of(start));
            let beside = self.drains.beside_dataset(name, span);
            items.extend(dataset.close(start, &moment, beside, out));
        }
        let frontier = dataset.frontier(&moment);
        batch.closed.extend(frontier.map(|frontier| (subject.clone(), frontier)));
        // Until there is a layout observe waits for windows to end, with anything in them or not. A
        // partition that has shown nothing yet says nothing of windows.
        let has_begun = watermark.time > EventTime::MIN;
        if !had_layout && has_begun && (frontier.is_some() || dataset.has_layout()) {
            out.messages.push(dataset.layout_update(config));
        }
        self.identify(&subject, &mut items);
        batch.items.extend(items);
    }

    fn advance_model(
        &mut self,
        plan: &Plan,
        name: &str,
        batch: &mut FindingBatch,
        out: &mut Outbox,
    ) {
        let Some(config) = plan.models.get(name) else {
            return;
        };
        let mut items = self.drain_model((name, config), out);
        let patience = self.patience(config.lateness_ms);
        let subject = Subject::Model(name.to_owned());
        self.identify(&subject, &mut items);
        batch.items.append(&mut items);
        let Some(model) = self.models.get_mut(name) else {
            return;
        };
        let topic = &config.predictions.topic;
        let Some(mut watermark) = self.ledger.watermark(topic, self.now_ms, patience) else {
            return;
        };
        // An outcome is never older than its prediction.
        let outcomes = config.outcomes.as_ref().and_then(|o| self.ledger.gaps.reach(&o.topic));
        watermark.gap = watermark.gap.max(outcomes);
        let join_clock = self.ledger.join_clock(name);
        let moment = model::Moment { plan: config, watermark, join_clock };
        while let Some(start) = model.due(&moment) {
            let is_split = self.drains.share_model(name, (start, config.window.end_of(start)));
            items.extend(model.close(start, &moment, is_split, out));
        }
        items.extend(model.mature(&moment));
        if let Some(frontier) = model.frontier(&moment) {
            batch.closed.push((subject.clone(), frontier));
        }
        self.identify(&subject, &mut items);
        batch.items.extend(items);
    }

    /// Marks what a message changed for the next checkpoint.
    fn mark(&mut self) {
        self.dirty.insert(Key::Ledger);
        if self.ledger.breaks != Breaks::default() {
            self.dirty.insert(Key::Breaks);
        }
        if self.ledger.gaps != Gaps::default() {
            self.dirty.insert(Key::Gaps);
        }
        if !self.strays.is_empty() {
            self.dirty.insert(Key::Strays);
        }
        let own = self.datasets.iter_mut();
        let own = own.map(|(name, dataset)| (name, self.plan.datasets[name].definition, dataset));
        let others = self.drains.datasets.iter_mut();
        for (name, definition, dataset) in own.chain(others.map(|(k, old)| (&k.0, k.1, old))) {
            let parts = dataset.touched.drain(..);
            self.dirty.extend(parts.map(|part| Key::Dataset(name.clone(), definition, part)));
        }
        let own = self.models.iter_mut();
        let own = own.map(|(name, model)| (name, self.plan.models[name].definition, model));
        let others = self.drains.models.iter_mut();
        for (name, definition, model) in own.chain(others.map(|(k, old)| (&k.0, k.1, old))) {
            let parts = model.touched.drain(..);
            self.dirty.extend(parts.map(|part| Key::Model(name.clone(), definition, part)));
        }
    }

    /// Fills in where the sources of an alarm's subject had been read to.
    fn add_ledger(&self, items: &mut [FindingItem]) {
        for item in items {
            let FindingItem::Alarm(alarm) = item else {
                continue;
            };
            let topics: Vec<&str> = match &alarm.finding.series.subject {
                Subject::Dataset(name) => self
                    .plan
                    .datasets
                    .get(name)
                    .map(|plan| plan.topic.as_str())
                    .into_iter()
                    .collect(),
                Subject::Model(name) => self.plan.models.get(name).map_or(Vec::new(), |plan| {
                    let outcomes = plan.outcomes.as_ref().map(|outcomes| outcomes.topic.as_str());
                    std::iter::once(plan.predictions.topic.as_str()).chain(outcomes).collect()
                }),
            };
            alarm.ledger = topics.iter().flat_map(|topic| self.ledger.read_to(topic)).collect();
        }
    }
}

/// Notes rows that went nowhere.
fn note(lost: Option<&'static str>, subject: String, n: u64, out: &mut Outbox) {
    out.notes.extend(lost.map(|name| Note::Count { name, subject, n }));
}

impl Stage for Assess {
    const NAME: &'static str = "assess";
    const RESTART: Restart = Restart::Checkpoint;

    fn step(&mut self, message: Incoming<'_>, out: &mut Outbox) {
        self.now_ms = self.now_ms.max(message.timestamp_ms);
        let mut batch: SummaryBatch = match wire::decode(message.payload) {
            Ok(batch) => batch,
            Err(error) => {
                let reason = error.to_string();
                out.notes.push(Note::Undecodable { stage: Self::NAME, reason });
                return;
            }
        };
        self.settle();
        let mut items = self.arrears(out);
        items.extend(self.unjudged(&batch));
        items.extend(self.merge(&mut batch, out));
        let mut said = FindingBatch { shard: self.partition, items, closed: Vec::new() };
        if let Some(header) = &batch.header {
            said.items.extend(self.header(header));
            self.advance(&mut said, out);
        }
        self.mark();
        if said.items.is_empty() && said.closed.is_empty() {
            return;
        }
        self.add_ledger(&mut said.items);
        out.messages.push(Outgoing {
            route: Route::Findings,
            key: None,
            payload: wire::encode(&said),
            headers: Vec::new(),
        });
    }

    fn replayed(&mut self, _metadata: &str) {
        let missing = self.pieces.incomplete();
        assert!(missing.is_none(), "state-assess holds only a part of {missing:?}");
        self.settle();
        self.arrears.silent = false;
    }

    fn checkpoint(&mut self) -> Vec<StateEntry> {
        checkpoint::entries(self)
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        self.arrears.silent = true;
        checkpoint::restore(self, key, value)
    }
}
