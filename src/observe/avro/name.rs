//! Full names of Avro definitions in the JSON of a schema.

use serde_json::Value;

/// Of a named definition within a namespace.
pub(crate) fn full_name(definition: &Value, enclosing: &str) -> String {
    let name = definition["name"].as_str().unwrap_or_default();
    qualified(name, definition["namespace"].as_str().unwrap_or(enclosing))
}

/// Of a name within a namespace; one with dots is whole already.
pub(crate) fn qualified(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() {
        name.to_owned()
    } else {
        format!("{namespace}.{name}")
    }
}
