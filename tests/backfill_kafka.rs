//! Thirty days of history read at full speed from a real broker while new records come: in order,
//! nothing late, and what lies in the past asks for nothing.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftline::demo::bank::BankPlan;
use driftline::event::progress::Header;
use driftline::event::public::{EventData, PublicEvent};
use driftline::event::summary::SummaryBatch;
use driftline::event::time::EventTime;
use driftline::event::wire;
use support::again::{self, Internal};
use support::broker::{self, Broker};
use support::heard::{self, Decoder, Heard};
use support::running::Running;
use support::settled::{self, TOPICS};
use support::stream::{Form, HOUR, PARTITIONS, Row, Stream};
use support::wait::{self, Frontier};

/// What counts as plausible is 30 days: the first records lie a few hours within, and labels come
/// up to six hours after the last window.
const WINDOWS: u32 = 710;
const LABELS: i64 = 6;
/// Written while the rest is being read.
const LIVE: u32 = 12;
/// Bad records come from then on, long before what may still act.
const ONSET: u32 = 240;
/// As the configuration of [`Stream::config`] says.
const ACT_WITHIN: i64 = 7 * 24 * HOUR;
/// Windows a partition may be ahead of the slowest, by default, and the one it is in.
const AHEAD: i64 = 4 + 1;
const READ_WITHIN: Duration = Duration::from_secs(240);

fn month(app: &str, now_ms: i64) -> Stream {
    let start = EventTime((now_ms - (i64::from(WINDOWS) + LABELS) * HOUR).div_euclid(HOUR) * HOUR);
    let bank = BankPlan {
        windows: WINDOWS,
        rows_per_window: 200,
        onset_window: ONSET,
        ..BankPlan::story(start)
    };
    // Every second prediction on a bad order is flagged, so that few rows are enough.
    Stream { app: app.to_owned(), bank, form: Form::Json, stronger: Some(2) }
}

/// How far partitions of a topic were apart at most, in event time, in any commit.
fn widest(broker: &Broker, stream: &Stream) -> i64 {
    let mut newest: BTreeMap<(String, i32), EventTime> = BTreeMap::new();
    let mut widest = 0;
    let summaries = broker.read_all(&format!("{}.summaries", stream.app));
    for read in summaries.iter().filter(|read| read.partition == 0) {
        let batch: SummaryBatch = wire::decode(&read.payload).expect("summaries decode");
        let Some(Header::Observe(lines)) = batch.header else { continue };
        for line in lines {
            assert_eq!(line.counts.accepted, line.counts.total(), "none is late: {line:?}");
            if let Some(time) = line.max_event_time {
                newest.insert((line.topic, line.partition), time);
            }
        }
        for topic in TOPICS.map(|kind| stream.topic(kind)) {
            let times = || newest.iter().filter(|((name, _), _)| *name == topic).map(|(_, t)| *t);
            let (first, last) = (times().min(), times().max());
            if let (Some(first), Some(last)) = (first, last) {
                widest = widest.max(last.since_ms(first));
            }
        }
    }
    assert_eq!(newest.len(), TOPICS.len() * PARTITIONS as usize, "every partition was read");
    widest
}

/// Everything said, in the order of topics.
fn said(broker: &Broker, stream: &Stream) -> Vec<Heard> {
    heard::all(broker, stream, &mut Decoder::new(None))
}

/// Requests that the same findings lead to where a month ago may still act.
fn requests_if_the_past_acted(broker: &Broker, stream: &Stream) -> usize {
    let (mut plan, _) = stream.plan(None);
    plan.act_within_ms = 2 * i64::from(WINDOWS) * HOUR;
    let findings = broker.read_all(&format!("{}.findings", stream.app));
    let findings: Vec<Internal> = findings.into_iter().map(Internal::from).collect();
    let events = again::events_of(&Arc::new(plan), &findings);
    let is_request = |event: &&PublicEvent| {
        matches!(event.data, EventData::RetrainRequested(_) | EventData::ActionRequested(_))
    };
    events.iter().filter(is_request).count()
}

#[test]
fn a_month_of_history_is_read_in_order_beside_the_present_and_asks_for_nothing() {
    let broker = Broker::get();
    let app = broker::unique("backfill");
    let stream = month(&app, broker::now_ms());
    broker.create_topics(&TOPICS.map(|kind| stream.topic(kind)));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("drift.yaml");
    std::fs::write(&config, stream.config(&broker.servers, None)).expect("written");

    let rows: Vec<Row> = stream.rows().collect();
    let live_from = stream.bank.start.plus_ms(i64::from(WINDOWS - LIVE) * HOUR);
    let (past, present) = rows.split_at(rows.partition_point(|row| row.time < live_from));
    broker.fill(&stream, past.iter());
    let running = Running::start(folder.path(), &config, &[]);
    let started = Instant::now();
    broker.fill(&stream, present.iter());
    // Windows wait for lateness and outcomes for their horizon; the last ones stay open.
    let mut frontier = Frontier::new(broker, &app);
    let end = stream.bank.end().plus_ms(-HOUR);
    let failed = || format!("windows up to {end:?} are not judged; {}", running.tail());
    wait::until(READ_WITHIN, || frontier.reached(end), failed);
    let took = started.elapsed();
    settled::wait_until_read(broker, &stream, &running);
    let (status, _) = running.terminate(Duration::from_secs(20));
    assert_eq!(status.code(), Some(0), "after SIGTERM");

    let widest = widest(broker, &stream);
    let (heard, otherwise) = (said(broker, &stream), requests_if_the_past_acted(broker, &stream));
    println!(
        "{} records of {WINDOWS} windows judged in {took:?}; partitions at most {:.1} h apart; \
         {} events, which would have asked {otherwise} times",
        rows.len(),
        widest as f64 / HOUR as f64,
        heard.len()
    );
    assert!(widest <= AHEAD * HOUR, "partitions were {widest} ms apart");
    assert_past_is_past(&heard);
    assert!(otherwise > 0, "there was something to ask for:\n{}", heard::lines(&heard));
}

/// What is told of the past says so, and asks for nothing.
fn assert_past_is_past(heard: &[Heard]) {
    let incidents = || heard.iter().filter(|event| event.kind.starts_with("incident."));
    let said = incidents().map(Heard::line).collect::<Vec<_>>().join("\n");
    let blamed = incidents().any(|event| event.at("/causes/0/schema_version") == "13");
    assert!(blamed, "the cause is named:\n{said}");
    let last = EventTime(broker::now_ms() - ACT_WITHIN - HOUR);
    for event in heard {
        let end = event.at("/window/end_ms").as_i64();
        if end.is_some_and(|end| end < last.0) {
            assert_eq!(event.at("/backfill"), true, "{event:?}");
        }
        assert!(!event.kind.ends_with("requested"), "{event:?}\n{said}");
    }
}
