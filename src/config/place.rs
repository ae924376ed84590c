//! A place in a record, as written: `tx_id`, `{ field: a.b }` or `{ header: app }`.

use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::plan::Locator;
use crate::event::path::items;

/// A place in a record; a bare name is a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(pub Locator);

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Place, D::Error> {
        deserializer.deserialize_any(PlaceVisitor)
    }
}

struct PlaceVisitor;

impl<'de> Visitor<'de> for PlaceVisitor {
    type Value = Place;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field name, `{ field: name }` or `{ header: name }`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Place, E> {
        field(text.to_owned()).map(Place).map_err(E::custom)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, entries: A) -> Result<Place, A::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            field: Option<String>,
            header: Option<String>,
        }

        let written = Written::deserialize(de::value::MapAccessDeserializer::new(entries))?;
        locator(written.field, written.header).map(Place).map_err(de::Error::custom)
    }
}

/// The place that one of two keys names; the error has its fix on a second line.
pub(crate) fn locator(field_: Option<String>, header: Option<String>) -> Result<Locator, String> {
    match (field_, header) {
        (Some(path), None) => field(path),
        (None, Some(name)) if name.is_empty() => {
            Err("a header needs a name\nwrite `{ header: name }`".into())
        }
        (None, Some(name)) => Ok(Locator::Header(name)),
        (Some(_), Some(_)) => {
            Err("`field` and `header` cannot both be given here\nkeep one of them".into())
        }
        (None, None) => {
            Err("no place is given\nwrite `{ field: name }` or `{ header: name }`".into())
        }
    }
}

fn field(path: String) -> Result<Locator, String> {
    if path.is_empty() || path.split('.').any(str::is_empty) {
        return Err(format!(
            "`{path}` is no path of a field\nwrite names with single dots between, as in `user.id`"
        ));
    }
    if let Some(items) = items(&path) {
        return Err(format!(
            "`{path}` has a value for each of `{items}`, and one is needed here\n\
             name a field that a record has once"
        ));
    }
    Ok(Locator::Field(path))
}

impl fmt::Display for Locator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Locator::Field(path) => write!(f, "field {path}"),
            Locator::Header(name) => write!(f, "header {name}"),
        }
    }
}

impl JsonSchema for Place {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Place".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A place in a record: a field by its dotted path (bare or as \
                            `field`), or a Kafka header.",
            "oneOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "field": { "type": "string" } },
                    "required": ["field"],
                    "additionalProperties": false,
                },
                {
                    "type": "object",
                    "properties": { "header": { "type": "string" } },
                    "required": ["header"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
