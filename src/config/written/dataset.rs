//! A dataset as written.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::place::Place;
use crate::config::scalar::{Millis, Text};

/// A topic whose records are watched. `topic` alone is enough.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dataset {
    /// Topic it is read from.
    pub topic: String,
    /// Who answers for it; carried in requests to fix upstream.
    pub owner: Option<String>,
    /// Where event time is found: epoch milliseconds, an Avro timestamp or RFC 3339 text.
    /// Default: the record's Kafka timestamp.
    pub event_time: Option<Place>,
    /// Where the name of the producer is found. Default: nowhere, all are `unknown`.
    pub producer: Option<Place>,
    /// Where the schema version of plain JSON is found. Registry schemas carry their own.
    pub schema_version: Option<Place>,
    /// Window.
    #[serde(default)]
    pub window: Window,
    /// Which event times are plausible.
    #[serde(default)]
    pub bounds: BoundsAsWritten,
    /// What is known of single fields, by dotted path. All scalar fields are watched, whether
    /// named here or not, unless `only` is given. What is in arrays and maps is watched where it is
    /// named here or in `only`: `"lines[#]"` is how many items the array `lines` has, `"tags{#}"`
    /// how many entries the map `tags`; `"lines[].price"`, `"codes[]"` and `"tags{}"` are values of
    /// their items, each of which counts.
    #[serde(default)]
    pub fields: BTreeMap<String, Field>,
    /// The only fields to watch. Default: all scalar fields of each schema.
    pub only: Option<Vec<String>>,
    /// Set a record aside that breaks what `fields` says of it, instead of counting the breach
    /// alone. Default: false.
    #[serde(default)]
    pub quarantine_breaches: bool,
}

/// A tumbling window over event time.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Its length. Default: 1h.
    pub size: Option<Millis>,
    /// How far a record may come behind the newest of its partition, beyond its window's end.
    /// Default: 5m, or the window's length when that is shorter.
    pub lateness: Option<Millis>,
}

/// Records with event times outside are counted, and do not move time forward.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BoundsAsWritten {
    /// How far event time may lie before the record's Kafka timestamp. Default: 30d.
    pub past: Option<Millis>,
    /// How far event time may lie after the record's Kafka timestamp. Default: 1h.
    pub future: Option<Millis>,
}

/// What is known of a field.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Field {
    /// Counted as a number or as a category. Default: as its schema says.
    pub kind: Option<Kind>,
    /// Unit, shown beside its numbers.
    pub unit: Option<String>,
    /// Must be present and not null. Default: false.
    #[serde(default)]
    pub required: bool,
    /// Smallest value allowed.
    pub min: Option<f64>,
    /// Largest value allowed.
    pub max: Option<f64>,
    /// Values allowed. Default: all.
    #[serde(default)]
    pub allowed: Vec<Text>,
    /// What may be remembered of its values. Default: auto.
    #[serde(default)]
    pub values: Remember,
}

/// How a field is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// As a number; text is parsed.
    Numeric,
    /// As a category; numbers count by their text.
    Categorical,
}

/// What may be remembered of a field's values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Remember {
    /// Up to 64 values as text, of more their hashes under the key, or nothing without one; and
    /// nothing where the registry tags the field.
    #[default]
    Auto,
    /// Text.
    Keep,
    /// Hashes alone, under the key; numbers too are counted as categories then.
    Hash,
    /// Nothing: counted by presence and by breaches of what is said here.
    Drop,
}
