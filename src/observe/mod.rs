//! Stage 1, observe: one record at a time.
//!
//! Finds the schema, decodes the watched fields, checks the contract, judges lateness and adds to
//! per-cell summaries. Keeps nothing across a commit but each partition's highest event time.
//! It fetches nothing: a schema it does not know is asked for by [`Taken::NeedSchema`] and handed
//! in by the runtime.

mod avro;
mod framing;
mod json;
mod record;
mod slot;

pub use avro::{
    AvroPlan, CompileError, FoundField, FoundKind, SCHEMA_DEPTH_MAX, SCHEMA_TYPES_MAX,
    parse_schema, schema_fields,
};
pub use framing::{DecodeError, DecodeLimits, Framed, recycle};
pub use json::JsonPlan;
pub use record::SourceRecord;
pub use slot::Slot;
