//! The data: orders in JSON and people in Avro, with secrets in every place one can be.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use driftline::event::route::Outbox;
use driftline::observe::{RegisteredSchema, SchemaAnswer, SchemaLanguage, SourceRecord, Taken};
use driftline::topology::Topology;

use super::scanner::Secret;

const START: i64 = 1_760_000_400_000;
const HOUR: i64 = 3_600_000;
const WINDOWS: i64 = 26;
const ROWS: i64 = 250;
/// First window in which the data change.
const CHANGE: i64 = 20;

pub(crate) const VALUES_KEY: &str = "CANARY-values-key-of-at-least-32-characters";

/// What a careful operator writes.
pub(crate) const CLOSED: &str = "\
app: canary
values: { secret_key: CANARY-values-key-of-at-least-32-characters, quarantine: hash }
datasets:
  orders:
    topic: orders
    event_time: at
    producer: app
    schema_version: sv
    quarantine_breaches: true
    fields:
      app: { values: keep }
      country: { values: keep }
      card: { values: hash }
      pin: { values: hash }
      ssn: { values: drop }
      salary: { values: drop, kind: numeric }
      state: { values: hash, allowed: [open, shut] }
  people:
    topic: people
    event_time: at
";

/// The same, keeping all there is.
pub(crate) const KEEPING: &str = "\
app: canary
values: { drop_tags: [] }
datasets:
  orders:
    topic: orders
    event_time: at
    producer: app
    schema_version: sv
    quarantine_breaches: true
    fields:
      app: { values: keep }
      country: { values: keep }
      card: { values: keep }
      pin: { values: keep }
      ssn: { values: keep }
      salary: { values: keep, kind: numeric }
      note: { values: keep }
      long: { values: keep }
      state: { values: keep, allowed: [open, shut] }
  people:
    topic: people
    event_time: at
    fields: { email: { values: keep } }
";

const LONG: &str = "CANARY-long-text-that-goes-on-and-on-and-on-and-on-and-on-and-on-and-on-and-on";

/// What must not leave.
pub(crate) fn secrets() -> Vec<Secret> {
    vec![
        Secret::text("card", "CANARY-card-7"),
        Secret::number("pin", pin(3) as f64),
        Secret::text("ssn", "CANARY-ssn-11"),
        Secret::number("salary", salary(2)),
        Secret::text("note beyond the 64th", "CANARY-note-150"),
        Secret::text("first note", "CANARY-note-0"),
        Secret::text("over-long text", LONG),
        Secret::text("tagged", "CANARY-email-5"),
        Secret::text("default of a tagged field", "CANARY-default-1"),
        Secret::text("changed default of a tagged field", "CANARY-default-2"),
        Secret::text("key", "CANARY-key"),
        Secret::text("garbage", "CANARY-garbage"),
        Secret::text("text that is no time", "CANARY-time"),
        Secret::text("value against the contract", "CANARY-state"),
        Secret::text("cut record", "CANARY-cut"),
    ]
}

/// What may leave, and does.
pub(crate) fn kept() -> Vec<Secret> {
    vec![Secret::text("country", "CANARY-kept-1"), Secret::text("producer", "CANARY-producer")]
}

/// Secrets of the configuration that the binary reads.
pub(crate) fn secrets_of_configuration() -> Vec<Secret> {
    vec![
        Secret::text("key of values", VALUES_KEY),
        Secret::text("password", "CANARY-kafka-password"),
        Secret::text("property", "CANARY-ssl-password"),
        Secret::text("registry", "CANARY-registry-password"),
        Secret::text("log-in of the registry", "me:CANARY-registry-password"),
        Secret::text("short key", "CANARY-short-key"),
    ]
}

fn pin(i: i64) -> i64 {
    7_321_984_100 + i % 30
}

fn salary(i: i64) -> f64 {
    48_151_623.25 + (i % 7) as f64
}

fn order(window: i64, i: i64) -> String {
    let at = START + window * HOUR + i * (HOUR / ROWS);
    let changed = window >= CHANGE;
    let (amount, version) = if changed { (100 * (i % 50), 2) } else { (i % 50, 1) };
    let (card, ssn, note, country) = (i % 40, i % 200, i % 200, i % 3);
    let (pin, salary) = (pin(i), salary(i));
    let state = if i % 2 == 0 { "open" } else { "shut" };
    format!(
        r#"{{"at":{at},"app":"CANARY-producer","sv":"{version}","amount":{amount},"country":"CANARY-kept-{country}","card":"CANARY-card-{card}","pin":{pin},"ssn":"CANARY-ssn-{ssn}","salary":{salary},"note":"CANARY-note-{note}","long":"{LONG}","state":"{state}"}}"#
    )
}

/// Records that cannot be used, each with a secret.
fn bad(window: i64) -> [Vec<u8>; 4] {
    let at = START + window * HOUR;
    [
        b"\x07CANARY-garbage".to_vec(),
        br#"{"at":"CANARY-time"}"#.to_vec(),
        format!(r#"{{"at":{at},"state":"CANARY-state"}}"#).into_bytes(),
        format!(r#"{{"at":{at},"x":"CANARY-cut"#).into_bytes(),
    ]
}

/// Orders as lines of a file, bad ones among them.
pub(crate) fn lines() -> String {
    let mut lines = String::new();
    for window in 0..WINDOWS {
        for i in 0..ROWS {
            lines.push_str(&order(window, i));
            lines.push('\n');
        }
    }
    for line in &bad(0)[1..] {
        lines.push_str(&String::from_utf8_lossy(line));
        lines.push('\n');
    }
    lines
}

/// A configuration without the people, for which there is no file.
pub(crate) fn only_orders(text: &str) -> String {
    text.split("  people:").next().unwrap_or_default().to_owned()
}

fn people_schema(version: u32) -> String {
    format!(
        r#"{{"type":"record","name":"Person","fields":[
            {{"name":"at","type":{{"type":"long","logicalType":"timestamp-millis"}}}},
            {{"name":"email","type":"string","default":"CANARY-default-{version}",
              "confluent:tags":["PII"]}}]}}"#
    )
}

fn person(version: u32, at: i64, i: i64) -> Vec<u8> {
    let schema = Schema::parse_str(&people_schema(version)).expect("valid");
    let writer = GenericDatumWriter::builder(&schema).build().expect("valid");
    let fields = vec![
        ("at".to_owned(), Value::TimestampMillis(at)),
        ("email".to_owned(), Value::String(format!("CANARY-email-{}", i % 20))),
    ];
    let body = writer.write_value_to_vec(Value::Record(fields)).expect("fits");
    [&[0], &version.to_be_bytes()[..], &body].concat()
}

struct Feed<'t> {
    topology: &'t mut Topology,
    out: &'t mut Outbox,
    offsets: BTreeMap<&'static str, i64>,
}

impl Feed<'_> {
    fn give(&mut self, topic: &'static str, payload: &[u8]) {
        let offset = self.offsets.entry(topic).or_default();
        let record = SourceRecord {
            topic,
            partition: 0,
            offset: *offset,
            timestamp_ms: START + WINDOWS * HOUR,
            key: Some(b"CANARY-key"),
            payload: Some(payload),
            headers: &[("user", b"CANARY-key")],
        };
        *offset += 1;
        assert_eq!(self.topology.observe().record(&record, self.out), Taken::Done);
    }
}

/// Runs all of it through the stages.
pub(crate) fn feed(topology: &mut Topology, out: &mut Outbox) {
    for topic in ["orders", "people"] {
        topology.observe().assign(topic, 0, 1, 0, "");
    }
    for id in [1, 2] {
        let known = RegisteredSchema {
            id,
            language: SchemaLanguage::Avro,
            schema: people_schema(id),
            subject: Some("people-value".into()),
            number: Some(id),
            tags: BTreeMap::new(),
        };
        topology.observe().schema(id, SchemaAnswer::Known(known));
    }
    let now = START + WINDOWS * HOUR;
    let mut feed = Feed { topology, out, offsets: BTreeMap::new() };
    for window in 0..WINDOWS {
        for i in 0..ROWS {
            feed.give("orders", order(window, i).as_bytes());
            if i % 5 == 0 {
                let version = if window >= CHANGE { 2 } else { 1 };
                let at = START + window * HOUR + i * (HOUR / ROWS);
                feed.give("people", &person(version, at, i));
            }
        }
        for payload in bad(window) {
            feed.give("orders", &payload);
        }
        feed.topology.commit(now, feed.out);
    }
    for topic in ["orders", "people"] {
        feed.topology.observe().at_end(topic, 0, true);
    }
    feed.topology.commit(now, feed.out);
}
