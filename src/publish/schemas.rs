//! The Avro schemas of public events: files in `schemas/`, embedded.
//!
//! One self-contained schema per body struct of [`crate::event::public`]; a test holds names,
//! order and types equal. Changing one means a new version of its subject: only add fields with
//! a default, or make a `v2`.

use apache_avro::Schema;

use crate::config::deployment::PublicTopics;
use crate::event::public::{EventData, PublicTopic};

/// A body struct and its schema; several event types can share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// `schema.changed`.
    SchemaChanged,
    /// `alarm.*`.
    Alarm,
    /// `incident.*`.
    Incident,
    /// `retrain.requested`.
    RetrainRequested,
    /// `action.requested`.
    ActionRequested,
}

impl EventKind {
    /// Every kind, in the order ids are kept.
    pub const ALL: [EventKind; 5] = [
        EventKind::SchemaChanged,
        EventKind::Alarm,
        EventKind::Incident,
        EventKind::RetrainRequested,
        EventKind::ActionRequested,
    ];

    /// The kind of a body.
    #[must_use]
    pub fn of(data: &EventData) -> EventKind {
        match data {
            EventData::SchemaChanged(_) => EventKind::SchemaChanged,
            EventData::Alarm(_) => EventKind::Alarm,
            EventData::Incident(_) => EventKind::Incident,
            EventData::RetrainRequested(_) => EventKind::RetrainRequested,
            EventData::ActionRequested(_) => EventKind::ActionRequested,
        }
    }

    /// The kind behind a CloudEvents type; `None` for types this build does not write.
    #[must_use]
    pub fn of_type(type_name: &str) -> Option<EventKind> {
        let rest = type_name.strip_prefix("io.driftline.")?.strip_suffix(".v1")?;
        match rest.split_once('.')? {
            ("schema", "changed") => Some(EventKind::SchemaChanged),
            ("alarm", _) => Some(EventKind::Alarm),
            ("incident", _) => Some(EventKind::Incident),
            ("retrain", "requested") => Some(EventKind::RetrainRequested),
            ("action", "requested") => Some(EventKind::ActionRequested),
            _ => None,
        }
    }

    /// Topic it goes to.
    #[must_use]
    pub fn topic(self) -> PublicTopic {
        match self {
            EventKind::SchemaChanged | EventKind::Alarm | EventKind::Incident => {
                PublicTopic::DriftEvents
            }
            EventKind::RetrainRequested => PublicTopic::RetrainRequests,
            EventKind::ActionRequested => PublicTopic::ActionRequests,
        }
    }

    /// Full name of the Avro record.
    #[must_use]
    pub fn record_name(self) -> &'static str {
        match self {
            EventKind::SchemaChanged => "io.driftline.v1.SchemaChanged",
            EventKind::Alarm => "io.driftline.v1.Alarm",
            EventKind::Incident => "io.driftline.v1.Incident",
            EventKind::RetrainRequested => "io.driftline.v1.RetrainRequested",
            EventKind::ActionRequested => "io.driftline.v1.ActionRequested",
        }
    }

    /// The schema as written in `schemas/`.
    #[must_use]
    pub fn schema_text(self) -> &'static str {
        match self {
            EventKind::SchemaChanged => include_str!("../../schemas/schema_changed.avsc"),
            EventKind::Alarm => include_str!("../../schemas/alarm.avsc"),
            EventKind::Incident => include_str!("../../schemas/incident.avsc"),
            EventKind::RetrainRequested => include_str!("../../schemas/retrain_requested.avsc"),
            EventKind::ActionRequested => include_str!("../../schemas/action_requested.avsc"),
        }
    }

    /// The schema, parsed.
    ///
    /// # Panics
    /// Never: the files are embedded and a test parses each.
    #[must_use]
    pub fn schema(self) -> Schema {
        Schema::parse_str(self.schema_text()).expect("embedded schemas parse, a test holds it")
    }

    /// Registry subject: topic, a dash, the record's full name, since one topic carries several
    /// types (Confluent's `TopicRecordNameStrategy`).
    #[must_use]
    pub fn subject(self, topics: &PublicTopics) -> String {
        format!("{}-{}", topics.name(self.topic()), self.record_name())
    }

    pub(super) fn index(self) -> usize {
        self as usize
    }
}

/// The ids a registry gave the event schemas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredEventSchemas {
    /// Base URL for `ce_dataschema`, without credentials and without a slash at the end.
    url: String,
    /// In the order of [`EventKind::ALL`].
    ids: [u32; EventKind::ALL.len()],
}

impl RegisteredEventSchemas {
    /// `url` is where the schemas can be read; user information in it is dropped. `ids` are in
    /// the order of [`EventKind::ALL`].
    #[must_use]
    pub fn new(url: &str, ids: [u32; EventKind::ALL.len()]) -> RegisteredEventSchemas {
        RegisteredEventSchemas { url: without_credentials(url), ids }
    }

    /// Id of a kind's schema.
    #[must_use]
    pub fn id(&self, kind: EventKind) -> u32 {
        self.ids[kind.index()]
    }

    /// Where a kind's schema can be read.
    #[must_use]
    pub fn location(&self, kind: EventKind) -> String {
        format!("{}/schemas/ids/{}", self.url, self.id(kind))
    }
}

/// A URL as it can be shown: no user information, no slash at the end.
pub(crate) fn without_credentials(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let authority_end = rest.find('/').unwrap_or(rest.len());
    match rest[..authority_end].rfind('@') {
        Some(at) => format!("{scheme}://{}", &rest[at + 1..]),
        None => url.to_owned(),
    }
}
