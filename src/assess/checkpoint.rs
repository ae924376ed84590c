//! What assess writes to `state-assess` and takes back: entries by key, only those that changed.
//!
//! A broker takes records of 1 MB, and a window of many cells is larger: such a value is written in
//! pieces, all of them in the transaction that writes the checkpoint.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Assess;
use crate::event::time::EventTime;
use crate::stage::{StateEntry, state_bytes as bytes, state_value as read};

/// What can change on its own. The definition is part of the key: what was counted under another
/// one drains.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Key {
    /// The ledger and now.
    Ledger,
    /// Part of a dataset: name, definition.
    Dataset(String, u64, Part),
    /// Part of a model: name, definition.
    Model(String, u64, Part),
    /// Breaks of the ledger and its epochs, once there are any.
    Breaks,
    /// Definitions that others count under, once there are any.
    Strays,
    /// A piece, by number and of how many, of the bytes of another key's value.
    Piece(Box<Key>, u32, u32),
    /// Records that were given up, once there are any.
    Gaps,
}

/// Longest value written as one record, and length of a piece of a longer one. *Units*: bytes.
const PIECE_BYTES: usize = 800 * 1024;

/// Values in pieces.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// How many pieces the state topic holds, for each value that is written in pieces.
    written: BTreeMap<Key, u32>,
    /// Pieces taken back of values that are not complete, by number.
    taken: BTreeMap<Key, BTreeMap<u32, Vec<u8>>>,
}

impl Pieces {
    /// The entries that make the state topic hold this value: one record, or pieces; and no piece
    /// of what it held before.
    fn entries(&mut self, key: Key, value: Option<Vec<u8>>) -> Vec<StateEntry> {
        let pieces: Vec<&[u8]> = match &value {
            Some(value) if value.len() > PIECE_BYTES => value.chunks(PIECE_BYTES).collect(),
            Some(_) | None => Vec::new(),
        };
        let of = pieces.len() as u32;
        let at = |number, of| bytes(&Key::Piece(Box::new(key.clone()), number, of));
        let before = self.written.remove(&key).unwrap_or(0);
        let mut entries = Vec::with_capacity(1 + pieces.len());
        if before != of {
            entries.extend((0..before).map(|number| (at(number, before), None)));
        }
        let pieces = (0..).zip(pieces);
        entries.extend(pieces.map(|(number, piece)| (at(number, of), Some(piece.to_vec()))));
        if of == 0 {
            entries.push((bytes(&key), value));
        } else {
            entries.push((bytes(&key), None));
            self.written.insert(key, of);
        }
        entries
    }

    /// Takes a piece back; gives the value once it is complete.
    fn take(&mut self, key: Key, (number, of): (u32, u32), piece: &[u8]) -> Option<(Key, Vec<u8>)> {
        let taken = self.taken.entry(key.clone()).or_default();
        taken.insert(number, piece.to_vec());
        if taken.len() < of as usize {
            return None;
        }
        let pieces: Vec<Vec<u8>> = self.taken.remove(&key)?.into_values().collect();
        self.written.insert(key.clone(), of);
        Some((key, pieces.concat()))
    }

    /// The first value of which pieces are missing.
    pub(super) fn incomplete(&self) -> Option<&Key> {
        self.taken.keys().next()
    }
}

/// Part of a subject.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Part {
    /// What outlives windows.
    Core,
    /// The window with this start.
    Window(EventTime),
    /// The sample of a field.
    Sample(String),
    /// When its definition was the plan's, and what its windows need.
    Tenure,
    /// What a definition before knew of fields it counted the same.
    Kept,
    /// What producers of plain JSON write.
    Shapes,
}

/// Entries changed since the last call; what is gone is deleted.
pub(super) fn entries(assess: &mut Assess) -> Vec<StateEntry> {
    let mut entries = Vec::new();
    for key in std::mem::take(&mut assess.dirty) {
        let value = value(assess, &key);
        entries.extend(assess.pieces.entries(key, value));
    }
    entries
}

fn value(assess: &Assess, key: &Key) -> Option<Vec<u8>> {
    match key {
        Key::Ledger => Some(bytes(&(assess.now_ms, &assess.ledger))),
        Key::Breaks => Some(bytes(&assess.ledger.breaks)),
        Key::Gaps => Some(bytes(&assess.ledger.gaps)),
        Key::Strays => Some(bytes(&assess.strays)),
        Key::Dataset(name, definition, part) => {
            let dataset = assess.dataset(name, *definition)?;
            match part {
                Part::Core => Some(bytes(&dataset.core)),
                Part::Window(start) => dataset.windows.get(start).map(bytes),
                Part::Sample(field) => dataset.samples.get(field).map(bytes),
                Part::Tenure => Some(bytes(&dataset.tenure)),
                Part::Kept => Some(bytes(&dataset.core.learnt.kept)),
                Part::Shapes => Some(bytes(&dataset.core.learnt.shapes)),
            }
        }
        Key::Model(name, definition, part) => {
            let model = assess.model(name, *definition)?;
            match part {
                Part::Core => Some(bytes(&model.core)),
                Part::Window(start) => model.windows.get(start).map(bytes),
                Part::Sample(_) | Part::Kept | Part::Shapes => None,
                Part::Tenure => Some(bytes(&model.tenure)),
            }
        }
        Key::Piece(..) => None,
    }
}

/// Takes one entry back. Subjects that are not configured are passed over.
pub(super) fn restore(assess: &mut Assess, key: &[u8], value: &[u8]) -> Result<(), String> {
    match read::<Key>(key, "key")? {
        Key::Piece(key, number, of) => match assess.pieces.take(*key, (number, of), value) {
            Some((key, value)) => whole(assess, key, &value),
            None => Ok(()),
        },
        key => whole(assess, key, value),
    }
}

fn whole(assess: &mut Assess, key: Key, value: &[u8]) -> Result<(), String> {
    match key {
        Key::Piece(..) => return Err("a piece has no pieces".into()),
        Key::Ledger => {
            let breaks = std::mem::take(&mut assess.ledger.breaks);
            let gaps = std::mem::take(&mut assess.ledger.gaps);
            (assess.now_ms, assess.ledger) = read(value, "ledger")?;
            (assess.ledger.breaks, assess.ledger.gaps) = (breaks, gaps);
        }
        Key::Breaks => assess.ledger.breaks = read(value, "breaks")?,
        Key::Gaps => assess.ledger.gaps = read(value, "gaps")?,
        Key::Strays => assess.strays = read(value, "strays")?,
        Key::Dataset(name, definition, part) => {
            let Some(dataset) = assess.dataset_back(&name, definition) else {
                return Ok(());
            };
            match part {
                Part::Core => {
                    let before = std::mem::take(&mut dataset.core.learnt);
                    dataset.core = read(value, &name)?;
                    let learnt = &mut dataset.core.learnt;
                    (learnt.kept, learnt.shapes) = (before.kept, before.shapes);
                }
                Part::Window(start) => {
                    dataset.windows.insert(start, read(value, &name)?);
                }
                Part::Sample(field) => {
                    dataset.samples.insert(field, read(value, &name)?);
                }
                Part::Tenure => dataset.tenure = read(value, &name)?,
                Part::Kept => dataset.core.learnt.kept = read(value, &name)?,
                Part::Shapes => dataset.core.learnt.shapes = read(value, &name)?,
            }
        }
        Key::Model(name, definition, part) => {
            let Some(model) = assess.model_back(&name, definition) else {
                return Ok(());
            };
            match part {
                Part::Core => model.core = read(value, &name)?,
                Part::Window(start) => {
                    model.windows.insert(start, read(value, &name)?);
                }
                Part::Sample(_) | Part::Kept | Part::Shapes => {}
                Part::Tenure => model.tenure = read(value, &name)?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(window: i64) -> Key {
        Key::Dataset("orders".into(), 1, Part::Window(EventTime(window)))
    }

    fn apply(state: &mut BTreeMap<Vec<u8>, Vec<u8>>, entries: Vec<StateEntry>) {
        for (key, value) in entries {
            assert!(value.as_ref().is_none_or(|value| value.len() < 1_000_000));
            match value {
                Some(value) => state.insert(key, value),
                None => state.remove(&key),
            };
        }
    }

    /// What a fresh process puts together from the state topic.
    fn taken_back(state: &BTreeMap<Vec<u8>, Vec<u8>>) -> (Pieces, BTreeMap<Key, Vec<u8>>) {
        let (mut pieces, mut values) = (Pieces::default(), BTreeMap::new());
        // In no particular order.
        for (at, value) in state.iter().rev() {
            match read::<Key>(at, "key").expect("ours") {
                Key::Piece(key, number, of) => {
                    values.extend(pieces.take(*key, (number, of), value));
                }
                key => {
                    values.insert(key, value.clone());
                }
            }
        }
        (pieces, values)
    }

    #[test]
    fn value_too_large_for_a_record_is_written_in_pieces_and_put_together() {
        let value: Vec<u8> = (0..3 * PIECE_BYTES + 17).map(|i| (i % 251) as u8).collect();
        let (mut pieces, mut state) = (Pieces::default(), BTreeMap::new());
        apply(&mut state, pieces.entries(key(0), Some(value.clone())));
        apply(&mut state, pieces.entries(key(1), Some(vec![1, 2, 3])));

        assert_eq!(state.len(), 5);
        let (again, values) = taken_back(&state);
        assert_eq!(values, BTreeMap::from([(key(0), value), (key(1), vec![1, 2, 3])]));
        assert_eq!((again.incomplete(), &again.written), (None, &pieces.written));
    }

    #[test]
    fn no_piece_is_left_when_a_value_shrinks_or_goes() {
        for smaller in [Some(vec![7; 2 * PIECE_BYTES]), Some(vec![7]), None] {
            let mut state = BTreeMap::new();
            let mut pieces = Pieces::default();
            apply(&mut state, pieces.entries(key(0), Some(vec![3; 4 * PIECE_BYTES])));
            // What was written before a crash is known after it.
            let (mut pieces, _) = taken_back(&state);
            apply(&mut state, pieces.entries(key(0), smaller.clone()));

            let expected: BTreeMap<Key, Vec<u8>> =
                smaller.into_iter().map(|value| (key(0), value)).collect();
            let (again, values) = taken_back(&state);
            assert_eq!((again.incomplete(), values), (None, expected));
        }
    }

    #[test]
    fn value_of_which_a_piece_is_missing_is_named() {
        let mut state = BTreeMap::new();
        apply(&mut state, Pieces::default().entries(key(0), Some(vec![3; 2 * PIECE_BYTES])));
        state.pop_first();

        let (again, values) = taken_back(&state);
        assert_eq!((again.incomplete(), values.len()), (Some(&key(0)), 0));
    }
}
