//! kill -9 at random moments under load, restart in place: nothing is lost, nothing is doubled,
//! and what is said is what an undisturbed run says.
//!
//! Two processes, one that observes and one for the rest. The seed of the moments is printed;
//! `DRIFTLINE_TEST_SEED` takes one.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use driftline::demo::bank::{BankPlan, TopicKind};
use driftline::demo::record::SchemaRef;
use driftline::event::public::EventData;
use driftline::event::route::{FACTS_PARTITIONS, Route, SUMMARIES_PARTITIONS};
use driftline::event::time::EventTime;
use support::again::{self, Internal};
use support::broker::{self, Broker};
use support::heard::{self, Decoder, Heard};
use support::ledger::{self, Ends};
use support::memory::{self, Opened};
use support::random::Random;
use support::running::Running;
use support::stream::{Form, HOUR, Stream};
use support::wait::{self, Frontier};

const PATIENCE: Duration = Duration::from_secs(300);
const KILLS: usize = 5;
/// Kills before both are stopped and started once, so that later ones find newer checkpoints.
const GRACEFUL_AFTER: usize = 2;
/// Stages of the two processes.
const STAGES: [&str; 2] = ["observe", "join,assess,decide"];
const TOPICS: [TopicKind; 3] = [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels];

/// The two processes.
struct Fleet<'a> {
    folder: &'a Path,
    config: &'a Path,
    running: [Option<Running>; 2],
}

impl<'a> Fleet<'a> {
    fn start(folder: &'a Path, config: &'a Path) -> Fleet<'a> {
        let mut fleet = Fleet { folder, config, running: [None, None] };
        fleet.start_what_is_down();
        fleet
    }

    fn start_what_is_down(&mut self) {
        for (running, stages) in self.running.iter_mut().zip(STAGES) {
            if running.is_none() {
                let arguments = ["--stages", stages];
                *running = Some(Running::start(self.folder, self.config, &arguments));
            }
        }
    }

    /// Kills one of them, or both, and starts what is down again.
    fn kill(&mut self, which: u64) -> &'static str {
        let (victims, name): (&[usize], _) = match which {
            0 => (&[0], "observe"),
            1 => (&[1], "join, assess, decide"),
            _ => (&[0, 1], "both"),
        };
        for victim in victims {
            self.running[*victim].take().expect("running").kill();
        }
        self.start_what_is_down();
        name
    }

    /// Stops both as an orchestrator would, which leaves checkpoints behind.
    fn stop(&mut self) {
        for running in self.running.iter_mut().filter_map(Option::take) {
            let (status, took) = running.terminate(Duration::from_secs(10));
            assert_eq!(status.code(), Some(0), "after SIGTERM");
            println!("gone {took:?} after SIGTERM");
        }
    }

    fn are_alive(&mut self) -> bool {
        self.running.iter_mut().flatten().all(Running::is_alive)
    }

    fn tail(&self) -> String {
        self.running[0].as_ref().map_or(String::new(), Running::tail)
    }
}

/// Feeds, kills and waits until all windows but the last are closed. Gives the kills.
fn run_and_kill(broker: &Broker, stream: &Stream, fleet: &mut Fleet<'_>, seed: u64) -> usize {
    let mut random = Random::new(seed);
    let end = stream.bank.start.plus_ms(HOUR * i64::from(stream.bank.windows - 1));
    let mut frontier = Frontier::new(broker, &stream.app);
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let mut next_kill = Instant::now() + moment(&mut random);
    let (mut kills, mut closed) = (0, false);
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| broker.feed(stream, |_| !stop.load(Ordering::Relaxed)));
        while !closed && fleet.are_alive() && started.elapsed() < PATIENCE {
            closed = frontier.reached(end);
            if !closed && kills < KILLS && Instant::now() >= next_kill {
                let victims = fleet.kill(random.bits() % 3);
                kills += 1;
                println!("kill {kills} after {:?}: {victims}", started.elapsed());
                if kills == GRACEFUL_AFTER {
                    fleet.stop();
                    fleet.start_what_is_down();
                }
                next_kill = Instant::now() + moment(&mut random);
            }
        }
        stop.store(!closed, Ordering::Relaxed);
        feeding.join().expect("all is written")
    });
    assert!(closed, "{} after {:?}; {}", frontier.said(), started.elapsed(), fleet.tail());
    println!("closed after {:?}", started.elapsed());
    kills
}

/// When to kill next: now and then so soon that it hits a restore.
fn moment(random: &mut Random) -> Duration {
    let (shortest, spread) = if random.one_in(3) { (0.2, 1.0) } else { (1.5, 5.0) };
    Duration::from_secs_f64(shortest + spread * random.unit())
}

/// Waits until each stage in turn has read all there is for it.
fn wait_until_read(broker: &Broker, stream: &Stream, fleet: &Fleet<'_>) {
    let app = &stream.app;
    let mut steps: Vec<(&str, String)> =
        TOPICS.iter().map(|kind| ("observe", stream.topic(*kind))).collect();
    for (stage, topic) in [("join", "facts"), ("assess", "summaries"), ("decide", "findings")] {
        steps.push((stage, format!("{app}.{topic}")));
    }
    for (stage, topic) in steps {
        let group = format!("{app}.{stage}");
        let end = broker.end(&topic);
        let read = || broker.committed(&group, &topic) >= end;
        let failed = || format!("{stage} has not read {topic}; {}", fleet.tail());
        wait::until(Duration::from_secs(60), read, failed);
    }
}

fn read(broker: &Broker, stream: &Stream, topic: &str) -> Vec<Internal> {
    let all = broker.read_all(&format!("{}.{topic}", stream.app));
    all.into_iter().map(Internal::from).collect()
}

/// Where sources end and how many orders each window has, by the generator alone.
fn generated(stream: &Stream) -> (Ends, BTreeMap<EventTime, u64>, BTreeMap<EventTime, u64>) {
    let mut ends = Ends::new();
    let mut orders: BTreeMap<EventTime, u64> = BTreeMap::new();
    let mut scores: BTreeMap<EventTime, u64> = BTreeMap::new();
    for row in stream.rows() {
        ends.insert((stream.topic(row.kind), row.partition), row.offset + 1);
        let window = EventTime(row.time.0.div_euclid(HOUR) * HOUR);
        match row.kind {
            TopicKind::Orders => *orders.entry(window).or_default() += 1,
            TopicKind::Scores => *scores.entry(window).or_default() += 1,
            TopicKind::Labels => {}
        }
    }
    (ends, orders, scores)
}

fn opened(heard: &[Heard]) -> Vec<Opened> {
    let text = |event: &Heard, path: &str| event.at(path).as_str().unwrap_or_default().to_owned();
    let mut opened: Vec<Opened> = heard
        .iter()
        .filter(|event| event.kind == "alarm.opened")
        .map(|event| {
            let version = event.at("/schema_version").as_str().map(str::to_owned);
            let first = event.at("/first_seen_ms").as_i64().expect("a time");
            (text(event, "/subject"), text(event, "/field"), text(event, "/kind"), version, first)
        })
        .collect();
    opened.sort();
    opened
}

#[test]
fn killed_at_random_it_loses_nothing_doubles_nothing_and_says_the_same() {
    let seed = std::env::var("DRIFTLINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| broker::now_ms().unsigned_abs());
    println!("DRIFTLINE_TEST_SEED={seed}");
    let broker = Broker::get();
    let app = broker::unique("kill");
    let story = Stream::story(&app, Form::Json, broker::now_ms());
    // The onset lies behind any baseline: when a layout begins to hold depends on the clock.
    let start = story.bank.start.plus_ms(-3 * HOUR);
    let bank = BankPlan { start, windows: 29, onset_window: 20, ..story.bank };
    let stream = Stream { bank, ..story };
    broker.create_topics(&TOPICS.map(|kind| stream.topic(kind)));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("drift.yaml");
    std::fs::write(&config, stream.config(&broker.servers, None)).expect("written");

    let mut fleet = Fleet::start(folder.path(), &config);
    let kills = run_and_kill(broker, &stream, &mut fleet, seed);
    wait_until_read(broker, &stream, &fleet);
    fleet.stop();
    assert!(kills >= 3, "only {kills} kills before the stream was read");

    let (plan, _) = stream.plan(None);
    let plan = Arc::new(plan);
    let (summaries, facts) = (read(broker, &stream, "summaries"), read(broker, &stream, "facts"));
    let findings = read(broker, &stream, "findings");
    let (ends, orders, scores) = generated(&stream);
    let commits = ledger::assert_contiguous("summaries", &summaries, SUMMARIES_PARTITIONS, &ends);
    ledger::assert_contiguous("facts", &facts, FACTS_PARTITIONS, &ends);
    ledger::assert_join_contiguous(&summaries, SUMMARIES_PARTITIONS);
    let records: i64 = ends.values().sum();
    println!("{kills} kills, {records} records, {} commits", commits / 8);

    let killed = ledger::totals(summaries.iter().map(|message| &message.payload[..]));
    assert_eq!(killed.rows, orders, "orders by window");
    assert_eq!(killed.predictions, scores, "predictions by window");
    again::assert_same_findings(&plan, &summaries, &findings);

    let started = Instant::now();
    let (undisturbed, events) = memory::run(&stream, &plan, broker::now_ms());
    println!("in memory {:?}", started.elapsed());
    let recorded = undisturbed.recorded().iter();
    let recorded = recorded.filter(|message| matches!(message.route, Route::Summaries(_)));
    let reference = ledger::totals(recorded.map(|message| &message.payload[..]));
    assert_eq!(killed.outcomes, reference.outcomes, "outcomes by window and cell");
    assert_eq!(killed.rows, reference.rows);

    let heard = heard::all(broker, &stream, &mut Decoder::new(None));
    println!("{}", heard::lines(&heard));
    heard::assert_story(&heard, &stream.version(SchemaRef::OrderV13));
    assert_eq!(opened(&heard), memory::opened(&events), "alarms");
    let requests = events.iter().filter_map(|event| match &event.data {
        EventData::ActionRequested(data) => Some(data.action.clone()),
        EventData::RetrainRequested(_) => Some("retrain".to_owned()),
        _ => None,
    });
    assert_eq!(heard::requests(&heard), requests.collect::<Vec<_>>(), "requests");
}
