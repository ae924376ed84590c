//! A ledger that breaks and configurations that differ, in memory: said once, by name, and over
//! when it is mended.
#![allow(clippy::disallowed_types, reason = "the shared support reads the clock elsewhere")]

mod support;

use std::sync::Arc;

use driftline::assess::Assess;
use driftline::config::plan::Plan;
use driftline::demo::bank::{BankPlan, TopicKind};
use driftline::event::epoch::{Rewound, RewoundSource};
use driftline::event::finding::Subject;
use driftline::event::progress::{Header, Progress};
use driftline::event::public::{EventData, IncidentData};
use driftline::event::route::{Note, Outbox, Route, SUMMARIES_PARTITIONS};
use driftline::event::summary::SummaryBatch;
use driftline::event::time::EventTime;
use driftline::event::wire;
use driftline::stage::{Incoming, Stage};
use driftline::topology::Topology;
use support::memory;
use support::stream::{Form, HOUR, Stream};

const NOW: i64 = 1_700_000_000_000;

fn stream() -> Stream {
    let story = Stream::story("incidents", Form::Json, NOW);
    let bank = BankPlan { windows: 6, rows_per_window: 100, onset_window: 4, ..story.bank };
    Stream { bank, ..story }
}

/// Incidents of a kind in the order they were said.
fn incidents(out: &Outbox, kind: &str) -> Vec<IncidentData> {
    let all = out.events.iter().filter_map(|event| match &event.data {
        EventData::Incident(data) if data.causes[0].kind == kind => Some((**data).clone()),
        _ => None,
    });
    all.collect()
}

fn tell_all(topology: &mut Topology, header: &Header, now_ms: i64, out: &mut Outbox) {
    for partition in 0..SUMMARIES_PARTITIONS {
        let batch = SummaryBatch { header: Some(header.clone()), ..SummaryBatch::default() };
        topology.deliver(Route::Summaries(partition), wire::encode(&batch), now_ms, out);
    }
}

/// A header that continues what `topic` partition 0 said last, from another offset.
fn jump(topology: &Topology, topic: &str, by: i64) -> Progress {
    let mut last = None;
    for recorded in topology.recorded() {
        let Route::Summaries(_) = recorded.route else { continue };
        let batch: SummaryBatch = wire::decode(&recorded.payload).expect("ours");
        if let Some(Header::Observe(lines)) = batch.header {
            last = lines.into_iter().find(|l| l.topic == topic && l.partition == 0).or(last);
        }
    }
    let last = last.expect("it was read");
    Progress { from: last.to + by, to: last.to + by, ..last }
}

#[test]
fn a_broken_ledger_is_one_incident_that_names_offsets_and_ends_with_a_rewind() {
    let stream = stream();
    let plan = Arc::new(stream.plan(None).0);
    let (mut topology, _) = memory::run(&stream, &plan, NOW);
    let topic = stream.topic(TopicKind::Orders);
    let line = jump(&topology, &topic, 7);
    let mut out = Outbox::default();

    tell_all(&mut topology, &Header::Observe(vec![line.clone()]), NOW, &mut out);
    tell_all(&mut topology, &Header::Observe(vec![line.clone()]), NOW, &mut out);

    let said = incidents(&out, "integrity");
    assert_eq!(said.len(), 1, "every shard hears of it, and it is said once: {said:#?}");
    let (expected, got) = (line.from - 7, line.from);
    assert_eq!(said[0].causes[0].name, format!("{topic}/0"));
    let offsets = format!("offsets {expected} to {} were never counted", got - 1);
    assert_eq!(said[0].causes[0].evidence, offsets);
    assert_eq!(
        (said[0].state.as_str(), &said[0].subjects[..]),
        ("opened", &["dataset/orders".to_owned()][..])
    );
    assert!(said[0].sentence.contains("driftline rewind"), "{}", said[0].sentence);
    let counted = out.notes.iter().any(|note| {
        matches!(note, Note::Count { name: "integrity_breach", n: 7, subject } if *subject == format!("{topic}/0"))
    });
    assert!(counted, "{:?}", out.notes);

    let source = RewoundSource {
        topic: topic.clone(),
        partition: 0,
        partition_count: line.partition_count,
        from: 0,
        max_event_time: None,
        newest_append_ms: None,
    };
    let subjects = vec![
        (Subject::Dataset("orders".into()), EventTime::MIN),
        (Subject::Model("fraud".into()), EventTime::MIN),
    ];
    let rewound = Rewound { epoch: 1, sources: vec![source], facts: Vec::new(), subjects };
    let mut out = Outbox::default();
    tell_all(&mut topology, &Header::Rewound(rewound), NOW + 1, &mut out);

    let said = incidents(&out, "integrity");
    assert_eq!(said.len(), 1, "{said:#?}");
    assert_eq!((said[0].state.as_str(), said[0].revision), ("resolved", 1));
}

#[test]
fn records_given_up_are_one_incident_that_names_them_and_is_over() {
    let stream = stream();
    let plan = Arc::new(stream.plan(None).0);
    let (mut topology, _) = memory::run(&stream, &plan, NOW);
    let topic = stream.topic(TopicKind::Orders);
    let line = jump(&topology, &topic, 7);
    let source = RewoundSource {
        topic: topic.clone(),
        partition: 0,
        partition_count: line.partition_count,
        from: line.from,
        max_event_time: line.max_event_time,
        newest_append_ms: line.newest_append_ms,
    };
    let rewound = Rewound { epoch: 1, sources: vec![source], ..Rewound::default() };
    let mut out = Outbox::default();

    tell_all(&mut topology, &Header::Rewound(rewound), NOW, &mut out);
    tell_all(&mut topology, &Header::Observe(vec![line.clone()]), NOW + 1, &mut out);

    let said = incidents(&out, "integrity");
    let states: Vec<&str> = said.iter().map(|incident| incident.state.as_str()).collect();
    assert_eq!(states, ["opened", "resolved"], "{said:#?}");
    let offsets = format!("offsets {} to {} were never counted", line.from - 7, line.from - 1);
    assert_eq!(said[1].causes[0].evidence, offsets);
    assert_eq!(said[1].causes[0].name, format!("{topic}/0"));
    assert!(said[1].sentence.contains("went on without"), "{}", said[1].sentence);
}

#[test]
fn a_subject_that_nobody_judges_is_an_incident() {
    let stream = stream();
    let plan = Arc::new(stream.plan(None).0);
    let mut less = (*plan).clone();
    less.datasets.remove("orders");
    less.models.clear();
    let less = Arc::new(less);
    let (theirs, _) = memory::run(&stream, &plan, NOW);

    let (rows, out) = rows_judged(&less, &theirs);

    assert_eq!(rows, 0);
    let mut topology = Topology::new(&less);
    let mut said = Outbox::default();
    for message in out.messages.into_iter().filter(|message| message.route == Route::Findings) {
        topology.deliver(Route::Findings, message.payload, NOW, &mut said);
    }
    let mut told = incidents(&said, "config_mismatch");
    told.retain(|incident| incident.subjects == ["dataset/orders"]);
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(told[0].sentence.contains("two deployments have the same app"), "{told:#?}");
}

/// What was written for a shard, as if each message with rows of a dataset had come a minute after
/// the one before: both plans are there for longer than it takes a change to go round.
fn a_minute_apart(recorded: &Topology, shard: i32) -> Vec<(i64, Vec<u8>)> {
    let mine = recorded.recorded().iter().filter(|r| r.route == Route::Summaries(shard));
    let mut now_ms = NOW;
    let timed = mine.map(|r| {
        let batch: SummaryBatch = wire::decode(&r.payload).expect("ours");
        now_ms += if batch.datasets.is_empty() { 0 } else { 60_000 };
        (now_ms, r.payload.clone())
    });
    timed.collect()
}

/// Steps a fresh assess of the dataset's shard through what another plan's observe wrote.
fn rows_judged(plan: &Arc<Plan>, recorded: &Topology) -> (u64, Outbox) {
    let subject = Subject::Dataset("orders".into());
    let shard = driftline::assess::partition_of_subject(&subject);
    let mut assess = Assess::new(Arc::clone(plan), shard);
    let mut out = Outbox::default();
    for (offset, (timestamp_ms, payload)) in (0..).zip(&a_minute_apart(recorded, shard)) {
        let timestamp_ms = *timestamp_ms;
        assess.step(Incoming { offset, timestamp_ms, payload }, &mut out);
    }
    let rows = out.notes.iter().map(|note| match note {
        Note::WindowClosed { subject, rows, .. } if subject == "dataset/orders" => *rows,
        _ => 0,
    });
    (rows.sum(), out)
}

#[test]
fn two_plans_at_once_are_one_incident_and_nothing_is_merged() {
    let stream = stream();
    let plan = Arc::new(stream.plan(None).0);
    let mut other = (*plan).clone();
    let orders = other.datasets.get_mut("orders").expect("configured");
    let known = orders.definition;
    orders.definition ^= 1;
    let other = Arc::new(other);
    let (mine, _) = memory::run(&stream, &plan, NOW);
    let (theirs, _) = memory::run(&stream, &other, NOW);

    assert!(rows_judged(&plan, &mine).0 > 0, "the same plan is judged");
    let (rows, out) = rows_judged(&plan, &theirs);
    assert_eq!(rows, 0, "another plan's counts are not merged");

    let mut topology = Topology::new(&plan);
    let mut said = Outbox::default();
    for message in out.messages.into_iter().filter(|message| message.route == Route::Findings) {
        topology.deliver(Route::Findings, message.payload, NOW, &mut said);
    }
    let told = incidents(&said, "config_mismatch");
    assert_eq!(told.len(), 1, "{told:#?}");
    let both = format!("definitions {known:016x} and {:016x}", known ^ 1);
    assert_eq!(told[0].causes[0].evidence, both);
    assert_eq!(told[0].subjects, ["dataset/orders"]);

    // Once it has not been heard for longer than the hold, it is over.
    let line = jump(&theirs, &stream.topic(TopicKind::Orders), 0);
    let shard = driftline::assess::partition_of_subject(&Subject::Dataset("orders".into()));
    let (mut assess, mut out) = (Assess::new(Arc::clone(&plan), shard), Outbox::default());
    let mut payloads = a_minute_apart(&theirs, shard);
    let header = Some(Header::Observe(vec![line]));
    let quiet = wire::encode(&SummaryBatch { header, ..SummaryBatch::default() });
    let last_ms = payloads.last().map_or(NOW, |(at_ms, _)| *at_ms);
    payloads.push((last_ms + plan.hold_max_ms + HOUR, quiet));
    for (offset, (timestamp_ms, payload)) in (0..).zip(&payloads) {
        let timestamp_ms = *timestamp_ms;
        assess.step(Incoming { offset, timestamp_ms, payload }, &mut out);
    }
    for message in out.messages.into_iter().filter(|message| message.route == Route::Findings) {
        topology.deliver(Route::Findings, message.payload, NOW, &mut said);
    }
    let told = incidents(&said, "config_mismatch");
    let states: Vec<&str> = told.iter().map(|incident| incident.state.as_str()).collect();
    assert_eq!(states, ["opened", "resolved"], "{told:#?}");
}
