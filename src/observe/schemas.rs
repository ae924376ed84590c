//! Schemas by what records call them, and the plans topics decode with.
//!
//! A plan belongs to a topic: it knows the slots all roles of the topic need. Both are bounded;
//! the one least recently met gives way and is asked for again when it is needed.

use std::collections::BTreeMap;
use std::sync::Arc;

use apache_avro::Schema;

use super::answer::{RegisteredSchema, SchemaAnswer, SchemaKey, SchemaLanguage};
use super::avro::{self, AvroPlan, CompileError, FoundField, FoundKind};
use super::dataset::Dataset;
use super::items::ItemPaths;
use super::quarantine::Trouble;
use super::roles::{Paths, Role};
use super::tags::Tagged;
use crate::event::schema::SchemaField;

/// What is known of schemas.
///
/// *Bound*: as many that can be read as the limit says, and as many that cannot: names that nobody
/// registered never push a schema out.
#[derive(Debug)]
pub(super) struct Schemas {
    readable: BTreeMap<SchemaKey, Known<Arc<Readable>>>,
    useless: BTreeMap<SchemaKey, Known<Trouble>>,
    capacity: usize,
    turn: u64,
    /// Registry tags that silence a field.
    drop_tags: Vec<String>,
}

#[derive(Debug)]
struct Known<T> {
    what: T,
    met: u64,
}

/// What is known of one schema.
#[derive(Clone, Copy, Debug)]
pub(super) enum State<'s> {
    /// It can be decoded with.
    Readable(&'s Arc<Readable>),
    /// Records that need it are set aside.
    Useless(&'s Trouble),
}

/// A schema that can be decoded with.
#[derive(Debug)]
pub(super) struct Readable {
    /// Its id: the schema version in cells.
    pub(super) id: u32,
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
        Schemas {
            readable: BTreeMap::new(),
            useless: BTreeMap::new(),
            capacity: capacity.max(1),
            turn: 0,
            drop_tags,
        }
    }

    /// Takes an answer.
    pub(super) fn insert(&mut self, key: SchemaKey, answer: SchemaAnswer) {
        let unreadable = |why: &dyn std::fmt::Display| {
            Trouble::new("unreadable_schema", format!("schema {key}: {why}"))
        };
        let state = match answer {
            SchemaAnswer::Known(registered) => {
                read(registered, &self.drop_tags).map_err(|e| unreadable(&e))
            }
            SchemaAnswer::Unknown => Err(Trouble::new("unknown_schema", format!("schema {key}"))),
            SchemaAnswer::Unreadable(why) => Err(unreadable(&why)),
        };
        self.turn += 1;
        let met = self.turn;
        match state {
            Ok(readable) => {
                self.useless.remove(&key);
                let what = Arc::new(readable);
                keep(&mut self.readable, self.capacity, key, Known { what, met });
            }
            Err(what) => {
                self.readable.remove(&key);
                keep(&mut self.useless, self.capacity, key, Known { what, met });
            }
        }
    }

    /// What is known of a schema.
    pub(super) fn get(&mut self, key: SchemaKey) -> Option<State<'_>> {
        self.turn += 1;
        if let Some(known) = self.readable.get_mut(&key) {
            known.met = self.turn;
            return Some(State::Readable(&known.what));
        }
        let known = self.useless.get_mut(&key)?;
        known.met = self.turn;
        Some(State::Useless(&known.what))
    }

    /// Forgets what cannot be read: it may have become readable.
    pub(super) fn forget_useless(&mut self) {
        self.useless.clear();
    }
}

/// Keeps one more; the least recently met gives way.
fn keep<T>(
    known: &mut BTreeMap<SchemaKey, Known<T>>,
    capacity: usize,
    key: SchemaKey,
    one: Known<T>,
) {
    if known.len() >= capacity && !known.contains_key(&key) {
        let oldest = known.iter().min_by_key(|(_, known)| known.met);
        if let Some(oldest) = oldest.map(|(key, _)| *key) {
            known.remove(&oldest);
        }
    }
    known.insert(key, one);
}

fn read(registered: RegisteredSchema, drop_tags: &[String]) -> Result<Readable, CompileError> {
    let RegisteredSchema { id, language, schema, subject, number, tags } = registered;
    let tagged = Tagged::of(&schema, &tags, drop_tags);
    let (fields, avro) = match language {
        SchemaLanguage::Avro => {
            let parsed = avro::parse_schema(&schema)?;
            (avro::schema_fields(&parsed)?, Some(parsed))
        }
        SchemaLanguage::Json => (Vec::new(), None),
    };
    Ok(Readable { id, subject, number, fields, tagged, avro })
}

/// The plans of one topic by what its records call the schema.
#[derive(Debug)]
pub(super) struct Plans {
    plans: BTreeMap<SchemaKey, TopicPlan>,
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
    pub(super) fn get(&mut self, key: SchemaKey) -> Option<&mut TopicPlan> {
        let plan = self.plans.get_mut(&key)?;
        self.turn += 1;
        plan.met = self.turn;
        Some(plan)
    }

    /// Whether there is a plan for a schema.
    pub(super) fn has(&self, key: SchemaKey) -> bool {
        self.plans.contains_key(&key)
    }

    /// Keeps a plan.
    pub(super) fn insert(&mut self, key: SchemaKey, plan: TopicPlan) {
        if self.plans.len() >= self.capacity {
            let oldest = self.plans.iter().min_by_key(|(_, plan)| plan.met);
            if let Some(oldest) = oldest.map(|(key, _)| *key) {
                self.plans.remove(&oldest);
            }
        }
        self.turn += 1;
        self.plans.insert(key, TopicPlan { met: self.turn, ..plan });
    }

    /// Schemas are to be announced again.
    pub(super) fn forget_announced(&mut self) {
        self.plans.values_mut().for_each(|plan| plan.announced.fill(false));
    }
}

/// Compiles the plan of a schema for a topic; datasets begin to watch its paths.
pub(super) fn compile(
    key: SchemaKey,
    schema: &Arc<Readable>,
    (roles, (paths, items)): (&[Role], (&mut Paths, &ItemPaths)),
    datasets: &mut [Dataset],
) -> Result<TopicPlan, Trouble> {
    let mut uses = vec![Vec::new(); roles.len()];
    let mut want = |found: &FoundField| match found.kind {
        // Watched where configuration names it: then it has its slot.
        FoundKind::Length => paths.known(&found.schema.path),
        _ => watch(&found.schema.path, (roles, &mut *paths), &mut *datasets),
    };
    let avro = match &schema.avro {
        None => None,
        Some(avro) => Some(AvroPlan::compile(avro, &mut want, items).map_err(|error| {
            Trouble::new("unreadable_schema", format!("schema {key}: {error}"))
        })?),
    };
    for (role, uses) in roles.iter().zip(&mut uses) {
        if let Role::Dataset(role) = role {
            let dataset = &datasets[role.dataset];
            let numbered = (0u32..).zip(&dataset.fields);
            let used = numbered.filter(|(_, field)| !field.of_items).filter(|(_, field)| {
                field.is_named() || schema.fields.iter().any(|known| known.path == field.path)
            });
            uses.extend(used.map(|(number, _)| number));
        }
    }
    let mut tagged = vec![Vec::new(); roles.len()];
    silence((&schema.tagged, &mut tagged), roles, datasets);
    Ok(TopicPlan {
        avro,
        version: schema.id.to_string(),
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
