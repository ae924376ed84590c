//! Runs a target on mutated inputs: bounded, seeded, and with what it may allocate held down.
//!
//! No coverage is measured. What a target says of an input (accepted, or the kind of refusal)
//! stands in for it: an input that leads to something not said before joins the pool.
#![allow(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a private module of a test binary; the environment chooses how long it runs"
)]

pub mod items;
pub mod mutate;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::allocator::held_at_most;
use mutate::Mutator;

/// A run that nobody waits for ends after so many executions, or after so long.
const EXECUTIONS: u64 = 6_000;
const SHORT: Duration = Duration::from_secs(2);
/// Largest input.
const BYTES_MAX: usize = 64 << 10;
/// Inputs kept.
const POOL_MAX: usize = 4_096;
/// What one execution may hold at once: this, and so much for each byte of its input.
const HELD: usize = 48 << 20;
const HELD_PER_BYTE: usize = 1 << 10;

/// Targets run one at a time, as they share the counters.
static ALONE: Mutex<()> = Mutex::new(());

/// What a target says of an input: the same words for the same kind of answer.
pub type Said = String;

/// Runs `target` on its corpus, then on what comes of it.
pub fn fuzz(name: &str, seeds: Vec<Vec<u8>>, words: &[&str], target: impl Fn(&[u8]) -> Said) {
    let _alone = ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let seed = seed();
    println!("{name}: DRIFTLINE_TEST_SEED={seed}");
    let mut pool = [corpus(name), seeds].concat();
    assert!(!pool.is_empty(), "{name} has nothing to start from");
    let mut said = BTreeSet::new();
    for input in &pool {
        said.insert(check(name, seed, input, &target));
    }
    let mut mutator = Mutator::new(seed, words);
    let (executions, time) = length();
    // A stack that overflows takes the process with it: by hand, the input at work is in a file.
    let last = (executions > EXECUTIONS).then(|| std::env::temp_dir().join(format!("fuzz-{name}")));
    if let Some(last) = &last {
        println!("{name}: the input at work is in {}", last.display());
    }
    let started = Instant::now();
    let mut done = 0;
    while done < executions && started.elapsed() < time {
        let mut input = mutator.of(&pool);
        input.truncate(BYTES_MAX);
        if let Some(last) = &last {
            std::fs::write(last, &input).unwrap();
        }
        let is_new = said.insert(check(name, seed, &input, &target));
        if is_new && pool.len() < POOL_MAX {
            pool.push(input);
        }
        done += 1;
    }
    let rate = done as f64 / started.elapsed().as_secs_f64();
    println!("{name}: {done} executions, {rate:.0} a second, {} kinds of answer", said.len());
}

/// How many executions and how long; by hand `DRIFTLINE_FUZZ_SECONDS` runs each target that long.
fn length() -> (u64, Duration) {
    let seconds = std::env::var("DRIFTLINE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    seconds.map_or((EXECUTIONS, SHORT), |long| (u64::MAX, Duration::from_secs(long)))
}

fn seed() -> u64 {
    let given = std::env::var("DRIFTLINE_TEST_SEED").ok().and_then(|text| text.parse().ok());
    given.unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        since.as_nanos() as u64
    })
}

fn folder(name: &str) -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/fuzz")).join(name)
}

/// Inputs kept for a target: what it began with, and whatever was once found.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let Ok(files) = std::fs::read_dir(folder(name)) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = files.map(|file| file.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

/// Runs the target once. Where it panics or allocates too much the input is made smaller, kept in
/// the corpus, and the test fails.
fn check(name: &str, seed: u64, input: &[u8], target: &impl Fn(&[u8]) -> Said) -> Said {
    match run(input, target) {
        Ok(said) => said,
        Err(what) => {
            let quiet = std::panic::take_hook();
            std::panic::set_hook(Box::new(|_| ()));
            let small = smaller(input, target);
            std::panic::set_hook(quiet);
            let hash = xxhash_rust::xxh3::xxh3_64(&small);
            let path = folder(name).join(format!("found-{hash:016x}"));
            std::fs::create_dir_all(folder(name)).unwrap();
            std::fs::write(&path, &small).unwrap();
            panic!("{name}: {what}; kept as {}, DRIFTLINE_TEST_SEED={seed}", path.display());
        }
    }
}

fn run(input: &[u8], target: &impl Fn(&[u8]) -> Said) -> Result<Said, String> {
    let work = || catch_unwind(AssertUnwindSafe(|| target(input)));
    let (held, said) = held_at_most(work);
    match said {
        Err(_) => Err("a panic".to_owned()),
        Ok(_) if held > HELD + HELD_PER_BYTE * input.len() => {
            Err(format!("{held} bytes held for an input of {}", input.len()))
        }
        Ok(said) => Ok(said),
    }
}

/// Leaves out whatever can be left out with the same end.
fn smaller(input: &[u8], target: &impl Fn(&[u8]) -> Said) -> Vec<u8> {
    let mut small = input.to_vec();
    let mut chunk = small.len().div_ceil(2);
    while chunk > 0 {
        let mut at = 0;
        while at < small.len() {
            let mut less = small.clone();
            less.drain(at..(at + chunk).min(less.len()));
            if run(&less, target).is_err() {
                small = less;
            } else {
                at += chunk;
            }
        }
        chunk /= 2;
    }
    small
}
