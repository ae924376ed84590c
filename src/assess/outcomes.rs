//! A model's rates against their baseline and between schema versions in the same window.
//!
//! Rates are held with a tolerance and with the scatter seen while learning, so that an alarm
//! means a change that matters and not merely one that is real.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::baseline::{ROWS_NEEDED, WINDOWS_NEEDED};
use super::judge::{Frame, share_effect, unless_quiet};
use super::tests::rates::{self, Count, OUTCOME_TOLERANCE, Spread};
use crate::event::finding::{BaselineRef, Finding, SeriesKind, Verdict};
use crate::event::time::EventTime;

/// Tail probability below which a rate has changed.
const ALARM_P: f64 = 1e-4;
/// Windows pooled for changes too small for one.
const POOL: usize = 4;
/// Rows a side of a contrast, or a window, needs to say anything.
const ROWS_LEAST: u64 = 100;
/// Scatter between windows is capped here, as for fields: more means the baseline is wrong.
const PHI_MAX: f64 = 5.0;

/// The learnt rate of one metric, then frozen, and the windows since.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct RateBaseline {
    learnt: Vec<(u64, u64)>,
    from: EventTime,
    to: EventTime,
    phi: f64,
    ready: bool,
    recent: VecDeque<(u64, u64)>,
}

impl RateBaseline {
    fn total(&self) -> Count {
        let sum = self.learnt.iter().fold((0, 0), |sum, w| (sum.0 + w.0, sum.1 + w.1));
        Count { hits: sum.0, rows: sum.1 }
    }

    fn reference(&self) -> BaselineRef {
        BaselineRef {
            kind: "learnt".into(),
            from: self.from,
            to: self.to,
            windows: self.learnt.len() as u32,
        }
    }

    /// Starts over when it has learnt a window that ends after `from`; the windows since come
    /// again.
    pub(super) fn rewind(&mut self, from: EventTime) {
        if !self.learnt.is_empty() && self.to > from {
            *self = RateBaseline::default();
        }
        self.recent.clear();
    }

    fn learn(&mut self, frame: &Frame<'_>, now: Count) {
        if self.learnt.is_empty() {
            self.from = frame.start;
        }
        self.to = frame.end;
        self.learnt.push((now.hits, now.rows));
        let total = self.total();
        if self.learnt.len() >= WINDOWS_NEEDED as usize && total.rows >= ROWS_NEEDED {
            self.phi = scatter(&self.learnt, total.share());
            self.ready = true;
        }
    }

    /// Takes a window's rate: learns it, or tests it alone and pooled with the three before it.
    pub(super) fn take(
        &mut self,
        frame: &Frame<'_>,
        kind: SeriesKind,
        now: Count,
    ) -> Option<Finding> {
        if now.rows == 0 {
            return None;
        }
        if !self.ready {
            self.learn(frame, now);
            return None;
        }
        self.recent.push_back((now.hits, now.rows));
        if self.recent.len() > POOL {
            self.recent.pop_front();
        }
        let one = self.finding(frame, kind, now);
        if self.recent.len() < POOL {
            return Some(one);
        }
        let pooled = self.recent.iter().fold((0, 0), |sum, w| (sum.0 + w.0, sum.1 + w.1));
        let mut four = self.finding(frame, kind, Count { hits: pooled.0, rows: pooled.1 });
        four.test = "beta_binomial_4_windows".into();
        // Whichever speaks louder for a change: a small one is over when both are quiet.
        Some(if four.p_value < one.p_value { four } else { one })
    }

    fn finding(&self, frame: &Frame<'_>, kind: SeriesKind, now: Count) -> Finding {
        let spread = Spread { phi: self.phi, tolerance: OUTCOME_TOLERANCE };
        rate_finding(frame, kind, (self.total(), now), (spread, self.reference()))
    }
}

/// Scatter of windows around the common rate: Pearson's chi-square over its degrees of freedom.
fn scatter(windows: &[(u64, u64)], rate: f64) -> f64 {
    if windows.len() < 2 || rate <= 0.0 || rate >= 1.0 {
        return 1.0;
    }
    let mut pearson = 0.0;
    for (hits, rows) in windows {
        let expected = *rows as f64 * rate;
        pearson += (*hits as f64 - expected).powi(2) / (expected * (1.0 - rate)).max(1e-9);
    }
    (pearson / (windows.len() - 1) as f64).clamp(1.0, PHI_MAX)
}

/// Predictions exposed to a schema version against the others of the same window.
pub(super) fn contrast(
    frame: &Frame<'_>,
    kind: SeriesKind,
    version: &str,
    sides: (Count, Count),
) -> Option<Finding> {
    let (exposed, rest) = sides;
    if exposed.rows < ROWS_LEAST || rest.rows < ROWS_LEAST {
        return None;
    }
    let reference =
        BaselineRef { kind: "same_window".into(), from: frame.start, to: frame.end, windows: 1 };
    let spread = Spread { phi: 1.0, tolerance: OUTCOME_TOLERANCE };
    let mut finding = rate_finding(frame, kind, (rest, exposed), (spread, reference));
    finding.series.schema_version = Some(version.to_owned());
    Some(finding)
}

fn rate_finding(
    frame: &Frame<'_>,
    kind: SeriesKind,
    sides: (Count, Count),
    held: (Spread, BaselineRef),
) -> Finding {
    let (base, now) = sides;
    let test = rates::outcome_change(base, now, held.0);
    let mut finding = frame.finding(kind.as_str(), kind, held.1);
    finding.test = "beta_binomial".into();
    finding.value = test.estimate;
    finding.threshold = ALARM_P;
    finding.p_value = test.p_rise.min(test.p_fall);
    finding.effect = share_effect(base, now);
    (finding.rows_window, finding.rows_baseline) = (now.rows, base.rows);
    unless_quiet(&mut finding);
    if now.rows < ROWS_LEAST {
        finding.verdict = Verdict::Inconclusive;
    } else if finding.p_value < ALARM_P {
        finding.verdict = Verdict::Detected;
    }
    finding
}
