//! The schemas held equal to the structs, and events through both forms and back.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::schema::RecordSchema;
use proptest::prelude::*;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::config::deployment::PublicTopics;
use crate::event::public::{EventData, PublicEvent};
use crate::event::time::EventTime;

use super::{DecodeError, Decoded, EncodedEvent, Encoder, EventKind, RegisteredEventSchemas};
use super::{decode, human};

const IDS: [u32; 5] = [11, 12, 13, 14, 15];

fn registered() -> RegisteredEventSchemas {
    RegisteredEventSchemas::new("http://user:secret@registry:8081/", IDS)
}

fn encoder(schemas: Option<RegisteredEventSchemas>) -> Encoder {
    Encoder::new("fraud-watch", PublicTopics::default(), schemas)
}

fn resolve(id: u32) -> Result<Schema, String> {
    let place = IDS.iter().position(|known| *known == id).ok_or("not found")?;
    Ok(EventKind::ALL[place].schema())
}

fn read(record: &EncodedEvent) -> Result<Decoded, DecodeError> {
    decode(&record.headers, Some(&record.payload), resolve)
}

fn header<'a>(record: &'a EncodedEvent, name: &str) -> Option<&'a str> {
    let (_, value) = record.headers.iter().find(|(key, _)| key == name)?;
    Some(std::str::from_utf8(value).expect("header is text"))
}

/// Named records of a schema, by full name.
fn records<'a>(schema: &'a Schema, found: &mut BTreeMap<String, &'a RecordSchema>) {
    match schema {
        Schema::Record(record) => {
            found.insert(record.name.fullname(None), record);
            record.fields.iter().for_each(|field| records(&field.schema, found));
        }
        Schema::Array(array) => records(&array.items, found),
        Schema::Union(union) => union.variants().iter().for_each(|one| records(one, found)),
        _ => {}
    }
}

/// Any JSON value a schema allows; `full` leaves no option and no list empty.
fn value_of(schema: &Schema, root: &Schema, full: bool) -> BoxedStrategy<Value> {
    match schema {
        Schema::String => "\\PC{0,12}".prop_map(Value::from).boxed(),
        Schema::Boolean => any::<bool>().prop_map(Value::from).boxed(),
        Schema::Int => any::<i32>().prop_map(Value::from).boxed(),
        Schema::Long => any::<i64>().prop_map(Value::from).boxed(),
        // Eighths survive text exactly; serde_json's parser may be off by a bit elsewhere.
        Schema::Double => any::<i32>().prop_map(|n| Value::from(f64::from(n) / 8.0)).boxed(),
        Schema::Array(array) => {
            let items = value_of(&array.items, root, full);
            prop::collection::vec(items, usize::from(full)..3).prop_map(Value::from).boxed()
        }
        Schema::Union(union) => {
            let [Schema::Null, some] = union.variants() else {
                panic!("only null and one other type are used, null first: {union:?}");
            };
            let some = value_of(some, root, full);
            if full { some } else { prop_oneof![Just(Value::Null), some].boxed() }
        }
        Schema::Ref { name } => {
            let mut found = BTreeMap::new();
            records(root, &mut found);
            let record = found[&name.fullname(None)].clone();
            value_of(&Schema::Record(record), root, full)
        }
        Schema::Record(record) => {
            let fields: Vec<BoxedStrategy<(String, Value)>> = record
                .fields
                .iter()
                .map(|field| {
                    let name = field.name.clone();
                    value_of(&field.schema, root, full)
                        .prop_map(move |value| (name.clone(), value))
                        .boxed()
                })
                .collect();
            fields.prop_map(|fields| Value::Object(fields.into_iter().collect())).boxed()
        }
        other => panic!("event schemas do not use {other:?}"),
    }
}

fn typed<T: DeserializeOwned + Serialize>(value: &Value) -> T {
    let data: T = serde_json::from_value(value.clone()).expect("the struct reads its schema");
    let again = serde_json::to_value(&data).expect("plain struct");
    assert_eq!(&again, value, "the struct holds what its schema holds");
    assert_eq!(again.to_string(), value.to_string(), "in the same order");
    data
}

fn body(kind: EventKind, value: &Value) -> EventData {
    match kind {
        EventKind::SchemaChanged => EventData::SchemaChanged(typed(value)),
        EventKind::Alarm => EventData::Alarm(Box::new(typed(value))),
        EventKind::Incident => EventData::Incident(Box::new(typed(value))),
        EventKind::RetrainRequested => EventData::RetrainRequested(typed(value)),
        EventKind::ActionRequested => EventData::ActionRequested(typed(value)),
    }
}

fn event_of(kind: EventKind, full: bool) -> impl Strategy<Value = (Value, PublicEvent)> {
    let schema = kind.schema();
    let envelope = ("[a-f0-9]{16}", "(dataset|model)/[a-z]{1,9}", 0..4_102_444_800_000_i64);
    let links = (prop::option::of("[a-f0-9]{8}"), prop::option::of("[a-f0-9]{8}"));
    (value_of(&schema, &schema, full), envelope, links).prop_map(
        move |(value, (id, subject, ms), (correlation_id, causation_id))| {
            let data = body(kind, &value);
            let time = EventTime(ms);
            (value, PublicEvent { id, subject, time, correlation_id, causation_id, data })
        },
    )
}

fn any_event(full: bool) -> impl Strategy<Value = (Value, PublicEvent)> {
    prop::sample::select(EventKind::ALL.to_vec()).prop_flat_map(move |kind| event_of(kind, full))
}

proptest! {
    /// Names, order and types of every struct and its schema, nested ones too.
    #[test]
    fn schema_equals_its_struct((value, event) in any_event(true)) {
        // `typed` has compared them; what is left is that nothing was empty.
        prop_assert!(value.as_object().is_some_and(|fields| !fields.is_empty()));
        prop_assert_eq!(EventKind::of_type(&event.data.type_name()).is_some(), true);
    }

    #[test]
    fn event_comes_back_from_avro_and_from_json((value, event) in any_event(false)) {
        for schemas in [None, Some(registered())] {
            let record = encoder(schemas).encode(&event);
            let back = read(&record).expect("readable");

            prop_assert_eq!(&back.data, &value);
            prop_assert_eq!(&back.id, &event.id);
            prop_assert_eq!(&back.kind, &event.data.type_name());
            prop_assert_eq!(&back.source, "/driftline/fraud-watch");
            prop_assert_eq!(back.subject.as_deref(), Some(event.subject.as_str()));
            prop_assert_eq!(&back.correlation_id, &event.correlation_id);
            prop_assert_eq!(&back.causation_id, &event.causation_id);
            prop_assert_eq!(&record.key, event.subject.as_bytes());
        }
    }

    #[test]
    fn human_form_says_the_sentence_and_no_control_character((_, event) in any_event(false)) {
        let said = human(&read(&encoder(None).encode(&event)).expect("readable"));

        prop_assert!(!said.chars().any(|c| c.is_control() && c != '\n'));
        prop_assert!(said.contains(event.data.sentence()), "{}", said);
    }

    #[test]
    fn foreign_bytes_are_an_error_and_no_panic(payload in prop::collection::vec(any::<u8>(), 0..80)) {
        let headers = |content: &str| {
            [("ce_id", "1"), ("ce_type", "x"), ("ce_source", "/s"), ("content-type", content)]
                .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
        };
        let mut framed = vec![0, 0, 0, 0, 12];
        framed.extend_from_slice(&payload);

        let _ = decode(&headers("application/avro"), Some(&payload), resolve);
        let _ = decode(&headers("application/avro"), Some(&framed), resolve);
        let _ = decode(&headers("application/json"), Some(&payload), resolve);
    }
}

#[test]
fn schemas_parse_are_documented_and_survive_their_canonical_form() {
    for kind in EventKind::ALL {
        let schema = kind.schema();
        let canonical = Schema::parse_str(&schema.canonical_form()).expect("canonical form");
        assert_eq!(canonical.canonical_form(), schema.canonical_form());

        let mut found = BTreeMap::new();
        records(&schema, &mut found);
        assert!(found.contains_key(kind.record_name()), "{kind:?}");
        for (name, record) in found {
            assert!(name.starts_with("io.driftline.v1."), "{name}");
            assert!(record.doc.is_some(), "{name} says what it is");
            for field in &record.fields {
                let doc = field.doc.as_deref().unwrap_or_default();
                assert!(!doc.is_empty(), "{name}.{} says what it is", field.name);
                let nullable = matches!(field.schema, Schema::Union(_));
                assert_eq!(field.default.is_some(), nullable, "{name}.{}", field.name);
            }
        }
    }
}

#[test]
fn record_named_in_two_schemas_is_the_same_record() {
    let schemas: Vec<Schema> = EventKind::ALL.iter().map(|kind| kind.schema()).collect();
    let mut seen: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    for schema in &schemas {
        let mut found = BTreeMap::new();
        records(schema, &mut found);
        for (name, record) in found {
            let shape = |schema: &Schema| match schema {
                Schema::Record(inner) => inner.name.fullname(None),
                other => other.canonical_form(),
            };
            let fields: Vec<(String, String)> =
                record.fields.iter().map(|f| (f.name.clone(), shape(&f.schema))).collect();
            let first = seen.entry(name.clone()).or_insert_with(|| fields.clone());
            assert_eq!(*first, fields, "{name}");
        }
    }
    assert!(seen.contains_key("io.driftline.v1.Cause"));
}

fn sample() -> PublicEvent {
    let data = serde_json::json!({
        "request_id": "r1", "action": "fix_upstream", "dataset": "orders",
        "owner": "payments-team", "schema_version": "42", "models": ["fraud"],
        "incident_id": "i1",
        "cause": {
            "kind": "schema_change", "dataset": "orders", "schema_version": "42",
            "name": "orders-value v13", "probability": 0.93, "fields": ["amount"],
            "evidence": "rise on v13 alone",
        },
        "provisional": false, "sentence": "Fix amount in orders-value v13.", "build": "test",
    });
    PublicEvent {
        id: "e1".into(),
        subject: "model/fraud".into(),
        time: EventTime(1_700_000_000_000),
        correlation_id: Some("i1".into()),
        causation_id: None,
        data: body(EventKind::ActionRequested, &data),
    }
}

#[test]
fn headers_are_cloudevents_in_binary_mode() {
    let record = encoder(Some(registered())).encode(&sample());

    assert_eq!(record.topic, "action-requests");
    assert_eq!(record.payload[..5], [0, 0, 0, 0, 15]);
    for (name, value) in [
        ("ce_specversion", Some("1.0")),
        ("ce_id", Some("e1")),
        ("ce_source", Some("/driftline/fraud-watch")),
        ("ce_type", Some("io.driftline.action.requested.v1")),
        ("ce_time", Some("2023-11-14T22:13:20Z")),
        ("ce_subject", Some("model/fraud")),
        ("ce_dataschema", Some("http://registry:8081/schemas/ids/15")),
        ("ce_correlationid", Some("i1")),
        ("ce_causationid", None),
        ("content-type", Some("application/avro")),
    ] {
        assert_eq!(header(&record, name), value, "{name}");
    }
}

#[test]
fn json_events_name_no_schema() {
    let record = encoder(None).encode(&sample());

    assert_eq!(header(&record, "content-type"), Some("application/json"));
    assert_eq!(header(&record, "ce_dataschema"), None);
    let body: Map<String, Value> = serde_json::from_slice(&record.payload).expect("JSON");
    assert_eq!(body["action"], "fix_upstream");
}

#[test]
fn action_reads_well() {
    let said = human(&read(&encoder(None).encode(&sample())).expect("readable"));

    let expected = "2023-11-14T22:13:20Z  action.requested  model/fraud\n    \
        Fix amount in orders-value v13.\n    \
        fix_upstream orders schema 42, owner payments-team, models fraud\n    \
        P = 0.93  orders-value v13 [amount]: rise on v13 alone\n    \
        request r1\n    \
        incident i1\n";
    assert_eq!(said, expected);
}

#[test]
fn subjects_follow_topic_and_record_name() {
    let topics = PublicTopics { drift_events: "team.drift".into(), ..PublicTopics::default() };

    assert_eq!(EventKind::Alarm.subject(&topics), "team.drift-io.driftline.v1.Alarm");
    assert_eq!(
        EventKind::RetrainRequested.subject(&topics),
        "retrain-requests-io.driftline.v1.RetrainRequested"
    );
}

#[test]
fn what_is_no_event_is_said() {
    let record = encoder(Some(registered())).encode(&sample());
    let only = |name: &str| record.headers.iter().filter(|(k, _)| k != name).cloned().collect();
    let without_type: Vec<_> = only("ce_type");

    let error = decode(&without_type, Some(&record.payload), resolve).expect_err("no type");
    assert!(matches!(error, DecodeError::NotAnEvent("ce_type")));
    let error = decode(&record.headers, None, resolve).expect_err("tombstone");
    assert!(matches!(error, DecodeError::Tombstone));
    let error = decode(&record.headers, Some(&[0, 0, 0, 0, 99]), resolve).expect_err("unknown");
    assert!(matches!(error, DecodeError::Schema { id: 99, .. }));
}
