//! Faults at random moments under load, on a broker of its own: nothing is lost, nothing is
//! doubled, and what is said is what an undisturbed run says.
//!
//! Two to four processes with all stages. They are killed and started in place, killed and left
//! down until the others have taken over, frozen past their session and let go on, stopped and
//! started in order, added and taken away; a source gets more partitions; the broker is killed.
//! After each fault every source partition must be committed anew, which is timed.
//!
//! The seed of the schedule is printed; `DRIFTLINE_TEST_SEED` takes one. 25 kills by default;
//! `DRIFTLINE_CHAOS_KILLS` asks for more, and from 100 on the broker also stays away for 60 s.
//! `DRIFTLINE_CHAOS_KAFKA_PORT` moves the broker (29192).
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod chaos_support;
mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use chaos_support::fault::{Fault, schedule};
use chaos_support::fleet::Fleet;
use chaos_support::headers::Headers;
use chaos_support::times::Times;
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
use support::own_broker::OwnBroker;
use support::random::Random;
use support::stream::{Form, HOUR, PARTITIONS, Row, Stream};
use support::wait::{self, Frontier};

/// A fault must be over after this long.
const PATIENCE: Duration = Duration::from_secs(120);
/// What one fault takes, about; the load is spread over it.
const FAULT_TAKES: Duration = Duration::from_secs(5);
const TOPICS: [TopicKind; 3] = [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels];
/// From now on one in so many orders goes to the partition that was added.
const ONE_IN: i64 = 5;

/// What the load and the faults tell each other.
#[derive(Default)]
struct Between {
    /// Steps of the load that belong to the faults until now: it must not end before them.
    allowed: AtomicU32,
    /// The added partition is known to those who read it.
    widened: AtomicBool,
}

/// Writes the stream in steps of event time; gives where each source partition ends.
fn feed(broker: &Broker, stream: &Stream, pause: Duration, between: &Between) -> Ends {
    let mut ends: Ends = TOPICS
        .iter()
        .flat_map(|kind| (0..PARTITIONS).map(|partition| ((stream.topic(*kind), partition), 0)))
        .collect();
    let mut step = 0;
    let pace = |_: &Row| {
        step += 1;
        let allowed = || between.allowed.load(Ordering::Relaxed);
        while allowed() < step {
            std::thread::sleep(Duration::from_millis(50));
        }
        if allowed() < u32::MAX {
            std::thread::sleep(pause);
        }
        true
    };
    broker.feed_into(stream, pace, |row| {
        let widened = row.kind == TopicKind::Orders && between.widened.load(Ordering::Relaxed);
        let moves = widened && row.offset % ONE_IN == 0;
        let partition = if moves { PARTITIONS } else { row.partition };
        *ends.entry((stream.topic(row.kind), partition)).or_default() += 1;
        partition
    });
    ends
}

/// One run: its load, its faults, and who looks on.
struct Run<'a> {
    own: &'a OwnBroker,
    broker: &'a Broker,
    stream: &'a Stream,
    fleet: Fleet<'a>,
    headers: Headers<'a>,
    times: Times,
    between: &'a Between,
}

impl Run<'_> {
    /// Commits one fault and waits until it is over.
    fn commit(&mut self, fault: Fault, random: &mut Random) {
        let started = Instant::now();
        let slot = self.fleet.any(random);
        match fault {
            Fault::RestartInPlace => self.fleet.kill_and_start(slot),
            Fault::KilledAgain => {
                self.fleet.kill_and_start(slot);
                std::thread::sleep(Duration::from_secs_f64(0.2 + random.unit()));
                self.fleet.kill_and_start(slot);
            }
            Fault::Failover => self.fleet.kill(slot),
            Fault::Frozen => self.fleet.freeze(slot, Duration::from_secs(9)),
            Fault::StoppedInOrder => {
                self.fleet.stop(slot);
                self.fleet.start(slot);
            }
            Fault::Joins => self.fleet.start_guest(),
            Fault::Leaves => self.fleet.stop_guest(),
            Fault::Widened => self.widen(),
            Fault::BrokerKilled { away } => {
                self.own.kill();
                std::thread::sleep(away);
                self.own.up();
            }
        }
        // What was committed until now may be the victim's.
        self.over(broker::now_ms(), started, fault);
        self.times.add(fault, started.elapsed());
        if fault == Fault::Failover {
            self.fleet.start(slot);
        }
    }

    fn over(&mut self, since_ms: i64, started: Instant, fault: Fault) {
        while !self.headers.all_newer_than(since_ms) {
            let waited = started.elapsed();
            let lagging = || self.headers.older_than(since_ms);
            let tail = || self.fleet.tail();
            assert!(waited < PATIENCE, "{fault:?}: {:?} not committed; {}", lagging(), tail());
            self.fleet.assert_all_run();
        }
        println!("{fault:?}: over after {:.1?}", started.elapsed());
    }

    fn widen(&mut self) {
        let topic = self.stream.topic(TopicKind::Orders);
        self.broker.widen(&topic, usize::try_from(PARTITIONS + 1).expect("small"));
        self.headers.expect(&topic, PARTITIONS);
        let started = Instant::now();
        while self.headers.is_missing(&topic, PARTITIONS) {
            assert!(started.elapsed() < PATIENCE, "never read; {}", self.fleet.tail());
        }
        self.between.widened.store(true, Ordering::Relaxed);
    }

    /// Waits until all windows but the last are closed, then until each stage in turn has read
    /// all there is for it.
    fn finish(&mut self) {
        let end = self.stream.bank.start.plus_ms(HOUR * i64::from(self.stream.bank.windows - 1));
        let mut frontier = Frontier::new(self.broker, &self.stream.app);
        let started = Instant::now();
        while !frontier.reached(end) {
            let tail = || self.fleet.tail();
            assert!(started.elapsed() < 2 * PATIENCE, "{}; {}", frontier.said(), tail());
        }
        let app = &self.stream.app;
        let sources = TOPICS.iter().map(|kind| ("observe", self.stream.topic(*kind)));
        let internal = [("join", "facts"), ("assess", "summaries"), ("decide", "findings")];
        let internal = internal.map(|(stage, topic)| (stage, format!("{app}.{topic}")));
        for (stage, topic) in sources.chain(internal) {
            let group = format!("{app}.{stage}");
            let end = self.broker.end(&topic);
            let read = || self.broker.committed(&group, &topic) >= end;
            let failed = || format!("{stage} has not read {topic}; {}", self.fleet.tail());
            wait::until(Duration::from_secs(60), read, failed);
        }
    }
}

fn kills() -> usize {
    let asked = std::env::var("DRIFTLINE_CHAOS_KILLS").ok();
    asked.map_or(25, |kills| kills.parse().expect("DRIFTLINE_CHAOS_KILLS is a number"))
}

fn read(broker: &Broker, stream: &Stream, topic: &str) -> Vec<Internal> {
    let all = broker.read_all(&format!("{}.{topic}", stream.app));
    all.into_iter().map(Internal::from).collect()
}

/// How many orders and scores each window has, by the generator alone.
fn generated(stream: &Stream) -> (BTreeMap<EventTime, u64>, BTreeMap<EventTime, u64>) {
    let mut orders: BTreeMap<EventTime, u64> = BTreeMap::new();
    let mut scores: BTreeMap<EventTime, u64> = BTreeMap::new();
    for row in stream.rows() {
        let window = EventTime(row.time.0.div_euclid(HOUR) * HOUR);
        match row.kind {
            TopicKind::Orders => *orders.entry(window).or_default() += 1,
            TopicKind::Scores => *scores.entry(window).or_default() += 1,
            TopicKind::Labels => {}
        }
    }
    (orders, scores)
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

/// Runs the load and the faults; gives where the sources end.
fn run(own: &OwnBroker, broker: &Broker, stream: &Stream, random: &mut Random) -> Ends {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("drift.yaml");
    std::fs::write(&config, stream.config(&broker.servers, None)).expect("written");
    let faults = schedule(kills(), random);
    // The load has six steps per window.
    let steps = 6 * stream.bank.windows / u32::try_from(faults.len()).expect("not so many");
    let steps = steps.max(1);
    let between = Between { allowed: AtomicU32::new(steps), ..Between::default() };
    let fleet = Fleet::start_all(folder.path(), &config);
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| feed(broker, stream, FAULT_TAKES / steps, &between));
        let places =
            TOPICS.iter().flat_map(|kind| (0..PARTITIONS).map(|p| (stream.topic(*kind), p)));
        let headers = Headers::new(broker, &stream.app, places);
        let (times, between) = (Times::default(), &between);
        let mut run = Run { own, broker, stream, fleet, headers, times, between };
        let started = Instant::now();
        run.over(0, started, Fault::Joins);
        for (index, fault) in faults.iter().enumerate() {
            print!("{:.0?} {}/{} ", started.elapsed(), index + 1, faults.len());
            run.commit(*fault, random);
            between.allowed.fetch_add(steps, Ordering::Relaxed);
            std::thread::sleep(Duration::from_secs_f64(0.2 + 1.5 * random.unit()));
        }
        between.allowed.store(u32::MAX, Ordering::Relaxed);
        let ends = feeding.join().expect("all is written");
        run.finish();
        run.fleet.stop_all();
        println!("{} kills in {:.0?}", run.fleet.kills, started.elapsed());
        println!("{}", run.times);
        ends
    })
}

#[test]
fn under_faults_at_random_it_loses_nothing_doubles_nothing_and_says_the_same() {
    let seed = std::env::var("DRIFTLINE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(|| broker::now_ms().unsigned_abs());
    println!("DRIFTLINE_TEST_SEED={seed}");
    let own = OwnBroker::start("DRIFTLINE_CHAOS_KAFKA_PORT", 29192);
    let broker = &own.access();
    let story = Stream::story(&broker::unique("chaos"), Form::Json, broker::now_ms());
    // The onset lies behind any baseline: when a layout begins to hold depends on the clock.
    let start = story.bank.start.plus_ms(-3 * HOUR);
    let bank = BankPlan { start, windows: 29, onset_window: 20, ..story.bank };
    let stream = Stream { bank, ..story };
    broker.create_topics(&TOPICS.map(|kind| stream.topic(kind)));

    let ends = run(&own, broker, &stream, &mut Random::new(seed));

    let (plan, _) = stream.plan(None);
    let plan = Arc::new(plan);
    let (summaries, facts) = (read(broker, &stream, "summaries"), read(broker, &stream, "facts"));
    let findings = read(broker, &stream, "findings");
    let (orders, scores) = generated(&stream);
    let commits = ledger::assert_contiguous("summaries", &summaries, SUMMARIES_PARTITIONS, &ends);
    ledger::assert_contiguous("facts", &facts, FACTS_PARTITIONS, &ends);
    ledger::assert_join_contiguous(&summaries, SUMMARIES_PARTITIONS);
    let records: i64 = ends.values().sum();
    println!("{records} records, {} commits", commits / 8);

    let disturbed = ledger::totals(summaries.iter().map(|message| &message.payload[..]));
    assert_eq!(disturbed.rows, orders, "orders by window");
    assert_eq!(disturbed.predictions, scores, "predictions by window");
    again::assert_same_findings(&plan, &summaries, &findings);

    let (undisturbed, events) = memory::run(&stream, &plan, broker::now_ms());
    let recorded = undisturbed.recorded().iter();
    let recorded = recorded.filter(|message| matches!(message.route, Route::Summaries(_)));
    let reference = ledger::totals(recorded.map(|message| &message.payload[..]));
    assert_eq!(disturbed.outcomes, reference.outcomes, "outcomes by window and cell");
    assert_eq!(disturbed.rows, reference.rows);

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
