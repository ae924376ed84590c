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
mod items;
mod json;
mod layouts;
mod model;
mod pace;
mod pack;
mod partition;
mod place;
mod quarantine;
mod record;
mod roles;
mod sampler;
mod schemas;
mod slot;
mod tags;
mod text;
mod timeliness;
mod topic;
mod values;

pub use answer::{RegisteredSchema, SchemaAnswer, SchemaKey, SchemaLanguage, SourceCommit, Taken};
pub use avro::{
    AvroPlan, CompileError, FoundField, FoundKind, SCHEMA_DEPTH_MAX, SCHEMA_TYPES_MAX,
    parse_schema, schema_fields,
};
pub(crate) use avro::{full_name, qualified};
pub use framing::{DecodeError, DecodeLimits, Framed, SCHEMA_HEADER, recycle};
pub use items::{ItemPaths, Items};
pub use json::JsonPlan;
pub use partition::metadata;
pub use quarantine::{OWN as QUARANTINE_HEADERS, REASONS};
pub use record::{KeptRecord, SOURCE_HEADERS_MAX, SourceRecord};
pub use slot::Slot;

use std::sync::Arc;

use self::engine::{Decided, Engine};
use self::facts::Facts;
use self::model::Model;
use self::pace::Pace;
use self::partition::{Outcome, Partition};
use self::quarantine::Quarantine;
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
    quarantine: Quarantine,
    topics: Vec<Topic>,
    /// Topic of the previous record.
    recent: usize,
    engine: Engine,
    schemas: Schemas,
    /// Where partitions are kept together.
    pace: Option<Pace>,
    has_news: bool,
    /// Rough size of the records set aside since the last commit.
    set_aside_bytes: usize,
}

/// Schemas kept for each plan that is: a topic of more kinds than it has plans for compiles them
/// again, which takes microseconds, and does not wait for the registry's client, which takes
/// milliseconds.
const SCHEMAS_PER_PLAN: usize = 4;
/// Rough size of what a record that is set aside carries beside its payload.
const SET_ASIDE_BYTES: usize = 512;

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
            limit: None,
            verdicts: Vec::new(),
            key: Vec::new(),
        };
        let plans = limits.versions_per_dataset.saturating_mul(topics.len());
        let capacity = plans.saturating_mul(SCHEMAS_PER_PLAN);
        let schemas = Schemas::new(capacity, plan.values.drop_tags.clone());
        let quarantine = Quarantine::new(&plan.values, limits.record_bytes);
        Observe {
            quarantine,
            topics,
            recent: 0,
            engine,
            schemas,
            pace: None,
            has_news: false,
            set_aside_bytes: 0,
        }
    }

    /// An instance that keeps its partitions together: [`Taken::Ahead`] is also for those far ahead
    /// of the others. For who can read partitions in an order of their choice.
    #[must_use]
    pub fn paced(plan: Arc<Plan>) -> Observe {
        let mut observe = Observe::new(Arc::clone(&plan));
        observe.pace = Some(Pace::new(&plan, &observe.topics));
        observe
    }

    /// Topics to read, each once: those of datasets, then of predictions, then of outcomes.
    #[must_use]
    pub fn topics(&self) -> Vec<String> {
        self.topics.iter().map(|topic| topic.name.clone()).collect()
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
        self.look_at_pace();
    }

    /// Forgets a partition, and everything since the last commit: to be called right after one.
    pub fn revoke(&mut self, topic: &str, partition: i32) {
        if let Some(topic) = self.topics.iter_mut().find(|known| known.name == topic) {
            topic.partitions.remove(&partition);
        }
        self.look_at_pace();
        if self.has_news {
            self.drop_pending();
        }
    }

    /// Forgets everything since the last commit and all assignments: after an aborted
    /// transaction, before partitions are assigned again.
    pub fn rewind(&mut self) {
        self.topics.iter_mut().for_each(|topic| topic.partitions.clear());
        if let Some(pace) = &mut self.pace {
            pace.forget();
        }
        self.drop_pending();
    }

    /// Takes a record of an assigned partition; a record that is set aside goes to `out`. One of
    /// a partition that is not assigned, or below the offset reached, changes nothing.
    pub fn record(&mut self, record: &SourceRecord<'_>, out: &mut Outbox) -> Taken {
        let Some(index) = self.topic(record.topic) else {
            return Taken::Done;
        };
        let topic = &mut self.topics[index];
        let Some(partition) = topic.partitions.get_mut(&record.partition) else {
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
                engine.limit = self.pace.as_ref().and_then(|pace| pace.limit(index, partition));
                match topic.take((record, payload), engine, &mut self.schemas, highest) {
                    Answer::NeedSchema(key) => return Taken::NeedSchema(key),
                    Answer::Decided(Decided::Ahead) => {
                        topic.wait(record.partition);
                        return Taken::Ahead;
                    }
                    Answer::Decided(Decided::Settled(outcome)) => outcome,
                    Answer::Decided(Decided::SetAside(trouble)) => {
                        let message = self.quarantine.message(record, trouble);
                        self.set_aside_bytes += SET_ASIDE_BYTES + message.payload.len();
                        out.messages.push(message);
                        Outcome::Quarantined
                    }
                }
            }
        };
        if let Some(partition) = topic.partitions.get_mut(&record.partition) {
            let (before, had_ended) = (partition.max_event_time, partition.at_end);
            partition.settle(record.offset, record.timestamp_ms, outcome);
            let moved = (before, partition.max_event_time);
            if let Some(pace) = &mut self.pace {
                pace.moved(&self.topics, index, moved);
                // It is held against the others again.
                if had_ended {
                    pace.look(&self.topics);
                }
            }
        }
        self.has_news = true;
        Taken::Done
    }

    /// Hands in what the registry says of a schema.
    pub fn schema(&mut self, key: impl Into<SchemaKey>, answer: SchemaAnswer) {
        self.schemas.insert(key.into(), answer);
    }

    /// Forgets which schemas could not be read, so that they are asked for again: to be called
    /// every minute or so, as one may have been registered meanwhile.
    pub fn forget_useless_schemas(&mut self) {
        self.schemas.forget_useless();
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
        self.look_at_pace();
    }

    fn look_at_pace(&mut self) {
        if let Some(pace) = &mut self.pace {
            pace.look(&self.topics);
        }
    }

    /// Roughly what the records set aside since the last commit hold, in bytes: they wait in the
    /// outbox. One number, to be looked at after each record.
    #[must_use]
    pub fn set_aside_bytes(&self) -> usize {
        self.set_aside_bytes
    }

    /// Roughly what the next commit holds, in bytes; costs next to nothing.
    #[must_use]
    pub fn pending_bytes(&self) -> usize {
        let datasets = self.engine.datasets.iter();
        let datasets: usize = datasets.map(dataset::Dataset::pending_bytes).sum();
        let models: usize = self.engine.models.iter().map(Model::pending_bytes).sum();
        datasets + models + self.engine.facts.pending_bytes() + self.set_aside_bytes
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
        self.set_aside_bytes = 0;
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
        self.set_aside_bytes = 0;
    }
}
