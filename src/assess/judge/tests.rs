//! Shares of items: what they are shares of, and how much they weigh.

use std::collections::BTreeMap;

use super::super::baseline::{Baseline, Kept};
use super::*;
use crate::config::plan::FieldPlan;
use crate::sketch::FieldCounters;

const PATH: &str = "lines[].price";

fn total(rows: u64, present: u64, null: u64) -> Total {
    let mut field = FieldSummary::new(FieldKind::Numeric, None);
    field.counters = FieldCounters { present, null, ..FieldCounters::default() };
    Total { rows, fields: BTreeMap::from([(PATH.to_owned(), field)]) }
}

/// What is said of nulls rising, with the path named by configuration or not.
fn null_rise(now: &Total, base: &Total, is_named: bool) -> Option<Finding> {
    let named = is_named.then(|| (PATH.to_owned(), FieldPlan::default()));
    let fields = FieldSelection::All(named.into_iter().collect());
    let frame = Frame {
        subject: Subject::Dataset("orders".into()),
        start: EventTime(0),
        end: EventTime(1),
        as_of: EventTime(1),
        complete: true,
        watermark: EventTime(1),
        layout: None,
        definition: 0,
        fields: Some(&fields),
        rows: now.rows,
    };
    let mut baseline = Baseline::default();
    baseline.add(1, (EventTime(0), EventTime(1)), base);
    let baselines = Baselines { kept: &Kept::default(), learnt: &baseline };
    let findings = against_baseline(&frame, now, baselines);
    findings.into_iter().find(|finding| finding.series.kind == SeriesKind::NullRise)
}

#[test]
fn a_share_of_items_is_one_of_items() {
    let base = total(10_000, 4_000, 0);
    let now = total(10_000, 2_000, 2_000);

    let finding = null_rise(&now, &base, true).expect("a finding");
    assert_eq!((finding.rows_window, finding.rows_baseline), (4_000, 4_000));
    assert_eq!(finding.effect.window, Some(0.5));
    assert_eq!(finding.verdict, Verdict::Detected);
    let per_record = null_rise(&now, &base, false).expect("a finding");
    assert_eq!(per_record.rows_window, 10_000, "a record has one value at any other path");
}

#[test]
fn items_of_few_records_do_not_weigh_as_many() {
    let base = total(5_000, 50_000, 0);
    // One record of 64 null items: 0.64 % of them.
    let lump = total(1_000, 9_936, 64);
    let finding = null_rise(&lump, &base, true).expect("a finding");

    assert_eq!((finding.rows_window, finding.rows_baseline), (1_000, 5_000));
    assert_ne!(finding.verdict, Verdict::Detected);
    let all = total(1_000, 9_000, 1_000);
    assert_eq!(null_rise(&all, &base, true).map(|f| f.verdict), Some(Verdict::Detected));
}

#[test]
fn few_items_are_nothing_to_compare_with() {
    let base = total(10_000, 1_999, 0);

    assert!(null_rise(&total(10_000, 0, 2_000), &base, true).is_none());
    assert!(null_rise(&total(10_000, 0, 0), &total(10_000, 4_000, 0), true).is_none());
}
