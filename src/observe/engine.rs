//! One decoded record, all its roles: judged first, counted only when every role can use it.
//!
//! A record that any role cannot use is set aside and touches no summary. One that is late, past
//! or future for one role still counts for the others; its outcome is the first such verdict.

use super::cells::Coordinates;
use super::dataset::{Counting, Dataset};
use super::facts::{Facts, WaitingOutcome, WaitingPrediction};
use super::model::{Model, Prediction};
use super::partition::Outcome;
use super::place::{Place, View};
use super::quarantine::Trouble;
use super::roles::{DatasetRole, DecisionPlace, OutcomeRole, PredictionRole, Role};
use super::schemas::Readable;
use super::text::TextBuffer;
use super::timeliness::Standing;
use crate::event::cell::{NO_SCHEMA, UNKNOWN_PRODUCER};
use crate::event::schema::SchemaSeen;
use crate::event::time::EventTime;

/// Datasets, models and facts since the last commit.
#[derive(Debug)]
pub(super) struct Engine {
    /// Datasets, in name order.
    pub(super) datasets: Vec<Dataset>,
    /// Models, in name order.
    pub(super) models: Vec<Model>,
    /// Facts.
    pub(super) facts: Facts,
    /// Records of the partition at hand must wait from this event time on.
    pub(super) limit: Option<EventTime>,
    /// Verdicts of the roles of the record at hand.
    pub(super) verdicts: Vec<(EventTime, Standing)>,
    /// Key of the model cell at hand.
    pub(super) key: Vec<u32>,
}

/// What is to become of a record.
#[derive(Debug)]
pub(super) enum Decided {
    /// It has this outcome.
    Settled(Outcome),
    /// It is set aside.
    SetAside(Trouble),
    /// It lies too far ahead; nothing was counted.
    Ahead,
}

/// The registered schema a record was written with.
#[derive(Debug)]
pub(super) struct Written<'p> {
    /// Schema version as in cells.
    pub(super) version: &'p str,
    /// What the registry says of it.
    pub(super) schema: &'p Readable,
    /// By role: the fields it has; `None` for JSON.
    pub(super) uses: Option<&'p [Vec<u32>]>,
    /// By role: which of the dataset's fields its tags silence.
    pub(super) tagged: &'p [Vec<bool>],
    /// By role: it was announced.
    pub(super) announced: &'p mut [bool],
}

impl Engine {
    /// Takes a record from a partition whose highest event time before it is `highest`.
    pub(super) fn take(
        &mut self,
        roles: &[Role],
        view: View<'_>,
        mut written: Option<Written<'_>>,
        highest: Option<EventTime>,
    ) -> Decided {
        self.verdicts.clear();
        for role in roles {
            match self.judge(role, view, highest) {
                Ok(verdict) => self.verdicts.push(verdict),
                Err(trouble) => return Decided::SetAside(trouble),
            }
        }
        for (role, (time, standing)) in roles.iter().zip(&self.verdicts) {
            if let (Role::Dataset(role), Standing::InTime) = (role, standing)
                && self.datasets[role.dataset].is_ahead(*time, highest)
            {
                return Decided::Ahead;
            }
        }
        if let Some(limit) = self.limit
            && self.verdicts.iter().any(|(time, s)| *s == Standing::InTime && *time >= limit)
        {
            return Decided::Ahead;
        }
        let mut refused = None;
        let mut earliest: Option<EventTime> = None;
        for (index, role) in roles.iter().enumerate() {
            let (time, standing) = self.verdicts[index];
            if matches!(standing, Standing::Past | Standing::Future)
                && role.timeliness().has_another_unit(time, view.record.timestamp_ms)
            {
                *self.other_units(role) += 1;
            }
            let outcome = match standing {
                Standing::InTime => {
                    earliest = Some(earliest.map_or(time, |earliest| earliest.min(time)));
                    self.count((index, role), view, time, written.as_mut());
                    continue;
                }
                Standing::Late => Outcome::Late,
                Standing::Past => Outcome::Past,
                Standing::Future => Outcome::Future,
            };
            refused = refused.or(Some(outcome));
        }
        let accepted = Outcome::Accepted(earliest.unwrap_or(EventTime::MIN));
        Decided::Settled(refused.unwrap_or(accepted))
    }

    fn judge(
        &mut self,
        role: &Role,
        view: View<'_>,
        highest: Option<EventTime>,
    ) -> Result<(EventTime, Standing), Trouble> {
        let Some(time) = view.time(role.time()) else {
            return Err(Trouble::new("event_time", self.subject(role)));
        };
        let mut buffer = TextBuffer::new();
        match role {
            Role::Dataset(role) => {
                let dataset = &mut self.datasets[role.dataset];
                if let Some((path, rule)) = dataset.judge(view) {
                    let detail = format!("field {path}: {}", rule.as_str());
                    return Err(Trouble::new("contract", detail));
                }
            }
            Role::Prediction(PredictionRole { id, .. }) | Role::Outcome(OutcomeRole { id, .. })
                if view.id(id, &mut buffer).is_none() =>
            {
                return Err(Trouble::new("missing_id", self.subject(role)));
            }
            Role::Outcome(outcome) if buffer.text_of(view.at(&outcome.label)).is_none() => {
                return Err(Trouble::new("missing_label", self.subject(role)));
            }
            Role::Prediction(_) | Role::Outcome(_) => {}
        }
        let standing = role.timeliness().judge(time, view.record.timestamp_ms, highest);
        Ok((time, standing))
    }

    /// Times of the role's subject that are most likely in another unit, since the last commit.
    fn other_units(&mut self, role: &Role) -> &mut u64 {
        match role {
            Role::Dataset(role) => &mut self.datasets[role.dataset].other_units,
            Role::Prediction(PredictionRole { model, .. })
            | Role::Outcome(OutcomeRole { model, .. }) => &mut self.models[*model].other_units,
        }
    }

    fn subject(&self, role: &Role) -> String {
        match role {
            Role::Dataset(role) => format!("dataset/{}", self.datasets[role.dataset].plan.name),
            Role::Prediction(PredictionRole { model, .. })
            | Role::Outcome(OutcomeRole { model, .. }) => {
                format!("model/{}", self.models[*model].plan.name)
            }
        }
    }

    fn count(
        &mut self,
        (index, role): (usize, &Role),
        view: View<'_>,
        time: EventTime,
        written: Option<&mut Written<'_>>,
    ) {
        match role {
            Role::Dataset(role) => self.count_dataset((index, role), view, time, written),
            Role::Prediction(role) => self.count_prediction(role, view, time),
            Role::Outcome(role) => self.count_outcome(role, view, time),
        }
    }

    fn count_dataset(
        &mut self,
        (index, role): (usize, &DatasetRole),
        view: View<'_>,
        time: EventTime,
        written: Option<&mut Written<'_>>,
    ) {
        let dataset = &mut self.datasets[role.dataset];
        let mut producer_buffer = TextBuffer::new();
        let mut version_buffer = TextBuffer::new();
        let producer = named(view, role.producer.as_ref(), &mut producer_buffer);
        let producer = producer.unwrap_or(UNKNOWN_PRODUCER);
        let version = match &written {
            Some(written) => Some(written.version),
            None => named(view, role.version.as_ref(), &mut version_buffer),
        };
        let at = Coordinates {
            time,
            producer: dataset.producers.number(producer),
            version: dataset.versions.number(version.unwrap_or(NO_SCHEMA)),
        };
        let is_new = match (&written, version) {
            (Some(written), _) => !written.announced[index],
            (None, Some(version)) => dataset.announces(version, time),
            (None, None) => false,
        };
        if is_new {
            let version = version.unwrap_or(NO_SCHEMA);
            let schema = written.as_ref().map(|written| written.schema);
            let mut seen = seen(schema, view, time);
            dataset.withhold(&mut seen.fields, schema);
            dataset.schemas.push(SchemaSeen {
                dataset: dataset.plan.name.clone(),
                schema_version: version.to_owned(),
                producer: producer.to_owned(),
                ..seen
            });
        }
        let uses = written.as_ref().and_then(|written| written.uses);
        let uses = uses.map(|uses| uses[index].as_slice());
        let tagged = written.as_ref().map_or(&[][..], |written| &written.tagged[index]);
        dataset.count(view, Counting { at, uses, tagged });
        if let Some(written) = written {
            written.announced[index] = true;
        }
    }

    fn count_prediction(&mut self, role: &PredictionRole, view: View<'_>, time: EventTime) {
        let model = &mut self.models[role.model];
        let mut buffer = TextBuffer::new();
        let score = role.score.as_ref().and_then(|place| view.number(place));
        let flagged = match &role.decision {
            DecisionPlace::ScoreAbove(threshold) => score.is_some_and(|score| score > *threshold),
            DecisionPlace::OneOf(place, texts) => buffer
                .text_of(view.at(place))
                .is_some_and(|text| texts.iter().any(|one| one == text)),
        };
        let version = named(view, role.version.as_ref(), &mut buffer);
        self.key.clear();
        self.key.push(0);
        self.key.push(model.names.number(version.unwrap_or(UNKNOWN_PRODUCER)));
        for places in role.exposure.iter().flat_map(|(producer, schema)| [producer, schema]) {
            let name = view.first_name(places, &mut buffer).unwrap_or(UNKNOWN_PRODUCER);
            self.key.push(model.names.number(name));
        }
        let prediction = Prediction { time, score, flagged };
        let cell = model.count(&mut self.key, prediction);
        if !role.makes_facts {
            return;
        }
        if let Some(id) = view.id(&role.id, &mut buffer) {
            let (id, waiting) = self.facts.of(&model.plan.name, id);
            waiting.predictions.push(WaitingPrediction {
                id,
                model: role.model,
                cell,
                time,
                flagged,
            });
        }
    }

    fn count_outcome(&mut self, role: &OutcomeRole, view: View<'_>, time: EventTime) {
        let mut buffer = TextBuffer::new();
        let label = buffer.text_of(view.at(&role.label));
        let positive = label.is_some_and(|label| role.positive.iter().any(|one| one == label));
        let model = &self.models[role.model].plan.name;
        if let Some(id) = view.id(&role.id, &mut buffer) {
            let (id, waiting) = self.facts.of(model, id);
            waiting.outcomes.push(WaitingOutcome { id, model: role.model, time, positive });
        }
    }
}

fn named<'t>(view: View<'t>, place: Option<&Place>, buffer: &'t mut TextBuffer) -> Option<&'t str> {
    view.name(place?, buffer)
}

/// A schema met at this record; dataset, version and producer are the caller's.
fn seen(schema: Option<&Readable>, view: View<'_>, time: EventTime) -> SchemaSeen {
    SchemaSeen {
        dataset: String::new(),
        schema_version: String::new(),
        subject: schema.and_then(|schema| schema.subject.clone()),
        number: schema.and_then(|schema| schema.number),
        fields: schema.map(|schema| schema.fields.clone()).unwrap_or_default(),
        partition: view.record.partition,
        offset: view.record.offset,
        event_time: time,
        producer: String::new(),
    }
}
