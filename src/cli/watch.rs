//! `driftline watch`: looks at live topics and tells what it finds on the terminal.
#![expect(clippy::disallowed_methods, reason = "progress is shown by wall time")]

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;

use super::Exit;
use super::property::{PropertyArgs, RefusedProperty};
use super::report::{Learnt, Report};
use super::signals;
use super::wishes::WishArgs;
use crate::config::deployment::RegistryAccess;
use crate::config::plan::Plan;
use crate::config::{Config, ConfigError};
use crate::event::route::Outbox;
use crate::event::time::EventTime;
use crate::infer::{InferError, propose};
use crate::observe::Observe;
use crate::registry::{Options, Registry, RegistryError};
use crate::runtime::Shutdown;
use crate::watch::{TopicReader, Watch, WatchError, sample};

/// Between two lines about learning.
const PROGRESS_EVERY: Duration = Duration::from_secs(3);

/// Watch live topics with read rights alone, and print what is found
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  driftline watch --brokers localhost:9092 --topic orders
  driftline watch --brokers localhost:9092 --registry http://localhost:8081 --topic orders \\
      --predictions scores --outcomes labels --flag-above 0.8
  driftline watch --config drift.yaml

Reads from the oldest record on to learn what is usual; what that shows is about the past, so it
is told and nothing is requested. Writes no topic, joins no group, commits no offset: READ and
DESCRIBE on the topics are enough. What was learnt is gone when it ends: Ctrl-C ends it with a
summary. `driftline run` keeps it, and publishes. The last window of a topic is judged when a newer
record has ended it.

Without --config one is inferred from the oldest records and printed to copy.")]
pub(super) struct WatchArgs {
    /// Brokers, as host:port,host:port
    #[arg(long, env = "KAFKA_BROKERS", required_unless_present = "config")]
    brokers: Option<String>,
    /// Schema registry that records name their schemas in
    #[arg(long, value_name = "URL", env = "SCHEMA_REGISTRY_URL", hide_env_values = true)]
    registry: Option<String>,
    /// Topic to watch; can be repeated
    #[arg(
        long = "topic",
        value_name = "TOPIC",
        required_unless_present_any = ["config", "predictions"],
        conflicts_with = "config"
    )]
    topics: Vec<String>,
    /// Configuration: what to watch, brokers and registry
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print events as JSON, one CloudEvent a line, instead of words
    #[arg(long)]
    json: bool,
    /// Stop when all topics have been read to their end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    properties: PropertyArgs,
    #[command(flatten)]
    wishes: WishArgs,
}

/// Why a watch ends, or does not begin.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Property(#[from] RefusedProperty),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error(transparent)]
    Watch(#[from] WatchError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    #[error("cannot print: {0}")]
    Output(#[from] io::Error),
}

pub(super) fn run(args: &WatchArgs) -> Exit {
    let stop = Shutdown::new();
    let done = signals::request_on_signal(&stop).map_err(Failure::Signals);
    let done = done.and_then(|()| watch(args, &stop, &mut io::stdout().lock()));
    match done {
        Ok(()) => Exit::Done,
        // The reader of a pipe has seen enough.
        Err(Failure::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
        Err(Failure::Config(error)) => {
            eprintln!("{:?}", error.report());
            Exit::Configuration
        }
        Err(error) => {
            eprintln!("error: {error}");
            match error {
                Failure::Watch(error) if error.is_temporary() => Exit::Temporary,
                Failure::Property(_) | Failure::Watch(_) | Failure::Infer(_) => Exit::Configuration,
                _ => Exit::Failed,
            }
        }
    }
}

/// Watches until it is asked to stop.
fn watch(args: &WatchArgs, stop: &Shutdown, out: &mut impl Write) -> Result<(), Failure> {
    let (plan, readers, registry) = match &args.config {
        Some(path) => configured(args, path)?,
        None => inferred(args)?,
    };
    let mut watch = Watch::new(&plan, readers, registry.as_ref());
    let mut report = Report::new(&plan.app, !args.json);
    let mut progress = Progress::default();
    let mut outbox = Outbox::default();
    let is_over = |watch: &Watch| stop.requested() || (args.once && watch.has_caught_up());
    while !is_over(&watch) {
        watch.turn(&mut outbox)?;
        if !outbox.is_empty() {
            report.take(&mut outbox, out)?;
        }
        progress.show(&report, &plan);
    }
    watch.finish(&mut outbox);
    report.take(&mut outbox, out)?;
    eprint!("{}", report.summary(watch.outcomes()));
    Ok(())
}

type Start = (Arc<Plan>, Vec<TopicReader>, Option<Registry>);

fn configured(args: &WatchArgs, path: &std::path::Path) -> Result<Start, Failure> {
    let (plan, mut deployment) = Config::load(path)?.plan()?;
    if let Some(brokers) = &args.brokers {
        deployment.kafka.bootstrap_servers.clone_from(brokers);
    }
    let kafka = args.properties.added_to(deployment.kafka)?;
    let access = args.registry.as_ref().map(|url| access_to(url)).or(deployment.registry);
    let registry = access.map(|access| Registry::start(&access, Options::default())).transpose()?;
    let plan = Arc::new(plan);
    let topics = Observe::new(Arc::clone(&plan)).topics();
    let open = |topic: &String| TopicReader::open(&kafka, topic);
    let readers = topics.iter().map(open).collect::<Result<_, _>>()?;
    Ok((plan, readers, registry))
}

fn inferred(args: &WatchArgs) -> Result<Start, Failure> {
    let access = args.properties.access(args.brokers.as_deref().unwrap_or_default())?;
    let registry = args.registry.as_ref().map(|url| access_to(url));
    let registry =
        registry.map(|access| Registry::start(&access, Options::default())).transpose()?;
    let mut topics: Vec<&String> = Vec::new();
    for topic in args.topics.iter().chain(args.wishes.topics()) {
        if !topics.contains(&topic) {
            topics.push(topic);
        }
    }
    let open = |topic: &&String| TopicReader::open(&access, topic);
    let readers = topics.iter().map(open).collect::<Result<Vec<_>, _>>()?;
    eprintln!("looking at the oldest records of {} topics", readers.len());
    let samples = readers.iter().map(|reader| sample(reader, registry.as_ref()));
    let samples = samples.collect::<Result<Vec<_>, _>>()?;
    let text = propose(&samples, &args.wishes.wishes("watch", true))?;
    eprintln!("# Inferred; keep it in a file for --config to change it.\n{text}");
    let (plan, _) = Config::parse(&text, "inferred configuration")?.plan()?;
    Ok((Arc::new(plan), readers, registry))
}

fn access_to(url: &str) -> RegistryAccess {
    RegistryAccess::open(vec![url.to_owned()])
}

/// What has been said about learning.
#[derive(Debug, Default)]
struct Progress {
    said: BTreeMap<String, Learnt>,
    at: Option<Instant>,
}

impl Progress {
    /// Says how far learning has come, where that has changed, every few seconds.
    fn show(&mut self, report: &Report, plan: &Plan) {
        if self.at.is_some_and(|at| at.elapsed() < PROGRESS_EVERY) {
            return;
        }
        for (dataset, learnt, closed_ms) in report.learnt() {
            if self.said.get(dataset) == Some(&learnt) {
                continue;
            }
            self.said.insert(dataset.clone(), learnt);
            self.at = Some(Instant::now());
            eprintln!("{dataset}: {}{}", learnt.words(), verdict(dataset, learnt, closed_ms, plan));
        }
    }
}

/// When the first verdict is to be expected, once the topic is read as it is written.
fn verdict(dataset: &str, learnt: Learnt, closed_ms: Option<i64>, plan: &Plan) -> String {
    let missing = learnt.needed.saturating_sub(learnt.windows);
    let (Some(dataset), Some(closed_ms)) = (plan.datasets.get(dataset), closed_ms) else {
        return String::new();
    };
    if missing == 0 && learnt.layout {
        return "; every window is judged from now on".to_owned();
    }
    let windows = i64::from(missing) + 1 + 2 * i64::from(!learnt.layout);
    let at_ms = closed_ms + windows * dataset.window.ms() + dataset.lateness_ms;
    format!(", first verdict with the window to {}", EventTime(at_ms - dataset.lateness_ms))
}

#[cfg(test)]
mod tests;
