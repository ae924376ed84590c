//! A real broker and a real registry: started by `deploy/local` where they do not run yet.
//!
//! A test that cannot have them fails and says why.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::stream::{HOUR, PARTITIONS, Row, Stream};
use driftline::demo::bank::TopicKind;

/// The script that starts both.
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/local/kafka.sh");
/// A single answer of the broker.
const CALL: Duration = Duration::from_secs(30);

/// Where they are.
#[derive(Clone, Debug)]
pub struct Broker {
    pub servers: String,
    pub registry: String,
}

/// A message as an independent reader sees it.
#[derive(Clone, Debug)]
pub struct Read {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub payload: Vec<u8>,
    pub headers: Vec<(String, String)>,
}

impl Read {
    fn of(message: &BorrowedMessage<'_>) -> Read {
        let headers = message.headers().into_iter().flat_map(|headers| headers.iter());
        Read {
            partition: message.partition(),
            offset: message.offset(),
            timestamp_ms: message.timestamp().to_millis().expect("a timestamp"),
            payload: message.payload().unwrap_or_default().to_vec(),
            headers: headers
                .map(|header| {
                    let value = header.value.unwrap_or_default();
                    (header.key.to_owned(), String::from_utf8_lossy(value).into_owned())
                })
                .collect(),
        }
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// Milliseconds since the epoch.
pub fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292,278,994")
}

/// A name that no other test and no earlier run has.
pub fn unique(test: &str) -> String {
    format!("{test}-{}-{}", now_ms() / 1000, std::process::id())
}

impl Broker {
    /// Both, ready. The first call starts what does not run yet.
    pub fn get() -> &'static Broker {
        static BROKER: OnceLock<Broker> = OnceLock::new();
        BROKER.get_or_init(|| {
            let port = |name: &str, default: &str| {
                std::env::var(name).unwrap_or_else(|_| default.to_owned())
            };
            let servers = format!("127.0.0.1:{}", port("DRIFTLINE_KAFKA_PORT", "29092"));
            let at = port("DRIFTLINE_REGISTRY_PORT", "28081");
            let broker =
                Broker { servers, registry: format!("http://127.0.0.1:{at}/apis/ccompat/v7") };
            let up = Command::new(SCRIPT).arg("up").output().expect("bash runs");
            let said = String::from_utf8_lossy(&up.stderr);
            assert!(up.status.success(), "no broker: `{SCRIPT} up` says\n{said}");
            broker
        })
    }

    /// Makes topics of [`PARTITIONS`] partitions.
    pub fn create_topics(&self, names: &[String]) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let topics: Vec<NewTopic<'_>> = names
            .iter()
            .map(|name| NewTopic::new(name, PARTITIONS, TopicReplication::Fixed(1)))
            .collect();
        let options = AdminOptions::new().operation_timeout(Some(CALL));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let made = runtime.expect("a runtime").block_on(admin.create_topics(&topics, &options));
        for result in made.expect("the broker answers") {
            result.expect("the topic is new");
        }
    }

    /// Gives a topic more partitions.
    pub fn widen(&self, topic: &str, partitions: usize) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let options = AdminOptions::new().operation_timeout(Some(CALL));
        let wider = [NewPartitions::new(topic, partitions)];
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let made = runtime.expect("a runtime").block_on(admin.create_partitions(&wider, &options));
        for result in made.expect("the broker answers") {
            result.expect("it has fewer");
        }
    }

    /// Deletes all records of a partition before an offset, as retention does.
    pub fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let admin: AdminClient<DefaultClientContext> = self.client().create().expect("a client");
        let options = AdminOptions::new().operation_timeout(Some(CALL));
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).expect("an offset");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let done = runtime.expect("a runtime").block_on(admin.delete_records(&list, &options));
        done.expect("the broker answers");
    }

    /// Whether a topic exists.
    pub fn has_topic(&self, name: &str) -> bool {
        let consumer: BaseConsumer = self.client().create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(name), CALL).expect("metadata");
        metadata
            .topics()
            .iter()
            .any(|topic| topic.error().is_none() && !topic.partitions().is_empty())
    }

    /// How far a group has committed a topic, all partitions added up.
    pub fn committed(&self, group: &str, topic: &str) -> i64 {
        let mut config = self.client();
        let consumer: BaseConsumer = config.set("group.id", group).create().expect("a consumer");
        let metadata = consumer.fetch_metadata(Some(topic), CALL).expect("metadata");
        let mut list = TopicPartitionList::new();
        for partition in metadata.topics()[0].partitions() {
            list.add_partition(topic, partition.id());
        }
        let committed = consumer.committed_offsets(list, CALL).expect("offsets");
        let offsets = committed.elements();
        let sum = offsets.iter().filter_map(|element| element.offset().to_raw());
        sum.filter(|offset| *offset > 0).sum()
    }

    /// Next offset of each partition of a topic that is written without transactions.
    pub fn ends(&self, topic: &str) -> BTreeMap<(String, i32), i64> {
        let consumer: BaseConsumer = self.client().create().expect("a consumer");
        let end = |partition: i32| {
            let (_, high) = consumer.fetch_watermarks(topic, partition, CALL).expect("watermarks");
            ((topic.to_owned(), partition), high)
        };
        (0..PARTITIONS).map(end).collect()
    }

    /// Where a topic's last record ends, all partitions added up. A partition's own end lies
    /// behind it by the marker of its last transaction.
    pub fn end(&self, topic: &str) -> i64 {
        let all = self.read_all(topic);
        let next: BTreeMap<i32, i64> =
            all.iter().map(|read| (read.partition, read.offset + 1)).collect();
        next.values().sum()
    }

    /// Writes one message past all who should have written it.
    pub fn write_to(
        &self,
        topic: &str,
        partition: i32,
        payload: &[u8],
        headers: &[(String, String)],
    ) {
        let producer: BaseProducer = self.client().create().expect("a producer");
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let record: BaseRecord<'_, [u8], [u8]> =
            BaseRecord::to(topic).partition(partition).payload(payload).headers(headers);
        producer.send(record).map_err(|(error, _)| error).expect("queued");
        producer.flush(CALL).expect("written");
    }

    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.servers);
        config
    }

    /// Writes a stream as fast as the broker takes it, in order of event time: what lies a few
    /// minutes of event time ahead is written only when everything before it is there. Stops
    /// early when `go_on` says so. Returns the number of records.
    pub fn feed(&self, stream: &Stream, go_on: impl FnMut(&Row) -> bool) -> u64 {
        self.feed_into(stream, go_on, |row| row.partition)
    }

    /// The same, with partitions chosen by `place`.
    pub fn feed_into(
        &self,
        stream: &Stream,
        mut go_on: impl FnMut(&Row) -> bool,
        mut place: impl FnMut(&Row) -> i32,
    ) -> u64 {
        let (producer, topics) = self.writer(stream);
        let mut flushed = stream.bank.start;
        let mut count = 0;
        for mut row in stream.rows() {
            row.partition = place(&row);
            if row.time.since_ms(flushed) > HOUR / 6 {
                flush(&producer);
                flushed = row.time;
                if !go_on(&row) {
                    break;
                }
            }
            write(&producer, &topics[&row.kind], &row);
            count += 1;
        }
        flush(&producer);
        count
    }

    /// Writes some of a stream's rows as fast as the broker takes them, each partition by itself.
    pub fn fill<'r>(&self, stream: &Stream, rows: impl Iterator<Item = &'r Row>) {
        let (producer, topics) = self.writer(stream);
        rows.for_each(|row| write(&producer, &topics[&row.kind], row));
        flush(&producer);
    }

    fn writer(&self, stream: &Stream) -> (BaseProducer, BTreeMap<TopicKind, String>) {
        let mut config = self.client();
        config
            .set("enable.idempotence", "true")
            .set("linger.ms", "2")
            .set("compression.type", "lz4")
            .set("queue.buffering.max.messages", "1000000");
        let topics = [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels]
            .map(|kind| (kind, stream.topic(kind)));
        (config.create().expect("a producer"), topics.into())
    }

    /// An independent reader of some topics, from their beginning.
    pub fn reader(&self, topics: &[String]) -> Reader {
        let mut config = self.client();
        config
            .set("group.id", "independent")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("fetch.wait.max.ms", "20");
        let consumer: BaseConsumer = config.create().expect("a consumer");
        let mut list = TopicPartitionList::new();
        for topic in topics {
            let metadata = consumer.fetch_metadata(Some(topic), CALL).expect("metadata");
            for partition in metadata.topics()[0].partitions() {
                list.add_partition_offset(topic, partition.id(), Offset::Beginning).expect("new");
            }
        }
        assert!(list.count() >= topics.len(), "every topic exists: {topics:?}");
        consumer.assign(&list).expect("assigned by hand");
        Reader { consumer }
    }

    /// Everything committed in a topic, partition by partition.
    pub fn read_all(&self, topic: &str) -> Vec<Read> {
        let reader = self.reader(&[topic.to_owned()]);
        let mut open = reader.consumer.assignment().expect("assigned").count();
        let (mut all, mut progress) = (Vec::new(), Instant::now());
        while open > 0 {
            match reader.consumer.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => all.push(Read::of(&message)),
                Some(Err(KafkaError::PartitionEOF(_))) => open -= 1,
                Some(Err(error)) => panic!("reading {topic}: {error}"),
                None => {
                    assert!(progress.elapsed() < CALL, "no end of {topic} within {CALL:?}");
                    continue;
                }
            }
            progress = Instant::now();
        }
        all.sort_by_key(|read| (read.partition, read.offset));
        all
    }
}

/// Reads as an application would.
pub struct Reader {
    consumer: BaseConsumer,
}

impl Reader {
    /// The next message and its topic, if one comes within a moment.
    pub fn next(&self) -> Option<(String, Read)> {
        match self.consumer.poll(Duration::from_millis(100))? {
            Ok(message) => Some((message.topic().to_owned(), Read::of(&message))),
            Err(KafkaError::PartitionEOF(_)) => None,
            Err(error) if is_away(&error) => None,
            Err(error) => panic!("reading: {error}"),
        }
    }
}

/// Whether an error says that the broker is not there at the moment.
fn is_away(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::AllBrokersDown
                | RDKafkaErrorCode::BrokerTransportFailure
                | RDKafkaErrorCode::OperationTimedOut
        )
    )
}

/// Waits until everything is written; longer than a test keeps a broker away.
fn flush(producer: &BaseProducer) {
    producer.flush(4 * CALL).expect("the broker takes what is written");
}

fn write(producer: &BaseProducer, topic: &str, row: &Row) {
    let headers = row.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value) })
    });
    let mut record = BaseRecord::to(topic)
        .partition(row.partition)
        .key(&row.key)
        .payload(&row.payload)
        .headers(headers);
    while let Err((error, back)) = producer.send(record) {
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::QueueFull) => {
                producer.poll(Duration::from_millis(10));
            }
            // A partition that was added a moment ago: look again.
            Some(RDKafkaErrorCode::UnknownPartition) => {
                let metadata = producer.client().fetch_metadata(Some(topic), CALL);
                metadata.expect("the broker answers");
            }
            _ => panic!("writing to {topic}: {error}"),
        }
        record = back;
    }
    producer.poll(Duration::ZERO);
}
