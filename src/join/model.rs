//! One model's join within one partition of `facts`: the rules.
//!
//! A prediction and an outcome of one id pair when their times are at most a horizon apart; the
//! first of each counts, and what comes after it is counted as a duplicate or a conflict.
//!
//! An id is remembered until the clock is more than a horizon beyond the newest fact it took,
//! but never longer than three horizons after its first. Because of the first half of that rule
//! no fact outlives the entry that took it, so reading again from any place at or before the
//! oldest entry gives the same entries. The second half keeps an id that is no id (an empty
//! string, a constant) from holding the restart point for ever; for such an id alone a restart
//! may begin counting at another of its facts.
//!
//! A definition may change while predictions wait. An outcome labels a prediction that was counted
//! under another one as long as both mean the same by a label; else it is used up without a label,
//! and counted. Silence is taken for a negative only where it would be under this definition.

use std::collections::BTreeMap;

use crate::config::definition::fact_terms;
use crate::config::plan::{Absent, Covers, ModelPlan, OutcomePlan};
use crate::event::fact::{FactTerms, OutcomeFact, PredictionFact};
use crate::event::progress::Progress;
use crate::event::summary::{OUTCOME_AGES, OutcomeSums, outcome_age};
use crate::event::time::EventTime;

use super::cells::{CellName, Cells};
use super::clock::{Pair, Sources};
use super::entries::{Entries, Entry, State};

/// Joins the predictions and outcomes of one model.
#[derive(Debug)]
pub(super) struct ModelJoin {
    pair: Pair,
    sources: Sources,
    horizon_ms: i64,
    /// What facts are taken to be counted under that do not say.
    own: FactTerms,
    /// Meanings of labels met in outcomes; a waiting outcome has the place of its own here.
    labels: Vec<u64>,
    /// How far behind its own partition's newest a fact may be and still be let through by
    /// observe: the clock stays behind by as much, so that no pair depends on reading order.
    disorder_ms: i64,
    absent: Absent,
    covers: Covers,
    entries: Entries,
    cells: Cells,
    clock: Option<EventTime>,
    /// Where replay must start to arrive at this clock; `None` before the first report.
    clock_from: Option<i64>,
    counts: BTreeMap<&'static str, u64>,
}

impl ModelJoin {
    /// A join that has seen nothing.
    pub(super) fn new(model: &ModelPlan, outcomes: &OutcomePlan, hold_max_ms: i64) -> ModelJoin {
        let pair = Pair {
            predictions: model.predictions.topic.clone(),
            outcomes: outcomes.topic.clone(),
            hold_max_ms,
        };
        ModelJoin {
            sources: Sources::new([pair.predictions.as_str(), &pair.outcomes].into_iter()),
            pair,
            horizon_ms: outcomes.horizon_ms,
            own: fact_terms(model),
            labels: Vec::new(),
            disorder_ms: model.window.ms().saturating_add(model.lateness_ms),
            absent: outcomes.absent,
            covers: outcomes.covers,
            entries: Entries::new(outcomes.horizon_ms),
            cells: Cells::default(),
            clock: None,
            clock_from: None,
            counts: BTreeMap::new(),
        }
    }

    /// Ids remembered.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// How far this model is joined: nothing that is still to come pairs with a prediction more
    /// than a horizon older.
    pub(super) fn clock(&self) -> Option<EventTime> {
        self.clock
    }

    /// Where replay must start to arrive at this memory; `None` when any place will do.
    pub(super) fn replay_from(&self) -> Option<i64> {
        [self.entries.start(), self.clock_from].into_iter().flatten().min()
    }

    /// What facts of this model were counted under, where their batch says so.
    pub(super) fn terms(&self, told: Option<&FactTerms>) -> FactTerms {
        told.copied().unwrap_or(self.own)
    }

    /// The number of a cell for [`ModelJoin::predict`], good until it is left.
    pub(super) fn enter_cell(&mut self, name: CellName) -> u32 {
        let number = self.cells.number(name);
        self.cells.wait(number);
        number
    }

    /// Gives a cell's number back.
    pub(super) fn leave_cell(&mut self, number: u32) {
        self.cells.leave(number);
    }

    /// Takes a prediction in the cell of that number, found at `offset`.
    pub(super) fn predict(&mut self, fact: &PredictionFact, cell: u32, offset: i64) {
        let (horizon_ms, flagged) = (self.horizon_ms, fact.flagged);
        let (mut life, mut start) = (fact.time, self.start(offset));
        let labels = self.cells.terms(cell).labels;
        if let Some(entry) = self.entries.get_mut(fact.id) {
            let State::Outcome { positive } = entry.state else {
                extend(entry, fact.time, horizon_ms);
                return self.count("prediction_duplicate", 1);
            };
            if apart_ms(entry.time, fact.time) <= horizon_ms {
                entry.state = State::Joined { positive };
                let (came, met) = (entry.time, self.labels[entry.cell as usize]);
                extend(entry, fact.time, horizon_ms);
                if met != labels {
                    return self.count("outcome_definition_other", 1);
                }
                return self.label(cell, came).add(flagged, positive);
            }
            life = life.max(entry.life.min(fact.time.plus_ms(horizon_ms.saturating_mul(2))));
            // What it inherits comes from facts before it, so it needs them after a crash.
            start = self.entries.forget(fact.id).map_or(start, |old| old.min(start));
            self.count("outcome_orphan", 1);
        } else if self.is_past(fact.time) {
            // Nobody was listening for its outcome, so nothing follows from its absence.
            return self.count("prediction_expired", 1);
        }
        self.cells.wait(cell);
        let state = State::Prediction { flagged };
        let entry = Entry { time: fact.time, life, cell, state };
        self.entries.insert(fact.id, entry, start);
    }

    /// Takes an outcome counted under `terms`, found at `offset`.
    pub(super) fn observe(&mut self, fact: &OutcomeFact, terms: FactTerms, offset: i64) {
        let (horizon_ms, positive) = (self.horizon_ms, fact.positive);
        let Some(entry) = self.entries.get_mut(fact.id) else {
            if self.is_past(fact.time) {
                return self.count("outcome_orphan", 1);
            }
            let state = State::Outcome { positive };
            let cell = self.label_number(terms.labels);
            let entry = Entry { time: fact.time, life: fact.time, cell, state };
            return self.entries.insert(fact.id, entry, self.start(offset));
        };
        extend(entry, fact.time, horizon_ms);
        match entry.state {
            State::Prediction { flagged } if apart_ms(entry.time, fact.time) <= horizon_ms => {
                let cell = entry.cell;
                entry.state = State::Joined { positive };
                if self.cells.terms(cell).labels == terms.labels {
                    self.label(cell, fact.time).add(flagged, positive);
                } else {
                    self.count("outcome_definition_other", 1);
                }
                self.cells.leave(cell);
            }
            State::Outcome { positive: first } | State::Joined { positive: first } => {
                let same = first == positive;
                self.count(if same { "outcome_duplicate" } else { "outcome_conflict" }, 1);
            }
            State::Prediction { .. } | State::Expired | State::Dead => {
                self.count("outcome_orphan", 1);
            }
        }
    }

    /// Takes the header in the message at `offset`, written at `now_ms`, and lets go of what the
    /// clock has left behind.
    pub(super) fn progress(&mut self, header: &[Progress], offset: i64, now_ms: i64) {
        self.sources.take(header, offset, now_ms);
        let time = self.sources.both(&self.pair, now_ms);
        let clock = time.map(|time| time.plus_ms(self.disorder_ms.saturating_neg()));
        if self.clock.is_none() || clock > self.clock {
            self.clock_from = self.sources.oldest_report(&self.pair);
        }
        self.advance(clock);
    }

    /// Moves the clock forward, never back.
    pub(super) fn advance(&mut self, clock: Option<EventTime>) {
        if clock <= self.clock {
            return;
        }
        self.clock = clock;
        let ModelJoin { entries, cells, absent, covers, counts, own, .. } = self;
        let threshold =
            clock.map_or(EventTime::MIN, |clock| clock.plus_ms(self.horizon_ms.saturating_neg()));
        entries.settle_before(threshold, |entry| match entry.state {
            State::Prediction { flagged } => {
                // Where only flagged predictions are looked at, silence about another says nothing,
                // nor does silence where something else was listened for.
                let awaited = (*covers == Covers::All || flagged)
                    && cells.terms(entry.cell).outcomes == own.outcomes;
                if *absent == Absent::NegativeAfterHorizon && awaited {
                    let sums = cells.sums(entry.cell, OUTCOME_AGES);
                    sums.add(flagged, false);
                    sums.assumed += 1;
                }
                cells.leave(entry.cell);
                entry.state = State::Expired;
                *counts.entry("prediction_expired").or_default() += 1;
            }
            State::Outcome { .. } => *counts.entry("outcome_orphan").or_default() += 1,
            State::Joined { .. } | State::Expired | State::Dead => {}
        });
    }

    /// Forgets every id that is not kept; predictions among them are never labelled.
    pub(super) fn retain(&mut self, keep: impl Fn(u128) -> bool) {
        let ModelJoin { entries, cells, counts, .. } = self;
        entries.retain(keep, |entry| {
            if matches!(entry.state, State::Prediction { .. }) {
                cells.leave(entry.cell);
                *counts.entry("prediction_not_admitted").or_default() += 1;
            }
        });
    }

    /// The sums an outcome that came at `time` belongs to.
    fn label(&mut self, cell: u32, time: EventTime) -> &mut OutcomeSums {
        let age = outcome_age(self.cells.window_end(cell), time, self.horizon_ms);
        self.cells.sums(cell, age)
    }

    /// The place of a meaning of labels. There are as many as configurations that were in use.
    fn label_number(&mut self, labels: u64) -> u32 {
        let known = self.labels.iter().position(|known| *known == labels);
        let place = known.unwrap_or_else(|| {
            self.labels.push(labels);
            self.labels.len() - 1
        });
        place as u32
    }

    /// Adds to a count for operators.
    pub(super) fn count(&mut self, name: &'static str, n: u64) {
        *self.counts.entry(name).or_default() += n;
    }

    /// What was labelled since the last call, in ascending order of cell and age.
    pub(super) fn take_sums(&mut self) -> Vec<(CellName, u8, OutcomeSums)> {
        self.cells.take()
    }

    /// What was counted for operators since the last call.
    pub(super) fn take_counts(&mut self) -> BTreeMap<&'static str, u64> {
        std::mem::take(&mut self.counts)
    }

    /// All it remembers, laid out so that equal memories give equal bytes: what numbers a cell or
    /// a slot happens to have, and from which offset on it would be read again, is left out.
    #[cfg(test)]
    pub(super) fn memory(&self) -> String {
        let entries = self.entries.all().into_iter().map(|(id, entry)| {
            let waits = matches!(entry.state, State::Prediction { .. });
            let cell = waits.then(|| self.cells.name(entry.cell));
            let is_outcome = matches!(entry.state, State::Outcome { .. });
            let labels = is_outcome.then(|| self.labels[entry.cell as usize]);
            (id, entry.time, entry.life, entry.state, cell, labels)
        });
        let entries: Vec<_> = entries.collect();
        let (clock, cells, counts) = (self.clock, self.cells.len(), &self.counts);
        format!("{clock:?} {} {cells} cells {counts:?} {entries:?}", self.sources.reported())
    }

    /// Where replay must start so that a fact at `offset` meets the clock it met.
    fn start(&self, offset: i64) -> i64 {
        self.clock_from.map_or(offset, |from| from.min(offset))
    }

    fn is_past(&self, time: EventTime) -> bool {
        self.clock.is_some_and(|clock| clock > time.plus_ms(self.horizon_ms))
    }
}

/// Lets an entry live as long as a fact it took would have, within three horizons of its first.
fn extend(entry: &mut Entry, time: EventTime, horizon_ms: i64) {
    let latest = entry.time.plus_ms(horizon_ms.saturating_mul(2));
    entry.life = entry.life.max(time.min(latest));
}

fn apart_ms(a: EventTime, b: EventTime) -> i64 {
    a.max(b).since_ms(a.min(b))
}
