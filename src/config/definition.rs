//! The definition of a dataset or a model: a hash of what decides its summaries.
//!
//! It is XXH3-64 over lines of `key=value` in a fixed order, values quoted as JSON, the first
//! line naming the form. In it is what changes which records are counted, in which window and
//! cell, or how a value is counted:
//!
//! - dataset: topic, places of event time, producer and schema version, window, lateness,
//!   bounds, the list of `only`, whether breaches are set aside, and of each field its kind,
//!   contract (required, min, max, allowed) and what may be remembered; where there is a key of
//!   values, which one; and the registry tags that silence a field, where they are not the usual;
//! - model: topic and places of predictions, decision, exposure, window, lateness, bounds, and
//!   topic, places, positive labels, coverage, absence and horizon of outcomes.
//!
//! Not in it: names, owner, units, lineage, limits and everything of the deployment. Changing
//! those keeps all state.

use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_64;

use super::plan::{
    DatasetPlan, Decision, FieldPlan, FieldSelection, Locator, ModelPlan, OutcomePlan,
    PredictionPlan, TimeBounds, TimeSource,
};
use super::values::ValuesPlan;
use crate::event::fact::FactTerms;

/// The definition of a dataset; its own `definition` is not read.
pub(crate) fn of_dataset(plan: &DatasetPlan, values: &ValuesPlan) -> u64 {
    let mut text = Canonical::new("dataset/1");
    text.line("topic", &*plan.topic);
    text.line("event_time", time(&plan.event_time));
    text.line("producer", plan.producer.as_ref().map(place));
    text.line("schema_version", plan.schema_version.as_ref().map(place));
    text.window(plan.window.ms(), plan.lateness_ms, plan.bounds);
    text.line("quarantine_breaches", plan.quarantine_breaches);
    let (selection, fields) = match &plan.fields {
        FieldSelection::All(named) => ("all", named),
        FieldSelection::Only(named) => ("only", named),
    };
    text.line("fields", selection);
    for (path, field) in fields {
        text.field(path, field, selection == "only");
    }
    text.values(values);
    text.hash()
}

/// The definition of a model; its own `definition` is not read.
pub(crate) fn of_model(plan: &ModelPlan) -> u64 {
    let mut text = Canonical::new("model/1");
    text.window(plan.window.ms(), plan.lateness_ms, plan.bounds);
    text.predictions(&plan.predictions);
    if let Some(outcomes) = &plan.outcomes {
        text.outcomes(outcomes);
    }
    text.hash()
}

/// Of which records a dataset counts which texts: all that a field's counts depend on beside what
/// is configured of the field.
pub(crate) fn of_records(plan: &DatasetPlan, values: &ValuesPlan) -> u64 {
    let mut text = Canonical::new("records/1");
    text.line("topic", &*plan.topic);
    text.line("quarantine_breaches", plan.quarantine_breaches);
    text.values(values);
    text.hash()
}

/// What is configured of a field.
pub(crate) fn of_field(plan: &FieldPlan) -> u64 {
    let mut text = Canonical::new("field/1");
    text.field("", plan, true);
    text.hash()
}

/// What is configured of a field of which nothing is said.
pub(crate) fn of_plain_field() -> u64 {
    of_field(&FieldPlan::default())
}

/// What a model's rates are shares of: its predictions, decisions and outcomes.
pub(crate) fn of_rates(plan: &ModelPlan) -> u64 {
    let mut text = Canonical::new("rates/1");
    text.predictions(&plan.predictions);
    if let Some(outcomes) = &plan.outcomes {
        text.outcomes(outcomes);
    }
    text.hash()
}

/// What facts of a model are counted under, as join needs it.
pub(crate) fn fact_terms(plan: &ModelPlan) -> FactTerms {
    let (mut labels, mut outcomes) = (Canonical::new("labels/1"), Canonical::new("outcomes/1"));
    if let Some(plan) = &plan.outcomes {
        labels.labels(plan);
        outcomes.outcomes(plan);
    }
    FactTerms {
        definition: plan.definition,
        labels: labels.hash(),
        outcomes: outcomes.hash(),
        window_ms: plan.window.ms(),
    }
}

fn place(locator: &Locator) -> String {
    match locator {
        Locator::Field(path) => format!("field:{path}"),
        Locator::Header(name) => format!("header:{name}"),
    }
}

fn time(source: &TimeSource) -> String {
    match source {
        TimeSource::Record => "record".into(),
        TimeSource::At(locator) => place(locator),
    }
}

struct Canonical(String);

impl Canonical {
    fn new(form: &str) -> Canonical {
        Canonical(format!("{form}\n"))
    }

    fn line(&mut self, key: &str, value: impl Into<serde_json::Value>) {
        let value: serde_json::Value = value.into();
        writeln!(self.0, "{key}={value}").expect("a String takes all text");
    }

    fn hash(&self) -> u64 {
        xxh3_64(self.0.as_bytes())
    }

    fn window(&mut self, size_ms: i64, lateness_ms: i64, bounds: TimeBounds) {
        self.line("window_ms", size_ms);
        self.line("lateness_ms", lateness_ms);
        self.line("past_ms", bounds.past_ms);
        self.line("future_ms", bounds.future_ms);
    }

    fn values(&mut self, values: &ValuesPlan) {
        if let Some(key) = &values.key {
            self.line("values.key", format!("{:016x}", key.id()));
        }
        if values.drop_tags != ValuesPlan::default().drop_tags {
            self.line("values.drop_tags", values.drop_tags.clone());
        }
    }

    /// A field about which nothing is said counts only where it selects.
    fn field(&mut self, path: &str, field: &FieldPlan, selects: bool) {
        let said = serde_json::json!([
            field.kind.map(|kind| format!("{kind:?}")),
            field.required,
            field.min,
            field.max,
            field.allowed,
            format!("{:?}", field.values),
        ]);
        let nothing = serde_json::json!([null, false, null, null, [], "Auto"]);
        if selects || said != nothing {
            self.line("field", serde_json::json!([path, said]));
        }
    }

    fn predictions(&mut self, plan: &PredictionPlan) {
        self.line("predictions.topic", &*plan.topic);
        self.line("predictions.id", place(&plan.id));
        self.line("predictions.score", plan.score.as_ref().map(place));
        match &plan.decision {
            Decision::ScoreAbove(limit) => self.line("predictions.score_above", *limit),
            Decision::OneOf(at, values) => {
                self.line("predictions.decision", place(at));
                self.line("predictions.equals", values.clone());
            }
        }
        self.line("predictions.version", plan.version.as_ref().map(place));
        self.line("predictions.time", time(&plan.time));
        for (dataset, exposure) in &plan.exposure {
            let schema: Vec<String> = exposure.schema.iter().map(place).collect();
            let producer: Vec<String> = exposure.producer.iter().map(place).collect();
            self.line("exposure", serde_json::json!([dataset, schema, producer]));
        }
    }

    fn outcomes(&mut self, plan: &OutcomePlan) {
        self.labels(plan);
        self.line("outcomes.covers", format!("{:?}", plan.covers));
        self.line("outcomes.absent", format!("{:?}", plan.absent));
        self.line("outcomes.horizon_ms", plan.horizon_ms);
    }

    fn labels(&mut self, plan: &OutcomePlan) {
        self.line("outcomes.topic", &*plan.topic);
        self.line("outcomes.id", place(&plan.id));
        self.line("outcomes.label", place(&plan.label));
        self.line("outcomes.positive", plan.positive.clone());
        self.line("outcomes.time", time(&plan.time));
    }
}
