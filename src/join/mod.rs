//! Stage 2, join: puts a prediction together with its outcome, days later.
//!
//! One [`Join`] per partition of `facts`. Ids wait in memory until their other half comes or
//! the model's clock leaves them behind; what goes out are counts per cell of the prediction,
//! never ids. It judges nothing: whether a rate has moved is assess's question.
//!
//! # The clock
//! Per model the smaller of how far predictions and outcomes have been read: for each side the
//! minimum over its partitions, told by the headers observe writes. A partition at its end does
//! not hold its side, up to what others had got when it said so; a side wholly at its end leaves
//! the clock to the other once the header at hand was written more than `hold_max` after the
//! side's newest record. Being at the end is part of the message, and the time it is held against
//! is the message's own, so reading the same facts again always gives the same clock. From that
//! the stage takes off the disorder observe lets through in predictions (one window and the
//! lateness): then which facts pair depends on their times alone, not on the order partitions were
//! read in. Outcomes are never judged late; one that is further behind its partition may find its
//! prediction gone.
//!
//! # Restart
//! Memory is a function of `facts` from one place on: the oldest report of a source partition
//! that the clock rested on when the oldest remembered id was met. The offset's metadata names
//! that place. `model` says why no earlier fact matters.
//!
//! # Limit
//! When more ids are held than there is room for, half of the id space is given up, for as long
//! as the limit is not raised: a smaller but unbiased sample, the same after any restart.

mod cells;
mod clock;
mod entries;
#[cfg(test)]
mod memory;
mod model;
mod restart;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::config::plan::Plan;
use crate::event::fact::{FactBatch, PredictionFact};
use crate::event::finding::Subject;
use crate::event::progress::{Header, JoinProgress};
use crate::event::route::{
    FACTS_PARTITIONS, Note, Outbox, Outgoing, Route, SUMMARIES_PARTITIONS, partition_of,
};
use crate::event::summary::{OutcomeDelta, SummaryBatch};
use crate::event::time::EventTime;
use crate::event::wire;
use crate::stage::{Incoming, Restart, Stage, StateEntry};

use model::ModelJoin;
use restart::Metadata;

/// Deltas in one message, counted by an upper bound of their bytes: brokers take 1 MiB.
const MESSAGE_BYTES_MAX: usize = 800 * 1024;

/// The join of one partition of `facts`.
#[derive(Debug)]
pub struct Join {
    partition: i32,
    /// By name; only models that have outcomes.
    models: BTreeMap<String, ModelJoin>,
    /// Ids held at most: this partition's share of the instance's limit.
    limit: usize,
    /// Ids whose upper half is above this are not kept.
    kept_to: u64,
    /// First offset the next commit covers.
    from: Option<i64>,
}

impl Join {
    /// A join that has seen nothing of its partition.
    #[must_use]
    pub fn new(plan: Arc<Plan>, partition: i32) -> Join {
        let models = plan.models.iter().filter_map(|(name, model)| {
            let outcomes = model.outcomes.as_ref()?;
            Some((name.clone(), ModelJoin::new(model, outcomes, plan.hold_max_ms)))
        });
        Join {
            partition,
            models: models.collect(),
            limit: (plan.limits.waiting / FACTS_PARTITIONS.unsigned_abs() as usize).max(1),
            kept_to: u64::MAX,
            from: None,
        }
    }

    /// What to commit beside an offset of `facts` from which a join starts with an empty memory.
    #[must_use]
    pub fn metadata_of_empty(offset: i64) -> String {
        // A limit of zero says nothing of what has room, so nothing is given up.
        Metadata::new(offset, u64::MAX, 0).text()
    }

    fn take(&mut self, batch: FactBatch, message: Incoming<'_>) {
        let FactBatch { header, models, terms, cells, predictions, outcomes } = batch;
        let mut numbers = Vec::with_capacity(cells.len());
        for cell in cells {
            let number = usize::from(cell.model);
            let (name, told) = (&models[number], terms.get(number));
            let model = self.models.get_mut(name);
            // A model without outcomes has no cells here; its number is never looked at.
            let number = model.map_or(0, |model| {
                let terms = model.terms(told);
                model.enter_cell((cell.window, cell.key, terms))
            });
            numbers.push((name, number));
        }
        for fact in &predictions {
            self.predict(fact, numbers[fact.cell as usize], message.offset);
        }
        for (model, cell) in numbers {
            if let Some(model) = self.models.get_mut(model) {
                model.leave_cell(cell);
            }
        }
        for fact in &outcomes {
            let number = usize::from(fact.model);
            if let Some(model) = self.models.get_mut(&models[number])
                && is_kept(fact.id, self.kept_to)
            {
                let terms = model.terms(terms.get(number));
                model.observe(fact, terms, message.offset);
            }
        }
        if let Some(header) = &header {
            for model in self.models.values_mut() {
                model.progress(header, message.offset, message.timestamp_ms);
            }
        }
    }

    fn predict(&mut self, fact: &PredictionFact, cell: (&String, u32), offset: i64) {
        let Some(model) = self.models.get_mut(cell.0) else {
            return;
        };
        if is_kept(fact.id, self.kept_to) {
            model.predict(fact, cell.1, offset);
        } else {
            model.count("prediction_not_admitted", 1);
        }
    }

    /// Gives up half of the id space until what is held fits.
    fn make_room(&mut self) {
        while self.held() > self.limit && self.kept_to > 0 {
            self.keep_to(self.kept_to / 2);
        }
    }

    fn keep_to(&mut self, kept_to: u64) {
        self.kept_to = kept_to;
        for model in self.models.values_mut() {
            model.retain(|id| is_kept(id, kept_to));
        }
    }

    fn held(&self) -> usize {
        self.models.values().map(ModelJoin::len).sum()
    }

    /// Deltas and operators' counts since the last call; deltas by partition of `summaries`.
    fn drain(&mut self, out: &mut Outbox) -> BTreeMap<i32, Vec<OutcomeDelta>> {
        let mut deltas: BTreeMap<i32, Vec<OutcomeDelta>> = BTreeMap::new();
        for (name, model) in &mut self.models {
            let subject = Subject::Model(name.clone()).to_string();
            for (count, n) in model.take_counts() {
                out.notes.push(Note::Count { name: count, subject: subject.clone(), n });
            }
            let sums = model.take_sums();
            if sums.is_empty() {
                continue;
            }
            let partition = partition_of(subject.as_bytes(), SUMMARIES_PARTITIONS);
            deltas.entry(partition).or_default().extend(sums.into_iter().map(
                |((window, key, terms), age, sums)| OutcomeDelta {
                    model: name.clone(),
                    window,
                    key,
                    age,
                    sums,
                    definition: Some(terms.definition),
                },
            ));
        }
        deltas
    }

    fn metadata(&self, next_offset: i64) -> String {
        let from = self.models.values().filter_map(ModelJoin::replay_from).min();
        let from = from.map_or(next_offset, |from| from.min(next_offset));
        let mut metadata = Metadata::new(from, self.kept_to, self.limit as u64);
        metadata.clocks.extend(self.clocks().map(|(name, clock)| (name, clock.0)));
        metadata.text()
    }

    fn clocks(&self) -> impl Iterator<Item = (String, EventTime)> {
        self.models.iter().filter_map(|(name, model)| Some((name.clone(), model.clock()?)))
    }
}

impl Stage for Join {
    const NAME: &'static str = "join";
    const RESTART: Restart = Restart::Replay;

    fn step(&mut self, message: Incoming<'_>, out: &mut Outbox) {
        self.from.get_or_insert(message.offset);
        let read = wire::decode::<FactBatch>(message.payload).map_err(|error| error.to_string());
        match read.and_then(consistent) {
            Ok(batch) => {
                self.take(batch, message);
                self.make_room();
            }
            Err(reason) => out.notes.push(Note::Undecodable { stage: Self::NAME, reason }),
        }
    }

    fn commit(&mut self, next_offset: i64, out: &mut Outbox) -> String {
        let progress = JoinProgress {
            partition: self.partition,
            partition_count: FACTS_PARTITIONS,
            from: self.from.unwrap_or(next_offset),
            to: next_offset,
            clocks: self.clocks().collect(),
        };
        self.from = Some(next_offset);
        let mut deltas = self.drain(out);
        for partition in 0..SUMMARIES_PARTITIONS {
            let mut messages = chunks(deltas.remove(&partition).unwrap_or_default());
            if let Some(last) = messages.last_mut() {
                last.header = Some(Header::Join(progress.clone()));
            }
            out.messages.extend(messages.iter().map(|batch| Outgoing {
                route: Route::Summaries(partition),
                key: None,
                payload: wire::encode(batch),
                headers: Vec::new(),
            }));
        }
        self.metadata(next_offset)
    }

    fn replay_from(metadata: &str, committed: i64) -> i64 {
        Metadata::parse(metadata).map_or(0, |metadata| metadata.from.min(committed).max(0))
    }

    fn replayed(&mut self, metadata: &str) {
        let Some(metadata) = Metadata::parse(metadata) else {
            return;
        };
        for (name, clock) in metadata.clocks {
            if let Some(model) = self.models.get_mut(&name) {
                model.advance(Some(EventTime(clock)));
            }
        }
        if metadata.limit >= self.limit as u64 {
            self.keep_to(metadata.kept_to.min(self.kept_to));
        }
    }

    fn checkpoint(&mut self) -> Vec<StateEntry> {
        Vec::new()
    }

    fn restore(&mut self, _key: &[u8], _value: &[u8]) -> Result<(), String> {
        Err("join keeps no checkpoint: it reads facts again".into())
    }
}

/// The batch, when every number in it points into it.
fn consistent(batch: FactBatch) -> Result<FactBatch, String> {
    let model = |number: u16| usize::from(number) < batch.models.len();
    if !batch.cells.iter().all(|cell| model(cell.model)) {
        return Err("a cell names a model that is not in its batch".into());
    }
    if !batch.predictions.iter().all(|fact| (fact.cell as usize) < batch.cells.len()) {
        return Err("a prediction names a cell that is not in its batch".into());
    }
    if !batch.outcomes.iter().all(|fact| model(fact.model)) {
        return Err("an outcome names a model that is not in its batch".into());
    }
    Ok(batch)
}

/// Whether an id is within the part of the id space that is kept. Its upper half decides.
fn is_kept(id: u128, kept_to: u64) -> bool {
    (id >> 64) as u64 <= kept_to
}

/// Deltas cut into messages that a broker takes; at least one message.
fn chunks(deltas: Vec<OutcomeDelta>) -> Vec<SummaryBatch> {
    let mut messages = vec![SummaryBatch::default()];
    let mut bytes = 0;
    for delta in deltas {
        let size = bytes_max(&delta);
        if bytes + size > MESSAGE_BYTES_MAX && bytes > 0 {
            messages.push(SummaryBatch::default());
            bytes = 0;
        }
        bytes += size;
        messages.last_mut().expect("there is at least one").outcomes.push(delta);
    }
    messages
}

/// An upper bound of a delta's bytes: 10 for each number, text and its length.
fn bytes_max(delta: &OutcomeDelta) -> usize {
    let text = |text: &str| text.len() + 10;
    let origins = delta.key.exposure.iter().map(|origin| {
        text(&origin.dataset) + text(&origin.producer) + text(&origin.schema_version)
    });
    92 + text(&delta.model) + text(&delta.key.model_version) + origins.sum::<usize>()
}
