//! Stage 3, assess: one subject at a time, a dataset or a model.
//!
//! Merges summary deltas, closes event-time windows, learns layouts and baselines, tests. What it
//! says goes to `findings`; it never looks at two subjects together, that is for decide.
//!
//! An [`Assess`] value is one partition of `summaries`. It acts on messages alone: a window closes
//! when a header moves the watermark past its end and lateness, so the same messages give the same
//! findings, byte for byte.

mod alarms;
mod baseline;
mod breaks;
mod checkpoint;
mod dataset;
mod gaps;
mod judge;
mod ledger;
mod model;
mod outcomes;
mod rewind;
mod schema;
mod strays;
#[cfg(test)]
mod testing;
pub mod tests;
mod window;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use self::breaks::Breaks;
use self::checkpoint::{Key, Pieces};
use self::dataset::Dataset;
use self::gaps::Gaps;
use self::ledger::{Ledger, Patience};
use self::model::Model;
use self::strays::Strays;
use crate::config::plan::Plan;
use crate::event::finding::{FindingBatch, FindingItem, Subject, UNJUDGED};
use crate::event::progress::Header;
use crate::event::route::{Note, Outbox, Outgoing, Route, SUMMARIES_PARTITIONS, partition_of};
use crate::event::summary::SummaryBatch;
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
    dirty: BTreeSet<Key>,
    pieces: Pieces,
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
            dirty: BTreeSet::new(),
            pieces: Pieces::default(),
        }
    }

    fn patience(&self, lateness_ms: i64) -> Patience {
        let hold_ms = self.plan.hold_max_ms;
        Patience { hold_ms, quiet_ms: hold_ms.max(lateness_ms) }
    }

    /// Adds everything a batch brings but its header. What was counted under another definition
    /// is passed over: it drains where that definition still runs. So is what was counted before
    /// someone went back in time, and is read again on the way.
    fn merge(&mut self, batch: &mut SummaryBatch, out: &mut Outbox) -> Vec<FindingItem> {
        let plan = Arc::clone(&self.plan);
        let epochs = &self.ledger.breaks.epochs;
        let before = |subject: Subject, window: EventTime| {
            epochs.boundary(&subject).is_some_and(|from| window < from)
        };
        let now_ms = self.now_ms;
        let strays = &mut self.strays;
        let mut items = Vec::new();
        let mut note = |name: &'static str, subject: &str, n: u64| {
            out.notes.push(Note::Count { name, subject: subject.to_owned(), n });
        };
        for delta in batch.datasets.drain(..) {
            let name = delta.dataset.clone();
            let Some(dataset) = self.datasets.get_mut(&name) else {
                continue;
            };
            let rows = delta.cells.iter().map(|cell| cell.rows).sum();
            if before(Subject::Dataset(name.clone()), delta.window) {
                note("counted_before", &name, rows);
            } else if plan.datasets[&name].definition != delta.definition {
                note("definition_other", &name, rows);
                let definitions = (plan.datasets[&name].definition, delta.definition);
                items.extend(strays.hear(Subject::Dataset(name), definitions, now_ms));
            } else if !dataset.merge(delta, &plan.limits) {
                note("window_gone", &name, rows);
            }
        }
        for delta in batch.models.drain(..) {
            let name = delta.model.clone();
            let Some(model) = self.models.get_mut(&name) else {
                continue;
            };
            let n = delta.cells.iter().map(|(_, sums)| sums.n).sum();
            if before(Subject::Model(name.clone()), delta.window) {
                note("counted_before", &name, n);
            } else if plan.models[&name].definition != delta.definition {
                note("definition_other", &name, n);
                let definitions = (plan.models[&name].definition, delta.definition);
                items.extend(strays.hear(Subject::Model(name), definitions, now_ms));
            } else if !model.predictions(delta, &plan.limits) {
                note("window_gone", &name, n);
            }
        }
        for delta in batch.outcomes.drain(..) {
            let (name, n) = (delta.model.clone(), delta.sums.labelled);
            let Some(model) = self.models.get_mut(&name) else {
                continue;
            };
            if before(Subject::Model(name.clone()), delta.window) {
                note("counted_before", &name, n);
            } else if !model.outcomes(delta) {
                note("window_gone", &name, n);
            }
        }
        for delta in batch.samples.drain(..) {
            if let Some(dataset) = self.datasets.get_mut(&delta.dataset) {
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
        let (plan, now_ms) = (&self.plan, self.now_ms);
        let datasets = batch.datasets.iter().filter(|d| !plan.datasets.contains_key(&d.dataset));
        let datasets = datasets.map(|d| (Subject::Dataset(d.dataset.clone()), d.definition));
        let models = batch.models.iter().filter(|m| !plan.models.contains_key(&m.model));
        let models = models.map(|m| (Subject::Model(m.model.clone()), m.definition));
        let strays = &mut self.strays;
        datasets
            .chain(models)
            .filter_map(|(subject, other)| strays.hear(subject, (UNJUDGED, other), now_ms))
            .collect()
    }

    fn header(&mut self, header: &Header) -> Vec<FindingItem> {
        let breaches = match header {
            Header::Observe(lines) => self.ledger.observe(lines, self.now_ms),
            Header::Join(progress) => self.ledger.join(progress).into_iter().collect(),
            Header::Rewound(rewound) => return self.rewind(rewound),
        };
        let mut items: Vec<FindingItem> =
            breaches.into_iter().map(FindingItem::Integrity).collect();
        let gone = self.strays.let_go(self.now_ms, self.plan.hold_max_ms);
        if !gone.is_empty() {
            self.dirty.insert(Key::Strays);
        }
        items.extend(gone);
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
        let patience = self.patience(config.lateness_ms);
        let Some(dataset) = self.datasets.get_mut(name) else {
            return;
        };
        let watermark = self.ledger.watermark(&config.topic, self.now_ms, patience);
        let (Some(watermark), Some(newest)) = (watermark, self.ledger.newest(&config.topic)) else {
            return;
        };
        let keyed = plan.values.key.is_some();
        let moment = dataset::Moment { plan: config, keyed, watermark, newest };
        let subject = Subject::Dataset(name.to_owned());
        let mut items = Vec::new();
        let had_layout = dataset.has_layout();
        while let Some(start) = dataset.due(&moment) {
            items.extend(dataset.close(start, &moment, out));
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
        let patience = self.patience(config.lateness_ms);
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
        let subject = Subject::Model(name.to_owned());
        let mut items = Vec::new();
        while let Some(start) = model.due(&moment) {
            items.extend(model.close(start, &moment, out));
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
        if self.strays != Strays::default() {
            self.dirty.insert(Key::Strays);
        }
        for (name, dataset) in &mut self.datasets {
            let definition = self.plan.datasets[name].definition;
            let parts = dataset.touched.drain(..);
            self.dirty.extend(parts.map(|part| Key::Dataset(name.clone(), definition, part)));
        }
        for (name, model) in &mut self.models {
            let definition = self.plan.models[name].definition;
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
        let mut items = self.unjudged(&batch);
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
    }

    fn checkpoint(&mut self) -> Vec<StateEntry> {
        checkpoint::entries(self)
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        checkpoint::restore(self, key, value)
    }
}
