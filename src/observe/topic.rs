//! One topic: its roles, its partitions, and how its records are decoded.

use std::collections::BTreeMap;

use super::answer::SchemaKey;
use super::dataset::Dataset;
use super::engine::{Decided, Engine, Written};
use super::framing::{DecodeError, DecodeLimits, Framed, SCHEMA_HEADER, recycle};
use super::items::{ItemPaths, Items};
use super::json::JsonPlan;
use super::partition::Partition;
use super::place::View;
use super::quarantine::Trouble;
use super::record::SourceRecord;
use super::roles::{Paths, Role, TopicRoles};
use super::schemas::{self, Plans, Schemas, State};
use super::slot::Slot;
use crate::config::plan::Limits;
use crate::event::time::EventTime;

/// A topic that is read.
#[derive(Debug)]
pub(super) struct Topic {
    /// Its name.
    pub(super) name: String,
    /// What it is read for.
    pub(super) roles: Vec<Role>,
    /// Assigned partitions.
    pub(super) partitions: BTreeMap<i32, Partition>,
    /// Plans by schema.
    pub(super) plans: Plans,
    paths: Paths,
    /// Of these, those of items.
    item_paths: ItemPaths,
    json: JsonPlan,
    limits: DecodeLimits,
    record_bytes: usize,
    /// Empty; kept for its memory.
    slots: Vec<Slot<'static>>,
    /// The same.
    items: Items<'static>,
}

/// What decoding came to, before the roles are asked.
#[derive(Debug)]
pub(super) enum Answer {
    /// The roles have decided.
    Decided(Decided),
    /// The schema is not known.
    NeedSchema(SchemaKey),
}

impl From<Trouble> for Answer {
    fn from(trouble: Trouble) -> Answer {
        Answer::Decided(Decided::SetAside(trouble))
    }
}

impl From<DecodeError> for Answer {
    fn from(error: DecodeError) -> Answer {
        Answer::from(Trouble::new(error.reason(), String::new()))
    }
}

impl Topic {
    /// A topic none of whose records have been seen.
    pub(super) fn new(resolved: TopicRoles, limits: &Limits) -> Topic {
        let mut json = JsonPlan::new();
        let mut item_paths = ItemPaths::default();
        for (path, slot) in resolved.paths.all() {
            json.name(path, slot);
            item_paths.name(path, slot);
        }
        Topic {
            name: resolved.name,
            roles: resolved.roles,
            partitions: BTreeMap::new(),
            plans: Plans::new(limits.versions_per_dataset),
            paths: resolved.paths,
            item_paths,
            json,
            limits: DecodeLimits {
                // Ids and times must be whole; categories are cut where they are counted.
                text_bytes: limits.record_bytes,
                ..DecodeLimits::from(limits)
            },
            record_bytes: limits.record_bytes,
            slots: Vec::new(),
            items: Items::new(limits.items_per_record),
        }
    }

    /// Takes note that the next record of a partition lies too far ahead.
    pub(super) fn wait(&mut self, partition: i32) {
        if let Some(partition) = self.partitions.get_mut(&partition) {
            partition.waits = true;
        }
    }

    /// Decodes a record and asks the roles.
    pub(super) fn take(
        &mut self,
        (record, payload): (&SourceRecord<'_>, &[u8]),
        engine: &mut Engine,
        schemas: &mut Schemas,
        highest: Option<EventTime>,
    ) -> Answer {
        if payload.len() > self.record_bytes {
            let detail = format!("{} bytes", payload.len());
            return Trouble::new("oversized", detail).into();
        }
        match Framed::of(payload, record.header(SCHEMA_HEADER)) {
            Ok(Framed::Json(body)) => self.take_json((record, body), engine, highest),
            Ok(Framed::Registered { schema, body }) => {
                if !self.plans.has(schema)
                    && let Err(answer) = self.plan(schema, schemas, &mut engine.datasets)
                {
                    return answer;
                }
                self.take_registered((record, body), schema, engine, highest)
            }
            Err(error) => error.into(),
        }
    }

    fn plan(
        &mut self,
        key: SchemaKey,
        schemas: &mut Schemas,
        datasets: &mut [Dataset],
    ) -> Result<(), Answer> {
        let schema = match schemas.get(key) {
            None => return Err(Answer::NeedSchema(key)),
            Some(State::Useless(trouble)) => return Err(trouble.clone().into()),
            Some(State::Readable(schema)) => schema,
        };
        let paths = (&mut self.paths, &self.item_paths);
        let plan = schemas::compile(key, schema, (&self.roles, paths), datasets)?;
        self.plans.insert(key, plan);
        Ok(())
    }

    fn take_registered(
        &mut self,
        (record, body): (&SourceRecord<'_>, &[u8]),
        key: SchemaKey,
        engine: &mut Engine,
        highest: Option<EventTime>,
    ) -> Answer {
        let Some(plan) = self.plans.get(key) else {
            return Answer::NeedSchema(key);
        };
        let mut slots = recycle(std::mem::take(&mut self.slots));
        slots.resize(self.paths.len(), Slot::Absent);
        let mut items = emptied(&mut self.items);
        let decoded = match &plan.avro {
            Some(avro) => avro.decode_with_items(body, &self.limits, &mut slots, &mut items),
            None => {
                let roles = (self.roles.as_slice(), &mut self.paths);
                let found = (&mut slots, &mut items);
                decode_json(&mut self.json, (body, &self.limits), roles, engine, found)
            }
        };
        if plan.avro.is_none() {
            // Fields of JSON come to be known as they are met.
            let tagged = (&plan.schema.tagged, plan.tagged.as_mut_slice());
            schemas::silence(tagged, &self.roles, &engine.datasets);
        }
        let answer = match decoded {
            Err(error) => error.into(),
            Ok(()) => {
                let view = View { record, slots: &slots, items: &items };
                let written = Written {
                    version: &plan.version,
                    schema: &plan.schema,
                    uses: plan.avro.is_some().then_some(plan.uses.as_slice()),
                    tagged: &plan.tagged,
                    announced: &mut plan.announced,
                };
                Answer::Decided(engine.take(&self.roles, view, Some(written), highest))
            }
        };
        self.slots = recycle(slots);
        self.items = items.recycle();
        answer
    }

    fn take_json(
        &mut self,
        (record, body): (&SourceRecord<'_>, &[u8]),
        engine: &mut Engine,
        highest: Option<EventTime>,
    ) -> Answer {
        let mut slots = recycle(std::mem::take(&mut self.slots));
        slots.resize(self.paths.len(), Slot::Absent);
        let mut items = emptied(&mut self.items);
        let roles = (self.roles.as_slice(), &mut self.paths);
        let found = (&mut slots, &mut items);
        let decoded = decode_json(&mut self.json, (body, &self.limits), roles, engine, found);
        let answer = match decoded {
            Err(error) => error.into(),
            Ok(()) => {
                let view = View { record, slots: &slots, items: &items };
                Answer::Decided(engine.take(&self.roles, view, None, highest))
            }
        };
        self.slots = recycle(slots);
        self.items = items.recycle();
        answer
    }
}

/// Items without a value, with the memory of those of the record before.
fn emptied<'a>(kept: &mut Items<'static>) -> Items<'a> {
    std::mem::replace(kept, Items::new(1)).recycle()
}

/// Decodes JSON; paths never met are offered to the roles.
fn decode_json<'a>(
    plan: &'a mut JsonPlan,
    (body, limits): (&'a [u8], &DecodeLimits),
    (roles, paths): (&[Role], &mut Paths),
    engine: &mut Engine,
    found: (&mut Vec<Slot<'a>>, &mut Items<'a>),
) -> Result<(), DecodeError> {
    let mut want =
        |path: &str, _: &Slot<'_>| schemas::watch(path, (roles, &mut *paths), &mut engine.datasets);
    plan.decode_with_items(body, limits, &mut want, found)
}
