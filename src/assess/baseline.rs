//! What windows are compared with: exact counts of the first windows in a layout, then frozen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judge::FIELD_DELTA;
use super::tests::chi_square::{self, WarmUpWindow};
use super::window::Total;
use crate::event::finding::BaselineRef;
use crate::event::time::EventTime;
use crate::sketch::FieldSummary;

/// Windows a baseline holds before distributions are tested against it.
pub(super) const WINDOWS_NEEDED: u32 = 14;
/// Rows it holds before anything is tested against it.
pub(super) const ROWS_NEEDED: u64 = 2_000;

/// Counts learnt from accepted windows.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Baseline {
    layout: Option<u64>,
    windows: u32,
    rows: u64,
    from: EventTime,
    to: EventTime,
    fields: BTreeMap<String, FieldBaseline>,
    ready: bool,
}

/// Counts of one field.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct FieldBaseline {
    /// Sum over the baseline's windows.
    pub(super) total: FieldSummary,
    /// Overdispersion between windows, at least 1; see [`chi_square::overdispersion`].
    pub(super) phi: f64,
    /// Bins of each window, until the baseline is ready.
    windows: Vec<Vec<u64>>,
}

impl Baseline {
    /// Still learning.
    pub(super) fn is_learning(&self) -> bool {
        !self.ready
    }

    /// Distributions may be tested.
    pub(super) fn is_ready(&self) -> bool {
        self.ready
    }

    /// Shares of support, nulls and the like may be tested.
    pub(super) fn has_rows(&self) -> bool {
        self.rows >= ROWS_NEEDED
    }

    /// Windows it holds.
    pub(super) fn windows(&self) -> u32 {
        self.windows
    }

    /// Records it holds.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Counts of every field, by path.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&String, &FieldBaseline)> {
        self.fields.iter()
    }

    /// A field's counts.
    pub(super) fn field(&self, path: &str) -> Option<&FieldBaseline> {
        self.fields.get(path)
    }

    /// What it holds, for events.
    pub(super) fn reference(&self) -> BaselineRef {
        BaselineRef { kind: "learnt".into(), from: self.from, to: self.to, windows: self.windows }
    }

    /// Adds an accepted window counted in `layout`; a first window of another layout starts anew.
    pub(super) fn add(&mut self, layout: u64, span: (EventTime, EventTime), window: &Total) {
        if self.layout != Some(layout) {
            *self = Baseline { layout: Some(layout), from: span.0, ..Baseline::default() };
        }
        self.windows += 1;
        self.rows += window.rows;
        self.to = span.1;
        for (path, field) in &window.fields {
            match self.fields.get_mut(path) {
                None => {
                    let learnt = FieldBaseline {
                        total: field.clone(),
                        phi: 1.0,
                        windows: vec![field.bins.clone()],
                    };
                    self.fields.insert(path.clone(), learnt);
                }
                Some(learnt) => {
                    learnt.total.merge(field);
                    learnt.windows.push(field.bins.clone());
                }
            }
        }
        if self.windows >= WINDOWS_NEEDED && self.rows >= ROWS_NEEDED {
            self.freeze();
        }
    }

    /// Starts over when it has learnt a window that ends after `from`.
    pub(super) fn rewind(&mut self, from: EventTime) {
        if self.windows > 0 && self.to > from {
            *self = Baseline::default();
        }
    }

    fn freeze(&mut self) {
        self.ready = true;
        for field in self.fields.values_mut() {
            let windows = std::mem::take(&mut field.windows);
            field.phi = overdispersion(&field.total.bins, &windows);
        }
    }
}

/// How much more windows scatter around their own sum than chance alone would have them.
fn overdispersion(total: &[u64], windows: &[Vec<u64>]) -> f64 {
    if total.is_empty() {
        return 1.0;
    }
    let shares = chi_square::baseline_shares(total);
    let baseline = chi_square::Baseline { shares: &shares, rows: total.iter().sum(), phi: 1.0 };
    let distances: Vec<WarmUpWindow> = windows
        .iter()
        .filter(|window| window.len() == total.len())
        .filter_map(|window| chi_square::min_effect(baseline, window, FIELD_DELTA))
        .map(|test| WarmUpWindow { x2: test.x2, df: test.df })
        .collect();
    chi_square::overdispersion(&distances)
}
