//! The ledger computed again from the topics, by someone who was not there when it was written.
//!
//! Reads what the stages committed and what they read, and holds one against the other: nothing
//! lost, nothing counted twice. IMPURE, but changes nothing. How topics are read is
//! [`crate::runtime::Archive`]; what follows from what was read is in [`ledger`], `sources` and
//! `twice`.

pub mod ledger;
mod report;
mod sources;
mod twice;

use std::collections::BTreeMap;

use thiserror::Error;

use self::ledger::{Facts, Place, Summaries};
use self::twice::{Alarms, Ids};
use crate::config::deployment::Deployment;
use crate::config::plan::Plan;
use crate::event::epoch::Rewound;
use crate::event::route::{FACTS_PARTITIONS, Route, SUMMARIES_PARTITIONS};
use crate::runtime::{Archive, RunError, Shutdown, TopicNames};

pub use report::{Report, SourceLine};

/// What is looked at beyond the ledger.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Count the source records themselves.
    pub records: bool,
}

/// Why there is no verdict.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// Kafka does not answer, or a stop was asked for.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A topic of the deployment is not there.
    #[error("topic {0} does not exist: has `driftline run` been started with this configuration?")]
    Missing(String),
}

impl VerifyError {
    /// Exit code after `sysexits.h`.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            VerifyError::Run(error) => error.exit_code(),
            VerifyError::Missing(_) => 78,
        }
    }
}

/// Where things are, and whom to tell how far it has come.
struct Verifier<'a> {
    archive: Archive,
    names: TopicNames,
    deployment: &'a Deployment,
    plan: &'a Plan,
    tell: &'a mut dyn FnMut(String),
    report: Report,
}

/// Offsets a group has committed, by place.
type Offsets = BTreeMap<Place, i64>;

/// Computes the ledger again.
///
/// # Errors
/// When Kafka does not answer or topics are not there; differences are in the report.
pub fn verify(
    plan: &Plan,
    deployment: &Deployment,
    options: Options,
    (shutdown, tell): (&Shutdown, &mut dyn FnMut(String)),
) -> Result<Report, VerifyError> {
    let verifier = Verifier {
        archive: Archive::open(&deployment.kafka, &deployment.app, shutdown)?,
        names: TopicNames::new(&deployment.app, &deployment.topics),
        deployment,
        plan,
        tell,
        report: Report::default(),
    };
    verifier.run(options)
}

impl Verifier<'_> {
    fn run(mut self, options: Options) -> Result<Report, VerifyError> {
        // Committed before and after: a deployment may go on working meanwhile.
        let before = self.committed()?;
        let summaries = self.summaries()?;
        let facts = self.facts(summaries.rewinds.clone())?;
        let after = self.committed()?;
        self.findings()?;
        self.public_events()?;
        for ledger in summaries.ledgers.iter().chain(&facts.ledgers) {
            self.report.differences.extend(ledger.said());
        }
        self.ends((&summaries, &facts), (&before, &after));
        self.sources(&summaries, &after, options)?;
        self.subjects(&summaries, &facts);
        Ok(self.report)
    }

    /// Reads one partition of a topic of ours from its oldest record to its end.
    fn read(
        &mut self,
        place: (&str, i32),
        each: impl FnMut(crate::runtime::Found<'_>),
    ) -> Result<(), VerifyError> {
        let (topic, partition) = place;
        let (from, until) = self.archive.range(topic, partition)?;
        (self.tell)(format!("reading {topic}/{partition}, offsets {from} to {until}"));
        if from > 0 {
            self.report.cut.insert(topic.to_owned());
            self.report.unchecked.push(format!(
                "{topic}/{partition} begins at offset {from}: what was before it has been deleted \
                 (retention.ms of the topic)"
            ));
        }
        Ok(self.archive.read(place, (from, until), each)?)
    }

    /// Makes sure a topic is there.
    fn expect(&self, topic: &str) -> Result<(), VerifyError> {
        match self.archive.partitions(topic)? {
            0 => Err(VerifyError::Missing(topic.to_owned())),
            _ => Ok(()),
        }
    }

    fn summaries(&mut self) -> Result<Summaries, VerifyError> {
        let topic = self.names.place(Route::Summaries(0)).0.to_owned();
        self.expect(&topic)?;
        let mut summaries = Summaries::default();
        for partition in 0..SUMMARIES_PARTITIONS {
            summaries.open(&topic, partition);
            self.read((&topic, partition), |found| summaries.take(found.offset, found.payload))?;
        }
        Ok(summaries)
    }

    fn facts(&mut self, rewinds: Vec<Rewound>) -> Result<Facts, VerifyError> {
        let topic = self.names.place(Route::Facts(0)).0.to_owned();
        self.expect(&topic)?;
        let mut facts = Facts::new(rewinds);
        for partition in 0..FACTS_PARTITIONS {
            facts.open(&topic, partition);
            self.read((&topic, partition), |found| facts.take(found.offset, found.payload))?;
        }
        Ok(facts)
    }

    fn findings(&mut self) -> Result<(), VerifyError> {
        let topic = self.names.place(Route::Findings).0.to_owned();
        self.expect(&topic)?;
        let mut alarms = Alarms::new(&topic);
        self.read((&topic, 0), |found| alarms.take(found.offset, found.payload))?;
        self.report.checked.push(alarms.checked());
        self.report.differences.extend(alarms.differences);
        Ok(())
    }

    fn public_events(&mut self) -> Result<(), VerifyError> {
        let topics = self.deployment.topics.clone();
        for topic in [topics.drift_events, topics.retrain_requests, topics.action_requests] {
            self.expect(&topic)?;
            let mut ids = Ids::new(&topic, &self.deployment.app);
            for partition in 0..self.archive.partitions(&topic)? {
                self.read((&topic, partition), |found| {
                    let source = found.header("ce_source");
                    ids.take((partition, found.offset), source, found.header("ce_id"));
                })?;
            }
            self.report.checked.push(ids.checked());
            self.report.differences.extend(ids.differences);
        }
        Ok(())
    }
}
