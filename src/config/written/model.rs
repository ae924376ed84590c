//! A model as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::{BoundsAsWritten, Window};
use crate::config::place::Place;
use crate::config::scalar::{Millis, OneOrMany, Text};

/// A model: its predictions, what came of them, and what feeds it.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its predictions.
    pub predictions: Predictions,
    /// What came of them. Without it, only the model's behaviour is watched.
    pub outcomes: Option<Outcomes>,
    /// Lineage: dataset to the fields the model uses; an empty list means all of them.
    #[serde(default)]
    pub inputs: BTreeMap<String, Vec<String>>,
    /// Window over prediction time. Default: size and lateness are the largest of the inputs.
    #[serde(default)]
    pub window: Window,
    /// Which prediction and outcome times are plausible.
    #[serde(default)]
    pub bounds: BoundsAsWritten,
}

/// How predictions are read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Predictions {
    /// Topic.
    pub topic: String,
    /// The id that outcomes refer to.
    pub id: Place,
    /// The score, between 0 and 1.
    pub score: Option<Place>,
    /// What counts as the positive decision: `{ score_above: 0.8 }`, or
    /// `{ field: decision, equals: [block] }`.
    pub decision: DecisionAsWritten,
    /// The model's own version.
    pub version: Option<Place>,
    /// Prediction time. Default: the record's Kafka timestamp.
    pub time: Option<Place>,
    /// Per dataset of `inputs`, where the prediction names the schema version and the producer
    /// of the record it was computed from. With it, a change is traced exactly; without it, by
    /// time alone.
    #[serde(default)]
    pub exposure: BTreeMap<String, Exposure>,
}

/// What counts as the positive decision.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DecisionAsWritten {
    /// Positive when the score is strictly above this.
    pub score_above: Option<f64>,
    /// Field that holds the decision.
    pub field: Option<String>,
    /// Header that holds the decision.
    pub header: Option<String>,
    /// Values of it that are positive.
    #[serde(default)]
    pub equals: OneOrMany<Text>,
}

/// Where a prediction names the origin of an input. Of a list, the first present counts.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Exposure {
    /// Schema version: the registry's id of the schema, as text or number.
    #[serde(default)]
    pub schema: OneOrMany<Place>,
    /// Producer.
    #[serde(default)]
    pub producer: OneOrMany<Place>,
}

/// How outcomes are read.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outcomes {
    /// Topic.
    pub topic: String,
    /// Id of the prediction.
    pub id: Place,
    /// The label.
    pub label: Place,
    /// Labels that are positive; all others are negative.
    pub positive: OneOrMany<Text>,
    /// Outcome time. Default: the record's Kafka timestamp.
    pub time: Option<Place>,
    /// Which predictions get outcomes. Default: all.
    #[serde(default)]
    pub covers: CoversAsWritten,
    /// What it means when no outcome comes. Default: unknown.
    #[serde(default)]
    pub absent: AbsentAsWritten,
    /// How long after a prediction its outcome may come.
    pub horizon: Millis,
}

/// Which predictions get outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CoversAsWritten {
    /// All.
    #[default]
    All,
    /// Only flagged ones, as when people review them.
    Flagged,
}

/// What it means when no outcome comes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AbsentAsWritten {
    /// After the horizon, the prediction was a negative.
    NegativeAfterHorizon,
    /// Nothing.
    #[default]
    Unknown,
}
