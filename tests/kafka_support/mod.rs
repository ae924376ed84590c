//! A real broker for tests: reused when one answers, else started by `deploy/local/kafka.sh`.
//!
//! A test that needs it fails when it cannot be had; it never passes over.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a private module of several test binaries, each using a part; waits by the clock"
)]

pub mod counter;
pub mod faults;

use std::net::TcpStream;
use std::process::Command;
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use driftline::config::deployment::{KafkaAccess, PublicTopics};
use driftline::runtime::{Commit, Pace, Report, Rights, Setup, Shutdown, TopicNames};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::Message;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

/// How to reach the broker, which is running when this returns.
pub fn broker() -> KafkaAccess {
    static SERVERS: OnceLock<String> = OnceLock::new();
    let servers = SERVERS.get_or_init(|| {
        if let Ok(given) = std::env::var("DRIFTLINE_TEST_KAFKA") {
            return given;
        }
        let port = std::env::var("DRIFTLINE_KAFKA_PORT").unwrap_or_else(|_| "29092".into());
        let servers = format!("127.0.0.1:{port}");
        if TcpStream::connect(&servers).is_err() {
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local/kafka.sh");
            let status = Command::new(script).args(["up", "kafka"]).status().unwrap();
            assert!(status.success(), "{script} up kafka: {status}");
        }
        servers
    });
    KafkaAccess { bootstrap_servers: servers.clone(), properties: Vec::new() }
}

/// A prefix no other run has.
pub fn fresh_app(test: &str) -> String {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    format!("{test}-{}-{}", std::process::id(), since.as_micros())
}

/// A setup with a quick pace.
pub fn setup(access: KafkaAccess, app: &str, commit: Commit) -> (Setup, Receiver<Report>) {
    let (reports, heard) = channel();
    let quick = Duration::from_millis(200);
    let setup = Setup {
        app: app.to_owned(),
        slot: 0,
        access,
        rights: Rights::default(),
        names: TopicNames::new(app, &PublicTopics::default()),
        commit,
        pace: Pace {
            observe: quick,
            stages: quick,
            checkpoint: Duration::from_millis(700),
            ..Pace::default()
        },
        prefetch_bytes: 8 << 20,
        pending_bytes: 8 << 20,
        leave: false,
        shutdown: Shutdown::new(),
        reports,
    };
    (setup, heard)
}

/// A producer without transactions, to write inputs with.
pub fn producer(access: &KafkaAccess) -> BaseProducer {
    ClientConfig::new()
        .set("bootstrap.servers", &access.bootstrap_servers)
        .set("linger.ms", "1")
        .create()
        .unwrap()
}

/// Writes payloads to a partition and waits until they are there.
pub fn write(producer: &BaseProducer, topic: &str, partition: i32, payloads: &[Vec<u8>]) {
    for payload in payloads {
        let record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(topic).partition(partition).payload(payload);
        producer.send(record).map_err(|(error, _)| error).unwrap();
    }
    producer.flush(Duration::from_secs(30)).unwrap();
}

/// Reads committed records of a topic from its beginning, for as long as a test likes.
pub struct Watch {
    consumer: BaseConsumer,
}

impl Watch {
    pub fn new(access: &KafkaAccess, topic: &str, partitions: i32) -> Watch {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &access.bootstrap_servers)
            .set("group.id", "watch")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "20")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        Watch { consumer }
    }

    /// Hands payloads to `each` until it says that it has enough.
    pub fn until(&self, patience: Duration, mut each: impl FnMut(i32, &[u8]) -> bool) {
        let started = Instant::now();
        while started.elapsed() < patience {
            match self.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    if each(message.partition(), message.payload().unwrap_or_default()) {
                        return;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {}
                Some(Err(error)) => eprintln!("watch: {error}"),
            }
        }
        panic!("not enough within {patience:?}");
    }

    /// Hands over what has come, after waiting a moment for it.
    pub fn look(&self, mut each: impl FnMut(i32, &[u8])) {
        let mut wait = Duration::from_millis(50);
        while let Some(polled) = self.consumer.poll(wait) {
            match polled {
                Ok(message) => each(message.partition(), message.payload().unwrap_or_default()),
                Err(error) => eprintln!("watch: {error}"),
            }
            wait = Duration::ZERO;
        }
    }

    /// How many more come within a time.
    pub fn more(&self, time: Duration) -> usize {
        let started = Instant::now();
        let mut count = 0;
        while started.elapsed() < time {
            if let Some(Ok(_)) = self.consumer.poll(Duration::from_millis(50)) {
                count += 1;
            }
        }
        count
    }
}
