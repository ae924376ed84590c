//! The stages under a seeded scheduler: whatever crashes, aborts, stops, moves or lags, nothing is
//! lost, nothing is doubled, and the same is said as in an undisturbed run.
//!
//! `DRIFTLINE_TEST_SEED=<seed>` runs one seed, and the same way each time.
//! `DRIFTLINE_SEEDS=10000 cargo test --release --test simulation` runs so many. Without it, so many
//! as take about a minute, which is fewer where nothing is optimised.
#![allow(clippy::print_stdout, reason = "says what was measured")]
#![allow(clippy::disallowed_methods, reason = "the environment chooses the seeds")]

mod simulation_support;
mod support;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use simulation_support::broker::Flaws;
use simulation_support::check::{Reached, changes, learns, simulate};
use simulation_support::world::Mutation;

/// Seeds of a run that is not told how many.
const SEEDS: u64 = if cfg!(debug_assertions) { 40 } else { 400 };
/// Seeds that look at a fault of the model.
const CONTROLS: u64 = 10;

fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

/// Runs seeds on all cores; gives the results in order of seed.
fn simulate_all(seeds: std::ops::Range<u64>, mutation: Mutation) -> Vec<Result<Reached, String>> {
    let next = AtomicU64::new(seeds.start);
    let results = Mutex::new(Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let result = simulate(seed, mutation);
                    results.lock().expect("no thread panics holding it").push((seed, result));
                }
            });
        }
    });
    let mut results = results.into_inner().expect("no thread panics holding it");
    results.sort_by_key(|(seed, _)| *seed);
    results.into_iter().map(|(_, result)| result).collect()
}

#[test]
fn whatever_fails_nothing_is_lost_or_doubled_and_the_same_is_said() {
    if let Some(seed) = from_environment("DRIFTLINE_TEST_SEED") {
        let reached = simulate(seed, Mutation::default()).unwrap_or_else(|e| panic!("{e}"));
        println!("{reached:#?}");
        return;
    }
    let seeds = from_environment("DRIFTLINE_SEEDS").unwrap_or(SEEDS);
    let results = simulate_all(0..seeds, Mutation::default());
    let failures: Vec<&String> = results.iter().filter_map(|r| r.as_ref().err()).collect();
    for failure in &failures {
        println!("{}", failure.lines().take(2).collect::<Vec<_>>().join(" "));
    }
    if let Some(first) = failures.first() {
        panic!("{} of {seeds} seeds fail, first:\n{first}", failures.len());
    }
    let reached: Vec<Reached> = results.into_iter().map(|r| r.expect("none failed")).collect();
    assert_reaches_everything(&reached);
}

/// A simulation that reaches nothing proves nothing.
fn assert_reaches_everything(reached: &[Reached]) {
    let seeds = reached.len();
    let sum = |of: fn(&Reached) -> u64| reached.iter().map(of).sum::<u64>();
    let with = |of: fn(&Reached) -> bool| reached.iter().filter(|reached| of(reached)).count();
    let given = (0..seeds as u64).filter(|seed| !learns(*seed) && !changes(*seed)).count();
    println!(
        "{seeds} seeds: {} records, {} turns, {} commits; {} crashes, {} aborts, {} stops, {} \
         sick, {} joined, {} left, {} reconfigured; with alarms {}, incidents {}, requests {}",
        sum(|r| r.records),
        sum(|r| r.counts.turns),
        sum(|r| r.commits),
        sum(|r| r.counts.crashes),
        sum(|r| r.counts.aborts),
        sum(|r| r.counts.stops),
        sum(|r| r.counts.sick),
        sum(|r| r.counts.joined),
        sum(|r| r.counts.left),
        sum(|r| r.counts.reconfigured),
        with(|r| r.alarms > 0),
        with(|r| r.incidents > 0),
        with(|r| r.requests > 0),
    );
    let changed = (0..seeds as u64).filter(|seed| changes(*seed)).count();
    assert!(with(|r| r.tables >= 8) + changed >= seeds, "windows close and ripen");
    assert!(with(|r| r.tables >= 4) == seeds, "windows close and ripen");
    assert!(with(|r| r.counts.reconfigured > 3) >= changed, "configurations change");
    assert!(with(|r| r.incidents > 0) * 2 > given, "incidents");
    assert!(with(|r| r.requests > 0) * 4 > given, "requests");
    assert!(sum(|r| r.counts.crashes) > 5 * seeds as u64, "crashes");
    assert!(sum(|r| r.counts.aborts) > 2 * seeds as u64, "aborts");
    assert!(sum(|r| r.counts.stops) > 2 * seeds as u64, "stops");
    assert!(sum(|r| r.counts.sick) > seeds as u64, "instances that abort for minutes");
    assert!(sum(|r| r.counts.joined) > seeds as u64, "members that join");
}

/// Seeds, of [`CONTROLS`], that notice a fault of the model.
fn noticed(mutation: Mutation) -> usize {
    let results = simulate_all(0..CONTROLS, mutation);
    let noticed = results.iter().filter(|result| result.is_err()).count();
    println!("{noticed} of {CONTROLS} seeds notice {mutation:?}");
    noticed
}

#[test]
fn checker_sees_offsets_without_outputs() {
    let broker = Flaws { loses_outputs: true, ..Flaws::default() };
    assert!(noticed(Mutation { broker, ..Mutation::default() }) >= 8);
}

#[test]
fn checker_sees_outputs_without_offsets() {
    let broker = Flaws { loses_offsets: true, ..Flaws::default() };
    assert!(noticed(Mutation { broker, ..Mutation::default() }) >= 5);
}

#[test]
fn checker_sees_commits_of_those_who_own_nothing_any_more() {
    let broker = Flaws { takes_zombies: true, ..Flaws::default() };
    assert!(noticed(Mutation { broker, ..Mutation::default() }) >= 2);
}

#[test]
fn checker_sees_what_was_aborted() {
    let broker = Flaws { shows_aborted: true, ..Flaws::default() };
    assert!(noticed(Mutation { broker, ..Mutation::default() }) >= 5);
}

#[test]
fn checker_sees_stages_that_do_not_read_again_after_a_crash() {
    let mutation = Mutation { skips_replay: true, ..Mutation::default() };
    assert!(noticed(mutation) >= 5);
}
