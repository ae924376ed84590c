//! Decodes sampled records whole, by the decoders of observe, and counts what is in them.

use std::collections::BTreeMap;

use super::topic::TopicSample;
use crate::observe::{
    AvroPlan, DecodeLimits, FoundKind, Framed, JsonPlan, SCHEMA_HEADER, SchemaKey, SchemaLanguage,
    Slot, SourceRecord,
};

/// Fields looked at; more cannot all be candidates.
const FIELDS_MAX: usize = 1_024;
const LIMITS: DecodeLimits = DecodeLimits { depth: 32, text_bytes: 256, paths: FIELDS_MAX };

/// Samples one topic, or one file or partition of it.
#[derive(Debug)]
pub struct Sampler {
    sample: TopicSample,
    json: JsonPlan,
    schemas: BTreeMap<SchemaKey, Written>,
    paths: Paths,
}

/// How records of a schema are written.
#[derive(Debug)]
enum Written {
    Avro(Box<AvroPlan>),
    Json,
    /// As nobody can read.
    Unreadable,
}

/// Paths met, each with its slot.
#[derive(Debug, Default)]
struct Paths {
    slots: BTreeMap<String, usize>,
}

impl Paths {
    fn slot(&mut self, path: &str) -> Option<usize> {
        let next = self.slots.len();
        if next >= FIELDS_MAX && !self.slots.contains_key(path) {
            return None;
        }
        Some(*self.slots.entry(path.to_owned()).or_insert(next))
    }
}

impl Sampler {
    /// A sampler that has seen nothing.
    #[must_use]
    pub fn new(topic: &str) -> Sampler {
        Sampler {
            sample: TopicSample { topic: topic.to_owned(), ..TopicSample::default() },
            json: JsonPlan::new(),
            schemas: BTreeMap::new(),
            paths: Paths::default(),
        }
    }

    /// Hands in the text of a schema; one that cannot be read makes its records unreadable.
    pub fn schema(&mut self, key: impl Into<SchemaKey>, language: SchemaLanguage, text: &str) {
        let paths = &mut self.paths;
        let written = match language {
            SchemaLanguage::Json => Written::Json,
            SchemaLanguage::Avro => AvroPlan::parse(text, &mut |found| match found.kind {
                FoundKind::Length => None,
                _ => paths.slot(&found.schema.path),
            })
            .map_or(Written::Unreadable, |plan| Written::Avro(Box::new(plan))),
        };
        self.schemas.insert(key.into(), written);
    }

    /// Takes a record; says which schema must be handed in first.
    pub fn take(&mut self, record: &SourceRecord<'_>) -> Option<SchemaKey> {
        let payload = record.payload?;
        let mut slots: Vec<Slot<'_>> = vec![Slot::Absent; self.paths.slots.len()];
        let paths = &mut self.paths;
        let is_read = match Framed::of(payload, record.header(SCHEMA_HEADER)) {
            Ok(Framed::Json(body)) => read_json(&mut self.json, body, paths, &mut slots),
            Ok(Framed::Registered { schema, body }) => match self.schemas.get(&schema) {
                None => return Some(schema),
                Some(Written::Unreadable) => false,
                Some(Written::Json) => read_json(&mut self.json, body, paths, &mut slots),
                Some(Written::Avro(plan)) => plan.decode(body, &LIMITS, &mut slots).is_ok(),
            },
            Err(_) => false,
        };
        if !is_read {
            return None;
        }
        self.sample.records += 1;
        for (path, slot) in &paths.slots {
            let slot = slots.get(*slot).copied().unwrap_or_default();
            if !matches!(slot, Slot::Absent | Slot::Composite) {
                self.sample.fields.entry(path.clone()).or_default().add(slot);
            }
        }
        for (name, value) in record.headers {
            let slot = std::str::from_utf8(value).map_or(Slot::Bytes(value), Slot::Text);
            self.sample.headers.entry((*name).to_owned()).or_default().add(slot);
        }
        if record.timestamp_ms >= 0 {
            self.sample.timestamps.add(Slot::TimeMs(record.timestamp_ms));
        }
        None
    }

    /// Records taken and read so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.sample.records
    }

    /// The sample, of which `share` of the file or partition was read.
    #[must_use]
    pub fn finish(mut self, share: f64) -> TopicSample {
        self.sample.end(share);
        self.sample
    }
}

fn read_json<'a>(
    json: &'a mut JsonPlan,
    body: &'a [u8],
    paths: &mut Paths,
    slots: &mut Vec<Slot<'a>>,
) -> bool {
    let mut want = |path: &str, _: &Slot<'_>| paths.slot(path);
    json.decode(body, &LIMITS, &mut want, slots).is_ok()
}
