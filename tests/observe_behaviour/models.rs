//! Predictions and outcomes.

use driftline::config::plan::Decision;
use driftline::event::cell::ModelCellKey;
use driftline::event::fact::{FactBatch, fact_id};
use driftline::event::route::partition_of;

use super::support::*;

fn prediction(tx: &str, p: f64) -> Input {
    json("scores", &format!(r#"{{"at": 5, "tx": "{tx}", "p": {p}, "v": 3}}"#))
}

fn only_key(told: Told) -> ModelCellKey {
    let merged = Merged::of([told], 64);
    assert_eq!(merged.models.len(), 1);
    merged.models.values().next().unwrap().cells.keys().next().unwrap().clone()
}

fn facts(told: &Told) -> Vec<&FactBatch> {
    let batches = told.facts.iter().map(|(_, batch)| batch);
    batches.filter(|batch| batch.predictions.len() + batch.outcomes.len() > 0).collect()
}

#[test]
fn a_prediction_and_its_outcome_meet_in_one_partition() {
    let mut run = Run::new(plan(&[], &[fraud()]), 1);
    run.take(&prediction("17", 0.9));
    run.take(&json("chargebacks", r#"{"at": 9, "tx": 17, "fraud": true}"#));

    let told = run.told();
    let batches = facts(&told);
    assert_eq!(batches.len(), 1);
    let (prediction, outcome) = (batches[0].predictions[0], batches[0].outcomes[0]);
    assert_eq!((prediction.id, outcome.id), (fact_id(b"17"), fact_id(b"17")));
    assert_eq!((prediction.time.0, outcome.time.0), (5, 9));
    assert!(prediction.flagged && outcome.positive);
    let terms = batches[0].terms.as_slice();
    assert_eq!(
        terms.iter().map(|terms| terms.definition).collect::<Vec<_>>(),
        [fraud().definition]
    );
    let partition = partition_of(b"fraud\x0017", 8);
    let told = told.facts.iter().find(|(_, batch)| !batch.outcomes.is_empty()).unwrap();
    assert_eq!(told.0, partition);
}

#[test]
fn exposure_is_the_first_place_present_or_unknown() {
    let origin = |input: &Input| {
        let mut run = Run::new(plan(&[], &[fraud()]), 1);
        run.take(input);
        let key = only_key(run.told());
        assert_eq!(key.model_version, "3");
        let origin = key.exposure[0].clone();
        assert_eq!(origin.dataset, "orders");
        (origin.producer, origin.schema_version)
    };
    let check = |input: Input, producer: &str, schema: &str| {
        assert_eq!(origin(&input), (producer.to_owned(), schema.to_owned()));
    };
    check(prediction("a", 0.5), "unknown", "unknown");
    let both = r#"{"at": 5, "tx": "a", "v": 3, "orders_schema": 12}"#;
    check(json("scores", both), "unknown", "12");
    check(json("scores", both).with("orders_schema", "13").with("orders_app", "x"), "x", "13");
}

#[test]
fn scores_that_cannot_be_used_are_counted_as_unscored() {
    let mut run = Run::new(plan(&[], &[fraud()]), 1);
    run.take(&prediction("a", 0.81));
    run.take(&prediction("b", 0.8));
    run.take(&prediction("c", 1.5));
    run.take(&json("scores", r#"{"at": 5, "tx": "d", "v": 3}"#));

    let merged = Merged::of([run.told()], 64);
    let sums = merged.models.values().next().unwrap().cells.values().next().unwrap().clone();
    assert_eq!((sums.n, sums.flags, sums.unscored), (4, 2, 2));
}

#[test]
fn a_decision_may_be_named() {
    let mut model = fraud();
    model.predictions.decision = Decision::OneOf(field("verdict"), vec!["block".into()]);
    let mut run = Run::new(plan(&[], &[model]), 1);
    run.take(&json("scores", r#"{"at": 5, "tx": "a", "verdict": "block"}"#));
    run.take(&json("scores", r#"{"at": 5, "tx": "b", "verdict": "pass"}"#));

    let merged = Merged::of([run.told()], 64);
    let sums = merged.models.values().next().unwrap().cells.values().next().unwrap().clone();
    assert_eq!((sums.n, sums.flags), (2, 1));
}

#[test]
fn a_prediction_nobody_labels_makes_no_fact() {
    let mut model = fraud();
    model.outcomes = None;
    let mut run = Run::new(plan(&[], &[model]), 1);
    run.take(&prediction("a", 0.9));

    let told = run.told();
    assert!(facts(&told).is_empty());
    assert_eq!(Merged::of([told], 64).models.len(), 1);
}

#[test]
fn an_outcome_needs_an_id_and_a_label() {
    let check = |text: &str, reason: &str| {
        let mut run = Run::new(plan(&[], &[fraud()]), 1);
        run.take(&json("chargebacks", text));
        assert_eq!(run.told().set_aside("driftline.reason"), reason);
    };
    check(r#"{"at": 5, "fraud": true}"#, "missing_id");
    check(r#"{"at": 5, "tx": "", "fraud": true}"#, "missing_id");
    check(r#"{"at": 5, "tx": 1.5, "fraud": true}"#, "missing_id");
    check(r#"{"at": 5, "tx": "a"}"#, "missing_label");
    check(r#"{"at": 5, "tx": "a", "fraud": null}"#, "missing_label");
}

#[test]
fn labels_are_compared_as_text() {
    let positive = |label: &str| {
        let mut run = Run::new(plan(&[], &[fraud()]), 1);
        run.take(&json("chargebacks", &format!(r#"{{"at": 5, "tx": "a", "fraud": {label}}}"#)));
        facts(&run.told())[0].outcomes[0].positive
    };
    assert!(positive("true") && positive("1") && positive("\"true\""));
    assert!(!positive("false") && !positive("0") && !positive("\"True\""));
}

#[test]
fn one_topic_of_outcomes_serves_several_models() {
    let mut other = fraud();
    other.name = "abuse".into();
    other.predictions.topic = "abuse_scores".into();
    let mut run = Run::new(plan(&[], &[fraud(), other]), 1);
    assert_eq!(run.observe.topics(), ["abuse_scores", "scores", "chargebacks"]);
    run.take(&json("chargebacks", r#"{"at": 5, "tx": "a", "fraud": true}"#));

    let facts = Merged::of([run.told()], 64).facts;
    let models: Vec<&str> = facts.iter().map(|fact| fact.2.as_str()).collect();
    assert_eq!(models.len(), 2);
    assert!(models.contains(&"abuse") && models.contains(&"fraud"));
}

#[test]
fn model_cells_beyond_the_limit_go_to_the_others_with_their_facts() {
    let mut plan = plan(&[], &[fraud()]);
    plan.limits.cells_per_window = 1;
    let mut run = Run::new(plan, 1);
    for version in 0..6 {
        let text = format!(r#"{{"at": 5, "tx": "a{version}", "p": 0.5, "v": {version}}}"#);
        run.take(&json("scores", &text));
    }

    let told = run.told();
    let delta = told.summaries.iter().find_map(|(_, batch)| batch.models.first()).unwrap();
    assert!(delta.evicted_from.is_some());
    let others = delta.cells.iter().find(|(key, _)| *key == ModelCellKey::other()).unwrap();
    assert_eq!((delta.cells.len(), others.1.n), (2, 5));
    let named = facts(&told).into_iter().flat_map(|batch| {
        batch.predictions.iter().map(|fact| batch.cells[fact.cell as usize].key.clone())
    });
    assert_eq!(named.filter(|key| *key == ModelCellKey::other()).count(), 5);
}
