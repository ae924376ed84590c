//! How fast observe takes records, beside decoding them into value trees, and what it allocates.
//!
//! One fixed mix of twenty fields, all watched and counted in a learnt layout: fourteen numbers,
//! four categories, an id and a time. Three producers, two partitions, one window.

#![allow(missing_docs, reason = "criterion's macros make public items without docs")]

mod allocator;
mod mix;

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use driftline::event::layout::LayoutUpdate;
use driftline::event::route::Outbox;
use driftline::observe::{
    Observe, RegisteredSchema, SchemaAnswer, SchemaLanguage, SourceRecord, Taken,
};

use mix::{NOW, Row, avro_bodies, framed, layout, plan, schema};

const RECORDS: usize = 2_000;

fn json_bodies(rows: &[Row]) -> Vec<Vec<u8>> {
    let encode = |row: &Row| {
        let mut text = format!(r#"{{"id":"{}","at":{}"#, row.id, row.at);
        for (i, value) in row.doubles.iter().enumerate() {
            write!(text, r#","d{i}":{value}"#).expect("a String grows");
        }
        for (i, value) in row.longs.iter().enumerate() {
            write!(text, r#","l{i}":{value}"#).expect("a String grows");
        }
        for (i, value) in row.texts.iter().enumerate() {
            write!(text, r#","t{i}":"{value}""#).expect("a String grows");
        }
        text.push('}');
        text.into_bytes()
    };
    rows.iter().map(encode).collect()
}

/// An instance and where it stands.
struct Reader {
    observe: Observe,
    out: Outbox,
    offset: i64,
}

impl Reader {
    fn new(layout: Option<&LayoutUpdate>) -> Reader {
        let mut observe = Observe::new(Arc::new(plan()));
        for partition in 0..2 {
            observe.assign("orders", partition, 2, 0, "");
        }
        observe.schema(
            1,
            SchemaAnswer::Known(RegisteredSchema {
                id: 1,
                language: SchemaLanguage::Avro,
                schema: schema(),
                subject: None,
                number: None,
                tags: Default::default(),
            }),
        );
        if let Some(layout) = layout {
            observe.layout(layout);
        }
        Reader { observe, out: Outbox::default(), offset: 0 }
    }

    fn read(&mut self, payloads: &[Vec<u8>]) {
        let producers: [&[u8]; 3] = [b"pos-1", b"pos-2", b"web"];
        for (i, payload) in payloads.iter().enumerate() {
            let record = SourceRecord {
                topic: "orders",
                partition: i32::from(i % 500 >= 250),
                offset: self.offset,
                timestamp_ms: NOW,
                key: None,
                payload: Some(payload),
                headers: &[("app", producers[i / 16 % 3])],
            };
            self.offset += 1;
            let taken = self.observe.record(&record, &mut self.out);
            assert_eq!(black_box(taken), Taken::Done);
        }
    }
}

fn throughput(criterion: &mut Criterion) {
    let rows = mix::rows(RECORDS);
    let bodies = avro_bodies(&rows);
    let (avro, json) = (framed(&bodies), json_bodies(&rows));
    let layout = layout(&rows);
    let mut group = criterion.benchmark_group("observe");
    group.throughput(Throughput::Elements(RECORDS as u64));
    for (name, payloads, layout) in [
        ("avro, 20 fields", &avro, Some(&layout)),
        ("avro, 20 fields, learning", &avro, None),
        ("json, 20 fields", &json, Some(&layout)),
    ] {
        let mut reader = Reader::new(layout);
        reader.read(payloads);
        reader.observe.commit(&mut reader.out);
        group.bench_function(name, |bencher| bencher.iter(|| reader.read(payloads)));
        assert!(reader.observe.pending_bytes() > 0);
    }
    let schema = Schema::parse_str(&schema()).expect("valid");
    let decoder = GenericDatumReader::builder(&schema).build().expect("valid");
    group.bench_function("avro values alone, apache-avro", |bencher| {
        bencher.iter(|| {
            for body in &bodies {
                let value = decoder.read_value(&mut body.as_slice());
                black_box(value.expect("fits"));
            }
        });
    });
    let mut reader = Reader::new(Some(&layout));
    group.bench_function("avro, with a commit every 2000 records", |bencher| {
        bencher.iter(|| {
            reader.read(&avro);
            reader.observe.commit(&mut reader.out);
            reader.out.clear();
        });
    });
    group.finish();
}

#[expect(clippy::print_stdout, reason = "a bench reports to its terminal")]
/// Not timed: prints allocations by record once warm, commits between included.
fn allocations(_: &mut Criterion) {
    let rows = mix::rows(RECORDS);
    let (avro, json) = (framed(&avro_bodies(&rows)), json_bodies(&rows));
    let layout = layout(&rows);
    for (name, payloads) in [("avro", &avro), ("json", &json)] {
        let mut reader = Reader::new(Some(&layout));
        for _ in 0..2 {
            reader.read(payloads);
            reader.observe.commit(&mut reader.out);
            reader.out.clear();
        }
        reader.read(payloads);
        let before = allocator::calls();
        for _ in 0..50 {
            reader.read(payloads);
        }
        let steady = allocator::calls() - before;
        reader.observe.commit(&mut reader.out);
        let before = allocator::calls();
        reader.read(payloads);
        let first = allocator::calls() - before;
        let records = 50 * RECORDS;
        println!("{name}: {steady} allocations in {records} records, {first} after a commit");
    }
}

criterion_group!(benches, allocations, throughput);
criterion_main!(benches);
