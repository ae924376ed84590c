//! A dataset's window: cells, and the sums over them that tests read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::cell::CellKey;
use crate::event::summary::{CellDelta, DatasetDelta};
use crate::sketch::FieldSummary;

/// Field summaries by path.
pub(super) type Fields = BTreeMap<String, FieldSummary>;

/// Everything known of one window of a dataset.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Window {
    cells: BTreeMap<CellKey, Cell>,
    layout: LayoutMark,
    /// Cells of this admission rank and above belong to `__other__`.
    evicted_from: Option<u64>,
    /// It has been judged; what comes now is an amendment.
    pub(super) closed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Cell {
    rows: u64,
    fields: Fields,
}

/// Which layout a window was counted in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum LayoutMark {
    #[default]
    Empty,
    One(Option<u64>),
    Mixed,
}

impl Window {
    /// Adds a delta, keeping at most `cells_max` cells beside `__other__`.
    pub(super) fn merge(&mut self, delta: DatasetDelta, cells_max: usize) {
        let mark = LayoutMark::One(delta.layout);
        if self.layout == LayoutMark::Empty {
            self.layout = mark;
        } else if self.layout != mark {
            self.layout = LayoutMark::Mixed;
            for cell in self.cells.values_mut() {
                cell.fields.values_mut().for_each(|field| field.bins.clear());
            }
        }
        self.evicted_from = match (self.evicted_from, delta.evicted_from) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        for cell in delta.cells {
            self.merge_cell(cell);
        }
        self.evict(cells_max);
    }

    fn merge_cell(&mut self, mut delta: CellDelta) {
        if self.layout == LayoutMark::Mixed {
            delta.fields.iter_mut().for_each(|(_, field)| field.bins.clear());
        }
        let cell = Cell { rows: delta.rows, fields: delta.fields.into_iter().collect() };
        self.add_cell(delta.key, cell);
    }

    fn add_cell(&mut self, key: CellKey, cell: Cell) {
        match self.cells.get_mut(&key) {
            None => {
                self.cells.insert(key, cell);
            }
            Some(mine) => {
                mine.rows += cell.rows;
                add(&mut mine.fields, &cell.fields);
            }
        }
    }

    /// The admission rule of observe, applied to the sum: the smallest ranks stay.
    fn evict(&mut self, cells_max: usize) {
        let other = CellKey::other();
        let mut ranks: Vec<u64> =
            self.cells.keys().filter(|key| **key != other).map(CellKey::admission_rank).collect();
        if ranks.len() > cells_max {
            ranks.sort_unstable();
            let first_out = ranks[cells_max];
            self.evicted_from = Some(self.evicted_from.map_or(first_out, |f| f.min(first_out)));
        }
        let Some(from) = self.evicted_from else {
            return;
        };
        let out: Vec<CellKey> = self
            .cells
            .keys()
            .filter(|key| **key != other && key.admission_rank() >= from)
            .cloned()
            .collect();
        for key in out {
            if let Some(cell) = self.cells.remove(&key) {
                self.add_cell(other.clone(), cell);
            }
        }
    }

    /// The one layout everything was counted in.
    pub(super) fn layout(&self) -> Option<u64> {
        match self.layout {
            LayoutMark::One(layout) => layout,
            LayoutMark::Empty | LayoutMark::Mixed => None,
        }
    }

    /// Records in it.
    pub(super) fn rows(&self) -> u64 {
        self.cells.values().map(|cell| cell.rows).sum()
    }

    /// Records by schema version.
    pub(super) fn rows_by_version(&self) -> BTreeMap<&str, u64> {
        let mut rows = BTreeMap::new();
        for (key, cell) in &self.cells {
            *rows.entry(key.schema_version.as_str()).or_default() += cell.rows;
        }
        rows
    }

    /// Producers of a schema version, with their records and fields.
    pub(super) fn of_version(&self, version: &str) -> impl Iterator<Item = (&str, u64, &Fields)> {
        let cells = self.cells.iter().filter(move |(key, _)| key.schema_version == version);
        cells.map(|(key, cell)| (key.producer.as_str(), cell.rows, &cell.fields))
    }

    /// Gives a producer's cell of a version to another version.
    pub(super) fn rename(&mut self, producer: &str, from: &str, to: &str) {
        let key = |version: &str| CellKey {
            producer: producer.to_owned(),
            schema_version: version.to_owned(),
        };
        if let Some(cell) = self.cells.remove(&key(from)) {
            self.add_cell(key(to), cell);
        }
    }

    /// Producers of a schema version.
    pub(super) fn producers_of(&self, version: &str) -> Vec<&str> {
        self.of_version(version).map(|(producer, ..)| producer).collect()
    }

    /// The sum over the cells that `wanted` picks: rows and fields.
    pub(super) fn total(&self, mut wanted: impl FnMut(&CellKey) -> bool) -> Total {
        let mut total = Total::default();
        for (key, cell) in &self.cells {
            if wanted(key) {
                total.rows += cell.rows;
                add(&mut total.fields, &cell.fields);
            }
        }
        total
    }
}

/// A sum over cells.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Total {
    /// Records.
    pub(super) rows: u64,
    /// Their fields.
    pub(super) fields: Fields,
}

impl Total {
    /// Adds another sum to this one.
    pub(super) fn merge(&mut self, other: &Total) {
        self.rows += other.rows;
        add(&mut self.fields, &other.fields);
    }
}

fn add(mine: &mut Fields, theirs: &Fields) {
    for (path, field) in theirs {
        match mine.get_mut(path) {
            None => {
                mine.insert(path.clone(), field.clone());
            }
            Some(summary) => summary.merge(field),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::time::EventTime;
    use crate::sketch::FieldKind;

    fn delta(layout: Option<u64>, keys: &[(&str, &str)]) -> DatasetDelta {
        let cell = |(producer, version): &(&str, &str)| CellDelta {
            key: CellKey { producer: (*producer).into(), schema_version: (*version).into() },
            rows: 1,
            max_event_time: EventTime(0),
            fields: vec![("amount".into(), FieldSummary::new(FieldKind::Numeric, None))],
        };
        DatasetDelta {
            dataset: "orders".into(),
            definition: 0,
            window: EventTime(0),
            layout,
            evicted_from: None,
            cells: keys.iter().map(cell).collect(),
        }
    }

    #[test]
    fn window_with_two_layouts_keeps_its_counters_and_drops_its_bins() {
        let mut window = Window::default();
        window.merge(delta(Some(1), &[("a", "1")]), 64);
        assert_eq!(window.layout(), Some(1));
        window.merge(delta(Some(2), &[("a", "1")]), 64);

        assert_eq!(window.layout(), None);
        assert_eq!(window.rows(), 2);
    }

    #[test]
    fn admission_does_not_depend_on_order() {
        let keys: Vec<String> = (0..20).map(|i| format!("p{i}")).collect();
        let deltas: Vec<DatasetDelta> =
            keys.iter().map(|key| delta(None, &[(key.as_str(), "1")])).collect();
        let mut forth = Window::default();
        deltas.iter().for_each(|delta| forth.merge(delta.clone(), 5));
        let mut back = Window::default();
        deltas.iter().rev().for_each(|delta| back.merge(delta.clone(), 5));

        assert_eq!(forth.cells.keys().collect::<Vec<_>>(), back.cells.keys().collect::<Vec<_>>());
        assert_eq!((forth.cells.len(), forth.rows(), back.rows()), (6, 20, 20));
    }
}
