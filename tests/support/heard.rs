//! Public events as a subscriber hears them, and what the story says of them.

use std::collections::{BTreeMap, BTreeSet};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use serde_json::Value;

use super::broker::{Broker, Read};
use super::registry::RegistryClient;
use super::stream::Stream;

/// Headers every event has.
const ATTRIBUTES: [&str; 6] =
    ["ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time", "ce_subject"];

/// One event.
#[derive(Clone, Debug)]
pub struct Heard {
    pub topic: String,
    pub id: String,
    /// Without the common prefix and the version: `alarm.opened`.
    pub kind: String,
    pub incident: Option<String>,
    pub data: Value,
}

impl Heard {
    /// One line for people.
    pub fn line(&self) -> String {
        let (incident, said) = (self.incident.as_deref().unwrap_or("-"), &self.data["sentence"]);
        format!("{} {incident} {}", self.kind, said.as_str().unwrap_or_default())
    }

    /// The value at a path of names and numbers.
    pub fn at(&self, pointer: &str) -> &Value {
        self.data.pointer(pointer).unwrap_or(&Value::Null)
    }

    fn text(&self, pointer: &str) -> &str {
        self.at(pointer).as_str().unwrap_or_default()
    }
}

/// Decodes events by the registry's own schemas, or as JSON.
pub struct Decoder {
    registry: Option<RegistryClient>,
    schemas: BTreeMap<u32, Schema>,
}

impl Decoder {
    /// With a registry, events must be Avro; without, JSON.
    pub fn new(registry: Option<RegistryClient>) -> Decoder {
        Decoder { registry, schemas: BTreeMap::new() }
    }

    /// Decodes an event, holding its headers to the rules of CloudEvents in binary mode.
    pub fn decode(&mut self, topic: &str, app: &str, read: &Read) -> Heard {
        for name in ATTRIBUTES {
            let value = read.header(name).unwrap_or_default();
            assert!(!value.is_empty(), "an event on {topic} without {name}: {:?}", read.headers);
        }
        let header = |name: &str| read.header(name).unwrap_or_default().to_owned();
        assert_eq!(header("ce_specversion"), "1.0");
        assert!(header("ce_source").ends_with(app), "{}", header("ce_source"));
        let kind = header("ce_type");
        let kind = kind.strip_prefix("io.driftline.").and_then(|rest| rest.strip_suffix(".v1"));
        let wanted = if self.registry.is_some() { "application/avro" } else { "application/json" };
        assert_eq!(header("content-type"), wanted);
        Heard {
            topic: topic.to_owned(),
            id: header("ce_id"),
            kind: kind.expect("a type of ours").to_owned(),
            incident: read.header("ce_correlationid").map(str::to_owned),
            data: self.body(&read.payload),
        }
    }

    fn body(&mut self, payload: &[u8]) -> Value {
        let Some(registry) = &self.registry else {
            return serde_json::from_slice(payload).expect("a JSON event");
        };
        let [0, a, b, c, d, body @ ..] = payload else { panic!("no registry framing") };
        let id = u32::from_be_bytes([*a, *b, *c, *d]);
        let schema = self.schemas.entry(id).or_insert_with(|| {
            Schema::parse_str(&registry.schema(id)).expect("the registry's schema parses")
        });
        let reader = GenericDatumReader::builder(schema).build().expect("a reader");
        let mut rest = body;
        let value = reader.read_value(&mut rest).expect("the body is a datum of its schema");
        assert!(rest.is_empty(), "bytes after the datum");
        Value::try_from(value).expect("events have nothing JSON has not")
    }
}

/// All events of a run, each topic in order.
pub fn all(broker: &Broker, stream: &Stream, decoder: &mut Decoder) -> Vec<Heard> {
    let mut heard = Vec::new();
    for topic in topics(stream) {
        let read = broker.read_all(&topic);
        heard.extend(read.iter().map(|read| decoder.decode(&topic, &stream.app, read)));
    }
    heard
}

/// The public topics of a run.
pub fn topics(stream: &Stream) -> [String; 3] {
    ["drift-events", "action-requests", "retrain-requests"]
        .map(|name| format!("{}-{name}", stream.app))
}

/// What was said, line by line.
pub fn lines(heard: &[Heard]) -> String {
    heard.iter().map(Heard::line).collect::<Vec<_>>().join("\n")
}

/// Holds events to the story: who did it, what was asked for, nothing twice.
pub fn assert_story(heard: &[Heard], version: &str) {
    let said = lines(heard);
    let ids: BTreeSet<&str> = heard.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), heard.len(), "every event is said once:\n{said}");

    let about = |event: &&Heard| {
        let names = event.text("/schema_version") == version
            || event.text("/schema_version") == format!("orders {version}");
        let blames = event.text("/causes/0/schema_version") == version;
        names || blames
    };
    let first = heard.iter().find(about).unwrap_or_else(|| panic!("nothing of v13:\n{said}"));
    assert_eq!(first.kind, "schema.changed", "the schema is said first:\n{said}");

    let x100 = |event: &&Heard| {
        event.kind == "alarm.opened"
            && event.text("/field") == "amount"
            && event.text("/schema_version") == version
            && event.text("/change/named") == "x100"
    };
    assert!(heard.iter().any(|event| x100(&event)), "no x100 on amount of v13:\n{said}");

    let incidents: BTreeSet<&str> = heard
        .iter()
        .filter(|event| event.kind.starts_with("incident."))
        .map(|event| event.text("/incident_id"))
        .collect();
    assert_eq!(incidents.len(), 1, "one change is one incident:\n{said}");
    let last = heard.iter().rfind(|event| event.kind.starts_with("incident.")).expect("one");
    assert_eq!(last.text("/causes/0/schema_version"), version, "{said}");
    assert!(last.at("/causes/0/probability").as_f64() >= Some(0.8), "{last:#?}\n{said}");
    assert_eq!(last.at("/provisional"), false, "outcomes are in:\n{said}");

    assert_eq!(requests(heard), ["hold", "fix_upstream"], "{said}");
    for event in heard.iter().filter(|event| event.kind == "action.requested") {
        assert_eq!(event.text("/schema_version"), version, "{said}");
        assert_eq!(event.text("/owner"), "payments-team", "{said}");
        assert_eq!(event.incident.as_deref(), Some(last.text("/incident_id")), "{said}");
    }
}

/// What was asked for, in order.
pub fn requests(heard: &[Heard]) -> Vec<String> {
    let request = |event: &&Heard| event.kind.ends_with(".requested");
    let name = |event: &Heard| match event.at("/action").as_str() {
        Some(action) => action.to_owned(),
        None => "retrain".to_owned(),
    };
    heard.iter().filter(request).map(name).collect()
}
