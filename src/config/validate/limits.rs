//! Upper bounds, derived from the memory limit unless given.

use super::Checks;
use crate::config::Bytes;
use crate::config::estimate::WAITING_BYTES;
use crate::config::plan::Limits;

const MEMORY: u64 = 512 << 20;
const MEMORY_MIN: u64 = 64 << 20;
/// Schemas in use at once are few. A topic that holds more kinds of record is read all the same,
/// see `SCHEMAS_PER_PLAN` in observe.
const VERSIONS: usize = 16;
/// Most orders have fewer lines; one record of very many does not become a window's majority.
const ITEMS: usize = 64;
/// A code or a name is shorter; longer text is prose, and its prefix tells enough.
const TEXT_BYTES: usize = 256;
/// Four times what a broker takes unless told otherwise.
const RECORD_BYTES: u64 = 4 << 20;
/// Far deeper than schemas people write, far shallower than a stack.
const DEPTH: usize = 32;
/// More than most schemas have.
const FIELDS: u64 = 256;
/// The cells of a window that a model's own table holds too.
const CELLS_MAX: u64 = 64;
/// Fewer would tell no producers apart.
const CELLS_MIN: u64 = 8;
/// Fewer would watch next to nothing.
const FIELDS_MIN: u64 = 16;

/// The limits for so many datasets and models.
pub(super) fn limits(checks: &mut Checks<'_>, subjects: usize) -> Limits {
    let written = &checks.config.limits;
    let memory = written.memory.map_or(MEMORY, |bytes| bytes.0);
    if memory < MEMORY_MIN {
        let message = format!("{} is too little", Bytes(memory));
        checks.problem(&["limits", "memory"], message, "give at least 64MiB");
    }
    for (key, value) in [
        ("cells_per_window", written.cells_per_window),
        ("fields_per_dataset", written.fields_per_dataset),
        ("waiting", written.waiting),
    ] {
        if value == Some(0) {
            let fix = "give a number, or leave it out";
            checks.problem(&["limits", key], "0 would watch nothing".into(), fix);
        }
    }
    let given = |value: Option<u32>, derived: u64| match value {
        Some(value) => value as usize,
        None => usize::try_from(derived).unwrap_or(usize::MAX),
    };
    // A quarter for windows (four open at once, 2 KiB a cell and field), a quarter for join, an
    // eighth for records read ahead; the rest is for layouts, baselines and the libraries.
    let quarter = memory / 4;
    // Cells give way to fields first: a window of many cells has few records in most of them.
    let cell_fields = quarter / 2_048 / 4 / (subjects.max(1) as u64);
    let cells = (cell_fields / FIELDS).clamp(CELLS_MIN, CELLS_MAX);
    let fields = (cell_fields / cells).clamp(FIELDS_MIN, FIELDS);
    Limits {
        memory_bytes: memory,
        cells_per_window: given(written.cells_per_window, cells),
        fields_per_dataset: given(written.fields_per_dataset, fields),
        versions_per_dataset: VERSIONS,
        items_per_record: ITEMS,
        text_bytes: TEXT_BYTES,
        record_bytes: written.record.map_or(RECORD_BYTES, |bytes| bytes.0) as usize,
        depth: DEPTH,
        pending_bytes: (memory / 16).min(8 << 20) as usize,
        prefetch_bytes: (memory / 8) as usize,
        waiting: given(written.waiting, quarter / WAITING_BYTES),
    }
}
