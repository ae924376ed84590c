//! The four stages in memory, fed from topics: what is read when, what waits, when to commit.
#![expect(clippy::disallowed_methods, reason = "now is the machine's clock in this room")]

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use super::WatchError;
use super::topic::{Heard, TopicReader};
use crate::config::plan::Plan;
use crate::event::progress::OutcomeCounts;
use crate::event::route::Outbox;
use crate::infer::{Sampler, TopicSample};
use crate::observe::{KeptRecord, SchemaAnswer, SchemaLanguage, Taken};
use crate::registry::{Registry, SchemaSource};
use crate::topology::Topology;

/// Records sampled of a topic: names and types show in far fewer, the rate in about as many.
const SAMPLE_RECORDS: u64 = 5_000;
/// How long a sample may take.
const SAMPLE_TIME: Duration = Duration::from_secs(10);
/// How long one schema is waited for while sampling.
const SCHEMA_PATIENCE: Duration = Duration::from_secs(10);
/// Between commits.
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Between commits that a waiting record asks for.
const COMMIT_SOONEST: Duration = Duration::from_millis(50);
/// Records of one commit at most.
const RECORDS_MAX: u64 = 20_000;
/// Records taken of one topic before the next has its turn, so that none runs far ahead.
const TURN: usize = 500;
/// Wait of a poll when no topic had anything.
const IDLE: Duration = Duration::from_millis(50);

/// Samples a topic from its oldest records and goes back to them.
///
/// # Errors
/// When the topic cannot be read.
pub fn sample(
    reader: &TopicReader,
    registry: Option<&Registry>,
) -> Result<TopicSample, WatchError> {
    let mut sampler = Sampler::new(reader.name());
    let started = Instant::now();
    let mut ended = 0;
    while sampler.records() < SAMPLE_RECORDS
        && ended < reader.partitions().len()
        && started.elapsed() < SAMPLE_TIME
    {
        match reader.poll(IDLE)? {
            Heard::Nothing => {}
            Heard::End(_) => ended += 1,
            Heard::Record(held) => held.lend(|record| {
                if let (Some(key), Some(registry)) = (sampler.take(record), registry) {
                    let answer = registry.fetch(key, SCHEMA_PATIENCE);
                    let (language, text) = match &answer {
                        Ok(SchemaAnswer::Known(known)) => (known.language, known.schema.as_str()),
                        Ok(_) | Err(_) => (SchemaLanguage::Avro, ""),
                    };
                    sampler.schema(key, language, text);
                    let _ = sampler.take(record);
                }
            }),
        }
    }
    reader.rewind()?;
    let rows = reader.rows();
    let share = if rows > 0 { sampler.records() as f64 / rows as f64 } else { 1.0 };
    Ok(sampler.finish(share))
}

/// A watch under way.
#[derive(Debug)]
pub struct Watch {
    topology: Topology,
    readers: Vec<TopicReader>,
    registry: Option<SchemaSource>,
    /// Records that wait, first of all their partition's, by reader and partition.
    waiting: BTreeMap<(usize, i32), VecDeque<KeptRecord>>,
    /// Whether each partition has been read to its end, by reader and partition.
    ended: BTreeMap<(usize, i32), bool>,
    pending: u64,
    committed: Instant,
    /// A record waits for a commit.
    is_ahead: bool,
    outcomes: BTreeMap<String, OutcomeCounts>,
}

impl Watch {
    /// Starts; `readers` are those of all topics of the plan.
    #[must_use]
    pub fn new(plan: &Arc<Plan>, readers: Vec<TopicReader>, registry: Option<&Registry>) -> Watch {
        let mut topology = Topology::new(plan);
        let mut ended = BTreeMap::new();
        for (index, reader) in readers.iter().enumerate() {
            let count = i32::try_from(reader.partitions().len()).unwrap_or(i32::MAX);
            for partition in reader.partitions() {
                topology.observe().assign(reader.name(), *partition, count, 0, "");
                ended.insert((index, *partition), false);
            }
        }
        Watch {
            topology,
            readers,
            registry: registry.map(Registry::source),
            waiting: BTreeMap::new(),
            ended,
            pending: 0,
            committed: Instant::now(),
            is_ahead: false,
            outcomes: BTreeMap::new(),
        }
    }

    /// Reads some of each topic and commits when it is time. Waits a little where there is
    /// nothing to read.
    ///
    /// # Errors
    /// When a topic cannot be read any more.
    pub fn turn(&mut self, out: &mut Outbox) -> Result<(), WatchError> {
        let mut is_idle = true;
        for index in 0..self.readers.len() {
            for _ in 0..TURN {
                match self.readers[index].poll(Duration::ZERO)? {
                    Heard::Nothing => break,
                    heard => {
                        is_idle = false;
                        self.hear(index, heard, out)?;
                    }
                }
            }
        }
        self.answer_schemas(out)?;
        if self.is_due() {
            self.commit(out)?;
        }
        if is_idle && let Some(reader) = self.readers.first() {
            let heard = reader.poll(IDLE)?;
            self.hear(0, heard, out)?;
        }
        Ok(())
    }

    /// Whether every partition has been read to its end.
    #[must_use]
    pub fn has_caught_up(&self) -> bool {
        self.waiting.is_empty() && self.ended.values().all(|ended| *ended)
    }

    /// What became of the records committed, by topic.
    #[must_use]
    pub fn outcomes(&self) -> &BTreeMap<String, OutcomeCounts> {
        &self.outcomes
    }

    /// Commits what is left, and what that leads to; for the end.
    pub fn finish(&mut self, out: &mut Outbox) {
        self.carry(out);
        self.carry(out);
    }

    fn hear(&mut self, index: usize, heard: Heard, out: &mut Outbox) -> Result<(), WatchError> {
        match heard {
            Heard::Nothing => Ok(()),
            Heard::End(partition) => {
                // With records still waiting it is not this stage's end.
                let place = (index, partition);
                if !self.waiting.contains_key(&place) {
                    self.ended.insert(place, true);
                }
                Ok(())
            }
            Heard::Record(held) => {
                let place = (index, held.partition);
                self.ended.insert(place, false);
                if let Some(waiting) = self.waiting.get_mut(&place) {
                    waiting.push_back(held);
                    return Ok(());
                }
                if !self.take(index, &held, out) {
                    self.readers[index].hold(held.partition, true)?;
                    self.waiting.insert(place, VecDeque::from([held]));
                }
                Ok(())
            }
        }
    }

    /// Tells which partitions have been read to their end.
    fn tell_ends(&mut self) {
        for ((index, partition), ended) in &self.ended {
            let topic = self.readers[*index].name();
            self.topology.observe().at_end(topic, *partition, *ended);
        }
    }

    /// Hands a record to observe; `false` when it has to wait.
    fn take(&mut self, index: usize, held: &KeptRecord, out: &mut Outbox) -> bool {
        let topic = self.readers[index].name();
        let observe = self.topology.observe();
        match held.lend(|record| observe.record(record, out)) {
            Taken::Done => {
                self.pending += 1;
                return true;
            }
            Taken::Ahead => self.is_ahead = true,
            Taken::NeedSchema(key) => match &mut self.registry {
                Some(registry) => registry.request(key, Duration::ZERO),
                None => {
                    tracing::warn!(topic, schema = %key, "records name a schema: give --registry");
                    let why = "no registry was given".to_owned();
                    observe.schema(key, SchemaAnswer::Unreadable(why));
                    return self.take(index, held, out);
                }
            },
        }
        false
    }

    fn answer_schemas(&mut self, out: &mut Outbox) -> Result<(), WatchError> {
        let answers = self.registry.as_mut().map(SchemaSource::poll).unwrap_or_default();
        if answers.is_empty() {
            return Ok(());
        }
        for (key, answer) in answers {
            self.topology.observe().schema(key, answer);
        }
        self.retry(out)
    }

    /// Hands in what waits; partitions with nothing left to wait are read on.
    fn retry(&mut self, out: &mut Outbox) -> Result<(), WatchError> {
        for (place, mut records) in std::mem::take(&mut self.waiting) {
            while let Some(held) = records.front() {
                if !self.take(place.0, held, out) {
                    break;
                }
                records.pop_front();
            }
            match records.is_empty() {
                true => self.readers[place.0].hold(place.1, false)?,
                false => {
                    self.waiting.insert(place, records);
                }
            }
        }
        Ok(())
    }

    fn is_due(&mut self) -> bool {
        let since = self.committed.elapsed();
        let is_wanted = self.is_ahead || self.topology.observe().urgent();
        since >= COMMIT_EVERY
            || self.pending >= RECORDS_MAX
            || (is_wanted && since >= COMMIT_SOONEST)
    }

    fn commit(&mut self, out: &mut Outbox) -> Result<(), WatchError> {
        self.carry(out);
        if std::mem::take(&mut self.is_ahead) {
            self.retry(out)?;
        }
        Ok(())
    }

    fn carry(&mut self, out: &mut Outbox) {
        self.tell_ends();
        for line in self.topology.observe().progress() {
            self.outcomes.entry(line.topic).or_default().add(&line.counts);
        }
        self.topology.commit(now_ms(), out);
        self.pending = 0;
        self.committed = Instant::now();
    }
}

/// Wall-clock time. *Units*: milliseconds since the epoch.
#[must_use]
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
