//! What decide writes to `state-decide` and takes back.
//!
//! Few and small things, so all of them are laid out each time and only those whose bytes differ
//! from what was written last are written: nothing can be forgotten to be marked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::evidence::VersionKey;
use super::integrity::BreachKey;
use super::{Decide, QueueKey};
use crate::event::epoch::Epochs;
use crate::event::finding::Subject;
use crate::event::time::EventTime;
use crate::stage::{StateEntry, state_bytes as bytes, state_value as read};

/// Names an entry.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Key {
    /// Now, how far subjects have come, the next sequence number.
    Clock,
    /// An item that waits for other subjects.
    Queued(QueueKey),
    /// A schema version.
    Version(VersionKey),
    /// An open alarm.
    Alarm(u64),
    /// A cell table.
    Table(String, EventTime),
    /// An incident.
    Incident(String),
    /// A break of the ledger.
    Breach(BreachKey),
    /// The ledger's epochs, once there are any.
    Epochs,
    /// A definition that nobody judges.
    Mismatch(Subject, u64),
}

/// Hashes of what was written last, by key bytes.
pub(super) type Saved = BTreeMap<Vec<u8>, u64>;

/// Entries changed since the last call; what is gone is deleted.
pub(super) fn entries(decide: &mut Decide) -> Vec<StateEntry> {
    let now = all(decide);
    let mut entries = Vec::new();
    for key in decide.saved.keys() {
        if !now.contains_key(key) {
            entries.push((key.clone(), None));
        }
    }
    let mut saved = Saved::new();
    for (key, value) in now {
        let hash = xxh3_64(&value);
        if decide.saved.get(&key) != Some(&hash) {
            entries.push((key.clone(), Some(value)));
        }
        saved.insert(key, hash);
    }
    decide.saved = saved;
    entries
}

fn all(decide: &Decide) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut all = BTreeMap::new();
    all.insert(bytes(&Key::Clock), bytes(&(decide.now_ms, &decide.closed, decide.sequence)));
    for (key, item) in &decide.queue {
        all.insert(bytes(&Key::Queued(key.clone())), bytes(item));
    }
    for (key, known) in &decide.evidence.versions {
        all.insert(bytes(&Key::Version(key.clone())), bytes(known));
    }
    for (id, alarm) in &decide.evidence.alarms {
        all.insert(bytes(&Key::Alarm(*id)), bytes(alarm));
    }
    for ((model, start), table) in &decide.evidence.tables {
        all.insert(bytes(&Key::Table(model.clone(), *start)), bytes(table));
    }
    for (id, incident) in &decide.incidents {
        all.insert(bytes(&Key::Incident(id.clone())), bytes(incident));
    }
    for (key, breach) in &decide.breaches {
        all.insert(bytes(&Key::Breach(key.clone())), bytes(breach));
    }
    for ((subject, other), since) in &decide.mismatches {
        all.insert(bytes(&Key::Mismatch(subject.clone(), *other)), bytes(since));
    }
    if decide.epochs != Epochs::default() {
        all.insert(bytes(&Key::Epochs), bytes(&decide.epochs));
    }
    all
}

/// Takes one entry back.
pub(super) fn restore(decide: &mut Decide, key: &[u8], value: &[u8]) -> Result<(), String> {
    decide.saved.insert(key.to_vec(), xxh3_64(value));
    match read::<Key>(key, "key")? {
        Key::Clock => {
            (decide.now_ms, decide.closed, decide.sequence) = read(value, "clock")?;
        }
        Key::Queued(key) => {
            decide.queue.insert(key, read(value, "queued item")?);
        }
        Key::Version(key) => {
            decide.evidence.versions.insert(key, read(value, "version")?);
        }
        Key::Alarm(id) => {
            decide.evidence.alarms.insert(id, read(value, "alarm")?);
        }
        Key::Table(model, start) => {
            decide.evidence.tables.insert((model, start), read(value, "table")?);
        }
        Key::Incident(id) => {
            decide.incidents.insert(id, read(value, "incident")?);
        }
        Key::Breach(key) => {
            decide.breaches.insert(key, read(value, "breach")?);
        }
        Key::Epochs => decide.epochs = read(value, "epochs")?,
        Key::Mismatch(subject, other) => {
            decide.mismatches.insert((subject, other), read(value, "mismatch")?);
        }
    }
    Ok(())
}
