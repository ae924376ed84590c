//! Scalars as people write them: durations, sizes, texts, and lists that may be one value.

use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, Visitor};

/// A length of time: a number and `ms`, `s`, `m`, `h` or `d`. *Units*: milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub i64);

impl Millis {
    const UNITS: [(&'static str, i64); 5] =
        [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

    fn parse(text: &str) -> Option<Millis> {
        let (number, unit) = number_and_unit(text)?;
        let (_, factor) = Millis::UNITS.into_iter().find(|(name, _)| *name == unit)?;
        scaled(number, factor as f64).map(Millis)
    }
}

impl fmt::Display for Millis {
    /// The largest unit that leaves a whole number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = Millis::UNITS.iter().find(|(_, factor)| self.0 != 0 && self.0 % factor == 0);
        let (name, factor) = unit.unwrap_or(&("s", 1_000));
        write!(f, "{}{name}", self.0 / factor)
    }
}

/// A number of bytes: a number and `B`, `KiB`, `MiB`, `GiB`, `kB`, `MB` or `GB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

impl Bytes {
    const UNITS: [(&'static str, u64); 7] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
        ("B", 1),
    ];

    fn parse(text: &str) -> Option<Bytes> {
        let (number, unit) = number_and_unit(text)?;
        let (_, factor) = Bytes::UNITS.into_iter().find(|(name, _)| *name == unit)?;
        scaled(number, factor as f64).and_then(|bytes| u64::try_from(bytes).ok()).map(Bytes)
    }
}

impl fmt::Display for Bytes {
    /// Three digits or fewer before the unit, one after the point where it is not whole.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = &Bytes::UNITS[..3];
        match binary.iter().find(|(_, factor)| self.0 >= *factor) {
            Some((name, factor)) if self.0.is_multiple_of(*factor) => {
                write!(f, "{} {name}", self.0 / factor)
            }
            Some((name, factor)) => write!(f, "{:.1} {name}", self.0 as f64 / *factor as f64),
            None => write!(f, "{} B", self.0),
        }
    }
}

fn number_and_unit(text: &str) -> Option<(f64, &str)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let number: f64 = text[..end].parse().ok()?;
    Some((number, text[end..].trim_start()))
}

/// `None` when it is no whole number of the base unit or too large to be meant.
fn scaled(number: f64, factor: f64) -> Option<i64> {
    let value = number * factor;
    let is_whole = (value - value.round()).abs() < 1e-6;
    (is_whole && value < 1e15).then_some(value.round() as i64)
}

/// Any scalar, as the text it is compared by: numbers in decimal, `true` and `false`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Text(pub String);

struct FromText<T> {
    expecting: &'static str,
    parse: fn(&str) -> Option<T>,
}

impl<T> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text).ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Millis, D::Error> {
        let expecting = "a duration such as 500ms, 5m, 1h or 14d";
        deserializer.deserialize_str(FromText { expecting, parse: Millis::parse })
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
        let expecting = "a size such as 512MiB or 2GiB";
        deserializer.deserialize_str(FromText { expecting, parse: Bytes::parse })
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        struct AsText;

        impl Visitor<'_> for AsText {
            type Value = Text;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("text, a number, true or false")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }

            fn visit_bool<E: de::Error>(self, value: bool) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Text, E> {
                Ok(Text(value.to_string()))
            }
        }

        deserializer.deserialize_any(AsText)
    }
}

/// A list, or its only member bare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneOrMany<T>(pub Vec<T>);

impl<T> Default for OneOrMany<T> {
    fn default() -> OneOrMany<T> {
        OneOrMany(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<OneOrMany<T>, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value or a list of values")
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, items: A) -> Result<OneOrMany<T>, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(items)).map(OneOrMany)
    }

    fn visit_map<A: de::MapAccess<'de>>(self, entries: A) -> Result<OneOrMany<T>, A::Error> {
        T::deserialize(de::value::MapAccessDeserializer::new(entries))
            .map(|one| OneOrMany(vec![one]))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany<T>, E> {
        T::deserialize(de::value::StrDeserializer::new(text)).map(|one| OneOrMany(vec![one]))
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<OneOrMany<T>, E> {
        T::deserialize(de::value::BoolDeserializer::new(value)).map(|one| OneOrMany(vec![one]))
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<OneOrMany<T>, E> {
        T::deserialize(de::value::I64Deserializer::new(value)).map(|one| OneOrMany(vec![one]))
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<OneOrMany<T>, E> {
        T::deserialize(de::value::F64Deserializer::new(value)).map(|one| OneOrMany(vec![one]))
    }
}

impl JsonSchema for Millis {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number and ms, s, m, h or d.",
            "type": "string",
            "pattern": r"^([0-9.]+ *(ms|s|m|h|d)|.*\$\{.*)$",
            "examples": ["500ms", "5m", "1h", "14d"],
        })
    }
}

impl JsonSchema for Bytes {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number and B, KiB, MiB, GiB, kB, MB or GB.",
            "type": "string",
            "pattern": r"^([0-9.]+ *(B|KiB|MiB|GiB|kB|MB|GB)|.*\$\{.*)$",
            "examples": ["512MiB", "2GiB"],
        })
    }
}

impl JsonSchema for Text {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Scalar".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Text, a number, true or false.",
            "type": ["string", "number", "boolean"],
        })
    }
}

impl<T: JsonSchema> JsonSchema for OneOrMany<T> {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("OneOrMany{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({
            "description": "One value, or a list of them.",
            "anyOf": [one, { "type": "array", "items": one }],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_shown_in_their_largest_unit() {
        for (text, ms, shown) in [
            ("500ms", 500, "500ms"),
            ("90s", 90_000, "90s"),
            ("1.5h", 5_400_000, "90m"),
            ("24h", 86_400_000, "1d"),
            ("0s", 0, "0s"),
        ] {
            assert_eq!(Millis::parse(text), Some(Millis(ms)), "{text}");
            assert_eq!(Millis(ms).to_string(), shown);
        }
        for text in ["5", "h", "5 weeks", "-1s", "1..5s", "0.5ms", "999999999999d"] {
            assert_eq!(Millis::parse(text), None, "{text}");
        }
    }

    #[test]
    fn sizes_are_read_and_shown_in_powers_of_two() {
        assert_eq!(Bytes::parse("512MiB"), Some(Bytes(512 << 20)));
        assert_eq!(Bytes::parse("1.5 GB"), Some(Bytes(1_500_000_000)));
        assert_eq!(Bytes::parse("512"), None);
        assert_eq!(Bytes(512 << 20).to_string(), "512 MiB");
        assert_eq!(Bytes(1_572_864).to_string(), "1.5 MiB");
        assert_eq!(Bytes(12).to_string(), "12 B");
    }
}
