//! The configuration, validated: every limit filled in, nothing left to check.
//!
//! Stages and runtime read a [`Plan`] and never the file. It is made in one place,
//! [`super::Config::plan`], so whatever is here holds.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::values::ValuesPlan;
use crate::event::path;
use crate::event::time::WindowSize;

/// What to watch and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Prefix of internal topics, groups and transactional ids.
    pub app: String,
    /// Datasets by name.
    pub datasets: BTreeMap<String, DatasetPlan>,
    /// Models by name.
    pub models: BTreeMap<String, ModelPlan>,
    /// Verdicts about windows older than this never act. *Units*: milliseconds.
    pub act_within_ms: i64,
    /// How long a partition that cannot be read holds a watermark. *Units*: milliseconds.
    pub hold_max_ms: i64,
    /// What may be remembered of values.
    pub values: ValuesPlan,
    /// Windows that a partition may be read ahead of the others.
    pub max_ahead: u32,
    /// Upper bound of what each stage may hold.
    pub limits: Limits,
}

impl Plan {
    /// What each topic is read for, in the order datasets, predictions, outcomes.
    fn roles(&self) -> impl Iterator<Item = &str> {
        let datasets = self.datasets.values().map(|dataset| dataset.topic.as_str());
        let predictions = self.models.values().map(|model| model.predictions.topic.as_str());
        let outcomes = self.models.values().filter_map(|model| model.outcomes.as_ref());
        datasets.chain(predictions).chain(outcomes.map(|outcomes| outcomes.topic.as_str()))
    }

    /// Topics that are read, each once, in name order.
    #[must_use]
    pub fn source_topics(&self) -> BTreeSet<String> {
        self.roles().map(str::to_owned).collect()
    }

    /// How many things a topic is read for.
    #[must_use]
    pub fn roles_of(&self, topic: &str) -> usize {
        self.roles().filter(|role| *role == topic).count()
    }
}

/// Upper bounds, all derived from the memory limit unless given.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Memory the process aims to stay below. *Units*: bytes.
    pub memory_bytes: u64,
    /// Cells of one window of one dataset or model; more go to `__other__`.
    pub cells_per_window: usize,
    /// Fields watched of one dataset; more are not watched, and counted.
    pub fields_per_dataset: usize,
    /// Schema versions of a topic that plans are held for, and that plain JSON announces in a
    /// window; the least recently met gives way.
    pub versions_per_dataset: usize,
    /// Items of an array or map that count of one record; more are left out, and counted.
    pub items_per_record: usize,
    /// Longest text looked at as a category, in bytes; longer ones count by their prefix.
    pub text_bytes: usize,
    /// Largest record decoded, in bytes; larger ones are quarantined.
    pub record_bytes: usize,
    /// Deepest nesting decoded.
    pub depth: usize,
    /// Pending summaries that force a commit. *Units*: bytes.
    pub pending_bytes: usize,
    /// Records prefetched by a consumer. *Units*: bytes of payload.
    pub prefetch_bytes: usize,
    /// Predictions and outcomes waiting in join, over all partitions of an instance.
    pub waiting: usize,
}

/// One dataset.
#[derive(Clone, Debug)]
pub struct DatasetPlan {
    /// Its name.
    pub name: String,
    /// Topic it is read from.
    pub topic: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Where event time is found.
    pub event_time: TimeSource,
    /// Where the producer is found.
    pub producer: Option<Locator>,
    /// Where the schema version of plain JSON is found; Avro carries its own.
    pub schema_version: Option<Locator>,
    /// Window.
    pub window: WindowSize,
    /// Lateness allowed within a partition. *Units*: milliseconds.
    pub lateness_ms: i64,
    /// Which fields are watched.
    pub fields: FieldSelection,
    /// Set a record aside that breaks its contract, instead of counting the breach alone.
    pub quarantine_breaches: bool,
    /// Bounds of plausible event times.
    pub bounds: TimeBounds,
    /// Hash of what all this means for summaries.
    pub definition: u64,
}

/// Event times outside are counted as `past` or `future` and touch no watermark. Both are held
/// against the record's own append time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBounds {
    /// Older than this before the append time is `past`. *Units*: milliseconds.
    pub past_ms: i64,
    /// Later than this after the append time is `future`. *Units*: milliseconds.
    pub future_ms: i64,
}

/// Where a time is found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TimeSource {
    /// The record's Kafka timestamp.
    Record,
    /// A field or header: epoch milliseconds, an Avro timestamp, or RFC 3339 text.
    At(Locator),
}

impl TimeSource {
    /// The place that is read, where it is one.
    #[must_use]
    pub fn place(&self) -> Option<&Locator> {
        match self {
            TimeSource::Record => None,
            TimeSource::At(place) => Some(place),
        }
    }
}

/// A place in a record.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Locator {
    /// A Kafka header, as UTF-8 text.
    Header(String),
    /// A dotted path in the value.
    Field(String),
}

/// Which fields of a dataset are watched.
#[derive(Clone, Debug)]
pub enum FieldSelection {
    /// All scalar paths of each writer schema, with what is said about some of them.
    All(BTreeMap<String, FieldPlan>),
    /// These alone.
    Only(BTreeMap<String, FieldPlan>),
}

impl FieldSelection {
    /// What is said about a path, or `None` when it is not watched or nothing is said.
    #[must_use]
    pub fn named(&self, path: &str) -> Option<&FieldPlan> {
        let (FieldSelection::All(named) | FieldSelection::Only(named)) = self;
        named.get(path)
    }

    /// Whether a path is watched.
    #[must_use]
    pub fn watches(&self, path: &str) -> bool {
        match self {
            FieldSelection::All(_) => true,
            FieldSelection::Only(named) => named.contains_key(path),
        }
    }

    /// Whether a path's values are those of items of an array or map: only where it is named.
    #[must_use]
    pub fn is_of_items(&self, path: &str) -> bool {
        self.named(path).is_some() && path::items(path).is_some()
    }
}

/// What is said about one field.
#[derive(Clone, Debug, Default)]
pub struct FieldPlan {
    /// Kind, where the schema's own is not wanted (an integer that is a code).
    pub kind: Option<WantedKind>,
    /// Unit, shown beside numbers.
    pub unit: Option<String>,
    /// Must be present and not null.
    pub required: bool,
    /// Smallest value allowed.
    pub min: Option<f64>,
    /// Largest value allowed.
    pub max: Option<f64>,
    /// Values allowed; empty allows all.
    pub allowed: Vec<String>,
    /// What may be remembered of a value.
    pub values: ValuePolicy,
}

/// Kind a field is to be counted as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WantedKind {
    /// A number; text is parsed.
    Numeric,
    /// A category; numbers are counted by their text.
    Category,
}

/// What may be remembered of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ValuePolicy {
    /// Up to 64 values of a field are kept as text, more as hashes where there is a key; nothing
    /// where the registry tags the field.
    #[default]
    Auto,
    /// Kept as text.
    Keep,
    /// Hashes alone.
    Hash,
    /// Nothing: counted by presence and by breaches of its contract.
    Drop,
}

/// One model.
#[derive(Clone, Debug)]
pub struct ModelPlan {
    /// Its name.
    pub name: String,
    /// Its predictions.
    pub predictions: PredictionPlan,
    /// Its outcomes, where there are any.
    pub outcomes: Option<OutcomePlan>,
    /// Lineage: dataset to the fields the model uses; empty means all fields.
    pub inputs: BTreeMap<String, Vec<String>>,
    /// Window: given, or the largest of its inputs.
    pub window: WindowSize,
    /// Lateness allowed within a partition. *Units*: milliseconds.
    pub lateness_ms: i64,
    /// Bounds of plausible prediction and outcome times.
    pub bounds: TimeBounds,
    /// Hash of what all this means for summaries.
    pub definition: u64,
}

/// How predictions are read.
#[derive(Clone, Debug)]
pub struct PredictionPlan {
    /// Topic.
    pub topic: String,
    /// Id that outcomes refer to.
    pub id: Locator,
    /// Score in [0, 1].
    pub score: Option<Locator>,
    /// What counts as the positive decision.
    pub decision: Decision,
    /// The model's own version.
    pub version: Option<Locator>,
    /// Prediction time.
    pub time: TimeSource,
    /// Per dataset, where the prediction names the origin of its inputs (grade A); a dataset of
    /// `inputs` that is absent here has grade C.
    pub exposure: BTreeMap<String, ExposurePlan>,
}

/// What counts as the positive decision.
#[derive(Clone, Debug, PartialEq)]
pub enum Decision {
    /// Score strictly above this.
    ScoreAbove(f64),
    /// The value at a place is one of these, as text.
    OneOf(Locator, Vec<String>),
}

/// Where a prediction names the origin of its inputs; the first present of each list counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExposurePlan {
    /// Schema version: the registry id as decimal text.
    pub schema: Vec<Locator>,
    /// Producer.
    pub producer: Vec<Locator>,
}

impl ExposurePlan {
    /// All places it names.
    pub fn places(&self) -> impl Iterator<Item = &Locator> {
        self.schema.iter().chain(&self.producer)
    }
}

/// How outcomes are read.
#[derive(Clone, Debug)]
pub struct OutcomePlan {
    /// Topic.
    pub topic: String,
    /// Id of the prediction.
    pub id: Locator,
    /// The label.
    pub label: Locator,
    /// Labels that are positive, as text; all others are negative.
    pub positive: Vec<String>,
    /// Outcome time.
    pub time: TimeSource,
    /// Which predictions get outcomes.
    pub covers: Covers,
    /// What a missing outcome means.
    pub absent: Absent,
    /// How long after a prediction its outcome may come. *Units*: milliseconds.
    pub horizon_ms: i64,
}

/// Which predictions get outcomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Covers {
    /// All.
    All,
    /// Only flagged ones (reviews): false positives per 1,000 decisions lead, not the rate.
    Flagged,
}

/// What a missing outcome means once the horizon has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Absent {
    /// The prediction was a negative.
    NegativeAfterHorizon,
    /// Not known.
    Unknown,
}
