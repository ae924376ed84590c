//! The file as a tree of nodes that know their place, before anything is typed.
//!
//! Two readers share it: the typed pass ([`super::read`]) and the semantic checks, which point at
//! a key by its path. Deliberately small: YAML's own rules (duplicate keys, alias bombs) are the
//! parser's business.

use std::fmt;
use std::ops::Range;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{Location, Spanned};

use super::error::Problem;

/// Deepest nesting read: twice what a configuration can mean. Each level takes tens of kilobytes of
/// stack in a debug build, and threads have two megabytes.
const DEPTH_MAX: usize = 16;

/// A value and where it is written. *Units* of places: bytes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) value: Value,
    /// Where it is written.
    pub(crate) at: Range<usize>,
    /// As written, where the environment has been put in.
    pub(crate) written: Option<String>,
}

/// What a node holds.
#[derive(Clone, Debug, Default)]
pub(crate) enum Value {
    /// Nothing.
    #[default]
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping, in the file's order.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    /// Its text.
    pub(crate) text: String,
    /// Where it is written.
    pub(crate) at: Range<usize>,
}

impl Node {
    /// Parses YAML.
    pub(crate) fn parse(text: &str) -> Result<Node, Problem> {
        let options = serde_saphyr::options! {
            strict_booleans: true,
            leading_zero_numbers_as_strings: true,
            underscored_numbers_as_strings: true,
            with_snippet: false,
            budget: serde_saphyr::budget! { max_depth: DEPTH_MAX },
        };
        match serde_saphyr::from_str_with_options::<Spanned<Raw>>(text, options) {
            Ok(root) => Ok(root.into()),
            Err(error) => Err(Problem {
                path: String::new(),
                message: format!("this is not valid YAML: {}", first_line(&error.to_string())),
                fix: None,
                at: error.location().map(place),
            }),
        }
    }

    /// The entry of a mapping.
    pub(crate) fn entry(&self, name: &str) -> Option<(&Key, &Node)> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries.iter().find(|(key, _)| key.text == name).map(|(key, node)| (key, node))
    }

    /// Where to point for a path: the value when it is a scalar, else its key; for what is not
    /// written, the closest key above it. `None` when nothing of it is written.
    pub(crate) fn locate(&self, path: &[&str]) -> Option<Range<usize>> {
        let (name, rest) = path.split_first()?;
        let (key, node) = self.entry(name)?;
        let own = match node.value {
            Value::Null | Value::List(_) | Value::Map(_) => key.at.clone(),
            _ => node.at.clone(),
        };
        if rest.is_empty() {
            return Some(own);
        }
        Some(node.locate(rest).unwrap_or_else(|| key.at.clone()))
    }
}

impl From<Spanned<Raw>> for Node {
    fn from(spanned: Spanned<Raw>) -> Node {
        Node { at: place(spanned.referenced), value: spanned.value.0, written: None }
    }
}

fn place(location: Location) -> Range<usize> {
    let span = location.span();
    let start = span.byte_offset().unwrap_or(0) as usize;
    start..start + span.byte_len().unwrap_or(0) as usize
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

/// A value whose children know their places.
struct Raw(Value);

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw(Value::Null))
    }

    fn visit_none<E: de::Error>(self) -> Result<Raw, E> {
        Ok(Raw(Value::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw(Value::Bool(value)))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw(Value::Integer(value)))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Raw, E> {
        Ok(Raw(match i64::try_from(value) {
            Ok(value) => Value::Integer(value),
            Err(_) => Value::Text(value.to_string()),
        }))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw(Value::Float(value)))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw(Value::Text(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element::<Spanned<Raw>>()? {
            list.push(item.into());
        }
        Ok(Raw(Value::List(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let node = entries.next_value::<Spanned<Raw>>()?;
            let at = place(key.referenced);
            map.push((Key { text: key.value, at }, node.into()));
        }
        Ok(Raw(Value::Map(map)))
    }
}
