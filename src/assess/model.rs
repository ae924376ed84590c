//! A model: its windows of cells, how far their outcomes have come in, its rates.
//!
//! A window is told when it closes and again as outcomes come in; each telling is a revision of the
//! whole table. It counts for rates once it is mature. A [`Model`] is what was counted under one
//! definition.

mod versions;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::alarms::Alarms;
use super::checkpoint::Part;
use super::dataset::YOUNG_MS;
use super::judge::Frame;
use super::ledger::Watermark;
use super::outcomes::{self, RateBaseline};
use super::terms::{ModelTerms, Tenure};
use super::tests::rates::Count;
use crate::config::plan::{Absent, Covers, Limits, ModelPlan};
use crate::event::cell::ModelCellKey;
use crate::event::finding::{
    Alarm, CellTable, Finding, FindingItem, Maturity, SeriesKind, Subject,
};
use crate::event::route::{Note, Outbox};
use crate::event::summary::{
    ModelDelta, OUTCOME_AGES, OutcomeDelta, OutcomeSums, PredictionSums, outcome_age_end,
};
use crate::event::time::EventTime;

/// Closed windows of a model without outcomes kept for amendments.
const KEPT_WINDOWS: usize = 4;
/// Shares of labelled predictions at which a table is told again.
const HALF: f64 = 0.5;
const MATURE: f64 = 0.9;

/// Outcomes by [`outcome_age`](crate::event::summary::outcome_age).
type Ages = BTreeMap<u8, OutcomeSums>;
type Cells = BTreeMap<ModelCellKey, (PredictionSums, Ages)>;

/// Everything known of one model.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) core: Core,
    pub(super) windows: BTreeMap<EventTime, ModelWindow>,
    pub(super) tenure: Tenure<ModelTerms>,
    /// Parts changed or dropped since they were last asked for.
    pub(super) touched: Vec<Part>,
}

/// The part of a model that outlives its windows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Core {
    closed_through: Option<EventTime>,
    /// Frontier told last.
    pub(super) told_through: Option<EventTime>,
    pub(super) windows_closed: u32,
    pub(super) learnt: Learnt,
}

/// What is held against a window.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Learnt {
    flag_rate: RateBaseline,
    false_positives: RateBaseline,
    pub(super) alarms: Alarms,
    /// First window of each (dataset, schema version) a prediction was exposed to, and whether
    /// it was there from the start.
    pub(super) versions: BTreeMap<(String, String), (EventTime, bool)>,
}

impl Learnt {
    /// Nothing but versions.
    pub(super) fn knowing(versions: BTreeMap<(String, String), (EventTime, bool)>) -> Learnt {
        Learnt { versions, ..Learnt::default() }
    }
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
        self.learnt.flag_rate.rewind(from);
        self.learnt.false_positives.rewind(from);
        self.learnt.alarms.rewind(from)
    }
}

/// One window of a model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ModelWindow {
    cells: Cells,
    evicted_from: Option<u64>,
    /// How far it has been told; `None` while open.
    pub(super) told: Option<Maturity>,
    /// The next age of outcomes to count; those before it are in, whatever is read.
    next_age: u8,
    revision: u32,
    pub(super) complete: bool,
}

impl ModelWindow {
    /// Predictions in it.
    pub(super) fn n(&self) -> u64 {
        self.cells.values().map(|(sums, _)| sums.n).sum()
    }

    /// The cell of a key, or the one for those beyond the limit.
    fn cell(&mut self, key: ModelCellKey) -> &mut (PredictionSums, Ages) {
        let evicted = self.evicted_from.is_some_and(|from| key.admission_rank() >= from);
        self.cells.entry(if evicted { ModelCellKey::other() } else { key }).or_default()
    }

    /// Outcomes of a cell that are counted by now.
    fn counted(&self, ages: &Ages) -> OutcomeSums {
        let mut sums = OutcomeSums::default();
        ages.range(..self.next_age).for_each(|(_, age)| sums.merge(age));
        sums
    }

    /// The admission rule of observe, applied to the sum: the smallest ranks stay.
    fn evict(&mut self, cells_max: usize) {
        let other = ModelCellKey::other();
        let mut ranks: Vec<u64> = self
            .cells
            .keys()
            .filter(|key| **key != other)
            .map(ModelCellKey::admission_rank)
            .collect();
        if ranks.len() > cells_max {
            ranks.sort_unstable();
            let first_out = ranks[cells_max];
            self.evicted_from = Some(self.evicted_from.map_or(first_out, |f| f.min(first_out)));
        }
        if self.evicted_from.is_some() {
            for (key, (sums, ages)) in std::mem::take(&mut self.cells) {
                let cell = self.cell(key);
                cell.0.merge(&sums);
                for (age, outcomes) in ages {
                    cell.1.entry(age).or_default().merge(&outcomes);
                }
            }
        }
    }

    /// Hits and rows of a metric over the cells that `wanted` picks.
    fn count(&self, kind: SeriesKind, mut wanted: impl FnMut(&ModelCellKey) -> bool) -> Count {
        let mut count = Count { hits: 0, rows: 0 };
        for (key, (sums, ages)) in &self.cells {
            if !wanted(key) {
                continue;
            }
            let outcomes = self.counted(ages);
            let (hits, rows) = match kind {
                SeriesKind::FalsePositiveRate => (outcomes.false_positives, outcomes.negatives),
                SeriesKind::FalsePositivesPerDecision => (outcomes.false_positives, sums.n),
                _ => (sums.flags, sums.n),
            };
            count.hits += hits;
            count.rows += rows;
        }
        count
    }

    /// Labelled predictions among those that get outcomes.
    fn labelled_share(&self, covers: Covers) -> f64 {
        let labelled = self.cells.values().map(|(_, ages)| self.counted(ages).labelled);
        let labelled: u64 = labelled.sum();
        let awaited = self.cells.values().map(|(sums, _)| match covers {
            Covers::All => sums.n,
            Covers::Flagged => sums.flags,
        });
        let awaited: u64 = awaited.sum();
        if awaited == 0 { 0.0 } else { labelled as f64 / awaited as f64 }
    }
}

/// What judging needs beyond the model itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment<'a> {
    pub(super) plan: &'a ModelPlan,
    pub(super) watermark: Watermark,
    /// Everything that could pair with an older prediction has been seen.
    pub(super) join_clock: Option<EventTime>,
}

impl Model {
    /// Adds predictions; `false` when their window is gone.
    pub(super) fn predictions(&mut self, delta: ModelDelta, limits: &Limits) -> bool {
        let Some(window) = self.window(delta.window) else {
            return false;
        };
        window.evicted_from = match (window.evicted_from, delta.evicted_from) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        for (key, sums) in delta.cells {
            window.cell(key).0.merge(&sums);
        }
        window.evict(limits.cells_per_window);
        true
    }

    /// Adds outcomes; `false` when their window is gone.
    pub(super) fn outcomes(&mut self, delta: OutcomeDelta) -> bool {
        let Some(window) = self.window(delta.window) else {
            return false;
        };
        window.cell(delta.key).1.entry(delta.age).or_default().merge(&delta.sums);
        true
    }

    fn window(&mut self, start: EventTime) -> Option<&mut ModelWindow> {
        let gone = self.core.closed_through.is_some_and(|through| start < through)
            && !self.windows.contains_key(&start);
        if gone {
            return None;
        }
        self.touched.push(Part::Window(start));
        if self.tenure.meet(start) {
            self.touched.push(Part::Tenure);
        }
        Some(self.windows.entry(start).or_default())
    }

    /// The first window that has ended and is not closed.
    pub(super) fn due(&self, moment: &Moment<'_>) -> Option<EventTime> {
        let (start, _) = self.windows.iter().find(|(_, window)| window.told.is_none())?;
        let end = moment.plan.window.end_of(*start);
        (end.plus_ms(moment.plan.lateness_ms) <= moment.watermark.time).then_some(*start)
    }

    /// Closes a window: tells its table and judges the flag rate, unless it `is_split`: a part of
    /// its predictions was counted under another definition.
    pub(super) fn close(
        &mut self,
        start: EventTime,
        moment: &Moment<'_>,
        is_split: bool,
        out: &mut Outbox,
    ) -> Vec<FindingItem> {
        let Some(window) = self.windows.get_mut(&start) else {
            return Vec::new();
        };
        window.told = Some(Maturity::Closed);
        self.touched.extend([Part::Core, Part::Window(start)]);
        window.complete = moment.watermark.completes(start);
        let n = window.n();
        let subject = Subject::Model(moment.plan.name.clone()).to_string();
        let end = moment.plan.window.end_of(start);
        self.core.closed_through = Some(end);
        self.core.windows_closed += 1;
        self.note_versions(start, is_split);
        if is_split {
            self.windows.remove(&start);
            out.notes.push(Note::Count { name: "window_split", subject, n });
            return Vec::new();
        }
        out.notes.push(Note::WindowClosed { subject, end_ms: end.0, rows: n });
        let mut items = vec![self.table(start, moment)];
        items.extend(self.judge(SeriesKind::FlagRate, start, moment));
        if moment.plan.outcomes.is_none() {
            self.forget_windows();
        }
        items
    }

    /// Counts outcomes as far as the join's clock has come, in the order they came, and tells the
    /// windows that are riper for it; judges those that matured.
    pub(super) fn mature(&mut self, moment: &Moment<'_>) -> Vec<FindingItem> {
        let (Some(plan), Some(clock)) = (&moment.plan.outcomes, moment.join_clock) else {
            return Vec::new();
        };
        let mut items = Vec::new();
        while let Some((_, start)) = self.next_age(moment, plan.horizon_ms).filter(|n| n.0 <= clock)
        {
            let Some(window) = self.windows.get_mut(&start) else { break };
            window.next_age += 1;
            let passed = window.next_age > OUTCOME_AGES;
            let told = window.told.unwrap_or(Maturity::Closed);
            let reached = reached(window.labelled_share(plan.covers), passed, plan.absent);
            self.touched.push(Part::Window(start));
            if reached <= told {
                continue;
            }
            window.told = Some(reached);
            window.revision += 1;
            self.touched.push(Part::Core);
            items.push(self.table(start, moment));
            if reached >= Maturity::Mature && told < Maturity::Mature {
                let kind = match plan.covers {
                    Covers::All => SeriesKind::FalsePositiveRate,
                    Covers::Flagged => SeriesKind::FalsePositivesPerDecision,
                };
                items.extend(self.judge(kind, start, moment));
            }
            if reached == Maturity::Final {
                self.windows.remove(&start);
            }
        }
        items
    }

    /// The next step of outcomes over all closed windows: by when they have come, and of which
    /// window they are.
    fn next_age(&self, moment: &Moment<'_>, horizon_ms: i64) -> Option<(EventTime, EventTime)> {
        let closed = self.windows.iter().filter(|(_, window)| window.told.is_some());
        let next = closed.map(|(start, window)| {
            let end = moment.plan.window.end_of(*start);
            (outcome_age_end(end, window.next_age, horizon_ms), *start)
        });
        next.min()
    }

    /// Judges one metric of a window: in total, and for each young version against the rest of
    /// its own producers.
    fn judge(
        &mut self,
        kind: SeriesKind,
        start: EventTime,
        moment: &Moment<'_>,
    ) -> Vec<FindingItem> {
        let frame = frame(start, moment, &self.windows[&start]);
        let window = &self.windows[&start];
        let mut findings: Vec<Finding> = self.contrasts(&frame, kind);
        let total = window.count(kind, |_| true);
        let baseline = match kind {
            SeriesKind::FlagRate => &mut self.core.learnt.flag_rate,
            _ => &mut self.core.learnt.false_positives,
        };
        findings.extend(baseline.take(&frame, kind, total));
        self.core.learnt.alarms.settle(findings, start, |series| series.kind == kind)
    }

    fn contrasts(&self, frame: &Frame<'_>, kind: SeriesKind) -> Vec<Finding> {
        let window = &self.windows[&frame.start];
        let mut findings = Vec::new();
        for ((dataset, version), (first_seen, original)) in &self.core.learnt.versions {
            let name = format!("{dataset} {version}");
            let open =
                self.core.learnt.alarms.open().any(|s| s.schema_version.as_ref() == Some(&name));
            if *original || !(open || frame.start.since_ms(*first_seen) < YOUNG_MS) {
                continue;
            }
            let origin = |key: &ModelCellKey| {
                let mut origins = key.exposure.iter();
                let origin = origins.find(|origin| &origin.dataset == dataset)?;
                Some((origin.producer.clone(), &origin.schema_version == version))
            };
            let producers: BTreeSet<String> = window
                .cells
                .keys()
                .filter_map(origin)
                .filter_map(|(producer, exposed)| exposed.then_some(producer))
                .collect();
            let exposed = window.count(kind, |key| origin(key).is_some_and(|(_, exposed)| exposed));
            let rest = window.count(kind, |key| {
                origin(key)
                    .is_some_and(|(producer, exposed)| !exposed && producers.contains(&producer))
            });
            findings.extend(outcomes::contrast(frame, kind, &name, (exposed, rest)));
        }
        findings
    }

    /// Enters versions met in the window. Those of the first are original, also where two
    /// definitions counted parts of it.
    fn note_versions(&mut self, start: EventTime, is_split: bool) {
        let original = self.core.windows_closed <= 1 + u32::from(is_split);
        for key in self.windows[&start].cells.keys() {
            for origin in &key.exposure {
                let version = (origin.dataset.clone(), origin.schema_version.clone());
                self.core.learnt.versions.entry(version).or_insert((start, original));
            }
        }
        self.forget_versions();
    }

    fn table(&self, start: EventTime, moment: &Moment<'_>) -> FindingItem {
        let window = &self.windows[&start];
        let cells = window.cells.iter();
        FindingItem::Cells(Box::new(CellTable {
            model: moment.plan.name.clone(),
            window_start: start,
            window_end: moment.plan.window.end_of(start),
            as_of: as_of(start, moment, window),
            revision: window.revision,
            complete: window.complete,
            maturity: window.told.unwrap_or(Maturity::Closed),
            cells: cells
                .map(|(key, (sums, ages))| (key.clone(), sums.clone(), window.counted(ages)))
                .collect(),
        }))
    }

    fn forget_windows(&mut self) {
        let closed = self.windows.values().filter(|window| window.told.is_some()).count();
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

/// How far outcomes have come. Where silence means negative, there is no rate before the horizon:
/// until then only the positives have spoken.
fn reached(labelled: f64, horizon_passed: bool, absent: Absent) -> Maturity {
    if horizon_passed {
        Maturity::Final
    } else if labelled >= MATURE && absent == Absent::Unknown {
        Maturity::Mature
    } else if labelled >= HALF {
        Maturity::Half
    } else {
        Maturity::Closed
    }
}

fn frame<'a>(start: EventTime, moment: &Moment<'_>, window: &ModelWindow) -> Frame<'a> {
    Frame {
        subject: Subject::Model(moment.plan.name.clone()),
        start,
        end: moment.plan.window.end_of(start),
        as_of: as_of(start, moment, window),
        complete: window.complete,
        watermark: moment.watermark.time,
        layout: None,
        definition: moment.plan.definition,
        fields: None,
        rows: window.n(),
    }
}

/// Event time up to which a window's outcomes are counted.
fn as_of(start: EventTime, moment: &Moment<'_>, window: &ModelWindow) -> EventTime {
    let end = moment.plan.window.end_of(start);
    match (&moment.plan.outcomes, window.next_age.checked_sub(1)) {
        (Some(outcomes), Some(age)) => outcome_age_end(end, age, outcomes.horizon_ms),
        _ => end,
    }
}
