//! A placebo beside every attribution: the same arithmetic for a label that cannot be a cause.
//!
//! A coin, fixed by the seed, marks half of the cells after the first candidate. Its probability
//! is exported; if it won often, the method would be inventing causes on this model's data.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::patterns::{Patterns, log_bfs};
use super::posterior::{features, posterior};
use super::residuals::Residuals;
use super::table::{Candidate, CauseClass, CellRow, Exposure, PerMetric, Table};

/// How a random label fared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Placebo {
    /// Log Bayes factor per metric of the random pattern.
    pub log_bf: PerMetric<f64>,
    /// Probability it would get as one more candidate: a schema change with contrast whose
    /// fields do not say anything (d = 0). Above 0.5 it "won"; that should be rare (2 %).
    pub probability: f64,
}

/// Scores a random label against the same table and candidates.
///
/// *Bound*: depends on nothing but its arguments; the same seed marks the same cells.
#[must_use]
pub fn placebo(
    table: &Table,
    candidates: &[Candidate],
    windows_after_onset: u32,
    seed: u64,
) -> Placebo {
    let label = candidates.len();
    let labelled = Table { cells: labelled_cells(table, label, seed), ..*table };
    let mut competing = candidates.to_vec();
    competing.push(Candidate {
        class: CauseClass::SchemaChange,
        contrast: true,
        drift: 0.0,
        prior: 1.0,
    });
    let residuals = Residuals::of(&labelled);
    let patterns = Patterns::score(&labelled, &competing, &residuals);
    let rows = features(&patterns, &competing);
    Placebo {
        log_bf: log_bfs(&patterns.candidates[label]),
        probability: posterior(&rows, &competing, windows_after_onset).candidates[label],
    }
}

fn labelled_cells(table: &Table, label: usize, seed: u64) -> Vec<CellRow> {
    let mut cells = table.cells.clone();
    for cell in &mut cells {
        let mut shares: Vec<f64> = (0..label).map(|known| cell.exposed.share(known)).collect();
        let marked = cell.window >= table.pre_windows && coin(cell, &shares, seed);
        shares.push(if marked { 1.0 } else { 0.0 });
        cell.exposed = Exposure::Shares(shares);
    }
    cells
}

/// A fair coin per cell, by what names the cell: window, producer and exposure.
fn coin(cell: &CellRow, shares: &[f64], seed: u64) -> bool {
    let mut name = Vec::with_capacity(8 + 8 * shares.len());
    name.extend(cell.window.to_le_bytes());
    name.extend(cell.producer.to_le_bytes());
    for share in shares {
        name.extend(share.to_bits().to_le_bytes());
    }
    xxh3_64_with_seed(&name, seed) & 1 == 1
}
