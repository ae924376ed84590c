//! Stage 1, observe: one record at a time.
//!
//! Finds the schema, decodes the watched fields, checks the contract, judges lateness and adds to
//! per-cell summaries. Keeps nothing across a commit but each partition's highest event time.
//! It fetches nothing: a schema it does not know is asked for and handed in by the runtime.

mod record;
mod schema_answer;

pub use record::SourceRecord;
pub use schema_answer::{RegisteredSchema, SchemaAnswer};
