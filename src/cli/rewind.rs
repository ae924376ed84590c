//! `driftline rewind`: goes back in time on purpose, or on without what is gone.

use std::cmp::Ordering;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, start};
use crate::config::Millis;
use crate::config::plan::Plan;
use crate::rewind::journey::{Journey, Since};
use crate::rewind::{Rewind, RewindError, Target};

/// Go back in time on purpose: count records again, in place of what was counted of them; or go
/// on without records that are gone
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  driftline rewind --config drift.yaml --to 2026-11-24T08:00:00Z --dry-run
  driftline rewind --config drift.yaml --to orders:0:120000,orders:1:98000
  driftline rewind --config drift.yaml --to earliest
  driftline rewind --config drift.yaml --accept-gap

Every process of the app must be stopped. Windows from the time given on (with offsets, from the
oldest window these records can be in) are forgotten and counted anew from the records; older ones
stay as they are. A model whose outcomes are still to come goes back as far as its oldest such
window. What was told of those windows is told again under new ids, as backfill where it is older
than `act_within`; it never acts. Offsets and the ledger's new epoch are one transaction. It also
mends a ledger that was found broken. Offsets moved by other tools break the ledger instead.

Where retention took records before they were read, `run` ends with 78. --accept-gap goes on at the
nearest offset each such partition has: nothing is counted anew, the ledger tells which offsets are
missing, and windows that may have held them are incomplete. So it does where the ledger broke
because a topic was made anew.

Exit codes: 0 done, 75 a process is alive or Kafka is away, 78 the records or the ledger do not
reach back so far, or there is no gap.")]
pub(super) struct RewindArgs {
    /// Configuration of the deployment
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// A time, TOPIC:PARTITION:OFFSET[,...], or earliest
    #[arg(long, value_name = "WHERE", required_unless_present = "accept_gap")]
    to: Option<Target>,
    /// Go on without the source records that are gone, or where the ledger is broken
    #[arg(long, conflicts_with = "to")]
    accept_gap: bool,
    /// Say what it would do, and do nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) fn run(args: &RewindArgs) -> Exit {
    let (plan, deployment, stop) = match start::until_signal(&args.config) {
        Ok(started) => started,
        Err(exit) => return exit,
    };
    let went = Rewind::new(&plan, &deployment, &stop).and_then(|rewind| go(&rewind, args, &plan));
    match went {
        Ok(()) => Exit::Done,
        Err(error) => {
            eprintln!("error: {error}");
            Exit::of_code(error.exit_code())
        }
    }
}

fn go(rewind: &Rewind<'_>, args: &RewindArgs, plan: &Plan) -> Result<(), RewindError> {
    eprintln!("waiting until no process of {} is alive", plan.app);
    rewind.alone()?;
    eprintln!("reading the ledger");
    let (journey, text) = match &args.to {
        Some(target) => {
            let journey = rewind.journey(target)?;
            let text = describe(&journey, plan);
            (journey, text)
        }
        None => {
            let journey = rewind.over_gaps()?;
            let text = describe_gaps(&journey);
            (journey, text)
        }
    };
    print!("{text}");
    if args.dry_run {
        println!("nothing was changed (--dry-run)");
        return Ok(());
    }
    rewind.go(&journey)?;
    println!("epoch {} begins; `driftline run` goes on from there", journey.rewound.epoch);
    Ok(())
}

fn describe(journey: &Journey, plan: &Plan) -> String {
    let mut text = String::from("records read again\n");
    let mut offsets = 0;
    for (source, from) in journey.rewound.sources.iter().zip(&journey.from) {
        let n = from - source.from;
        offsets += n;
        let _ = writeln!(
            text,
            "  {}/{}  from offset {from} back to {}: {n} offsets",
            source.topic, source.partition, source.from
        );
    }
    text.push_str("windows counted anew\n");
    for (subject, from) in &journey.rewound.subjects {
        let _ = writeln!(text, "  {subject}  from {}", Since(*from));
    }
    let _ = writeln!(
        text,
        "{offsets} offsets in all; windows that ended more than {} ago are told as backfill \
         and ask for nothing",
        Millis(plan.act_within_ms)
    );
    text
}

fn describe_gaps(journey: &Journey) -> String {
    let mut text = String::from("records given up\n");
    for (source, stood) in journey.rewound.sources.iter().zip(&journey.from) {
        let (topic, partition, from) = (&source.topic, source.partition, source.from);
        let what = match from.cmp(stood) {
            Ordering::Greater => {
                format!("offsets {stood} to {}: {} are gone", from - 1, from - stood)
            }
            Ordering::Equal => "its ledger is broken".to_owned(),
            Ordering::Less => format!("the topic ends {} offsets before {stood}", stood - from),
        };
        let _ = writeln!(text, "  {topic}/{partition}  {what}; goes on at {from}");
    }
    text.push_str("windows that may have held them are told as incomplete\n");
    text
}
