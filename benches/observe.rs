//! How fast observe takes records, beside decoding them into value trees, and what it allocates.
//!
//! One fixed mix of twenty fields, all watched and counted in a learnt layout: fourteen numbers,
//! four categories, an id and a time. Three producers, two partitions, one window.

#![expect(unsafe_code, reason = "a counting allocator can be written in no other way")]
#![allow(missing_docs, reason = "criterion's macros make public items without docs")]

use std::alloc::{GlobalAlloc, Layout as Memory, System};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use apache_avro::Schema;
use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use driftline::config::plan::{
    DatasetPlan, FieldSelection, Limits, Locator, Plan, TimeBounds, TimeSource,
};
use driftline::event::layout::{Layout, LayoutUpdate};
use driftline::event::route::Outbox;
use driftline::event::time::{EventTime, WindowSize};
use driftline::observe::{
    Observe, RegisteredSchema, SchemaAnswer, SchemaLanguage, SourceRecord, Taken,
};
use driftline::sketch::{FieldLayout, Sample, SampleValue, category_hash};

const RECORDS: usize = 2_000;
const NOW: i64 = 1_700_000_000_000;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: every call is handed to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, memory: Memory) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.alloc(memory) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, memory: Memory) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, memory) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, memory: Memory, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { System.realloc(pointer, memory, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One record's values; a small generator, so that every run measures the same.
struct Row {
    id: String,
    at: i64,
    doubles: [f64; 8],
    longs: [i64; 6],
    texts: [&'static str; 4],
}

fn rows() -> Vec<Row> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let countries = ["DE", "FR", "AT", "CH", "NL", "BE", "LI"];
    let channels = ["web", "shop", "phone"];
    let statuses = ["new", "paid", "sent", "returned"];
    let currencies = ["EUR", "CHF", "USD"];
    (0..RECORDS)
        .map(|i| Row {
            id: format!("order-{:012x}", next() & 0xffff_ffff_ffff),
            at: NOW + i as i64,
            doubles: std::array::from_fn(|_| (next() % 1_000_000) as f64 / 97.0),
            longs: std::array::from_fn(|j| (next() % (10_u64 << (2 * j))).cast_signed()),
            texts: [
                countries[(next() % 7) as usize],
                channels[(next() % 3) as usize],
                statuses[(next() % 4) as usize],
                currencies[(next() % 3) as usize],
            ],
        })
        .collect()
}

fn schema() -> String {
    let mut fields = vec![
        r#"{"name": "id", "type": "string"}"#.to_owned(),
        r#"{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}"#.to_owned(),
    ];
    fields.extend((0..8).map(|i| format!(r#"{{"name": "d{i}", "type": "double"}}"#)));
    fields.extend((0..6).map(|i| format!(r#"{{"name": "l{i}", "type": "long"}}"#)));
    fields.extend((0..4).map(|i| format!(r#"{{"name": "t{i}", "type": "string"}}"#)));
    format!(r#"{{"type": "record", "name": "Order", "fields": [{}]}}"#, fields.join(","))
}

fn avro_bodies(rows: &[Row]) -> Vec<Vec<u8>> {
    let schema = Schema::parse_str(&schema()).expect("valid");
    let writer = GenericDatumWriter::builder(&schema).build().expect("valid");
    let encode = |row: &Row| {
        let mut fields = vec![
            ("id".to_owned(), Value::String(row.id.clone())),
            ("at".to_owned(), Value::TimestampMillis(row.at)),
        ];
        let doubles = row.doubles.iter().enumerate();
        fields.extend(doubles.map(|(i, value)| (format!("d{i}"), Value::Double(*value))));
        let longs = row.longs.iter().enumerate();
        fields.extend(longs.map(|(i, value)| (format!("l{i}"), Value::Long(*value))));
        let texts = row.texts.iter().enumerate();
        fields.extend(texts.map(|(i, text)| (format!("t{i}"), Value::String((*text).to_owned()))));
        writer.write_value_to_vec(Value::Record(fields)).expect("fits")
    };
    rows.iter().map(encode).collect()
}

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

fn plan() -> Plan {
    let dataset = DatasetPlan {
        name: "orders".into(),
        topic: "orders".into(),
        owner: None,
        event_time: TimeSource::At(Locator::Field("at".into())),
        producer: Some(Locator::Header("app".into())),
        schema_version: None,
        window: WindowSize::from_ms(3_600_000).expect("positive"),
        lateness_ms: 60_000,
        fields: FieldSelection::All(BTreeMap::new()),
        quarantine_breaches: false,
        bounds: TimeBounds { past_ms: i64::MAX, future_ms: i64::MAX },
        definition: 1,
    };
    Plan {
        app: "bench".into(),
        datasets: [("orders".to_owned(), dataset)].into(),
        models: BTreeMap::new(),
        act_within_ms: 1,
        hold_max_ms: 1,
        limits: Limits {
            memory_bytes: 1 << 29,
            cells_per_window: 64,
            fields_per_dataset: 256,
            versions_per_dataset: 64,
            text_bytes: 256,
            record_bytes: 1 << 20,
            depth: 32,
            pending_bytes: 8 << 20,
            prefetch_bytes: 8 << 20,
            waiting: 1_000,
        },
    }
}

/// Layouts as assess would learn them from these rows.
fn layout(rows: &[Row]) -> LayoutUpdate {
    let mut samples: BTreeMap<String, Sample> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        let mut add = |path: String, value: SampleValue| {
            samples.entry(path).or_default().add(i as u64, value);
        };
        let category =
            |text: &str| SampleValue::Category { hash: category_hash(text.as_bytes()), text: None };
        add("id".into(), category(&row.id));
        for (j, value) in row.doubles.iter().enumerate() {
            add(format!("d{j}"), SampleValue::Number(*value));
        }
        for (j, value) in row.longs.iter().enumerate() {
            add(format!("l{j}"), SampleValue::Number(*value as f64));
        }
        for (j, text) in row.texts.iter().enumerate() {
            add(format!("t{j}"), category(text));
        }
    }
    let learn = |(path, sample): (String, Sample)| Some((path, FieldLayout::learn(&sample)?));
    LayoutUpdate {
        dataset: "orders".into(),
        definition: 1,
        closed_through: None,
        layout: Some(Layout {
            id: 1,
            effective_from: EventTime(0),
            fields: samples.into_iter().filter_map(learn).collect(),
        }),
    }
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

fn framed(bodies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    bodies.iter().map(|body| [&[0, 0, 0, 0, 1], body.as_slice()].concat()).collect()
}

fn throughput(criterion: &mut Criterion) {
    let rows = rows();
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
    let rows = rows();
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
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..50 {
            reader.read(payloads);
        }
        let steady = ALLOCATIONS.load(Ordering::Relaxed) - before;
        reader.observe.commit(&mut reader.out);
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        reader.read(payloads);
        let first = ALLOCATIONS.load(Ordering::Relaxed) - before;
        let records = 50 * RECORDS;
        println!("{name}: {steady} allocations in {records} records, {first} after a commit");
    }
}

criterion_group!(benches, allocations, throughput);
criterion_main!(benches);
