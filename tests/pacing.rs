//! Pacing in reading: a partition far ahead waits, never the slowest, and nobody waits for ever.
//!
//! Random histories; the seed is printed, `DRIFTLINE_TEST_SEED` takes one. `DRIFTLINE_TEST_CASES`
//! chooses the number of histories, 60 unless given.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "the shared support reads the clock for seeds; says what was tried"
)]

mod support;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use driftline::config::Config;
use driftline::config::plan::Plan;
use driftline::event::layout::{Layout, LayoutUpdate};
use driftline::event::public::EventData;
use driftline::event::route::{Note, Outbox};
use driftline::event::time::EventTime;
use driftline::observe::{Observe, SourceRecord, Taken};
use driftline::topology::Topology;
use support::broker;
use support::random::Random;

const HOUR: i64 = 3_600_000;
/// 2026-11-01, and now four weeks later.
const START: i64 = 1_793_491_200_000;
const NOW: i64 = START + 29 * 24 * HOUR;
const MAX_AHEAD: i64 = 4;

fn plan() -> Arc<Plan> {
    let text = "
app: pacing
datasets:
  orders: { topic: orders, event_time: at, window: { size: 1h, lateness: 10m } }
models:
  fraud:
    predictions: { topic: scores, id: id, score: p, decision: { score_above: 0.5 }, time: at }
    outcomes: { topic: labels, id: id, label: y, positive: true, time: at, horizon: 2h }
    inputs: { orders: [amount] }
";
    let planned = Config::parse(text, "drift.yaml").and_then(|config| config.plan());
    Arc::new(planned.unwrap_or_else(|error| panic!("{error}")).0)
}

/// A partition as a broker holds it: event times, in order of offsets.
#[derive(Debug, Default)]
struct Held {
    times: VecDeque<i64>,
    next: i64,
    highest: Option<i64>,
    /// Time of the record taken last, and the highest before it.
    last: Option<(i64, Option<i64>)>,
    waits: bool,
}

type Place = (&'static str, i32);

/// Partitions and where they have been read to.
struct World {
    held: BTreeMap<Place, Held>,
}

impl World {
    fn random(random: &mut Random) -> World {
        let mut held = BTreeMap::new();
        for topic in ["orders", "scores", "labels"] {
            let partitions = 1 + random.bits() % 3;
            for partition in 0..partitions {
                let partition = i32::try_from(partition).expect("small");
                held.insert((topic, partition), Held { times: times(random), ..Held::default() });
            }
        }
        World { held }
    }

    fn counts(&self, topic: &str) -> i32 {
        i32::try_from(self.held.keys().filter(|place| place.0 == topic).count()).expect("small")
    }

    fn assign(&self, observe: &mut Observe) {
        for (topic, partition) in self.held.keys() {
            observe.assign(topic, *partition, self.counts(topic), 0, "");
        }
    }

    /// Reads up to `n` records of a partition; how many were taken.
    fn read(&mut self, observe: &mut Observe, place: Place, n: u64, out: &mut Outbox) -> u64 {
        let held = self.held.get_mut(&place).expect("a partition of this world");
        held.waits = false;
        for taken in 0..n {
            let Some(time) = held.times.front().copied() else {
                observe.at_end(place.0, place.1, true);
                return taken;
            };
            observe.at_end(place.0, place.1, false);
            let id = (time / 1_000) % 100_000;
            let payload = format!(
                "{{\"at\":{time},\"id\":{id},\"p\":0.{},\"y\":{},\"amount\":{}}}",
                id % 10,
                id % 7 == 0,
                id % 91
            );
            let record = SourceRecord {
                topic: place.0,
                partition: place.1,
                offset: held.next,
                timestamp_ms: NOW,
                key: None,
                payload: Some(payload.as_bytes()),
                headers: &[],
            };
            match observe.record(&record, out) {
                Taken::Done => {
                    held.times.pop_front();
                    held.next += 1;
                    held.last = Some((time, held.highest));
                    held.highest = held.highest.max(Some(time));
                }
                Taken::Ahead => {
                    held.waits = true;
                    return taken;
                }
                Taken::NeedSchema(id) => panic!("JSON needs no schema {id}"),
            }
        }
        n
    }

    fn is_read(&self) -> bool {
        self.held.values().all(|held| held.times.is_empty())
    }

    /// Holds the record read last to the rule: it lies near the slowest, or its partition was the
    /// slowest when it was read.
    fn assert_together(&self, place: Place, at: (u64, u64)) {
        let window = |time: i64| time.div_euclid(HOUR);
        let mine = &self.held[&place];
        let others = self.held.iter().filter(|(other, held)| {
            **other != place && groups(place.0).contains(&other.0) && !held.times.is_empty()
        });
        let slowest = others.filter_map(|(_, held)| held.highest).min();
        if let (Some(slowest), Some((time, before))) = (slowest, mine.last) {
            let near = window(time) < window(slowest) + MAX_AHEAD;
            let was_slowest = before.is_none_or(|before| window(before) <= window(slowest));
            assert!(near || was_slowest, "seed and case {at:?}: {place:?} ran ahead: {mine:?}");
        }
    }
}

/// Event times of a partition: it may be empty, begin late, stop for days, be somewhat disordered.
fn times(random: &mut Random) -> VecDeque<i64> {
    let mut times = VecDeque::new();
    let mut at = START + i64::try_from(random.bits() % 72).expect("small") * HOUR;
    for _ in 0..random.bits() % 120 {
        at += match random.bits() % 12 {
            0 => i64::try_from(random.bits() % 200).expect("small") * HOUR,
            1..=3 => HOUR,
            _ => HOUR / 7,
        };
        let back = i64::try_from(random.bits() % 600_000).expect("small");
        times.push_back(at.min(NOW) - back);
    }
    times
}

fn groups(topic: &str) -> &'static [&'static str] {
    if topic == "orders" { &["orders"] } else { &["scores", "labels"] }
}

#[test]
fn everything_is_read_and_nobody_runs_far_ahead() {
    let seed = std::env::var("DRIFTLINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| broker::now_ms().unsigned_abs());
    let cases = std::env::var("DRIFTLINE_TEST_CASES").ok().and_then(|n| n.parse().ok());
    let cases: u64 = cases.unwrap_or(60);
    println!("DRIFTLINE_TEST_SEED={seed}");
    let plan = plan();
    let (mut read, mut waits) = (0, 0);
    for case in 0..cases {
        let mut random = Random::new(seed.wrapping_add(case));
        let mut world = World::random(&mut random);
        let mut topology = Topology::paced(&plan);
        let mut out = Outbox::default();
        world.assign(topology.observe());
        let mut idle = 0;
        while !world.is_read() {
            let places: Vec<Place> = world.held.keys().copied().collect();
            let place = places[usize::try_from(random.bits()).expect("64 bits") % places.len()];
            let n = 1 + random.bits() % 40;
            let taken = world.read(topology.observe(), place, n, &mut out);
            read += taken;
            waits += u64::from(world.held[&place].waits);
            if taken > 0 {
                world.assert_together(place, (seed, case));
            }
            idle = if taken > 0 { 0 } else { idle + 1 };
            if idle > 20 * places.len() {
                topology.commit(NOW, &mut out);
            }
            assert!(idle < 500 * places.len(), "seed {seed} case {case}: all wait");
            if random.one_in(5) {
                topology.commit(NOW, &mut out);
            }
            if random.one_in(60) && world.counts("orders") < 4 {
                let added = world.counts("orders");
                let held = Held { times: times(&mut random), ..Held::default() };
                world.held.insert(("orders", added), held);
                let count = world.counts("orders");
                topology.observe().assign("orders", added, count, 0, "");
            }
        }
    }
    println!("{cases} histories, {read} records, {waits} times ahead");
    assert!(waits > 0, "something was ahead");
}

#[test]
fn a_partition_far_ahead_waits_and_the_slowest_never_does() {
    let plan = plan();
    let mut observe = Observe::paced(Arc::clone(&plan));
    let hours = |range: std::ops::Range<i64>| range.map(|h| START + h * HOUR + 1).collect();
    let old = Held { times: hours(0..200), ..Held::default() };
    let live = Held { times: hours(190..200), ..Held::default() };
    let held = BTreeMap::from([(("orders", 0), old), (("orders", 1), live)]);
    let mut world = World { held };
    world.assign(&mut observe);
    // With a layout there is nothing else to wait for.
    let fields = BTreeMap::new();
    observe.layout(&LayoutUpdate {
        dataset: "orders".into(),
        definition: plan.datasets["orders"].definition,
        closed_through: None,
        layout: Some(Layout { id: 1, effective_from: EventTime(START), fields }),
    });
    let mut out = Outbox::default();

    assert_eq!(world.read(&mut observe, ("orders", 0), 1, &mut out), 1);
    assert_eq!(world.read(&mut observe, ("orders", 1), 9, &mut out), 1, "none was shown before");
    assert_eq!(world.read(&mut observe, ("orders", 1), 9, &mut out), 0);
    for hour in 1..190 {
        assert_eq!(world.read(&mut observe, ("orders", 0), 1, &mut out), 1, "hour {hour}");
        assert_eq!(world.read(&mut observe, ("orders", 1), 9, &mut out), 0, "hour {hour}");
    }
    world.read(&mut observe, ("orders", 0), 2, &mut out);
    let together = world.read(&mut observe, ("orders", 1), 9, &mut out);
    assert_eq!(together, MAX_AHEAD.unsigned_abs(), "level again, it reads {MAX_AHEAD} windows on");
}

#[test]
fn predictions_wait_for_outcomes_that_are_behind_and_not_for_those_at_their_end() {
    let plan = plan();
    let mut observe = Observe::paced(Arc::clone(&plan));
    let hours = |range: std::ops::Range<i64>| range.map(|h| START + h * HOUR + 1).collect();
    let scores = Held { times: hours(0..100), ..Held::default() };
    let labels = Held { times: hours(0..3), ..Held::default() };
    let held = BTreeMap::from([(("scores", 0), scores), (("labels", 0), labels)]);
    let mut world = World { held };
    world.assign(&mut observe);
    let mut out = Outbox::default();

    assert_eq!(world.read(&mut observe, ("labels", 0), 1, &mut out), 1);
    let ahead = world.read(&mut observe, ("scores", 0), 99, &mut out);
    assert_eq!(ahead, MAX_AHEAD.unsigned_abs());
    assert_eq!(world.read(&mut observe, ("labels", 0), 9, &mut out), 2);
    let rest = world.read(&mut observe, ("scores", 0), 99, &mut out);
    assert_eq!(ahead + rest, 100, "outcomes at their end hold nobody");
}

#[test]
fn a_month_of_the_past_beside_the_present_is_read_in_order_and_asks_for_nothing() {
    let plan = plan();
    let mut topology = Topology::paced(&plan);
    let hours = 30 * 24;
    let past = |offset: i64| -> VecDeque<i64> {
        let first = NOW - hours * HOUR;
        (0..hours * 20).map(|i| first + i * HOUR / 20 + offset).collect()
    };
    let live: VecDeque<i64> = (0..40).map(|i| NOW - 2 * HOUR + i * HOUR / 20).collect();
    let held = BTreeMap::from([
        (("orders", 0), Held { times: past(1), ..Held::default() }),
        (("orders", 1), Held { times: past(7), ..Held::default() }),
        (("orders", 2), Held { times: live, ..Held::default() }),
    ]);
    let mut world = World { held };
    world.assign(topology.observe());
    let (mut out, mut pending, mut turns) = (Outbox::default(), 0, 0);
    let mut ends = Vec::new();

    while !world.is_read() {
        turns += 1;
        assert!(turns < 100_000, "it comes to an end");
        for place in [("orders", 0), ("orders", 1), ("orders", 2)] {
            world.read(topology.observe(), place, 200, &mut out);
        }
        let apart = (world.held[&("orders", 0)].next - world.held[&("orders", 1)].next).abs();
        assert!(apart <= 20 * (MAX_AHEAD + 1), "the two are {apart} records apart");
        pending = pending.max(topology.observe().pending_bytes());
        topology.commit(NOW, &mut out);
        for note in out.notes.drain(..) {
            if let Note::WindowClosed { subject, end_ms, .. } = note {
                assert_eq!(subject, "dataset/orders");
                ends.push(end_ms);
            }
        }
    }

    assert!(ends.windows(2).all(|pair| pair[0] < pair[1]), "windows close in order, each once");
    assert!(ends.len() >= usize::try_from(hours).expect("small") - 8, "{} closed", ends.len());
    println!("{turns} turns, {} windows, at most {pending} bytes pending", ends.len());
    assert!(pending < 8 << 20, "{pending} bytes pending: memory stays flat");
    let acts = out.events.iter().any(|event| {
        matches!(event.data, EventData::ActionRequested(_) | EventData::RetrainRequested(_))
    });
    assert!(!acts, "the past asks for nothing");
}
