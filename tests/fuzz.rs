//! Everything that parses what others wrote, on inputs nobody meant: none panics, none allocates
//! out of proportion.
//!
//! A bounded run with a printed seed each time, which `DRIFTLINE_TEST_SEED` repeats.
//! `DRIFTLINE_FUZZ_SECONDS=600 cargo test --release --test fuzz -- --nocapture` runs each target
//! for that long. The corpus is in `tests/data/fuzz`; what is found is made smaller and joins it.
//! HTTP requests are read by hyper, and not fuzzed here.
#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../benches/allocator/mod.rs"]
mod allocator;
mod fuzz_support;
mod support {
    #![allow(dead_code, unreachable_pub, reason = "one module of those that tests share")]
    #[path = "../support/random.rs"]
    pub mod random;
}

use std::io::Write;
use std::sync::Arc;

use apache_avro::Schema;
use driftline::assess::Assess;
use driftline::config::Config;
use driftline::config::plan::Plan;
use driftline::decide::Decide;
use driftline::event::fact::FactBatch;
use driftline::event::finding::FindingBatch;
use driftline::event::layout::LayoutUpdate;
use driftline::event::route::{Outbox, Route};
use driftline::event::summary::SummaryBatch;
use driftline::event::wire::{self, Wire};
use driftline::join::Join;
use driftline::observe::{
    AvroPlan, DecodeLimits, FoundField, Framed, ItemPaths, Items, JsonPlan, Observe, Slot,
    SourceRecord, Taken, parse_schema,
};
use driftline::publish::{EventKind, decode};
use driftline::replay::{FileSource, FileSpec, Format};
use driftline::stage::{Incoming, Stage};
use fuzz_support::items::{ITEMS, items_met, named_items};
use fuzz_support::{Said, fuzz};

const LIMITS: DecodeLimits = DecodeLimits { depth: 32, text_bytes: 256, paths: 256 };
/// Between the parts of an input.
const CUT: u8 = 0x1e;

fn parts(input: &[u8]) -> (&[u8], &[u8]) {
    match input.iter().position(|byte| *byte == CUT) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &[]),
    }
}

fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    [first, &[CUT], second].concat()
}

/// The kind of an error: its name, without what it is about.
fn kind(error: &impl std::fmt::Debug) -> Said {
    let name = format!("{error:?}");
    name.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default().to_owned()
}

#[test]
fn avro_schemas_and_bodies() {
    let words = [
        r#"{"type":"record","name":"R","fields":[{"name":"a","type":"#,
        r#"{"type":"array","items":"#,
        r#"{"type":"map","values":"#,
        r#"{"type":"fixed","name":"F","size":16}"#,
        r#"{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}"#,
        r#"{"type":"enum","name":"E","symbols":["A","B"]}"#,
        r#""logicalType":"timestamp-micros""#,
        r#"["null","R"]"#,
        r#""long""#,
        r#""default":"#,
    ];
    let nested = r#"{"type":"record","name":"R","fields":[{"name":"a","type":{"type":"array",
        "items":["long",{"type":"record","name":"I","fields":[
            {"name":"a","type":{"type":"array","items":"string"}}]}]}}]}"#;
    let seeds = vec![joined(nested.as_bytes(), &[4, 0, 8, 2, 2, 2, b'x', 0, 0])];
    fuzz("avro", seeds, &words, |input| {
        let (schema, body) = parts(input);
        let Ok(schema) = std::str::from_utf8(schema) else { return "no text".to_owned() };
        let mut paths = ItemPaths::default();
        named_items(|path, slot| paths.name(path, slot));
        let mut slots = ITEMS.len();
        let mut want = |_: &FoundField| {
            slots += 1;
            Some(slots - 1)
        };
        let plan =
            parse_schema(schema).and_then(|schema| AvroPlan::compile(&schema, &mut want, &paths));
        match plan {
            Err(error) => error.reason().to_owned(),
            Ok(plan) => {
                let mut found = vec![Slot::Absent; slots];
                let mut items = Items::new(4);
                let read = plan.decode_with_items(body, &LIMITS, &mut found, &mut items);
                let met = items_met(&items);
                match read {
                    Ok(()) => format!("read {} {met}", slots.min(12)),
                    Err(error) => format!("{} {} {met}", error.reason(), slots.min(12)),
                }
            }
        }
    });
}

#[test]
fn framing() {
    let guid = [&[1][..], &[7; 16]].concat();
    let seeds = vec![
        joined(b"", b"\0\0\0\0\x07body"),
        joined(b"", b" {}"),
        joined(&guid, b"body"),
        joined(b"\0\0\0\0\x07", b"body"),
    ];
    fuzz("framing", seeds, &[], |input| {
        let (header, value) = parts(input);
        match Framed::of(value, (!header.is_empty()).then_some(header)) {
            Ok(Framed::Json(body)) => {
                assert_eq!(body, value);
                "json".to_owned()
            }
            Ok(Framed::Registered { schema, body }) => {
                assert!(value.ends_with(body));
                kind(&schema)
            }
            Err(error) => error.reason().to_owned(),
        }
    });
}

#[test]
fn json_records() {
    let seeds: Vec<Vec<u8>> = [
        r#"{"a": 1, "b": {"c": "x\u00e9\n", "d": [1, {"e": null}]}, "f": -1.5e-3, "g": true}"#,
        r#"{"a": {"a": {"a": {}}}, "a": 1, "a": "\ud83d\ude00"}"#,
        r#"{"a": [1, {"a": ["\n"]}, null], "b": {"d": [2]}, "a": {"x": 3}}"#,
        r#"{"n": 1e400, "m": 123456789012345678901234567890, "k": -0}"#,
    ]
    .iter()
    .map(|text| text.as_bytes().to_vec())
    .collect();
    let words = ["{\"a\":", "[", "]", "}", "null", "true", "1e999", "\\u12", "\"\\ud83d\"", ","];
    fuzz("json", seeds, &words, |input| {
        let mut plan = JsonPlan::new();
        named_items(|path, slot| plan.name(path, slot));
        let mut said = String::new();
        // Twice: the second time its paths are known. A plan must not depend on a record that
        // could not be read.
        for _ in 0..2 {
            let mut next = ITEMS.len();
            let mut slots = vec![Slot::Absent; 8];
            let mut items = Items::new(4);
            let mut want = |_: &str, _: &Slot<'_>| {
                next += 1;
                Some(next - 1)
            };
            let out = (&mut slots, &mut items);
            let read = plan.decode_with_items(input, &LIMITS, &mut want, out);
            let met = items_met(&items);
            said = match read {
                Ok(()) => format!("read {} {met}", plan.paths().min(8)),
                Err(error) => error.reason().to_owned(),
            };
            let ours = said.starts_with("read");
            if ours {
                assert!(
                    serde_json::from_slice::<serde_json::Value>(input).is_ok() || has_large(input)
                );
            }
        }
        said
    });
}

/// What serde_json refuses and we read: numbers out of range, and half a surrogate pair.
fn has_large(input: &[u8]) -> bool {
    let has = |part: &[u8]| input.windows(part.len()).any(|window| window == part);
    has(b"e") || has(b"E") || has(b"\\u") || input.len() > 300
}

fn golden(name: &str) -> Vec<u8> {
    let path = format!("{}/tests/data/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(path).unwrap();
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    let pairs = digits.chunks_exact(2);
    pairs.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn message<M: Wire + std::fmt::Debug>(input: &[u8]) -> Said {
    match wire::decode::<M>(input) {
        Ok(_) => {
            let longer = [input, &[0]].concat();
            assert!(wire::decode::<M>(&longer).is_err(), "bytes follow the message");
            "read".to_owned()
        }
        Err(error) => kind(&error),
    }
}

#[test]
fn internal_messages() {
    let names = ["facts.v1.hex", "findings.v1.hex", "layout.v1.hex", "summaries.v1.hex"];
    let mut seeds: Vec<Vec<u8>> = names.into_iter().map(golden).collect();
    seeds.push(golden("summaries_header.v1.hex"));
    fuzz("wire", seeds, &[], |input| {
        let said = [
            message::<FactBatch>(input),
            message::<SummaryBatch>(input),
            message::<FindingBatch>(input),
            message::<LayoutUpdate>(input),
        ];
        said.join(" ")
    });
}

const CONFIG: &str = "app: fuzz\nkafka: { bootstrap_servers: \"127.0.0.1:1\" }\ndatasets:\n  \
    orders:\n    topic: orders\n    event_time: { field: at }\n    window: { size: 1m }\nmodels:\n  \
    fraud:\n    predictions: { topic: scores, id: tx, score: p, decision: { score_above: 0.8 }, time: at }\n    \
    inputs: { orders: [] }\n";

fn plan() -> Arc<Plan> {
    let (plan, _) = Config::parse(CONFIG, "fuzz.yaml").unwrap().plan().unwrap();
    Arc::new(plan)
}

/// What assess and decide keep after some windows: key and value, joined.
fn states() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let plan = plan();
    let mut observe = Observe::new(Arc::clone(&plan));
    let mut out = Outbox::default();
    for topic in observe.topics() {
        observe.assign(&topic, 0, 1, 0, "");
    }
    for offset in 0..400_i64 {
        let at = 1_700_000_000_000 + offset * 1_000;
        let value = format!(r#"{{"at": {at}, "amount": {offset}, "country": "DE"}}"#);
        let record = SourceRecord {
            topic: "orders",
            partition: 0,
            offset,
            timestamp_ms: at,
            key: None,
            payload: Some(value.as_bytes()),
            headers: &[],
        };
        if observe.record(&record, &mut out) != Taken::Done {
            break;
        }
    }
    observe.commit(&mut out);
    let messages = std::mem::take(&mut out.messages);
    let (mut assessed, mut decided) = (Vec::new(), Vec::new());
    let mut decide = Decide::new(Arc::clone(&plan));
    let entries = |state: Vec<(Vec<u8>, Option<Vec<u8>>)>| {
        state.into_iter().filter_map(|(key, value)| Some(joined(&key, &value?))).collect::<Vec<_>>()
    };
    for partition in 0..8 {
        let mut assess = Assess::new(Arc::clone(&plan), partition);
        let own = messages.iter().filter(|message| message.route == Route::Summaries(partition));
        for (offset, message) in (0..).zip(own) {
            let payload = &message.payload;
            assess.step(Incoming { offset, timestamp_ms: 1_700_000_500_000, payload }, &mut out);
            assess.commit(offset + 1, &mut out);
        }
        assessed.extend(entries(assess.checkpoint()));
    }
    for (offset, message) in (0..).zip(std::mem::take(&mut out.messages)) {
        let payload = &message.payload;
        decide.step(Incoming { offset, timestamp_ms: 1_700_000_500_000, payload }, &mut out);
    }
    decided.extend(entries(decide.checkpoint()));
    (assessed, decided)
}

#[test]
fn checkpoints() {
    let plan = plan();
    let (assessed, decided) = states();
    assert!(assessed.len() > 3, "{}", assessed.len());
    let both = [assessed, decided].concat();
    fuzz("checkpoints", both, &[], |input| {
        let (key, value) = parts(input);
        let restore = |restored: Result<(), String>| match restored {
            Ok(()) => "taken".to_owned(),
            Err(why) => why.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
        };
        let mut decide = Decide::new(Arc::clone(&plan));
        let decided = restore(decide.restore(key, value));
        let mut assess = Assess::new(Arc::clone(&plan), 0);
        let assessed = restore(assess.restore(key, value));
        // What was taken back can be laid out again.
        decide.checkpoint();
        assess.checkpoint();
        format!("{assessed}, {decided}")
    });
}

#[test]
fn offset_metadata() {
    let plan = plan();
    let seeds = ["1700000000000 1700000000005", " ", "5", "12 34", "-1 -9223372036854775808"];
    let seeds = seeds.iter().map(|text| text.as_bytes().to_vec()).collect();
    let words = ["9223372036854775807", "-", " ", ",", ";", ":", "/"];
    fuzz("metadata", seeds, &words, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
        let mut observe = Observe::new(Arc::clone(&plan));
        observe.assign("orders", 0, 1, 7, text);
        let came = observe.progress()[0].max_event_time.is_some();
        let from = Join::replay_from(text, 1_000);
        assert!(from <= 1_000, "replay never starts behind what is committed");
        let mut join = Join::new(Arc::clone(&plan), 0);
        join.replayed(text);
        let again = join.commit(1_000, &mut Outbox::default());
        assert!(again.len() <= 4_096);
        format!("{came} {}", from == 1_000)
    });
}

#[test]
fn configuration() {
    let demo = include_bytes!("../src/demo/demo.yaml").to_vec();
    let words = [
        "&a",
        "*a",
        "<<: *a",
        "- ",
        "? ",
        "!!binary ",
        "|-\n",
        "${X}",
        "1h",
        "64MiB",
        "{ field: at }",
        "limits: { memory: 64MiB }",
        "null",
        "~",
        "0x7f",
        "1e999",
        "-1",
        "keep",
        "\n  ",
    ];
    fuzz("configuration", vec![demo, CONFIG.as_bytes().to_vec()], &words, |input| {
        let Ok(text) = std::str::from_utf8(input) else { return "no text".to_owned() };
        match Config::parse(text, "fuzz.yaml").and_then(|config| config.plan()) {
            Ok(_) => "planned".to_owned(),
            Err(error) => {
                // People see the report.
                let report = format!("{:?}", error.report());
                let known = report.lines().next().unwrap_or_default();
                known.chars().filter(|c| c.is_alphabetic()).take(24).collect()
            }
        }
    });
}

/// Any body that a schema allows: lists have up to two items, unions take any branch.
fn body_of(schema: &Schema, random: &mut support::random::Random, out: &mut Vec<u8>, depth: u32) {
    match schema {
        Schema::Boolean => out.push(u8::from(random.one_in(2))),
        Schema::Double => out.extend(random.unit().to_le_bytes()),
        Schema::Float => out.extend((random.unit() as f32).to_le_bytes()),
        Schema::String => out.extend([4, b'x', b'y']),
        Schema::Array(array) if depth < 6 => {
            for _ in 0..random.bits() % 3 {
                out.push(2);
                body_of(&array.items, random, out, depth + 1);
            }
            out.push(0);
        }
        Schema::Union(union) => {
            let branch = random.bits() as usize % union.variants().len();
            out.push(2 * branch as u8);
            body_of(&union.variants()[branch], random, out, depth + 1);
        }
        Schema::Record(record) => {
            record.fields.iter().for_each(|field| body_of(&field.schema, random, out, depth + 1));
        }
        _ => out.push(random.bits() as u8 & 0x7e),
    }
}

#[test]
fn public_events() {
    apache_avro::util::max_allocation_bytes(16 << 20);
    let schemas: Vec<Schema> = EventKind::ALL.iter().map(|kind| kind.schema()).collect();
    let mut random = support::random::Random::new(1);
    let mut seeds = vec![joined(b"application/json", br#"{"subject": "dataset/orders"}"#)];
    for (id, schema) in (0u8..).zip(&schemas) {
        for _ in 0..8 {
            let mut body = vec![0, 0, 0, 0, id];
            body_of(schema, &mut random, &mut body, 0);
            seeds.push(joined(b"application/avro", &body));
        }
    }
    fuzz("events", seeds, &["application/avro", "; charset=x", "null"], |input| {
        let (content_type, payload) = parts(input);
        let header = |name: &str, value: &[u8]| (name.to_owned(), value.to_vec());
        let headers = [
            header("ce_id", b"1"),
            header("ce_type", b"io.driftline.alarm.opened.v1"),
            header("ce_source", content_type),
            header("content-type", content_type),
        ];
        let resolve = |id: u32| schemas.get(id as usize).cloned().ok_or_else(|| "none".to_owned());
        match decode(&headers, Some(payload), resolve) {
            Ok(event) => {
                // People see it too.
                let told = driftline::publish::human(&event);
                format!("read {}", told.len().min(8))
            }
            Err(error) => kind(&error),
        }
    });
}

fn files(name: &str, format: Option<Format>, seeds: Vec<Vec<u8>>, words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("records");
    let time = Some("at".to_owned());
    let spec = FileSpec { topic: "orders".into(), path: path.clone(), format, time };
    fuzz(name, seeds, words, |input| {
        std::fs::File::create(&path).and_then(|mut file| file.write_all(input)).unwrap();
        let mut said = String::new();
        match FileSource::open(&spec) {
            Err(error) => said = kind(&error),
            Ok(source) => {
                let (mut read, mut failed) = (0, 0);
                for record in source.take(200) {
                    match record {
                        Ok(_) => read += 1,
                        Err(error) => {
                            failed += 1;
                            said = kind(&error);
                        }
                    }
                }
                said = format!("{said} {} {}", read.min(4), failed.min(2));
            }
        }
        said
    });
}

#[test]
fn replay_files_of_csv() {
    let seeds = vec![
        b"at,amount,note\n1700000000000,1.5,\"a, \"\"b\"\"\"\n2024-01-01,x,\n".to_vec(),
        b"\xef\xbb\xbfat;b\r\n1;2\r\n".to_vec(),
    ];
    files("csv", Some(Format::Csv), seeds, &["\"", "\r\n", ",", "at", "2024-01-01T00:00:00Z"]);
}

#[test]
fn replay_files_of_json() {
    let seeds = vec![b"{\"at\": 1700000000000, \"a\": {\"b\": 1}}\n\n{\"at\": \"x\"}\n".to_vec()];
    files("json-lines", Some(Format::Json), seeds, &["{", "}\n", "\"at\":", "[", "\u{1f}\u{8b}"]);
}

#[test]
fn replay_files_of_any_kind() {
    let schema = r#"{"type":"record","name":"R","fields":[{"name":"at","type":"long"}]}"#;
    let schema = Schema::parse_str(schema).unwrap();
    let mut writer = apache_avro::Writer::new(&schema, Vec::new()).unwrap();
    for at in 0..3_i64 {
        let mut record = apache_avro::types::Record::new(writer.schema()).unwrap();
        record.put("at", 1_700_000_000_000 + at);
        writer.append_value(record).unwrap();
    }
    let plain = writer.into_inner().unwrap();
    let packed = zstd::encode_all(&b"{\"at\": 1}\n{\"at\": 2}\n"[..], 3).unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"at\n1\n2\n").unwrap();
    files(
        "containers",
        None,
        vec![plain, packed, gzip.finish().unwrap()],
        &["Obj\u{1}", "avro.codec"],
    );
}
