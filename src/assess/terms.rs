//! What has to be known of a definition to finish what was counted under it, once the plan says
//! something else; and which part of what was learnt under it still means the same.
//!
//! It is written beside the state it belongs to. Not in it: how to count, which only observe needs.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::config::definition;
use crate::config::plan::{
    Absent, Covers, DatasetPlan, FieldSelection, ModelPlan, OutcomePlan, PredictionPlan,
};
use crate::config::values::ValuesPlan;
use crate::event::time::{EventTime, WindowSize};

/// Times remembered at which a definition was the plan's.
const SPANS_MAX: usize = 4;

/// When a definition was the plan's, and of which windows something was counted under it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Tenure<T> {
    /// Its place among the definitions of its subject, from 1; 0 before it was the plan's.
    pub(super) turn: u32,
    /// What its windows need; `None` before it was the plan's.
    pub(super) terms: Option<T>,
    /// Starts of the first and the last window it was counted in, each time it was the plan's.
    spans: Vec<(EventTime, EventTime)>,
    /// It is the plan's again, and nothing was counted under it since.
    anew: bool,
    /// Broker time at which another one followed it.
    followed_ms: Option<i64>,
}

impl<T> Default for Tenure<T> {
    fn default() -> Tenure<T> {
        Tenure { turn: 0, terms: None, spans: Vec::new(), anew: true, followed_ms: None }
    }
}

impl<T: Terms> Tenure<T> {
    /// Remembers a window; gives whether that is news.
    pub(super) fn meet(&mut self, start: EventTime) -> bool {
        match self.spans.last_mut().filter(|_| !self.anew) {
            Some((first, last)) => {
                let before = (*first, *last);
                (*first, *last) = (start.min(*first), start.max(*last));
                before != (*first, *last)
            }
            None => {
                self.anew = false;
                self.spans.push((start, start));
                let excess = self.spans.len().saturating_sub(SPANS_MAX);
                self.spans.drain(..excess);
                true
            }
        }
    }

    /// Whether it was counted under while the time from `start` to `end` was.
    pub(super) fn shares(&self, (start, end): (EventTime, EventTime)) -> bool {
        self.spans.iter().any(|(first, last)| start < self.end_of(*last) && *first < end)
    }

    /// End of a window; of a definition that nobody knows, the least it can be.
    pub(super) fn end_of(&self, start: EventTime) -> EventTime {
        start.plus_ms(self.terms.as_ref().map_or(1, Terms::window_ms))
    }

    /// Another one follows it.
    fn end(&mut self, now_ms: i64) {
        self.followed_ms = Some(now_ms);
    }

    /// Whether it was followed a short while ago: not everyone may know of that.
    pub(super) fn lingers(&self, now_ms: i64, hold_ms: i64) -> bool {
        self.followed_ms.is_some_and(|at_ms| now_ms.saturating_sub(at_ms) <= hold_ms)
    }

    /// Becomes the plan's definition after another; gives whether the same is counted.
    pub(super) fn follow(&mut self, before: &mut Tenure<T>, terms: T, now_ms: i64) -> bool {
        self.begin(before.turn + 1, terms);
        before.end(now_ms);
        self.counts_as(before)
    }

    /// Whether the same is counted as under another; not where one of them was never the plan's.
    pub(super) fn counts_as(&self, other: &Tenure<T>) -> bool {
        let both = self.terms.as_ref().zip(other.terms.as_ref());
        both.is_some_and(|(mine, theirs)| mine.counts_as(theirs))
    }

    /// Becomes the plan's definition. Windows it was counted in while nobody knew it are of the
    /// time that begins.
    pub(super) fn begin(&mut self, turn: u32, terms: T) {
        self.anew |= self.turn > 0;
        self.followed_ms = None;
        (self.turn, self.terms) = (turn, Some(terms));
    }
}

/// What is known of a definition.
pub(super) trait Terms {
    /// Length of a window.
    fn window_ms(&self) -> i64;

    /// Whether all that is counted is counted as under `other`.
    fn counts_as(&self, other: &Self) -> bool;
}

/// Of a dataset.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct DatasetTerms {
    topic: String,
    window_ms: i64,
    lateness_ms: i64,
    /// Hash of which records count, and of how texts are named.
    records: u64,
    /// Only configured fields are watched.
    only: bool,
    /// Hash of what is configured of a field.
    fields: BTreeMap<String, u64>,
}

impl Terms for DatasetTerms {
    fn window_ms(&self) -> i64 {
        self.window_ms
    }

    /// Every field.
    fn counts_as(&self, other: &DatasetTerms) -> bool {
        (self.records, self.only, &self.fields) == (other.records, other.only, &other.fields)
    }
}

impl DatasetTerms {
    /// Those of the plan.
    pub(super) fn of(plan: &DatasetPlan, values: &ValuesPlan) -> DatasetTerms {
        let (only, fields) = match &plan.fields {
            FieldSelection::All(fields) => (false, fields),
            FieldSelection::Only(fields) => (true, fields),
        };
        let fields = fields.iter();
        DatasetTerms {
            topic: plan.topic.clone(),
            window_ms: plan.window.ms(),
            lateness_ms: plan.lateness_ms,
            records: definition::of_records(plan, values),
            only,
            fields: fields
                .map(|(path, field)| (path.clone(), definition::of_field(field)))
                .collect(),
        }
    }

    /// The plan they were, as far as closing windows reads it; the rest is that of `now`.
    pub(super) fn plan(&self, definition: u64, now: &DatasetPlan) -> DatasetPlan {
        DatasetPlan {
            topic: self.topic.clone(),
            window: WindowSize::from_ms(self.window_ms).unwrap_or(now.window),
            lateness_ms: self.lateness_ms,
            definition,
            ..now.clone()
        }
    }

    /// Whether a field is counted as under `other`.
    pub(super) fn keeps(&self, other: &DatasetTerms, path: &str) -> bool {
        let of = |terms: &DatasetTerms| match terms.fields.get(path) {
            None if terms.only => None,
            known => Some(known.copied().unwrap_or_else(definition::of_plain_field)),
        };
        self.records == other.records && of(self).is_some() && of(self) == of(other)
    }
}

/// Of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ModelTerms {
    topic: String,
    window_ms: i64,
    lateness_ms: i64,
    /// Hash of what is counted as a prediction, a decision and an outcome.
    rates: u64,
    /// Hash of what a label means.
    labels: u64,
    outcomes: Option<(i64, Covers, Absent)>,
}

impl Terms for ModelTerms {
    fn window_ms(&self) -> i64 {
        self.window_ms
    }

    /// Rates.
    fn counts_as(&self, other: &ModelTerms) -> bool {
        self.rates == other.rates
    }
}

impl ModelTerms {
    /// Those of the plan.
    pub(super) fn of(plan: &ModelPlan) -> ModelTerms {
        let outcomes = plan.outcomes.as_ref();
        ModelTerms {
            topic: plan.predictions.topic.clone(),
            window_ms: plan.window.ms(),
            lateness_ms: plan.lateness_ms,
            rates: definition::of_rates(plan),
            labels: definition::fact_terms(plan).labels,
            outcomes: outcomes.map(|plan| (plan.horizon_ms, plan.covers, plan.absent)),
        }
    }

    /// The plan they were, as far as closing windows and counting outcomes reads it; the rest is
    /// that of `now`. Without outcomes now, none come for its windows either.
    pub(super) fn plan(&self, definition: u64, now: &ModelPlan) -> ModelPlan {
        let outcomes = now.outcomes.clone().zip(self.outcomes);
        ModelPlan {
            predictions: PredictionPlan { topic: self.topic.clone(), ..now.predictions.clone() },
            outcomes: outcomes.map(|(plan, (horizon_ms, covers, absent))| OutcomePlan {
                horizon_ms,
                covers,
                absent,
                ..plan
            }),
            window: WindowSize::from_ms(self.window_ms).unwrap_or(now.window),
            lateness_ms: self.lateness_ms,
            definition,
            ..now.clone()
        }
    }

    /// Whether labels mean the same as under `other`: its outcomes still come.
    pub(super) fn labels_as(&self, other: &ModelTerms) -> bool {
        self.labels == other.labels
    }
}
