//! Scalar types: how each is laid out, and what it says about itself.
//!
//! It knows nothing of where in a schema a type stands.

use apache_avro::Schema;
use apache_avro::schema::{DecimalSchema, InnerDecimalSchema, UuidSchema};

use super::FoundKind;

/// How a scalar is laid out and read.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Leaf {
    Null,
    Bool,
    Int,
    Long,
    Float,
    Double,
    Text,
    Bytes,
    Fixed(usize),
    Enum(Vec<String>),
    Decimal { scale: i64 },
    FixedDecimal { size: usize, scale: i64 },
    BigDecimal,
    Days,
    IntMillis,
    Millis,
    Micros,
    Nanos,
}

/// What a scalar type says about itself.
pub(super) struct About<'s> {
    pub(super) kind: FoundKind,
    pub(super) type_name: &'static str,
    pub(super) logical_type: Option<String>,
    pub(super) symbols: &'s [String],
    pub(super) doc: Option<&'s str>,
}

impl<'s> About<'s> {
    pub(super) fn plain(kind: FoundKind, type_name: &'static str) -> About<'s> {
        About { kind, type_name, logical_type: None, symbols: &[], doc: None }
    }

    fn logical(kind: FoundKind, type_name: &'static str, logical: impl Into<String>) -> About<'s> {
        About { logical_type: Some(logical.into()), ..About::plain(kind, type_name) }
    }
}

pub(super) fn leaf_of(schema: &Schema) -> (Leaf, About<'_>) {
    use FoundKind::{Bool, Bytes, Null, Number, Text};
    match schema {
        Schema::Boolean => (Leaf::Bool, About::plain(Bool, "boolean")),
        Schema::Int => (Leaf::Int, About::plain(Number, "int")),
        Schema::Long => (Leaf::Long, About::plain(Number, "long")),
        Schema::Float => (Leaf::Float, About::plain(Number, "float")),
        Schema::Double => (Leaf::Double, About::plain(Number, "double")),
        Schema::Bytes => (Leaf::Bytes, About::plain(Bytes, "bytes")),
        Schema::String => (Leaf::Text, About::plain(Text, "string")),
        Schema::Enum(symbols) => {
            let about = About::plain(Text, "enum");
            let doc = symbols.doc.as_deref();
            (Leaf::Enum(symbols.symbols.clone()), About { symbols: &symbols.symbols, doc, ..about })
        }
        Schema::Fixed(fixed) => {
            let about = About::plain(Bytes, "fixed");
            (Leaf::Fixed(fixed.size), About { doc: fixed.doc.as_deref(), ..about })
        }
        Schema::Duration(fixed) => {
            (Leaf::Fixed(fixed.size), About::logical(Bytes, "fixed", "duration"))
        }
        Schema::Decimal(decimal) => decimal_of(decimal),
        Schema::BigDecimal => (Leaf::BigDecimal, About::logical(Number, "bytes", "big-decimal")),
        Schema::Uuid(UuidSchema::String) => (Leaf::Text, About::logical(Text, "string", "uuid")),
        Schema::Uuid(UuidSchema::Bytes) => (Leaf::Bytes, About::logical(Bytes, "bytes", "uuid")),
        Schema::Uuid(UuidSchema::Fixed(fixed)) => {
            (Leaf::Fixed(fixed.size), About::logical(Bytes, "fixed", "uuid"))
        }
        Schema::Date
        | Schema::TimeMillis
        | Schema::TimeMicros
        | Schema::TimestampMillis
        | Schema::TimestampMicros
        | Schema::TimestampNanos
        | Schema::LocalTimestampMillis
        | Schema::LocalTimestampMicros
        | Schema::LocalTimestampNanos => time_of(schema),
        // The others are no scalars and never come here.
        Schema::Null
        | Schema::Array(_)
        | Schema::Map(_)
        | Schema::Union(_)
        | Schema::Record(_)
        | Schema::Ref { .. } => (Leaf::Null, About::plain(Null, "null")),
    }
}

fn decimal_of(decimal: &DecimalSchema) -> (Leaf, About<'_>) {
    let scale = i64::try_from(decimal.scale).unwrap_or(i64::MAX);
    let logical = format!("decimal({},{})", decimal.precision, decimal.scale);
    match &decimal.inner {
        InnerDecimalSchema::Bytes => {
            (Leaf::Decimal { scale }, About::logical(FoundKind::Number, "bytes", logical))
        }
        InnerDecimalSchema::Fixed(fixed) => {
            let about = About::logical(FoundKind::Number, "fixed", logical);
            (Leaf::FixedDecimal { size: fixed.size, scale }, about)
        }
    }
}

fn time_of(schema: &Schema) -> (Leaf, About<'_>) {
    let (leaf, type_name, logical) = match schema {
        Schema::Date => (Leaf::Days, "int", "date"),
        Schema::TimeMillis => (Leaf::IntMillis, "int", "time-millis"),
        Schema::TimeMicros => (Leaf::Micros, "long", "time-micros"),
        Schema::TimestampMicros => (Leaf::Micros, "long", "timestamp-micros"),
        Schema::TimestampNanos => (Leaf::Nanos, "long", "timestamp-nanos"),
        Schema::LocalTimestampMillis => (Leaf::Millis, "long", "local-timestamp-millis"),
        Schema::LocalTimestampMicros => (Leaf::Micros, "long", "local-timestamp-micros"),
        Schema::LocalTimestampNanos => (Leaf::Nanos, "long", "local-timestamp-nanos"),
        _ => (Leaf::Millis, "long", "timestamp-millis"),
    };
    (leaf, About::logical(FoundKind::Time, type_name, logical))
}
