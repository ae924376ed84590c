//! A configuration that changes under windows that are open.

mod bench;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::*;
use bench::{Bench, HOLD_MS, plan, plan_of};

/// One of two fields is held to a contract.
const CHANGED: &str = "only: [amount, age]\n    fields: { amount: { min: 0 } }";
const ORDERS: fn() -> Subject = || Subject::Dataset("orders".into());
const FRAUD: fn() -> Subject = || Subject::Model("fraud".into());

#[test]
fn windows_of_an_old_definition_close_by_the_watermark_and_leave_nothing_behind() {
    for subject in [ORDERS(), FRAUD()] {
        let (old, new) = (plan(10), plan(20));
        let mut bench = Bench::new(subject.clone(), &old);
        for window in 0..4 {
            bench.rows(&old, window * 10, 100);
        }
        bench.read(32);
        bench.restart(&new);
        bench.rows(&old, 20, 7);
        bench.rows(&new, 40, 300);
        bench.read(62);

        assert_eq!(bench.closed, [(10, 100), (20, 100), (30, 100), (40, 100), (60, 300)]);
        let late = match &subject {
            // What the new definition is held against is amended no more; rates still are.
            Subject::Dataset(_) => BTreeMap::from([("window_gone", 7)]),
            Subject::Model(_) => BTreeMap::new(),
        };
        assert_eq!(bench.counts, late);
        bench.joined(&new, (40, 1), 200);
        bench.now_ms += HOLD_MS + 1;
        bench.read(63);
        let home = |plan: &Plan| match &subject {
            Subject::Dataset(name) => plan.datasets[name].definition,
            Subject::Model(name) => plan.models[name].definition,
        };
        assert_eq!(bench.definitions(), BTreeSet::from([home(&new)]), "{subject}");
    }
}

#[test]
fn a_window_that_two_definitions_share_is_judged_under_neither() {
    for subject in [ORDERS(), FRAUD()] {
        let (old, new) = (plan(10), plan(20));
        let mut bench = Bench::new(subject, &old);
        bench.rows(&old, 0, 100);
        bench.rows(&old, 10, 60);
        bench.restart(&new);
        bench.rows(&new, 0, 40);
        bench.rows(&new, 20, 300);
        bench.read(42);

        assert_eq!(bench.closed, [(40, 300)]);
        assert_eq!(bench.counts["window_split"], 200, "and nothing is lost in silence");
    }
}

#[test]
fn what_is_counted_under_a_definition_not_known_yet_is_held_until_it_is_the_plans() {
    for subject in [ORDERS(), FRAUD()] {
        let (old, new) = (plan(10), plan(20));
        let mut bench = Bench::new(subject, &old);
        bench.rows(&old, 0, 100);
        bench.rows(&old, 10, 100);
        bench.rows(&new, 20, 200);
        bench.rows(&new, 40, 200);
        bench.read(62);
        assert_eq!(bench.closed, [(10, 100), (20, 100)]);

        bench.restart(&new);
        bench.rows(&new, 40, 5);
        bench.read(63);

        assert_eq!(bench.closed[2..], [(40, 200), (60, 205)]);
        assert_eq!(bench.counts.get("definition_other"), None);
    }
}

/// Processes that assess may be the first to have a new configuration.
#[test]
fn an_old_definition_without_anything_open_is_known_as_long_as_a_change_goes_round() {
    for subject in [ORDERS(), FRAUD()] {
        let (old, new) = (plan(10), plan(20));
        let mut bench = Bench::new(subject, &old);
        bench.rows(&old, 0, 100);
        bench.read(12);
        bench.joined(&old, (0, 1), 100);
        bench.restart(&new);
        bench.read(13);
        bench.rows(&old, 10, 100);
        bench.read(22);

        assert_eq!(bench.closed, [(10, 100), (20, 100)]);
        assert_eq!(bench.counts, BTreeMap::new());
    }
}

#[test]
fn two_definitions_for_longer_than_the_hold_are_a_mismatch_and_no_longer_taken() {
    for subject in [ORDERS(), FRAUD()] {
        let (old, new) = (plan(10), plan(20));
        let mut bench = Bench::new(subject, &old);
        bench.rows(&new, 0, 10);
        bench.now_ms += HOLD_MS;
        bench.rows(&new, 20, 10);
        let mismatches = |bench: &Bench| {
            let over = bench.items.iter().filter_map(|item| match item {
                FindingItem::Mismatch(mismatch) => Some(mismatch.over),
                _ => None,
            });
            over.collect::<Vec<bool>>()
        };
        assert!(mismatches(&bench).is_empty(), "a change goes round");

        bench.now_ms += 1;
        bench.rows(&new, 20, 10);
        bench.rows(&new, 20, 10);
        bench.read(1);
        assert_eq!(mismatches(&bench), [false], "told once");
        assert_eq!(bench.counts["definition_other"], 40, "and what was held is let go");

        bench.now_ms += HOLD_MS + 1;
        bench.read(2);
        assert_eq!(mismatches(&bench), [false, true]);
    }
}

#[test]
fn a_change_and_back_is_two_changes() {
    let (old, new) = (plan(10), plan(20));
    let mut bench = Bench::new(ORDERS(), &old);
    bench.rows(&old, 0, 100);
    bench.read(12);
    bench.restart(&new);
    bench.rows(&new, 20, 200);
    bench.restart(&old);
    bench.rows(&old, 40, 100);
    bench.read(62);

    assert_eq!(bench.closed, [(10, 100), (40, 200), (50, 100)]);
    assert_eq!(bench.counts, BTreeMap::new());
}

#[test]
fn more_definitions_than_are_kept_are_counted() {
    let plans: Vec<Arc<Plan>> = (1..=4).map(|window| plan(window * 10)).collect();
    let mut bench = Bench::new(ORDERS(), &plans[0]);
    for plan in &plans[1..] {
        bench.rows(plan, 0, 10);
    }

    assert_eq!(bench.counts, BTreeMap::from([("definition_other", 10)]));
    bench.restart(&plans[3]);
    bench.read(1);
    // The first of the plans has nothing to drain; the others were never the plan's.
    assert_eq!(bench.counts, BTreeMap::from([("definition_other", 10)]));
}

#[test]
fn outcomes_of_an_old_definition_ripen_its_windows_and_no_others() {
    let (old, new) = (plan(10), plan(20));
    let mut bench = Bench::new(FRAUD(), &old);
    bench.rows(&old, 0, 100);
    bench.read(12);
    bench.restart(&new);
    bench.rows(&new, 20, 100);
    bench.read(42);
    bench.joined(&old, (0, 95), 45);

    let ripe = bench.tables().into_iter().filter(|table| table.revision > 0);
    let ripe: Vec<(i64, u64)> =
        ripe.map(|table| (table.window_start.0 / 1_000, table.cells[0].2.labelled)).collect();
    assert_eq!(ripe, [(0, 95)]);
    assert!(bench.tables().iter().all(|table| table.complete));
}

#[test]
fn a_window_whose_labels_mean_something_else_by_now_is_incomplete() {
    let old = plan(10);
    let mut relabelled = (*plan(20)).clone();
    let fraud = relabelled.models.get_mut("fraud").expect("the model");
    fraud.outcomes.as_mut().expect("outcomes").positive = vec!["yes".into()];
    let mut bench = Bench::new(FRAUD(), &old);
    bench.rows(&old, 0, 100);
    bench.rows(&old, 10, 100);
    bench.read(12);
    bench.restart(&Arc::new(relabelled));
    bench.read(42);
    bench.joined(&old, (0, 95), 45);

    let complete: Vec<(i64, bool)> =
        bench.tables().iter().map(|table| (table.window_start.0 / 1_000, table.complete)).collect();
    assert_eq!(complete, [(0, true), (10, false), (0, false)]);
}

#[test]
fn a_field_that_is_counted_as_before_keeps_its_layout_and_its_baseline() {
    let (old, new) = (plan(10), plan_of(10, CHANGED));
    let mut bench = Bench::new(ORDERS(), &old);
    let ready = 30;
    for window in 0..ready {
        bench.orders(&old, window * 10, 1.0);
    }
    let before = bench.layout.take().expect("a layout is learnt");

    bench.restart(&new);
    let mut window = ready;
    while bench.layout.is_none() {
        assert!(window < ready + 10, "the other field is learnt anew");
        bench.orders(&new, window * 10, 1.0);
        window += 1;
    }
    let after = bench.layout.clone().expect("a layout is learnt");
    assert_eq!(after.fields.get("age"), before.fields.get("age"));
    assert!(after.fields.contains_key("amount"));
    // Crashing loses nothing of it.
    bench.restart(&new);
    for drifted in window..window + 2 {
        bench.orders(&new, drifted * 10, 3.0);
    }

    assert_eq!(bench.drifting().iter().filter(|field| **field != "age").count(), 0);
    assert!(bench.drifting().contains(&"age"), "two windows are enough: {:?}", bench.items.len());
}

#[test]
fn compaction_leaves_what_was_said_of_every_definition_that_is_counted_under() {
    let (old, new) = (plan(10), plan_of(10, CHANGED));
    let mut bench = Bench::new(ORDERS(), &old);
    for window in 0..30 {
        bench.orders(&old, window * 10, 1.0);
    }
    let before = bench.layout.clone();
    assert!(before.is_some(), "a layout is learnt");

    bench.restart(&new);
    for window in 30..32 {
        bench.orders(&new, window * 10, 1.0);
    }

    let latest = |bench: &Bench, plan: &Plan| {
        let definition = plan.datasets["orders"].definition;
        let mut told = bench.layouts.values().filter(|update| update.definition == definition);
        told.next_back().map(|update| (update.closed_through.is_some(), update.layout.clone()))
    };
    assert_eq!(latest(&bench, &old), Some((true, before)));
    assert_eq!(latest(&bench, &new), Some((true, None)));
    // What comes back has kept the layout of no field that was counted otherwise between.
    bench.restart(&old);
    bench.read(322);
    assert_eq!(latest(&bench, &old), Some((true, None)));
}

#[test]
fn where_the_same_counts_layout_and_baseline_stay_and_the_layout_is_told_anew() {
    let (old, new) = (plan(10), plan(20));
    let mut bench = Bench::new(ORDERS(), &old);
    for window in 0..30 {
        bench.orders(&old, window * 10, 1.0);
    }
    let before = bench.layout.take().expect("a layout is learnt");

    bench.restart(&new);
    bench.read(312);

    let after = bench.layout.clone().expect("it is told with the first message");
    assert_eq!((after.id, &after.fields), (before.id, &before.fields));
    for window in 0..2 {
        bench.orders(&new, 320 + window * 20, 3.0);
    }
    bench.read(362);
    assert!(bench.drifting().contains(&"age"));
}
