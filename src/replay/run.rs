//! The four stages in memory over records from files, as if they had come one by one, in time.
//!
//! *Now* is the newest record's timestamp. Records are merged by time, so at any moment every
//! partition has been read up to now: each is told as at its end from the start, which is what a
//! deployment that keeps up would have told. What a commit holds has no influence on verdicts;
//! it is made every [`RECORDS_MAX`] records, at each new window and twelve times within it, and
//! at each new schema.
//!
//! At the end of all files time goes on without records: first as long as an idle topic holds
//! its windows open, then past the end of the last window and its lateness, then one window
//! more. All windows close and the join's clock reaches the newest record. It goes no further:
//! an outcome that may still come, after the last record and within the horizon, is not taken as
//! absent.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::OwnedRecord;
use crate::config::plan::Plan;
use crate::event::progress::OutcomeCounts;
use crate::event::route::Outbox;
use crate::observe::{RegisteredSchema, SchemaAnswer, SchemaKey, SchemaLanguage, Taken};
use crate::topology::Topology;

/// Records of one commit at most: one fact each keeps its messages small.
const RECORDS_MAX: u64 = 5_000;
/// Records of a commit within a window at least: an empty one costs as much as 100 records.
const RECORDS_LEAST: u64 = 100;
/// Commits within the smallest window.
const SLICES: i64 = 12;
/// Each try of a record is followed by a commit or a schema; what is still refused then will
/// always be.
const TRIES: u32 = 5;

/// A record that no commit makes acceptable: a fault of the program, not of the data.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "record {offset} of file {partition} of `{topic}` stays ahead of what has been closed; \
     replay its files in smaller pieces"
)]
pub struct Stuck {
    topic: String,
    partition: i32,
    offset: i64,
}

/// A replay under way.
#[derive(Debug)]
pub struct ReplayRun {
    topology: Topology,
    plan: Arc<Plan>,
    window_ms: i64,
    newest_ms: i64,
    /// Window and slice of the last commit.
    committed: (i64, i64),
    /// Records since.
    pending: u64,
    outcomes: BTreeMap<String, OutcomeCounts>,
}

impl ReplayRun {
    /// A run that has read nothing; `files` says how many files each topic has. A topic that the
    /// plan reads and that has none counts as an empty one.
    #[must_use]
    pub fn new(plan: &Arc<Plan>, files: &BTreeMap<Arc<str>, i32>) -> ReplayRun {
        let mut topology = Topology::new(plan);
        let observe = topology.observe();
        for topic in observe.topics() {
            let count = files.get(topic.as_str()).copied().unwrap_or(1);
            for partition in 0..count {
                observe.assign(&topic, partition, count, 0, "");
                observe.at_end(&topic, partition, true);
            }
        }
        let datasets = plan.datasets.values().map(|dataset| dataset.window.ms());
        let sizes = datasets.chain(plan.models.values().map(|model| model.window.ms()));
        ReplayRun {
            topology,
            window_ms: sizes.min().unwrap_or(i64::MAX),
            plan: Arc::clone(plan),
            newest_ms: 0,
            committed: (0, 0),
            pending: 0,
            outcomes: BTreeMap::new(),
        }
    }

    /// Takes a record; what is said on the way goes to `out`.
    ///
    /// # Errors
    /// [`Stuck`], never with files merged by time.
    pub fn take(&mut self, record: &OwnedRecord, out: &mut Outbox) -> Result<(), Stuck> {
        self.newest_ms = self.newest_ms.max(record.timestamp_ms);
        if self.is_due() {
            self.commit(self.newest_ms, out);
        }
        for _ in 0..TRIES {
            match self.topology.observe().record(&record.as_source(), out) {
                Taken::Done => {
                    self.pending += 1;
                    // A record taken says that there may be more; merged by time there is none yet.
                    let observe = self.topology.observe();
                    observe.at_end(&record.topic, record.partition, true);
                    let is_full = observe.set_aside_bytes() >= self.plan.limits.pending_bytes;
                    if is_full || observe.urgent() {
                        self.commit(self.newest_ms, out);
                    }
                    return Ok(());
                }
                Taken::NeedSchema(key) => self.topology.observe().schema(key, answer(key, record)),
                Taken::Ahead => self.commit(self.newest_ms, out),
            }
        }
        Err(Stuck {
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
        })
    }

    /// Ends all files: lets time go on until every window has closed.
    pub fn finish(&mut self, out: &mut Outbox) {
        let datasets = self.plan.datasets.values();
        let models = self.plan.models.values();
        let windows = datasets.map(|dataset| (dataset.window, dataset.lateness_ms));
        let windows = windows.chain(models.map(|model| (model.window, model.lateness_ms)));
        let newest = crate::event::time::EventTime(self.newest_ms);
        let (mut lateness_ms, mut closed_ms, mut window_ms) = (0, self.newest_ms, 0);
        for (window, late_ms) in windows {
            lateness_ms = lateness_ms.max(late_ms);
            closed_ms = closed_ms.max(window.end_of(window.start_of(newest)).0 + late_ms);
            window_ms = window_ms.max(window.ms());
        }
        let quiet_ms = self.newest_ms + self.plan.hold_max_ms.max(lateness_ms) + 1;
        let all_closed_ms = quiet_ms.max(closed_ms);
        for now_ms in [self.newest_ms, quiet_ms, all_closed_ms, all_closed_ms + window_ms] {
            self.commit(now_ms, out);
        }
    }

    /// What became of the records committed, by topic.
    #[must_use]
    pub fn outcomes(&self) -> &BTreeMap<String, OutcomeCounts> {
        &self.outcomes
    }

    fn place(&self) -> (i64, i64) {
        let within_ms = (self.window_ms / SLICES).max(1);
        (self.newest_ms / self.window_ms, self.newest_ms / within_ms)
    }

    fn is_due(&self) -> bool {
        let (window, slice) = self.place();
        self.pending >= RECORDS_MAX
            || window != self.committed.0
            || (slice != self.committed.1 && self.pending >= RECORDS_LEAST)
    }

    fn commit(&mut self, now_ms: i64, out: &mut Outbox) {
        for line in self.topology.observe().progress() {
            self.outcomes.entry(line.topic).or_default().add(&line.counts);
        }
        self.topology.commit(now_ms, out);
        self.committed = self.place();
        self.pending = 0;
    }
}

/// The schema a record carries. There is no registry: another id is unknown.
fn answer(key: SchemaKey, record: &OwnedRecord) -> SchemaAnswer {
    match &record.schema {
        Some((id, text)) if SchemaKey::Id(*id) == key => SchemaAnswer::Known(RegisteredSchema {
            id: *id,
            language: SchemaLanguage::Avro,
            schema: text.to_string(),
            subject: None,
            number: None,
            tags: BTreeMap::new(),
        }),
        _ => SchemaAnswer::Unknown,
    }
}
