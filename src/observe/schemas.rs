//! Schemas by registry id, and the plans topics decode with.
//!
//! A plan belongs to a topic: it knows the slots all roles of the topic need. Both are bounded;
//! the one least recently met gives way and is asked for again when it is needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;

use super::answer::{RegisteredSchema, SchemaAnswer};
use super::avro::{self, AvroPlan, CompileError, FoundField};
use super::dataset::Dataset;
use super::quarantine::Trouble;
use super::roles::{Paths, Role};
use super::tags::Tagged;
use crate::event::schema::SchemaField;

/// Schemas by id.
#[derive(Debug)]
pub(super) struct Schemas {
    known: BTreeMap<u32, Known>,
    capacity: usize,
    turn: u64,
    /// Registry tags that silence a field.
    drop_tags: Vec<String>,
}

#[derive(Debug)]
struct Known {
    state: State,
    met: u64,
}

/// What is known of an id.
#[derive(Clone, Debug)]
pub(super) enum State {
    /// It can be decoded with.
    Readable(Arc<Readable>),
    /// Records that need it are set aside.
    Useless(Trouble),
}

/// A schema that can be decoded with.
#[derive(Debug)]
pub(super) struct Readable {
    /// Registry subject.
    pub(super) subject: Option<String>,
    /// Version within the subject.
    pub(super) number: Option<u32>,
    /// Paths in schema order; empty for JSON Schema.
    pub(super) fields: Vec<SchemaField>,
    /// Paths that its tags silence.
    pub(super) tagged: Tagged,
    /// The schema; `None` for JSON Schema, whose values are self-describing.
    avro: Option<Schema>,
}

impl Schemas {
    /// Room for `capacity` schemas, at least one.
    pub(super) fn new(capacity: usize, drop_tags: Vec<String>) -> Schemas {
        Schemas { known: BTreeMap::new(), capacity: capacity.max(1), turn: 0, drop_tags }
    }

    /// Takes an answer.
    pub(super) fn insert(&mut self, id: u32, answer: SchemaAnswer) {
        let state = match answer {
            SchemaAnswer::Known(registered) => read(registered, &self.drop_tags).map_or_else(
                |error| {
                    State::Useless(Trouble::new(
                        "unreadable_schema",
                        format!("schema {id}: {error}"),
                    ))
                },
                |readable| State::Readable(Arc::new(readable)),
            ),
            SchemaAnswer::Unknown => {
                State::Useless(Trouble::new("unknown_schema", format!("schema {id}")))
            }
            SchemaAnswer::Unreadable(why) => {
                State::Useless(Trouble::new("unreadable_schema", format!("schema {id}: {why}")))
            }
        };
        if self.known.len() >= self.capacity && !self.known.contains_key(&id) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.met);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.known.remove(&oldest);
            }
        }
        self.turn += 1;
        self.known.insert(id, Known { state, met: self.turn });
    }

    /// What is known of an id.
    pub(super) fn get(&mut self, id: u32) -> Option<&State> {
        let known = self.known.get_mut(&id)?;
        self.turn += 1;
        known.met = self.turn;
        Some(&known.state)
    }

    /// Whether anything is known of an id.
    pub(super) fn knows(&self, id: u32) -> bool {
        self.known.contains_key(&id)
    }
}

/// Avro, or else JSON Schema by its own words.
fn read(registered: RegisteredSchema, drop_tags: &[String]) -> Result<Readable, CompileError> {
    let RegisteredSchema { schema, subject, number, tags, .. } = registered;
    let tagged = || Tagged::of(&schema, &tags, drop_tags);
    match avro::parse_schema(&schema) {
        Ok(parsed) => Ok(Readable {
            subject,
            number,
            fields: avro::schema_fields(&parsed)?,
            tagged: tagged(),
            avro: Some(parsed),
        }),
        Err(_) if is_json_schema(&schema) => {
            Ok(Readable { subject, number, fields: Vec::new(), tagged: tagged(), avro: None })
        }
        Err(error) => Err(error),
    }
}

fn is_json_schema(text: &str) -> bool {
    let parsed: Result<serde_json::Value, _> = serde_json::from_str(text);
    parsed.is_ok_and(|value| {
        ["$schema", "properties", "oneOf", "$ref"].iter().any(|key| value.get(key).is_some())
    })
}

/// The plans of one topic by schema id.
#[derive(Debug)]
pub(super) struct Plans {
    plans: BTreeMap<u32, TopicPlan>,
    capacity: usize,
    turn: u64,
}

/// How records of one schema are read from one topic.
#[derive(Debug)]
pub(super) struct TopicPlan {
    /// Decodes the body; `None` for JSON.
    pub(super) avro: Option<AvroPlan>,
    /// Schema version as in cells.
    pub(super) version: String,
    /// What the registry says of it.
    pub(super) schema: Arc<Readable>,
    /// By role: numbers of the dataset's fields that records of this schema have.
    pub(super) uses: Vec<Vec<u32>>,
    /// By role: which of the dataset's fields its tags silence.
    pub(super) tagged: Vec<Vec<bool>>,
    /// By role: it was announced.
    pub(super) announced: Vec<bool>,
    met: u64,
}

impl Plans {
    /// Room for `capacity` plans, at least one.
    pub(super) fn new(capacity: usize) -> Plans {
        Plans { plans: BTreeMap::new(), capacity: capacity.max(1), turn: 0 }
    }

    /// The plan for a schema.
    pub(super) fn get(&mut self, id: u32) -> Option<&mut TopicPlan> {
        let plan = self.plans.get_mut(&id)?;
        self.turn += 1;
        plan.met = self.turn;
        Some(plan)
    }

    /// Whether there is a plan for a schema.
    pub(super) fn has(&self, id: u32) -> bool {
        self.plans.contains_key(&id)
    }

    /// Keeps a plan.
    pub(super) fn insert(&mut self, id: u32, plan: TopicPlan) {
        if self.plans.len() >= self.capacity {
            let oldest = self.plans.iter().min_by_key(|(_, plan)| plan.met);
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                self.plans.remove(&oldest);
            }
        }
        self.turn += 1;
        self.plans.insert(id, TopicPlan { met: self.turn, ..plan });
    }

    /// Schemas are to be announced again.
    pub(super) fn forget_announced(&mut self) {
        self.plans.values_mut().for_each(|plan| plan.announced.fill(false));
    }
}

/// Compiles the plan of a schema for a topic; datasets begin to watch its paths.
pub(super) fn compile(
    id: u32,
    schema: &Arc<Readable>,
    (roles, paths): (&[Role], &mut Paths),
    datasets: &mut [Dataset],
) -> Result<TopicPlan, Trouble> {
    let mut uses = vec![Vec::new(); roles.len()];
    let mut want =
        |found: &FoundField| watch(&found.schema.path, (roles, &mut *paths), &mut *datasets);
    let avro =
        match &schema.avro {
            None => None,
            Some(avro) => Some(AvroPlan::compile(avro, &mut want).map_err(|error| {
                Trouble::new("unreadable_schema", format!("schema {id}: {error}"))
            })?),
        };
    for (role, uses) in roles.iter().zip(&mut uses) {
        if let Role::Dataset(role) = role {
            let dataset = &datasets[role.dataset];
            let numbered = (0u32..).zip(&dataset.fields);
            let used = numbered.filter(|(_, field)| {
                field.is_named() || schema.fields.iter().any(|known| known.path == field.path)
            });
            uses.extend(used.map(|(number, _)| number));
        }
    }
    let mut tagged = vec![Vec::new(); roles.len()];
    silence((&schema.tagged, &mut tagged), roles, datasets);
    Ok(TopicPlan {
        avro,
        version: id.to_string(),
        schema: Arc::clone(schema),
        uses,
        tagged,
        announced: vec![false; roles.len()],
        met: 0,
    })
}

/// Takes note of the fields that a schema's tags silence, as far as they were not known before.
pub(super) fn silence(
    (tagged, by_role): (&Tagged, &mut [Vec<bool>]),
    roles: &[Role],
    datasets: &[Dataset],
) {
    if tagged.is_empty() {
        return;
    }
    for (role, known) in roles.iter().zip(by_role) {
        if let Role::Dataset(role) = role {
            let new = datasets[role.dataset].fields.iter().skip(known.len());
            known.extend(new.map(|field| field.is_silenced_by(tagged)));
        }
    }
}

/// Offers a path found to the roles of a topic; gives the slot its values go to, if any role
/// wants them.
pub(super) fn watch(
    path: &str,
    (roles, paths): (&[Role], &mut Paths),
    datasets: &mut [Dataset],
) -> Option<usize> {
    for role in roles {
        if let Role::Dataset(role) = role {
            datasets[role.dataset].offer(path, paths);
        }
    }
    paths.known(path)
}
