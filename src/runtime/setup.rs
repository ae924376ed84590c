//! What every loop of a process is given.

use std::sync::mpsc::Sender;
use std::time::Duration;

use super::access::Rights;
use super::client::Identity;
use super::report::{Report, ReportKind};
use super::shutdown::Shutdown;
use super::topics::TopicNames;
use super::transaction::Commit;
use crate::config::deployment::{Deployment, KafkaAccess};
use crate::config::plan::Plan;
use crate::event::route::Route;

/// What every loop of a process is given.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Prefix of groups and transactional ids.
    pub app: String,
    /// Slot of the process.
    pub slot: u32,
    /// How to reach Kafka.
    pub access: KafkaAccess,
    /// What it must be allowed, for telling what is not.
    pub rights: Rights,
    /// Names of topics.
    pub names: TopicNames,
    /// How to commit.
    pub commit: Commit,
    /// How often.
    pub pace: Pace,
    /// Records prefetched by a consumer. *Units*: bytes of payload.
    pub prefetch_bytes: usize,
    /// Pending output that forces a commit. *Units*: bytes.
    pub pending_bytes: usize,
    /// Whether loops leave their groups for good when they stop, in place of being expected back.
    pub leave: bool,
    /// The wish to stop.
    pub shutdown: Shutdown,
    /// Where loops report to.
    pub reports: Sender<Report>,
}

/// How often things are done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pace {
    /// Longest time between two commits of observe.
    pub observe: Duration,
    /// Shortest time between two commits of the other stages.
    pub stages: Duration,
    /// Time between two checkpoints. More often costs writes, less often a longer restart.
    pub checkpoint: Duration,
    /// How long a partition may stand still although there is more to read, before its consumer
    /// is made anew.
    pub unfed: Duration,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace {
            observe: Duration::from_secs(1),
            stages: Duration::from_secs(1),
            checkpoint: Duration::from_secs(60),
            unfed: Duration::from_secs(60),
        }
    }
}

/// Input of a stage behind observe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// `facts`: join.
    Facts,
    /// `summaries`: assess.
    Summaries,
    /// `findings`: decide.
    Findings,
}

impl Setup {
    /// Everything from a plan and where it runs, with transactions.
    #[must_use]
    pub fn new(
        plan: &Plan,
        deployment: &Deployment,
        shutdown: Shutdown,
        reports: Sender<Report>,
    ) -> Setup {
        Setup {
            app: deployment.app.clone(),
            slot: deployment.slot,
            access: deployment.kafka.clone(),
            rights: Rights::new(plan, deployment),
            names: TopicNames::new(&deployment.app, &deployment.topics),
            commit: Commit::Transactional,
            pace: Pace { observe: deployment.commit_interval, ..Pace::default() },
            prefetch_bytes: plan.limits.prefetch_bytes,
            pending_bytes: plan.limits.pending_bytes,
            leave: false,
            shutdown,
            reports,
        }
    }

    pub(super) fn identity(&self, stage: &'static str) -> Identity {
        Identity { app: self.app.clone(), stage, slot: self.slot }
    }

    /// The topic of an input.
    #[must_use]
    pub fn topic(&self, input: Input) -> &str {
        let route = match input {
            Input::Facts => Route::Facts(0),
            Input::Summaries => Route::Summaries(0),
            Input::Findings => Route::Findings,
        };
        self.names.place(route).0
    }

    /// Tells whoever listens; nobody is fine.
    pub(super) fn report(&self, stage: &'static str, kind: ReportKind) {
        let _ = self.reports.send(Report { stage, kind });
    }
}
