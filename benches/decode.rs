//! Decoding a record of 20 fields (14 numbers, 4 categories, an id, a time), all watched, against
//! the libraries that build a value tree.

#![allow(missing_docs, reason = "criterion's macros make public items")]
#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails")]

use std::hint::black_box;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use driftline::observe::{AvroPlan, DecodeLimits, ItemPaths, JsonPlan, Slot, recycle};

const LIMITS: DecodeLimits = DecodeLimits { depth: 32, text_bytes: 256, paths: 1_000 };

const RECORDS: usize = 64;

/// Eight doubles, three of them nullable; three longs, three ints; a nested record.
const SCHEMA: &str = r#"{"type": "record", "name": "Order", "fields": [
    {"name": "id", "type": "string"},
    {"name": "created_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "amount", "type": "double"},
    {"name": "fee", "type": "double"},
    {"name": "tax", "type": "double"},
    {"name": "rate", "type": "double"},
    {"name": "balance", "type": "double"},
    {"name": "discount", "type": ["null", "double"]},
    {"name": "tip", "type": ["null", "double"]},
    {"name": "distance", "type": ["null", "double"]},
    {"name": "account_age", "type": "long"},
    {"name": "merchant", "type": "long"},
    {"name": "terminal", "type": "long"},
    {"name": "items", "type": "int"},
    {"name": "attempts", "type": "int"},
    {"name": "hour", "type": "int"},
    {"name": "country", "type": "string"},
    {"name": "currency", "type": "string"},
    {"name": "channel", "type": {"type": "enum", "name": "Channel", "symbols": ["web", "pos"]}},
    {"name": "card", "type": {"type": "record", "name": "Card", "fields": [
        {"name": "network", "type": "string"}]}}]}"#;

fn value(index: usize) -> Value {
    let number = |places: f64| Value::Double((index * 7_919 % 100_003) as f64 / places);
    let optional = |is_null: bool, value: Value| match is_null {
        true => Value::Union(0, Box::new(Value::Null)),
        false => Value::Union(1, Box::new(value)),
    };
    let text = |text: &str| Value::String(text.to_owned());
    let country = ["DE", "FR", "US", "JP"][index % 4];
    let fields = [
        ("id", Value::String(format!("tx-{index:012}"))),
        ("created_at", Value::TimestampMillis(1_760_000_000_000 + index as i64 * 250)),
        ("amount", number(100.0)),
        ("fee", number(1_000.0)),
        ("tax", number(300.0)),
        ("rate", number(1e5)),
        ("balance", number(7.0)),
        ("discount", optional(index.is_multiple_of(3), number(11.0))),
        ("tip", optional(index.is_multiple_of(2), number(13.0))),
        ("distance", optional(index.is_multiple_of(5), number(17.0))),
        ("account_age", Value::Long(index as i64 * 311)),
        ("merchant", Value::Long(1_000_000 + index as i64)),
        ("terminal", Value::Long(index as i64 % 50)),
        ("items", Value::Int(index as i32 % 9)),
        ("attempts", Value::Int(index as i32 % 3)),
        ("hour", Value::Int(index as i32 % 24)),
        ("country", text(country)),
        ("currency", text("EUR")),
        ("channel", Value::Enum(index as u32 % 2, ["web", "pos"][index % 2].to_owned())),
        ("card", Value::Record(vec![("network".to_owned(), text("visa"))])),
    ];
    Value::Record(fields.map(|(name, value)| (name.to_owned(), value)).to_vec())
}

fn avro(criterion: &mut Criterion) {
    let schema = Schema::parse_str(SCHEMA).unwrap();
    let writer = GenericDatumWriter::builder(&schema).build().unwrap();
    let bodies: Vec<_> =
        (0..RECORDS).map(|index| writer.write_value_to_vec(value(index)).unwrap()).collect();
    let plan_of = |watched: usize| {
        let mut next = 0;
        AvroPlan::compile(
            &schema,
            &mut |_| {
                next += 1;
                (next <= watched).then_some(next - 1)
            },
            &ItemPaths::default(),
        )
        .unwrap()
    };
    let mut group = criterion.benchmark_group("avro");
    group.throughput(Throughput::Elements(RECORDS as u64));

    for watched in [20, 3] {
        let plan = plan_of(watched);
        group.bench_function(format!("plan, {watched} of 20 fields watched"), |bencher| {
            let mut slots = [Slot::Absent; 20];
            bencher.iter(|| {
                for body in &bodies {
                    plan.decode(black_box(body), &LIMITS, &mut slots[..watched]).unwrap();
                    black_box(&slots);
                }
            });
        });
    }
    let reader = GenericDatumReader::builder(&schema).build().unwrap();
    group.bench_function("apache-avro value, reader kept", |bencher| {
        bencher.iter(|| {
            for body in &bodies {
                black_box(reader.read_value(&mut black_box(&body[..])).unwrap());
            }
        });
    });
    group.finish();
}

fn json(criterion: &mut Criterion) {
    let bodies: Vec<_> = (0..RECORDS)
        .map(|index| {
            let value: serde_json::Value = value(index).try_into().unwrap();
            serde_json::to_vec(&value).unwrap()
        })
        .collect();
    let mut group = criterion.benchmark_group("json");
    group.throughput(Throughput::Elements(RECORDS as u64));

    for watched in [20, 3] {
        group.bench_function(format!("plan, {watched} of 20 fields watched"), |bencher| {
            let mut plan = JsonPlan::new();
            let mut kept: Vec<Slot<'static>> = Vec::new();
            let mut next = 0;
            bencher.iter(|| {
                for body in &bodies {
                    let mut slots = recycle(std::mem::take(&mut kept));
                    slots.resize(next.min(watched), Slot::Absent);
                    let mut want = |_: &str, _: &Slot<'_>| {
                        next += 1;
                        (next <= watched).then_some(next - 1)
                    };
                    plan.decode(black_box(body), &LIMITS, &mut want, &mut slots).unwrap();
                    black_box(&slots);
                    kept = recycle(slots);
                }
            });
        });
    }
    group.bench_function("serde_json value", |bencher| {
        bencher.iter(|| {
            for body in &bodies {
                black_box(serde_json::from_slice::<serde_json::Value>(black_box(body)).unwrap());
            }
        });
    });
    group.finish();
}

criterion_group!(benches, avro, json);
criterion_main!(benches);
