//! The loop of observe on a real broker: the ledger it writes has no gap and no overlap.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests start processes and threads, wait for them, and print what they measured"
)]

mod kafka_support;

use std::sync::Arc;
use std::time::Duration;

use driftline::config::Config;
use driftline::config::plan::Plan;
use driftline::event::progress::{Header, Progress};
use driftline::event::summary::SummaryBatch;
use driftline::event::wire;
use driftline::runtime::{Commit, Supervisor, TopicNames, TopicSpec, ensure_topics};
use kafka_support::{Watch, broker, fresh_app, producer, setup, write};

const PATIENCE: Duration = Duration::from_secs(60);
const SOURCE_PARTITIONS: i32 = 3;

fn plan(app: &str, servers: &str) -> (Arc<Plan>, String) {
    let topic = format!("{app}-orders");
    let text = format!(
        "app: {app}\n\
         kafka: {{ bootstrap_servers: \"{servers}\" }}\n\
         datasets:\n  orders:\n    topic: {topic}\n    event_time: {{ field: at }}\n"
    );
    let (plan, _) = Config::parse(&text, "test.yaml").unwrap().plan().unwrap();
    (Arc::new(plan), topic)
}

fn orders(from: i64, count: i64) -> Vec<Vec<u8>> {
    let at = 1_700_000_000_000_i64;
    let order = |i: i64| format!(r#"{{"at": {}, "amount": {i}}}"#, at + i).into_bytes();
    (from..from + count).map(order).collect()
}

/// Progress of the source partitions as the headers on one summaries partition tell it.
#[derive(Default)]
struct Told {
    to: [i64; SOURCE_PARTITIONS as usize],
    records: u64,
    at_end: [bool; SOURCE_PARTITIONS as usize],
}

impl Told {
    fn take(&mut self, payload: &[u8]) {
        let batch: SummaryBatch = wire::decode(payload).unwrap();
        if let Some(Header::Observe(sources)) = batch.header {
            sources.iter().for_each(|progress| self.take_progress(progress));
        }
    }

    fn take_progress(&mut self, progress: &Progress) {
        let partition = usize::try_from(progress.partition).unwrap();
        assert_eq!(progress.from, self.to[partition], "gap or overlap: {progress:?}");
        self.to[partition] = progress.to;
        self.at_end[partition] = progress.at_end;
        let counts = &progress.counts;
        self.records += counts.accepted + counts.late + counts.past + counts.quarantined;
    }

    fn is_at_end_of(&self, records: i64) -> bool {
        self.to == [records; SOURCE_PARTITIONS as usize] && self.at_end.iter().all(|end| *end)
    }
}

#[test]
fn the_ledger_has_no_gap_over_a_stop_and_a_start() {
    let access = broker();
    let app = fresh_app("observe");
    let (plan, topic) = plan(&app, &access.bootstrap_servers);
    let (setup, heard) = setup(access.clone(), &app, Commit::Transactional);
    let names: &TopicNames = &setup.names;
    let specs = names.specs(&plan);
    let source = TopicSpec {
        name: topic.clone(),
        partitions: Some(SOURCE_PARTITIONS),
        append_time: false,
        retention_ms_min: None,
        compacted: false,
    };
    ensure_topics(&access, &[source], &[]).unwrap();
    ensure_topics(&access, &specs, std::slice::from_ref(&topic)).unwrap();
    drop(heard);
    let feed = producer(&access);
    let watch = Watch::new(&access, &format!("{app}.summaries"), 1);
    let mut told = Told::default();

    for round in 0..2_i64 {
        let mut setup = setup.clone();
        setup.shutdown = driftline::runtime::Shutdown::new();
        let shutdown = setup.shutdown.clone();
        let mut supervisor = Supervisor::new(setup).unwrap();
        supervisor.observe(Arc::clone(&plan), None);
        let running = std::thread::spawn(move || {
            supervisor.wait().inspect_err(|error| eprintln!("observe ended: {error}"))
        });
        for partition in 0..SOURCE_PARTITIONS {
            write(&feed, &topic, partition, &orders(round * 400, 400));
        }
        watch.until(PATIENCE, |_, payload| {
            told.take(payload);
            told.is_at_end_of((round + 1) * 400)
        });
        shutdown.request();
        running.join().unwrap().unwrap();
    }

    assert_eq!(told.records, 800 * SOURCE_PARTITIONS.unsigned_abs() as u64);
}
