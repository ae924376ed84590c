//! One field of one window against its baseline: findings.
//!
//! Puts counts into the tests and their answers into words of the vocabulary. Whether a run of
//! findings is believed is the business of [`super::alarms`].

use super::baseline::{Baselines, FieldBaseline, ROWS_NEEDED};
use super::tests::change::{self, Quantiles, Side};
use super::tests::rates::{self, Count};
use super::tests::{chi_square, multiple};
use super::window::Total;
use crate::config::plan::FieldSelection;
use crate::event::finding::{
    BaselineRef, Change, Effect, Finding, Series, SeriesKind, Subject, Verdict,
};
use crate::event::layout::Layout;
use crate::event::time::EventTime;
use crate::sketch::{FieldKind, FieldLayout, FieldSummary};

/// Divergence that does not matter for a field.
pub(super) const FIELD_DELTA: f64 = 0.02;
/// False discovery rate over the fields of a window.
const DISCOVERY_RATE: f64 = 0.01;
/// Share by which a rare count may differ without mattering.
const TOLERANCE: f64 = 0.002;
/// p-value below which a share has changed. One window is enough for these, and a dataset of 20
/// fields asks some 100 such questions a window, so it is small.
const SHARE_P: f64 = 1e-6;
/// p-value from which on a window speaks against a change; between this and the alarm's own it
/// says nothing, so that an alarm near its threshold does not come and go.
pub(super) const QUIET_P: f64 = 0.05;
/// Effective rows times the tolerated divergence a test needs.
const LAMBDA_LEAST: f64 = 2.0;
/// Rows each side of a contrast needs.
pub(super) const CONTRAST_ROWS: u64 = 100;
/// p-value below which a version differs from the others of the same window.
const CONTRAST_P: f64 = 1e-4;

/// What all findings of a window have in common.
#[derive(Clone, Debug)]
pub(super) struct Frame<'a> {
    pub(super) subject: Subject,
    pub(super) start: EventTime,
    pub(super) end: EventTime,
    /// Event time up to which outcomes are counted.
    pub(super) as_of: EventTime,
    pub(super) complete: bool,
    pub(super) watermark: EventTime,
    pub(super) layout: Option<&'a Layout>,
    pub(super) definition: u64,
    /// What a dataset's configuration says of its fields.
    pub(super) fields: Option<&'a FieldSelection>,
    /// Records or predictions in the window.
    pub(super) rows: u64,
}

impl Frame<'_> {
    /// A finding with nothing found yet.
    pub(super) fn finding(&self, field: &str, kind: SeriesKind, baseline: BaselineRef) -> Finding {
        Finding {
            series: Series {
                subject: self.subject.clone(),
                field: field.to_owned(),
                kind,
                producer: None,
                schema_version: None,
            },
            window_start: self.start,
            window_end: self.end,
            as_of: self.as_of,
            verdict: Verdict::Ok,
            test: String::new(),
            value: 0.0,
            threshold: 0.0,
            p_value: 1.0,
            effect: Effect {
                estimate: 0.0,
                low: 0.0,
                high: 0.0,
                unit: "divergence".into(),
                window: None,
                baseline: None,
            },
            rows_total: self.rows,
            rows_window: 0,
            rows_baseline: 0,
            change: None,
            baseline,
            complete: self.complete,
            watermark: self.watermark,
            layout: self.layout.map(|layout| layout.id),
            definition: self.definition,
        }
    }

    /// Of a field of items, the least a share of them is compared with.
    fn items(&self, path: &str, least: u64) -> Option<u64> {
        self.fields?.is_of_items(path).then_some(least)
    }

    fn field_layout(&self, path: &str) -> Option<&FieldLayout> {
        self.layout.and_then(|layout| layout.fields.get(path))
    }
}

/// All findings of a window against the learnt baseline.
pub(super) fn against_baseline(
    frame: &Frame<'_>,
    window: &Total,
    baselines: Baselines<'_>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut drifts = Vec::new();
    let vanished = FieldSummary::new(FieldKind::Opaque, None);
    for (path, base, baseline) in baselines.fields() {
        let now = window.fields.get(path).unwrap_or(&vanished);
        let rows = (window.rows, baseline.rows());
        let items = frame.items(path, ROWS_NEEDED);
        let pair = Pair { frame, path, now, base: &base.total, phi: base.phi, rows, items };
        if baseline.is_ready()
            && let Some(drift) = pair.drift(baseline.reference())
        {
            drifts.push(drift);
        }
        if baseline.has_rows() {
            findings.extend(pair.shares(&baseline.reference()));
        }
    }
    let p_values: Vec<f64> = drifts.iter().map(|drift| drift.p_value).collect();
    drifts.iter_mut().for_each(unless_quiet);
    for index in multiple::benjamini_hochberg(&p_values, DISCOVERY_RATE) {
        drifts[index].verdict = Verdict::Detected;
    }
    for drift in &mut drifts {
        type_change(drift, window, baselines.field(&drift.series.field.clone()));
    }
    findings.extend(drifts);
    findings
}

fn type_change(drift: &mut Finding, window: &Total, base: Option<&FieldBaseline>) {
    if drift.verdict == Verdict::Detected
        && let (Some(now), Some(base)) = (window.fields.get(&drift.series.field), base)
    {
        drift.change = change_between(now, &base.total, "all records against the baseline");
    }
}

/// Findings of one schema version against a reference: always a drift finding for each field both
/// have, and a finding for each share that differs.
pub(super) fn contrast(
    frame: &Frame<'_>,
    version: &str,
    sides: (&Total, &Total),
    reference: (&BaselineRef, Baselines<'_>),
) -> Vec<Finding> {
    let (now, base) = sides;
    let (reference, learnt) = reference;
    let mut findings = Vec::new();
    for (path, field) in &now.fields {
        let Some(other) = base.fields.get(path) else {
            continue;
        };
        let phi = learnt.field(path).map_or(1.0, |field| field.phi);
        let rows = (now.rows, base.rows);
        let items = frame.items(path, CONTRAST_ROWS);
        let pair = Pair { frame, path, now: field, base: other, phi, rows, items };
        let mut quiet = true;
        if let Some(mut drift) = pair.drift(reference.clone()) {
            drift.threshold = CONTRAST_P;
            unless_quiet(&mut drift);
            if drift.p_value < CONTRAST_P {
                drift.verdict = Verdict::Detected;
                drift.change =
                    change_between(field, other, "records of this version against the others");
                quiet = false;
            }
            findings.push(drift);
        }
        let shares = pair.shares(reference).into_iter().filter(|share| {
            share.verdict == Verdict::Detected
                && (quiet
                    || !matches!(
                        share.series.kind,
                        SeriesKind::AboveMaximum | SeriesKind::BelowMinimum
                    ))
        });
        findings.extend(shares);
    }
    for finding in &mut findings {
        finding.series.schema_version = Some(version.to_owned());
    }
    findings
}

/// One field on two sides.
struct Pair<'a> {
    frame: &'a Frame<'a>,
    path: &'a str,
    now: &'a FieldSummary,
    base: &'a FieldSummary,
    phi: f64,
    /// Records on each side, with the field or without it.
    rows: (u64, u64),
    /// As [`Frame::items`] says.
    items: Option<u64>,
}

impl Pair<'_> {
    /// The minimum-effect test; `None` where the two sides have no bins in common.
    fn drift(&self, reference: BaselineRef) -> Option<Finding> {
        let (now, base) = (&self.now.bins, &self.base.bins);
        if now.is_empty() || now.len() != base.len() {
            return None;
        }
        let mut finding = self.frame.finding(self.path, SeriesKind::Drift, reference);
        finding.test = "minimum_effect_chi_square".into();
        finding.threshold = DISCOVERY_RATE;
        finding.rows_window = now.iter().sum();
        finding.rows_baseline = base.iter().sum();
        let shares = chi_square::baseline_shares(base);
        let rows = finding.rows_baseline;
        let baseline = chi_square::Baseline { shares: &shares, rows, phi: self.phi };
        match chi_square::min_effect(baseline, now, FIELD_DELTA) {
            // Below this the test fails open by design: too few rows to tell.
            Some(test) if test.lambda >= LAMBDA_LEAST => {
                finding.value = test.x2;
                finding.p_value = test.p;
                finding.effect.estimate = test.delta_hat;
                finding.effect.low = test.delta.low;
                finding.effect.high = test.delta.high;
            }
            _ => finding.verdict = Verdict::Inconclusive,
        }
        Some(finding)
    }

    /// Shares of what is rare or ought not to be there.
    fn shares(&self, reference: &BaselineRef) -> Vec<Finding> {
        let mut findings = Vec::new();
        for kind in [
            SeriesKind::AboveMaximum,
            SeriesKind::BelowMinimum,
            SeriesKind::NeverSeen,
            SeriesKind::NullRise,
            SeriesKind::NullFall,
            SeriesKind::Unparsable,
            SeriesKind::Contract,
        ] {
            let now = self.count(self.now, self.rows.0, kind);
            let base = self.count(self.base, self.rows.1, kind);
            let (Some(now), Some(base)) = (now, base) else {
                continue;
            };
            if now.rows == 0 || base.rows == 0 || self.items.is_some_and(|l| base.rows < l) {
                continue;
            }
            let test = rates::support(base, now, TOLERANCE);
            let mut finding = self.frame.finding(self.path, kind, reference.clone());
            finding.test = "binomial_tail".into();
            let falls = kind == SeriesKind::NullFall;
            finding.p_value = if falls { test.p_fall } else { test.p_rise };
            finding.value = test.estimate;
            finding.threshold = SHARE_P;
            finding.effect = share_effect(base, now);
            (finding.rows_window, finding.rows_baseline) = (now.rows, base.rows);
            unless_quiet(&mut finding);
            if finding.p_value < SHARE_P {
                finding.verdict = Verdict::Detected;
            }
            findings.push(finding);
        }
        findings
    }

    /// How many of how many; `None` where the question makes no sense for the field.
    ///
    /// Items are counted by items. Those of one record are alike and no independent witnesses, so
    /// a share of them weighs no more than the records there were.
    fn count(&self, field: &FieldSummary, rows: u64, kind: SeriesKind) -> Option<Count> {
        if self.items.is_none() {
            return self.count_of(field, rows, kind);
        }
        let count = self.count_of(field, field.counters.rows(), kind)?;
        if count.rows <= rows {
            return Some(count);
        }
        let hits = u128::from(count.hits) * u128::from(rows) / u128::from(count.rows);
        Some(Count { hits: u64::try_from(hits).unwrap_or(rows), rows })
    }

    /// What a record does not have observe does not always count, so absence is what is left of
    /// `rows`.
    fn count_of(&self, field: &FieldSummary, rows: u64, kind: SeriesKind) -> Option<Count> {
        let counters = &field.counters;
        let binned: u64 = field.bins.iter().sum();
        let bin = |index: usize| Count {
            hits: field.bins.get(index).copied().unwrap_or(0),
            rows: binned,
        };
        let of_rows = |hits: u64| Some(Count { hits: hits.min(rows), rows });
        let there = counters.there();
        match (kind, self.frame.field_layout(self.path)) {
            (SeriesKind::AboveMaximum, Some(FieldLayout::Numeric(layout))) => {
                Some(bin(layout.above()))
            }
            (SeriesKind::BelowMinimum, Some(FieldLayout::Numeric(layout))) => {
                Some(bin(layout.below()))
            }
            (SeriesKind::NeverSeen, Some(FieldLayout::Category(layout))) => {
                Some(bin(layout.never_seen()))
            }
            (SeriesKind::NullRise | SeriesKind::NullFall, _) => of_rows(rows.saturating_sub(there)),
            (SeriesKind::Unparsable, _) => {
                of_rows(counters.mismatch + counters.nan + counters.infinite)
            }
            (SeriesKind::Contract, _) => of_rows(counters.breach),
            _ => None,
        }
    }
}

/// Keeps a window that leans towards a change from speaking against it.
pub(super) fn unless_quiet(finding: &mut Finding) {
    if finding.p_value < QUIET_P {
        finding.verdict = Verdict::Inconclusive;
    }
}

/// The change of a share, with its interval.
pub(super) fn share_effect(base: Count, now: Count) -> Effect {
    let difference = rates::rate_difference(now, base);
    Effect {
        estimate: difference.value,
        low: difference.interval.low,
        high: difference.interval.high,
        unit: "share".into(),
        window: Some(now.share()),
        baseline: Some(base.share()),
    }
}

/// The kind of change between two sides of a numeric field.
fn change_between(now: &FieldSummary, base: &FieldSummary, evidence: &str) -> Option<Change> {
    if now.kind != FieldKind::Numeric || base.kind != FieldKind::Numeric {
        return None;
    }
    let (new, old) = (quantiles(now)?, quantiles(base)?);
    let side = |quantiles, field: &FieldSummary| Side {
        quantiles,
        negative_share: field.histogram.negative_share(),
    };
    let typing = change::type_change(side(&new, now), side(&old, base));
    let (kind, factor, named) = match typing.change {
        change::Change::Scale { factor, snapped, .. } => {
            ("scale", Some(factor), snapped.map(|known| known.to_string()))
        }
        change::Change::Sign => ("sign", None, None),
        change::Change::ShiftOrMixture => ("shift_or_mixture", None, None),
        change::Change::None => return None,
    };
    Some(Change {
        kind: kind.to_owned(),
        factor,
        named,
        evidence: evidence.to_owned(),
        spread: typing.evidence.mad,
    })
}

fn quantiles(field: &FieldSummary) -> Option<Quantiles> {
    let mut quantiles = Quantiles::default();
    for (i, quantile) in quantiles.iter_mut().enumerate() {
        let q = 0.05 * (i + 1) as f64;
        *quantile = field.histogram.quantile(q, field.counters.zero)?;
    }
    Some(quantiles)
}

#[cfg(test)]
mod tests;
