//! From the tree to typed structs: a serde deserializer whose errors know their place.
//!
//! Numbers and booleans are also read from text that came from the environment, and only there:
//! what is written as text stays text.

use std::fmt;
use std::ops::Range;

use serde::de::{self, DeserializeSeed, IntoDeserializer, Unexpected, Visitor};

use super::error::Problem;
use super::tree::{Key, Node, Value};

/// Reads a value of type `T`.
pub(crate) fn read<'de, T: de::Deserialize<'de>>(node: &'de Node) -> Result<T, Problem> {
    T::deserialize(Reader(node)).map_err(|mut error| {
        error.path.reverse();
        Problem { path: error.path.join("."), message: error.message, fix: error.fix, at: error.at }
    })
}

/// An error on its way up to the root.
#[derive(Debug)]
pub(crate) struct ReadError {
    message: String,
    fix: Option<String>,
    at: Option<Range<usize>>,
    /// Keys, innermost first.
    path: Vec<String>,
}

impl ReadError {
    fn at(mut self, at: &Range<usize>) -> ReadError {
        self.at.get_or_insert_with(|| at.clone());
        self
    }

    fn new(message: String, fix: Option<String>) -> ReadError {
        ReadError { message, fix, at: None, path: Vec::new() }
    }
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ReadError {}

impl de::Error for ReadError {
    /// A text of two lines is a message and its fix.
    fn custom<T: fmt::Display>(message: T) -> ReadError {
        let text = message.to_string();
        match text.split_once('\n') {
            Some((message, fix)) => ReadError::new(message.to_owned(), Some(fix.to_owned())),
            None => ReadError::new(text, None),
        }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> ReadError {
        let fix = match nearest(field, expected) {
            Some(known) => format!("did you mean `{known}`?"),
            None => format!("known here: {}", expected.join(", ")),
        };
        ReadError::new(format!("unknown key `{field}`"), Some(fix))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> ReadError {
        let fix = format!("use one of {}", expected.join(", "));
        ReadError::new(format!("`{variant}` is not known"), Some(fix))
    }

    fn missing_field(field: &'static str) -> ReadError {
        ReadError::new(format!("`{field}` is missing"), Some(format!("add `{field}:`")))
    }
}

/// The known key closest to what was written: at most two edits, or a third of its length.
pub(crate) fn nearest<'a>(written: &str, known: &[&'a str]) -> Option<&'a str> {
    let limit = (written.chars().count() / 3).max(2);
    known
        .iter()
        .map(|key| (distance(written, key), *key))
        .filter(|(distance, key)| *distance <= limit && *distance < key.len())
        .min()
        .map(|(_, key)| key)
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

struct Reader<'de>(&'de Node);

impl<'de> Reader<'de> {
    fn scalar_from_environment(&self) -> Option<&'de str> {
        match &self.0.value {
            Value::Text(text) if self.0.written.is_some() => Some(text),
            _ => None,
        }
    }

    fn parsed<T: std::str::FromStr, V: Visitor<'de>>(
        self,
        visitor: V,
        visit: impl FnOnce(V, T) -> Result<V::Value, ReadError>,
    ) -> Result<V::Value, ReadError> {
        match self.scalar_from_environment().map(|text| text.trim().parse::<T>()) {
            Some(Ok(value)) => visit(visitor, value).map_err(|error| error.at(&self.0.at)),
            _ => de::Deserializer::deserialize_any(self, visitor),
        }
    }
}

macro_rules! parsed_from_environment {
    ($($method:ident $visit:ident $type:ty;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
            self.parsed(visitor, |visitor, value: $type| visitor.$visit(value))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Reader<'de> {
    type Error = ReadError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        let node = self.0;
        let result = match &node.value {
            Value::Null => visitor.visit_unit(),
            Value::Bool(value) => visitor.visit_bool(*value),
            Value::Integer(value) => visitor.visit_i64(*value),
            Value::Float(value) => visitor.visit_f64(*value),
            Value::Text(text) => visitor.visit_borrowed_str(text),
            Value::List(items) => visitor.visit_seq(Items(items.iter())),
            Value::Map(entries) => visitor.visit_map(Entries { rest: entries, value: None }),
        };
        result.map_err(|error| error.at(&node.at))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0.value {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    /// A key with nothing behind it is a struct of defaults.
    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        match self.0.value {
            Value::Null => visitor.visit_map(Entries { rest: &[], value: None }),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        self.deserialize_struct("", &[], visitor)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, ReadError> {
        match self.0.value {
            Value::Null => visitor.visit_seq(Items([].iter())),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        visitor.visit_newtype_struct(self)
    }

    /// Unit variants alone: the configuration has no others.
    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, ReadError> {
        let at = &self.0.at;
        let result = match &self.0.value {
            Value::Text(text) => visitor.visit_enum(text.as_str().into_deserializer()),
            other => {
                let expected = format!("one of {}", variants.join(", "));
                Err(de::Error::invalid_type(unexpected(other), &expected.as_str()))
            }
        };
        result.map_err(|error: ReadError| error.at(at))
    }

    parsed_from_environment! {
        deserialize_bool visit_bool bool;
        deserialize_i64 visit_i64 i64;
        deserialize_u64 visit_u64 u64;
        deserialize_u32 visit_u64 u64;
        deserialize_f64 visit_f64 f64;
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i32 i128 u8 u16 u128 f32 char str string bytes byte_buf unit unit_struct
        tuple tuple_struct identifier ignored_any
    }
}

fn unexpected(value: &Value) -> Unexpected<'_> {
    match value {
        Value::Null => Unexpected::Unit,
        Value::Bool(value) => Unexpected::Bool(*value),
        Value::Integer(value) => Unexpected::Signed(*value),
        Value::Float(value) => Unexpected::Float(*value),
        Value::Text(text) => Unexpected::Str(text),
        Value::List(_) => Unexpected::Seq,
        Value::Map(_) => Unexpected::Map,
    }
}

struct Items<'de>(std::slice::Iter<'de, Node>);

impl<'de> de::SeqAccess<'de> for Items<'de> {
    type Error = ReadError;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, ReadError> {
        match self.0.next() {
            Some(node) => seed.deserialize(Reader(node)).map(Some),
            None => Ok(None),
        }
    }
}

struct Entries<'de> {
    rest: &'de [(Key, Node)],
    value: Option<&'de (Key, Node)>,
}

impl<'de> de::MapAccess<'de> for Entries<'de> {
    type Error = ReadError;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, ReadError> {
        let Some((entry, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        self.value = Some(entry);
        seed.deserialize(entry.0.text.as_str().into_deserializer())
            .map(Some)
            .map_err(|error: ReadError| error.at(&entry.0.at))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, ReadError> {
        let (key, node) = self.value.take().expect("serde asks for a key first");
        seed.deserialize(Reader(node)).map_err(|mut error| {
            if error.path.is_empty() && error.at.as_ref().is_none_or(|at| *at == node.at) {
                // What concerns a mapping as a whole is shown at its key.
                let is_whole = matches!(node.value, Value::Map(_) | Value::Null | Value::List(_));
                error.at = Some(if is_whole { key.at.clone() } else { node.at.clone() });
            }
            error.path.push(key.text.clone());
            error
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_known_key_is_found() {
        let known = ["window", "fields", "topic", "owner"];

        assert_eq!(nearest("windw", &known), Some("window"));
        assert_eq!(nearest("feilds", &known), Some("fields"));
        assert_eq!(nearest("segments", &known), None);
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("", "abc"), 3);
    }
}
