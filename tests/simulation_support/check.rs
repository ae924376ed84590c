//! One seed: a world run to its end and held to the undisturbed run of the same data.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use driftline::event::fact::FactBatch;
use driftline::event::progress::Header;
use driftline::event::summary::{ModelDelta, SummaryBatch};
use driftline::event::time::EventTime;
use driftline::event::wire;

use super::calm::Calm;
use super::recount::Totals;
use super::source::WINDOW_MS;
use super::verdict::{Verdicts, check_joins, check_ledger};
use super::world::{Counts, Mutation, World};

/// Worlds there are; seeds share them, each with a schedule of its own.
const SOURCES: u64 = 24;
/// One seed in so many learns its layout while it runs, and one in so many others changes its
/// configuration.
const LEARNS: u64 = 5;

/// What a seed reached.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    pub counts: Counts,
    pub commits: u64,
    pub records: u64,
    pub tables: usize,
    pub alarms: usize,
    pub incidents: usize,
    pub requests: usize,
}

/// The undisturbed run a seed is held to.
pub fn calm_of(seed: u64) -> &'static Calm {
    static CALM: [OnceLock<Calm>; SOURCES as usize] = [const { OnceLock::new() }; SOURCES as usize];
    let data = seed % SOURCES;
    CALM[data as usize].get_or_init(|| Calm::new(data))
}

/// Whether a seed learns its layout while it runs.
pub fn learns(seed: u64) -> bool {
    seed / SOURCES % LEARNS == LEARNS - 1
}

/// Whether a seed changes its configuration while it runs.
pub fn changes(seed: u64) -> bool {
    seed / SOURCES % LEARNS == 1
}

/// Runs a seed. The error names the seed, what is wrong, and the last steps.
pub fn simulate(seed: u64, mutation: Mutation) -> Result<Reached, String> {
    let calm = calm_of(seed);
    let given = if learns(seed) { &[][..] } else { &calm.given[..] };
    let mut world = World::new(&calm.source, given, seed, (mutation, changes(seed)));
    // What the runtime ends the process for, the model panics for.
    let run = || world.run().and_then(|()| hold_to(calm, &world, seed));
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run))
        .unwrap_or_else(|panic| Err(text_of(&*panic)));
    result.map_err(|error| {
        format!(
            "DRIFTLINE_TEST_SEED={seed} reproduces this ({:?}, {:?}):\n{error}\n{}",
            calm.source.change,
            world.counts,
            world.last_steps()
        )
    })
}

fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
}

fn hold_to(calm: &Calm, world: &World<'_>, seed: u64) -> Result<Reached, String> {
    let (learns, changes) = (learns(seed), changes(seed));
    let broker = &world.broker;
    let ends = world.ends();
    let records: i64 = ends.values().sum();
    let mut told = Totals::default();
    let mut under = Definitions::default();
    for partition in 0..8 {
        let summaries = held_summaries(world, partition, &ends)?;
        for batch in summaries {
            batch.models.iter().for_each(|delta| under.add(delta));
            told.add(batch);
        }
    }
    let (told, wanted) = if learns || changes {
        (told.without_bins(), calm.totals.clone().without_bins())
    } else {
        (told, calm.totals.clone())
    };
    if let Some(difference) = told.difference(&wanted) {
        return Err(difference);
    }
    let findings = payloads(world, ("findings", 0));
    let mut verdicts = Verdicts::of(findings, &broker.events())?;
    let mut wanted = calm.verdicts.clone();
    if changes {
        // What two configurations counted together is told by neither; all else as it was.
        let said = &verdicts.tables;
        wanted.tables.retain(|key, _| said.contains_key(key) || under.is_whole(key));
    }
    if learns || changes {
        // Of what needs no layout, all.
        for verdicts in [&mut verdicts, &mut wanted] {
            verdicts.alarms.retain(|key, _| key.contains("model/"));
            verdicts.contrasts.clear();
            verdicts.incidents.clear();
            verdicts.requests.clear();
            if changes {
                verdicts.alarms.clear();
            }
        }
    }
    if let Some(difference) = verdicts.difference(&wanted) {
        return Err(difference);
    }
    let commits = broker.commits();
    Ok(Reached {
        counts: world.counts,
        commits,
        records: records.unsigned_abs(),
        tables: verdicts.tables.len(),
        alarms: verdicts.alarms.len(),
        incidents: verdicts.incidents.len(),
        requests: verdicts.requests.len(),
    })
}

/// Messages of a partition of summaries, once it and its like of facts agree with what was read.
fn held_summaries(
    world: &World<'_>,
    partition: i32,
    ends: &BTreeMap<(String, i32), i64>,
) -> Result<Vec<SummaryBatch>, String> {
    let facts = payloads(world, ("facts", partition)).into_iter().map(|payload| {
        let batch: FactBatch = wire::decode(payload).expect("facts decode");
        batch.header.unwrap_or_default()
    });
    check_ledger(("facts", partition), facts, ends)?;
    let place = ("summaries", partition);
    let summaries: Vec<SummaryBatch> = payloads(world, place)
        .into_iter()
        .map(|payload| wire::decode(payload).expect("summaries decode"))
        .collect();
    let headers = summaries.iter().filter_map(|batch| batch.header.clone());
    let lines = headers.clone().filter_map(|header| match header {
        Header::Observe(lines) => Some(lines),
        Header::Join(_) | Header::Rewound(_) => None,
    });
    check_ledger(place, lines, ends)?;
    let joins = headers.filter_map(|header| match header {
        Header::Join(line) => Some(line),
        Header::Observe(_) | Header::Rewound(_) => None,
    });
    for (facts, to) in check_joins(place, joins)? {
        let last = world.broker.records(("facts", facts)).last().map_or(0, |(at, _)| at + 1);
        if to != last {
            return Err(format!("facts/{facts} is joined to {to}, not {last}, in {place:?}"));
        }
    }
    Ok(summaries)
}

/// Windows of the model by definition.
#[derive(Debug, Default)]
struct Definitions(BTreeMap<u64, (EventTime, EventTime)>);

impl Definitions {
    fn add(&mut self, delta: &ModelDelta) {
        let span = self.0.entry(delta.definition).or_insert((delta.window, delta.window));
        *span = (span.0.min(delta.window), span.1.max(delta.window));
    }

    /// Whether no window of a table's key is within both definitions' time.
    fn is_whole(&self, key: &str) -> bool {
        let first = self.0.values().map(|span| span.0).max();
        let last = self.0.values().map(|span| span.1).min();
        let (Some(first), Some(last)) = (first, last) else { return true };
        let mut shared = (first.0..=last.0).step_by(WINDOW_MS as usize);
        self.0.len() < 2 || !shared.any(|window| key.contains(&format!("{:?}", EventTime(window))))
    }
}

fn payloads<'w>(world: &'w World<'_>, place: super::broker::Place) -> Vec<&'w [u8]> {
    let records = world.broker.records(place);
    records.into_iter().filter_map(|(_, stored)| stored.payload.as_deref()).collect()
}
