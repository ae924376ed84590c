//! Going back in time on purpose: a new epoch of the ledger.
//!
//! IMPURE. While nobody runs, one transaction moves the offsets of observe and join and tells every
//! partition of `summaries` where the ledger goes on and from which window on each subject is
//! counted anew. Assess forgets those windows when it comes to that message, so records read again
//! replace what had been counted of them and never add to it.
//!
//! # Why the sums are exact
//! A partition goes back to the last commit before which its highest event time lay before the
//! boundary: every record of a window after the boundary lies behind that commit. Records of older
//! windows that are read again on the way were counted before and are passed over. What a partition
//! had seen by then comes back with the offset, so each record is judged late or not as it was.
//! Windows that may still get records are never left before the boundary. A model with outcomes
//! goes back as far as its oldest window that still waits for some; its outcomes go back one
//! horizon further, and join starts with an empty memory. Which windows that makes is computed in
//! [`journey`] from what [`history`] read in the headers.
//!
//! # Going on without what is gone
//! Where retention was faster than an outage, reading cannot go on at the committed offset, and the
//! windows there cannot be counted anew either. Then the one way that keeps what is known is
//! forward: the new epoch begins at the nearest offset there is, no window is forgotten, and assess
//! tells those that may have held the lost records as incomplete. The same mends a ledger that
//! broke because a topic was made anew. It is never done unasked.

#![expect(clippy::disallowed_methods, reason = "waits by the clock for members to be gone")]

pub mod history;
pub mod journey;
mod target;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use thiserror::Error;

use self::history::{History, Place};
use self::journey::{Journey, TooFar};
use crate::config::deployment::Deployment;
use crate::config::plan::Plan;
use crate::event::epoch::Rewound;
use crate::event::progress::Header;
use crate::event::route::{FACTS_PARTITIONS, Route, SUMMARIES_PARTITIONS};
use crate::event::summary::SummaryBatch;
use crate::event::wire;
use crate::join::Join;
use crate::observe;
use crate::runtime::{Archive, Return, RunError, Shutdown, TopicNames};

pub use target::{Target, TargetError};

/// Whose members must be gone.
const STAGES: [&str; 4] = ["observe", "join", "assess", "decide"];
/// A static member that has stopped is known until its session runs out, after 6 s.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// Why nobody went back.
#[derive(Debug, Error)]
pub enum RewindError {
    /// Kafka does not answer, or a stop was asked for.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A process of the deployment is alive.
    #[error(
        "{members} members of group {group} are alive: stop every `driftline run` of this app, \
         then go back"
    )]
    Alive {
        /// Group.
        group: String,
        /// Its members.
        members: usize,
    },
    /// There is no ledger.
    #[error("{topic} holds no commit: there is nothing to go back from")]
    Nothing {
        /// Topic.
        topic: String,
    },
    /// What it would take is not there any more.
    #[error(transparent)]
    TooFar(#[from] TooFar),
    /// No source partition has lost what it was to read next.
    #[error(
        "no gap to accept: each source partition of {app} still holds the offset it goes on from, \
         and its ledger is whole"
    )]
    NoGap {
        /// Prefix.
        app: String,
    },
}

impl RewindError {
    /// Exit code after `sysexits.h`.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            RewindError::Run(error) => error.exit_code(),
            RewindError::Alive { .. } => 75,
            RewindError::Nothing { .. } | RewindError::TooFar(_) | RewindError::NoGap { .. } => 78,
        }
    }
}

/// Who goes back: reads the ledger, then writes one transaction.
#[derive(Debug)]
pub struct Rewind<'a> {
    plan: &'a Plan,
    archive: Archive,
    names: TopicNames,
    shutdown: Shutdown,
}

impl<'a> Rewind<'a> {
    /// Of a deployment.
    ///
    /// # Errors
    /// When the configuration makes no client.
    pub fn new(
        plan: &'a Plan,
        deployment: &Deployment,
        shutdown: &Shutdown,
    ) -> Result<Rewind<'a>, RewindError> {
        let archive = Archive::open(&deployment.kafka, &deployment.app, shutdown)?;
        let names = TopicNames::new(&deployment.app, &deployment.topics);
        Ok(Rewind { plan, archive, names, shutdown: shutdown.clone() })
    }

    /// Waits until no member of the app is alive.
    ///
    /// # Errors
    /// When one stays.
    pub fn alone(&self) -> Result<(), RewindError> {
        let started = Instant::now();
        for stage in STAGES {
            loop {
                let members = self.archive.members(stage)?;
                if members == 0 {
                    break;
                }
                if started.elapsed() > GONE_WITHIN || self.shutdown.requested() {
                    let group = format!("{}.{stage}", self.plan.app);
                    return Err(RewindError::Alive { group, members });
                }
                self.shutdown.sleep(Duration::from_millis(250));
            }
        }
        Ok(())
    }

    /// Where to go back to.
    ///
    /// # Errors
    /// When there is no ledger, or what it would take is not there any more.
    pub fn journey(&self, target: &Target) -> Result<Journey, RewindError> {
        let history = self.history()?;
        let range = self.ranges(&history)?;
        let low = range.into_iter().map(|(place, (low, _))| (place, low)).collect();
        let mut journey = journey::plan(&history, self.plan, target, &low)?;
        for partition in 0..FACTS_PARTITIONS {
            let (_, end) =
                self.archive.range(self.names.place(Route::Facts(partition)).0, partition)?;
            journey.rewound.facts.push((partition, end));
        }
        Ok(journey)
    }

    /// How to go on behind source records that are gone, or a break of the ledger.
    ///
    /// # Errors
    /// When there is no ledger, or all is well.
    pub fn over_gaps(&self) -> Result<Journey, RewindError> {
        let history = self.history()?;
        let range = self.ranges(&history)?;
        let app = self.plan.app.clone();
        journey::over_gaps(&history, &range).ok_or(RewindError::NoGap { app })
    }

    fn history(&self) -> Result<History, RewindError> {
        let topic = self.names.place(Route::Summaries(0)).0;
        let mut history = History::new(self.plan);
        if self.archive.partitions(topic)? > 0 {
            // Headers are the same in every partition.
            let (from, until) = self.archive.range(topic, 0)?;
            history.is_whole = from == 0;
            self.archive.read((topic, 0), (from, until), |found| {
                if let Ok(batch) = wire::decode::<SummaryBatch>(found.payload) {
                    history.take(&batch);
                }
            })?;
        }
        if history.is_empty() {
            return Err(RewindError::Nothing { topic: topic.to_owned() });
        }
        Ok(history)
    }

    /// What each source partition still has.
    fn ranges(&self, history: &History) -> Result<BTreeMap<Place, (i64, i64)>, RewindError> {
        let mut ranges = BTreeMap::new();
        for place in history.places() {
            ranges.insert(place.clone(), self.archive.range(&place.0, place.1)?);
        }
        Ok(ranges)
    }

    /// Goes there: offsets and ledger in one transaction.
    ///
    /// # Errors
    /// When it was not committed; then nothing has changed.
    pub fn go(&self, journey: &Journey) -> Result<(), RewindError> {
        self.alone()?;
        let Rewound { sources, facts, .. } = &journey.rewound;
        let mut observe = Vec::new();
        for source in sources {
            let metadata = observe::metadata(source.max_event_time, source.newest_append_ms);
            observe.push((source.topic.clone(), source.partition, source.from, metadata));
        }
        let of_facts = self.names.place(Route::Facts(0)).0;
        let join = facts.iter().map(|(partition, at)| {
            (of_facts.to_owned(), *partition, *at, Join::metadata_of_empty(*at))
        });
        let header = Some(Header::Rewound(journey.rewound.clone()));
        let payload = wire::encode(&SummaryBatch { header, ..SummaryBatch::default() });
        let messages = (0..SUMMARIES_PARTITIONS).map(|partition| {
            (self.names.place(Route::Summaries(partition)).0.to_owned(), partition, payload.clone())
        });
        let back = Return {
            messages: messages.collect(),
            offsets: vec![("observe", observe), ("join", join.collect())],
        };
        Ok(self.archive.go_back(&back)?)
    }
}
