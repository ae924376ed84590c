//! Tags that producers give to fields in the schema registry, and the paths they silence.
//!
//! Two kinds, both Confluent's: `confluent:tags` within the text of an Avro or JSON Schema, and
//! `metadata.tags` beside it, by a pattern over names. A pattern is held against a field's own
//! name in full (`shop.Address.street`), and against its path from the root, alone, after the
//! root's full name and after `$`. `?` is one character and `*` any number of them within a name,
//! `**` any number across names.
//!
//! What cannot be told for sure counts as tagged: a tag on a record covers all below it, one
//! within an array or map the whole of that, and a schema too large to be walked everything.
//! Decides nothing about values; see [`super::values`]. Tags kept in a catalog beside the registry
//! are not in its answers, nor are those within other JSON Schemas that one refers to.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::avro::{SCHEMA_DEPTH_MAX, SCHEMA_TYPES_MAX, full_name, qualified};

/// Where tags stand in a schema's text.
const INLINE: &str = "confluent:tags";

/// The paths that tags silence: each covers itself and what is below it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tagged(BTreeSet<String>);

impl Tagged {
    /// The paths that any of `drop_tags` is on, in a schema with these tags beside it.
    pub(super) fn of(
        schema: &str,
        beside: &BTreeMap<String, Vec<String>>,
        drop_tags: &[String],
    ) -> Tagged {
        let Ok(root) = serde_json::from_str::<Value>(schema) else {
            return Tagged::default();
        };
        let has = |tags: &[String]| tags.iter().any(|tag| is_one_of(tag, drop_tags));
        let patterns = beside.iter().filter(|(_, tags)| has(tags));
        let mut walk = Walk {
            root: &root,
            root_name: String::from("$"),
            drop_tags,
            patterns: patterns.map(|(pattern, _)| pattern.replace("**.*", "**")).collect(),
            records: BTreeMap::new(),
            open: Vec::new(),
            found: BTreeSet::new(),
            types: 0,
        };
        let place = Place { path: String::new(), namespace: String::new(), depth: 0 };
        if root.get("properties").is_some() || root.get("$schema").is_some() {
            walk.json(&root, &place);
        } else {
            walk.root_name = full_name(&root, "");
            walk.avro(&root, &place);
        }
        Tagged(walk.found)
    }

    /// Whether a path is silenced.
    pub(super) fn covers(&self, path: &str) -> bool {
        self.0.iter().any(|tagged| {
            let below = path.strip_prefix(tagged.as_str());
            below.is_some_and(|rest| {
                tagged.is_empty() || rest.is_empty() || rest.starts_with(['.', '[', '{'])
            })
        })
    }

    /// Nothing is silenced.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn is_one_of(tag: &str, known: &[String]) -> bool {
    known.iter().any(|one| one.trim().eq_ignore_ascii_case(tag.trim()))
}

/// Where in the schema a walk is.
#[derive(Clone, Debug)]
struct Place {
    path: String,
    namespace: String,
    depth: usize,
}

impl Place {
    fn below(&self, name: &str) -> Place {
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        Place { path, namespace: self.namespace.clone(), depth: self.depth + 1 }
    }
}

struct Walk<'s> {
    root: &'s Value,
    root_name: String,
    drop_tags: &'s [String],
    /// Patterns that have one of the tags.
    patterns: Vec<String>,
    /// Avro records defined so far, by full name.
    records: BTreeMap<String, &'s Value>,
    /// Records and references the walk is inside of.
    open: Vec<String>,
    found: BTreeSet<String>,
    types: usize,
}

impl<'s> Walk<'s> {
    /// Whether to go on; where not, the rest counts as tagged.
    fn may_enter(&mut self, place: &Place) -> bool {
        self.types += 1;
        let fits = self.types <= SCHEMA_TYPES_MAX && place.depth <= SCHEMA_DEPTH_MAX;
        if !fits {
            self.found.insert(place.path.clone());
        }
        fits
    }

    fn note_inline(&mut self, schema: &Value, place: &Place) {
        let tags = schema.get(INLINE).and_then(Value::as_array).into_iter().flatten();
        let mut tags = tags.filter_map(Value::as_str);
        if tags.any(|tag| is_one_of(tag, self.drop_tags)) {
            self.found.insert(place.path.clone());
        }
    }

    /// Holds the patterns against a field by its own full name and by its path.
    fn note_patterns(&mut self, own_name: &str, place: &Place) {
        let path = &place.path;
        let names = [
            own_name.to_owned(),
            path.clone(),
            format!("$.{path}"),
            format!("{}.{path}", self.root_name),
        ];
        let hit = |pattern: &String| names.iter().any(|name| matches(pattern, name));
        if self.patterns.iter().any(hit) {
            self.found.insert(path.clone());
        }
    }

    /// Walks what may stand many times at one path: a tag within covers all of it.
    fn whole(&mut self, place: &Place, walk: impl FnOnce(&mut Self)) {
        let outside = std::mem::take(&mut self.found);
        walk(self);
        let tagged = !self.found.is_empty();
        self.found = outside;
        if tagged {
            self.found.insert(place.path.clone());
        }
    }

    fn avro(&mut self, schema: &'s Value, place: &Place) {
        if !self.may_enter(place) {
            return;
        }
        match schema {
            Value::String(name) => {
                let name = qualified(name, &place.namespace);
                if let Some(record) = self.records.get(&name).copied() {
                    self.avro_record(record, name, place);
                }
            }
            Value::Array(branches) => {
                let inside = Place { depth: place.depth + 1, ..place.clone() };
                branches.iter().for_each(|branch| self.avro(branch, &inside));
            }
            Value::Object(_) => {
                self.note_inline(schema, place);
                let inside = Place { depth: place.depth + 1, ..place.clone() };
                match schema["type"].as_str() {
                    Some("record" | "error") => {
                        let name = full_name(schema, &place.namespace);
                        self.records.insert(name.clone(), schema);
                        self.avro_record(schema, name, place);
                    }
                    Some("array") => {
                        self.whole(place, |walk| walk.avro(&schema["items"], &inside));
                    }
                    Some("map") => {
                        self.whole(place, |walk| walk.avro(&schema["values"], &inside));
                    }
                    Some(_) => {}
                    None => self.avro(&schema["type"], &inside),
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn avro_record(&mut self, record: &'s Value, name: String, place: &Place) {
        if self.open.contains(&name) {
            return;
        }
        self.note_inline(record, place);
        let namespace = name.rsplit_once('.').map_or("", |(space, _)| space).to_owned();
        let inside = Place { namespace, ..place.clone() };
        self.open.push(name.clone());
        for field in record["fields"].as_array().into_iter().flatten() {
            let field_name = field["name"].as_str().unwrap_or_default();
            let at = inside.below(field_name);
            self.note_inline(field, &at);
            self.note_patterns(&format!("{name}.{field_name}"), &at);
            self.avro(&field["type"], &at);
        }
        self.open.pop();
    }

    fn json(&mut self, schema: &'s Value, place: &Place) {
        if !self.may_enter(place) {
            return;
        }
        self.note_inline(schema, place);
        let inside = Place { depth: place.depth + 1, ..place.clone() };
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let at = place.below(name);
            self.note_patterns(name, &at);
            self.json(property, &at);
        }
        for key in ["allOf", "anyOf", "oneOf"] {
            let branches = schema[key].as_array().into_iter().flatten();
            branches.for_each(|branch| self.json(branch, &inside));
        }
        for key in ["if", "then", "else"] {
            self.json_where_any(&schema[key], &inside);
        }
        for key in ["items", "prefixItems", "contains", "additionalProperties"] {
            self.whole(place, |walk| walk.json_where_any(&schema[key], &inside));
        }
        self.whole(place, |walk| {
            let patterns = schema["patternProperties"].as_object().into_iter().flatten();
            patterns.for_each(|(_, property)| walk.json(property, &inside));
        });
        if let Some(reference) = schema["$ref"].as_str()
            && let Some(target) = reference.strip_prefix('#').and_then(|at| self.root.pointer(at))
            && !self.open.iter().any(|open| open == reference)
        {
            self.open.push(reference.to_owned());
            self.json(target, &inside);
            self.open.pop();
        }
    }

    /// A schema or a list of them, where there is one.
    fn json_where_any(&mut self, schema: &'s Value, place: &Place) {
        match schema {
            Value::Object(_) => self.json(schema, place),
            Value::Array(all) => all.iter().for_each(|one| self.json(one, place)),
            _ => {}
        }
    }
}

/// Whether a pattern matches a whole name. *Cost*: pattern times name, as the last stars alone
/// are tried again.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    // After which pattern bytes a prefix of the name may end: one bit a place of the name.
    let mut reached = vec![false; name.len() + 1];
    reached[0] = true;
    let mut at = 0;
    while at < pattern.len() {
        let mut next = vec![false; name.len() + 1];
        let across = pattern[at] == b'*' && pattern.get(at + 1) == Some(&b'*');
        match pattern[at] {
            b'*' => {
                let mut going = false;
                for end in 0..=name.len() {
                    let stopped = end > 0 && !across && name[end - 1] == b'.';
                    going = (going && !stopped) || reached[end];
                    next[end] = going;
                }
            }
            wanted => {
                for end in 0..name.len() {
                    let byte = name[end];
                    let fits = byte == wanted || (wanted == b'?' && byte != b'.');
                    next[end + 1] = reached[end] && fits;
                }
            }
        }
        reached = next;
        at += if across { 2 } else { 1 };
    }
    reached[name.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tagged(schema: &str, beside: &[(&str, &str)]) -> Vec<String> {
        let beside = beside.iter().map(|(pattern, tag)| {
            ((*pattern).to_owned(), vec!["OTHER".to_owned(), (*tag).to_owned()])
        });
        let drop_tags = ["PII".to_owned(), "SENSITIVE".to_owned()];
        Tagged::of(schema, &beside.collect(), &drop_tags).0.into_iter().collect()
    }

    const ORDER: &str = r#"{"type":"record","name":"Order","namespace":"shop","fields":[
        {"name":"id","type":"string"},
        {"name":"email","type":["null","string"],"default":null,"confluent:tags":["pii"]},
        {"name":"note","type":"string","confluent:tags":["PUBLIC"]},
        {"name":"home","type":{"type":"record","name":"Address","fields":[
            {"name":"street","type":"string"},
            {"name":"zip","type":"string","confluent:tags":["SENSITIVE"]}]}},
        {"name":"work","type":["null","Address"],"default":null},
        {"name":"lines","type":{"type":"array","items":{"type":"record","name":"Line","fields":[
            {"name":"text","type":"string","confluent:tags":["PII"]}]}}}]}"#;

    #[test]
    fn tags_within_avro_silence_their_fields_wherever_the_type_is_used() {
        assert_eq!(tagged(ORDER, &[]), ["email", "home.zip", "lines", "work.zip"]);
    }

    #[test]
    fn a_tag_covers_what_is_below_and_nothing_beside() {
        let tagged = Tagged(["a.b".to_owned()].into());

        assert!(tagged.covers("a.b") && tagged.covers("a.b.c") && tagged.covers("a.b[].c"));
        assert!(!tagged.covers("a") && !tagged.covers("a.bc"));
        assert!(Tagged([String::new()].into()).covers("anything"));
        assert!(Tagged::default().is_empty());
    }

    #[test]
    fn a_tagged_record_silences_its_fields() {
        let schema = r#"{"type":"record","name":"R","fields":[{"name":"who","type":
            {"type":"record","name":"Who","confluent:tags":["PII"],"fields":[
                {"name":"name","type":"string"}]}}]}"#;

        assert_eq!(tagged(schema, &[]), ["who"]);
        assert_eq!(
            tagged(&schema.replace("\"R\",", r#""R","confluent:tags":["PII"],"#), &[])[0],
            ""
        );
    }

    #[test]
    fn patterns_are_held_against_names_and_paths() {
        let check = |pattern: &str, expected: &[&str]| {
            let plain = ORDER.replace("confluent:tags", "other");
            assert_eq!(tagged(&plain, &[(pattern, "PII")]), expected, "{pattern}");
        };
        check("shop.Order.id", &["id"]);
        check("**.street", &["home.street", "work.street"]);
        check("shop.Address.street", &["home.street", "work.street"]);
        check("shop.Order.home.street", &["home.street"]);
        check("home.street", &["home.street"]);
        check("shop.Order.i?", &["id"]);
        check("*.street", &["home.street", "work.street"]);
        check("*.Order.id", &["id"]);
        check("**.*id", &["id"]);
        check("shop.Line.text", &["lines"]);
        check("ID", &[]);
        check("street", &[]);
    }

    #[test]
    fn a_tag_that_is_not_asked_for_silences_nothing() {
        let plain = ORDER.replace("confluent:tags", "other");

        assert_eq!(tagged(&plain, &[("**", "PUBLIC")]), Vec::<String>::new());
    }

    #[test]
    fn tags_of_json_schema_are_read() {
        let schema = r##"{"$schema":"http://json-schema.org/draft-07/schema#","properties":{
            "id":{"type":"string"},
            "email":{"type":"string","confluent:tags":["PII"]},
            "home":{"$ref":"#/definitions/address"},
            "old":{"type":"array","items":{"$ref":"#/definitions/address"}}},
            "definitions":{"address":{"properties":{
                "zip":{"type":"string","confluent:tags":["PII"]},
                "up":{"$ref":"#/definitions/address"}}}}}"##;

        assert_eq!(tagged(schema, &[("$.id", "PII")]), ["email", "home.zip", "id", "old"]);
    }

    #[test]
    fn what_is_too_large_to_walk_is_silent() {
        let mut schema = String::from(r#""long""#);
        for level in 0..SCHEMA_DEPTH_MAX {
            schema = format!(
                r#"{{"type":"record","name":"R{level}","fields":[{{"name":"f","type":{schema}}}]}}"#
            );
        }
        let path = vec!["f"; SCHEMA_DEPTH_MAX].join(".");
        assert!(tagged(&schema, &[]).iter().all(|tagged| path.starts_with(tagged.as_str())));
    }

    #[test]
    fn stars_end_at_dots_unless_there_are_two() {
        let check = |pattern, name, expected| assert_eq!(matches(pattern, name), expected);
        check("a*", "abc", true);
        check("a*", "a.b", false);
        check("a**", "a.b", true);
        check("**", "", true);
        check("a.*.c", "a.b.c", true);
        check("a.*.c", "a.b.b.c", false);
        check("a.**.c", "a.b.b.c", true);
        check("*.b", ".b", true);
        check("a?", "a.", false);
        check("", "", true);
        check("", "a", false);
    }
}
