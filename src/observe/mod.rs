//! Stage 1, observe: one record at a time.
//!
//! Finds the schema, decodes the watched fields, checks the contract, judges lateness and adds to
//! per-cell summaries. Keeps nothing across a commit but each partition's highest event time.
//! It fetches nothing: a schema it does not know is asked for by [`Taken::NeedSchema`] and handed
//! in by the runtime.
//!
//! ```text
//!  record ─ framing ─ avro | json ─► slots ─ engine ─┬─ dataset: contract, cells ─┐
//!             │          │                           ├─ model ────────────────────┼─ commit
//!             └──────────┴─► quarantine ◄────────────┴─ facts ────────────────────┘
//! ```
//!
//! What a commit tells is a function of the records since the last one. Three things are
//! remembered for longer and can only change *how* values are told, never how many: the kind of a
//! field (first met, until a layout says), which sample hashes were sent, and from which window on
//! a layout holds.

mod admission;
mod answer;
mod avro;
mod cells;
mod commit;
mod contract;
mod dataset;
mod engine;
mod facts;
mod framing;
mod intern;
mod json;
mod layouts;
mod model;
mod pack;
mod partition;
mod place;
mod quarantine;
mod record;
mod roles;
mod sampler;
mod schemas;
mod slot;
mod text;
mod timeliness;
mod topic;

pub use answer::{RegisteredSchema, SchemaAnswer, SourceCommit, Taken};
pub use avro::{
    AvroPlan, CompileError, FoundField, FoundKind, SCHEMA_DEPTH_MAX, SCHEMA_TYPES_MAX,
    parse_schema, schema_fields,
};
pub use framing::{DecodeError, DecodeLimits, Framed, recycle};
pub use json::JsonPlan;
pub use record::SourceRecord;
pub use slot::Slot;

use std::sync::Arc;

use self::engine::{Decided, Engine};
use self::facts::Facts;
use self::model::Model;
use self::partition::{Outcome, Partition};
use self::roles::Role;
use self::schemas::Schemas;
use self::topic::{Answer, Topic};
use crate::config::plan::Plan;
use crate::event::layout::LayoutUpdate;
use crate::event::progress::Progress;
use crate::event::route::Outbox;

/// The stage: one instance, all its assigned partitions.
///
/// *Memory*: bounded by the plan's limits; between commits it grows with cells and facts, see
/// [`Observe::pending_bytes`]. Records taken once warm allocate nothing, but for those that are
/// set aside.
#[derive(Debug)]
pub struct Observe {
    plan: Arc<Plan>,
    topics: Vec<Topic>,
    /// Topic of the previous record.
    recent: usize,
    engine: Engine,
    schemas: Schemas,
    has_news: bool,
}

impl Observe {
    /// An instance without partitions.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Observe {
        let (resolved, datasets) = roles::resolve(&plan);
        let limits = &plan.limits;
        let topics: Vec<Topic> =
            resolved.into_iter().map(|topic| Topic::new(topic, limits)).collect();
        let models = plan.models.values();
        let engine = Engine {
            datasets,
            models: models.map(|model| Model::new(model, limits.cells_per_window)).collect(),
            facts: Facts::default(),
            versions_per_dataset: limits.versions_per_dataset,
            verdicts: Vec::new(),
            key: Vec::new(),
        };
        let schemas = Schemas::new(limits.versions_per_dataset.saturating_mul(topics.len()));
        Observe { topics, recent: 0, engine, schemas, has_news: false, plan }
    }

    /// Topics to read, each once: those of datasets, then of predictions, then of outcomes.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.topics.iter().map(|topic| topic.name.clone()).collect()
    }

    /// Whether anything read from the topic looks at headers.
    #[must_use]
    pub fn wants_headers(&self, topic: &str) -> bool {
        let topic = self.topics.iter().find(|known| known.name == topic);
        topic.is_some_and(|topic| topic.roles.iter().any(Role::wants_headers))
    }

    /// Starts a partition at `next_offset`; `metadata` is what the last commit returned for it,
    /// empty at the first start. A topic nobody reads is ignored.
    pub fn assign(
        &mut self,
        topic: &str,
        partition: i32,
        partition_count: i32,
        next_offset: i64,
        metadata: &str,
    ) {
        if let Some(topic) = self.topics.iter_mut().find(|known| known.name == topic) {
            let state = Partition::new(partition_count, next_offset, metadata);
            topic.partitions.insert(partition, state);
        }
    }

    /// Forgets a partition, and everything since the last commit: to be called right after one.
    pub fn revoke(&mut self, topic: &str, partition: i32) {
        if let Some(topic) = self.topics.iter_mut().find(|known| known.name == topic) {
            topic.partitions.remove(&partition);
        }
        if self.has_news {
            self.drop_pending();
        }
    }

    /// Forgets everything since the last commit and all assignments: after an aborted
    /// transaction, before partitions are assigned again.
    pub fn rewind(&mut self) {
        self.topics.iter_mut().for_each(|topic| topic.partitions.clear());
        self.drop_pending();
    }

    /// Takes a record of an assigned partition; a record that is set aside goes to `out`. One of
    /// a partition that is not assigned, or below the offset reached, changes nothing.
    pub fn record(&mut self, record: &SourceRecord<'_>, out: &mut Outbox) -> Taken {
        let Some(topic) = self.topic(record.topic) else {
            return Taken::Done;
        };
        let topic = &mut self.topics[topic];
        let Some(partition) = topic.partitions.get(&record.partition) else {
            return Taken::Done;
        };
        if partition.is_behind(record.offset) {
            return Taken::Done;
        }
        let outcome = match record.payload {
            None => Outcome::Tombstone,
            Some(payload) => {
                let highest = partition.max_event_time;
                let engine = &mut self.engine;
                match topic.take((record, payload), engine, &mut self.schemas, highest) {
                    Answer::NeedSchema(id) => return Taken::NeedSchema(id),
                    Answer::Decided(Decided::Ahead) => return Taken::Ahead,
                    Answer::Decided(Decided::Settled(outcome)) => outcome,
                    Answer::Decided(Decided::SetAside(trouble)) => {
                        let bytes = self.plan.limits.record_bytes;
                        out.messages.push(quarantine::message(record, trouble, bytes));
                        Outcome::Quarantined
                    }
                }
            }
        };
        if let Some(partition) = topic.partitions.get_mut(&record.partition) {
            partition.settle(record.offset, record.timestamp_ms, outcome);
        }
        self.has_news = true;
        Taken::Done
    }

    /// Hands in what the registry says of a schema id.
    pub fn schema(&mut self, id: u32, answer: SchemaAnswer) {
        self.schemas.insert(id, answer);
    }

    /// Whether anything is known of a schema id.
    #[must_use]
    pub fn knows_schema(&self, id: u32) -> bool {
        self.schemas.knows(id)
    }

    /// Takes what assess says of a dataset; one of another definition is ignored.
    pub fn layout(&mut self, update: &LayoutUpdate) {
        let mut datasets = self.engine.datasets.iter_mut();
        let found = datasets.find(|dataset| dataset.plan.name == update.dataset);
        if let Some(dataset) = found.filter(|found| found.plan.definition == update.definition) {
            dataset.layout(update);
        }
    }

    /// Says that a partition has been read to its end, or is not; a record taken from it says the
    /// latter by itself.
    pub fn at_end(&mut self, topic: &str, partition: i32, at_end: bool) {
        let topic = self.topics.iter_mut().find(|known| known.name == topic);
        if let Some(state) = topic.and_then(|topic| topic.partitions.get_mut(&partition)) {
            self.has_news |= state.at_end != at_end;
            state.at_end = at_end;
        }
    }

    /// Roughly what the next commit holds, in bytes; costs next to nothing.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        let datasets = self.engine.datasets.iter();
        let datasets: usize = datasets.map(dataset::Dataset::pending_bytes).sum();
        let models: usize = self.engine.models.iter().map(Model::pending_bytes).sum();
        datasets + models + self.engine.facts.pending_bytes()
    }

    /// A schema version new to the process was met: commit at once.
    #[must_use]
    pub fn urgent(&self) -> bool {
        self.engine.datasets.iter().any(|dataset| !dataset.schemas.is_empty())
    }

    /// Whether a record was taken, or an end reached or left, since the last commit.
    #[must_use]
    pub fn has_news(&self) -> bool {
        self.has_news
    }

    /// Writes everything since the last commit and starts the next; gives the offsets to commit
    /// with it, in (topic, partition) order.
    ///
    /// Every partition of `summaries` and `facts` gets a message with the header, an empty one
    /// where there is nothing to say.
    pub fn commit(&mut self, out: &mut Outbox) -> Vec<SourceCommit> {
        let progress = self.progress();
        commit::write(&mut self.engine, &progress, out);
        self.has_news = false;
        let mut commits = Vec::with_capacity(progress.len());
        for line in progress {
            let topic = self.topics.iter_mut().find(|topic| topic.name == line.topic);
            let partition = topic.and_then(|topic| topic.partitions.get_mut(&line.partition));
            let metadata = partition.map_or_else(String::new, Partition::committed);
            commits.push(SourceCommit { progress: line, metadata });
        }
        commits
    }

    /// What the next commit says of each partition, in (topic, partition) order.
    #[must_use]
    pub fn progress(&self) -> Vec<Progress> {
        let mut progress = Vec::new();
        for topic in &self.topics {
            let partitions = topic.partitions.iter();
            progress.extend(partitions.map(|(number, state)| state.progress(&topic.name, *number)));
        }
        progress.sort_by(|a, b| (&a.topic, a.partition).cmp(&(&b.topic, b.partition)));
        progress
    }

    fn topic(&mut self, name: &str) -> Option<usize> {
        if self.topics.get(self.recent).is_none_or(|topic| topic.name != name) {
            self.recent = self.topics.iter().position(|topic| topic.name == name)?;
        }
        Some(self.recent)
    }

    fn drop_pending(&mut self) {
        self.engine.datasets.iter_mut().for_each(dataset::Dataset::drop_pending);
        self.engine.models.iter_mut().for_each(Model::clear);
        self.engine.facts.clear();
        self.topics.iter_mut().for_each(|topic| topic.plans.forget_announced());
        self.has_news = false;
    }
}
