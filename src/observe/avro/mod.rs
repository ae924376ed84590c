//! Avro: a writer schema compiled once into a plan, then run over each record's bytes.
//!
//! A plan fills the slots of the watched paths and leaves the rest out; it builds no value tree,
//! allocates nothing and resolves no reader schema: whoever counts wants what was written.
//! Compiling goes schema -> [`shape`] (names resolved, paths found, each scalar a [`leaf`]) ->
//! [`emit`] -> [`program`] (a flat list of instructions); [`run`] carries it out over a [`cursor`].
//!
//! *Recursive types.* A record inside itself has paths at its first occurrence alone; deeper ones
//! are skipped, their nesting bounded by [`DecodeLimits::depth`].
//!
//! *Unions.* The branch taken fills its paths and the paths of the others stay absent; the null
//! branch makes every path below null. Records of several branches share the paths they both have.
//!
//! *Arrays and maps.* How many items `tags` has goes to the path `tags[#]` (`tags{#}` for a map)
//! when someone watches it; null and absent are as for a scalar. Items are skipped unless a path
//! of theirs is watched (`tags[]`, `lines[].price`): then each is read like a record of its own,
//! into [`Items`].

mod cursor;
mod emit;
mod leaf;
mod name;
mod program;
mod run;
mod shape;

use apache_avro::Schema;

use crate::event::path;
use crate::event::schema::SchemaField;
use crate::observe::Slot;

use super::framing::{DecodeError, DecodeLimits};
use super::items::{ItemPaths, Items};

pub(crate) use name::{full_name, qualified};

/// Schemas nested deeper than this are not compiled.
pub const SCHEMA_DEPTH_MAX: usize = 64;

/// Schemas with more types than this, named ones counted each time they are used, are not
/// compiled: a few nested names can stand for millions of paths.
pub const SCHEMA_TYPES_MAX: usize = 65_536;

/// Longest doc and default kept of a field. *Units*: characters.
const WORDS_MAX: usize = 200;

/// How a path's values arrive in its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundKind {
    /// [`Slot::Integer`] or [`Slot::Float`].
    Number,
    /// [`Slot::Bool`].
    Bool,
    /// [`Slot::Text`].
    Text,
    /// [`Slot::TimeMs`]. A time of day counts from midnight.
    Time,
    /// [`Slot::Bytes`].
    Bytes,
    /// [`Slot::Null`] and nothing else.
    Null,
    /// [`Slot::Composite`]: an array or map, watched among items alone.
    Composite,
    /// [`Slot::Integer`]: how many items an array or map has. No path of the schema itself.
    Length,
    /// More than one of these: a union of scalars.
    Mixed,
}

/// One path of a writer schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundField {
    /// How its values arrive.
    pub kind: FoundKind,
    /// What the schema says about it. A union of several types joins their names by `|`; defaults
    /// and docs are cut to 200 characters.
    pub schema: SchemaField,
}

/// Why a schema has no plan.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// It is no Avro schema, or names a type it does not define.
    #[error("schema is not valid avro: {0}")]
    Invalid(String),
    /// Its root is neither a record nor a union of records.
    #[error("root of the schema is not a record")]
    NotARecord,
    /// Nested deeper than [`SCHEMA_DEPTH_MAX`].
    #[error("schema is nested deeper than {SCHEMA_DEPTH_MAX}")]
    TooDeep,
    /// More types than [`SCHEMA_TYPES_MAX`].
    #[error("schema has more than {SCHEMA_TYPES_MAX} types")]
    TooLarge,
}

impl CompileError {
    /// Code for metric labels and quarantine headers.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            CompileError::Invalid(_) => "schema_invalid",
            CompileError::NotARecord => "schema_not_a_record",
            CompileError::TooDeep => "schema_too_deep",
            CompileError::TooLarge => "schema_too_large",
        }
    }
}

/// A writer schema made ready to decode with.
///
/// ```
/// use driftline::observe::{AvroPlan, DecodeLimits, Slot};
///
/// let schema = r#"{"type": "record", "name": "Order", "fields": [
///     {"name": "id", "type": "long"},
///     {"name": "country", "type": "string"}]}"#;
/// let plan = AvroPlan::parse(schema, &mut |found| (found.schema.path == "country").then_some(0))?;
///
/// let limits = DecodeLimits { depth: 32, text_bytes: 256, paths: 0 };
/// let mut slots = [Slot::Absent];
/// plan.decode(b"\x02\x04DE", &limits, &mut slots)?;
/// assert_eq!(slots, [Slot::Text("DE")]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct AvroPlan {
    program: program::Program,
}

impl AvroPlan {
    /// Compiles a writer schema. `want` is asked about each scalar path and each length in schema
    /// order, but for those of items, and answers with the slot its values go to, or `None` for a
    /// path nobody watches. Several paths may share a slot: the last one written counts.
    /// `items` are the paths of items that are watched, whether this schema has them or not.
    ///
    /// # Errors
    /// [`CompileError`]; it does not depend on what is watched.
    pub fn compile(
        schema: &Schema,
        want: &mut dyn FnMut(&FoundField) -> Option<usize>,
        items: &ItemPaths,
    ) -> Result<AvroPlan, CompileError> {
        let shape = shape::Shape::of(schema)?;
        let watched: Vec<Option<u32>> = shape
            .fields
            .iter()
            .map(|field| match field.kind {
                _ if is_of_items(field) => items.slot(&field.schema.path),
                FoundKind::Composite => None,
                _ => want(field).and_then(|slot| u32::try_from(slot).ok()),
            })
            .collect();
        Ok(AvroPlan { program: program::Program::of(&shape, &watched, items) })
    }

    /// Parses a schema's JSON text and compiles it; no items are watched.
    ///
    /// # Errors
    /// As [`AvroPlan::compile`].
    pub fn parse(
        schema: &str,
        want: &mut dyn FnMut(&FoundField) -> Option<usize>,
    ) -> Result<AvroPlan, CompileError> {
        AvroPlan::compile(&parse_schema(schema)?, want, &ItemPaths::default())
    }

    /// Decodes the body of one record, without its framing. Values of items are dropped.
    ///
    /// # Errors
    /// As [`AvroPlan::decode_with_items`].
    pub fn decode<'a>(
        &'a self,
        body: &'a [u8],
        limits: &DecodeLimits,
        slots: &mut [Slot<'a>],
    ) -> Result<(), DecodeError> {
        self.decode_with_items(body, limits, slots, &mut Items::new(1))
    }

    /// Decodes the body of one record, without its framing.
    ///
    /// All of `slots` is set to [`Slot::Absent`] first; a value whose slot lies beyond them is
    /// decoded and dropped. `items` are to be empty, and take the values of items. After an error
    /// both hold what was found before it.
    ///
    /// *Bound*: time is linear in the body's length, whatever counts and lengths it claims.
    ///
    /// # Errors
    /// [`DecodeError`] when the body is not exactly one value of the schema. Values nobody watches
    /// are checked as far as finding their end takes.
    pub fn decode_with_items<'a>(
        &'a self,
        body: &'a [u8],
        limits: &DecodeLimits,
        slots: &mut [Slot<'a>],
        items: &mut Items<'a>,
    ) -> Result<(), DecodeError> {
        slots.fill(Slot::Absent);
        run::run(&self.program, body, limits, (slots, items))
    }
}

/// It is a path of items, or of a length among them: no path of the schema itself.
fn is_of_items(field: &FoundField) -> bool {
    path::items(&field.schema.path).is_some()
}

/// Every path of a schema in schema order, arrays and maps included and what is within them left
/// out: what a [`crate::event::schema::SchemaSeen`] tells.
///
/// # Errors
/// As [`AvroPlan::compile`].
pub fn schema_fields(schema: &Schema) -> Result<Vec<SchemaField>, CompileError> {
    let shape = shape::Shape::of(schema)?;
    let told = shape.fields.into_iter();
    let told = told.filter(|field| field.kind != FoundKind::Length && !is_of_items(field));
    Ok(told.map(|field| field.schema).collect())
}

/// Parses a schema's JSON text.
///
/// # Errors
/// [`CompileError::Invalid`] with the parser's words.
pub fn parse_schema(schema: &str) -> Result<Schema, CompileError> {
    Schema::parse_str(schema).map_err(|error| CompileError::Invalid(error.to_string()))
}

#[cfg(test)]
mod tests;
