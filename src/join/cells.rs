//! Cells that waiting predictions point at, and what was labelled in them since the last commit.
//!
//! Each cell is held once however many predictions wait in it, and given up when none does and
//! nothing in it is left to say.

use std::collections::BTreeMap;

use crate::event::cell::ModelCellKey;
use crate::event::fact::FactTerms;
use crate::event::summary::OutcomeSums;
use crate::event::time::EventTime;

/// A window, the cell within it, and what it was counted under.
pub(super) type CellName = (EventTime, ModelCellKey, FactTerms);

/// Interned cells. *Memory*: one per (window, cell) with a waiting prediction.
#[derive(Debug, Default)]
pub(super) struct Cells {
    numbers: BTreeMap<CellName, u32>,
    slots: Vec<Cell>,
    free: Vec<u32>,
    touched: Vec<u32>,
}

#[derive(Debug)]
struct Cell {
    name: CellName,
    waiting: u64,
    /// By [`crate::event::summary::outcome_age`].
    sums: BTreeMap<u8, OutcomeSums>,
    touched: bool,
}

impl Cells {
    /// The number of a cell, good from the next [`Cells::wait`] until the last [`Cells::leave`].
    pub(super) fn number(&mut self, name: CellName) -> u32 {
        if let Some(number) = self.numbers.get(&name) {
            return *number;
        }
        let cell = Cell { name: name.clone(), waiting: 0, sums: BTreeMap::new(), touched: false };
        let number = if let Some(number) = self.free.pop() {
            self.slots[number as usize] = cell;
            number
        } else {
            self.slots.push(cell);
            u32::try_from(self.slots.len() - 1).expect("no more cells than waiting predictions")
        };
        self.numbers.insert(name, number);
        number
    }

    /// A prediction begins to wait in a cell.
    pub(super) fn wait(&mut self, number: u32) {
        self.slots[number as usize].waiting += 1;
    }

    /// A prediction no longer waits in a cell.
    pub(super) fn leave(&mut self, number: u32) {
        let cell = &mut self.slots[number as usize];
        cell.waiting -= 1;
        if cell.waiting == 0 && !cell.touched {
            self.give_up(number);
        }
    }

    /// End of a cell's window.
    pub(super) fn window_end(&self, number: u32) -> EventTime {
        let (start, _, terms) = &self.slots[number as usize].name;
        start.plus_ms(terms.window_ms)
    }

    /// What a cell was counted under.
    pub(super) fn terms(&self, number: u32) -> FactTerms {
        self.slots[number as usize].name.2
    }

    /// The sums of a cell for outcomes of an age, to add to.
    pub(super) fn sums(&mut self, number: u32, age: u8) -> &mut OutcomeSums {
        let cell = &mut self.slots[number as usize];
        if !cell.touched {
            cell.touched = true;
            self.touched.push(number);
        }
        cell.sums.entry(age).or_default()
    }

    /// What was added since the last call, in ascending order of cell and age.
    pub(super) fn take(&mut self) -> Vec<(CellName, u8, OutcomeSums)> {
        let mut taken = Vec::with_capacity(self.touched.len());
        for number in std::mem::take(&mut self.touched) {
            let cell = &mut self.slots[number as usize];
            for (age, sums) in std::mem::take(&mut cell.sums) {
                taken.push((cell.name.clone(), age, sums));
            }
            cell.touched = false;
            if cell.waiting == 0 {
                self.give_up(number);
            }
        }
        taken.sort_unstable_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        taken
    }

    /// The name of a cell somebody waits in.
    #[cfg(test)]
    pub(super) fn name(&self, number: u32) -> &CellName {
        &self.slots[number as usize].name
    }

    /// Cells held.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.numbers.len()
    }

    fn give_up(&mut self, number: u32) {
        self.numbers.remove(&self.slots[number as usize].name);
        self.free.push(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(window: i64) -> CellName {
        let terms = FactTerms { definition: 1, labels: 2, outcomes: 3, window_ms: 10 };
        (EventTime(window), ModelCellKey { model_version: "7".into(), exposure: Vec::new() }, terms)
    }

    #[test]
    fn cell_is_held_until_nobody_waits_and_its_sums_are_taken() {
        let mut cells = Cells::default();
        let number = cells.number(name(0));
        cells.wait(number);
        cells.sums(number, 3).add(true, false);

        cells.leave(number);
        assert_eq!(cells.len(), 1);
        let taken = cells.take();

        assert_eq!(taken.len(), 1);
        assert_eq!((taken[0].1, taken[0].2.false_positives), (3, 1));
        assert_eq!(cells.len(), 0);
        assert!(cells.take().is_empty());
    }

    #[test]
    fn sums_are_taken_in_order_of_cell_whatever_the_order_they_were_added_in() {
        let mut cells = Cells::default();
        for window in [30, 10, 20] {
            let number = cells.number(name(window));
            cells.sums(number, 0).add(false, false);
        }

        let windows: Vec<i64> = cells.take().iter().map(|((window, ..), ..)| window.0).collect();

        assert_eq!(windows, [10, 20, 30]);
    }
}
