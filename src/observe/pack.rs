//! Packs what a commit tells into messages below the size brokers take.
//!
//! What does not fit into one message goes on in the next; a cell too large for one is told in
//! parts, the later ones without rows, because everything in a delta adds up. Only the last
//! message of a partition carries the header.

use serde::Serialize;

use crate::event::fact::{FactBatch, FactCell, FactTerms, OutcomeFact, PredictionFact};
use crate::event::progress::{Header, Progress};
use crate::event::route::{Outbox, Outgoing, Route};
use crate::event::schema::SchemaSeen;
use crate::event::summary::{CellDelta, DatasetDelta, ModelDelta, SampleDelta, SummaryBatch};
use crate::event::wire::{Wire, encode};

/// Messages stay below this: the broker's default limit is 1 MiB with its framing. *Units*: bytes.
pub(super) const MESSAGE_BYTES: usize = 900 * 1024;
/// Left free for lengths and the names of a delta.
const SLACK: usize = 16 * 1024;
const ROOM: usize = MESSAGE_BYTES - SLACK;

/// Bytes a value takes on the wire.
fn size<T: Serialize>(value: &T) -> usize {
    postcard::experimental::serialized_size(value)
        .expect("every type here has a length postcard can write")
}

fn send<M: Wire>(message: &M, route: Route, out: &mut Outbox) {
    out.messages.push(Outgoing { route, key: None, payload: encode(message), headers: Vec::new() });
}

/// Messages to one partition of `summaries`.
#[derive(Debug)]
pub(super) struct Summaries<'o> {
    route: Route,
    batch: SummaryBatch,
    bytes: usize,
    out: &'o mut Outbox,
}

impl<'o> Summaries<'o> {
    /// Nothing yet for this partition.
    pub(super) fn new(partition: i32, out: &'o mut Outbox) -> Summaries<'o> {
        Summaries {
            route: Route::Summaries(partition),
            batch: SummaryBatch::default(),
            bytes: 0,
            out,
        }
    }

    /// Tells one window of a dataset; its cells may be spread over messages.
    pub(super) fn dataset(&mut self, delta: DatasetDelta) {
        let DatasetDelta { cells, .. } = delta;
        let head = DatasetDelta { cells: Vec::new(), ..delta };
        let mut open = false;
        for part in cells.into_iter().flat_map(parts) {
            open &= !self.reserve(size(&part));
            if !open {
                self.batch.datasets.push(head.clone());
                open = true;
            }
            if let Some(last) = self.batch.datasets.last_mut() {
                last.cells.push(part);
            }
        }
    }

    /// Tells one window of a model; its cells may be spread over messages.
    pub(super) fn model(&mut self, delta: ModelDelta) {
        let ModelDelta { cells, .. } = delta;
        let head = ModelDelta { cells: Vec::new(), ..delta };
        let mut open = false;
        for cell in cells {
            open &= !self.reserve(size(&cell));
            if !open {
                self.batch.models.push(head.clone());
                open = true;
            }
            if let Some(last) = self.batch.models.last_mut() {
                last.cells.push(cell);
            }
        }
    }

    /// Tells a sample.
    pub(super) fn sample(&mut self, sample: SampleDelta) {
        self.reserve(size(&sample));
        self.batch.samples.push(sample);
    }

    /// Tells a schema; one too large for a message loses its last fields.
    pub(super) fn schema(&mut self, mut schema: SchemaSeen) {
        let mut bytes = size(&schema);
        while bytes > ROOM && !schema.fields.is_empty() {
            schema.fields.truncate(schema.fields.len() / 2);
            bytes = size(&schema);
        }
        self.reserve(bytes);
        self.batch.schemas.push(schema);
    }

    /// Sends what is left, with the header.
    pub(super) fn finish(mut self, progress: &[Progress]) {
        let header = Header::Observe(progress.to_vec());
        self.reserve(size(&header));
        self.batch.header = Some(header);
        send(&self.batch, self.route, self.out);
    }

    /// Makes room; gives whether a new message was begun for it.
    fn reserve(&mut self, bytes: usize) -> bool {
        let begun = self.bytes > 0 && self.bytes + bytes > ROOM;
        if begun {
            send(&self.batch, self.route, self.out);
            self.batch = SummaryBatch::default();
            self.bytes = 0;
        }
        self.bytes += bytes;
        begun
    }
}

/// A cell in parts that fit into a message each.
fn parts(cell: CellDelta) -> Vec<CellDelta> {
    if size(&cell) <= ROOM {
        return vec![cell];
    }
    let CellDelta { key, rows, max_event_time, fields } = cell;
    let part = |rows| CellDelta { key: key.clone(), rows, max_event_time, fields: Vec::new() };
    let mut parts = vec![part(rows)];
    let mut bytes = 0;
    for field in fields {
        let more = size(&field);
        if bytes + more > ROOM {
            parts.push(part(0));
            bytes = 0;
        }
        bytes += more;
        if let Some(last) = parts.last_mut() {
            last.fields.push(field);
        }
    }
    parts
}

/// Messages to one partition of `facts`. Models and cells are numbered anew in each.
#[derive(Debug)]
pub(super) struct FactMessages<'o> {
    route: Route,
    batch: FactBatch,
    /// Caller's numbers of the models and (model, cell) of the batch.
    models: Vec<usize>,
    cells: Vec<(usize, u32)>,
    bytes: usize,
    out: &'o mut Outbox,
}

impl<'o> FactMessages<'o> {
    /// Nothing yet for this partition.
    pub(super) fn new(partition: i32, out: &'o mut Outbox) -> FactMessages<'o> {
        FactMessages {
            route: Route::Facts(partition),
            batch: empty_facts(),
            models: Vec::new(),
            cells: Vec::new(),
            bytes: 0,
            out,
        }
    }

    /// Tells a prediction of the caller's `model` and `cell`; `name` is asked for the cell's
    /// coordinates when it is new to the message.
    pub(super) fn prediction(
        &mut self,
        mut fact: PredictionFact,
        (model, cell): (usize, u32),
        as_told: (&str, FactTerms),
        name: impl Fn() -> FactCell,
    ) {
        self.reserve(size(&fact) + 8);
        let found = self.cells.iter().rposition(|known| *known == (model, cell));
        let index = match found {
            Some(index) => index,
            None => {
                let new = name();
                self.reserve(size(&new));
                let model_index = self.model(model, as_told);
                self.batch.cells.push(FactCell { model: model_index, ..new });
                self.cells.push((model, cell));
                self.cells.len() - 1
            }
        };
        fact.cell = index as u32;
        self.batch.predictions.push(fact);
    }

    /// Tells an outcome of the caller's `model`.
    pub(super) fn outcome(
        &mut self,
        mut fact: OutcomeFact,
        model: usize,
        as_told: (&str, FactTerms),
    ) {
        self.reserve(size(&fact) + 8);
        fact.model = self.model(model, as_told);
        self.batch.outcomes.push(fact);
    }

    /// Sends what is left, with the header.
    pub(super) fn finish(mut self, progress: &[Progress]) {
        let header = progress.to_vec();
        self.reserve(size(&header));
        self.batch.header = Some(header);
        send(&self.batch, self.route, self.out);
    }

    fn model(&mut self, model: usize, (name, terms): (&str, FactTerms)) -> u16 {
        let found = self.models.iter().position(|known| *known == model);
        let index = found.unwrap_or_else(|| {
            self.bytes += name.len() + 2 + size(&terms);
            self.models.push(model);
            self.batch.models.push(name.to_owned());
            self.batch.terms.push(terms);
            self.models.len() - 1
        });
        index as u16
    }

    fn reserve(&mut self, bytes: usize) {
        if self.bytes > 0 && self.bytes + bytes > ROOM {
            send(&self.batch, self.route, self.out);
            self.batch = empty_facts();
            self.models.clear();
            self.cells.clear();
            self.bytes = 0;
        }
        self.bytes += bytes;
    }
}

fn empty_facts() -> FactBatch {
    FactBatch {
        header: None,
        models: Vec::new(),
        terms: Vec::new(),
        cells: Vec::new(),
        predictions: Vec::new(),
        outcomes: Vec::new(),
    }
}
