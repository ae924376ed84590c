//! The loop of observe under watch, records to feed it with, and a registry that misbehaves.
#![allow(
    unreachable_pub,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a private module of a test binary that waits by the clock"
)]

pub mod front;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use driftline::config::Config;
use driftline::config::deployment::{KafkaAccess, RegistryAccess};
use driftline::registry::{Options, Registry, RegistryStatus};
use driftline::runtime::{
    Commit, Report, ReportKind, RunError, Shutdown, Supervisor, TopicSpec, ensure_topics,
};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{BorrowedMessage, Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::kafka_support::{broker, fresh_app, producer, setup, write};

pub use front::{Front, Mood};

/// Partitions of the source.
pub const PARTITIONS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// What the loop has reported so far, by partition of the source.
#[derive(Debug, Default)]
pub struct Seen {
    pub accepted: [u64; PARTITIONS],
    pub quarantined: [u64; PARTITIONS],
    /// Records set aside by reason.
    pub reasons: BTreeMap<String, u64>,
    /// Partitions waiting for a schema.
    pub waiting: usize,
    /// Times that partitions were assigned.
    pub assignments: usize,
}

impl Seen {
    fn take(&mut self, kind: &ReportKind) {
        match kind {
            ReportKind::Assigned { .. } => self.assignments += 1,
            ReportKind::Waiting { schema, .. } => self.waiting = *schema,
            ReportKind::Committed { lines, set_aside, .. } => {
                for line in lines {
                    let partition = usize::try_from(line.partition).unwrap();
                    self.accepted[partition] += line.counts.accepted;
                    self.quarantined[partition] += line.counts.quarantined;
                }
                for message in set_aside {
                    let reason = message.headers.iter().find(|(key, _)| key == "driftline.reason");
                    let reason = String::from_utf8(reason.unwrap().1.clone()).unwrap();
                    *self.reasons.entry(reason).or_default() += 1;
                }
            }
            _ => {}
        }
    }
}

/// A running loop of observe.
pub struct Observing {
    pub app: String,
    pub topic: String,
    pub seen: Seen,
    access: KafkaAccess,
    heard: Receiver<Report>,
    registry: Option<Registry>,
    shutdown: Shutdown,
    running: Option<JoinHandle<Result<(), RunError>>>,
    folder: tempfile::TempDir,
}

impl Observing {
    /// Starts one on topics of its own, with the registry at a URL.
    pub fn start(test: &str, registry: Option<&str>) -> Observing {
        let access = broker();
        let app = fresh_app(test);
        let topic = format!("{app}-orders");
        let servers = &access.bootstrap_servers;
        let text = format!(
            "app: {app}\n\
             kafka: {{ bootstrap_servers: \"{servers}\" }}\n\
             datasets:\n  orders:\n    topic: {topic}\n"
        );
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("drift.yaml"), &text).unwrap();
        let (plan, _) = Config::parse(&text, "drift.yaml").unwrap().plan().unwrap();
        let (setup, heard) = setup(access.clone(), &app, Commit::Transactional);
        ensure_topics(&access, &[spec(&topic, PARTITIONS as i32)], &[]).unwrap();
        let specs = setup.names.specs(&plan);
        ensure_topics(&access, &specs, &[]).unwrap();
        let registry = registry.map(|url| {
            let access = RegistryAccess::open(vec![url.to_owned()]);
            let options = Options {
                timeout: Duration::from_millis(500),
                longest_pause: Duration::from_millis(200),
                ..Options::default()
            };
            Registry::start(&access, options).unwrap()
        });
        let shutdown = setup.shutdown.clone();
        let mut supervisor = Supervisor::new(setup).unwrap();
        supervisor.observe(Arc::new(plan), registry.as_ref().map(Registry::source));
        let running = Some(std::thread::spawn(move || supervisor.wait()));
        let seen = Seen::default();
        Observing { app, topic, seen, access, heard, registry, shutdown, running, folder }
    }

    /// Its configuration as a file.
    pub fn config(&self) -> PathBuf {
        Path::new(self.folder.path()).join("drift.yaml")
    }

    pub fn registry_status(&self) -> RegistryStatus {
        self.registry.as_ref().unwrap().status()
    }

    /// Waits until what was reported is enough.
    pub fn until(&mut self, is_enough: impl Fn(&Seen) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_enough(&self.seen) {
            let left = deadline.saturating_duration_since(Instant::now());
            let heard = self.heard.recv_timeout(left);
            let report = heard.unwrap_or_else(|error| panic!("{error}: {:?}", self.seen));
            self.seen.take(&report.kind);
        }
    }

    pub fn make_topic(&self, name: &str, partitions: i32) {
        ensure_topics(&self.access, &[spec(name, partitions)], &[]).unwrap();
    }

    /// Hands committed records of a topic to `each`, from its beginning until it has enough.
    pub fn read(
        &self,
        topic: &str,
        partitions: i32,
        mut each: impl FnMut(&BorrowedMessage<'_>) -> bool,
    ) {
        let consumer = self.reader(topic, partitions);
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(Ok(message)) = consumer.poll(Duration::from_millis(50))
                && each(&message)
            {
                return;
            }
        }
        panic!("not enough records in {topic}");
    }

    /// Committed records of a topic up to its end.
    pub fn count(&self, topic: &str, partitions: i32) -> u64 {
        let consumer = self.reader(topic, partitions);
        let (mut count, mut ends) = (0, 0);
        while ends < partitions {
            match consumer.poll(PATIENCE) {
                Some(Ok(_)) => count += 1,
                Some(Err(_)) => ends += 1,
                None => panic!("{topic} has no end"),
            }
        }
        count
    }

    fn reader(&self, topic: &str, partitions: i32) -> BaseConsumer {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", &self.access.bootstrap_servers)
            .set("group.id", "independent")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .create()
            .unwrap();
        let mut list = TopicPartitionList::new();
        for partition in 0..partitions {
            list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
        }
        consumer.assign(&list).unwrap();
        consumer
    }
}

impl Drop for Observing {
    fn drop(&mut self) {
        self.shutdown.request();
        let ended = self.running.take().map(JoinHandle::join);
        if !std::thread::panicking() {
            ended.unwrap().unwrap().unwrap();
        }
    }
}

fn spec(name: &str, partitions: i32) -> TopicSpec {
    TopicSpec {
        name: name.to_owned(),
        partitions: Some(partitions),
        append_time: false,
        retention_ms_min: None,
        compacted: false,
    }
}

/// Writes records to the source.
pub struct Feed {
    producer: BaseProducer,
    topic: String,
}

impl Feed {
    pub fn to(observing: &Observing) -> Feed {
        Feed { producer: producer(&observing.access), topic: observing.topic.clone() }
    }

    pub fn write(&self, partition: i32, value: &[u8]) {
        self.send(BaseRecord::to(&self.topic).partition(partition).payload(value));
    }

    pub fn write_all(&self, partition: i32, values: &[Vec<u8>]) {
        write(&self.producer, &self.topic, partition, values);
    }

    /// With a key, a timestamp and a header.
    pub fn write_whole(&self, partition: i32, key: &str, value: &[u8], timestamp_ms: i64) {
        let app = Header { key: "app", value: Some("pos-7") };
        let record = BaseRecord::to(&self.topic).partition(partition).payload(value);
        let record = record.timestamp(timestamp_ms).headers(OwnedHeaders::new().insert(app));
        self.send(record.key(key.as_bytes()));
    }

    fn send(&self, record: BaseRecord<'_, [u8], [u8]>) {
        self.producer.send(record).map_err(|(error, _)| error).unwrap();
        self.producer.flush(Duration::from_secs(30)).unwrap();
    }
}

/// A value with the registry's prefix.
pub fn framed(id: u32, body: &[u8]) -> Vec<u8> {
    [&[0][..], &id.to_be_bytes(), body].concat()
}

/// A body of the schema that [`Front::register`] registers.
pub fn body(amount: u8) -> Vec<u8> {
    vec![2 * amount]
}
