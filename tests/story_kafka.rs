//! The whole story on a real broker and a real registry, with the real binary: a sixth of the
//! orders turn to cents, and an independent reader hears who did it and what to do.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use driftline::demo::bank::TopicKind;
use driftline::demo::record::SchemaRef;
use driftline::publish::Encoder;
use support::again::{self, Internal};
use support::broker::{self, Broker};
use support::heard::{self, Decoder};
use support::registry::RegistryClient;
use support::running::Running;
use support::stream::{Form, HOUR, Stream};
use support::wait::{self, Frontier};

const PATIENCE: Duration = Duration::from_secs(240);

/// Runs the story and holds what was heard to it; gives the stream for what else is asserted.
fn tell(stream: &Stream, registry: Option<&str>) {
    let broker = Broker::get();
    let topics = [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels];
    broker.create_topics(&topics.map(|kind| stream.topic(kind)));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("drift.yaml");
    std::fs::write(&config, stream.config(&broker.servers, registry)).expect("written");
    let started = Instant::now();
    let mut running = Running::start(folder.path(), &config, &[]);

    let end = stream.bank.start.plus_ms(HOUR * i64::from(stream.bank.windows - 1));
    let mut frontier = Frontier::new(broker, &stream.app);
    let stop = AtomicBool::new(false);
    let (records, closed) = std::thread::scope(|scope| {
        let feeding = scope.spawn(|| broker.feed(stream, |_| !stop.load(Ordering::Relaxed)));
        let mut closed = false;
        while !closed && running.is_alive() && started.elapsed() < PATIENCE {
            closed = frontier.reached(end);
        }
        stop.store(!closed, Ordering::Relaxed);
        (feeding.join().expect("all is written"), closed)
    });
    assert!(closed, "{} after {:?}; {}", frontier.said(), started.elapsed(), running.tail());
    println!("{records} records, closed after {:?}", started.elapsed());

    let mut decoder = Decoder::new(registry.map(RegistryClient::new));
    let asked = || {
        let heard = heard::all(broker, stream, &mut decoder);
        heard::requests(&heard).len() >= 2
    };
    wait::until(Duration::from_secs(30), asked, || running.tail());
    let (status, took) = running.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "after SIGTERM");
    println!("gone {took:?} after SIGTERM");

    let heard = heard::all(broker, stream, &mut decoder);
    println!("{}", heard::lines(&heard));
    heard::assert_story(&heard, &stream.version(SchemaRef::OrderV13));
    assert_replays(broker, stream, registry);
}

/// What is on the internal topics gives the same findings and events once more.
fn assert_replays(broker: &Broker, stream: &Stream, registry: Option<&str>) {
    let (plan, deployment) = stream.plan(registry);
    let plan = Arc::new(plan);
    let read = |topic: &str| -> Vec<Internal> {
        let all = broker.read_all(&format!("{}.{topic}", stream.app));
        all.into_iter().map(Internal::from).collect()
    };
    let (summaries, findings) = (read("summaries"), read("findings"));
    println!("{} summaries, {} findings replayed", summaries.len(), findings.len());
    again::assert_same_findings(&plan, &summaries, &findings);
    let events = again::events_of(&plan, &findings);
    for topic in heard::topics(stream) {
        let there = broker.read_all(&topic);
        let again: Vec<_> = events
            .iter()
            .filter(|event| deployment.topics.name(event.data.topic()) == topic)
            .collect();
        let ids: Vec<&str> = there.iter().filter_map(|read| read.header("ce_id")).collect();
        let again_ids: Vec<&str> = again.iter().map(|event| event.id.as_str()).collect();
        assert_eq!(ids, again_ids, "{topic}");
        if registry.is_none() {
            let encoder = Encoder::new(&stream.app, deployment.topics.clone(), None);
            for (read, event) in there.iter().zip(again) {
                assert_eq!(read.payload, encoder.encode(event).payload, "{topic}: {}", event.id);
            }
        }
    }
}

#[test]
fn story_in_json_is_heard_as_it_happened() {
    let app = broker::unique("story-json");
    tell(&Stream::story(&app, Form::Json, broker::now_ms()), None);
}

#[test]
fn story_in_avro_is_heard_as_it_happened() {
    let app = broker::unique("story-avro");
    let registry = Broker::get().registry.clone();
    let ids = RegistryClient::new(&registry).register(&app);
    let stream = Stream::story(&app, Form::Avro(ids), broker::now_ms());
    tell(&stream, Some(&registry));
}
