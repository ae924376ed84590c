//! Random Avro schemas, and values of them as apache-avro writes them.

use std::fmt::Write as _;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use proptest::collection::vec;
use proptest::prelude::*;

/// Base type, logical type.
pub(crate) type Clock = (&'static str, &'static str);

pub(crate) const CLOCKS: [Clock; 9] = [
    ("int", "date"),
    ("int", "time-millis"),
    ("long", "time-micros"),
    ("long", "timestamp-millis"),
    ("long", "timestamp-micros"),
    ("long", "timestamp-nanos"),
    ("long", "local-timestamp-millis"),
    ("long", "local-timestamp-micros"),
    ("long", "local-timestamp-nanos"),
];

/// A type to make a schema and values of.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Plain(&'static str),
    Uuid,
    Fixed(usize),
    Enum(usize),
    Decimal(u32),
    FixedDecimal(usize, u32),
    Time(Clock),
    Array(Box<Kind>),
    Map(Box<Kind>),
    Record(Vec<Kind>),
    /// And whether null comes first.
    Nullable(Box<Kind>, bool),
    /// Null, long, text and two records.
    Union(Vec<Kind>, Vec<Kind>),
}

pub(crate) fn leaf() -> impl Strategy<Value = Kind> {
    let plain = [
        "null", "boolean", "int", "long", "float", "double", "double", "string", "string", "bytes",
    ];
    prop_oneof![
        10 => prop::sample::select(plain.to_vec()).prop_map(Kind::Plain),
        1 => Just(Kind::Uuid),
        1 => (1_usize..20).prop_map(Kind::Fixed),
        2 => (1_usize..5).prop_map(Kind::Enum),
        1 => (0_u32..9).prop_map(Kind::Decimal),
        1 => (4_usize..24, 0_u32..9).prop_map(|(size, scale)| Kind::FixedDecimal(size, scale)),
        3 => prop::sample::select(CLOCKS.to_vec()).prop_map(Kind::Time),
    ]
}

pub(crate) fn kind() -> impl Strategy<Value = Kind> {
    leaf().prop_recursive(4, 24, 6, |inside| {
        let nullable = inside.clone().prop_filter("no union lies in a union", |kind| {
            !matches!(kind, Kind::Nullable(..) | Kind::Union(..) | Kind::Plain("null"))
        });
        prop_oneof![
            2 => inside.clone().prop_map(|kind| Kind::Array(Box::new(kind))),
            1 => inside.clone().prop_map(|kind| Kind::Map(Box::new(kind))),
            3 => vec(inside.clone(), 0..6).prop_map(Kind::Record),
            4 => (nullable, any::<bool>())
                .prop_map(|(kind, null_first)| Kind::Nullable(Box::new(kind), null_first)),
            1 => (vec(inside.clone(), 0..3), vec(inside, 0..3))
                .prop_map(|(one, other)| Kind::Union(one, other)),
        ]
    })
}

/// Writes a kind as schema JSON; `count` makes names of types unique.
pub(crate) fn schema_of(kind: &Kind, count: &mut usize) -> String {
    *count += 1;
    let name = format!("N{count}");
    match kind {
        Kind::Plain(name) => format!(r#""{name}""#),
        Kind::Uuid => r#"{"type":"string","logicalType":"uuid"}"#.into(),
        Kind::Fixed(size) => format!(r#"{{"type":"fixed","name":"{name}","size":{size}}}"#),
        Kind::Enum(len) => {
            let symbols: Vec<_> = (0..*len).map(|index| format!(r#""S{index}""#)).collect();
            format!(r#"{{"type":"enum","name":"{name}","symbols":[{}]}}"#, symbols.join(","))
        }
        Kind::Decimal(scale) => {
            format!(r#"{{"type":"bytes","logicalType":"decimal","precision":38,"scale":{scale}}}"#)
        }
        Kind::FixedDecimal(size, scale) => format!(
            r#"{{"type":"fixed","name":"{name}","size":{size},
                "logicalType":"decimal","precision":9,"scale":{scale}}}"#
        ),
        Kind::Time((base, logical)) => {
            format!(r#"{{"type":"{base}","logicalType":"{logical}"}}"#)
        }
        Kind::Array(items) => format!(r#"{{"type":"array","items":{}}}"#, schema_of(items, count)),
        Kind::Map(values) => format!(r#"{{"type":"map","values":{}}}"#, schema_of(values, count)),
        Kind::Record(fields) => record_schema(&name, fields, count),
        Kind::Nullable(inside, true) => format!(r#"["null",{}]"#, schema_of(inside, count)),
        Kind::Nullable(inside, false) => format!(r#"[{},"null"]"#, schema_of(inside, count)),
        Kind::Union(one, other) => format!(
            r#"["null","long","string",{},{}]"#,
            record_schema(&format!("{name}a"), one, count),
            record_schema(&format!("{name}b"), other, count)
        ),
    }
}

pub(crate) fn record_schema(name: &str, fields: &[Kind], count: &mut usize) -> String {
    let mut inside = String::new();
    for (index, kind) in fields.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let schema = schema_of(kind, count);
        write!(inside, r#"{comma}{{"name":"f{index}","type":{schema}}}"#).unwrap();
    }
    format!(r#"{{"type":"record","name":"{name}","fields":[{inside}]}}"#)
}

/// Numbers out of one seed (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    /// Of any magnitude.
    fn long(&mut self) -> i64 {
        let shift = self.below(64);
        self.next().cast_signed() >> shift
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    fn text(&mut self) -> String {
        let alphabet = ['a', 'Z', '0', '"', '\\', '\n', 'é', '€', '😀'];
        (0..self.below(12)).map(|_| alphabet[self.below(alphabet.len())]).collect()
    }
}

pub(crate) fn value_of(kind: &Kind, numbers: &mut Numbers) -> Value {
    match kind {
        Kind::Plain(name) => plain_value(name, numbers),
        Kind::Uuid => {
            let hex: String = numbers.bytes(16).iter().map(|byte| format!("{byte:02x}")).collect();
            Value::Uuid(hex.parse().unwrap())
        }
        Kind::Fixed(size) => Value::Fixed(*size, numbers.bytes(*size)),
        Kind::Enum(len) => {
            let index = numbers.below(*len);
            Value::Enum(index as u32, format!("S{index}"))
        }
        Kind::Decimal(_) => Value::Decimal(numbers.long().to_be_bytes().into()),
        Kind::FixedDecimal(size, _) => {
            let number = numbers.long() as i32;
            let mut bytes = vec![if number < 0 { 0xff } else { 0 }; size - 4];
            bytes.extend(number.to_be_bytes());
            Value::Decimal(bytes.into())
        }
        Kind::Time((_, logical)) => time_value(logical, numbers.long()),
        Kind::Array(items) => {
            Value::Array((0..numbers.below(4)).map(|_| value_of(items, numbers)).collect())
        }
        Kind::Map(values) => Value::Map(
            (0..numbers.below(4))
                .map(|index| (format!("k{index}"), value_of(values, numbers)))
                .collect(),
        ),
        Kind::Record(fields) => record_value(fields, numbers),
        Kind::Nullable(inside, null_first) => match numbers.below(3) {
            0 => Value::Union(u32::from(!null_first), Box::new(Value::Null)),
            _ => Value::Union(u32::from(*null_first), Box::new(value_of(inside, numbers))),
        },
        Kind::Union(one, other) => {
            let branch = numbers.below(5);
            let value = match branch {
                0 => Value::Null,
                1 => Value::Long(numbers.long()),
                2 => Value::String(numbers.text()),
                3 => record_value(one, numbers),
                _ => record_value(other, numbers),
            };
            Value::Union(branch as u32, Box::new(value))
        }
    }
}

pub(crate) fn plain_value(name: &str, numbers: &mut Numbers) -> Value {
    match name {
        "null" => Value::Null,
        "boolean" => Value::Boolean(numbers.below(2) == 1),
        "int" => Value::Int(numbers.long() as i32),
        "long" => Value::Long(numbers.long()),
        "float" => Value::Float(numbers.long() as f32 / 64.0),
        "double" => Value::Double(f64::from_bits(numbers.next())),
        "string" => Value::String(numbers.text()),
        _ => {
            let len = numbers.below(20);
            Value::Bytes(numbers.bytes(len))
        }
    }
}

pub(crate) fn time_value(logical: &str, count: i64) -> Value {
    match logical {
        "date" => Value::Date(count as i32),
        "time-millis" => Value::TimeMillis(count as i32),
        "time-micros" => Value::TimeMicros(count),
        "timestamp-millis" => Value::TimestampMillis(count),
        "timestamp-micros" => Value::TimestampMicros(count),
        "timestamp-nanos" => Value::TimestampNanos(count),
        "local-timestamp-millis" => Value::LocalTimestampMillis(count),
        "local-timestamp-micros" => Value::LocalTimestampMicros(count),
        _ => Value::LocalTimestampNanos(count),
    }
}

pub(crate) fn record_value(fields: &[Kind], numbers: &mut Numbers) -> Value {
    let named = fields.iter().enumerate();
    Value::Record(named.map(|(at, kind)| (format!("f{at}"), value_of(kind, numbers))).collect())
}

/// A record kind, its schema, and one value encoded by apache-avro.
pub(crate) fn written(fields: Vec<Kind>, seed: u64) -> (Kind, String, Value, Vec<u8>) {
    let kind = Kind::Record(fields);
    let text = schema_of(&kind, &mut 0);
    let value = value_of(&kind, &mut Numbers(seed));
    let schema = Schema::parse_str(&text).unwrap();
    // Half of them with blocks that tell their size.
    let block_size = seed.is_multiple_of(2).then_some(8);
    let writer =
        GenericDatumWriter::builder(&schema).maybe_target_block_size(block_size).build().unwrap();
    let body = writer.write_value_to_vec(value.clone()).unwrap();
    (kind, text, value, body)
}
