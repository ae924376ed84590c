//! What windows are compared with: exact counts of the first windows in a layout, then frozen.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::judge::FIELD_DELTA;
use super::tests::chi_square::{self, WarmUpWindow};
use super::window::Total;
use crate::event::finding::BaselineRef;
use crate::event::time::EventTime;
use crate::sketch::{FieldLayout, FieldSummary};

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

/// What fields are held against: what those kept that are counted as under the definition before,
/// and for all others what was learnt since.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Kept {
    /// How they are counted, by path.
    pub(super) layouts: BTreeMap<String, FieldLayout>,
    pub(super) baseline: Baseline,
}

/// Both at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Baselines<'a> {
    pub(super) kept: &'a Kept,
    pub(super) learnt: &'a Baseline,
}

impl<'a> Baselines<'a> {
    /// Each field once, with its counts and the baseline they are of.
    pub(super) fn fields(
        self,
    ) -> impl Iterator<Item = (&'a String, &'a FieldBaseline, &'a Baseline)> {
        let kept = &self.kept.baseline;
        let learnt =
            self.learnt.fields.iter().filter(move |(path, _)| !kept.fields.contains_key(*path));
        let learnt = learnt.map(move |(path, field)| (path, field, self.learnt));
        kept.fields.iter().map(move |(path, field)| (path, field, kept)).chain(learnt)
    }

    /// A field's counts.
    pub(super) fn field(self, path: &str) -> Option<&'a FieldBaseline> {
        self.kept.baseline.fields.get(path).or_else(|| self.learnt.fields.get(path))
    }
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

    /// Of a baseline that is ready, the fields that are wanted; else nothing.
    pub(super) fn part(&self, wanted: impl Fn(&str) -> bool) -> Baseline {
        if !self.ready {
            return Baseline::default();
        }
        let fields = self.fields.iter().filter(|(path, _)| wanted(path));
        let fields = fields.map(|(path, field)| (path.clone(), field.clone())).collect();
        Baseline { fields, ..self.clone() }
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

    /// Becomes another baseline where it holds nothing itself.
    pub(super) fn absorb(&mut self, other: &Baseline) {
        if self.fields.is_empty() {
            *self = other.clone();
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
