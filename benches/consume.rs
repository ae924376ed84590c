//! `run --stages observe` beside a bare `BaseConsumer` poll loop, on the same real topic.
//!
//! Needs a broker: `deploy/local/kafka.sh up kafka`, then `cargo bench --bench consume`. Prints
//! records per second of both and their ratio; the broker shares the machine, so only the ratio
//! says something. `RECORDS` sets how many (default 6,000,000, of about 130 bytes).
//!
//! Observe is timed from its first commit to its last but one: what lies between is full load,
//! while the last interval ends in idleness.
#![expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a bench measures wall time, prints, and stops at the first surprise"
)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use driftline::config::Config;
use driftline::config::deployment::{KafkaAccess, RegistryAccess};
use driftline::demo::bank::{Bank, BankPlan, TopicKind};
use driftline::event::time::EventTime;
use driftline::process::{self, Settings, StageName};
use driftline::registry::{Options, Registry, StandIn};
use driftline::runtime::{Commit, ReportKind, Shutdown, TopicSpec, ensure_topics};
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{Offset, TopicPartitionList};

const PARTITIONS: i32 = 8;
const ROUNDS: u32 = 3;

fn main() {
    let brokers =
        std::env::var("DRIFTLINE_TEST_KAFKA").unwrap_or_else(|_| "127.0.0.1:29092".into());
    let records: u32 = std::env::var("RECORDS").ok().map_or(6_000_000, |n| n.parse().unwrap());
    let registry = StandIn::start().unwrap();
    let stamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    let topic = format!("bench-{stamp}");
    fill(&brokers, &topic, &registry, records);
    println!("{records} orders of the demo bank, Avro, {PARTITIONS} partitions, 17 fields");
    for fields in ["only: [amount, country, items]", "fields: {}"] {
        for round in 0..ROUNDS {
            let bare = bare(&brokers, &topic, records);
            let app = format!("bench-{stamp}-{round}-{}", fields.len());
            let observe = observe(&brokers, &topic, &registry, (&app, fields, records));
            println!(
                "{fields:32} bare {bare:9.0}/s   observe {observe:9.0}/s   ratio {:.2}",
                observe / bare
            );
        }
    }
}

/// Writes the orders of one hour, all records within one window.
fn fill(brokers: &str, topic: &str, registry: &StandIn, records: u32) {
    let access = KafkaAccess { bootstrap_servers: brokers.into(), properties: Vec::new() };
    ensure_topics(&access, &[TopicSpec::records(topic, PARTITIONS)], &[]).unwrap();
    let client = Registry::start(&registry_access(registry), Options::default()).unwrap();
    let mut plan = BankPlan::story(EventTime(0));
    (plan.windows, plan.rows_per_window) = (1, records);
    let schema = plan.schemas()[0];
    let id = client.register("orders-value", schema.text(), Duration::from_secs(5)).unwrap();
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("linger.ms", "50")
        .set("batch.size", "1000000")
        .create()
        .unwrap();
    let mut payload = Vec::new();
    for order in Bank::new(plan).filter(|one| one.topic == TopicKind::Orders) {
        payload.clear();
        payload.push(0);
        payload.extend_from_slice(&id.to_be_bytes());
        order.write_avro(&mut payload);
        let header = Header { key: "app", value: Some("web-1") };
        let mut record = BaseRecord::to(topic)
            .key(order.key())
            .payload(payload.as_slice())
            .headers(OwnedHeaders::new().insert(header));
        while let Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), again)) =
            producer.send(record)
        {
            producer.poll(Duration::from_millis(10));
            record = again;
        }
    }
    producer.flush(Duration::from_secs(60)).unwrap();
}

fn registry_access(registry: &StandIn) -> RegistryAccess {
    RegistryAccess { urls: vec![registry.url()], basic: None }
}

/// Records per second of a loop that only polls, with the prefetch settings of observe.
fn bare(brokers: &str, topic: &str, records: u32) -> f64 {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("group.id", "bench-bare")
        .set("enable.auto.commit", "false")
        .set("fetch.queue.backoff.ms", "5")
        .set("fetch.wait.max.ms", "50")
        .set("queued.max.messages.kbytes", "65536")
        .create()
        .unwrap();
    let mut list = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        list.add_partition_offset(topic, partition, Offset::Beginning).unwrap();
    }
    consumer.assign(&list).unwrap();
    let mut seen = 0;
    let mut started = None;
    while seen < records {
        if let Some(message) = consumer.poll(Duration::from_millis(100)) {
            message.unwrap();
            started.get_or_insert_with(Instant::now);
            seen += 1;
        }
    }
    f64::from(records) / started.unwrap().elapsed().as_secs_f64()
}

/// Records per second of observe: transactions, summaries and all.
fn observe(brokers: &str, topic: &str, registry: &StandIn, how: (&str, &str, u32)) -> f64 {
    let (app, fields, records) = how;
    let url = registry.url();
    let text = format!(
        "app: {app}\nkafka: {{ bootstrap_servers: \"{brokers}\" }}\nregistry: {{ url: \"{url}\" }}\n\
         datasets:\n  orders:\n    topic: {topic}\n    producer: {{ header: app }}\n    {fields}\n\
         http: {{ listen: off }}\ncommit: {{ interval: 1s }}\n"
    );
    let (plan, deployment) = Config::parse(&text, "bench.yaml").unwrap().plan().unwrap();
    let (reports, heard) = channel();
    let settings = Settings {
        stages: BTreeSet::from([StageName::Observe]),
        commit: Commit::Transactional,
        pace: None,
        listener: Some(reports),
    };
    let shutdown = Shutdown::new();
    let stop = shutdown.clone();
    let process =
        std::thread::spawn(move || process::run(&Arc::new(plan), &deployment, &settings, &stop));
    let mut commits = Vec::new();
    let mut seen = 0;
    for report in heard {
        if let ReportKind::Committed { read, .. } = report.kind {
            seen += read;
            commits.push((Instant::now(), seen));
        }
        if seen >= u64::from(records) {
            break;
        }
    }
    let [first, .., last, _] = commits.as_slice() else {
        panic!("{} commits are too few to time: raise RECORDS", commits.len());
    };
    #[expect(clippy::cast_precision_loss, reason = "millions")]
    let rate = (last.1 - first.1) as f64 / (last.0 - first.0).as_secs_f64();
    shutdown.request();
    process.join().unwrap().unwrap();
    rate
}
