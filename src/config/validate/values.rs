//! Checks of what may be remembered of values.

use std::collections::BTreeMap;

use super::Checks;
use crate::config::plan::{DatasetPlan, ExposurePlan, Locator, ModelPlan, ValuePolicy};
use crate::config::values::{KEY_CHARACTERS_LEAST, Keeps, ValuesKey, ValuesPlan};
use crate::config::written::{Field, KeepsAsWritten, Kind, Remember};

const MAKE_KEY: &str = "`openssl rand -hex 32 > values.key`, and `values: { secret_key: { \
                        file: values.key } }`";

/// What holds for the whole deployment.
pub(super) fn values(checks: &mut Checks<'_>) -> ValuesPlan {
    let written = &checks.config.values;
    let default = ValuesPlan::default();
    let path = ["values", "secret_key"];
    let source = written.secret_key.as_ref();
    let source = source.map(|key| key.placed(&checks.config.source.folder()));
    let secret = match source.map(|key| key.read()) {
        Some(Err(message)) => {
            checks.problem(&path, message, "make it: openssl rand -hex 32 > values.key");
            None
        }
        read => read.and_then(Result::ok),
    };
    let key = secret.and_then(|secret| {
        let key = ValuesKey::new(secret.reveal());
        if key.is_none() {
            let message = format!("a key of fewer than {KEY_CHARACTERS_LEAST} characters");
            checks.problem(&path, message, "make one: openssl rand -hex 32 > values.key");
        }
        key
    });
    let quarantine = match written.quarantine {
        KeepsAsWritten::Full => Keeps::Full,
        KeepsAsWritten::Hash => Keeps::Hash,
        KeepsAsWritten::None => Keeps::None,
    };
    if quarantine == Keeps::Hash && written.secret_key.is_none() {
        let path = ["values", "quarantine"];
        checks.problem(&path, "there is no key to hash with".into(), MAKE_KEY);
    }
    let drop_tags = written.drop_tags.clone().unwrap_or(default.drop_tags);
    if drop_tags.iter().any(|tag| tag.trim().is_empty()) {
        let path = ["values", "drop_tags"];
        checks.problem(&path, "a tag without a name".into(), "take it out");
    }
    ValuesPlan { key, drop_tags, quarantine }
}

/// What a field's own `values` asks of the rest.
pub(super) fn field(checks: &mut Checks<'_>, at: &[&str; 4], written: &Field) {
    if written.values != Remember::Hash {
        return;
    }
    let path = [at.as_slice(), &["values"]].concat();
    if checks.config.values.secret_key.is_none() {
        checks.problem(&path, "there is no key to hash with".into(), MAKE_KEY);
    }
    let has_range = written.min.is_some() || written.max.is_some();
    if written.kind == Some(Kind::Numeric) || has_range {
        let message = "a hash has no size: it is counted as a category".into();
        let fix = "take `kind`, `min` and `max` out, or use `values: keep` or `values: drop`";
        checks.problem(&path, message, fix);
    }
}

/// A value that becomes part of a cell's name or is a time is told as it is, so that its hash
/// would hide nothing. `drop` is no such mistake: it says that the values are not counted twice.
pub(super) fn told_as_they_are(
    checks: &mut Checks<'_>,
    datasets: &BTreeMap<String, DatasetPlan>,
    models: &BTreeMap<String, ModelPlan>,
) {
    for dataset in datasets.values() {
        let own =
            [("event time", dataset.event_time.place()), ("producer", dataset.producer.as_ref())];
        for (what, place) in own.into_iter().chain([("version", dataset.schema_version.as_ref())]) {
            told(checks, dataset, what, place);
        }
        for model in models.values().filter(|m| m.predictions.topic == dataset.topic) {
            let plan = &model.predictions;
            told(checks, dataset, "version of a model", plan.version.as_ref());
            for place in plan.exposure.values().flat_map(ExposurePlan::places) {
                told(checks, dataset, "exposure of a model", Some(place));
            }
        }
    }
}

fn told(checks: &mut Checks<'_>, dataset: &DatasetPlan, what: &str, place: Option<&Locator>) {
    let Some(Locator::Field(path)) = place else {
        return;
    };
    let policy = dataset.fields.named(path).map(|field| field.values);
    if policy == Some(ValuePolicy::Hash) {
        let message = format!("`{path}` is read as {what}, which is told as it is");
        let fix = format!("read the {what} elsewhere, or take `values` out");
        checks.problem(&["datasets", &dataset.name, "fields", path, "values"], message, fix);
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::config::plan::Plan;

    const KEY: &str = "values: { secret_key: 0123456789abcdef0123456789abcdef }\n";

    fn planned(text: &str) -> Result<Plan, String> {
        let text = format!("app: a\n{text}");
        let config =
            Config::parse_with(&text, "drift.yaml", &|_| None).expect("its shape is right");
        config.plan().map(|(plan, _)| plan).map_err(|error| error.to_string())
    }

    fn orders(rest: &str) -> String {
        format!("{KEY}datasets: {{ orders: {{ topic: orders, {rest} }} }}\n")
    }

    fn check(text: &str, expected: &str) {
        let refused = planned(text).expect_err("must be refused");
        assert!(refused.contains(expected), "{refused}");
    }

    #[test]
    fn hashing_needs_a_key() {
        let dataset =
            "datasets: { orders: { topic: orders, fields: { card: { values: hash } } } }\n";
        check(
            dataset,
            "datasets.orders.fields.card.values: there is no key to hash with; `openssl",
        );
        assert!(planned(&format!("{KEY}{dataset}")).is_ok());

        let plain = "datasets: { orders: { topic: orders } }\n";
        let quarantine = format!("values: {{ quarantine: hash }}\n{plain}");
        check(&quarantine, "values.quarantine: there is no key to hash with");
        assert!(planned(&quarantine.replace("hash", "none")).is_ok());
    }

    #[test]
    fn a_key_that_can_be_guessed_is_refused_and_not_shown() {
        let text = "values: { secret_key: hunter2 }\ndatasets: { orders: { topic: orders } }\n";
        let refused = planned(text).expect_err("too short");

        assert!(
            refused.contains("values.secret_key: a key of fewer than 32 characters"),
            "{refused}"
        );
        assert!(!refused.contains("hunter2"), "{refused}");
        let missing = text.replace("hunter2", "{ file: none.key }");
        check(&missing, "values.secret_key: cannot read none.key");
    }

    #[test]
    fn a_hash_has_no_size() {
        let expected = "a hash has no size";
        check(&orders("fields: { card: { values: hash, kind: numeric } }"), expected);
        check(&orders("fields: { card: { values: hash, min: 1 } }"), expected);
        assert!(planned(&orders("fields: { card: { values: drop, kind: numeric } }")).is_ok());
    }

    #[test]
    fn what_is_told_as_it_is_cannot_be_hashed() {
        for place in ["producer: app", "schema_version: app", "event_time: app"] {
            let rest = format!("{place}, fields: {{ app: {{ values: hash }} }}");
            check(&orders(&rest), "which is told as it is; read the ");
            let kept = orders(&format!("{place}, fields: {{ app: {{ values: keep }} }}"));
            assert!(planned(&kept).is_ok(), "{place}");
        }
        let model = |version: &str| {
            let scores = "topic: scores, fields: { who: { values: hash } }";
            format!(
                "{KEY}datasets: {{ scores: {{ {scores} }} }}\nmodels: {{ fraud: {{ predictions: {{ \
                 topic: scores, id: tx, version: {version}, \
                 decision: {{ field: flag, equals: true }} }} }} }}\n"
            )
        };
        check(&model("who"), "`who` is read as version of a model");
        assert!(planned(&model("v")).is_ok());
    }

    #[test]
    fn another_key_is_another_definition() {
        let definition = |text: &str| planned(text).expect("valid").datasets["orders"].definition;
        let plain = orders("fields: {}");
        let without = definition(&plain.replace(KEY, ""));

        assert_eq!(definition(&plain), definition(&plain));
        assert_ne!(definition(&plain), without);
        assert_ne!(definition(&plain), definition(&plain.replace("0123", "3210")));
        let tags = plain.replace("values: {", "values: { drop_tags: [X],");
        assert_ne!(definition(&plain), definition(&tags));
    }
}
