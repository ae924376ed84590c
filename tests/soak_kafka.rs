//! Half an hour under steady load with faults: memory, descriptors and threads stay level, and the
//! ledger is whole at the end.
//!
//! Ignored, and so counted as not run, unless it is asked for:
//! `DRIFTLINE_SOAK=30 cargo test --release --test soak_kafka -- --ignored --nocapture`, where the
//! number is minutes of load. First it measures how many records a second go through on this
//! machine, feeding included, and then loads with 60 % of that; `DRIFTLINE_SOAK_RATE` sets another
//! rate, for a machine that does other things beside.
//!
//! Four processes of the real binary: on slot 0 one that observes and one for the rest, which live
//! through all of it and whose memory counts; on slot 1 the same, which are killed with signal 9,
//! stopped with SIGTERM and started again, also while the registry is away.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod soak_support;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use driftline::demo::bank::{BankPlan, TopicKind};
use driftline::event::fact::FactBatch;
use driftline::event::route::{FACTS_PARTITIONS, SUMMARIES_PARTITIONS};
use driftline::event::summary::SummaryBatch;
use driftline::event::time::EventTime;
use driftline::event::wire;
use soak_support::gate::Gate;
use soak_support::vitals::{Sample, median, trend};
use support::again::Internal;
use support::broker::{self, Broker};
use support::ledger::{self, Ends};
use support::registry::RegistryClient;
use support::running::Running;
use support::stream::{Form, HOUR, Stream};
use support::wait::{self, Frontier};

/// Part of the measured speed that is asked for.
const LOAD: f64 = 0.6;
/// An order, its score and its label.
const RECORDS_AN_ORDER: f64 = 3.0;
/// Time a window of the stream takes at least.
const WINDOW: Duration = Duration::from_secs(5);
/// Windows at most: the whole stream lies within the 30 days that count as plausible.
const WINDOWS_MAX: u32 = 600;
/// Windows fed as fast as they are taken, to measure the speed; the first ones do not count.
const MEASURED: (u32, u32) = (4, 20);
/// Between two faults, and how long the registry is away.
const CALM: Duration = Duration::from_secs(20);
const AWAY: Duration = Duration::from_secs(8);
/// What a level line of memory may rise over the time looked at: a part, and MiB.
const RISE_MAX: (f64, f64) = (0.10, 8.0);
/// Descriptors or threads that may be more in the last part than in the one before: a client that
/// was open at that moment.
const MORE_MAX: u64 = 4;
const STAGES: [&str; 2] = ["observe", "join,assess,decide"];
const TOPICS: [TopicKind; 3] = [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels];

/// What strikes the processes of slot 1.
#[derive(Clone, Copy, Debug)]
enum Fault {
    Kill(usize),
    Stop(usize),
    /// The one that observes is killed and starts while there is no registry.
    RegistryAway,
}

const FAULTS: [Fault; 5] =
    [Fault::Kill(0), Fault::Stop(1), Fault::RegistryAway, Fault::Kill(1), Fault::Stop(0)];

/// The processes: by slot, by [`STAGES`].
struct Fleet<'a> {
    folder: &'a Path,
    running: Vec<[Option<Running>; 2]>,
}

impl<'a> Fleet<'a> {
    fn start(folder: &'a Path, slots: usize) -> Fleet<'a> {
        let running = (0..slots).map(|_| [None, None]).collect();
        let mut fleet = Fleet { folder, running };
        // The first one makes the topics, as in a rolling start.
        fleet.start_one(0, 0);
        let at_work = || fleet.tail().contains("partitions assigned");
        wait::until(Duration::from_secs(60), at_work, || fleet.tail());
        for (slot, which) in (0..slots).flat_map(|slot| [(slot, 0), (slot, 1)]) {
            if (slot, which) != (0, 0) {
                fleet.start_one(slot, which);
            }
        }
        fleet
    }

    fn start_one(&mut self, slot: usize, which: usize) {
        let config = self.folder.join("drift.yaml");
        let slot_text = slot.to_string();
        let arguments = ["--stages", STAGES[which], "--slot", &slot_text];
        self.running[slot][which] = Some(Running::start(self.folder, &config, &arguments));
    }

    fn take(&mut self, slot: usize, which: usize) -> Running {
        self.running[slot][which].take().expect("running")
    }

    fn stop_one(&mut self, slot: usize, which: usize) {
        let (status, _) = self.take(slot, which).terminate(Duration::from_secs(20));
        assert_eq!(status.code(), Some(0), "after SIGTERM");
    }

    fn strike(&mut self, fault: Fault, gate: &Gate) {
        let which = match fault {
            Fault::Kill(which) | Fault::Stop(which) => which,
            Fault::RegistryAway => 0,
        };
        gate.shut(matches!(fault, Fault::RegistryAway));
        match fault {
            Fault::Stop(_) => self.stop_one(1, which),
            Fault::Kill(_) | Fault::RegistryAway => self.take(1, which).kill(),
        }
        self.start_one(1, which);
    }

    fn stop(&mut self) {
        for slot in 0..self.running.len() {
            (0..STAGES.len()).for_each(|which| self.stop_one(slot, which));
        }
    }

    fn are_alive(&mut self) -> bool {
        self.running.iter_mut().flatten().flatten().all(Running::is_alive)
    }

    fn tail(&self) -> String {
        self.running[0][0].as_ref().map_or(String::new(), Running::tail)
    }
}

/// The bank's stream of so many windows, its topics made and its configuration written.
fn prepare(folder: &Path, gate: &Gate, app: &str, windows: u32, rows: u32) -> Stream {
    let broker = Broker::get();
    let app = broker::unique(app);
    let url = format!("http://{}/apis/ccompat/v7", gate.address());
    let form = Form::Avro(RegistryClient::new(&url).register(&app));
    let story = Stream::story(&app, form, broker::now_ms());
    let start =
        EventTime((broker::now_ms() - (i64::from(windows) + 5) * HOUR).div_euclid(HOUR) * HOUR);
    let bank =
        BankPlan { start, windows, rows_per_window: rows, onset_window: windows / 4, ..story.bank };
    let stream = Stream { bank, ..story };
    broker.create_topics(&TOPICS.map(|kind| stream.topic(kind)));
    std::fs::write(folder.join("drift.yaml"), stream.config(&broker.servers, Some(&url)))
        .expect("written");
    stream
}

fn window_end(stream: &Stream, windows: u32) -> EventTime {
    stream.bank.start.plus_ms(HOUR * i64::from(windows))
}

/// Records a second from source to findings, fed as fast as they are taken.
fn measure(gate: &Gate) -> f64 {
    let broker = Broker::get();
    let folder = tempfile::tempdir().expect("a folder");
    let story = BankPlan::story(EventTime(0));
    let (first, last) = MEASURED;
    let stream = prepare(folder.path(), gate, "soak-speed", last + 1, story.rows_per_window);
    let mut fleet = Fleet::start(folder.path(), 2);
    let mut frontier = Frontier::new(broker, &stream.app);
    let took = std::thread::scope(|scope| {
        scope.spawn(|| broker.feed(&stream, |_| true));
        let mut reached = |windows: u32| {
            let patience = Duration::from_secs(300);
            let end = window_end(&stream, windows);
            let until = Instant::now() + patience;
            while !frontier.reached(end) {
                assert!(Instant::now() < until, "{} in {patience:?}", frontier.said());
            }
            Instant::now()
        };
        let from = reached(first);
        reached(last) - from
    });
    fleet.stop();
    let records = f64::from((last - first) * story.rows_per_window) * RECORDS_AN_ORDER;
    records / took.as_secs_f64()
}

/// Feeds evenly until the stream ends, strikes now and then, and watches those that live on.
/// Gives their samples, by [`STAGES`].
fn load(stream: &Stream, window: Duration, fleet: &mut Fleet<'_>, gate: &Gate) -> [Vec<Sample>; 2] {
    let broker = Broker::get();
    let stop = AtomicBool::new(false);
    let started = Instant::now();
    let due = |time: EventTime| {
        let windows = time.since_ms(stream.bank.start) as f64 / HOUR as f64;
        started + window.mul_f64(windows)
    };
    // Labels come for four hours after the last order: not fed, so that the load ends evenly.
    let end = window_end(stream, stream.bank.windows);
    let mut samples = [Vec::new(), Vec::new()];
    let mut faults = FAULTS.iter().cycle();
    let (mut next_fault, mut struck, mut back) = (started + CALM, 0, started);
    std::thread::scope(|scope| {
        let feeding = scope.spawn(|| {
            broker.feed(stream, |row| {
                std::thread::sleep(due(row.time).saturating_duration_since(Instant::now()));
                row.time < end && !stop.load(Ordering::Relaxed)
            })
        });
        while !feeding.is_finished() && fleet.are_alive() {
            std::thread::sleep(Duration::from_secs(1));
            for (which, samples) in samples.iter_mut().enumerate() {
                let process = fleet.running[0][which].as_ref().expect("running").id();
                samples.extend(Sample::take(process, started.elapsed()));
            }
            let now = Instant::now();
            if now >= back {
                gate.shut(false);
            }
            if now >= next_fault && now < due(end) - CALM {
                let fault = faults.next().expect("they go round");
                fleet.strike(*fault, gate);
                struck += 1;
                (next_fault, back) = (now + CALM, now + AWAY);
            }
        }
        gate.shut(false);
        let alive = fleet.are_alive();
        stop.store(!alive, Ordering::Relaxed);
        let records = feeding.join().expect("all is written");
        let rate = records as f64 / started.elapsed().as_secs_f64();
        assert!(alive, "a process ended by itself; {}", fleet.tail());
        println!("{records} records, {rate:.0}/s, {struck} faults, {:?}", started.elapsed());
    });
    samples
}

/// What lives on, after the first third, which is warming up: says how it went, and gives what is
/// not level.
fn grown(name: &str, samples: &[Sample]) -> Vec<String> {
    const LINES: usize = 20;
    let third = samples.len() / 3;
    for some in samples.chunks(samples.len().div_ceil(LINES)) {
        let mean = some.iter().map(|sample| sample.rss_mib).sum::<f64>() / some.len() as f64;
        println!("{name}: {mean:.1} MiB from {:.0} s on", some[0].at.as_secs_f64());
    }
    let (warm, last) = (&samples[third..], &samples[2 * third..]);
    let trend = trend(warm);
    println!("{name}: {trend:.1?}, {} samples", warm.len());
    let mut grown = Vec::new();
    if trend.rise > (trend.mean * RISE_MAX.0).max(RISE_MAX.1) {
        grown.push(format!("{name}: memory, {trend:.1?}"));
    }
    let descriptors: fn(&Sample) -> u64 = |sample| sample.descriptors;
    let threads: fn(&Sample) -> u64 = |sample| sample.threads;
    for (sign, of) in [("descriptors", descriptors), ("threads", threads)] {
        let (before, after) = (median(&samples[third..2 * third], of), median(last, of));
        println!("{name}: {sign} {before}, then {after}");
        if after > before + MORE_MAX {
            grown.push(format!("{name}: {sign} from {before} to {after}"));
        }
    }
    grown
}

/// A topic without the counts: what the ledger is checked by, small enough for any length.
fn internal(stream: &Stream, topic: &str, strip: fn(&[u8]) -> Vec<u8>) -> Vec<Internal> {
    const SILENT: u32 = 100;
    let reader = Broker::get().reader(&[format!("{}.{topic}", stream.app)]);
    let (mut all, mut silent) = (Vec::new(), 0);
    // Everything has been stopped: what is there comes, and then nothing.
    while silent < SILENT {
        match reader.next() {
            Some((_, read)) => {
                silent = 0;
                let payload = strip(&read.payload);
                all.push(Internal::from(broker::Read { payload, ..read }));
            }
            None => silent += 1,
        }
    }
    all.sort_by_key(|message| (message.partition, message.offset));
    all
}

fn strip_summaries(payload: &[u8]) -> Vec<u8> {
    let mut batch: SummaryBatch = wire::decode(payload).expect("summaries decode");
    let cells = batch.datasets.iter_mut().flat_map(|delta| &mut delta.cells);
    cells.for_each(|cell| cell.fields.clear());
    batch.samples.clear();
    batch.schemas.clear();
    wire::encode(&batch)
}

fn strip_facts(payload: &[u8]) -> Vec<u8> {
    let mut batch: FactBatch = wire::decode(payload).expect("facts decode");
    batch.predictions.clear();
    batch.outcomes.clear();
    wire::encode(&batch)
}

type Rows = BTreeMap<EventTime, u64>;

/// Where sources end, and orders and scores by window, by the generator alone.
fn fed(stream: &Stream) -> (Ends, Rows, Rows) {
    let (mut ends, mut orders, mut scores) = (Ends::new(), Rows::new(), Rows::new());
    let written: Ends =
        TOPICS.iter().flat_map(|kind| Broker::get().ends(&stream.topic(*kind))).collect();
    for row in stream.rows() {
        let place = (stream.topic(row.kind), row.partition);
        if row.offset >= written[&place] {
            continue;
        }
        ends.insert(place, row.offset + 1);
        let window = EventTime(row.time.0.div_euclid(HOUR) * HOUR);
        match row.kind {
            TopicKind::Orders => *orders.entry(window).or_default() += 1,
            TopicKind::Scores => *scores.entry(window).or_default() += 1,
            TopicKind::Labels => {}
        }
    }
    assert_eq!(ends, written, "what was written is the stream's");
    (ends, orders, scores)
}

fn assert_ledger(stream: &Stream) {
    let summaries = internal(stream, "summaries", strip_summaries);
    let facts = internal(stream, "facts", strip_facts);
    let (ends, orders, scores) = fed(stream);
    let commits = ledger::assert_contiguous("summaries", &summaries, SUMMARIES_PARTITIONS, &ends);
    ledger::assert_contiguous("facts", &facts, FACTS_PARTITIONS, &ends);
    ledger::assert_join_contiguous(&summaries, SUMMARIES_PARTITIONS);
    let totals = ledger::totals(summaries.iter().map(|message| &message.payload[..]));
    assert_eq!(totals.rows, orders, "orders by window");
    assert_eq!(totals.predictions, scores, "predictions by window");
    let records: i64 = ends.values().sum();
    println!("{records} records, each once in {} commits", commits / 8);
}

#[test]
#[ignore = "takes DRIFTLINE_SOAK minutes; the command is at the top of the file"]
fn steady_load_with_faults_leaves_memory_level_and_the_ledger_whole() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let minutes: f64 = number("DRIFTLINE_SOAK").expect("DRIFTLINE_SOAK=<minutes> is set");
    let broker = Broker::get();
    let server = broker.registry.trim_start_matches("http://");
    let gate = Gate::new(server.split('/').next().expect("host and port"));
    let rate = number("DRIFTLINE_SOAK_RATE").unwrap_or_else(|| {
        let speed = measure(&gate);
        println!("{speed:.0} records/s go through");
        LOAD * speed
    });
    let soak = Duration::from_secs_f64(60.0 * minutes);
    let window = WINDOW.max(soak / WINDOWS_MAX);
    let windows = (soak.as_secs_f64() / window.as_secs_f64()).ceil() as u32;
    let rows = (rate / RECORDS_AN_ORDER * window.as_secs_f64()) as u32;
    println!("{minutes} minutes at {rate:.0} records/s: {windows} windows of {rows} orders");

    let folder = tempfile::tempdir().expect("a folder");
    let stream = prepare(folder.path(), &gate, "soak", windows, rows);
    let mut fleet = Fleet::start(folder.path(), 2);
    let samples = load(&stream, window, &mut fleet, &gate);
    for kind in TOPICS {
        let topic = stream.topic(kind);
        let end: i64 = broker.ends(&topic).values().sum();
        let read = || broker.committed(&format!("{}.observe", stream.app), &topic) >= end;
        wait::until(Duration::from_secs(120), read, || format!("{topic}: {}", fleet.tail()));
    }
    fleet.stop();
    assert_ledger(&stream);
    let all = STAGES.iter().zip(&samples);
    let grown: Vec<String> = all.flat_map(|(name, samples)| grown(name, samples)).collect();
    assert!(grown.is_empty(), "not level: {grown:#?}");
}
