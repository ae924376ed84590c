//! The cells of one dataset since the last commit: found, filled, recycled.
//!
//! A cell is (window, producer, schema version). Its summaries come from a free list, so that once
//! warm neither finding nor filling one allocates. What is beyond the limit of a window is added
//! together in that window's cell of others, see [`super::admission`].

use super::admission::{Admission, Entry};
use super::intern::Table;
use super::layouts::KnownLayout;
use crate::event::time::{EventTime, WindowSize};
use crate::sketch::{FieldKind, FieldLayout, FieldSummary};

/// Number that stands for the producer and version of the others.
pub(super) const OTHERS: u32 = u32::MAX;

/// Rough size of one open field, for deciding when to commit.
const FIELD_BYTES: usize = 512;
/// Rough size of a cell key.
const KEY_BYTES: usize = 64;

/// Cells since the last commit.
#[derive(Debug, Default)]
pub(super) struct Cells {
    windows: Vec<Window>,
    cells: Vec<Cell>,
    /// (index of the window, producer, version) to the cell it is counted in.
    places: Table<(u32, u32, u32), u32>,
    free: Vec<Vec<FieldCell>>,
    last: Option<Last>,
    bytes: usize,
}

/// One window being counted.
#[derive(Debug)]
pub(super) struct Window {
    /// Its start.
    pub(super) start: EventTime,
    /// Index of its layout.
    pub(super) layout: Option<usize>,
    admission: Admission,
    others: Option<u32>,
}

impl Window {
    /// The smallest rank that found no room.
    pub(super) fn evicted_from(&self) -> Option<u64> {
        self.admission.evicted_from()
    }
}

/// One cell being counted.
#[derive(Debug)]
pub(super) struct Cell {
    window: u32,
    /// Interned producer, or [`OTHERS`].
    pub(super) producer: u32,
    /// Interned schema version, or [`OTHERS`].
    pub(super) version: u32,
    /// Records.
    pub(super) rows: u64,
    /// Highest event time.
    pub(super) max_event_time: EventTime,
    /// By field number.
    pub(super) fields: Vec<FieldCell>,
    /// Its counts were moved to the others.
    moved: bool,
}

/// One field of one cell.
#[derive(Debug)]
pub(super) struct FieldCell {
    /// The counts.
    pub(super) summary: FieldSummary,
    /// It has its kind and its bins.
    open: bool,
}

/// Where the previous record was counted.
#[derive(Clone, Copy, Debug)]
struct Last {
    start: EventTime,
    end: EventTime,
    producer: u32,
    version: u32,
    cell: u32,
}

/// Coordinates of a record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coordinates {
    /// Event time.
    pub(super) time: EventTime,
    /// Interned producer.
    pub(super) producer: u32,
    /// Interned schema version.
    pub(super) version: u32,
}

impl FieldCell {
    fn new() -> FieldCell {
        FieldCell { summary: FieldSummary::new(FieldKind::Opaque, None), open: false }
    }

    /// Gives it its kind and room for its bins. Until the kind is known only nulls are counted.
    #[inline]
    pub(super) fn open(&mut self, kind: Option<FieldKind>, layout: Option<&FieldLayout>) {
        let Some(kind) = kind else {
            return;
        };
        if self.open {
            if kind != self.summary.kind {
                self.mix(kind);
            }
            return;
        }
        self.open = true;
        self.summary.kind = kind;
        self.summary.bins.clear();
        self.summary.bins.resize(layout.map_or(0, FieldLayout::bins), 0);
    }

    /// Values of another kind come to it: those of schemas that tell values and of schemas that
    /// must not, met in the cell of others. Neither side's bins count then, as in a merge.
    #[cold]
    fn mix(&mut self, kind: FieldKind) {
        self.summary.kind = self.summary.kind.min(kind);
        self.summary.bins.clear();
    }

    /// Something was counted.
    pub(super) fn is_used(&self) -> bool {
        self.summary.counters.rows() > 0
    }

    fn absorb(&mut self, other: &FieldCell) {
        if !other.is_used() {
            return;
        }
        if self.open || !other.open {
            self.summary.merge(&other.summary);
            return;
        }
        // The first of its kind here: only nulls were counted before, so its bins fit.
        self.open = true;
        self.summary.kind = other.summary.kind;
        self.summary.bins.clear();
        self.summary.bins.resize(other.summary.bins.len(), 0);
        self.summary.merge(&other.summary);
    }

    fn recycle(&mut self) {
        self.summary.clear();
        self.summary.kind = FieldKind::Opaque;
        self.open = false;
    }
}

/// What the table needs to know of a dataset to open a cell.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening {
    /// Window size.
    pub(super) size: WindowSize,
    /// Cells a window may have.
    pub(super) limit: usize,
    /// Index of the layout of the record's window.
    pub(super) layout: Option<usize>,
    /// Fields the dataset has.
    pub(super) fields: usize,
}

impl Cells {
    /// The cell the previous record was counted in, if this one's is the same.
    #[inline]
    pub(super) fn same_as_last(&self, at: Coordinates) -> Option<u32> {
        let last = self.last?;
        let same = last.producer == at.producer
            && last.version == at.version
            && last.start <= at.time
            && at.time < last.end;
        same.then_some(last.cell)
    }

    /// Finds or opens the cell of a record; `rank` is asked for a cell never met.
    pub(super) fn find(
        &mut self,
        at: Coordinates,
        opening: Opening,
        rank: impl FnOnce() -> u64,
    ) -> u32 {
        let start = opening.size.start_of(at.time);
        let window = self.window(start, opening.layout);
        let key = (window, at.producer, at.version);
        let cell = match self.places.get(&key) {
            Some(cell) => *cell,
            None => self.admit(key, opening, rank()),
        };
        self.last = Some(Last {
            start,
            end: opening.size.end_of(start),
            producer: at.producer,
            version: at.version,
            cell,
        });
        cell
    }

    /// Index of the layout a cell is counted in.
    pub(super) fn layout_of(&self, cell: u32) -> Option<usize> {
        self.windows[self.cells[cell as usize].window as usize].layout
    }

    /// A cell, with room for `fields` fields.
    pub(super) fn cell(&mut self, cell: u32, fields: usize) -> &mut Cell {
        let cell = &mut self.cells[cell as usize];
        if cell.fields.len() < fields {
            self.bytes += FIELD_BYTES * (fields - cell.fields.len());
            cell.fields.resize_with(fields, FieldCell::new);
        }
        cell
    }

    /// Rough size of what waits.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Windows in ascending order, each with the cells to be told.
    pub(super) fn by_window(&self) -> impl Iterator<Item = (&Window, Vec<&Cell>)> {
        let mut order: Vec<usize> = (0..self.windows.len()).collect();
        order.sort_by_key(|index| self.windows[*index].start);
        order.into_iter().map(|index| {
            let cells = self.cells.iter();
            let cells = cells.filter(|cell| cell.window as usize == index && !cell.moved);
            (&self.windows[index], cells.filter(|cell| cell.rows > 0).collect())
        })
    }

    /// Empties the table; at most `keep` sets of summaries stay for reuse.
    pub(super) fn clear(&mut self, keep: usize) {
        for mut cell in self.cells.drain(..) {
            if self.free.len() < keep {
                cell.fields.iter_mut().for_each(FieldCell::recycle);
                self.free.push(cell.fields);
            }
        }
        self.windows.clear();
        self.places.clear();
        self.last = None;
        self.bytes = 0;
    }

    fn window(&mut self, start: EventTime, layout: Option<usize>) -> u32 {
        let found = self.windows.iter().rposition(|window| window.start == start);
        let index = found.unwrap_or_else(|| {
            self.windows.push(Window {
                start,
                layout,
                admission: Admission::default(),
                others: None,
            });
            self.windows.len() - 1
        });
        index as u32
    }

    fn admit(&mut self, key: (u32, u32, u32), opening: Opening, rank: u64) -> u32 {
        let new = self.cells.len() as u32;
        self.bytes += KEY_BYTES;
        let window = &mut self.windows[key.0 as usize];
        let cell = match window.admission.admit(rank, new, opening.limit) {
            Entry::Kept => self.push(key, opening.fields),
            Entry::Replaces(evicted) => {
                let cell = self.push(key, opening.fields);
                self.move_to_others(evicted, opening.fields);
                cell
            }
            Entry::Refused => self.others(key.0, opening.fields),
        };
        self.places.insert(key, cell);
        cell
    }

    fn push(&mut self, (window, producer, version): (u32, u32, u32), fields: usize) -> u32 {
        let mut summaries = self.free.pop().unwrap_or_default();
        self.bytes += FIELD_BYTES * summaries.len().max(fields);
        if summaries.len() < fields {
            summaries.resize_with(fields, FieldCell::new);
        }
        self.cells.push(Cell {
            window,
            producer,
            version,
            rows: 0,
            max_event_time: EventTime::MIN,
            fields: summaries,
            moved: false,
        });
        (self.cells.len() - 1) as u32
    }

    fn others(&mut self, window: u32, fields: usize) -> u32 {
        if let Some(cell) = self.windows[window as usize].others {
            return cell;
        }
        let cell = self.push((window, OTHERS, OTHERS), fields);
        self.windows[window as usize].others = Some(cell);
        cell
    }

    fn move_to_others(&mut self, evicted: u32, fields: usize) {
        let from = &mut self.cells[evicted as usize];
        from.moved = true;
        let key = (from.window, from.producer, from.version);
        let (rows, newest) = (from.rows, from.max_event_time);
        let mut summaries = std::mem::take(&mut from.fields);
        let others = self.others(key.0, fields.max(summaries.len()));
        self.places.insert(key, others);
        let into = self.cell(others, summaries.len());
        into.rows += rows;
        into.max_event_time = into.max_event_time.max(newest);
        for (into, from) in into.fields.iter_mut().zip(&mut summaries) {
            into.absorb(from);
            from.recycle();
        }
        self.free.push(summaries);
    }
}

/// The layout of a field in a cell's window, where it fits the kind the field is counted as.
pub(super) fn fitting(
    layout: Option<&KnownLayout>,
    field: usize,
    kind: Option<FieldKind>,
) -> Option<&FieldLayout> {
    match (layout?.field(field)?, kind?) {
        (found @ FieldLayout::Numeric(_), FieldKind::Numeric)
        | (found @ FieldLayout::Category(_), FieldKind::Category) => Some(found),
        _ => None,
    }
}
