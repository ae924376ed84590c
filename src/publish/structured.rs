//! An event as one JSON object: CloudEvents' structured mode, for pipes and files.

use serde_json::{Map, Value};

use super::decode::Decoded;

/// The event on one line; attributes first, `data` last.
///
/// ```
/// let event = driftline::publish::Decoded { id: "e1".into(), ..Default::default() };
/// let line = driftline::publish::structured(&event);
/// assert!(line.starts_with(r#"{"specversion":"1.0","id":"e1""#));
/// ```
#[must_use]
pub fn structured(event: &Decoded) -> String {
    let mut object = Map::new();
    let attributes = [
        ("specversion", Some("1.0")),
        ("id", Some(event.id.as_str())),
        ("source", Some(event.source.as_str())),
        ("type", Some(event.kind.as_str())),
        ("time", event.time.as_deref()),
        ("subject", event.subject.as_deref()),
        ("correlationid", event.correlation_id.as_deref()),
        ("causationid", event.causation_id.as_deref()),
        ("datacontenttype", Some("application/json")),
    ];
    for (name, value) in attributes {
        if let Some(value) = value {
            object.insert(name.to_owned(), Value::from(value));
        }
    }
    object.insert("data".to_owned(), event.data.clone());
    Value::Object(object).to_string()
}
