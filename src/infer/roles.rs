//! Which field plays which part, by names that are common for it and values that fit it.

use super::field::FieldSample;
use super::time::snake;
use super::topic::TopicSample;

const IDS: [&str; 8] = [
    "prediction_id",
    "transaction_id",
    "tx_id",
    "request_id",
    "order_id",
    "event_id",
    "uuid",
    "id",
];
const SCORES: [&str; 6] = ["score", "probability", "prob", "prediction", "risk", "p"];
const LABELS: [&str; 9] = [
    "label",
    "is_fraud",
    "fraud",
    "outcome",
    "target",
    "actual",
    "ground_truth",
    "class",
    "is_positive",
];
const MODEL_VERSIONS: [&str; 2] = ["model_version", "model"];
const PRODUCERS: [&str; 4] = ["producer", "app", "application", "producer_id"];
const SCHEMA_VERSIONS: [&str; 2] = ["schema_version", "schema_id"];
/// Texts of labels that are positive.
const POSITIVE: [&str; 9] =
    ["true", "1", "yes", "y", "positive", "fraud", "chargeback", "bad", "churned"];

/// A place as configuration writes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    Field(String),
    Header(String),
}

/// The field that fits and has the most usual name; `ends` are ends of names that will do.
fn best<'s>(
    sample: &'s TopicSample,
    (names, ends): (&[&str], &[&str]),
    fits: impl Fn(&FieldSample) -> bool,
) -> Option<&'s str> {
    let rank = |path: &str| {
        let name = snake(path.rsplit('.').next().unwrap_or(path));
        let by_name = names.iter().position(|known| *known == name);
        let by_end = || ends.iter().any(|end| name.ends_with(end) || name.starts_with(end));
        by_name.or_else(|| by_end().then_some(names.len()))
    };
    let fields = sample.fields.iter().filter(|(_, f)| sample.is_common(f) && fits(f));
    let ranked = fields.filter_map(|(path, _)| Some((rank(path)?, path)));
    ranked.min_by_key(|(rank, path)| (*rank, path.matches('.').count(), *path)).map(|(_, p)| &**p)
}

/// The only field that fits, where its name says nothing.
fn only(sample: &TopicSample, fits: impl Fn(&FieldSample) -> bool) -> Option<&str> {
    let mut fields = sample.fields.iter().filter(|(_, f)| sample.is_common(f) && fits(f));
    let (path, _) = fields.next()?;
    fields.next().is_none().then_some(path)
}

/// The id of predictions; one that outcomes have too is preferred.
pub(super) fn id<'s>(sample: &'s TopicSample, other: Option<&TopicSample>) -> Option<&'s str> {
    let shared = other.and_then(|other| {
        let mut common = sample.clone();
        common.fields.retain(|path, _| other.fields.contains_key(path));
        let found = best(&common, (&IDS, &["_id"]), FieldSample::is_id)?.to_owned();
        sample.fields.keys().find(|path| **path == found).map(String::as_str)
    });
    shared.or_else(|| best(sample, (&IDS, &["_id"]), FieldSample::is_id))
}

pub(super) fn score(sample: &TopicSample) -> Option<&str> {
    let ends = ["p_", "score_", "_score", "_probability", "_prob"];
    best(sample, (&SCORES, &ends), FieldSample::is_score)
        .or_else(|| only(sample, FieldSample::is_score))
}

pub(super) fn label(sample: &TopicSample) -> Option<&str> {
    let is_label = |field: &FieldSample| field.present > 0 && !field.is_time() && !field.is_id();
    best(sample, (&LABELS, &["is_", "_label"]), is_label).or_else(|| {
        only(sample, |field: &FieldSample| field.bools > 0 && field.bools == field.present)
    })
}

/// The values of a label that are positive; empty where none is known as such.
pub(super) fn positive(label: &FieldSample) -> Vec<String> {
    if label.bools > 0 {
        return vec!["true".into()];
    }
    let is_known = |value: &&String| POSITIVE.contains(&value.to_lowercase().as_str());
    let known: Vec<String> = label.values.iter().filter(is_known).cloned().collect();
    // Positives are rare: a sample of zeros alone still is a label of zeros and ones.
    let only_zeros = label.integers == label.present && label.values.iter().all(|v| v == "0");
    if known.is_empty() && only_zeros { vec!["1".into()] } else { known }
}

pub(super) fn model_version(sample: &TopicSample) -> Option<Found> {
    named(sample, &MODEL_VERSIONS.map(str::to_owned))
}

pub(super) fn producer(sample: &TopicSample) -> Option<Found> {
    named(sample, &PRODUCERS.map(str::to_owned))
}

pub(super) fn schema_version(sample: &TopicSample) -> Option<Found> {
    named(sample, &SCHEMA_VERSIONS.map(str::to_owned))
}

/// Where a prediction names the schema version of its input.
pub(super) fn exposed_schema(sample: &TopicSample, dataset: &str) -> Option<Found> {
    named(sample, &["schema_id", "schema_version", "schema"].map(|end| format!("{dataset}_{end}")))
}

/// Where a prediction names the producer of its input.
pub(super) fn exposed_producer(sample: &TopicSample, dataset: &str) -> Option<Found> {
    named(sample, &["producer", "app"].map(|end| format!("{dataset}_{end}")))
}

/// A header or a top-level field of one of these names that takes few values.
fn named(sample: &TopicSample, names: &[String]) -> Option<Found> {
    let fits = |field: &FieldSample| sample.is_common(field) && field.is_name();
    names.iter().find_map(|name| {
        let header = sample.headers.get(name).filter(|header| fits(header));
        let field = sample.fields.get(name).filter(|field| fits(field));
        match (header, field) {
            (Some(_), _) => Some(Found::Header(name.clone())),
            (None, Some(_)) => Some(Found::Field(name.clone())),
            (None, None) => None,
        }
    })
}
