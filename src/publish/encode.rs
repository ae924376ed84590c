//! Public event to Kafka record: headers, key and body.

use apache_avro::Schema;
use apache_avro::writer::datum::GenericDatumWriter;
use serde::Serialize;

use crate::config::deployment::PublicTopics;
use crate::event::public::{EventData, PublicEvent};

use super::schemas::{EventKind, RegisteredEventSchemas};

/// `content-type` of Avro bodies.
pub(super) const AVRO: &str = "application/avro";
/// `content-type` of JSON bodies.
pub(super) const JSON: &str = "application/json";

/// A record ready to be produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedEvent {
    /// Topic, by its configured name.
    pub topic: String,
    /// The subject, so that one subject's events stay in order.
    pub key: Vec<u8>,
    /// Never empty.
    pub payload: Vec<u8>,
    /// `ce_*` and `content-type`.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Turns events into records.
#[derive(Clone, Debug)]
pub struct Encoder {
    source: String,
    topics: PublicTopics,
    avro: Option<Avro>,
}

#[derive(Clone, Debug)]
struct Avro {
    registered: RegisteredEventSchemas,
    /// In the order of [`EventKind::ALL`].
    schemas: Vec<Schema>,
}

impl Encoder {
    /// An encoder for one `app`; JSON bodies when no schemas are registered.
    #[must_use]
    pub fn new(
        app: &str,
        topics: PublicTopics,
        schemas: Option<RegisteredEventSchemas>,
    ) -> Encoder {
        let avro = schemas.map(|registered| Avro {
            registered,
            schemas: EventKind::ALL.iter().map(|kind| kind.schema()).collect(),
        });
        Encoder { source: format!("/driftline/{app}"), topics, avro }
    }

    /// The record of an event.
    ///
    /// # Panics
    /// Never: the structs are held equal to their schemas by a test, and they have no map keys
    /// that JSON could refuse.
    #[must_use]
    pub fn encode(&self, event: &PublicEvent) -> EncodedEvent {
        let payload = match &event.data {
            EventData::SchemaChanged(data) => self.body(EventKind::SchemaChanged, data),
            EventData::Alarm(data) => self.body(EventKind::Alarm, data.as_ref()),
            EventData::Incident(data) => self.body(EventKind::Incident, data.as_ref()),
            EventData::RetrainRequested(data) => self.body(EventKind::RetrainRequested, data),
            EventData::ActionRequested(data) => self.body(EventKind::ActionRequested, data),
        };
        EncodedEvent {
            topic: self.topics.name(event.data.topic()).to_owned(),
            key: event.subject.clone().into_bytes(),
            payload,
            headers: self.headers(event),
        }
    }

    fn body<T: Serialize>(&self, kind: EventKind, data: &T) -> Vec<u8> {
        let Some(avro) = &self.avro else {
            return serde_json::to_vec(data).expect("plain structs always become JSON");
        };
        let mut payload = vec![0];
        payload.extend_from_slice(&avro.registered.id(kind).to_be_bytes());
        GenericDatumWriter::builder(&avro.schemas[kind.index()])
            .build()
            .and_then(|writer| writer.write_ser(&mut payload, data))
            .expect("the schema is held equal to its struct by a test");
        payload
    }

    fn headers(&self, event: &PublicEvent) -> Vec<(String, Vec<u8>)> {
        let kind = EventKind::of(&event.data);
        let location = self.avro.as_ref().map(|avro| avro.registered.location(kind));
        let content_type = if self.avro.is_some() { AVRO } else { JSON };
        // An instant outside of the calendar has no RFC 3339 form; the attribute is optional.
        let time = jiff::Timestamp::from_millisecond(event.time.0).ok().map(|t| t.to_string());
        let attributes = [
            ("ce_specversion", Some("1.0".to_owned())),
            ("ce_id", Some(event.id.clone())),
            ("ce_source", Some(self.source.clone())),
            ("ce_type", Some(event.data.type_name())),
            ("ce_time", time),
            ("ce_subject", Some(event.subject.clone())),
            ("ce_dataschema", location),
            ("ce_correlationid", event.correlation_id.clone()),
            ("ce_causationid", event.causation_id.clone()),
            ("content-type", Some(content_type.to_owned())),
        ];
        attributes
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.into_bytes())))
            .collect()
    }
}
