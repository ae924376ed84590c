//! What the registry says about a schema id, as the runtime hands it to observe.

/// A schema as the registry tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredSchema {
    /// Id.
    pub id: u32,
    /// Avro schema as JSON text.
    pub schema: String,
    /// Subject it is registered under, where the registry tells.
    pub subject: Option<String>,
    /// Version number within that subject.
    pub number: Option<u32>,
}

/// The answer for one id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaAnswer {
    /// The schema.
    Known(RegisteredSchema),
    /// The registry has none of that id: records that need it are quarantined.
    Unknown,
    /// It has one that cannot be read, and why: records that need it are quarantined.
    Unreadable(String),
}
