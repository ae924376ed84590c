//! The Avro plan held against apache-avro: random schemas, values and damage.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod decode_support;

use std::collections::BTreeMap;

use apache_avro::types::Value;
use decode_support::{Kind, kind, schema_of, written};
use driftline::event::path::items;
use driftline::observe::{
    AvroPlan, DecodeError, DecodeLimits, FoundKind, ItemPaths, Items, Slot, parse_schema,
};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMITS: DecodeLimits = DecodeLimits { depth: 64, text_bytes: 1 << 20, paths: 0 };

/// What is expected in a slot; it owns what it says.
type Check = Box<dyn Fn(Slot<'_>) -> bool>;

fn is(expected: Slot<'static>) -> Check {
    Box::new(move |slot| slot == expected)
}

/// Every path below a kind, those of items included, and whether it is a scalar's.
fn paths_of(kind: &Kind, path: &str, out: &mut Vec<(String, bool)>) {
    match kind {
        Kind::Array(inside) | Kind::Map(inside) => {
            out.push((path.to_owned(), false));
            out.push((length_of(kind, path), true));
            paths_of(inside, &items_of(kind, path), out);
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

fn items_of(kind: &Kind, path: &str) -> String {
    format!("{path}{}", if matches!(kind, Kind::Map(_)) { "{}" } else { "[]" })
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
            // Null has no items.
            paths.retain(|(below, _)| items(below) == items(path));
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

/// What apache-avro's value says of each item at each path of items, in order.
fn expect_items(kind: &Kind, value: &Value, path: &str, out: &mut BTreeMap<String, Vec<Check>>) {
    match (kind, value) {
        (Kind::Array(inside) | Kind::Map(inside), value) => {
            let values: Vec<&Value> = match value {
                Value::Array(items) => items.iter().collect(),
                Value::Map(entries) => entries.values().collect(),
                other => panic!("{other:?}"),
            };
            let below = items_of(kind, path);
            for value in values {
                let mut own = Vec::new();
                expect(inside, value, &below, &mut own);
                for (path, checks) in out.iter_mut() {
                    if items(path) == Some(&below) {
                        let found = own.iter().position(|(known, _)| known == path);
                        let check = found.map(|at| own.swap_remove(at).1);
                        checks.push(check.unwrap_or_else(|| is(Slot::Absent)));
                    }
                }
                expect_items(inside, value, &below, out);
            }
        }
        (Kind::Record(fields), Value::Record(values)) => {
            for (field, (name, inside)) in fields.iter().zip(values) {
                expect_items(field, inside, &join(path, name), out);
            }
        }
        (_, Value::Union(_, inside)) if **inside == Value::Null => {}
        (Kind::Nullable(below, _), Value::Union(_, inside)) => {
            expect_items(below, inside, path, out);
        }
        (Kind::Union(one, _), Value::Union(3, inside)) => {
            expect_items(&Kind::Record(one.clone()), inside, path, out);
        }
        (Kind::Union(_, other), Value::Union(4, inside)) => {
            expect_items(&Kind::Record(other.clone()), inside, path, out);
        }
        _ => {}
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
        paths.retain(|(path, _)| items(path).is_none());
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
    fn items_are_those_that_apache_avro_wrote(
        fields in vec(kind(), 0..10),
        seed: u64,
        watched: u64,
        limit in 1_usize..6,
    ) {
        let (kind, schema, value, body) = written(fields, seed);
        let mut paths = Vec::new();
        paths_of(&kind, "", &mut paths);
        let mut paths: Vec<String> = paths.into_iter().map(|(path, _)| path).collect();
        // One that the schema does not have, beside each that it has.
        let lists = paths.iter().filter_map(|path| items(path));
        let missing: Vec<String> = lists.map(|list| format!("{list}.missing")).collect();
        paths.extend(missing);
        paths.sort();
        paths.dedup();
        paths.retain(|path| items(path).is_some());
        let mut at = 0;
        paths.retain(|_| {
            at += 1;
            (watched >> (at % 64)) & 1 == 1
        });
        let mut expected = paths.iter().map(|path| (path.clone(), Vec::new())).collect();
        expect_items(&kind, &value, "", &mut expected);
        let mut watch = ItemPaths::default();
        for (slot, path) in paths.iter().enumerate() {
            prop_assert!(watch.name(path, slot));
        }
        let schema = parse_schema(&schema).unwrap();
        let plan = AvroPlan::compile(&schema, &mut |_| None, &watch).unwrap();
        let mut slots = vec![Slot::Bool(true); paths.len()];
        let mut found = Items::new(limit);
        let result = plan.decode_with_items(&body, &LIMITS, &mut slots, &mut found);

        prop_assert_eq!(result, Ok(()));
        for (slot, path) in paths.iter().enumerate() {
            let own: Vec<_> = found.values().filter(|(at, _)| *at == slot).collect();
            let checks = &expected[path];
            prop_assert_eq!(own.len(), checks.len().min(limit), "{} in {:?}", path, value);
            for ((_, value), check) in own.iter().zip(checks) {
                prop_assert!(check(**value), "{path}: {value:?}");
            }
        }
        let over = |list: &str| {
            let first = paths.iter().find(|path| items(path) == Some(list));
            first.map_or(0, |path| expected[path].len().saturating_sub(limit))
        };
        let mut lists: Vec<&str> = paths.iter().map(|path| items(path).unwrap()).collect();
        lists.sort_unstable();
        lists.dedup();
        let left_out: usize = lists.into_iter().map(over).sum();
        prop_assert_eq!(found.left_out(), left_out as u64);
        prop_assert!(slots.iter().all(|slot| *slot == Slot::Absent));
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
