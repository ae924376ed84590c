//! What assess writes to `state-assess` and takes back: entries by key, only those that changed.

use serde::{Deserialize, Serialize};

use super::Assess;
use crate::event::time::EventTime;
use crate::stage::{StateEntry, state_bytes as bytes, state_value as read};

/// What can change on its own. The definition is part of the key: what was learnt under another
/// definition is not taken back.
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
}

/// Entries changed since the last call; what is gone is deleted.
pub(super) fn entries(assess: &mut Assess) -> Vec<StateEntry> {
    let dirty = std::mem::take(&mut assess.dirty);
    dirty.into_iter().map(|key| (bytes(&key), value(assess, &key))).collect()
}

fn value(assess: &Assess, key: &Key) -> Option<Vec<u8>> {
    match key {
        Key::Ledger => Some(bytes(&(assess.now_ms, &assess.ledger))),
        Key::Breaks => Some(bytes(&assess.ledger.breaks)),
        Key::Strays => Some(bytes(&assess.strays)),
        Key::Dataset(name, _, part) => {
            let dataset = assess.datasets.get(name)?;
            match part {
                Part::Core => Some(bytes(&dataset.core)),
                Part::Window(start) => dataset.windows.get(start).map(bytes),
                Part::Sample(field) => dataset.samples.get(field).map(bytes),
            }
        }
        Key::Model(name, _, part) => {
            let model = assess.models.get(name)?;
            match part {
                Part::Core => Some(bytes(&model.core)),
                Part::Window(start) => model.windows.get(start).map(bytes),
                Part::Sample(_) => None,
            }
        }
    }
}

/// Takes one entry back. Subjects that are not configured, or mean something else now, are
/// passed over.
pub(super) fn restore(assess: &mut Assess, key: &[u8], value: &[u8]) -> Result<(), String> {
    match read::<Key>(key, "key")? {
        Key::Ledger => {
            let breaks = std::mem::take(&mut assess.ledger.breaks);
            (assess.now_ms, assess.ledger) = read(value, "ledger")?;
            assess.ledger.breaks = breaks;
        }
        Key::Breaks => assess.ledger.breaks = read(value, "breaks")?,
        Key::Strays => assess.strays = read(value, "strays")?,
        Key::Dataset(name, definition, part) => {
            let same = assess.plan.datasets.get(&name).is_some_and(|p| p.definition == definition);
            let Some(dataset) = assess.datasets.get_mut(&name).filter(|_| same) else {
                return Ok(());
            };
            match part {
                Part::Core => dataset.core = read(value, &name)?,
                Part::Window(start) => {
                    dataset.windows.insert(start, read(value, &name)?);
                }
                Part::Sample(field) => {
                    dataset.samples.insert(field, read(value, &name)?);
                }
            }
        }
        Key::Model(name, definition, part) => {
            let same = assess.plan.models.get(&name).is_some_and(|p| p.definition == definition);
            let Some(model) = assess.models.get_mut(&name).filter(|_| same) else {
                return Ok(());
            };
            match part {
                Part::Core => model.core = read(value, &name)?,
                Part::Window(start) => {
                    model.windows.insert(start, read(value, &name)?);
                }
                Part::Sample(_) => {}
            }
        }
    }
    Ok(())
}
