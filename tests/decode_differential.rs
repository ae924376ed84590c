//! The Avro plan held against apache-avro: random schemas, values and damage.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::fmt::Write as _;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use driftline::observe::{AvroPlan, DecodeError, DecodeLimits, FoundKind, Slot};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMITS: DecodeLimits = DecodeLimits { depth: 64, text_bytes: 1 << 20, paths: 0 };

/// Base type, logical type.
type Clock = (&'static str, &'static str);

const CLOCKS: [Clock; 9] = [
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
enum Kind {
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

fn leaf() -> impl Strategy<Value = Kind> {
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

fn kind() -> impl Strategy<Value = Kind> {
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
fn schema_of(kind: &Kind, count: &mut usize) -> String {
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

fn record_schema(name: &str, fields: &[Kind], count: &mut usize) -> String {
    let mut inside = String::new();
    for (index, kind) in fields.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let schema = schema_of(kind, count);
        write!(inside, r#"{comma}{{"name":"f{index}","type":{schema}}}"#).unwrap();
    }
    format!(r#"{{"type":"record","name":"{name}","fields":[{inside}]}}"#)
}

/// Numbers out of one seed (splitmix64).
struct Numbers(u64);

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

fn value_of(kind: &Kind, numbers: &mut Numbers) -> Value {
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

fn plain_value(name: &str, numbers: &mut Numbers) -> Value {
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

fn time_value(logical: &str, count: i64) -> Value {
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

fn record_value(fields: &[Kind], numbers: &mut Numbers) -> Value {
    let named = fields.iter().enumerate();
    Value::Record(named.map(|(at, kind)| (format!("f{at}"), value_of(kind, numbers))).collect())
}

/// What is expected in a slot; it owns what it says.
type Check = Box<dyn Fn(Slot<'_>) -> bool>;

fn is(expected: Slot<'static>) -> Check {
    Box::new(move |slot| slot == expected)
}

/// Every path below a kind, and whether it is a scalar's.
fn paths_of(kind: &Kind, path: &str, out: &mut Vec<(String, bool)>) {
    match kind {
        Kind::Array(_) | Kind::Map(_) => {
            out.push((path.to_owned(), false));
            out.push((length_of(kind, path), true));
        }
        Kind::Record(fields) => {
            for (index, field) in fields.iter().enumerate() {
                paths_of(field, &join(path, &format!("f{index}")), out);
            }
        }
        Kind::Nullable(inside, _) => paths_of(inside, path, out),
        Kind::Union(one, other) => {
            out.push((path.to_owned(), true));
            paths_of(&Kind::Record(one.clone()), path, out);
            paths_of(&Kind::Record(other.clone()), path, out);
        }
        _ => out.push((path.to_owned(), true)),
    }
}

fn length_of(kind: &Kind, path: &str) -> String {
    format!("{path}{}", if matches!(kind, Kind::Map(_)) { "{#}" } else { "[#]" })
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// What apache-avro's value says at each path.
fn expect(kind: &Kind, value: &Value, path: &str, out: &mut Vec<(String, Check)>) {
    match (kind, value) {
        // Watched where another branch has a scalar at the same path.
        (Kind::Array(_) | Kind::Map(_), value) => {
            out.push((path.to_owned(), is(Slot::Composite)));
            let count = match value {
                Value::Array(items) => items.len(),
                Value::Map(entries) => entries.len(),
                other => panic!("{other:?}"),
            };
            out.push((length_of(kind, path), is(Slot::Integer(count as i64))));
        }
        (Kind::Record(fields), Value::Record(values)) => {
            for (field, (name, inside)) in fields.iter().zip(values) {
                expect(field, inside, &join(path, name), out);
            }
        }
        (Kind::Nullable(..) | Kind::Union(..), Value::Union(_, inside))
            if **inside == Value::Null =>
        {
            let mut paths = Vec::new();
            paths_of(kind, path, &mut paths);
            out.extend(paths.into_iter().map(|(path, _)| (path, is(Slot::Null))));
        }
        (Kind::Nullable(below, _), Value::Union(_, inside)) => expect(below, inside, path, out),
        (Kind::Union(one, _), Value::Union(3, inside)) => {
            expect(&Kind::Record(one.clone()), inside, path, out);
        }
        (Kind::Union(_, other), Value::Union(4, inside)) => {
            expect(&Kind::Record(other.clone()), inside, path, out);
        }
        (_, Value::Union(_, inside)) => out.push((path.to_owned(), scalar(kind, inside))),
        _ => out.push((path.to_owned(), scalar(kind, value))),
    }
}

fn scalar(kind: &Kind, value: &Value) -> Check {
    let same_float = |bits: u64| {
        Box::new(move |slot: Slot<'_>| matches!(slot, Slot::Float(it) if it.to_bits() == bits))
    };
    let same_text =
        |text: String| Box::new(move |slot: Slot<'_>| matches!(slot, Slot::Text(it) if it == text));
    match value {
        Value::Null => is(Slot::Null),
        Value::Boolean(value) => is(Slot::Bool(*value)),
        Value::Int(value) => is(Slot::Integer(i64::from(*value))),
        Value::Long(value) => is(Slot::Integer(*value)),
        Value::Float(value) => same_float(f64::from(*value).to_bits()),
        Value::Double(value) => same_float(value.to_bits()),
        Value::String(text) | Value::Enum(_, text) => same_text(text.clone()),
        Value::Uuid(uuid) => same_text(uuid.to_string()),
        Value::Bytes(bytes) | Value::Fixed(_, bytes) => {
            let bytes = bytes.clone();
            Box::new(move |slot| matches!(slot, Slot::Bytes(it) if it == bytes))
        }
        Value::Date(days) => is(Slot::TimeMs(i64::from(*days) * 86_400_000)),
        Value::TimeMillis(ms) => is(Slot::TimeMs(i64::from(*ms))),
        Value::TimestampMillis(ms) | Value::LocalTimestampMillis(ms) => is(Slot::TimeMs(*ms)),
        Value::TimeMicros(us) | Value::TimestampMicros(us) | Value::LocalTimestampMicros(us) => {
            is(Slot::TimeMs(us.div_euclid(1_000)))
        }
        Value::TimestampNanos(ns) | Value::LocalTimestampNanos(ns) => {
            is(Slot::TimeMs(ns.div_euclid(1_000_000)))
        }
        Value::Decimal(decimal) => {
            let bytes: Vec<u8> = decimal.try_into().unwrap();
            let start = if bytes[0] >= 0x80 { -1 } else { 0_i128 };
            let digits = bytes.iter().fold(start, |sum, byte| (sum << 8) | i128::from(*byte));
            let (Kind::Decimal(scale) | Kind::FixedDecimal(_, scale)) = kind else { panic!() };
            let number: f64 = format!("{digits}e-{scale}").parse().unwrap();
            let within = number.abs() * 1e-15;
            Box::new(move |slot| matches!(slot, Slot::Float(it) if (it - number).abs() <= within))
        }
        other => panic!("no scalar: {other:?}"),
    }
}

/// A record kind, its schema, and one value encoded by apache-avro.
fn written(fields: Vec<Kind>, seed: u64) -> (Kind, String, Value, Vec<u8>) {
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

/// A plan that watches the paths `mask` has a bit for, and their names by slot.
fn plan_of(schema: &str, mask: u64) -> (AvroPlan, Vec<String>) {
    let mut paths = Vec::new();
    let mut met = 0;
    let plan = AvroPlan::parse(schema, &mut |found| {
        assert_ne!(found.kind, FoundKind::Composite);
        met += 1;
        ((mask >> (met % 64)) & 1 == 1).then(|| {
            paths.push(found.schema.path.clone());
            paths.len() - 1
        })
    });
    (plan.unwrap(), paths)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn plan_finds_what_apache_avro_wrote(
        fields in vec(kind(), 0..10),
        seed: u64,
        watched: u64,
    ) {
        let (kind, schema, value, body) = written(fields, seed);
        let mut expected = Vec::new();
        expect(&kind, &value, "", &mut expected);
        let mut paths = Vec::new();
        paths_of(&kind, "", &mut paths);
        let scalars = paths.into_iter().filter_map(|(path, is_scalar)| is_scalar.then_some(path));
        let mut all: Vec<_> = scalars.collect();
        all.sort();
        all.dedup();

        for mask in [u64::MAX, watched, 0] {
            let (plan, paths) = plan_of(&schema, mask);
            let mut slots = vec![Slot::Bool(true); paths.len()];
            prop_assert_eq!(plan.decode(&body, &LIMITS, &mut slots), Ok(()));

            for (path, slot) in paths.iter().zip(&slots) {
                let found = expected.iter().find(|(expected, _)| expected == path);
                let agrees = found.map_or(*slot == Slot::Absent, |(_, check)| check(*slot));
                prop_assert!(agrees, "{path}: {slot:?} in {value:?}");
            }
            if mask == u64::MAX {
                let mut sorted = paths.clone();
                sorted.sort();
                prop_assert_eq!(&sorted, &all);
            }
        }
    }

    #[test]
    fn every_cut_is_truncated_and_no_flip_panics(
        fields in vec(kind(), 1..10),
        seed: u64,
        watched: u64,
        cut: prop::sample::Index,
        flips in vec(any::<(prop::sample::Index, u8)>(), 1..4),
    ) {
        let (_, schema, _, mut body) = written(fields, seed);
        let (plan, paths) = plan_of(&schema, watched);

        if !body.is_empty() {
            let mut slots = vec![Slot::Absent; paths.len()];
            let short = &body[..cut.index(body.len())];
            let result = plan.decode(short, &LIMITS, &mut slots);
            prop_assert_eq!(result, Err(DecodeError::Truncated));

            for (at, bits) in flips {
                let at = at.index(body.len());
                body[at] ^= bits;
            }
        }
        let mut slots = vec![Slot::Absent; paths.len()];
        let _ = plan.decode(&body, &LIMITS, &mut slots);
    }

    #[test]
    fn random_bytes_never_panic(fields in vec(kind(), 1..6), body in vec(any::<u8>(), 0..200)) {
        let schema = schema_of(&Kind::Record(fields), &mut 0);
        let (plan, paths) = plan_of(&schema, u64::MAX);
        let mut slots = vec![Slot::Absent; paths.len()];

        let _ = plan.decode(&body, &LIMITS, &mut slots);
    }
}
