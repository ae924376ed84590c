//! `driftline demo`: the story of a unit change, told by the real runtime on a made-up stream.
//!
//! Starts what it needs inside the process, or uses a real cluster; tells what is published as an
//! outside reader sees it. Changes nothing about how Driftline works: the configuration is a file
//! anyone could write.
#![expect(clippy::disallowed_methods, reason = "tells the story by the wall's time")]

mod story;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Args;

use self::story::Story;
use super::exit::Exit;
use super::property::{PropertyArgs, RefusedProperty};
use super::{events, signals};
use crate::config::Config;
use crate::config::deployment::{Deployment, RegistryAccess};
use crate::config::plan::Plan;
use crate::demo::bank::BankPlan;
use crate::demo::feed::{self, Pulse};
use crate::demo::world::{World, WorldError};
use crate::demo::{CONFIGURATION, record::SchemaRef};
use crate::event::time::EventTime;
use crate::process::{self, ProcessError, Settings, StageName};
use crate::publish::Decoded;
use crate::runtime::{Pace, Report, ReportKind, Shutdown, TopicNames};

/// Nothing new for this long after the stream's end: the story is told.
const QUIET: Duration = Duration::from_secs(4);
/// Longest wait for that.
const QUIET_MAX: Duration = Duration::from_secs(60);

/// See it find the cause of a broken model: a bank's stream, made up, on a broker inside the
/// process.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct DemoArgs {
    /// Run on these brokers instead of an embedded one (host:port,...); makes topics of its own.
    #[arg(long, requires = "registry")]
    brokers: Option<String>,
    /// Schema registry to go with --brokers.
    #[arg(long, requires = "brokers")]
    registry: Option<String>,
    #[command(flatten)]
    properties: PropertyArgs,
    /// Orders in an hour of the stream. Below 20,000 the rise in false positives takes longer to
    /// prove.
    #[arg(long, default_value_t = 20_000)]
    rows: u32,
    /// Another seed, another day: the story is the same.
    #[arg(long)]
    seed: Option<u64>,
}

const EXAMPLES: &str = "\
Examples:
  driftline demo
  driftline demo --brokers localhost:29092 --registry http://localhost:28081/apis/ccompat/v7";

/// What the telling thread hears.
enum Heard {
    Event(Box<Decoded>),
    Report(Report),
    Fed(Result<(), String>),
    Ended(Result<(), ProcessError>),
}

pub(super) fn run(args: &DemoArgs) -> Exit {
    match tell(args) {
        Ok(true) => Exit::Done,
        Ok(false) => Exit::Failed,
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                DemoError::Property(_) => Exit::Configuration,
                _ => Exit::Failed,
            }
        }
    }
}

/// Why the demo could not be shown.
#[derive(Debug, thiserror::Error)]
enum DemoError {
    #[error(transparent)]
    Property(#[from] RefusedProperty),
    #[error(transparent)]
    World(#[from] WorldError),
    #[error("the demo's own configuration: {0}")]
    Configuration(String),
    #[error(transparent)]
    Process(#[from] ProcessError),
    #[error("cannot listen for signals: {0}")]
    Signals(std::io::Error),
    #[error("the stream cannot be written: {0}")]
    Feed(String),
}

fn tell(args: &DemoArgs) -> Result<bool, DemoError> {
    let world = world(args)?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_secs());
    let bank = bank(args, now_s);
    let prefix = if world.is_embedded() { String::new() } else { format!("demo-{now_s}.") };
    let app = format!("driftline-demo-{now_s}");
    let (plan, deployment) = configuration(&world, &app, &prefix)?;
    let own = TopicNames::new(&deployment.app, &deployment.topics).specs(&plan);
    let destination = world.prepare(&bank, &prefix, &own)?;
    let shutdown = Shutdown::new();
    signals::request_on_signal(&shutdown).map_err(DemoError::Signals)?;
    let pulse = Arc::new(Pulse::default());
    let (heard, hear) = channel();

    let v13 = destination.ids.get(&SchemaRef::OrderV13).copied().unwrap_or_default();
    let mut story = Story::new(bank, v13, world.is_embedded());
    story.begin(&prefix, &deployment);
    spawn_process(&plan, &deployment, &world, (&shutdown, &heard));
    spawn_reader(&deployment, &world, &heard);
    let (feeder, beat, stop) = (heard.clone(), Arc::clone(&pulse), shutdown.clone());
    spawn("feed", move || {
        let fed = feed::feed(bank, &destination, &beat, &stop).map_err(|error| error.to_string());
        let _ = feeder.send(Heard::Fed(fed));
    });
    let result = listen(&hear, &mut story, &pulse, &shutdown)?;
    if result && story.is_told() {
        story.end(&prefix);
        return Ok(true);
    }
    Ok(story.fall_short())
}

fn world(args: &DemoArgs) -> Result<World, DemoError> {
    let (Some(brokers), Some(registry)) = (&args.brokers, &args.registry) else {
        return Ok(World::embedded()?);
    };
    let kafka = args.properties.access(brokers)?;
    Ok(World::real(kafka, RegistryAccess::open(vec![registry.clone()])))
}

/// The stream ends now and begins as many windows before.
fn bank(args: &DemoArgs, now_s: u64) -> BankPlan {
    let mut bank = BankPlan::story(EventTime(0));
    bank.rows_per_window = args.rows.max(1_000);
    bank.seed = args.seed.unwrap_or(bank.seed);
    let now_ms = i64::try_from(now_s.saturating_mul(1_000)).unwrap_or(i64::MAX);
    let end = now_ms - now_ms.rem_euclid(bank.window_ms);
    bank.start = EventTime(end - bank.window_ms * i64::from(bank.windows));
    bank
}

fn configuration(
    world: &World,
    app: &str,
    prefix: &str,
) -> Result<(Arc<Plan>, Deployment), DemoError> {
    let url = world.registry.urls.first().map_or("", String::as_str);
    let text = CONFIGURATION
        .replace("{app}", app)
        .replace("{brokers}", &world.kafka.bootstrap_servers)
        .replace("{registry}", url)
        .replace("{prefix}", prefix);
    let planned = Config::parse(&text, "demo.yaml").and_then(|config| config.plan());
    let (plan, mut deployment) =
        planned.map_err(|error| DemoError::Configuration(error.to_string()))?;
    deployment.kafka = world.kafka.clone();
    Ok((Arc::new(plan), deployment))
}

fn spawn_process(
    plan: &Arc<Plan>,
    deployment: &Deployment,
    world: &World,
    ends: (&Shutdown, &Sender<Heard>),
) {
    let (shutdown, heard) = ends;
    let (reports, reported) = channel();
    let settings = Settings {
        stages: StageName::ALL.into_iter().collect(),
        commit: world.commit,
        pace: Some(Pace {
            observe: Duration::from_millis(200),
            stages: Duration::from_millis(100),
            checkpoint: Duration::from_secs(10),
            ..Pace::default()
        }),
        leave: false,
        listener: Some(reports),
    };
    let forward = heard.clone();
    spawn("demo-reports", move || {
        for report in reported {
            if forward.send(Heard::Report(report)).is_err() {
                break;
            }
        }
    });
    let (plan, deployment) = (Arc::clone(plan), deployment.clone());
    let (shutdown, heard) = (shutdown.clone(), heard.clone());
    spawn("demo-process", move || {
        let ended = process::run(&plan, &deployment, &settings, &shutdown);
        let _ = heard.send(Heard::Ended(ended));
    });
}

fn spawn_reader(deployment: &Deployment, world: &World, heard: &Sender<Heard>) {
    let names = &deployment.topics;
    let topics = [&names.drift_events, &names.retrain_requests, &names.action_requests];
    let topics: Vec<String> = topics.into_iter().cloned().collect();
    let (kafka, heard) = (world.kafka.clone(), heard.clone());
    let registry = world.registry.urls.first().cloned();
    spawn("demo-reader", move || {
        let take = |event| heard.send(Heard::Event(Box::new(event))).is_ok();
        if let Err(error) = events::follow(&kafka, registry.as_deref(), &topics, take) {
            tracing::error!(%error, "cannot read the events");
        }
    });
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) {
    let started = std::thread::Builder::new().name(name.to_owned()).spawn(body);
    if let Err(error) = started {
        tracing::error!(name, %error, "cannot start a thread");
    }
}

/// Tells what is heard until the story is over; `false` when it was stopped before.
fn listen(
    hear: &Receiver<Heard>,
    story: &mut Story,
    pulse: &Pulse,
    shutdown: &Shutdown,
) -> Result<bool, DemoError> {
    let mut fed: Option<Instant> = None;
    let mut news = Instant::now();
    let mut complete = false;
    loop {
        match hear.recv_timeout(Duration::from_millis(200)) {
            Ok(Heard::Event(event)) => {
                story.event(&event);
                news = Instant::now();
            }
            Ok(Heard::Report(report)) => {
                if let ReportKind::Committed { lines, .. } = &report.kind {
                    let read: u64 =
                        lines.iter().map(|line| (line.to - line.from).max(0).unsigned_abs()).sum();
                    pulse.read.fetch_add(read, Ordering::Relaxed);
                }
                story.report(&report);
            }
            Ok(Heard::Fed(Err(error))) => return Err(DemoError::Feed(error)),
            Ok(Heard::Fed(Ok(()))) => {
                fed = Some(Instant::now());
                news = Instant::now();
            }
            Ok(Heard::Ended(ended)) => {
                ended?;
                return Ok(complete);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(complete),
        }
        if let Some(at) = fed {
            let read = pulse.read.load(Ordering::Relaxed) >= pulse.produced.load(Ordering::Relaxed);
            if (read && news.elapsed() > QUIET) || at.elapsed() > QUIET_MAX {
                complete = true;
                fed = None;
                shutdown.request();
            }
        }
    }
}
