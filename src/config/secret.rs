//! A secret as written: text, usually from the environment, or `{ file: path }`.
//!
//! Errors about it never show it.

use std::fmt;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

use super::deployment::Secret;
use super::scalar::Text;

/// Where a secret comes from.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// Written, or from the environment.
    Given(Secret),
    /// The contents of a file, without the line break at its end.
    File(PathBuf),
}

impl SecretSource {
    /// The same source, with a relative path of its file taken to start in `folder`.
    pub(crate) fn placed(&self, folder: &Path) -> SecretSource {
        match self {
            SecretSource::Given(secret) => SecretSource::Given(secret.clone()),
            SecretSource::File(path) => SecretSource::File(folder.join(path)),
        }
    }

    /// The secret, as it is now.
    pub(crate) fn read(&self) -> Result<Secret, String> {
        match self {
            SecretSource::Given(secret) => Ok(secret.clone()),
            SecretSource::File(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
                let text = text.trim_end_matches(['\r', '\n']);
                if text.is_empty() {
                    return Err(format!("{} is empty", path.display()));
                }
                Ok(Secret::new(text.to_owned()))
            }
        }
    }
}

impl<'de> Deserialize<'de> for SecretSource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretSource, D::Error> {
        deserializer.deserialize_any(SecretVisitor)
    }
}

/// Any scalar that may or may not be a secret, so it is not printed either.
#[derive(Clone, Debug)]
pub struct Opaque(pub Secret);

impl<'de> Deserialize<'de> for Opaque {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Opaque, D::Error> {
        Text::deserialize(deserializer).map(|text| Opaque(Secret::new(text.0)))
    }
}

impl JsonSchema for Opaque {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        Text::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Text::json_schema(generator)
    }
}

struct SecretVisitor;

const QUOTE: &str = "a secret must be text\nput it in quotes, or write `{ file: path }`";

impl<'de> Visitor<'de> for SecretVisitor {
    type Value = SecretSource;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text or `{ file: path }`")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<SecretSource, E> {
        Ok(SecretSource::Given(Secret::new(text.to_owned())))
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<SecretSource, E> {
        Err(E::custom(QUOTE))
    }

    /// YAML may have changed the digits.
    fn visit_i64<E: de::Error>(self, _: i64) -> Result<SecretSource, E> {
        Err(E::custom(QUOTE))
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<SecretSource, E> {
        Err(E::custom(QUOTE))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, entries: A) -> Result<SecretSource, A::Error> {
        #[derive(serde::Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Written {
            file: PathBuf,
        }

        Written::deserialize(de::value::MapAccessDeserializer::new(entries))
            .map(|written| SecretSource::File(written.file))
    }
}

impl JsonSchema for SecretSource {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Secret".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A secret: text (best `${VARIABLE}`), or `{ file: path }`, whose \
                            contents count without the line break at the end.",
            "oneOf": [
                { "type": "string" },
                {
                    "type": "object",
                    "properties": { "file": { "type": "string" } },
                    "required": ["file"],
                    "additionalProperties": false,
                },
            ],
        })
    }
}
