//! Checks of fields that are items of arrays and maps.
//!
//! `tags{}` says that the object `tags` is a map: what JSON has in it are entries, and `tags.vip`
//! is no path of its own any more. Who names both would wait for the second in vain.

use std::collections::BTreeMap;

use super::Checks;
use crate::config::plan::{
    DatasetPlan, Decision, ExposurePlan, FieldSelection, Locator, ModelPlan, OutcomePlan,
    PredictionPlan,
};
use crate::event::path;

/// Every path that lies in a map that a dataset of the same topic counts the entries of.
pub(super) fn entries_named(
    checks: &mut Checks<'_>,
    datasets: &BTreeMap<String, DatasetPlan>,
    models: &BTreeMap<String, ModelPlan>,
) {
    for dataset in datasets.values() {
        let (FieldSelection::All(named) | FieldSelection::Only(named)) = &dataset.fields;
        let fields = named.keys().map(String::as_str);
        let places = places(dataset, models).into_iter().filter_map(|place| match place {
            Locator::Field(path) => Some(path.as_str()),
            Locator::Header(_) => None,
        });
        let paths: Vec<&str> = fields.chain(places).collect();
        for (field, map) in named.keys().filter_map(|field| Some((field, map_of(field)?))) {
            let lies_in =
                |path: &&str| path.strip_prefix(map).is_some_and(|rest| rest.starts_with('.'));
            if let Some(entry) = paths.iter().copied().find(lies_in) {
                let at = ["datasets", &dataset.name, "fields", field];
                let message =
                    format!("`{field}` makes a map of `{map}`, and `{entry}` is read, too");
                checks.problem(&at, message, "name either the entries as items or some of them");
            }
        }
    }
}

/// The outermost map that a path has items of.
fn map_of(field: &str) -> Option<&str> {
    let mut map = None;
    let mut rest = field;
    while let Some(items) = path::items(rest) {
        rest = &items[..items.len() - 2];
        if items.ends_with("{}") {
            map = Some(rest);
        }
    }
    map
}

/// Places that anything reads in records of a dataset's topic.
fn places<'p>(
    dataset: &'p DatasetPlan,
    models: &'p BTreeMap<String, ModelPlan>,
) -> Vec<&'p Locator> {
    let mut places = Vec::new();
    places.extend(dataset.event_time.place());
    places.extend(&dataset.producer);
    places.extend(&dataset.schema_version);
    for model in models.values() {
        if model.predictions.topic == dataset.topic {
            of_predictions(&model.predictions, &mut places);
        }
        if let Some(OutcomePlan { topic, id, label, time: at, .. }) = &model.outcomes
            && *topic == dataset.topic
        {
            places.extend([id, label]);
            places.extend(at.place());
        }
    }
    places
}

fn of_predictions<'p>(plan: &'p PredictionPlan, places: &mut Vec<&'p Locator>) {
    places.push(&plan.id);
    places.extend(&plan.score);
    places.extend(&plan.version);
    places.extend(plan.time.place());
    if let Decision::OneOf(place, _) = &plan.decision {
        places.push(place);
    }
    places.extend(plan.exposure.values().flat_map(ExposurePlan::places));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn refused(dataset: &str, rest: &str) -> Option<String> {
        let text =
            format!("app: a\ndatasets:\n  orders:\n    topic: orders\n    {dataset}\n{rest}\n");
        let config = Config::parse_with(&text, "drift.yaml", &|_| None);
        config.and_then(|config| config.plan()).err().map(|error| error.to_string())
    }

    #[test]
    fn items_are_named_like_any_field() {
        let fields = r#"fields: { "a[].b": { min: 0 }, "m{}": {}, "m{}.c[]": {}, "n.m": {} }"#;
        assert_eq!(refused(fields, ""), None);
        assert_eq!(refused(r#"only: ["a[]", mm.x]"#, ""), None);
        assert_eq!(map_of("a.m{}.c[]"), Some("a.m"));
        assert_eq!(map_of("a.m{}.n{}"), Some("a.m"));
        assert_eq!(map_of("a[]"), None);
    }

    #[test]
    fn a_map_and_one_of_its_entries_are_not_read_both() {
        let said = |dataset: &str, rest: &str| refused(dataset, rest).expect("refused");

        let error = said(r#"fields: { "m{}": {}, m.x: {} }"#, "");
        assert!(error.contains("`m{}` makes a map of `m`, and `m.x` is read, too"), "{error}");
        let error = said("event_time: m.at\n    fields: { \"m{}.b\": {} }", "");
        assert!(error.contains("`m.at` is read"), "{error}");
        let model = "models: { fraud: { predictions: { topic: orders, id: m.id, \
                     decision: { field: flag, equals: true } } } }";
        let error = said(r#"fields: { "m{}": {} }"#, model);
        assert!(error.contains("`m.id` is read"), "{error}");
    }

    #[test]
    fn a_place_is_no_path_of_items() {
        let error = refused(r#"event_time: "a[].at""#, "").expect("refused");
        assert!(error.contains("`a[].at` has a value for each of `a[]`"), "{error}");
    }

    #[test]
    fn an_input_among_items_has_to_be_named() {
        let model = "models: { fraud: { predictions: { topic: scores, id: tx, \
                     decision: { field: flag, equals: true } }, \
                     inputs: { orders: [\"a[].b\"] } } }";
        assert_eq!(refused(r#"fields: { "a[].b": {} }"#, model), None);
        let error = refused("owner: me", model).expect("refused");
        assert!(error.contains("`a[].b` is not among the watched fields"), "{error}");
    }
}
