//! The proposal: samples and what the user said, to the text of a configuration.

use std::fmt::Write;

use super::roles::{self, Found};
use super::time::time_field;
use super::topic::TopicSample;
use super::window::window;

/// A field named for a topic: `orders=created_at`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Topic.
    pub topic: String,
    /// Dotted path.
    pub field: String,
}

impl std::str::FromStr for Setting {
    type Err = String;

    fn from_str(text: &str) -> Result<Setting, String> {
        match text.split_once('=') {
            Some((topic, field)) if !topic.is_empty() && !field.is_empty() => {
                Ok(Setting { topic: topic.to_owned(), field: field.to_owned() })
            }
            _ => Err(format!("`{text}` is not TOPIC=FIELD, as in orders=created_at")),
        }
    }
}

/// What the user has said; the rest is inferred.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Name of the app.
    pub app: String,
    /// Topic of predictions.
    pub predictions: Option<String>,
    /// Topic of outcomes.
    pub outcomes: Option<String>,
    /// Id field of predictions and outcomes.
    pub id: Option<String>,
    /// Score field.
    pub score: Option<String>,
    /// Score above which a prediction is positive.
    pub flag_above: f64,
    /// Label field.
    pub label: Option<String>,
    /// Positive labels.
    pub positive: Vec<String>,
    /// Longest wait for an outcome, as text.
    pub horizon: String,
    /// Window of all datasets, as text.
    pub window: Option<String>,
    /// Event time by topic.
    pub times: Vec<Setting>,
    /// Records have timestamps of their own to fall back on.
    pub has_timestamps: bool,
}

/// Why no configuration can be proposed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InferError {
    /// A topic that was named is not there.
    #[error("{flag} {topic}: no such topic is read; there are {known}")]
    NoTopic {
        /// Flag that named it.
        flag: &'static str,
        /// Topic.
        topic: String,
        /// Those that are read.
        known: String,
    },
    /// No field fits.
    #[error("cannot tell which field of `{topic}` is {what}: give {flag}; fields are {fields}")]
    NotFound {
        /// Topic.
        topic: String,
        /// What was looked for.
        what: &'static str,
        /// Flag to give.
        flag: String,
        /// Fields there are.
        fields: String,
    },
    /// A field that was named is not there.
    #[error("{flag} {field}: `{topic}` has no such field; fields are {fields}")]
    NoField {
        /// Flag that named it.
        flag: &'static str,
        /// The field.
        field: String,
        /// Topic.
        topic: String,
        /// Fields there are.
        fields: String,
    },
    /// No value of the label is known to be positive.
    #[error(
        "cannot tell which values of `{label}` in `{topic}` are positive: give --positive VALUE; \
         values are {values}"
    )]
    Positive {
        /// Topic.
        topic: String,
        /// Label field.
        label: String,
        /// Values met.
        values: String,
    },
    /// Outcomes without predictions.
    #[error("--outcomes {0} needs --predictions TOPIC too")]
    OutcomesAlone(String),
}

/// Proposes a configuration: every topic that holds neither predictions nor outcomes is a
/// dataset, and all of them are inputs of the model.
///
/// # Errors
/// [`InferError`], naming the flag that helps.
pub fn propose(samples: &[TopicSample], wishes: &Wishes) -> Result<String, InferError> {
    let proposer = Proposer { samples, wishes };
    let mut text = format!("app: {}\ndatasets:\n", wishes.app);
    let datasets = proposer.datasets()?;
    for sample in &datasets {
        proposer.dataset(&mut text, sample)?;
    }
    if let Some(topic) = &wishes.predictions {
        proposer.model(&mut text, proposer.named("--predictions", topic)?, &datasets)?;
    }
    Ok(text)
}

struct Proposer<'a> {
    samples: &'a [TopicSample],
    wishes: &'a Wishes,
}

impl<'a> Proposer<'a> {
    fn named(&self, flag: &'static str, topic: &str) -> Result<&'a TopicSample, InferError> {
        self.samples.iter().find(|sample| sample.topic == topic).ok_or_else(|| {
            let known: Vec<&str> = self.samples.iter().map(|sample| &*sample.topic).collect();
            InferError::NoTopic { flag, topic: topic.to_owned(), known: known.join(", ") }
        })
    }

    /// All topics but those of the model; where there are no others, the predictions.
    fn datasets(&self) -> Result<Vec<&'a TopicSample>, InferError> {
        let wishes = self.wishes;
        if let (None, Some(outcomes)) = (&wishes.predictions, &wishes.outcomes) {
            return Err(InferError::OutcomesAlone(outcomes.clone()));
        }
        let is_of = |topic: &Option<String>, sample: &TopicSample| {
            topic.as_ref().is_some_and(|topic| *topic == sample.topic)
        };
        let rest = self.samples.iter().filter(|sample| {
            !is_of(&wishes.predictions, sample) && !is_of(&wishes.outcomes, sample)
        });
        let datasets: Vec<&TopicSample> = rest.collect();
        match &wishes.predictions {
            Some(topic) if datasets.is_empty() => Ok(vec![self.named("--predictions", topic)?]),
            _ => Ok(datasets),
        }
    }

    fn time(&self, sample: &TopicSample) -> Result<Option<String>, InferError> {
        if let Some(set) = self.wishes.times.iter().find(|set| set.topic == sample.topic) {
            return field(sample, "--time", &set.field).map(Some);
        }
        match time_field(sample) {
            Some(path) => Ok(Some(path.to_owned())),
            None if self.wishes.has_timestamps => Ok(None),
            None => {
                let flag = format!("--time {}=FIELD", sample.topic);
                Err(missing(sample, "its event time", flag))
            }
        }
    }

    fn dataset(&self, text: &mut String, sample: &TopicSample) -> Result<(), InferError> {
        let topic = quoted(&sample.topic);
        push(text, format_args!("  {topic}:\n    topic: {topic}"));
        let time = self.time(sample)?;
        if let Some(path) = &time {
            push(text, format_args!("    event_time: {}", quoted(path)));
        }
        let origin = [
            ("producer", roles::producer(sample)),
            ("schema_version", roles::schema_version(sample)),
        ];
        let mut named = Vec::new();
        for (key, found) in origin {
            let Some(found) = found else { continue };
            push(text, format_args!("    {key}: {}", place(&found)));
            if let Found::Field(path) = found {
                named.push(format!("{}: {{ values: drop }}", quoted(&path)));
            }
        }
        if !named.is_empty() {
            // They tell cells apart; that a new version has a new version is no finding.
            push(text, format_args!("    fields: {{ {} }}", named.join(", ")));
        }
        let of_time = match &time {
            Some(path) => sample.fields.get(path),
            None => Some(&sample.timestamps),
        };
        let size = self.wishes.window.clone().unwrap_or_else(|| window(of_time).to_owned());
        push(text, format_args!("    window: {{ size: {size} }}"));
        Ok(())
    }

    fn model(
        &self,
        text: &mut String,
        predictions: &TopicSample,
        datasets: &[&TopicSample],
    ) -> Result<(), InferError> {
        let wishes = self.wishes;
        let named = |topic: &String| self.named("--outcomes", topic);
        let outcomes = wishes.outcomes.as_ref().map(named).transpose()?;
        let topic = quoted(&predictions.topic);
        push(text, format_args!("models:\n  {topic}:\n    predictions:\n      topic: {topic}"));
        let id = match &wishes.id {
            Some(id) => field(predictions, "--id", id)?,
            None => roles::id(predictions, outcomes)
                .ok_or_else(|| missing(predictions, "the prediction's id", "--id FIELD".into()))?
                .to_owned(),
        };
        push(text, format_args!("      id: {}", quoted(&id)));
        let score = match &wishes.score {
            Some(score) => field(predictions, "--score", score)?,
            None => roles::score(predictions)
                .ok_or_else(|| {
                    missing(predictions, "the score from 0 to 1", "--score FIELD".into())
                })?
                .to_owned(),
        };
        push(text, format_args!("      score: {}", quoted(&score)));
        push(text, format_args!("      decision: {{ score_above: {} }}", wishes.flag_above));
        if let Some(found) = roles::model_version(predictions) {
            push(text, format_args!("      version: {}", place(&found)));
        }
        if let Some(path) = self.time(predictions)? {
            push(text, format_args!("      time: {}", quoted(&path)));
        }
        write_exposure(text, predictions, datasets);
        if let Some(outcomes) = outcomes {
            self.outcomes(text, outcomes, &id)?;
        }
        push(text, format_args!("    inputs:"));
        for dataset in datasets {
            push(text, format_args!("      {}: []", quoted(&dataset.topic)));
        }
        Ok(())
    }

    fn outcomes(
        &self,
        text: &mut String,
        sample: &TopicSample,
        id: &str,
    ) -> Result<(), InferError> {
        let wishes = self.wishes;
        push(text, format_args!("    outcomes:\n      topic: {}", quoted(&sample.topic)));
        let id = match sample.fields.contains_key(id) {
            true => id.to_owned(),
            false => roles::id(sample, None)
                .ok_or_else(|| missing(sample, "the prediction's id", "--id FIELD".into()))?
                .to_owned(),
        };
        push(text, format_args!("      id: {}", quoted(&id)));
        let label = match &wishes.label {
            Some(label) => field(sample, "--label", label)?,
            None => roles::label(sample)
                .ok_or_else(|| missing(sample, "the label", "--label FIELD".into()))?
                .to_owned(),
        };
        push(text, format_args!("      label: {}", quoted(&label)));
        let positive = match wishes.positive.is_empty() {
            true => sample.fields.get(&label).map(roles::positive).unwrap_or_default(),
            false => wishes.positive.clone(),
        };
        if positive.is_empty() {
            let values = sample.fields.get(&label).map(|field| field.values.iter());
            let values: Vec<&str> = values.into_iter().flatten().take(8).map(|v| &**v).collect();
            return Err(InferError::Positive {
                topic: sample.topic.clone(),
                label,
                values: values.join(", "),
            });
        }
        let positive: Vec<String> = positive.iter().map(|value| json(value)).collect();
        push(text, format_args!("      positive: [{}]", positive.join(", ")));
        if let Some(path) = self.time(sample)? {
            push(text, format_args!("      time: {}", quoted(&path)));
        }
        push(text, format_args!("      horizon: {}", wishes.horizon));
        Ok(())
    }
}

fn write_exposure(text: &mut String, predictions: &TopicSample, datasets: &[&TopicSample]) {
    let mut lines = Vec::new();
    for dataset in datasets {
        let schema = roles::exposed_schema(predictions, &dataset.topic);
        let producer = roles::exposed_producer(predictions, &dataset.topic);
        let parts: Vec<String> = [("schema", schema), ("producer", producer)]
            .into_iter()
            .filter_map(|(key, found)| Some(format!("{key}: {}", place(&found?))))
            .collect();
        if !parts.is_empty() {
            let name = quoted(&dataset.topic);
            lines.push(format!("        {name}: {{ {} }}", parts.join(", ")));
        }
    }
    if !lines.is_empty() {
        push(text, format_args!("      exposure:\n{}", lines.join("\n")));
    }
}

/// A field that was named, if it is there. Where nothing was sampled the user knows better.
fn field(sample: &TopicSample, flag: &'static str, path: &str) -> Result<String, InferError> {
    if sample.records == 0 || sample.fields.contains_key(path) {
        return Ok(path.to_owned());
    }
    Err(InferError::NoField {
        flag,
        field: path.to_owned(),
        topic: sample.topic.clone(),
        fields: sample.field_names(),
    })
}

fn missing(sample: &TopicSample, what: &'static str, flag: String) -> InferError {
    InferError::NotFound { topic: sample.topic.clone(), what, flag, fields: sample.field_names() }
}

fn place(found: &Found) -> String {
    match found {
        Found::Field(path) => quoted(path),
        Found::Header(name) => format!("{{ header: {} }}", quoted(name)),
    }
}

/// As YAML takes it: bare where nothing in it has a meaning, else in double quotes.
fn quoted(text: &str) -> String {
    let words = ["true", "false", "yes", "no", "on", "off", "null", "y", "n"];
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let is_bare = text.bytes().all(fits)
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
        && !words.contains(&text.to_lowercase().as_str());
    if is_bare { text.to_owned() } else { json(text) }
}

fn json(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn push(text: &mut String, line: std::fmt::Arguments<'_>) {
    writeln!(text, "{line}").expect("a String takes all text");
}
