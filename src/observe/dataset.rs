//! One dataset as observe sees it: its fields, its layouts, its cells, its samples.
//!
//! [`Dataset::judge`] says whether a record can be used and changes nothing that is told
//! downstream; [`Dataset::count`] counts it.

use std::collections::BTreeSet;

use xxhash_rust::xxh3::xxh3_64;

use super::cells::{Cells, Coordinates, FieldCell, Opening, fitting};
use super::contract::{self, Counted, Rule};
use super::intern::Interner;
use super::layouts::Layouts;
use super::place::View;
use super::roles::Paths;
use super::sampler::{self, Sampler};
use super::slot::Slot;
use super::text::{TextBuffer, prefix};
use crate::config::plan::{DatasetPlan, FieldPlan, FieldSelection, Limits, ValuePolicy};
use crate::event::cell::CellKey;
use crate::event::layout::LayoutUpdate;
use crate::event::schema::SchemaSeen;
use crate::event::time::EventTime;
use crate::sketch::{FieldKind, FieldLayout, category_hash};

/// Rough size of one sampled value.
const SAMPLE_BYTES: usize = 32;

/// State of one dataset.
#[derive(Debug)]
pub(super) struct Dataset {
    /// Its configuration.
    pub(super) plan: DatasetPlan,
    /// Watched fields by number.
    pub(super) fields: Vec<Field>,
    /// Its layouts.
    pub(super) layouts: Layouts,
    /// Its cells since the last commit.
    pub(super) cells: Cells,
    /// Producers of those cells.
    pub(super) producers: Interner,
    /// Schema versions of those cells.
    pub(super) versions: Interner,
    /// Schemas met for the first time since the last commit.
    pub(super) schemas: Vec<SchemaSeen>,
    /// Configured versions of plain JSON announced by this process.
    pub(super) announced: BTreeSet<String>,
    /// Paths found and not watched since the last commit.
    pub(super) unwatched: u64,
    bounds: Bounds,
}

/// Limits that matter here.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    cells: usize,
    fields: usize,
    text_bytes: usize,
}

/// One watched field.
#[derive(Debug)]
pub(super) struct Field {
    /// Path.
    pub(super) path: String,
    /// Where its values are.
    pub(super) slot: usize,
    /// Its sample, while the dataset has no layout.
    pub(super) sampler: Sampler,
    path_hash: u64,
    /// What configuration says; such a field is looked for in every record.
    plan: Option<FieldPlan>,
    kind: Option<FieldKind>,
}

impl Field {
    /// What may be remembered of its values.
    pub(super) fn policy(&self) -> ValuePolicy {
        self.plan.as_ref().map_or(ValuePolicy::Auto, |plan| plan.values)
    }

    /// Whether configuration says something about it.
    pub(super) fn is_named(&self) -> bool {
        self.plan.is_some()
    }

    fn classify<'t>(&mut self, slot: &Slot<'t>, buffer: &'t mut TextBuffer) -> Counted<'t> {
        let wanted = self.plan.as_ref().and_then(|plan| plan.kind);
        if self.kind.is_none() {
            self.kind = contract::kind_of(slot, wanted);
        }
        let kind = self.kind.unwrap_or(FieldKind::Opaque);
        contract::classify(slot, kind, wanted.is_some(), buffer)
    }
}

/// A record to be counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counting<'a> {
    /// Where it stands.
    pub(super) at: Coordinates,
    /// Numbers of the fields its schema has; `None` for JSON, where only paths that are there
    /// and paths named by configuration are counted.
    pub(super) uses: Option<&'a [u32]>,
}

impl Dataset {
    /// A dataset none of whose records have been seen; `slot_of` gives the slot of a path.
    pub(super) fn new(
        plan: &DatasetPlan,
        limits: &Limits,
        slot_of: &mut impl FnMut(&str) -> usize,
    ) -> Dataset {
        let mut dataset = Dataset {
            plan: plan.clone(),
            fields: Vec::new(),
            layouts: Layouts::default(),
            cells: Cells::default(),
            producers: Interner::default(),
            versions: Interner::default(),
            schemas: Vec::new(),
            announced: BTreeSet::new(),
            unwatched: 0,
            bounds: Bounds {
                cells: limits.cells_per_window,
                fields: limits.fields_per_dataset,
                text_bytes: limits.text_bytes,
            },
        };
        let (FieldSelection::All(named) | FieldSelection::Only(named)) = &plan.fields;
        for path in named.keys() {
            dataset.watch(path, slot_of(path));
        }
        dataset
    }

    /// Offers a path found in the topic: watched if configuration and the limit let it.
    pub(super) fn offer(&mut self, path: &str, paths: &mut Paths) {
        if !self.plan.fields.watches(path) || self.fields.iter().any(|field| field.path == path) {
            return;
        }
        if self.fields.len() >= self.bounds.fields {
            self.unwatched += 1;
            return;
        }
        self.watch(path, paths.slot(path));
    }

    fn watch(&mut self, path: &str, slot: usize) {
        let number = self.fields.len();
        self.layouts.add_field(path);
        self.fields.push(Field {
            path: path.to_owned(),
            slot,
            sampler: Sampler::default(),
            path_hash: xxh3_64(path.as_bytes()),
            plan: self.plan.fields.named(path).cloned(),
            kind: self.layouts.kind(number),
        });
    }

    /// The first field whose contract the record breaks, where such records are set aside.
    pub(super) fn judge(&mut self, view: View<'_>) -> Option<(&str, Rule)> {
        if !self.plan.quarantine_breaches {
            return None;
        }
        for number in 0..self.fields.len() {
            let field = &mut self.fields[number];
            if !field.is_named() {
                continue;
            }
            let mut buffer = TextBuffer::new();
            let counted = field.classify(view.slot(field.slot), &mut buffer);
            let rule = match (&field.plan, counted) {
                (None, _) => None,
                (Some(_), Counted::Mismatch) => Some(Rule::Kind),
                (Some(plan), counted) => contract::breach(counted, plan),
            };
            if let Some(rule) = rule {
                return Some((&self.fields[number].path, rule));
            }
        }
        None
    }

    /// Counts a record.
    pub(super) fn count(&mut self, view: View<'_>, counting: Counting<'_>) {
        let cell = match self.cells.same_as_last(counting.at) {
            Some(cell) => cell,
            None => self.find(counting.at),
        };
        let layout_index = self.cells.layout_of(cell);
        let cell = self.cells.cell(cell, self.fields.len());
        cell.rows += 1;
        cell.max_event_time = cell.max_event_time.max(counting.at.time);
        let layout = self.layouts.get(layout_index);
        let sampled = self.layouts.is_learning().then(|| {
            let record = view.record;
            sampler::record_hash(record.topic, record.partition, record.offset)
        });
        let fields = self.fields.len();
        let mut buffer = TextBuffer::new();
        let mut count = |number: usize, always: bool| {
            let field = &mut self.fields[number];
            let slot = view.slot(field.slot);
            if !always && matches!(slot, Slot::Absent) && !field.is_named() {
                return;
            }
            let counted = field.classify(slot, &mut buffer);
            let layout = fitting(layout, number, field.kind);
            let into = &mut cell.fields[number];
            into.open(field.kind, layout);
            let text_bytes = self.bounds.text_bytes;
            let hash = add(into, counted, layout, (&field.plan, text_bytes));
            if let Some(record) = sampled {
                sample(field, record, (counted, hash, text_bytes));
            }
        };
        match counting.uses {
            Some(uses) => uses.iter().for_each(|number| count(*number as usize, true)),
            None => (0..fields).for_each(|number| count(number, false)),
        }
    }

    /// Takes what assess says. From a new layout on, fields are counted as what it was learnt
    /// from, and sampling ends.
    pub(super) fn layout(&mut self, update: &LayoutUpdate) {
        let paths = self.fields.iter().map(|field| field.path.as_str());
        if !self.layouts.update(update, self.plan.window, paths) {
            return;
        }
        for (number, field) in self.fields.iter_mut().enumerate() {
            field.kind = self.layouts.kind(number).or(field.kind);
            field.sampler.forget();
        }
    }

    /// Drops everything that would have been told at the next commit.
    pub(super) fn drop_pending(&mut self) {
        self.cells.clear(self.bounds.cells);
        self.schemas.clear();
        self.announced.clear();
        self.fields.iter_mut().for_each(|field| field.sampler.forget());
    }

    /// Empties what was told; names are forgotten when there are far more than cells.
    pub(super) fn told(&mut self) {
        self.cells.clear(self.bounds.cells);
        self.schemas.clear();
        self.unwatched = 0;
        self.layouts.prune();
        for names in [&mut self.producers, &mut self.versions] {
            if names.len() > 4 * self.bounds.cells.max(64) {
                names.forget();
            }
        }
    }

    /// Rough size of what waits.
    pub(super) fn pending_bytes(&self) -> usize {
        if !self.layouts.is_learning() {
            return self.cells.bytes();
        }
        let samples: usize = self.fields.iter().map(|field| field.sampler.pending()).sum();
        self.cells.bytes() + SAMPLE_BYTES * samples
    }

    fn find(&mut self, at: Coordinates) -> u32 {
        let window = self.plan.window.start_of(at.time);
        self.layouts.meet(window);
        let opening = Opening {
            size: self.plan.window,
            limit: self.bounds.cells,
            layout: self.layouts.choose(window),
            fields: self.fields.len(),
        };
        let (producers, versions) = (&self.producers, &self.versions);
        self.cells.find(at, opening, || {
            let key = CellKey {
                producer: producers.text(at.producer).to_owned(),
                schema_version: versions.text(at.version).to_owned(),
            };
            key.admission_rank()
        })
    }

    /// Whether a record of this time lies too far ahead for its partition.
    pub(super) fn is_ahead(&self, time: EventTime, highest: Option<EventTime>) -> bool {
        let size = self.plan.window;
        self.layouts.is_ahead(size.start_of(time), size, self.plan.lateness_ms, highest)
    }
}

/// Counts one value; gives the hash of a category.
#[inline]
fn add(
    into: &mut FieldCell,
    counted: Counted<'_>,
    layout: Option<&FieldLayout>,
    (plan, text_bytes): (&Option<FieldPlan>, usize),
) -> u64 {
    let mut hash = 0;
    let summary = &mut into.summary;
    match counted {
        Counted::Absent => summary.counters.absent += 1,
        Counted::Null => summary.counters.null += 1,
        Counted::Mismatch => summary.counters.mismatch += 1,
        Counted::Present => summary.counters.present += 1,
        Counted::Number(number) => summary.add_number(number, layout),
        Counted::Category(text) => {
            hash = category_hash(prefix(text, text_bytes).as_bytes());
            summary.add_category(hash, layout);
        }
    }
    if let Some(plan) = plan
        && contract::breach(counted, plan).is_some()
    {
        summary.counters.breach += 1;
    }
    hash
}

fn sample(field: &mut Field, record: u64, (counted, value, text_bytes): (Counted<'_>, u64, usize)) {
    let policy = field.policy();
    if policy == ValuePolicy::Drop {
        return;
    }
    let hash = sampler::value_hash(record, field.path_hash);
    if !field.sampler.takes(hash) {
        return;
    }
    match counted {
        Counted::Number(number) => field.sampler.number(hash, number),
        Counted::Category(text) => {
            field.sampler.category(hash, value, prefix(text, text_bytes), policy);
        }
        Counted::Absent | Counted::Null | Counted::Mismatch | Counted::Present => {}
    }
}
