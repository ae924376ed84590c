//! The verb against an in-process mock broker.

use clap::Parser;
use rdkafka::config::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{BaseProducer, BaseRecord, DefaultProducerContext, Producer};
use serde_json::Value;

use super::*;
use crate::event::public::{
    ActionRequestedData, CauseData, EventData, PublicEvent, SchemaChangedData,
};
use crate::event::time::EventTime;
use crate::publish::Encoder;
use crate::registry::StandIn;

const TOPICS: [&str; 3] = ["drift-events", "retrain-requests", "action-requests"];

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    args: EventsArgs,
}

fn args(brokers: &str, more: &[&str]) -> EventsArgs {
    let first = ["driftline", "--brokers", brokers];
    Line::parse_from(first.iter().chain(more)).args
}

fn cluster() -> MockCluster<'static, DefaultProducerContext> {
    let cluster = MockCluster::new(1).expect("mock broker");
    for topic in TOPICS {
        cluster.create_topic(topic, 2, 1).expect("topic");
    }
    cluster
}

fn event(number: i64) -> PublicEvent {
    let build = "test".to_owned();
    let data = if number % 2 == 0 {
        EventData::SchemaChanged(SchemaChangedData {
            dataset: "orders".into(),
            owner: None,
            schema_subject: None,
            schema_version: "13".into(),
            schema_number: None,
            previous_version: "12".into(),
            previous_number: None,
            producer: "pos-7".into(),
            partition: 0,
            offset: 312,
            first_seen_ms: 0,
            changes: vec![],
            sentence: format!("event {number}"),
            build,
        })
    } else {
        EventData::ActionRequested(ActionRequestedData {
            request_id: "r".into(),
            action: "hold".into(),
            dataset: None,
            owner: None,
            schema_version: None,
            models: vec![],
            incident_id: "i".into(),
            cause: CauseData {
                kind: "unexplained".into(),
                dataset: None,
                schema_version: None,
                name: "unexplained".into(),
                probability: 0.5,
                fields: vec![],
                evidence: String::new(),
            },
            provisional: true,
            sentence: format!("event {number}"),
            build,
        })
    };
    PublicEvent {
        id: format!("e{number}"),
        subject: format!("dataset/d{number}"),
        time: EventTime(1_700_000_000_000 + number),
        correlation_id: None,
        causation_id: None,
        data,
    }
}

/// Publishes events 0 to 19, two topics and four partitions, and one record that is none.
fn publish(brokers: &str, encoder: &Encoder) {
    let producer: BaseProducer =
        ClientConfig::new().set("bootstrap.servers", brokers).create().expect("producer");
    for number in 0..20_i64 {
        let record = encoder.encode(&event(number));
        let headers = record.headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(value) })
        });
        let to_send = BaseRecord::to(&record.topic)
            .partition(i32::from(number % 4 > 1))
            .key(&record.key)
            .payload(&record.payload)
            .timestamp(1_700_000_000_000 + number)
            .headers(headers);
        producer.send(to_send).map_err(|(error, _)| error).expect("queued");
    }
    let foreign = BaseRecord::<str, str>::to("drift-events").partition(0).payload("hello");
    producer.send(foreign).map_err(|(error, _)| error).expect("queued");
    producer.flush(Duration::from_secs(10)).expect("sent");
}

fn printed(args: &EventsArgs) -> String {
    let mut out = Vec::new();
    print_events(args, &mut out).expect("reads to the end");
    String::from_utf8(out).expect("text")
}

#[test]
fn events_of_all_topics_come_in_time_order_and_end_at_the_end() {
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    publish(&brokers, &Encoder::new("app", PublicTopics::default(), None));

    let text = printed(&args(&brokers, &["--json"]));

    let lines: Vec<Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let ids: Vec<String> =
        lines.iter().map(|line| line["id"].as_str().expect("id").to_owned()).collect();
    let expected: Vec<String> = (0..20).map(|number| format!("e{number}")).collect();
    assert_eq!(ids, expected, "the foreign record is passed over");
    assert_eq!(lines[1]["type"], "io.driftline.action.requested.v1");
    assert_eq!(lines[1]["data"]["action"], "hold");
    assert_eq!(lines[1]["topic"], "action-requests");
}

#[test]
fn avro_events_are_read_with_and_without_their_registry() {
    let stand_in = StandIn::start().expect("starts");
    let access = RegistryAccess::open(vec![stand_in.url()]);
    let registry = Registry::start(&access, Options::default()).expect("starts");
    let topics = PublicTopics::default();
    let schemas = registry.register_event_schemas(&topics, SCHEMA_PATIENCE).expect("registers");
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    publish(&brokers, &Encoder::new("app", topics, Some(schemas)));

    let with = printed(&args(&brokers, &["--registry", &stand_in.url()]));
    let without = printed(&args(&brokers, &[]));

    assert_eq!(with, without);
    assert!(with.contains("schema.changed  dataset/d0\n    event 0\n"), "{with}");
    assert_eq!(with.matches("hold").count(), 10, "{with}");
}

#[test]
fn only_topics_asked_for_are_read() {
    let cluster = cluster();
    let brokers = cluster.bootstrap_servers();
    publish(&brokers, &Encoder::new("app", PublicTopics::default(), None));

    let text = printed(&args(&brokers, &["--topics", "action-requests,retrain-requests"]));
    assert_eq!(text.matches("action.requested").count(), 10, "{text}");
    assert!(!text.contains("schema.changed"), "{text}");

    let none = printed(&args(&brokers, &["--since", "latest"]));
    assert_eq!(none, "");
}
