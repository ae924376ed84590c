//! What a plan may cost in memory, for `check`: an upper estimate, from the limits alone.
//!
//! Measured memory is on `/metrics`; nothing is steered by these numbers.

use super::plan::{FieldSelection, Plan};

/// Bytes of one (cell, field) on average.
const CELL_FIELD_BYTES: u64 = 2_048;
/// Bytes of a prediction or outcome that waits in join.
pub(crate) const WAITING_BYTES: u64 = 96;
/// Bytes of a model's cell: 20 score bins, flags and sums.
const MODEL_CELL_BYTES: u64 = 1_024;

/// One line of the estimate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Estimate {
    /// What needs the memory.
    pub what: String,
    /// How much at most. *Units*: bytes.
    pub bytes: u64,
}

/// Upper estimates, one a line; `fields` is how many fields to reckon with where all are watched.
#[must_use]
pub fn memory(plan: &Plan, fields: u64) -> Vec<Estimate> {
    let limits = &plan.limits;
    let cells = limits.cells_per_window as u64;
    let mut lines = Vec::new();
    for dataset in plan.datasets.values() {
        let watched = match &dataset.fields {
            FieldSelection::All(_) => fields,
            FieldSelection::Only(named) => named.len() as u64,
        };
        let windows = windows_open(dataset.window.ms(), dataset.lateness_ms);
        lines.push(Estimate {
            what: format!(
                "dataset {}: {windows} windows x {cells} cells x {watched} fields",
                dataset.name
            ),
            bytes: windows * cells * watched * CELL_FIELD_BYTES,
        });
    }
    for model in plan.models.values() {
        let windows = windows_open(model.window.ms(), model.lateness_ms);
        lines.push(Estimate {
            what: format!("model {}: {windows} windows x {cells} cells", model.name),
            bytes: windows * cells * MODEL_CELL_BYTES,
        });
    }
    if plan.models.values().any(|model| model.outcomes.is_some()) {
        lines.push(Estimate {
            what: format!("{} predictions and outcomes waiting", limits.waiting),
            bytes: limits.waiting as u64 * WAITING_BYTES,
        });
    }
    lines.push(Estimate { what: "records read ahead".into(), bytes: limits.prefetch_bytes as u64 });
    lines.push(Estimate {
        what: "summaries not yet sent".into(),
        bytes: limits.pending_bytes as u64,
    });
    lines
}

/// Windows open at once: the current one, those within lateness, and one being closed.
fn windows_open(size_ms: i64, lateness_ms: i64) -> u64 {
    2 + (lateness_ms.max(0) as u64).div_ceil(size_ms.max(1) as u64)
}
