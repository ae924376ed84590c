//! Feeds the bank's stream to a broker: frames, paces, produces.
//!
//! IMPURE. A window of the stream is a second of the wall's time. The pace is the slower of that
//! and of whoever reads: never more than two windows ahead, because the embedded broker keeps
//! little and forgets silently.
#![expect(clippy::disallowed_methods, reason = "paces the stream by the wall's time")]

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

use super::bank::{Bank, BankPlan, Generated, HeaderValue, TopicKind};
use super::record::SchemaRef;
use crate::config::deployment::KafkaAccess;
use crate::event::route::partition_of;
use crate::runtime::Shutdown;

/// Wall time of a window.
pub const WINDOW: Duration = Duration::from_secs(1);
/// Partitions of each topic of the stream.
pub const PARTITIONS: i32 = 8;
/// Windows the stream may be ahead of its reader.
const WINDOWS_AHEAD: u64 = 2;
/// How often the pace is looked at.
const SLICE: Duration = Duration::from_millis(10);
/// For the last deliveries.
const FLUSH: Duration = Duration::from_secs(10);

/// How far the stream has come; shared with whoever tells of it.
#[derive(Debug, Default)]
pub struct Pulse {
    /// Messages produced.
    pub produced: AtomicU64,
    /// Messages that observe has committed.
    pub read: AtomicU64,
    /// Event time reached, milliseconds.
    pub event_ms: AtomicU64,
}

/// Where and under which names the stream is written.
#[derive(Clone, Debug)]
pub struct Destination {
    /// Brokers.
    pub access: KafkaAccess,
    /// Put before each topic's name.
    pub prefix: String,
    /// Registry ids of the schemas.
    pub ids: BTreeMap<SchemaRef, u32>,
}

impl Destination {
    /// A topic's name.
    #[must_use]
    pub fn topic(&self, kind: TopicKind) -> String {
        format!("{}{}", self.prefix, kind.name())
    }
}

/// Produces the stream up to the plan's end, or until `shutdown`.
///
/// # Errors
/// When the broker takes no more.
pub fn feed(
    plan: BankPlan,
    destination: &Destination,
    pulse: &Pulse,
    shutdown: &Shutdown,
) -> Result<(), KafkaError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", &destination.access.bootstrap_servers)
        .set("linger.ms", "5")
        .set("batch.num.messages", "10000");
    for (name, value) in &destination.access.properties {
        config.set(name, value.reveal());
    }
    let producer: BaseProducer = config.create()?;
    let per_window = 3 * u64::from(plan.rows_per_window);
    let started = Instant::now();
    let mut payload = Vec::new();
    let mut stalled = Duration::ZERO;
    for generated in Bank::new(plan) {
        let at = generated.event_time();
        if at >= plan.end() || shutdown.requested() {
            break;
        }
        let due = wall_time(at.since_ms(plan.start), plan.window_ms) + stalled;
        // In slices: a poll for each message would cost more than the message.
        while due.saturating_sub(started.elapsed()) > SLICE {
            producer.poll(SLICE);
        }
        let mut waited = Instant::now();
        while ahead(pulse) > WINDOWS_AHEAD * per_window && !shutdown.requested() {
            producer.poll(SLICE);
            stalled += waited.elapsed();
            waited = Instant::now();
        }
        send(&producer, destination, &generated, &mut payload)?;
        pulse.produced.fetch_add(1, Ordering::Relaxed);
        pulse.event_ms.store(at.0.max(0).unsigned_abs(), Ordering::Relaxed);
    }
    producer.flush(FLUSH)
}

fn ahead(pulse: &Pulse) -> u64 {
    let produced = pulse.produced.load(Ordering::Relaxed);
    produced.saturating_sub(pulse.read.load(Ordering::Relaxed))
}

/// When an instant of the stream is due, from its start.
fn wall_time(event_ms: i64, window_ms: i64) -> Duration {
    WINDOW.mul_f64((event_ms.max(0) as f64) / (window_ms.max(1) as f64))
}

fn send(
    producer: &BaseProducer,
    destination: &Destination,
    generated: &Generated,
    payload: &mut Vec<u8>,
) -> Result<(), KafkaError> {
    let id = |schema: SchemaRef| destination.ids.get(&schema).copied().unwrap_or_default();
    payload.clear();
    payload.push(0);
    payload.extend_from_slice(&id(generated.schema).to_be_bytes());
    generated.write_avro(payload);
    let topic = destination.topic(generated.topic);
    let mut headers = OwnedHeaders::new_with_capacity(generated.headers.len());
    for (key, value) in &generated.headers {
        let text = match value {
            HeaderValue::Text(text) => (*text).to_owned(),
            HeaderValue::SchemaId(schema) => id(*schema).to_string(),
        };
        headers = headers.insert(Header { key, value: Some(&text) });
    }
    let key = generated.key();
    let mut record = BaseRecord::to(&topic)
        .partition(partition_of(key.as_bytes(), PARTITIONS))
        .key(key)
        .payload(payload.as_slice())
        .headers(headers);
    loop {
        match producer.send(record) {
            Ok(()) => break,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) => {
                producer.poll(SLICE);
                record = again;
            }
            Err((error, _)) => return Err(error),
        }
    }
    Ok(())
}
