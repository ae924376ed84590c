//! A dataset: its windows, its layout, its baseline, its schema versions.
//!
//! Windows close in order; a closed one is judged once. What comes for it later is added while
//! it is kept and judged no more. A [`Dataset`] is what was counted under one definition.

mod shapes;
mod versions;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use self::shapes::Shapes;
use super::alarms::Alarms;
use super::baseline::{Baseline, Baselines, Kept, WINDOWS_NEEDED};
use super::checkpoint::Part;
use super::judge::{self, CONTRAST_ROWS, Frame};
use super::ledger::Watermark;
use super::schema;
use super::terms::{DatasetTerms, Tenure};
use super::window::{Total, Window};
use crate::config::plan::{DatasetPlan, Limits, ValuePolicy};
use crate::event::cell::NO_SCHEMA;
use crate::event::finding::{
    Alarm, BaselineRef, Finding, FindingItem, SchemaChange, Subject, Verdict,
};
use crate::event::layout::{Layout, LayoutUpdate};
use crate::event::route::{Note, Outbox, Outgoing, Route};
use crate::event::schema::SchemaSeen;
use crate::event::summary::{DatasetDelta, SampleDelta};
use crate::event::time::EventTime;
use crate::event::wire;
use crate::sketch::{DICTIONARY_MAX, FieldLayout, Sample};

/// Closed windows kept for amendments and as a reference for versions without a contrast.
const KEPT_WINDOWS: usize = 4;
/// Keys a dataset has on `layouts`, which definitions take in turn: whoever counts under one that
/// was followed still finds its layout there when it starts, and the topic stays small.
const LAYOUT_KEYS: u32 = 16;
/// Sampled values a layout is read from; fewer will do after [`LAYOUT_PATIENCE`] windows.
const LAYOUT_VALUES: usize = 1_000;
/// Windows after which a layout is read from what there is, [`LAYOUT_VALUES_LEAST`] at least.
const LAYOUT_PATIENCE: u32 = 8;
const LAYOUT_VALUES_LEAST: usize = 100;
/// How long a schema version counts as new. *Units*: milliseconds (72 h).
pub(super) const YOUNG_MS: i64 = 72 * 3_600_000;

/// Everything known of one dataset.
#[derive(Debug, Default)]
pub(super) struct Dataset {
    pub(super) core: Core,
    pub(super) windows: BTreeMap<EventTime, Window>,
    pub(super) samples: BTreeMap<String, Sample>,
    pub(super) tenure: Tenure<DatasetTerms>,
    /// Parts changed or dropped since they were last asked for.
    pub(super) touched: Vec<Part>,
}

/// The part of a dataset that outlives its windows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Core {
    /// End of the newest closed window.
    closed_through: Option<EventTime>,
    /// Frontier told last.
    pub(super) told_through: Option<EventTime>,
    pub(super) windows_closed: u32,
    pub(super) layout: Option<Layout>,
    pub(super) learnt: Learnt,
}

/// What is held against a window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Learnt {
    pub(super) baseline: Baseline,
    pub(super) alarms: Alarms,
    pub(super) versions: BTreeMap<String, Version>,
    /// Version with most rows in the last closed window.
    pub(super) main_version: Option<String>,
    /// What a definition before knew of fields it counted the same. An entry of its own in
    /// checkpoints.
    #[serde(skip)]
    pub(super) kept: Kept,
    /// What producers of plain JSON write. An entry of its own in checkpoints.
    #[serde(skip)]
    pub(super) shapes: Shapes,
}

impl Learnt {
    fn baselines(&self) -> Baselines<'_> {
        Baselines { kept: &self.kept, learnt: &self.baseline }
    }
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Version {
    seen: Option<SchemaSeen>,
    /// Window (start) of its first record.
    first_seen: EventTime,
    /// It was there before the first window closed: nothing to compare it with.
    original: bool,
    /// Its producers' records just before it came, for when nothing else flows beside it.
    reference: Option<Total>,
}

/// What judging needs beyond the dataset itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    pub(super) plan: &'a DatasetPlan,
    /// There is a key for hashes of values.
    pub(super) keyed: bool,
    pub(super) watermark: Watermark,
    /// Highest event time heard of.
    pub(super) newest: EventTime,
}

impl Core {
    /// Gives what is held against windows, and from how many of them it was learnt, for another's.
    pub(super) fn swap_learnt(&mut self, other: &mut Core) {
        std::mem::swap(&mut self.learnt, &mut other.learnt);
        std::mem::swap(&mut self.windows_closed, &mut other.windows_closed);
    }

    /// Forgets what was learnt from windows that start at `from` or later; gives the alarms that
    /// end by that.
    pub(super) fn rewind(&mut self, from: EventTime) -> Vec<Alarm> {
        self.closed_through = self.closed_through.map(|through| through.min(from));
        self.told_through = self.told_through.map(|through| through.min(from));
        self.learnt.baseline.rewind(from);
        self.learnt.kept.baseline.rewind(from);
        self.learnt.shapes.rewind(from);
        self.learnt.alarms.rewind(from)
    }
}

impl Dataset {
    /// Adds a delta; `false` when its window is gone.
    pub(super) fn merge(&mut self, delta: DatasetDelta, limits: &Limits) -> bool {
        let gone = self.core.closed_through.is_some_and(|through| delta.window < through)
            && !self.windows.contains_key(&delta.window);
        if gone {
            return false;
        }
        self.touched.push(Part::Window(delta.window));
        if self.tenure.meet(delta.window) {
            self.touched.push(Part::Tenure);
        }
        self.windows.entry(delta.window).or_default().merge(delta, limits.cells_per_window);
        true
    }

    /// Adds sampled values, until there is a layout.
    pub(super) fn sample(&mut self, delta: &SampleDelta) {
        if self.core.layout.is_none() {
            self.touched.push(Part::Sample(delta.field.clone()));
            self.samples.entry(delta.field.clone()).or_default().merge(&delta.sample);
        }
    }

    /// Takes note of a schema; a new one is told at once with what it changes.
    pub(super) fn schema(&mut self, seen: SchemaSeen, plan: &DatasetPlan) -> Option<FindingItem> {
        self.touched.push(Part::Core);
        let version = seen.schema_version.clone();
        let original = self.core.windows_closed == 0;
        let first_seen = plan.window.start_of(seen.event_time);
        match self.core.learnt.versions.get_mut(&version) {
            Some(known) if known.seen.is_some() => return None,
            Some(known) => known.seen = Some(seen.clone()),
            None => {
                let known =
                    Version { seen: Some(seen.clone()), first_seen, original, reference: None };
                self.core.learnt.versions.insert(version.clone(), known);
            }
        }
        if self.core.learnt.versions[&version].original {
            return None;
        }
        self.change_of_main(&seen)
    }

    /// What a version changes against the one that wrote most of the last closed window.
    fn change_of_main(&self, seen: &SchemaSeen) -> Option<FindingItem> {
        self.change_to(self.core.learnt.main_version.as_ref()?, seen)
    }

    fn change_to(&self, from: &str, seen: &SchemaSeen) -> Option<FindingItem> {
        let from = self.core.learnt.versions.get(from)?.seen.clone()?;
        if from.schema_version == seen.schema_version {
            return None;
        }
        let fields = schema::diff(&from.fields, &seen.fields);
        let window_start = self.core.learnt.versions[&seen.schema_version].first_seen;
        let change = SchemaChange { fields, window_start, from, to: seen.clone() };
        Some(FindingItem::Schema(Box::new(change)))
    }

    /// Original are the versions that wrote the first window. A partition read ahead of the others
    /// may have shown later ones before it closed; they are told now.
    fn settle_originals(
        &mut self,
        start: EventTime,
        beside: Option<&BTreeSet<String>>,
    ) -> Vec<FindingItem> {
        let rows = self.windows[&start].rows_by_version();
        let mut later = Vec::new();
        for (version, known) in &mut self.core.learnt.versions {
            let was_beside = beside.is_some_and(|beside| beside.contains(version));
            if known.original && !was_beside && !rows.contains_key(version.as_str()) {
                known.original = false;
                later.extend(known.seen.clone());
            }
        }
        later.iter().filter_map(|seen| self.change_of_main(seen)).collect()
    }

    /// The first window that has ended and is not closed.
    pub(super) fn due(&self, moment: &Moment<'_>) -> Option<EventTime> {
        let (start, _) = self.windows.iter().find(|(_, window)| !window.closed)?;
        let end = moment.plan.window.end_of(*start);
        (end.plus_ms(moment.plan.lateness_ms) <= moment.watermark.time).then_some(*start)
    }

    /// Closes a window and judges it, unless a part of its records was counted under another
    /// definition, so that its counts are no window's: then `beside` are the versions of that part.
    pub(super) fn close(
        &mut self,
        start: EventTime,
        moment: &Moment<'_>,
        beside: Option<BTreeSet<String>>,
        out: &mut Outbox,
    ) -> Vec<FindingItem> {
        let end = moment.plan.window.end_of(start);
        let Some(window) = self.windows.get_mut(&start) else {
            return Vec::new();
        };
        window.closed = true;
        self.touched.extend([Part::Core, Part::Window(start)]);
        self.core.closed_through = Some(end);
        self.core.windows_closed += 1;
        let mut items = Vec::new();
        if beside.is_none() {
            items.extend(self.name_shapes(start, moment.plan));
        }
        self.note_versions(start, moment.plan);
        if self.core.windows_closed == 1 {
            items.extend(self.settle_originals(start, beside.as_ref()));
        }
        if beside.is_some() {
            self.leave_out(start, moment, out);
            return items;
        }
        let subject = Subject::Dataset(moment.plan.name.clone());
        let rows = self.windows[&start].rows();
        out.notes.push(Note::WindowClosed { subject: subject.to_string(), end_ms: end.0, rows });
        let layout = self.core.layout.clone();
        let current = layout.as_ref().filter(|l| self.windows[&start].layout() == Some(l.id));
        let frame = Frame {
            subject,
            start,
            end,
            as_of: end,
            complete: moment.watermark.completes(start),
            watermark: moment.watermark.time,
            layout: current,
            definition: moment.plan.definition,
            fields: Some(&moment.plan.fields),
            rows,
        };
        items.extend(self.judge(&frame));
        if layout.is_none() {
            self.learn_layout(moment);
        }
        self.note_learning(moment, out);
        self.forget_windows();
        items
    }

    /// Forgets a closed window that is not judged.
    fn leave_out(&mut self, start: EventTime, moment: &Moment<'_>, out: &mut Outbox) {
        let rows = self.windows.remove(&start).map_or(0, |window| window.rows());
        let subject = Subject::Dataset(moment.plan.name.clone()).to_string();
        out.notes.push(Note::Count { name: "window_split", subject, n: rows });
        if self.core.layout.is_none() {
            self.learn_layout(moment);
        }
    }

    fn judge(&mut self, frame: &Frame<'_>) -> Vec<FindingItem> {
        let window = &self.windows[&frame.start];
        let total = window.total(|_| true);
        let mut findings = judge::against_baseline(frame, &total, self.core.learnt.baselines());
        let contrasts = self.contrasts(frame);
        let mut items = Vec::new();
        for contrast in &contrasts {
            items.push(FindingItem::Contrast(Box::new(contrast.clone())));
        }
        findings.extend(contrasts);
        let clean = findings.iter().all(|finding| finding.verdict != Verdict::Detected);
        let core = &mut self.core;
        items.extend(core.learnt.alarms.settle(findings, frame.start, |_| true));
        if let Some(layout) = frame.layout
            && clean
            && core.learnt.baseline.is_learning()
        {
            core.learnt.baseline.add(layout.id, (frame.start, frame.end), &total);
        }
        items
    }

    /// Every young version against the rest: of its own producers in the same window where they
    /// still write another version, else against what they wrote just before it came.
    fn contrasts(&self, frame: &Frame<'_>) -> Vec<Finding> {
        let window = &self.windows[&frame.start];
        let mut findings = Vec::new();
        for (version, known) in &self.core.learnt.versions {
            let young = known.is_young(frame.start);
            let open =
                self.core.learnt.alarms.open().any(|s| s.schema_version.as_ref() == Some(version));
            if known.original || !(young || open) {
                continue;
            }
            let now = window.total(|key| &key.schema_version == version);
            if now.rows == 0 {
                continue;
            }
            let producers = window.producers_of(version);
            let older = |other: &str| {
                self.core
                    .learnt
                    .versions
                    .get(other)
                    .is_some_and(|o| o.first_seen < known.first_seen)
            };
            let same_window = window.total(|key| {
                producers.contains(&key.producer.as_str()) && older(&key.schema_version)
            });
            let (kind, base) = if same_window.rows >= CONTRAST_ROWS {
                ("same_window", same_window)
            } else if let Some(before) = &known.reference {
                ("before_version", before.clone())
            } else {
                continue;
            };
            let reference = BaselineRef {
                kind: kind.into(),
                from: if kind == "same_window" { frame.start } else { known.first_seen },
                to: frame.end,
                windows: 1,
            };
            let sides = (&now, &base);
            findings.extend(judge::contrast(
                frame,
                version,
                sides,
                (&reference, self.core.learnt.baselines()),
            ));
        }
        findings
    }

    /// Enters versions met in the window, and keeps a reference for those it meets first.
    fn note_versions(&mut self, start: EventTime, plan: &DatasetPlan) {
        let original = self.core.windows_closed <= 1;
        let window = &self.windows[&start];
        let mut rows = window.rows_by_version();
        if plan.schema_version.is_none() {
            // What has no name yet is no version.
            rows.remove(NO_SCHEMA);
        }
        let main = rows.iter().max_by_key(|(_, n)| **n).map(|(version, _)| (*version).to_owned());
        let versions: Vec<String> = rows.keys().map(|version| (*version).to_owned()).collect();
        for version in versions {
            let known = self.core.learnt.versions.entry(version.clone()).or_insert_with(|| {
                Version { seen: None, first_seen: start, original, reference: None }
            });
            // The first record met may come from a partition read ahead of the others.
            known.first_seen = known.first_seen.min(start);
            if !self.core.learnt.wants_reference(&version, start) {
                continue;
            }
            let producers = self.windows[&start].producers_of(&version);
            let mut before = Total::default();
            for (_, window) in self.windows.range(..start) {
                before.merge(&window.total(|key| {
                    producers.contains(&key.producer.as_str()) && key.schema_version != version
                }));
            }
            if let Some(known) = self.core.learnt.versions.get_mut(&version)
                && before.rows >= CONTRAST_ROWS
            {
                known.reference = Some(before);
            }
        }
        self.core.learnt.main_version = main;
        let kept = self.windows.values();
        let live = kept.flat_map(|window| window.rows_by_version().into_keys().map(str::to_owned));
        self.core.learnt.forget_versions(start, || live.collect());
    }

    /// Reads the layout once the sample is large enough.
    fn learn_layout(&mut self, moment: &Moment<'_>) {
        // Few records have many items: those alone say nothing of how much was read.
        let of_items = |path: &str| moment.plan.fields.is_of_items(path);
        let sizes = |items: bool| {
            let samples = self.samples.iter().filter(move |(path, _)| of_items(path) == items);
            samples.map(|(_, sample)| sample.len()).max()
        };
        let values = sizes(false).or_else(|| sizes(true)).unwrap_or(0);
        let patient = self.core.windows_closed < LAYOUT_PATIENCE;
        let needed = if patient { LAYOUT_VALUES } else { LAYOUT_VALUES_LEAST };
        if values >= needed {
            let mut fields: BTreeMap<String, FieldLayout> = self
                .samples
                .iter()
                .filter_map(|(path, sample)| Some((path.clone(), learn(path, sample, moment)?)))
                .collect();
            fields.extend(self.core.learnt.kept.layouts.clone());
            let bytes = postcard::to_stdvec(&fields).expect("a Vec grows");
            let size = moment.plan.window;
            let effective_from = size.start_of(moment.newest).plus_ms(2 * size.ms());
            self.core.layout = Some(Layout { id: xxh3_64(&bytes), effective_from, fields });
            let samples = std::mem::take(&mut self.samples);
            self.touched.extend(samples.into_keys().map(Part::Sample));
        }
    }

    /// There is a layout.
    pub(super) fn has_layout(&self) -> bool {
        self.core.layout.is_some()
    }

    /// What observe is told: how to count, and how far it may read until it knows.
    pub(super) fn layout_update(&self, plan: &DatasetPlan) -> Outgoing {
        let update = LayoutUpdate {
            dataset: plan.name.clone(),
            definition: plan.definition,
            closed_through: self.core.told_through,
            layout: self.core.layout.clone(),
        };
        Outgoing {
            route: Route::Layouts,
            key: Some(format!("{} {}", plan.name, self.tenure.turn % LAYOUT_KEYS).into_bytes()),
            payload: wire::encode(&update),
            headers: Vec::new(),
        }
    }

    fn note_learning(&self, moment: &Moment<'_>, out: &mut Outbox) {
        out.notes.push(Note::Learning {
            dataset: moment.plan.name.clone(),
            layout: self.core.layout.is_some(),
            baseline_windows: self.core.learnt.baseline.windows(),
            baseline_windows_needed: WINDOWS_NEEDED,
        });
    }

    fn forget_windows(&mut self) {
        let closed = self.windows.values().filter(|window| window.closed).count();
        for _ in KEPT_WINDOWS..closed {
            let gone = self.windows.pop_first();
            self.touched.extend(gone.map(|(start, _)| Part::Window(start)));
        }
    }

    /// How far it has come, when that has moved since it was told last.
    pub(super) fn frontier(&mut self, moment: &Moment<'_>) -> Option<EventTime> {
        let Moment { plan, watermark, .. } = moment;
        let told = &mut self.core.told_through;
        let frontier = watermark.frontier(plan.window, plan.lateness_ms, told)?;
        self.touched.push(Part::Core);
        Some(frontier)
    }
}

/// The layout of a field. Each instance of observe keeps few values; where all of them together
/// kept many and there is no key, none of them may stay.
fn learn(path: &str, sample: &Sample, moment: &Moment<'_>) -> Option<FieldLayout> {
    let policy = moment.plan.fields.named(path).map_or(ValuePolicy::Auto, |field| field.values);
    let few = sample.categories() <= DICTIONARY_MAX;
    (few || moment.keyed || policy != ValuePolicy::Auto).then(|| FieldLayout::learn(sample))?
}

#[cfg(test)]
mod tests;
