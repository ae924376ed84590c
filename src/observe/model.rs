//! One model as observe sees it: sums over its predictions, by window, version and exposure.
//!
//! The lookup key of a cell is a short list of interned numbers, so that a prediction allocates
//! nothing; the [`ModelCellKey`] is made at commit.

use super::admission::{Admission, Entry};
use super::intern::{Interner, Table};
use crate::config::definition::fact_terms;
use crate::config::plan::ModelPlan;
use crate::event::cell::{ModelCellKey, Origin};
use crate::event::fact::FactTerms;
use crate::event::summary::PredictionSums;
use crate::event::time::EventTime;

/// Rough size of one open cell, for deciding when to commit.
const CELL_BYTES: usize = 512;

/// State of one model.
#[derive(Debug)]
pub(super) struct Model {
    /// Its configuration.
    pub(super) plan: ModelPlan,
    /// What its facts say they were counted under.
    pub(super) terms: FactTerms,
    /// Versions, producers and schema versions of its cells.
    pub(super) names: Interner,
    /// Records since the last commit whose time is most likely in another unit.
    pub(super) other_units: u64,
    windows: Vec<Window>,
    cells: Vec<Cell>,
    /// Key of a cell to the cell it is counted in.
    places: Table<Box<[u32]>, u32>,
    limit: usize,
}

/// One window being counted.
#[derive(Debug)]
struct Window {
    start: EventTime,
    admission: Admission,
    others: Option<u32>,
}

/// One cell being counted.
#[derive(Debug)]
struct Cell {
    /// Index of the window.
    window: u32,
    /// Window, model version, then producer and schema version of each exposure; empty for the
    /// cell of others.
    key: Box<[u32]>,
    sums: PredictionSums,
    moved: bool,
}

/// A prediction to be counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prediction {
    /// Prediction time.
    pub(super) time: EventTime,
    /// Score, if there is one.
    pub(super) score: Option<f64>,
    /// The positive decision was taken.
    pub(super) flagged: bool,
}

/// One window as it is told.
#[derive(Debug)]
pub(super) struct ToldWindow {
    /// Its start.
    pub(super) start: EventTime,
    /// The smallest rank that found no room.
    pub(super) evicted_from: Option<u64>,
    /// Its cells, in key order.
    pub(super) cells: Vec<(ModelCellKey, PredictionSums)>,
}

impl Model {
    /// A model none of whose predictions have been seen.
    pub(super) fn new(plan: &ModelPlan, limit: usize) -> Model {
        Model {
            plan: plan.clone(),
            terms: fact_terms(plan),
            names: Interner::default(),
            other_units: 0,
            windows: Vec::new(),
            cells: Vec::new(),
            places: Table::default(),
            limit,
        }
    }

    /// Counts a prediction; gives its cell. `key` is the interned version, then producer and
    /// schema version of each exposure, with room at the front for the window.
    pub(super) fn count(&mut self, key: &mut [u32], prediction: Prediction) -> u32 {
        let start = self.plan.window.start_of(prediction.time);
        let window = self.window(start);
        if let Some(first) = key.first_mut() {
            *first = window;
        }
        let cell = match self.places.get(&*key) {
            Some(cell) => *cell,
            None => self.admit(window, key),
        };
        self.cells[cell as usize].sums.add(prediction.score, prediction.flagged);
        cell
    }

    /// Window and key of a cell, as facts name it: that of the others once it was moved there.
    pub(super) fn name_of(&self, cell: u32) -> (EventTime, ModelCellKey) {
        let cell = &self.cells[cell as usize];
        let start = self.windows[cell.window as usize].start;
        if cell.moved {
            return (start, ModelCellKey::other());
        }
        (start, self.key(&cell.key))
    }

    /// What is to be told, in window order.
    pub(super) fn told(&self) -> Vec<ToldWindow> {
        let mut told: Vec<ToldWindow> = Vec::with_capacity(self.windows.len());
        for (index, window) in self.windows.iter().enumerate() {
            let cells = self.cells.iter().filter(|cell| cell.window as usize == index);
            let mut cells: Vec<_> = cells
                .filter(|cell| !cell.moved && cell.sums.n > 0)
                .map(|cell| (self.key(&cell.key), cell.sums.clone()))
                .collect();
            cells.sort_by(|a, b| a.0.cmp(&b.0));
            told.push(ToldWindow {
                start: window.start,
                evicted_from: window.admission.evicted_from(),
                cells,
            });
        }
        told.sort_by_key(|window| window.start);
        told
    }

    /// Empties what was told.
    pub(super) fn clear(&mut self) {
        self.windows.clear();
        self.cells.clear();
        self.places.clear();
        self.other_units = 0;
        self.names.settle(4 * self.limit.max(64));
    }

    /// Rough size of what waits.
    pub(super) fn pending_bytes(&self) -> usize {
        let cells = self.cells.len() * CELL_BYTES + self.places.len() * CELL_BYTES / 4;
        cells + self.names.fresh_bytes()
    }

    fn window(&mut self, start: EventTime) -> u32 {
        let found = self.windows.iter().rposition(|window| window.start == start);
        let index = found.unwrap_or_else(|| {
            self.windows.push(Window { start, admission: Admission::default(), others: None });
            self.windows.len() - 1
        });
        index as u32
    }

    fn admit(&mut self, window: u32, key: &[u32]) -> u32 {
        let rank = self.key(key).admission_rank();
        let new = self.cells.len() as u32;
        let admission = &mut self.windows[window as usize].admission;
        let cell = match admission.admit(rank, new, self.limit) {
            Entry::Kept => self.push(window, key.into()),
            Entry::Replaces(evicted) => {
                let cell = self.push(window, key.into());
                self.move_to_others(window, evicted);
                cell
            }
            Entry::Refused => self.others(window),
        };
        self.places.insert(key.into(), cell);
        cell
    }

    fn push(&mut self, window: u32, key: Box<[u32]>) -> u32 {
        self.cells.push(Cell { window, key, sums: PredictionSums::default(), moved: false });
        (self.cells.len() - 1) as u32
    }

    fn others(&mut self, window: u32) -> u32 {
        if let Some(cell) = self.windows[window as usize].others {
            return cell;
        }
        let cell = self.push(window, Box::default());
        self.windows[window as usize].others = Some(cell);
        cell
    }

    fn move_to_others(&mut self, window: u32, evicted: u32) {
        let others = self.others(window);
        let from = &mut self.cells[evicted as usize];
        from.moved = true;
        let sums = std::mem::take(&mut from.sums);
        if let Some(place) = self.places.get_mut(&from.key) {
            *place = others;
        }
        self.cells[others as usize].sums.merge(&sums);
    }

    fn key(&self, numbers: &[u32]) -> ModelCellKey {
        let [_, version, exposure @ ..] = numbers else {
            return ModelCellKey::other();
        };
        let datasets = self.plan.predictions.exposure.keys();
        let origins = datasets.zip(exposure.chunks_exact(2));
        ModelCellKey {
            model_version: self.names.text(*version).to_owned(),
            exposure: origins
                .map(|(dataset, pair)| Origin {
                    dataset: dataset.clone(),
                    producer: self.names.text(pair[0]).to_owned(),
                    schema_version: self.names.text(pair[1]).to_owned(),
                })
                .collect(),
        }
    }
}
