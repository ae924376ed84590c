//! What the runtime and observe say to each other besides records and messages.

use std::collections::BTreeMap;
use std::fmt;

use crate::event::progress::Progress;

/// How a record names the schema it was written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchemaKey {
    /// By its id in the registry.
    Id(u32),
    /// By the hash of what it says, the same in every registry.
    Guid(u128),
}

impl From<u32> for SchemaKey {
    fn from(id: u32) -> SchemaKey {
        SchemaKey::Id(id)
    }
}

impl fmt::Display for SchemaKey {
    /// The id in decimal, or the GUID as registries write it in a path.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guid = match self {
            SchemaKey::Id(id) => return write!(f, "{id}"),
            SchemaKey::Guid(guid) => guid,
        };
        let part = |from: u32, digits: u32| {
            guid >> (128 - 4 * (from + digits)) & ((1 << (4 * digits)) - 1)
        };
        write!(
            f,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            part(0, 8),
            part(8, 4),
            part(12, 4),
            part(16, 4),
            part(20, 12)
        )
    }
}

/// What became of a record handed to [`super::Observe::record`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It has its outcome and is counted; the offset moves on.
    Done,
    /// Its schema is not known: hand it in by [`super::Observe::schema`], then hand in the same
    /// record again. Nothing was counted.
    NeedSchema(SchemaKey),
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
    /// What its text is.
    pub language: SchemaLanguage,
    /// Its text.
    pub schema: String,
    /// Subject it is registered under, where known.
    pub subject: Option<String>,
    /// Version number within the subject, where known.
    pub number: Option<u32>,
    /// Tags by path pattern, from the schema's metadata; those within its text are not here.
    pub tags: BTreeMap<String, Vec<String>>,
}

/// What a schema is written in, and with it how values are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaLanguage {
    /// Avro: values can be read with the schema alone.
    Avro,
    /// JSON Schema: values are JSON text.
    Json,
}

/// What the registry says of a schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaAnswer {
    /// This is it.
    Known(RegisteredSchema),
    /// There is none of that name; records that need it are set aside.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guid_is_written_in_five_groups() {
        let guid = SchemaKey::Guid(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);

        assert_eq!(guid.to_string(), "01234567-89ab-cdef-0123-456789abcdef");
        assert_eq!(SchemaKey::from(7).to_string(), "7");
    }
}
