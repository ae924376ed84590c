//! What was counted under definitions that are not the plan's: how it is brought to its end.
//!
//! After a change of configuration the windows open under the old definition close by the watermark
//! and are judged by what was learnt under it. A window of which a part was counted under another
//! definition is judged under neither: its rows are counted as `window_split`. Before a process
//! that assesses has the new configuration, what is counted under it is held, unread, until one
//! has.
//!
//! *Bound*: [`OTHERS_MAX`] definitions of a subject beside the plan's and, of one not known yet,
//! [`HELD_WINDOWS`] windows. What is beyond is counted as `definition_other`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Assess;
use super::checkpoint::{Key, Part};
use super::dataset::{self, Dataset};
use super::ledger::{Patience, Watermark};
use super::model::{self, Model};
use super::terms::{DatasetTerms, ModelTerms, Tenure, Terms};
use crate::config::plan::{DatasetPlan, ModelPlan, Plan};
use crate::event::finding::{Alarm, FindingItem, Subject};
use crate::event::route::{Note, Outbox};
use crate::event::time::{EventTime, WindowSize};

/// Definitions of a subject that are kept beside the plan's.
const OTHERS_MAX: usize = 2;
/// Windows held of a definition that nobody knows yet.
const HELD_WINDOWS: usize = 256;

/// By name and definition, none of them the plan's.
#[derive(Debug, Default)]
pub(super) struct Drains {
    pub(super) datasets: BTreeMap<(String, u64), Dataset>,
    pub(super) models: BTreeMap<(String, u64), Model>,
}

impl Drains {
    fn of_dataset(&self, name: &str) -> Vec<u64> {
        of(&self.datasets, name)
    }

    fn of_model(&self, name: &str) -> Vec<u64> {
        of(&self.models, name)
    }

    /// What takes a dataset's counts for a window, if there is room.
    pub(super) fn dataset_at(
        &mut self,
        (name, definition): (&str, u64),
        window: EventTime,
    ) -> Option<&mut Dataset> {
        let place = room(&mut self.datasets, (name, definition))?;
        takes(&place.tenure, &place.windows, window).then_some(place)
    }

    /// What takes a model's counts for a window, if there is room.
    pub(super) fn model_at(
        &mut self,
        (name, definition): (&str, u64),
        window: EventTime,
    ) -> Option<&mut Model> {
        let place = room(&mut self.models, (name, definition))?;
        takes(&place.tenure, &place.windows, window).then_some(place)
    }

    /// Versions that were counted under these from start to end; `None` where nothing was.
    pub(super) fn beside_dataset(
        &self,
        name: &str,
        span: (EventTime, EventTime),
    ) -> Option<BTreeSet<String>> {
        let others = self.datasets.iter().filter(|((of, _), _)| of == name);
        others.filter_map(|(_, other)| other.beside(span)).reduce(|a, b| &a | &b)
    }

    /// Whether a part of a model's time from start to end was counted under one of these.
    pub(super) fn share_model(&self, name: &str, span: (EventTime, EventTime)) -> bool {
        self.models.iter().any(|((of, _), other)| of == name && other.tenure.shares(span))
    }
}

fn of<S>(drains: &BTreeMap<(String, u64), S>, name: &str) -> Vec<u64> {
    drains.keys().filter(|(of, _)| of == name).map(|(_, definition)| *definition).collect()
}

fn room<'d, S: Default>(
    drains: &'d mut BTreeMap<(String, u64), S>,
    (name, definition): (&str, u64),
) -> Option<&'d mut S> {
    let key = (name.to_owned(), definition);
    if !drains.contains_key(&key) && of(drains, name).len() >= OTHERS_MAX {
        return None;
    }
    Some(drains.entry(key).or_default())
}

/// Whether a definition has room for a window: any, but where nobody knows it only so many.
fn takes<T, W>(tenure: &Tenure<T>, windows: &BTreeMap<EventTime, W>, window: EventTime) -> bool {
    tenure.terms.is_some() || windows.contains_key(&window) || windows.len() < HELD_WINDOWS
}

/// Whether a definition that nobody counts under is still needed: not everyone may know that it was
/// followed, it has windows open, or one that is open under the plan's has a part in it.
fn stays<T: Terms>(
    tenure: &Tenure<T>,
    is_open: bool,
    mut current: impl Iterator<Item = EventTime>,
    (size, now_ms, hold_ms): (WindowSize, i64, i64),
) -> bool {
    let shares = |start| tenure.shares((start, size.end_of(start)));
    tenure.lingers(now_ms, hold_ms) || (tenure.terms.is_some() && (is_open || current.any(shares)))
}

impl Assess {
    /// A dataset under a definition.
    pub(super) fn dataset(&self, name: &str, definition: u64) -> Option<&Dataset> {
        if self.plan.datasets.get(name)?.definition == definition {
            return self.datasets.get(name);
        }
        self.drains.datasets.get(&(name.to_owned(), definition))
    }

    /// A model under a definition.
    pub(super) fn model(&self, name: &str, definition: u64) -> Option<&Model> {
        if self.plan.models.get(name)?.definition == definition {
            return self.models.get(name);
        }
        self.drains.models.get(&(name.to_owned(), definition))
    }

    /// Where a dataset's entries of a checkpoint go.
    pub(super) fn dataset_back(&mut self, name: &str, definition: u64) -> Option<&mut Dataset> {
        let current = self.datasets.get_mut(name)?;
        if self.plan.datasets[name].definition == definition {
            return Some(current);
        }
        Some(self.drains.datasets.entry((name.to_owned(), definition)).or_default())
    }

    /// Where a model's entries of a checkpoint go.
    pub(super) fn model_back(&mut self, name: &str, definition: u64) -> Option<&mut Model> {
        let current = self.models.get_mut(name)?;
        if self.plan.models[name].definition == definition {
            return Some(current);
        }
        Some(self.drains.models.entry((name.to_owned(), definition)).or_default())
    }

    /// Brings what was counted of a dataset under other definitions further to its end.
    pub(super) fn drain_dataset(
        &mut self,
        (name, config): (&str, &DatasetPlan),
        out: &mut Outbox,
    ) -> Vec<FindingItem> {
        let mut items = Vec::new();
        for definition in self.drains.of_dataset(name) {
            let key = (name.to_owned(), definition);
            let Some(mut old) = self.drains.datasets.remove(&key) else { continue };
            let taken = self.strays.takes(&Subject::Dataset(name.to_owned()), definition);
            let was = old.tenure.terms.as_ref().map(|terms| terms.plan(definition, config));
            if let Some(was) = &was {
                items.extend(self.close_dataset(&mut old, (was, config), taken, out));
            }
            let is_open = old.windows.values().any(|window| !window.closed);
            let current = self.datasets.get(name).into_iter().flat_map(|current| &current.windows);
            let current = current.filter(|(_, window)| !window.closed).map(|(start, _)| *start);
            let until = (config.window, self.now_ms, self.plan.hold_max_ms);
            if taken || stays(&old.tenure, is_open, current, until) {
                self.drains.datasets.insert(key, old);
            } else {
                items.extend(self.forget_dataset(key, old, out));
            }
        }
        items
    }

    fn close_dataset(
        &mut self,
        old: &mut Dataset,
        (was, is): (&DatasetPlan, &DatasetPlan),
        taken: bool,
        out: &mut Outbox,
    ) -> Vec<FindingItem> {
        let mut items = Vec::new();
        let patience = self.patience(was.lateness_ms);
        let watermark = self.watermark((&was.topic, &is.topic), patience);
        let (Some(watermark), Some(newest)) = (watermark, self.ledger.newest(&was.topic)) else {
            return items;
        };
        let keyed = self.plan.values.key.is_some();
        let moment = dataset::Moment { plan: was, keyed, watermark, newest };
        let Some(current) = self.datasets.get_mut(&is.name) else { return items };
        while let Some(start) = old.due(&moment) {
            let span = (start, was.window.end_of(start));
            let others = self.drains.beside_dataset(&is.name, span);
            let beside = others.into_iter().chain(current.beside(span)).reduce(|a, b| &a | &b);
            let close = |old: &mut Dataset| old.close(start, &moment, beside, out);
            items.extend(current.lend(old, close));
        }
        // Whoever still counts under it may be waiting for windows to end.
        if taken && !old.has_layout() && old.frontier(&moment).is_some() {
            out.messages.push(old.layout_update(was));
        }
        items
    }

    /// Brings what was counted of a model under other definitions further to its end.
    pub(super) fn drain_model(
        &mut self,
        (name, config): (&str, &ModelPlan),
        out: &mut Outbox,
    ) -> Vec<FindingItem> {
        let mut items = Vec::new();
        for definition in self.drains.of_model(name) {
            let key = (name.to_owned(), definition);
            let Some(mut old) = self.drains.models.remove(&key) else { continue };
            let taken = self.strays.takes(&Subject::Model(name.to_owned()), definition);
            let was = old.tenure.terms.as_ref().map(|terms| terms.plan(definition, config));
            if let Some(was) = &was {
                items.extend(self.close_model(&mut old, (was, config), out));
            }
            let is_open = match &was {
                Some(was) if was.outcomes.is_some() => !old.windows.is_empty(),
                Some(_) => old.windows.values().any(|window| window.told.is_none()),
                None => false,
            };
            let current = self.models.get(name).into_iter().flat_map(|current| &current.windows);
            let current =
                current.filter(|(_, window)| window.told.is_none()).map(|(start, _)| *start);
            let until = (config.window, self.now_ms, self.plan.hold_max_ms);
            if taken || stays(&old.tenure, is_open, current, until) {
                self.drains.models.insert(key, old);
            } else {
                items.extend(self.forget_model(key, old, out));
            }
        }
        items
    }

    fn close_model(
        &mut self,
        old: &mut Model,
        (was, is): (&ModelPlan, &ModelPlan),
        out: &mut Outbox,
    ) -> Vec<FindingItem> {
        let mut items = Vec::new();
        let patience = self.patience(was.lateness_ms);
        let topics = (was.predictions.topic.as_str(), is.predictions.topic.as_str());
        let Some(mut watermark) = self.watermark(topics, patience) else { return items };
        let now = self.models.get(&is.name).and_then(|current| current.tenure.terms.as_ref());
        let both = old.tenure.terms.as_ref().zip(now);
        if !both.is_some_and(|(was, is)| was.labels_as(is)) {
            watermark.complete = false;
            old.lack_outcomes();
        }
        let join_clock = self.ledger.join_clock(&is.name);
        let moment = model::Moment { plan: was, watermark, join_clock };
        let Some(current) = self.models.get_mut(&is.name) else { return items };
        while let Some(start) = old.due(&moment) {
            let span = (start, was.window.end_of(start));
            let others = self.drains.share_model(&is.name, span);
            let is_split = others || current.tenure.shares(span);
            let close = |old: &mut Model| old.close(start, &moment, is_split, out);
            items.extend(current.lend(old, close));
        }
        items.extend(current.lend(old, |old| old.mature(&moment)));
        items
    }

    /// How far the topic of an old definition has come. One that nobody reads any more, since the
    /// new definition names another, has come to now, and what was not read is missing.
    fn watermark(&self, (was, is): (&str, &str), patience: Patience) -> Option<Watermark> {
        if was != is && self.ledger.is_forsaken(was, self.now_ms, patience.hold_ms) {
            return Some(Watermark { time: EventTime(self.now_ms), complete: false, gap: None });
        }
        self.ledger.watermark(was, self.now_ms, patience)
    }

    /// Drops a definition that is drained, or that nobody knew and nobody counts under any more.
    fn forget_dataset(
        &mut self,
        (name, definition): (String, u64),
        mut old: Dataset,
        out: &mut Outbox,
    ) -> Vec<FindingItem> {
        let open = old.windows.values().filter(|window| !window.closed);
        let subject = Subject::Dataset(name.clone());
        count_lost(subject.clone(), open.map(|window| window.rows()).sum(), out);
        let parts = [Part::Core, Part::Tenure, Part::Kept, Part::Shapes].into_iter();
        let parts = parts.chain(old.windows.keys().map(|start| Part::Window(*start)));
        let parts = parts.chain(old.samples.keys().map(|field| Part::Sample(field.clone())));
        self.dirty.extend(parts.map(|part| Key::Dataset(name.clone(), definition, part)));
        ended(old.core.learnt.alarms.end())
    }

    fn forget_model(
        &mut self,
        (name, definition): (String, u64),
        mut old: Model,
        out: &mut Outbox,
    ) -> Vec<FindingItem> {
        let open = old.windows.values().filter(|window| window.told.is_none());
        count_lost(Subject::Model(name.clone()), open.map(|window| window.n()).sum(), out);
        let parts = [Part::Core, Part::Tenure].into_iter();
        let parts = parts.chain(old.windows.keys().map(|start| Part::Window(*start)));
        self.dirty.extend(parts.map(|part| Key::Model(name.clone(), definition, part)));
        ended(old.core.learnt.alarms.end())
    }

    /// Makes the plan's definitions the newest, once all that was written of others is back: each
    /// goes on where the one before it stands, and no more than [`OTHERS_MAX`] others are kept.
    pub(super) fn succeed(&mut self, out: &mut Outbox) {
        let plan: Arc<Plan> = Arc::clone(&self.plan);
        for (name, config) in &plan.datasets {
            let Some(dataset) = self.datasets.get_mut(name) else { continue };
            let terms = DatasetTerms::of(config, &plan.values);
            let others = self.drains.datasets.iter_mut().filter(|((of, _), _)| of == name);
            let newest = others.map(|(_, other)| other).max_by_key(|other| other.tenure.turn);
            match newest.filter(|other| other.tenure.turn > dataset.tenure.turn) {
                Some(before) => {
                    let mut items = ended(dataset.succeed(before, terms, self.now_ms));
                    // Also without a layout: how far windows are closed may have been said under
                    // another definition last, and whoever counts under this one waits for it.
                    self.arrears.layouts.insert(name.clone());
                    self.identify(&Subject::Dataset(name.clone()), &mut items);
                    self.arrears.items.extend(items);
                }
                None if dataset.tenure.turn == 0 => dataset.begin(1, terms),
                None => {}
            }
            while let Some(key) = least(&self.drains.datasets, name, |old| {
                (old.windows.values().any(|window| !window.closed), old.tenure.turn)
            }) {
                let Some(old) = self.drains.datasets.remove(&key) else { break };
                let mut items = self.forget_dataset(key, old, out);
                self.identify(&Subject::Dataset(name.clone()), &mut items);
                self.arrears.items.extend(items);
            }
        }
        for (name, config) in &plan.models {
            let Some(model) = self.models.get_mut(name) else { continue };
            let terms = ModelTerms::of(config);
            let others = self.drains.models.iter_mut().filter(|((of, _), _)| of == name);
            let newest = others.map(|(_, other)| other).max_by_key(|other| other.tenure.turn);
            match newest.filter(|other| other.tenure.turn > model.tenure.turn) {
                Some(before) => {
                    let mut items = ended(model.succeed(before, terms, self.now_ms));
                    self.identify(&Subject::Model(name.clone()), &mut items);
                    self.arrears.items.extend(items);
                }
                None if model.tenure.turn == 0 => model.begin(1, terms),
                None => {}
            }
            while let Some(key) =
                least(&self.drains.models, name, |old| (!old.windows.is_empty(), old.tenure.turn))
            {
                let Some(old) = self.drains.models.remove(&key) else { break };
                let mut items = self.forget_model(key, old, out);
                self.identify(&Subject::Model(name.clone()), &mut items);
                self.arrears.items.extend(items);
            }
        }
    }
}

/// The definition of a subject that is missed least, when there are too many: one without anything
/// open, else the oldest.
fn least<S>(
    drains: &BTreeMap<(String, u64), S>,
    name: &str,
    worth: impl Fn(&S) -> (bool, u32),
) -> Option<(String, u64)> {
    let mine = drains.iter().filter(|((of, _), _)| of == name);
    let too_many = mine.clone().count() > OTHERS_MAX;
    mine.filter(|_| too_many).min_by_key(|(_, old)| worth(old)).map(|(key, _)| key.clone())
}

fn count_lost(subject: Subject, n: u64, out: &mut Outbox) {
    if n > 0 {
        let subject = subject.to_string();
        out.notes.push(Note::Count { name: "definition_other", subject, n });
    }
}

fn ended(alarms: Vec<Alarm>) -> Vec<FindingItem> {
    alarms.into_iter().map(|alarm| FindingItem::Alarm(Box::new(alarm))).collect()
}

#[cfg(test)]
mod tests;
