//! `driftline verify` on a real broker: what was read adds up, and what was tampered with is
//! named by its offsets.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod support;

use std::time::Instant;

use driftline::event::progress::{Header, Progress};
use driftline::event::summary::SummaryBatch;
use driftline::event::wire;
use support::broker::{self, Broker, Read};
use support::settled::{self, TOPICS, driftline, printed};
use support::stream::Stream;

/// The last message of a topic that carries ranges with something in them, and those ranges.
fn last_header(broker: &Broker, topic: &str) -> (Read, SummaryBatch, Vec<Progress>) {
    let read = broker.read_all(topic);
    let found = read.into_iter().rev().find_map(|read| {
        let batch: SummaryBatch = wire::decode(&read.payload).expect("summaries decode");
        match &batch.header {
            Some(Header::Observe(lines)) if lines.iter().any(|line| line.to > line.from) => {
                let lines = lines.clone();
                Some((read, batch, lines))
            }
            _ => None,
        }
    });
    found.expect("observe has committed")
}

#[test]
fn what_was_read_adds_up_and_what_was_tampered_with_is_named() {
    let broker = Broker::get();
    let app = broker::unique("verify");
    let stream = Stream::short(&app, 8, broker::now_ms());
    broker.create_topics(&TOPICS.map(|kind| stream.topic(kind)));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("drift.yaml");
    std::fs::write(&config, stream.config(&broker.servers, None)).expect("written");
    let config_text = config.display().to_string();
    let records = broker.feed(&stream, |_| true);
    settled::run(broker, &stream, folder.path(), &config);

    let started = Instant::now();
    let verified = driftline(&["verify", "--config", &config_text, "--records"]);
    println!("{records} records, verified in {:?}", started.elapsed());

    let said = printed(&verified);
    println!("{said}");
    assert_eq!(verified.status.code(), Some(0), "{said}");
    assert!(said.contains("the ledger adds up"), "{said}");
    let orders = stream.rows().filter(|row| row.kind == TOPICS[0]).count();
    assert!(said.contains(&format!("dataset orders: {orders} in summaries")), "{said}");

    // As a loop that lost its place would have said it: a range that repeats, then one too far on.
    let summaries = format!("{app}.summaries");
    let (read, mut batch, mut lines) = last_header(broker, &summaries);
    let line = lines.iter_mut().find(|line| line.to > line.from).expect("not empty");
    let (topic, partition, to) = (line.topic.clone(), line.partition, line.to);
    (line.from, line.to) = (to - 3, to);
    batch = SummaryBatch { header: Some(Header::Observe(vec![line.clone()])), ..batch };
    broker.write_to(&summaries, read.partition, &wire::encode(&batch), &[]);
    (line.from, line.to) = (to + 5, to + 5);
    batch = SummaryBatch { header: Some(Header::Observe(vec![line.clone()])), ..batch };
    broker.write_to(&summaries, read.partition, &wire::encode(&batch), &[]);
    let events = format!("{app}-drift-events");
    let event = broker.read_all(&events).pop().expect("something was said");
    broker.write_to(&events, event.partition, &event.payload, &event.headers);

    let verified = driftline(&["verify", "--config", &config_text]);

    let said = printed(&verified);
    println!("{said}");
    assert_eq!(verified.status.code(), Some(1), "{said}");
    let place = format!("{topic}/{partition}");
    let twice = format!("{place}: offsets {} to {} are counted twice", to - 3, to - 1);
    assert!(said.contains(&twice), "{twice}\n{said}");
    let missing = format!("{place}: offsets {to} to {} are missing", to + 4);
    assert!(said.contains(&missing), "{missing}\n{said}");
    let other = format!("up to offset {}", to + 5);
    let stands = format!("the ledger ends at {}, the group stands at {to}", to + 5);
    assert!(said.contains(&other) || said.contains(&stands), "{said}");
    let id = event.header("ce_id").expect("an id");
    assert!(said.contains(&format!("event {id} has been said before")), "{said}");
}
