//! Schemas as the record path meets them.

use serde::{Deserialize, Serialize};

use super::time::EventTime;

/// Partition and offset of a version that is known by what a whole window has.
pub const NO_PLACE: i32 = -1;

/// One scalar path of a writer schema.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaField {
    /// Dotted path from the record's root.
    pub path: String,
    /// Avro or JSON type name (`double`, `string`, `enum`, `array`, ...).
    pub type_name: String,
    /// May be null.
    pub nullable: bool,
    /// Logical type, if any (`timestamp-millis`, `decimal(10,2)`, ...).
    pub logical_type: Option<String>,
    /// Default as JSON text, if any.
    pub default: Option<String>,
    /// Enum symbols in order; empty otherwise.
    pub symbols: Vec<String>,
    /// The schema's own words about the field, cut to 200 characters.
    pub doc: Option<String>,
}

/// A schema version met in a dataset by some instance of observe.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaSeen {
    /// Dataset name.
    pub dataset: String,
    /// Schema version as in cells: the registry id as decimal text, or another name.
    pub schema_version: String,
    /// Registry subject, where known.
    pub subject: Option<String>,
    /// Version number within the subject, where known.
    pub number: Option<u32>,
    /// Scalar paths in schema order.
    pub fields: Vec<SchemaField>,
    /// Source partition of the first record met, or [`NO_PLACE`].
    pub partition: i32,
    /// Its offset.
    pub offset: i64,
    /// Its event time, or the start of the window.
    pub event_time: EventTime,
    /// Its producer.
    pub producer: String,
}

impl SchemaSeen {
    /// For people: "orders-value v13", or the bare version where the subject is not known.
    #[must_use]
    pub fn display_name(&self) -> String {
        match (&self.subject, self.number) {
            (Some(subject), Some(number)) => format!("{subject} v{number}"),
            _ => format!("{} schema {}", self.dataset, self.schema_version),
        }
    }
}
