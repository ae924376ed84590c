//! Assess and decide from summaries alone: the story of a unit change, and quiet data.
//!
//! Summaries are drawn here from known rates, so what must be said is known too. The seed is
//! printed with every failure.

mod support;

use std::collections::BTreeMap;

use driftline::event::public::EventData;
use support::stages::Said;
use support::summaries::{Bank, Change};

fn types(said: &Said) -> BTreeMap<String, usize> {
    let mut types = BTreeMap::new();
    for event in &said.events {
        *types.entry(event.data.type_name()).or_default() += 1;
    }
    types
}

#[test]
fn unit_change_is_named_as_the_cause_and_asks_for_hold_then_fix() {
    let said = Bank { seed: 11, change: Change::Cents, ..Bank::default() }.run();

    let changed = said.events.iter().find(|e| matches!(e.data, EventData::SchemaChanged(_)));
    assert!(changed.is_some(), "no schema change: {:#?}", types(&said));
    let incidents = said.incidents();
    assert_eq!(incidents.len(), 1, "one change is one incident: {:#?}", said.sentences());
    let last = said.last_incident();
    let cause = &last.causes[0];
    assert_eq!(cause.schema_version.as_deref(), Some("13"), "{:#?}", said.sentences());
    assert!(cause.probability >= 0.8, "{:#?}", said.sentences());
    assert!(!last.provisional, "{:#?}", said.sentences());
    assert_eq!(said.actions(), ["hold", "fix_upstream"], "{:#?}", said.sentences());
    assert_eq!(said.retrains(), 0);
    assert!(
        last.causes[0].evidence.contains("x100"),
        "the change is typed: {:#?}",
        said.sentences()
    );
}

#[test]
fn change_of_the_world_is_unexplained_and_asks_for_a_retrain() {
    let said = Bank { seed: 12, change: Change::World, ..Bank::default() }.run();

    assert_eq!(said.actions(), Vec::<String>::new(), "{:#?}", said.sentences());
    assert_eq!(said.retrains(), 1, "{:#?}", said.sentences());
    assert_eq!(said.last_incident().causes[0].kind, "unexplained");
}

#[test]
fn harmless_version_opens_no_incident() {
    let said = Bank { seed: 13, change: Change::Harmless, ..Bank::default() }.run();

    assert_eq!(types(&said).keys().collect::<Vec<_>>(), ["io.driftline.schema.changed.v1"]);
}

#[test]
fn quiet_data_says_nothing() {
    for seed in 20..25 {
        let said = Bank { seed, change: Change::None, ..Bank::default() }.run();

        assert!(said.events.is_empty(), "seed {seed}: {:#?}", said.sentences());
    }
}

#[test]
fn rollback_of_the_version_resolves_the_incident() {
    let bank =
        Bank { seed: 14, change: Change::Cents, until: Some(26), windows: 40, ..Bank::default() };
    let said = bank.run();

    assert_eq!(said.last_incident().state, "resolved", "{:#?}", said.sentences());
}

#[test]
fn restored_from_checkpoints_it_says_the_same() {
    let bank = Bank { seed: 15, change: Change::Cents, windows: 30, ..Bank::default() };
    let whole = bank.run();
    for crash in [40, 90, 170, 200] {
        let restored = Bank { crash_after: Some(crash), ..bank.clone() }.run();

        let ids = |said: &Said| said.events.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&whole), ids(&restored), "crash after {crash} messages");
        assert_eq!(whole.sentences(), restored.sentences());
    }
}

#[test]
fn a_change_of_configuration_by_which_the_same_counts_changes_nothing_that_is_said() {
    let bank = Bank { seed: 15, change: Change::Cents, windows: 27, ..Bank::default() };
    let whole = bank.run();
    // While the layout is learnt, the baseline, with the change of the data, and after it.
    for from in [1, 10, 19, 23] {
        let redefined = Bank { redefined: Some(from), ..bank.clone() }.run();

        let ids = |said: &Said| said.events.iter().map(|e| e.id.clone()).collect::<Vec<_>>();
        assert_eq!(ids(&whole), ids(&redefined), "from window {from}");
        assert_eq!(whole.sentences(), redefined.sentences());
    }
}

#[test]
fn without_exposure_the_cause_is_named_with_a_capped_probability() {
    let said = Bank { seed: 16, change: Change::Cents, grade_c: true, ..Bank::default() }.run();

    let cause = &said.last_incident().causes[0];
    assert_eq!(cause.schema_version.as_deref(), Some("13"), "{:#?}", said.sentences());
    assert!(cause.probability <= 0.8, "{:#?}", said.sentences());
}

#[test]
fn where_only_flagged_predictions_get_outcomes_false_positives_per_decision_are_told() {
    let bank = Bank { seed: 17, change: Change::Cents, flagged_only: true, ..Bank::default() };
    let said = bank.run();

    let last = said.last_incident();
    assert_eq!(last.causes[0].schema_version.as_deref(), Some("13"), "{:#?}", said.sentences());
    assert_eq!(last.metric.as_deref(), Some("false_positives_per_decision"));
    assert!(last.sentence.contains("false positives per 1,000 decisions"), "{}", last.sentence);
    assert_eq!(said.actions(), ["hold", "fix_upstream"], "{:#?}", said.sentences());
}

#[test]
fn the_past_does_not_act() {
    let read_later_ms = 30 * 24 * 3_600_000;
    let bank = Bank { seed: 11, change: Change::Cents, read_later_ms, ..Bank::default() };
    let said = bank.run();

    let last = said.last_incident();
    assert!(last.backfill, "{:#?}", said.sentences());
    assert_eq!(last.causes[0].schema_version.as_deref(), Some("13"));
    assert_eq!((said.actions().len(), said.retrains()), (0, 0), "{:#?}", said.sentences());
}

#[test]
fn the_past_does_not_act_when_outcomes_come_after_a_topic_fell_silent() {
    let bank = Bank { seed: 18, change: Change::World, windows: 23, ..Bank::default() };
    let said = Bank { falls_silent: true, ..bank }.run();

    let last = said.last_incident();
    assert!(last.backfill && !last.provisional, "{:#?}", said.sentences());
    assert_eq!((said.actions().len(), said.retrains()), (0, 0), "{:#?}", said.sentences());
}

#[test]
fn change_of_data_that_moves_no_model_is_an_incident_without_requests() {
    let said = Bank { seed: 19, change: Change::Silent, ..Bank::default() }.run();

    assert_eq!(said.incidents().len(), 1, "{:#?}", said.sentences());
    let last = said.last_incident();
    assert!(last.sentence.contains("`amount` is x100"), "{}", last.sentence);
    assert!(last.sentence.contains("no schema change explains it"), "{}", last.sentence);
    assert_eq!((said.actions().len(), said.retrains()), (0, 0), "{:#?}", said.sentences());
}
