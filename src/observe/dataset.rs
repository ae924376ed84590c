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
use super::schemas::Readable;
use super::slot::Slot;
use super::tags::Tagged;
use super::text::{TextBuffer, prefix};
use super::values::Naming;
use crate::config::plan::{
    DatasetPlan, FieldPlan, FieldSelection, Limits, ValuePolicy, WantedKind,
};
use crate::config::values::ValuesKey;
use crate::event::cell::CellKey;
use crate::event::finding::Subject;
use crate::event::layout::LayoutUpdate;
use crate::event::schema::{SchemaField, SchemaSeen};
use crate::event::time::EventTime;
use crate::sketch::{FieldKind, FieldLayout, FieldSummary, UNNAMED};

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
    announced: Announced,
    /// Paths found and not watched since the last commit.
    pub(super) unwatched: u64,
    /// Records since the last commit whose time is most likely in another unit.
    pub(super) other_units: u64,
    /// Items beyond the limit since the last commit.
    pub(super) items_left_out: u64,
    /// Fields of items by their slot.
    items_at: Vec<Option<u32>>,
    bounds: Bounds,
    key: Option<ValuesKey>,
}

/// Limits that matter here.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    cells: usize,
    fields: usize,
    text_bytes: usize,
    versions: usize,
}

/// Configured versions of plain JSON that this process has announced.
#[derive(Debug, Default)]
struct Announced {
    versions: BTreeSet<String>,
    /// Start of the newest window that one was announced in.
    since: EventTime,
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
    /// How its categories are told apart.
    pub(super) naming: Naming,
    /// Its values are those of items.
    pub(super) of_items: bool,
    path_hash: u64,
    /// What configuration says; such a field is looked for in every record.
    plan: Option<FieldPlan>,
    policy: ValuePolicy,
    wanted: Option<WantedKind>,
    kind: Option<FieldKind>,
}

impl Field {
    /// What may be remembered of its values.
    pub(super) fn policy(&self) -> ValuePolicy {
        self.policy
    }

    /// Whether a schema's tags silence it. Where configuration says what may be remembered, that
    /// counts and not the tags.
    pub(super) fn is_silenced_by(&self, tagged: &Tagged) -> bool {
        self.policy() == ValuePolicy::Auto && tagged.covers(&self.path)
    }

    /// Whether configuration says something about it.
    pub(super) fn is_named(&self) -> bool {
        self.plan.is_some()
    }

    /// The rule of its contract that a value breaks.
    fn broken_by(&mut self, slot: &Slot<'_>) -> Option<Rule> {
        self.plan.as_ref()?;
        let mut buffer = TextBuffer::new();
        let counted = self.classify(slot, &mut buffer);
        match (&self.plan, counted) {
            (None, _) => None,
            (Some(_), Counted::Mismatch) => Some(Rule::Kind),
            (Some(plan), counted) => contract::breach(counted, plan),
        }
    }

    fn classify<'t>(&mut self, slot: &Slot<'t>, buffer: &'t mut TextBuffer) -> Counted<'t> {
        let hashed = self.policy == ValuePolicy::Hash;
        if self.kind.is_none() {
            self.kind = contract::kind_of(slot, self.wanted, hashed);
        }
        let kind = self.kind.unwrap_or(FieldKind::Opaque);
        contract::classify(slot, kind, self.wanted.is_some() || hashed, buffer)
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
    /// By field number, as far as it goes: the registry's tags silence the field.
    pub(super) tagged: &'a [bool],
}

impl Dataset {
    /// A dataset none of whose records have been seen; `slot_of` gives the slot of a path.
    pub(super) fn new(
        plan: &DatasetPlan,
        (limits, key): (&Limits, Option<&ValuesKey>),
        slot_of: &mut impl FnMut(&str) -> usize,
    ) -> Dataset {
        let mut dataset = Dataset {
            plan: plan.clone(),
            key: key.cloned(),
            fields: Vec::new(),
            layouts: Layouts::default(),
            cells: Cells::default(),
            producers: Interner::default(),
            versions: Interner::default(),
            schemas: Vec::new(),
            announced: Announced::default(),
            unwatched: 0,
            other_units: 0,
            items_left_out: 0,
            items_at: Vec::new(),
            bounds: Bounds {
                cells: limits.cells_per_window,
                fields: limits.fields_per_dataset,
                text_bytes: limits.text_bytes,
                versions: limits.versions_per_dataset,
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
        let plan = self.plan.fields.named(path).cloned();
        let policy = plan.as_ref().map_or(ValuePolicy::Auto, |plan| plan.values);
        let of_items = self.plan.fields.is_of_items(path);
        if of_items {
            let len = self.items_at.len().max(slot + 1);
            self.items_at.resize(len, None);
            self.items_at[slot] = u32::try_from(number).ok();
        }
        let subject = Subject::Dataset(self.plan.name.clone()).to_string();
        self.fields.push(Field {
            path: path.to_owned(),
            slot,
            of_items,
            sampler: Sampler::default(),
            path_hash: xxh3_64(path.as_bytes()),
            naming: Naming::new(policy, self.key.as_ref(), (&subject, path)),
            policy,
            wanted: plan.as_ref().and_then(|plan| plan.kind),
            plan,
            kind: self.layouts.kind(number),
        });
    }

    /// Takes values out of a schema to be told: those of fields that are hashed or silent.
    pub(super) fn withhold(&self, fields: &mut [SchemaField], schema: Option<&Readable>) {
        for field in fields {
            let policy = self.plan.fields.named(&field.path).map(|plan| plan.values);
            let hidden = match policy.unwrap_or_default() {
                ValuePolicy::Keep => false,
                ValuePolicy::Auto => schema.is_some_and(|one| one.tagged.covers(&field.path)),
                ValuePolicy::Hash | ValuePolicy::Drop => true,
            };
            if hidden {
                field.default = None;
                field.symbols.clear();
            }
        }
    }

    /// The first field whose contract the record breaks, where such records are set aside.
    pub(super) fn judge(&mut self, view: View<'_>) -> Option<(&str, Rule)> {
        if !self.plan.quarantine_breaches {
            return None;
        }
        for number in 0..self.fields.len() {
            let field = &mut self.fields[number];
            if field.of_items {
                continue;
            }
            if let Some(rule) = field.broken_by(view.slot(field.slot)) {
                return Some((&self.fields[number].path, rule));
            }
        }
        for (slot, value) in view.items.values() {
            let number = self.items_at.get(slot).copied().flatten().map(|number| number as usize);
            if let Some(number) = number
                && let Some(rule) = self.fields[number].broken_by(value)
            {
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
        let mut count = |number: usize, always: bool, item: Option<(usize, &Slot<'_>)>| {
            let field = &mut self.fields[number];
            let slot = item.map_or_else(|| view.slot(field.slot), |(_, value)| value);
            let is_absent = matches!(slot, Slot::Absent) && !field.is_named();
            if !always && (is_absent || field.of_items) {
                return;
            }
            let counted = field.classify(slot, &mut buffer);
            let into = &mut cell.fields[number];
            if field.policy == ValuePolicy::Drop || counting.tagged.get(number) == Some(&true) {
                add_in_silence(into, counted, field);
                return;
            }
            let layout = fitting(layout, number, field.kind);
            into.open(field.kind, layout);
            let sampled = sampled.map(|record| sampler::value_hash(record, field.path_hash));
            let sampled = match (sampled, item) {
                (Some(value), Some((nth, _))) => Some(sampler::value_hash(value, nth as u64)),
                (sampled, _) => sampled,
            };
            let sampled = sampled.filter(|hash| field.sampler.takes(*hash));
            let text_bytes = self.bounds.text_bytes;
            let hash = match counted {
                Counted::Category(text) if layout.is_some() || sampled.is_some() => {
                    field.naming.hash(prefix(text, text_bytes))
                }
                _ => UNNAMED,
            };
            add(into, (counted, hash), layout, field.plan.as_ref());
            if let Some(sampled) = sampled {
                sample(field, sampled, (counted, hash, text_bytes));
            }
        };
        match counting.uses {
            Some(uses) => uses.iter().for_each(|number| count(*number as usize, true, None)),
            None => (0..fields).for_each(|number| count(number, false, None)),
        }
        for (nth, (slot, value)) in view.items.values().enumerate() {
            if let Some(number) = self.items_at.get(slot).copied().flatten() {
                count(number as usize, true, Some((nth, value)));
            }
        }
        self.items_left_out += view.items.left_out();
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
        self.announced.versions.clear();
        self.other_units = 0;
        self.items_left_out = 0;
        self.settle_names();
        self.fields.iter_mut().for_each(|field| field.sampler.forget());
    }

    /// Empties what was told.
    pub(super) fn told(&mut self) {
        self.cells.clear(self.bounds.cells);
        self.schemas.clear();
        self.unwatched = 0;
        self.other_units = 0;
        self.items_left_out = 0;
        self.layouts.prune();
        self.settle_names();
    }

    fn settle_names(&mut self) {
        let keep = 4 * self.bounds.cells.max(64);
        self.producers.settle(keep);
        self.versions.settle(keep);
    }

    /// Rough size of what waits.
    pub(super) fn pending_bytes(&self) -> usize {
        let names = self.producers.fresh_bytes() + self.versions.fresh_bytes();
        let cells = self.cells.bytes() + names;
        if !self.layouts.is_learning() {
            return cells;
        }
        let samples: usize = self.fields.iter().map(|field| field.sampler.pending()).sum();
        cells + SAMPLE_BYTES * samples
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

    /// Whether a version of plain JSON is to be announced, which it then counts as. Ever new ones
    /// do not all get a word, but those of a later window do again.
    pub(super) fn announces(&mut self, version: &str, time: EventTime) -> bool {
        let Announced { versions, since } = &mut self.announced;
        if versions.contains(version) {
            return false;
        }
        let window = self.plan.window.start_of(time);
        if versions.len() >= self.bounds.versions {
            if window <= *since {
                return false;
            }
            versions.clear();
        }
        *since = window.max(*since);
        versions.insert(version.to_owned())
    }

    /// Whether a record of this time lies too far ahead for its partition.
    pub(super) fn is_ahead(&self, time: EventTime, highest: Option<EventTime>) -> bool {
        let size = self.plan.window;
        self.layouts.is_ahead(size.start_of(time), size, self.plan.lateness_ms, highest)
    }
}

/// Counts one value, a category by its hash.
#[inline]
fn add(
    into: &mut FieldCell,
    (counted, hash): (Counted<'_>, u64),
    layout: Option<&FieldLayout>,
    plan: Option<&FieldPlan>,
) {
    let summary = &mut into.summary;
    match counted {
        Counted::Absent => summary.counters.absent += 1,
        Counted::Null => summary.counters.null += 1,
        Counted::Mismatch => summary.counters.mismatch += 1,
        Counted::Present => summary.counters.present += 1,
        Counted::Number(number) => summary.add_number(number, layout),
        Counted::Category(_) => summary.add_category(hash, layout),
    }
    add_breach(summary, counted, plan);
}

/// Counts that a value is there and whether it breaks its contract, and nothing else of it.
#[inline(never)]
fn add_in_silence(into: &mut FieldCell, counted: Counted<'_>, field: &Field) {
    into.open(field.kind.map(|_| FieldKind::Opaque), None);
    let told = match counted {
        Counted::Number(_) | Counted::Category(_) => Counted::Present,
        other => other,
    };
    add(into, (told, UNNAMED), None, None);
    add_breach(&mut into.summary, counted, field.plan.as_ref());
}

#[inline]
fn add_breach(summary: &mut FieldSummary, counted: Counted<'_>, plan: Option<&FieldPlan>) {
    if let Some(plan) = plan
        && contract::breach(counted, plan).is_some()
    {
        summary.counters.breach += 1;
    }
}

/// Takes a value that the sampler takes, under the hash of its place.
#[inline(never)]
fn sample(field: &mut Field, at: u64, (counted, hash, text_bytes): (Counted<'_>, u64, usize)) {
    match counted {
        Counted::Number(number) => field.sampler.number(at, number),
        Counted::Category(text) => {
            let telling = (field.policy(), field.naming.leaves_alone());
            field.sampler.category(at, (hash, prefix(text, text_bytes)), telling);
        }
        Counted::Absent | Counted::Null | Counted::Mismatch | Counted::Present => {}
    }
}
