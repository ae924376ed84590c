//! What the runtime and observe say to each other besides records and messages.

use std::collections::BTreeMap;

use crate::event::progress::Progress;

/// What became of a record handed to [`super::Observe::record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It has its outcome and is counted; the offset moves on.
    Done,
    /// Its schema is not known: hand it in by [`super::Observe::schema`], then hand in the same
    /// record again. Nothing was counted.
    NeedSchema(u32),
    /// It lies too far ahead, of what assess has closed while there is no layout, or of the other
    /// partitions: pause the partition, and hand in the same record again when
    /// [`super::Observe::layout`] was called or others have been read. Nothing was counted.
    Ahead,
}

/// A schema as the registry tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Its id.
    pub id: u32,
    /// Its text: Avro, or JSON Schema.
    pub schema: String,
    /// Subject it is registered under, where known.
    pub subject: Option<String>,
    /// Version number within the subject, where known.
    pub number: Option<u32>,
    /// Tags by path pattern, from the schema's metadata; those within its text are not here.
    pub tags: BTreeMap<String, Vec<String>>,
}

/// What the registry says of a schema id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaAnswer {
    /// This is it.
    Known(RegisteredSchema),
    /// There is none of that id; records that need it are set aside.
    Unknown,
    /// There is one that cannot be read, and why; records that need it are set aside.
    Unreadable(String),
}

/// What to commit for one source partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceCommit {
    /// Its line of the ledger; the offset to commit is its `to`.
    pub progress: Progress,
    /// Highest event time and newest append time as decimal milliseconds with a space between,
    /// each empty where there is none; [`super::Observe::assign`] takes it back.
    pub metadata: String,
}
