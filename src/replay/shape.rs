//! How long an Avro datum is, and what one field of it says, without decoding the rest.
//!
//! A container's block is datums one after the other with no lengths between, so each must be
//! walked to find the next. The walk reads lengths and skips values.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::schema::{InnerDecimalSchema, UuidSchema};

use super::time;

/// Deepest nesting walked: a recursive schema must not fill the stack.
const DEPTH_MAX: usize = 64;

/// A schema reduced to lengths.
#[derive(Debug)]
enum Shape {
    Null,
    Varint(Unit),
    Fixed(usize),
    Bytes,
    Text,
    Array(Box<Shape>),
    Map(Box<Shape>),
    Union(Vec<Shape>),
    /// Index into [`Walker::records`].
    Record(usize),
    /// A name not met yet; resolved before any walk.
    Named(String),
}

/// What a whole number counts.
#[derive(Clone, Copy, Debug)]
enum Unit {
    Days,
    Millis,
    Micros,
    Nanos,
}

/// Walks datums of one schema.
#[derive(Debug)]
pub(super) struct Walker {
    root: Shape,
    records: Vec<Vec<(String, Shape)>>,
    named: BTreeMap<String, Shape>,
}

impl Walker {
    pub(super) fn new(schema: &Schema) -> Walker {
        let mut walker = Walker { root: Shape::Null, records: Vec::new(), named: BTreeMap::new() };
        walker.root = walker.compile(schema);
        walker
    }

    fn compile(&mut self, schema: &Schema) -> Shape {
        match schema {
            Schema::Null => Shape::Null,
            Schema::Boolean => Shape::Fixed(1),
            Schema::Int | Schema::Long | Schema::TimestampMillis | Schema::LocalTimestampMillis => {
                Shape::Varint(Unit::Millis)
            }
            Schema::TimeMillis | Schema::TimeMicros => Shape::Varint(Unit::Millis),
            Schema::Date => Shape::Varint(Unit::Days),
            Schema::TimestampMicros | Schema::LocalTimestampMicros => Shape::Varint(Unit::Micros),
            Schema::TimestampNanos | Schema::LocalTimestampNanos => Shape::Varint(Unit::Nanos),
            Schema::Float => Shape::Fixed(4),
            Schema::Double => Shape::Fixed(8),
            Schema::Bytes | Schema::BigDecimal | Schema::Uuid(UuidSchema::Bytes) => Shape::Bytes,
            Schema::String | Schema::Uuid(UuidSchema::String) => Shape::Text,
            Schema::Array(array) => Shape::Array(Box::new(self.compile(&array.items))),
            Schema::Map(map) => Shape::Map(Box::new(self.compile(&map.types))),
            Schema::Union(union) => {
                Shape::Union(union.variants().iter().map(|branch| self.compile(branch)).collect())
            }
            Schema::Record(record) => {
                let index = self.records.len();
                self.records.push(Vec::new());
                self.named.insert(record.name.to_string(), Shape::Record(index));
                self.records[index] = record
                    .fields
                    .iter()
                    .map(|field| (field.name.clone(), self.compile(&field.schema)))
                    .collect();
                Shape::Record(index)
            }
            Schema::Enum(symbols) => {
                self.named.insert(symbols.name.to_string(), Shape::Varint(Unit::Millis));
                Shape::Varint(Unit::Millis)
            }
            Schema::Fixed(fixed) | Schema::Duration(fixed) => self.fixed(fixed),
            Schema::Uuid(UuidSchema::Fixed(fixed)) => self.fixed(fixed),
            Schema::Decimal(decimal) => match &decimal.inner {
                InnerDecimalSchema::Bytes => Shape::Bytes,
                InnerDecimalSchema::Fixed(fixed) => self.fixed(fixed),
            },
            Schema::Ref { name } => Shape::Named(name.to_string()),
        }
    }

    fn fixed(&mut self, fixed: &apache_avro::schema::FixedSchema) -> Shape {
        self.named.insert(fixed.name.to_string(), Shape::Fixed(fixed.size));
        Shape::Fixed(fixed.size)
    }

    /// The length of the datum at the front, and the time at a path of field names.
    /// `None` when the bytes are not of this schema.
    pub(super) fn walk(&self, bytes: &[u8], path: &[&str]) -> Option<(usize, Option<i64>)> {
        let mut walk = Walk { walker: self, bytes, at: 0, time: None };
        walk.value(&self.root, (!path.is_empty()).then_some(path), 0)?;
        Some((walk.at, walk.time))
    }
}

struct Walk<'a> {
    walker: &'a Walker,
    bytes: &'a [u8],
    at: usize,
    time: Option<i64>,
}

impl<'a> Walk<'a> {
    /// `path` is what is left of the way to the time; empty at the time itself, `None` elsewhere.
    fn value(&mut self, shape: &Shape, path: Option<&[&str]>, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        let is_time = path.is_some_and(<[&str]>::is_empty);
        match shape {
            Shape::Null => {}
            Shape::Varint(unit) => {
                let value = self.varint()?;
                if is_time {
                    self.time = Some(in_millis(value, *unit));
                }
            }
            Shape::Fixed(n) => {
                self.take(*n)?;
            }
            Shape::Bytes | Shape::Text => {
                let n = usize::try_from(self.varint()?).ok()?;
                let bytes = self.take(n)?;
                if is_time && matches!(shape, Shape::Text) {
                    self.time = std::str::from_utf8(bytes).ok().and_then(time::of_text);
                }
            }
            Shape::Array(items) => self.blocks(items, false, depth)?,
            Shape::Map(values) => self.blocks(values, true, depth)?,
            Shape::Union(branches) => {
                let branch = usize::try_from(self.varint()?).ok()?;
                self.value(branches.get(branch)?, path, depth + 1)?;
            }
            Shape::Record(index) => {
                for (name, field) in &self.walker.records[*index] {
                    let rest = path.and_then(|path| path.split_first());
                    let rest = rest.filter(|(first, _)| *first == name).map(|(_, rest)| rest);
                    self.value(field, rest, depth + 1)?;
                }
            }
            Shape::Named(name) => {
                self.value(self.walker.named.get(name)?, path, depth + 1)?;
            }
        }
        Some(())
    }

    fn blocks(&mut self, shape: &Shape, has_keys: bool, depth: usize) -> Option<()> {
        loop {
            let count = self.varint()?;
            if count == 0 {
                return Some(());
            }
            if count < 0 {
                // A negative count comes with the block's length.
                let n = usize::try_from(self.varint()?).ok()?;
                self.take(n)?;
                continue;
            }
            for _ in 0..count {
                if has_keys {
                    let n = usize::try_from(self.varint()?).ok()?;
                    self.take(n)?;
                }
                let before = self.at;
                self.value(shape, None, depth + 1)?;
                if self.at == before && !has_keys {
                    // Items of no length need no visit each, however many are claimed.
                    break;
                }
            }
        }
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(n)?;
        let taken = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(taken)
    }

    fn varint(&mut self) -> Option<i64> {
        let (value, n) = varint(self.bytes.get(self.at..)?)?;
        self.at += n;
        Some(value)
    }
}

/// A zig-zag varint at the front, and its length.
pub(super) fn varint(bytes: &[u8]) -> Option<(i64, usize)> {
    let mut value = 0_u64;
    for (i, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(((value >> 1).cast_signed() ^ -(value & 1).cast_signed(), i + 1));
        }
    }
    None
}

fn in_millis(value: i64, unit: Unit) -> i64 {
    match unit {
        Unit::Days => value.saturating_mul(86_400_000),
        Unit::Millis => value,
        Unit::Micros => value.div_euclid(1_000),
        Unit::Nanos => value.div_euclid(1_000_000),
    }
}
