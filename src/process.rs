//! A whole process: loops, registry, metrics and health, put together and taken apart in order.
//!
//! IMPURE. `run` and `demo` are this with different settings. Decides nothing about data.

mod rotation;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use thiserror::Error;

use crate::assess::Assess;
use crate::config::deployment::Deployment;
use crate::config::plan::Plan;
use crate::decide::Decide;
use crate::event::progress::Progress;
use crate::event::route::Note;
use crate::event::time::EventTime;
use crate::join::Join;
use crate::observe::Observe;
use crate::publish::Encoder;
use crate::registry::{Options, Registry, RegistryError};
use crate::runtime::{
    Commit, EventEncoder, Input, Pace, Report, ReportKind, RunError, Setup, Shutdown, Supervisor,
    TopicNames, check_neighbours, check_rights, ensure_topics,
};
use crate::serve::{Health, Metrics, ServeError, Server};
use rotation::Rotation;

/// How long the registry may take to register the schemas of our own events at the start.
const REGISTER_WITHIN: Duration = Duration::from_secs(60);

/// A stage that a process can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum StageName {
    /// Reads the sources.
    Observe,
    /// Puts predictions and outcomes together.
    Join,
    /// Tests subjects.
    Assess,
    /// Names causes and asks for actions.
    Decide,
}

impl StageName {
    /// All four.
    pub const ALL: [StageName; 4] =
        [StageName::Observe, StageName::Join, StageName::Assess, StageName::Decide];

    fn as_str(self) -> &'static str {
        match self {
            StageName::Observe => "observe",
            StageName::Join => "join",
            StageName::Assess => "assess",
            StageName::Decide => "decide",
        }
    }
}

/// How a process runs, beyond its plan and deployment.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Stages it runs.
    pub stages: BTreeSet<StageName>,
    /// How it commits.
    pub commit: Commit,
    /// How often; the deployment's interval when absent.
    pub pace: Option<Pace>,
    /// Whether it leaves its groups for good when it stops.
    pub leave: bool,
    /// Someone who wants to hear what the loops report.
    pub listener: Option<Sender<Report>>,
}

/// Why a process ended.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// A loop could not go on.
    #[error(transparent)]
    Run(Box<RunError>),
    /// The registry refused our schemas or was away too long.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The HTTP address cannot be served.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

impl From<RunError> for ProcessError {
    fn from(error: RunError) -> ProcessError {
        ProcessError::Run(Box::new(error))
    }
}

impl ProcessError {
    /// Exit code after `sysexits.h`.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            ProcessError::Run(error) => error.exit_code(),
            ProcessError::Registry(RegistryError::Unreachable { .. }) => 75,
            ProcessError::Registry(_) | ProcessError::Serve(_) => 78,
        }
    }
}

/// Runs until `shutdown` is requested or a stage cannot go on.
///
/// # Errors
/// The first failure; everything that was committed is safe.
pub fn run(
    plan: &Arc<Plan>,
    deployment: &Deployment,
    settings: &Settings,
    shutdown: &Shutdown,
) -> Result<(), ProcessError> {
    let metrics = Metrics::new();
    let health = Health::default();
    for stage in &settings.stages {
        health.expect(stage.as_str());
    }
    let server = match deployment.http {
        Some(address) => Some(Server::start(address, metrics.clone(), health.clone())?),
        None => None,
    };
    let (reports, received) = channel();
    let mut setup = Setup::new(plan, deployment, shutdown.clone(), reports);
    setup.commit = settings.commit;
    setup.leave = settings.leave;
    if let Some(pace) = settings.pace {
        setup.pace = pace;
    }
    if settings.commit == Commit::Transactional {
        check_rights(&deployment.kafka, &setup.rights).map_err(RunError::from)?;
        let sources = Observe::new(Arc::clone(plan)).topics();
        check_neighbours(&deployment.kafka, &deployment.app, &sources)?;
        let specs = TopicNames::new(&deployment.app, &deployment.topics).specs(plan);
        let made = ensure_topics(&deployment.kafka, &specs, &sources).map_err(RunError::from)?;
        if !made.is_empty() {
            tracing::info!(topics = made.join(", "), "made topics");
        }
    }
    let registry = match &deployment.registry {
        Some(access) => Some(Registry::start(access, Options::default())?),
        None => None,
    };
    let encoder = encoder(deployment, registry.as_ref())?;
    if let Some(registry) = &registry {
        metrics.watch_registry(registry.clone());
    }
    let told = metrics.clone();
    let watermarks = Watermarks::new(plan);
    let bridge = bridge(
        received,
        (metrics, health, watermarks, Learning::new(plan)),
        settings.listener.clone(),
    );
    let mut rotation = Rotation::new(deployment, told);
    let tools = (registry.as_ref(), &encoder);
    let mut result = run_loops(&mut setup, plan, settings, tools, (&mut rotation, shutdown));
    while let Ok(End::NewCredentials) = result {
        result = run_loops(&mut setup, plan, settings, tools, (&mut rotation, shutdown));
    }
    // With its sender of reports.
    drop(setup);
    if let Some(server) = server {
        server.stop();
    }
    if let Some(bridge) = bridge {
        // Its senders are gone with the loops, so it has ended or is about to.
        let _ = bridge.join();
    }
    result.map(|_| ()).map_err(ProcessError::from)
}

/// Why the loops ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// They were asked to.
    Stopped,
    /// Their clients' credentials were replaced: they start again.
    NewCredentials,
}

/// Runs all loops with the credentials of now, until they are asked to stop or must have others.
fn run_loops(
    setup: &mut Setup,
    plan: &Arc<Plan>,
    settings: &Settings,
    tools: (Option<&Registry>, &Arc<Encoder>),
    (rotation, shutdown): (&mut Rotation, &Shutdown),
) -> Result<End, RunError> {
    // Of these loops alone.
    setup.shutdown = Shutdown::new();
    setup.access = rotation.kafka().clone();
    let mut supervisor = Supervisor::new(setup.clone())?;
    start(&mut supervisor, plan, settings, tools);
    let mut end = End::Stopped;
    supervisor.wait_or(|| {
        if shutdown.requested() {
            return true;
        }
        let is_new = rotation.look(tools.0);
        if is_new {
            end = End::NewCredentials;
        }
        is_new
    })?;
    Ok(end)
}

fn encoder(
    deployment: &Deployment,
    registry: Option<&Registry>,
) -> Result<Arc<Encoder>, ProcessError> {
    let schemas = match registry {
        Some(registry) => {
            Some(registry.register_event_schemas(&deployment.topics, REGISTER_WITHIN)?)
        }
        None => None,
    };
    Ok(Arc::new(Encoder::new(&deployment.app, deployment.topics.clone(), schemas)))
}

fn start(
    supervisor: &mut Supervisor,
    plan: &Arc<Plan>,
    settings: &Settings,
    tools: (Option<&Registry>, &Arc<Encoder>),
) {
    let (registry, encoder) = tools;
    let encode = || -> EventEncoder {
        let encoder = Arc::clone(encoder);
        Box::new(move |event| encoder.encode(event))
    };
    for stage in &settings.stages {
        let plan = Arc::clone(plan);
        match stage {
            StageName::Observe => supervisor.observe(plan, registry.map(Registry::source)),
            StageName::Join => {
                supervisor.stage(Input::Facts, encode(), move |p| Join::new(Arc::clone(&plan), p))
            }
            StageName::Assess => supervisor
                .stage(Input::Summaries, encode(), move |p| Assess::new(Arc::clone(&plan), p)),
            StageName::Decide => {
                supervisor
                    .stage(Input::Findings, encode(), move |_| Decide::new(Arc::clone(&plan)));
            }
        }
    }
}

/// Turns what loops report into metrics, health and log lines, until the last loop is gone.
fn bridge(
    reports: Receiver<Report>,
    handles: (Metrics, Health, Watermarks, Learning),
    listener: Option<Sender<Report>>,
) -> Option<std::thread::JoinHandle<()>> {
    let body = move || {
        let (metrics, health, mut watermarks, mut progress) = handles;
        for report in reports {
            take(&report, &metrics, &health);
            if let ReportKind::Committed { notes, lines, .. } = &report.kind {
                lines.iter().for_each(|line| watermarks.tell(line, &metrics));
                notes.iter().for_each(|note| progress.tell(note));
            }
            if let Some(listener) = &listener {
                // Nobody listening any more is fine.
                let _ = listener.send(report);
            }
        }
    };
    std::thread::Builder::new().name("reports".into()).spawn(body).ok()
}

fn take(report: &Report, metrics: &Metrics, health: &Health) {
    let stage = report.stage;
    health.turns(stage);
    match &report.kind {
        ReportKind::Assigned { partitions, took } => {
            metrics.partitions_held(stage, *partitions);
            health.ready(stage);
            tracing::info!(stage, partitions, ?took, "partitions assigned and restored");
        }
        ReportKind::Revoked => {
            metrics.partitions_held(stage, 0);
            health.not_ready(stage, "waiting for the group to assign partitions");
        }
        ReportKind::Committed {
            took, read, written, lag, notes, lines, set_aside, events, ..
        } => {
            metrics.committed(stage, *took);
            metrics.messages(stage, *read, *written);
            metrics.stage_lag(stage, *lag);
            notes.iter().for_each(|note| metrics.note(note));
            lines.iter().for_each(|line| metrics.progress(line));
            set_aside.iter().for_each(|message| metrics.written(message));
            events.iter().for_each(|event| metrics.published(event));
        }
        ReportKind::Rewound { cause } => {
            metrics.rewound(stage, cause);
            tracing::warn!(stage, cause, "undone, restoring from what is committed");
        }
        ReportKind::Waiting { schema, layout } => metrics.partitions_waiting(*schema, *layout),
        ReportKind::Turning => {}
    }
}

/// Says how far learning has come, when it has moved.
#[derive(Debug, Default)]
struct Learning {
    told: BTreeSet<(String, bool, u32)>,
    /// Length of each dataset's windows, milliseconds.
    windows: BTreeMap<String, i64>,
    /// End of the newest window closed, by subject.
    ends: BTreeMap<String, i64>,
}

impl Learning {
    fn new(plan: &Plan) -> Learning {
        let windows = plan.datasets.values().map(|d| (d.name.clone(), d.window.ms()));
        Learning { windows: windows.collect(), ..Learning::default() }
    }

    fn tell(&mut self, note: &Note) {
        match note {
            Note::WindowClosed { subject, end_ms, .. } => {
                self.ends.insert(subject.clone(), *end_ms);
            }
            Note::Learning { dataset, layout, baseline_windows, baseline_windows_needed } => {
                let have = (*baseline_windows).min(*baseline_windows_needed);
                if self.told.insert((dataset.clone(), *layout, have)) {
                    self.say(dataset, *layout, (have, *baseline_windows_needed));
                }
            }
            Note::Undecodable { .. } | Note::Count { .. } => {}
        }
    }

    fn say(&self, dataset: &str, layout: bool, baseline: (u32, u32)) {
        let (have, needed) = baseline;
        let end = self.ends.get(&format!("dataset/{dataset}"));
        let window = self.windows.get(dataset).copied().unwrap_or_default();
        // The window after the baseline is the first to be judged, when it ends.
        let left = i64::from(needed - have) + 1;
        let verdict = end.map(|end| EventTime(*end).plus_ms(left.saturating_mul(window)));
        tracing::info!(
            dataset,
            layout = format!("{}/1", u32::from(layout)),
            baseline = format!("{have}/{needed}"),
            first_verdict_about = verdict.map(|time| time.to_string()),
            "learning"
        );
    }
}

/// The event time each dataset has reached in all partitions that this process reads.
#[derive(Debug)]
struct Watermarks {
    /// Dataset by topic.
    datasets: BTreeMap<String, String>,
    reached: BTreeMap<String, BTreeMap<i32, EventTime>>,
}

impl Watermarks {
    fn new(plan: &Plan) -> Watermarks {
        let datasets = plan.datasets.values();
        Watermarks {
            datasets: datasets.map(|d| (d.topic.clone(), d.name.clone())).collect(),
            reached: BTreeMap::new(),
        }
    }

    fn tell(&mut self, line: &Progress, metrics: &Metrics) {
        let (Some(dataset), Some(time)) = (self.datasets.get(&line.topic), line.max_event_time)
        else {
            return;
        };
        let reached = self.reached.entry(line.topic.clone()).or_default();
        reached.insert(line.partition, time);
        if let Some(watermark) = reached.values().min() {
            metrics.source_watermark(dataset, *watermark);
        }
    }
}
