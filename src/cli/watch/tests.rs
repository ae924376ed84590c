//! The verb against an in-process mock broker.

use std::time::Duration;

use clap::Parser;
use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};

use super::*;
use crate::demo::bank::{Bank, BankPlan, Generated, HeaderValue, TopicKind};
use crate::demo::record::SchemaRef;
use crate::registry::StandIn;

const START: EventTime = EventTime(1_704_067_200_000);
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: WatchArgs,
}

fn args(brokers: &str, more: &[&str]) -> WatchArgs {
    let first = ["driftline", "--brokers", brokers, "--once"];
    Line::parse_from(first.iter().chain(more)).args
}

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("mock broker");
    for topic in [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels] {
        cluster.create_topic(topic.name(), 2, 1).expect("topic");
    }
    cluster
}

/// Writes a bank's stream as `payload` has it, half to each partition.
fn produce(brokers: &str, plan: BankPlan, payload: impl Fn(&Generated) -> Vec<u8>) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("queue.buffering.max.messages", "1000000")
        .create()
        .expect("producer");
    for (number, record) in Bank::new(plan).enumerate() {
        let mut headers = OwnedHeaders::new();
        if record.topic == TopicKind::Orders {
            let version = record.schema.number().to_string();
            headers = headers.insert(Header { key: "schema_version", value: Some(&version) });
        }
        for (key, value) in &record.headers {
            let value = match value {
                HeaderValue::Text(text) => (*text).to_owned(),
                HeaderValue::SchemaId(schema) => schema.number().to_string(),
            };
            headers = headers.insert(Header { key, value: Some(&value) });
        }
        let to_send = BaseRecord::to(record.topic.name())
            .partition((number % 2) as i32)
            .key(record.key().to_owned().leak().as_bytes())
            .timestamp(record.event_time().0)
            .headers(headers);
        let payload = payload(&record);
        producer.send(to_send.payload(&payload)).map_err(|(error, _)| error).expect("queued");
        producer.poll(Duration::ZERO);
    }
    producer.flush(PATIENCE).expect("sent");
}

fn watched(args: &WatchArgs) -> Result<String, Failure> {
    let mut out = Vec::new();
    watch(args, &Shutdown::new(), &mut out)?;
    Ok(String::from_utf8(out).expect("text"))
}

#[test]
fn the_story_is_told_from_live_topics_and_asks_for_nothing() {
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    let plan = BankPlan { windows: 26, rows_per_window: 1_500, ..BankPlan::story(START) };
    produce(&brokers, plan, |record| record.json().into_bytes());

    let parts = ["--predictions", "scores", "--outcomes", "labels", "--flag-above", "0.8"];
    let args = args(&brokers, &[&["--topic", "orders", "--window", "1h"][..], &parts].concat());
    let text = watched(&args).expect("reads to the end");

    assert!(text.contains("schema.changed  dataset/orders"), "{text}");
    let last = text.rsplit("incident.").next().unwrap_or_default();
    let causes: Vec<&str> = last.lines().filter(|line| line.contains("P = ")).collect();
    assert!(causes.iter().any(|line| line.contains("orders schema 13 [amount]")), "{text}");
    assert!(!text.contains("action.requested"), "the past asks for nothing: {text}");
}

#[test]
fn avro_waits_for_its_schema_from_the_registry() {
    let stand_in = StandIn::start().expect("starts");
    let registry = Registry::start(&access_to(&stand_in.url()), Options::default());
    let schema = SchemaRef::OrderV12;
    let id =
        registry.and_then(|registry| registry.register(schema.subject(), schema.text(), PATIENCE));
    let id = id.expect("registers");
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    let plan = BankPlan { windows: 4, rows_per_window: 400, ..BankPlan::story(START) };
    produce(&brokers, plan, |record| {
        let mut payload = vec![0];
        payload.extend(id.to_be_bytes());
        record.write_avro(&mut payload);
        payload
    });
    let args = args(&brokers, &["--topic", "orders", "--registry", &stand_in.url(), "--json"]);

    let (plan, readers, registry) = inferred(&args).expect("inferred");
    assert_eq!(plan.datasets["orders"].window.ms(), 300_000);
    let mut watch = Watch::new(&plan, readers, registry.as_ref());
    let mut outbox = Outbox::default();
    let started = Instant::now();
    while !watch.has_caught_up() && started.elapsed() < PATIENCE {
        watch.turn(&mut outbox).expect("reads");
    }
    watch.finish(&mut outbox);

    assert_eq!(watch.outcomes()["orders"].accepted, 1_600);
}

#[test]
fn what_cannot_be_watched_is_named() {
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();

    let missing = watched(&args(&brokers, &["--topic", "payments"])).expect_err("no such topic");
    assert!(matches!(missing, Failure::Watch(WatchError::NoTopic { .. })), "{missing}");
    assert!(missing.to_string().contains("`payments`"), "{missing}");
    let empty = args(&brokers, &["--topic", "orders", "--predictions", "scores"]);
    let error = watched(&empty).expect_err("nothing to infer from");
    assert!(error.to_string().contains("`scores` is the prediction's id: give --id"), "{error}");
}
