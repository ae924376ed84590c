//! What a topic is read for: the roles its records play, resolved from the plan.
//!
//! A topic may be a dataset, the predictions of models and the outcomes of models at once. Its
//! paths are numbered once for all of them, so that a record is decoded once.

use std::collections::BTreeMap;

use super::dataset::Dataset;
use super::place::{Place, TimePlace};
use super::timeliness::Timeliness;
use crate::config::plan::{Decision, Locator, ModelPlan, OutcomePlan, Plan};

/// Slots of a topic, numbered as paths become known.
#[derive(Debug, Default)]
pub(super) struct Paths {
    slots: BTreeMap<String, usize>,
}

impl Paths {
    /// The slot of a path, given one if it has none.
    pub(super) fn slot(&mut self, path: &str) -> usize {
        match self.slots.get(path) {
            Some(slot) => *slot,
            None => {
                let slot = self.slots.len();
                self.slots.insert(path.to_owned(), slot);
                slot
            }
        }
    }

    /// Paths with their slots, in path order.
    pub(super) fn all(&self) -> impl Iterator<Item = (&str, usize)> {
        self.slots.iter().map(|(path, slot)| (path.as_str(), *slot))
    }

    /// The slot a path has.
    pub(super) fn known(&self, path: &str) -> Option<usize> {
        self.slots.get(path).copied()
    }

    /// Number of slots.
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }
}

/// One thing a topic is read for.
#[derive(Debug)]
pub(super) enum Role {
    /// A dataset.
    Dataset(DatasetRole),
    /// A model's predictions.
    Prediction(PredictionRole),
    /// A model's outcomes.
    Outcome(OutcomeRole),
}

/// A topic as a dataset.
#[derive(Debug)]
pub(super) struct DatasetRole {
    /// Index of the dataset.
    pub(super) dataset: usize,
    /// Event time.
    pub(super) time: TimePlace,
    /// How it is judged.
    pub(super) timeliness: Timeliness,
    /// Producer.
    pub(super) producer: Option<Place>,
    /// Schema version of plain JSON.
    pub(super) version: Option<Place>,
}

/// A topic as a model's predictions.
#[derive(Debug)]
pub(super) struct PredictionRole {
    /// Index of the model.
    pub(super) model: usize,
    /// Prediction time.
    pub(super) time: TimePlace,
    /// How it is judged.
    pub(super) timeliness: Timeliness,
    /// Id.
    pub(super) id: Place,
    /// Score.
    pub(super) score: Option<Place>,
    /// Positive decision.
    pub(super) decision: DecisionPlace,
    /// The model's version.
    pub(super) version: Option<Place>,
    /// Producer and schema version by dataset, in dataset order.
    pub(super) exposure: Vec<(Vec<Place>, Vec<Place>)>,
    /// Outcomes are configured, so join wants a fact.
    pub(super) makes_facts: bool,
}

/// A resolved [`Decision`].
#[derive(Debug)]
pub(super) enum DecisionPlace {
    /// Score strictly above this.
    ScoreAbove(f64),
    /// One of these texts at a place.
    OneOf(Place, Vec<String>),
}

/// A topic as a model's outcomes.
#[derive(Debug)]
pub(super) struct OutcomeRole {
    /// Index of the model.
    pub(super) model: usize,
    /// Outcome time.
    pub(super) time: TimePlace,
    /// How it is judged.
    pub(super) timeliness: Timeliness,
    /// Id.
    pub(super) id: Place,
    /// Label.
    pub(super) label: Place,
    /// Positive labels.
    pub(super) positive: Vec<String>,
}

impl Role {
    /// Event time.
    pub(super) fn time(&self) -> &TimePlace {
        match self {
            Role::Dataset(role) => &role.time,
            Role::Prediction(role) => &role.time,
            Role::Outcome(role) => &role.time,
        }
    }

    /// How its time is judged.
    pub(super) fn timeliness(&self) -> &Timeliness {
        match self {
            Role::Dataset(role) => &role.timeliness,
            Role::Prediction(role) => &role.timeliness,
            Role::Outcome(role) => &role.timeliness,
        }
    }
}

/// A topic and its roles, before any record.
#[derive(Debug, Default)]
pub(super) struct TopicRoles {
    /// Topic.
    pub(super) name: String,
    /// Its roles: datasets, predictions, outcomes, each in name order.
    pub(super) roles: Vec<Role>,
    /// Its paths.
    pub(super) paths: Paths,
}

/// Resolves a plan: the topics in order of their first role, and the datasets in name order.
pub(super) fn resolve(plan: &Plan) -> (Vec<TopicRoles>, Vec<Dataset>) {
    let mut topics: Vec<TopicRoles> = Vec::new();
    let mut datasets = Vec::with_capacity(plan.datasets.len());
    for (index, dataset) in plan.datasets.values().enumerate() {
        let topic = topic(&mut topics, &dataset.topic);
        let slot_of = &mut |path: &str| topic.paths.slot(path);
        let place = |locator: &Option<Locator>, slot_of: &mut _| {
            locator.as_ref().map(|locator| Place::new(locator, slot_of))
        };
        let role = DatasetRole {
            dataset: index,
            time: TimePlace::new(&dataset.event_time, slot_of),
            timeliness: Timeliness {
                window: Some(dataset.window),
                lateness_ms: dataset.lateness_ms,
                bounds: dataset.bounds,
            },
            producer: place(&dataset.producer, slot_of),
            version: place(&dataset.schema_version, slot_of),
        };
        let values = plan.values.key.as_ref();
        datasets.push(Dataset::new(dataset, (&plan.limits, values), slot_of));
        topic.roles.push(Role::Dataset(role));
    }
    for (index, model) in plan.models.values().enumerate() {
        let topic = topic(&mut topics, &model.predictions.topic);
        let role = prediction(index, model, &mut |path| topic.paths.slot(path));
        topic.roles.push(Role::Prediction(role));
    }
    for (index, model) in plan.models.values().enumerate() {
        if let Some(outcomes) = &model.outcomes {
            let topic = topic(&mut topics, &outcomes.topic);
            let role = outcome((index, model), outcomes, &mut |path| topic.paths.slot(path));
            topic.roles.push(Role::Outcome(role));
        }
    }
    (topics, datasets)
}

fn topic<'t>(topics: &'t mut Vec<TopicRoles>, name: &str) -> &'t mut TopicRoles {
    let found = topics.iter().position(|topic| topic.name == name);
    let index = found.unwrap_or_else(|| {
        topics.push(TopicRoles { name: name.to_owned(), ..TopicRoles::default() });
        topics.len() - 1
    });
    &mut topics[index]
}

fn prediction(
    index: usize,
    model: &ModelPlan,
    slot_of: &mut impl FnMut(&str) -> usize,
) -> PredictionRole {
    let plan = &model.predictions;
    let mut places = |locators: &[Locator]| -> Vec<Place> {
        locators.iter().map(|locator| Place::new(locator, slot_of)).collect()
    };
    let exposure = plan.exposure.values();
    let exposure = exposure.map(|one| (places(&one.producer), places(&one.schema))).collect();
    let mut place = |locator: &Locator| Place::new(locator, slot_of);
    PredictionRole {
        model: index,
        exposure,
        id: place(&plan.id),
        score: plan.score.as_ref().map(&mut place),
        version: plan.version.as_ref().map(&mut place),
        decision: match &plan.decision {
            Decision::ScoreAbove(threshold) => DecisionPlace::ScoreAbove(*threshold),
            Decision::OneOf(locator, texts) => DecisionPlace::OneOf(place(locator), texts.clone()),
        },
        time: TimePlace::new(&plan.time, slot_of),
        timeliness: Timeliness {
            window: Some(model.window),
            lateness_ms: model.lateness_ms,
            bounds: model.bounds,
        },
        makes_facts: model.outcomes.is_some(),
    }
}

fn outcome(
    (index, model): (usize, &ModelPlan),
    plan: &OutcomePlan,
    slot_of: &mut impl FnMut(&str) -> usize,
) -> OutcomeRole {
    OutcomeRole {
        model: index,
        id: Place::new(&plan.id, slot_of),
        label: Place::new(&plan.label, slot_of),
        positive: plan.positive.clone(),
        time: TimePlace::new(&plan.time, slot_of),
        timeliness: Timeliness { window: None, lateness_ms: 0, bounds: model.bounds },
    }
}
