//! Checks of models: predictions, outcomes, lineage.

use std::collections::BTreeMap;

use super::{Checks, LATENESS_MS, WINDOW_MS, known_names};
use crate::config::definition;
use crate::config::place::{Place, locator};
use crate::config::plan::{
    Absent, Covers, DatasetPlan, Decision, ExposurePlan, Locator, ModelPlan, OutcomePlan,
    PredictionPlan, TimeSource,
};
use crate::config::written::{AbsentAsWritten, CoversAsWritten, Model, Outcomes, Predictions};
use crate::event::path;

type Datasets = BTreeMap<String, DatasetPlan>;

/// All models, by name.
pub(super) fn all(checks: &mut Checks<'_>, datasets: &Datasets) -> BTreeMap<String, ModelPlan> {
    let config = checks.config;
    let models = config.models.iter();
    models.map(|(name, written)| (name.clone(), model(checks, datasets, name, written))).collect()
}

fn model(checks: &mut Checks<'_>, datasets: &Datasets, name: &str, written: &Model) -> ModelPlan {
    let path = ["models", name];
    checks.name(&path, name);
    inputs(checks, datasets, name, written);
    let fed_by = || written.inputs.keys().filter_map(|dataset| datasets.get(dataset));
    let default_ms = (
        fed_by().map(|dataset| dataset.window.ms()).max().unwrap_or(WINDOW_MS),
        fed_by().map(|dataset| dataset.lateness_ms).max().unwrap_or(LATENESS_MS),
    );
    let (window, lateness_ms) = checks.window(&path, &written.window, default_ms);
    let mut plan = ModelPlan {
        name: name.to_owned(),
        predictions: predictions(checks, name, &written.predictions),
        outcomes: written.outcomes.as_ref().map(|written| outcomes(checks, name, written)),
        inputs: written.inputs.clone(),
        window,
        lateness_ms,
        bounds: checks.bounds(&path, &written.bounds),
        definition: 0,
    };
    exposure(checks, datasets, written, &mut plan);
    plan.definition = definition::of_model(&plan);
    plan
}

fn inputs(checks: &mut Checks<'_>, datasets: &Datasets, name: &str, written: &Model) {
    for (dataset, fields) in &written.inputs {
        let at = ["models", name, "inputs", dataset];
        let Some(plan) = datasets.get(dataset) else {
            let message = format!("there is no dataset `{dataset}`");
            checks.problem(&at, message, known_names(dataset, datasets));
            continue;
        };
        let is_watched = |field: &str| match path::items(field) {
            None => plan.fields.watches(field),
            Some(_) => plan.fields.is_of_items(field),
        };
        for field in fields.iter().filter(|field| !is_watched(field)) {
            let message = format!("`{field}` is not among the watched fields of `{dataset}`");
            let list = if path::items(field).is_some() { "fields" } else { "only" };
            let fix = format!("add it to `datasets.{dataset}.{list}`");
            checks.problem(&at, message, fix);
        }
    }
}

fn predictions(checks: &mut Checks<'_>, name: &str, written: &Predictions) -> PredictionPlan {
    checks.topic(&["models", name, "predictions", "topic"], &written.topic);
    PredictionPlan {
        topic: written.topic.clone(),
        id: written.id.0.clone(),
        score: written.score.as_ref().map(|place| place.0.clone()),
        decision: decision(checks, name, written),
        version: written.version.as_ref().map(|place| place.0.clone()),
        time: time(written.time.as_ref()),
        exposure: BTreeMap::new(),
    }
}

fn time(written: Option<&Place>) -> TimeSource {
    written.map_or(TimeSource::Record, |place| TimeSource::At(place.0.clone()))
}

fn decision(checks: &mut Checks<'_>, name: &str, written: &Predictions) -> Decision {
    let path = ["models", name, "predictions", "decision"];
    let decision = &written.decision;
    let is_place = decision.field.is_some() || decision.header.is_some();
    if let Some(limit) = decision.score_above {
        if is_place || !decision.equals.0.is_empty() {
            let message = "`score_above` stands alone".into();
            checks.problem(&path, message, "keep `score_above`, or a place with `equals`");
        }
        if written.score.is_none() {
            let fix = "add `score:` to the predictions";
            checks.problem(&path, "`score_above` needs a score".into(), fix);
        }
        if !(0.0..1.0).contains(&limit) {
            let at = ["models", name, "predictions", "decision", "score_above"];
            let message = format!("no score in [0, 1] can tell anything by being above {limit}");
            checks.problem(&at, message, "use a number from 0 to below 1");
        }
        return Decision::ScoreAbove(limit);
    }
    if is_place && decision.equals.0.is_empty() {
        let fix = "add `equals:` with the values that are positive";
        checks.problem(&path, "it is not said which values are positive".into(), fix);
    }
    match locator(decision.field.clone(), decision.header.clone()) {
        Ok(at) => {
            Decision::OneOf(at, decision.equals.0.iter().map(|text| text.0.clone()).collect())
        }
        Err(text) => {
            let (message, fix) = match is_place {
                true => text.split_once('\n').unwrap_or((&text, "")),
                false => (
                    "it is not said what a positive decision is",
                    "write `{ score_above: 0.5 }` or `{ field: decision, equals: [yes] }`",
                ),
            };
            checks.problem(&path, message.to_owned(), fix);
            Decision::OneOf(Locator::Field(String::new()), Vec::new())
        }
    }
}

/// Fills in the exposure; a dataset it names must be an input.
fn exposure(checks: &mut Checks<'_>, datasets: &Datasets, written: &Model, plan: &mut ModelPlan) {
    for (dataset, exposure) in &written.predictions.exposure {
        let path = ["models", &plan.name, "predictions", "exposure", dataset];
        if !written.inputs.contains_key(dataset) {
            let message = format!("`{dataset}` is not among the inputs");
            let fix = if datasets.contains_key(dataset) {
                format!("add `{dataset}: []` to `models.{}.inputs`", plan.name)
            } else {
                known_names(dataset, &written.inputs)
            };
            checks.problem(&path, message, fix);
        }
        if exposure.schema.0.is_empty() && exposure.producer.0.is_empty() {
            let fix = "add `schema:` and `producer:` with the places that hold them";
            checks.problem(&path, "it names no place".into(), fix);
        }
        let places = |written: &[Place]| written.iter().map(|place| place.0.clone()).collect();
        plan.predictions.exposure.insert(
            dataset.clone(),
            ExposurePlan {
                schema: places(&exposure.schema.0),
                producer: places(&exposure.producer.0),
            },
        );
    }
}

fn outcomes(checks: &mut Checks<'_>, name: &str, written: &Outcomes) -> OutcomePlan {
    checks.topic(&["models", name, "outcomes", "topic"], &written.topic);
    checks.positive(&["models", name, "outcomes", "horizon"], Some(written.horizon));
    if written.positive.0.is_empty() {
        let path = ["models", name, "outcomes", "positive"];
        checks.problem(&path, "no label is positive".into(), "name one: `positive: [true]`");
    }
    OutcomePlan {
        topic: written.topic.clone(),
        id: written.id.0.clone(),
        label: written.label.0.clone(),
        positive: written.positive.0.iter().map(|text| text.0.clone()).collect(),
        time: time(written.time.as_ref()),
        covers: match written.covers {
            CoversAsWritten::All => Covers::All,
            CoversAsWritten::Flagged => Covers::Flagged,
        },
        absent: match written.absent {
            AbsentAsWritten::NegativeAfterHorizon => Absent::NegativeAfterHorizon,
            AbsentAsWritten::Unknown => Absent::Unknown,
        },
        horizon_ms: written.horizon.0,
    }
}
