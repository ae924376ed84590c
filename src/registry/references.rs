//! Puts the schemas an Avro schema refers to in their place, so that one text holds all.
//!
//! A registry stores a schema with references apart from what it refers to; everyone behind the
//! client reads self-contained schemas only. Fetches nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::observe::{full_name, qualified};

const PRIMITIVES: [&str; 8] =
    ["null", "boolean", "int", "long", "float", "double", "bytes", "string"];

/// The schema with each referenced definition written out where its name comes first.
///
/// # Errors
/// When a text is not JSON.
pub(super) fn inline(schema: &str, referenced: &[String]) -> Result<String, serde_json::Error> {
    let mut definitions = BTreeMap::new();
    for text in referenced {
        let definition: Value = serde_json::from_str(text)?;
        definitions.insert(full_name(&definition, ""), definition);
    }
    let mut root: Value = serde_json::from_str(schema)?;
    Inliner { definitions, defined: BTreeSet::new() }.visit(&mut root, "");
    Ok(root.to_string())
}

struct Inliner {
    definitions: BTreeMap<String, Value>,
    defined: BTreeSet<String>,
}

impl Inliner {
    fn visit(&mut self, schema: &mut Value, namespace: &str) {
        match schema {
            Value::String(name) if PRIMITIVES.contains(&name.as_str()) => {}
            Value::String(name) => {
                if let Some(definition) = self.definition(name, namespace) {
                    *schema = definition;
                }
            }
            Value::Array(branches) => {
                for branch in branches {
                    self.visit(branch, namespace);
                }
            }
            Value::Object(_) => self.visit_object(schema, namespace),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// The definition behind a name not defined so far, itself written out.
    fn definition(&mut self, name: &str, namespace: &str) -> Option<Value> {
        let full = qualified(name, namespace);
        if self.defined.contains(&full) {
            return None;
        }
        let mut definition = self.definitions.get(&full)?.clone();
        let unqualified = !full.contains('.');
        if unqualified && let Some(object) = definition.as_object_mut() {
            // Else it would take the namespace of the place it is put in.
            object.entry("namespace").or_insert_with(|| Value::from(""));
        }
        self.visit(&mut definition, "");
        Some(definition)
    }

    fn visit_object(&mut self, schema: &mut Value, namespace: &str) {
        let kind = schema["type"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "record" | "error" | "enum" | "fixed" => {
                let full = full_name(schema, namespace);
                let inner = full.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
                self.defined.insert(full);
                for field in schema["fields"].as_array_mut().into_iter().flatten() {
                    self.visit(&mut field["type"], &inner);
                }
            }
            "array" => self.visit(&mut schema["items"], namespace),
            "map" => self.visit(&mut schema["values"], namespace),
            _ => self.visit(&mut schema["type"], namespace),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definition_stands_where_its_name_comes_first_and_once() {
        let order = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
            {"name":"a","type":["null","Money"]},
            {"name":"b","type":{"type":"array","items":"shop.Money"}},
            {"name":"c","type":"long"}]}"#;
        let money = r#"{"type":"record","name":"Money","namespace":"shop","fields":[
            {"name":"unit","type":"other.Unit"}]}"#;
        let unit = r#"{"type":"enum","name":"Unit","namespace":"other","symbols":["USD"]}"#;

        let whole = inline(order, &[unit.into(), money.into()]).expect("JSON");

        assert!(apache_avro::Schema::parse_str(&whole).is_ok(), "{whole}");
        assert_eq!(whole.matches("symbols").count(), 1);
    }

    #[test]
    fn schema_without_references_stays_what_it_means() {
        let text = r#"{"type":"record","name":"R","fields":[{"name":"x","type":
            {"type":"long","logicalType":"timestamp-millis"}}]}"#;

        let whole = inline(text, &[]).expect("JSON");

        let parse = |text| apache_avro::Schema::parse_str(text).expect("schema");
        assert_eq!(parse(&whole), parse(text));
    }
}
