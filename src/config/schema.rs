//! The JSON Schema of the configuration, made from the structs that read it.

use super::Config;

/// The schema as JSON text, ending in a line break; `schemas/config.schema.json` holds the same.
#[must_use]
pub fn config_schema() -> String {
    let mut schema = schemars::schema_for!(Config);
    schema.insert("title".into(), "Driftline configuration".into());
    let mut text =
        serde_json::to_string_pretty(&schema).expect("a schema has string keys and no NaN");
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_in_the_repository_is_the_one_of_the_code() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schemas/config.schema.json");
        let stored = std::fs::read_to_string(path).unwrap_or_default();

        assert!(
            stored == config_schema(),
            "run `cargo run -- schema config > schemas/config.schema.json`"
        );
    }
}
