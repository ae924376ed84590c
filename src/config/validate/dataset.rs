//! Checks of datasets.

use std::collections::BTreeMap;

use super::{Checks, LATENESS_MS, WINDOW_MS, values};
use crate::config::definition;
use crate::config::plan::{
    DatasetPlan, FieldPlan, FieldSelection, TimeSource, ValuePolicy, WantedKind,
};
use crate::config::values::ValuesPlan;
use crate::config::written::{Dataset, Field, Kind, Remember};

/// All datasets, by name.
pub(super) fn all(checks: &mut Checks<'_>, values: &ValuesPlan) -> BTreeMap<String, DatasetPlan> {
    let config = checks.config;
    let mut by_topic: BTreeMap<&str, &str> = BTreeMap::new();
    let mut plans = BTreeMap::new();
    for (name, written) in &config.datasets {
        if let Some(other) = by_topic.insert(&written.topic, name) {
            let message = format!("topic `{}` is already dataset `{other}`", written.topic);
            let fix = "a topic is one dataset: put the fields of both into one";
            checks.problem(&["datasets", name, "topic"], message, fix);
        }
        plans.insert(name.clone(), dataset(checks, (name, written), values));
    }
    plans
}

fn dataset(
    checks: &mut Checks<'_>,
    (name, written): (&str, &Dataset),
    values: &ValuesPlan,
) -> DatasetPlan {
    let path = ["datasets", name];
    checks.name(&path, name);
    checks.topic(&["datasets", name, "topic"], &written.topic);
    let (window, lateness_ms) = checks.window(&path, &written.window, (WINDOW_MS, LATENESS_MS));
    let mut plan = DatasetPlan {
        name: name.to_owned(),
        topic: written.topic.clone(),
        owner: written.owner.clone(),
        event_time: written
            .event_time
            .as_ref()
            .map_or(TimeSource::Record, |place| TimeSource::At(place.0.clone())),
        producer: written.producer.as_ref().map(|place| place.0.clone()),
        schema_version: written.schema_version.as_ref().map(|place| place.0.clone()),
        window,
        lateness_ms,
        fields: fields(checks, name, written),
        quarantine_breaches: written.quarantine_breaches,
        bounds: checks.bounds(&path, &written.bounds),
        definition: 0,
    };
    plan.definition = definition::of_dataset(&plan, values);
    plan
}

fn fields(checks: &mut Checks<'_>, name: &str, written: &Dataset) -> FieldSelection {
    let mut named = BTreeMap::new();
    for (path, field) in &written.fields {
        named.insert(path.clone(), field_plan(checks, &["datasets", name, "fields", path], field));
    }
    let Some(only) = &written.only else {
        return FieldSelection::All(named);
    };
    if only.is_empty() {
        let fix = "name fields, or leave `only` out to watch all";
        checks.problem(&["datasets", name, "only"], "no field is watched".into(), fix);
    }
    for path in written.fields.keys().filter(|path| !only.contains(path)) {
        let message = format!("`{path}` is not watched: it is not in `only`");
        let fix = "add it to `only`, or take it out of `fields`";
        checks.problem(&["datasets", name, "fields", path], message, fix);
    }
    for path in only {
        named.entry(path.clone()).or_default();
    }
    FieldSelection::Only(named)
}

fn field_plan(checks: &mut Checks<'_>, at: &[&str; 4], written: &Field) -> FieldPlan {
    if let (Some(min), Some(max)) = (written.min, written.max)
        && min > max
    {
        let message = format!("min {min} is above max {max}: no value is allowed");
        checks.problem(at, message, "swap them");
    }
    let has_range = written.min.is_some() || written.max.is_some();
    if written.kind == Some(Kind::Categorical) && has_range {
        let fix = "use `allowed`, or `kind: numeric`";
        checks.problem(at, "a category has no min or max".into(), fix);
    }
    values::field(checks, at, written);
    FieldPlan {
        kind: written.kind.map(|kind| match kind {
            Kind::Numeric => WantedKind::Numeric,
            Kind::Categorical => WantedKind::Category,
        }),
        unit: written.unit.clone(),
        required: written.required,
        min: written.min,
        max: written.max,
        allowed: written.allowed.iter().map(|text| text.0.clone()).collect(),
        values: match written.values {
            Remember::Auto => ValuePolicy::Auto,
            Remember::Keep => ValuePolicy::Keep,
            Remember::Hash => ValuePolicy::Hash,
            Remember::Drop => ValuePolicy::Drop,
        },
    }
}
