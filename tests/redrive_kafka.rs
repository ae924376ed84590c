//! `driftline redrive` killed while it writes, on a real broker: started again until it is done, it
//! has driven each record in once.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use driftline::demo::bank::TopicKind;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use support::broker::{self, Broker};
use support::stream::{PARTITIONS, Stream};

const RECORDS: usize = 40_000;
const KILLS: usize = 5;
/// Offsets written between two kills: more than one transaction holds, so that it comes on.
const STEP: i64 = 1_700;
const PATIENCE: Duration = Duration::from_secs(60);

/// Sets records aside as observe does, every eighth for another reason.
fn set_aside(broker: &Broker, quarantine: &str, from: &str) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &broker.servers).set("linger.ms", "5");
    let producer: BaseProducer = config.create().expect("a producer");
    for id in 0..RECORDS {
        let (payload, key) = (id.to_string(), format!("key {id}"));
        let reason = if is_wanted(id) { "unknown_schema" } else { "contract" };
        let said = [
            ("driftline.reason", reason.to_owned()),
            ("driftline.topic", from.to_owned()),
            ("driftline.partition", (id % 4).to_string()),
            ("driftline.timestamp", "1700000000000".to_owned()),
            ("driftline.bytes", payload.len().to_string()),
            ("driftline.headers", "0".to_owned()),
            ("driftline.key_bytes", key.len().to_string()),
        ];
        let headers = said.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let partition = i32::try_from(id).expect("small") / 7 % PARTITIONS;
        let record: BaseRecord<'_, str, str> = BaseRecord::to(quarantine)
            .partition(partition)
            .key(key.as_str())
            .payload(payload.as_str())
            .headers(headers);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE).expect("written");
}

fn is_wanted(id: usize) -> bool {
    !id.is_multiple_of(8)
}

fn redrive(config: &Path) -> Child {
    Command::new(env!("CARGO_BIN_EXE_driftline"))
        .args(["redrive", "--reason", "unknown_schema", "--config"])
        .arg(config)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .expect("the binary starts")
}

/// Looks at how far a topic is written, committed or not.
struct Watched<'a> {
    consumer: BaseConsumer,
    topic: &'a str,
}

impl Watched<'_> {
    fn end(&self) -> i64 {
        let end = |partition| {
            let range = self.consumer.fetch_watermarks(self.topic, partition, PATIENCE);
            range.expect("watermarks").1
        };
        (0..PARTITIONS).map(end).sum()
    }

    /// Waits until so much is written; how the process ended when it did before.
    fn until(&self, written: i64, child: &mut Child) -> Option<ExitStatus> {
        let started = Instant::now();
        while self.end() < written {
            if let Some(status) = child.try_wait().expect("a child can be asked") {
                return Some(status);
            }
            assert!(started.elapsed() < PATIENCE, "nothing is written");
        }
        None
    }
}

#[test]
fn each_record_is_driven_in_once_however_often_it_is_killed() {
    let broker = Broker::get();
    let app = broker::unique("redrive");
    let stream = Stream::short(&app, 4, broker::now_ms());
    let (orders, quarantine) = (stream.topic(TopicKind::Orders), format!("{app}.quarantine"));
    broker.create_topics(&[orders.clone(), quarantine.clone()]);
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("drift.yaml");
    std::fs::write(&config, stream.config(&broker.servers, None)).expect("written");
    set_aside(broker, &quarantine, &orders);
    let mut looking = ClientConfig::new();
    let consumer = looking.set("bootstrap.servers", &broker.servers).create().expect("a consumer");
    let watched = Watched { consumer, topic: &orders };

    for _ in 0..KILLS {
        let written = watched.end() + STEP;
        let mut child = redrive(&config);
        let ended = watched.until(written, &mut child);
        assert_eq!(ended, None, "killed in the middle");
        child.kill().expect("it can be killed");
        child.wait().expect("it ends");
    }
    let before_the_last = watched.end();
    let status = redrive(&config).wait().expect("it ends");

    assert!(status.success(), "{status}");
    let mut driven: BTreeMap<usize, usize> = BTreeMap::new();
    for read in broker.read_all(&orders) {
        let id = String::from_utf8(read.payload).expect("a number").parse().expect("a number");
        *driven.entry(id).or_default() += 1;
    }
    let wanted: BTreeMap<usize, usize> =
        (0..RECORDS).filter(|id| is_wanted(*id)).map(|id| (id, 1)).collect();
    println!("{} records, {KILLS} kills, {before_the_last} offsets by the last", driven.len());
    assert_eq!(driven.len(), wanted.len());
    assert_eq!(driven, wanted);
    assert!(redrive(&config).wait().expect("it ends").success());
    assert_eq!(broker.read_all(&orders).len(), wanted.len(), "and nothing is left to drive in");
}
