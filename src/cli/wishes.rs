//! Flags that stand in for a configuration: what to infer, and what not to.

use clap::Args;

use crate::infer::{Setting, Wishes};

/// Flags of verbs that infer a configuration.
#[derive(Debug, Args)]
#[command(next_help_heading = "Instead of --config")]
pub(super) struct WishArgs {
    /// Topic that holds a model's predictions
    #[arg(long, value_name = "TOPIC", conflicts_with = "config")]
    predictions: Option<String>,
    /// Topic that holds what came of them
    #[arg(long, value_name = "TOPIC", conflicts_with = "config")]
    outcomes: Option<String>,
    /// Field with the id that predictions and outcomes share
    #[arg(long, value_name = "FIELD", conflicts_with = "config")]
    id: Option<String>,
    /// Field with the score, 0 to 1
    #[arg(long, value_name = "FIELD", conflicts_with = "config")]
    score: Option<String>,
    /// A prediction is positive when its score is above this [default: 0.5]
    #[arg(long, value_name = "SCORE", conflicts_with = "config")]
    flag_above: Option<f64>,
    /// Field with the label
    #[arg(long, value_name = "FIELD", conflicts_with = "config")]
    label: Option<String>,
    /// Value of the label that is positive; can be repeated
    #[arg(long, value_name = "VALUE", conflicts_with = "config")]
    positive: Vec<String>,
    /// How long after a prediction its outcome may come [default: 14d]
    #[arg(long, value_name = "DURATION", conflicts_with = "config")]
    horizon: Option<String>,
    /// Window of all topics, such as 15m; default by rows and span, near 1h
    #[arg(long, value_name = "DURATION", conflicts_with = "config")]
    window: Option<String>,
    /// Field with the event time of a topic; can be repeated
    #[arg(long = "time", value_name = "TOPIC=FIELD", conflicts_with = "config")]
    times: Vec<Setting>,
}

impl WishArgs {
    /// As inference takes them. `has_timestamps`: records have times of their own.
    pub(super) fn wishes(&self, app: &str, has_timestamps: bool) -> Wishes {
        Wishes {
            app: app.to_owned(),
            predictions: self.predictions.clone(),
            outcomes: self.outcomes.clone(),
            id: self.id.clone(),
            score: self.score.clone(),
            flag_above: self.flag_above.unwrap_or(0.5),
            label: self.label.clone(),
            positive: self.positive.clone(),
            horizon: self.horizon.clone().unwrap_or_else(|| "14d".to_owned()),
            window: self.window.clone(),
            times: self.times.clone(),
            has_timestamps,
        }
    }

    /// Topics named as predictions and outcomes.
    pub(super) fn topics(&self) -> impl Iterator<Item = &String> {
        self.predictions.iter().chain(&self.outcomes)
    }
}
