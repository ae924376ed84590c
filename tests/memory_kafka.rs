//! The memory of the whole process under a bomb: every record from another producer, of another
//! schema version, with fields and texts never seen before, and predictions that wait for
//! outcomes which never come. On a real broker, with the real binary.
//!
//! `DRIFTLINE_BOMB=10000000 cargo test --release --test memory_kafka` is the long form: so many
//! orders, all keys distinct. By default 400,000.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod support;

use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use support::broker::{self, Broker};
use support::random::Random;
use support::running::Running;
use support::stream::PARTITIONS;

/// The limit the process is given.
const LIMIT: u64 = 192 << 20;
/// Names a field can have.
const FIELDS: u64 = 10_000;
/// Event time the bomb covers.
const SPAN_MS: i64 = 24 * 3_600_000;

#[test]
fn a_bomb_of_keys_fields_and_ids_stays_within_the_memory_limit() {
    let broker = Broker::get();
    let app = broker::unique("bomb");
    let orders: u32 = std::env::var("DRIFTLINE_BOMB").map_or(400_000, |n| n.parse().expect("n"));
    let topics = ["orders", "scores", "labels"].map(|name| format!("{app}-{name}"));
    broker.create_topics(&topics);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("drift.yaml");
    std::fs::write(&path, config(&app, &broker.servers)).expect("written");
    write(&broker.servers, &topics, orders);

    let started = Instant::now();
    let mut running = Running::start(folder.path(), &path, &[]);
    let mut memory = Memory::default();
    let group = format!("{app}.observe");
    let mut looked = Instant::now();
    loop {
        memory.look(running.id());
        if looked.elapsed() > Duration::from_secs(2) {
            let read = broker.committed(&group, &topics[0]) + broker.committed(&group, &topics[1]);
            if read >= i64::from(orders) * 2 {
                break;
            }
            looked = Instant::now();
        }
        assert!(running.is_alive(), "ended by itself; {}", running.tail());
        assert!(started.elapsed() < Duration::from_secs(900), "too slow; {}", running.tail());
        std::thread::sleep(Duration::from_millis(50));
    }
    memory.look(running.id());
    let took = started.elapsed();
    let (status, _) = running.terminate(Duration::from_secs(30));

    println!(
        "{orders} orders and as many predictions, no key twice, in {took:.1?}: at most {} MiB of \
         its own and {} MiB resident, with a limit of {} MiB",
        memory.anonymous >> 20,
        memory.resident >> 20,
        LIMIT >> 20,
    );
    assert!(status.success(), "{status}");
    assert!(
        memory.anonymous * 100 <= LIMIT * 115,
        "{} MiB against a limit of {} MiB",
        memory.anonymous >> 20,
        LIMIT >> 20
    );
}

/// The most a process has held.
#[derive(Debug, Default)]
struct Memory {
    /// What it allocated. A test build's code alone is over 100 MiB of mapped file.
    anonymous: u64,
    resident: u64,
}

impl Memory {
    fn look(&mut self, process: u32) {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
            kib.unwrap_or(0) << 10
        };
        self.anonymous = self.anonymous.max(bytes("RssAnon:"));
        self.resident = self.resident.max(bytes("VmHWM:"));
    }
}

fn write(servers: &str, [orders, scores, _]: &[String; 3], count: u32) {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", servers)
        .set("linger.ms", "20")
        .set("compression.type", "lz4")
        .set("queue.buffering.max.messages", "500000");
    let producer: BaseProducer = config.create().expect("a producer");
    let mut random = Random::new(1);
    let start = broker::now_ms() - SPAN_MS;
    for number in 0..count {
        let time = start + SPAN_MS * i64::from(number) / i64::from(count);
        let partition = i32::try_from(number).expect("small") % PARTITIONS;
        let mut one = || random.bits();
        let (a, b, c) = (one() % FIELDS, one() % FIELDS, one() % FIELDS);
        let order = format!(
            r#"{{"created_at":{time},"amount":{},"country":"{:016x}","f{a}":{},"f{b}":"{:x}","f{c}":1}}"#,
            one() % 100_000,
            one(),
            one() % 1_000,
            one(),
        );
        let headers = OwnedHeaders::new()
            .insert(Header { key: "app", value: Some(&format!("{:016x}", one())) })
            .insert(Header { key: "version", value: Some(&format!("{:016x}", one())) });
        send(
            &producer,
            BaseRecord::to(orders).partition(partition).payload(&order).headers(headers),
        );
        let score = format!(
            r#"{{"scored_at":{time},"tx_id":"{:016x}","p_fraud":{},"model":"{:x}"}}"#,
            one(),
            (one() % 1_000) as f64 / 1_000.0,
            one(),
        );
        send(&producer, BaseRecord::to(scores).partition(partition).payload(&score));
    }
    producer.flush(Duration::from_secs(60)).expect("the broker takes what is written");
}

fn send(producer: &BaseProducer, mut record: BaseRecord<'_, (), String>) {
    while let Err((error, back)) = producer.send(record) {
        let full = error.rdkafka_error_code() == Some(RDKafkaErrorCode::QueueFull);
        assert!(full, "writing: {error}");
        producer.poll(Duration::from_millis(10));
        record = back;
    }
}

fn config(app: &str, servers: &str) -> String {
    format!(
        "app: {app}
kafka: {{ bootstrap_servers: \"{servers}\" }}
datasets:
  orders:
    topic: {app}-orders
    event_time: created_at
    producer: {{ header: app }}
    schema_version: {{ header: version }}
    window: {{ size: 1h, lateness: 5m }}
models:
  fraud:
    predictions:
      topic: {app}-scores
      id: tx_id
      score: p_fraud
      decision: {{ score_above: 0.8 }}
      version: model
      time: scored_at
    outcomes:
      topic: {app}-labels
      id: tx_id
      label: is_fraud
      positive: true
      time: labelled_at
      horizon: 6d
topics:
  drift_events: {app}-drift-events
  retrain_requests: {app}-retrain-requests
  action_requests: {app}-action-requests
commit: {{ interval: 1s }}
limits: {{ memory: {}MiB }}
http: {{ listen: off }}
",
        LIMIT >> 20
    )
}
