//! Restore = memory: assess and decide after a crash remember the same, byte for byte, as if they
//! had never lost anything. (Join's test is in its own room, which alone sees its memory.)
//!
//! Compared is all of a stage's state as it would be written to its state topic; nothing is left
//! out.
#![allow(clippy::disallowed_methods, reason = "the environment chooses the seed")]

mod simulation_support;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;

use driftline::assess::Assess;
use driftline::decide::Decide;
use driftline::event::route::{Outbox, Route};
use driftline::stage::{Incoming, Stage};
use driftline::topology::Recorded;
use simulation_support::check::calm_of;
use support::random::Random;

/// State entries by key.
type State = BTreeMap<Vec<u8>, Vec<u8>>;

fn save<S: Stage>(stage: &mut S, state: &mut State) {
    for (key, value) in stage.checkpoint() {
        match value {
            Some(value) => state.insert(key, value),
            None => state.remove(&key),
        };
    }
}

fn step<S: Stage>(stage: &mut S, offset: usize, message: &Recorded) {
    let (offset, timestamp_ms) = (offset as i64, message.timestamp_ms);
    let incoming = Incoming { offset, timestamp_ms, payload: &message.payload };
    stage.step(incoming, &mut Outbox::default());
}

/// Everything a stage remembers that has read `messages` and was never asked before.
fn never_lost<S: Stage>(fresh: impl Fn() -> S, messages: &[&Recorded]) -> State {
    let mut stage = fresh();
    for (offset, message) in messages.iter().enumerate() {
        step(&mut stage, offset, message);
    }
    let mut state = State::new();
    save(&mut stage, &mut state);
    state
}

/// Holds a stage that checkpoints and crashes wherever a seed says to one that does neither.
/// Returns the number of comparisons.
fn check<S: Stage>(fresh: impl Fn() -> S, messages: &[&Recorded], random: &mut Random) -> u32 {
    let (mut stage, mut saved, mut saved_at) = (fresh(), State::new(), 0);
    let every = 1 + random.bits() % 60;
    let mut compared = 0;
    for (offset, message) in messages.iter().enumerate() {
        step(&mut stage, offset, message);
        let next = offset + 1;
        if random.one_in(every) {
            save(&mut stage, &mut saved);
            saved_at = next;
        }
        if !random.one_in(messages.len() as u64 / 6 + 1) {
            continue;
        }
        let mut restored = fresh();
        for (key, value) in &saved {
            restored.restore(key, value).expect("its own entries");
        }
        for (offset, message) in messages.iter().enumerate().take(next).skip(saved_at) {
            step(&mut restored, offset, message);
        }
        let mut again = saved.clone();
        save(&mut restored, &mut again);
        assert!(never_lost(&fresh, &messages[..next]) == again, "after {next} messages");
        // It is the restored one that goes on, and what it wrote is what there is.
        (stage, saved, saved_at) = (restored, again, next);
        compared += 1;
    }
    compared
}

fn seed() -> Option<u64> {
    std::env::var("DRIFTLINE_TEST_SEED").ok().map(|seed| seed.parse().expect("a number"))
}

#[test]
fn restored_assess_remembers_the_same_bytes() {
    let mut compared = 0;
    for seed in seed().map_or(0..6, |seed| seed..seed + 1) {
        let calm = calm_of(seed);
        let mut random = Random::new(seed);
        for shard in 0..8 {
            let of_shard = |message: &&Recorded| message.route == Route::Summaries(shard);
            let messages: Vec<&Recorded> = calm.recorded.iter().filter(of_shard).collect();
            let fresh = || Assess::new(Arc::clone(&calm.source.plan), shard);
            let run = || check(fresh, &messages, &mut random);
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
            compared += caught.unwrap_or_else(|_| panic!("seed {seed}, shard {shard}"));
        }
    }
    assert!(compared >= 8, "{compared} comparisons");
}

#[test]
fn restored_decide_remembers_the_same_bytes() {
    let mut compared = 0;
    for seed in seed().map_or(0..12, |seed| seed..seed + 1) {
        let calm = calm_of(seed % 6);
        let mut random = Random::new(seed);
        let of_findings = |message: &&Recorded| message.route == Route::Findings;
        let messages: Vec<&Recorded> = calm.recorded.iter().filter(of_findings).collect();
        let fresh = || Decide::new(Arc::clone(&calm.source.plan));
        let run = || check(fresh, &messages, &mut random);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
        compared += caught.unwrap_or_else(|_| panic!("seed {seed}"));
    }
    assert!(compared >= 12, "{compared} comparisons");
}
