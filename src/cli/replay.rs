//! `driftline replay`: the four stages over files, with the data's own time as now.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Exit;
use super::report::Report;
use super::signals;
use super::wishes::WishArgs;
use crate::config::plan::Plan;
use crate::config::{Config, ConfigError};
use crate::event::route::Outbox;
use crate::infer::{InferError, TopicSample, propose};
use crate::observe::Observe;
use crate::replay::{
    FileSpec, Format, Replay, ReplayError, ReplayRun, Stuck, TimeError, sample, set_times,
};
use crate::runtime::Shutdown;

/// Records between two looks at the progress bar.
const BAR_EVERY: u64 = 1_000;
/// Broken places shown; more are counted.
const BROKEN_SHOWN: u64 = 5;

/// Replay files through the whole of Driftline: what would have been said, and when
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  driftline replay orders.jsonl.gz
  driftline replay --config drift.yaml orders=2024-*.avro scores.avro labels.avro
  driftline replay orders.csv scores.csv labels.csv --predictions scores --outcomes labels
  zcat orders.jsonl.gz | driftline replay orders=- --human

Each file is a partition of its topic: Avro containers, JSON lines or CSV, plain, gzip or zstd.
Records of all files are merged by event time, and now is the data's own time. So history acts:
holds, fixes and retrains are requested as they would have been then. After the last record time
goes on until all windows have closed; outcomes that may still come are not taken as absent.

Without --config one is inferred from the first records and printed to copy.

Events go to standard output, one CloudEvent in JSON a line; all else goes to standard error.
The same files give the same bytes. Headers do not exist in files: name fields.")]
pub(super) struct ReplayArgs {
    /// Files, each as TOPIC=FILE, or FILE where its name is the topic's; `-` is standard input
    #[arg(required = true, value_name = "[TOPIC=]FILE")]
    files: Vec<FileSpec>,
    /// Configuration; only what to watch is read from it
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// What the files hold, where their content does not tell
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Print events in words instead of JSON
    #[arg(long)]
    human: bool,
    /// Show no progress
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    wishes: WishArgs,
}

/// Why a replay ends early.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Infer(#[from] InferError),
    #[error(transparent)]
    Time(#[from] TimeError),
    #[error(
        "`{file}` stands for topic `{topic}`, which the configuration does not read; it reads \
         {known}: write TOPIC={file}"
    )]
    Topic { file: String, topic: String, known: String },
    #[error(transparent)]
    Read(#[from] ReplayError),
    #[error(transparent)]
    Stuck(#[from] Stuck),
    #[error("{0} places in the files cannot be read; all else was replayed")]
    Broken(u64),
    #[error("cannot listen for signals: {0}")]
    Signals(io::Error),
    #[error("cannot print: {0}")]
    Output(io::Error),
    #[error("cannot keep standard input to look at it twice: {0}; give --config")]
    Spool(io::Error),
}

pub(super) fn run(args: &ReplayArgs) -> Exit {
    match replay(args) {
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
                Failure::Infer(_) | Failure::Time(_) | Failure::Topic { .. } => Exit::Configuration,
                _ => Exit::Failed,
            }
        }
    }
}

fn replay(args: &ReplayArgs) -> Result<(), Failure> {
    let mut specs = args.files.clone();
    specs.iter_mut().for_each(|spec| spec.format = args.format);
    // Kept to its end: dropping it removes the file.
    let _spooled = match args.config {
        None => spool(&mut specs)?,
        Some(_) => None,
    };
    let (plan, samples) = match &args.config {
        Some(path) => {
            let (plan, _) = Config::load(path)?.plan()?;
            // Standard input is not looked at twice; its time is in the configuration.
            let files = specs.iter().filter(|spec| spec.path.as_os_str() != "-").cloned();
            (plan, sample(&files.collect::<Vec<_>>())?)
        }
        None => inferred(args, &specs)?,
    };
    let plan = Arc::new(plan);
    check_topics(&specs, &plan)?;
    set_times(&mut specs, &plan, &samples)?;
    let replay = Replay::open(&specs)?;
    play(args, &plan, replay)
}

/// Copies standard input to a file, if it is among the specs.
fn spool(specs: &mut [FileSpec]) -> Result<Option<tempfile::NamedTempFile>, Failure> {
    let Some(spec) = specs.iter_mut().find(|spec| spec.path.as_os_str() == "-") else {
        return Ok(None);
    };
    let mut file = tempfile::NamedTempFile::new().map_err(Failure::Spool)?;
    io::copy(&mut io::stdin().lock(), &mut file).map_err(Failure::Spool)?;
    spec.path = file.path().to_owned();
    Ok(Some(file))
}

/// Infers a configuration and shows it.
fn inferred(args: &ReplayArgs, specs: &[FileSpec]) -> Result<(Plan, Vec<TopicSample>), Failure> {
    let samples = sample(specs)?;
    let text = propose(&samples, &args.wishes.wishes("replay", false))?;
    eprintln!("# Inferred; keep it in a file for --config to change it.\n{text}");
    let (plan, _) = Config::parse(&text, "inferred configuration")?.plan()?;
    Ok((plan, samples))
}

fn check_topics(specs: &[FileSpec], plan: &Arc<Plan>) -> Result<(), Failure> {
    let known = Observe::new(Arc::clone(plan)).topics();
    for spec in specs {
        if !known.contains(&spec.topic) {
            let file = spec.path.display().to_string();
            let known = known.join(", ");
            return Err(Failure::Topic { file, topic: spec.topic.clone(), known });
        }
    }
    let given: BTreeSet<&String> = specs.iter().map(|spec| &spec.topic).collect();
    for topic in known.iter().filter(|topic| !given.contains(topic)) {
        tracing::warn!(topic, "no file is given for it: taken as empty");
    }
    Ok(())
}

fn play(args: &ReplayArgs, plan: &Arc<Plan>, mut replay: Replay) -> Result<(), Failure> {
    let stop = Shutdown::new();
    signals::request_on_signal(&stop).map_err(Failure::Signals)?;
    let bar = bar(&replay, args.quiet);
    let mut run = ReplayRun::new(plan, &replay.topics());
    let mut report = Report::new(&plan.app, args.human);
    let mut out = io::stdout().lock();
    let mut outbox = Outbox::default();
    let (mut broken, mut records) = (0, 0);
    while let Some(record) = replay.next().filter(|_| !stop.requested()) {
        match record {
            Ok(record) => run.take(&record, &mut outbox)?,
            Err(error) => {
                broken += 1;
                if broken <= BROKEN_SHOWN {
                    bar.suspend(|| eprintln!("error: {error}"));
                }
            }
        }
        records += 1;
        if records % BAR_EVERY == 0 {
            bar.set_position(replay.progress().read);
        }
        if !outbox.is_empty() {
            say(&mut report, &mut outbox, (&bar, &mut out))?;
        }
    }
    let interrupted = stop.requested();
    if !interrupted {
        run.finish(&mut outbox);
        say(&mut report, &mut outbox, (&bar, &mut out))?;
    }
    bar.finish_and_clear();
    let ended = if interrupted { "stopped by a signal" } else { "end of all files" };
    eprint!("{ended}\n{}", report.summary(run.outcomes()));
    if broken > 0 { Err(Failure::Broken(broken)) } else { Ok(()) }
}

/// Hands what was said to the report; the bar makes room when something is printed.
fn say(
    report: &mut Report,
    outbox: &mut Outbox,
    (bar, out): (&ProgressBar, &mut impl Write),
) -> Result<(), Failure> {
    let said = match outbox.events.is_empty() {
        true => report.take(outbox, out),
        false => bar.suspend(|| report.take(outbox, out)),
    };
    said.map_err(Failure::Output)
}

/// Shows itself on a terminal alone.
fn bar(replay: &Replay, quiet: bool) -> ProgressBar {
    let (bar, template) = match replay.progress().total {
        Some(total) => {
            let template = "{wide_bar} {bytes}/{total_bytes}, {eta} to go";
            (ProgressBar::new(total), template)
        }
        None => (ProgressBar::new_spinner(), "{spinner} {bytes}, {elapsed}"),
    };
    if quiet {
        bar.set_draw_target(ProgressDrawTarget::hidden());
    }
    // The template is one of the two above; where it were wrong the plain bar would do.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}
