//! Producers, versions, layouts, samples, schemas and limits of datasets.

use driftline::config::plan::{DatasetPlan, FieldPlan, ValuePolicy};
use driftline::event::cell::CellKey;
use driftline::event::layout::LayoutUpdate;
use driftline::event::route::Note;
use driftline::event::time::EventTime;
use driftline::observe::{
    RegisteredSchema, SCHEMA_HEADER, SchemaAnswer, SchemaKey, SchemaLanguage, Taken,
};
use driftline::sketch::{FieldKind, SampleValue};

use super::support::*;

fn record(at: i64, country: &str) -> Input {
    json("orders", &format!(r#"{{"at": {at}, "amount": {at}, "country": "{country}"}}"#))
}

fn keys(told: &Told) -> Vec<(String, String)> {
    let deltas = told.summaries.iter().flat_map(|(_, batch)| &batch.datasets);
    let keys = deltas.flat_map(|delta| &delta.cells).map(|cell| cell.key.clone());
    let mut keys: Vec<_> = keys.map(|key| (key.producer, key.schema_version)).collect();
    keys.sort();
    keys
}

fn key(producer: &str, version: &str) -> (String, String) {
    (producer.to_owned(), version.to_owned())
}

#[test]
fn a_cell_is_a_producer_and_a_schema_version() {
    let dataset = DatasetPlan { schema_version: Some(field("sv")), ..orders() };
    let mut run = Run::new(plan(&[dataset], &[]), 1);
    run.observe.schema(7, order_schema(7));
    run.take(&order(7, 1.0, "DE", 10).with("app", "pos"));
    run.take(&record(10, "DE").with("app", "old").with("app", "pos"));
    run.take(&json("orders", r#"{"at": 10, "sv": 3}"#).with("app", &"x".repeat(257)));

    let expected = [key("pos", "7"), key("pos", "none"), key("unknown", "3")];
    assert_eq!(keys(&run.told()), expected);
}

#[test]
fn a_field_is_counted_in_cells_whose_schema_has_it() {
    let dataset = DatasetPlan { fields: named(&[("named", FieldPlan::default())]), ..orders() };
    let mut run = Run::new(plan(&[dataset], &[]), 1);
    run.observe.schema(7, order_schema(7));
    run.take(&json("orders", r#"{"at": 10, "json_alone": 1}"#));
    run.take(&order(7, 1.0, "DE", 10));

    let told = run.told();
    assert_eq!(told.field("json_alone").counters.rows(), 1);
    assert_eq!(told.field("amount").counters.rows(), 1);
    assert_eq!(told.field("named").counters.absent, 2);
    assert_eq!(told.field("at").kind, FieldKind::Numeric);
}

#[test]
fn a_schema_is_announced_once_and_again_after_a_rewind() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    run.observe.schema(7, order_schema(7));
    let schemas = |told: &Told| -> Vec<_> {
        told.summaries.iter().flat_map(|(_, batch)| batch.schemas.clone()).collect()
    };
    run.take(&order(7, 1.0, "DE", 10).with("app", "pos"));
    assert!(run.observe.urgent());
    run.observe.rewind();
    assert!(!run.observe.urgent());
    run.observe.assign("orders", 0, 1, 0, "");
    run.take(&order(7, 1.0, "DE", 11).with("app", "pos"));
    let told = run.told();
    let seen = &schemas(&told)[0];
    assert_eq!((seen.schema_version.as_str(), seen.offset, seen.event_time.0), ("7", 1, 11));
    assert_eq!((seen.producer.as_str(), seen.number, seen.fields.len()), ("pos", Some(7), 3));

    run.take(&order(7, 1.0, "DE", 12));
    assert!(!run.observe.urgent());
    assert!(schemas(&run.told()).is_empty());
}

#[test]
fn json_under_a_registered_json_schema_has_its_version() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    run.observe.schema(
        9,
        SchemaAnswer::Known(RegisteredSchema {
            id: 9,
            language: SchemaLanguage::Json,
            schema: r#"{"type": "object", "properties": {"at": {"type": "integer"}}}"#.into(),
            subject: None,
            number: None,
            tags: Default::default(),
        }),
    );
    let payload = [&[0, 0, 0, 0, 9], &br#"{"at": 5}"#[..]].concat();
    run.take(&Input { payload: Some(payload), ..json("orders", "") });

    assert_eq!(keys(&run.told()), [key("unknown", "9")]);
}

#[test]
fn how_many_items_there_are_is_a_number_where_configuration_names_it() {
    let at_least_one = FieldPlan { min: Some(1.0), ..FieldPlan::default() };
    let fields = named(&[("items[#]", at_least_one), ("tags{#}", FieldPlan::default())]);
    let dataset = driftline::config::plan::DatasetPlan { fields, ..orders() };
    let mut run = Run::new(plan(&[dataset], &[]), 1);
    let schema = r#"{"type": "record", "name": "R", "fields": [
        {"name": "at", "type": "long"},
        {"name": "items", "type": ["null", {"type": "array", "items": "string"}]},
        {"name": "other", "type": {"type": "array", "items": "int"}}]}"#;
    let answer = RegisteredSchema {
        id: 9,
        language: SchemaLanguage::Avro,
        schema: schema.into(),
        subject: None,
        number: None,
        tags: Default::default(),
    };
    run.observe.schema(9, SchemaAnswer::Known(answer));
    for body in [&[10, 2, 4, 2, b'a', 2, b'b', 0, 0][..], &[10, 2, 0, 0], &[10, 0, 0]] {
        let payload = [&[0, 0, 0, 0, 9], body].concat();
        run.take(&Input { payload: Some(payload), ..json("orders", "") });
    }
    run.take(&json("orders", r#"{"at": 5, "items": [1, 2, 3], "tags": {"x": 1}}"#));

    let told = run.told();
    let items = told.field("items[#]");
    let counters = items.counters;
    assert_eq!((counters.present, counters.null, counters.zero), (3, 1, 1));
    assert_eq!((counters.breach, items.histogram.total()), (1, 2));
    let tags = told.field("tags{#}").counters;
    assert_eq!((tags.present, tags.absent), (1, 3));
    let paths = told.summaries.iter().flat_map(|(_, batch)| &batch.datasets);
    let mut fields = paths.flat_map(|delta| &delta.cells).flat_map(|cell| &cell.fields);
    assert!(fields.all(|(path, _)| path != "other[#]"), "nobody asked for it");
}

#[test]
fn a_guid_in_a_header_names_the_schema_and_cells_have_its_id() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    let guid = 0x0123_4567_89ab_cdef_0123_4567_89ab_cdef_u128;
    let named = |value: &[u8]| {
        let prefixed = order(9, 1.0, "DE", 5);
        let body = prefixed.payload.as_deref().unwrap()[5..].to_vec();
        let mut input = Input { payload: Some(body), ..prefixed };
        input.raw.push((SCHEMA_HEADER, value.to_vec()));
        input
    };
    let by_guid = named(&[&[1][..], &guid.to_be_bytes()].concat());
    assert_eq!(run.give(&by_guid), Taken::NeedSchema(SchemaKey::Guid(guid)));
    run.observe.schema(SchemaKey::Guid(guid), order_schema(9));
    run.take(&by_guid);
    let by_id = named(&[0, 0, 0, 0, 9]);
    assert_eq!(run.give(&by_id), Taken::NeedSchema(SchemaKey::Id(9)));
    run.observe.schema(9, order_schema(9));
    run.take(&by_id);
    run.take(&order(9, 1.0, "DE", 5));
    run.take(&named(b"\x01short"));

    let told = run.told();
    assert_eq!(keys(&told), [key("unknown", "9")]);
    assert_eq!(told.field("amount").counters.present, 3);
    assert_eq!(told.set_aside("driftline.reason"), "bad_schema_header");
}

#[test]
fn versions_of_plain_json_are_announced_up_to_the_limit_in_each_window() {
    let version = Some(header("version"));
    let dataset = driftline::config::plan::DatasetPlan { schema_version: version, ..orders() };
    let mut run = Run::new(plan(&[dataset], &[]), 1);
    run.observe.layout(&layout(9, 0));
    let announced = |run: &mut Run, at: i64, versions: std::ops::Range<u32>| {
        for version in versions {
            let record = json("orders", &format!(r#"{{"at": {at}}}"#));
            run.take(&record.with("version", &version.to_string()));
        }
        let told = run.told();
        let batches = told.summaries.iter();
        batches.map(|(_, batch)| batch.schemas.len()).sum::<usize>()
    };
    let limit = 4;

    assert_eq!(announced(&mut run, 10, 0..2), 2);
    assert_eq!(announced(&mut run, 1_010, 0..2), 0, "they are known");
    assert_eq!(announced(&mut run, 1_020, 0..100), limit - 2);
    assert_eq!(announced(&mut run, 2_010, 100..200), limit, "a later window");
    assert_eq!(announced(&mut run, 2_020, 200..300), 0);
    assert_eq!(announced(&mut run, 1_990, 200..300), 0, "an earlier one");
}

#[test]
fn the_least_recently_met_schema_gives_way() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    for id in 1..=4 {
        run.observe.schema(id, order_schema(id));
        run.take(&order(id, 1.0, "DE", 10));
    }
    run.take(&order(1, 1.0, "DE", 10));
    run.observe.schema(5, order_schema(5));
    run.take(&order(5, 1.0, "DE", 10));

    run.take(&order(1, 1.0, "DE", 10));
    assert_eq!(run.give(&order(2, 1.0, "DE", 10)), Taken::Done, "its schema is still known");
    run.observe.schema(6, order_schema(6));
    run.take(&order(6, 1.0, "DE", 10));
    run.observe.schema(8, order_schema(8));
    assert_eq!(run.told().progress("orders", 0).counts.accepted, 9);
}

#[test]
fn a_window_is_counted_in_one_layout_to_its_end() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    run.take(&record(1_500, "DE"));
    run.take(&record(1_600, "DE"));
    run.commit();
    run.observe.layout(&layout(5, 0));
    run.take(&record(1_700, "DE"));
    run.take(&record(2_500, "DE"));

    let told = run.told();
    let merged = Merged::of([told], 64);
    let windows: Vec<_> = merged.datasets.keys().map(|(_, start, id)| (start.0, *id)).collect();
    assert_eq!(windows, [(1_000, None), (2_000, Some(5))]);
    let (.., fields) = merged.datasets.values().next_back().unwrap().cells.values().next().unwrap();
    assert_eq!(fields["amount"].bins.iter().sum::<u64>(), 1);
    assert_eq!(fields["country"].bins[0], 1);
    assert!(fields["at"].bins.is_empty());
}

#[test]
fn two_layouts_are_told_apart_in_one_commit() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    run.observe.layout(&layout(5, 0));
    run.take(&record(500, "DE"));
    run.observe.layout(&layout(6, 0));
    run.take(&record(600, "DE"));
    run.take(&record(1_500, "DE"));

    let merged = Merged::of([run.told()], 64);
    let windows: Vec<_> = merged.datasets.keys().map(|(_, start, id)| (start.0, *id)).collect();
    assert_eq!(windows, [(0, Some(5)), (1_000, Some(6))]);
}

#[test]
fn a_layout_of_another_definition_is_ignored() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    run.observe.layout(&LayoutUpdate { definition: 1, ..layout(5, 0) });
    run.take(&record(500, "DE"));

    let merged = Merged::of([run.told()], 64);
    assert!(merged.datasets.keys().all(|(.., layout)| layout.is_none()));
}

#[test]
fn without_a_layout_reading_stops_two_windows_ahead() {
    let mut run = Run::new(plan(&[orders()], &[]), 2);
    run.take(&record(10, "DE"));
    run.take(&record(1_500, "DE"));
    assert_eq!(run.give(&record(2_000, "DE")), Taken::Ahead);
    assert_eq!(run.told().progress("orders", 0).to, 2);

    let closed =
        LayoutUpdate { closed_through: Some(EventTime(1_000)), layout: None, ..layout(0, 0) };
    run.observe.layout(&closed);
    run.take(&record(2_000, "DE"));
    run.take(&record(2_500, "DE"));
    assert_eq!(run.give(&record(3_000, "DE")), Taken::Ahead);
    run.take(&record(3_000, "DE").on(1));
    run.observe.layout(&layout(5, 0));
    run.take(&record(3_000, "DE"));
}

#[test]
fn values_are_sampled_until_there_is_a_layout() {
    let fields = named(&[
        ("amount", FieldPlan { values: ValuePolicy::Drop, ..FieldPlan::default() }),
        ("card", FieldPlan { values: ValuePolicy::Hash, ..FieldPlan::default() }),
    ]);
    let mut run = Run::new(plan(&[DatasetPlan { fields, ..orders() }], &[]), 1);
    let record = json("orders", r#"{"at": 1, "amount": 1, "card": "4111", "country": "DE"}"#);
    run.take(&record);
    let samples = Merged::of([run.told()], 64).samples;
    let fields: Vec<&str> = samples.keys().map(String::as_str).collect();
    assert_eq!(fields, ["at", "card", "country"]);
    let text = |path: &str| match samples[path].values().next() {
        Some(SampleValue::Category { text, .. }) => text.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!((text("card"), text("country")), (None, Some("DE".into())));

    run.observe.layout(&layout(5, 0));
    run.take(&record);
    assert!(Merged::of([run.told()], 64).samples.is_empty());
}

#[test]
fn fields_beyond_the_limit_are_counted_as_unwatched() {
    let mut plan = plan(&[orders()], &[]);
    plan.limits.fields_per_dataset = 2;
    let mut run = Run::new(plan, 1);
    run.take(&record(1, "DE"));
    run.commit();

    let expected = Note::Count { name: "field_unwatched", subject: "dataset/orders".into(), n: 1 };
    assert_eq!(run.out.notes, [expected]);
}

#[test]
fn a_long_text_counts_by_its_prefix() {
    let values = ValuePolicy::Keep;
    let fields = named(&[("country", FieldPlan { values, ..FieldPlan::default() })]);
    let mut run = Run::new(plan(&[DatasetPlan { fields, ..orders() }], &[]), 1);
    let text = "x".repeat(256);
    for tail in ["", "a", "bcd"] {
        run.take(&record(1, &format!("{text}{tail}")));
    }

    let merged = Merged::of([run.told()], 64);
    let hashes: std::collections::BTreeSet<u64> = merged.samples["country"]
        .values()
        .map(|value| match value {
            SampleValue::Category { hash, text: None } => *hash,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(hashes.len(), 1);
}

#[test]
fn cells_beyond_the_limit_go_to_the_others() {
    let mut plan = plan(&[orders()], &[]);
    plan.limits.cells_per_window = 2;
    let mut run = Run::new(plan, 1);
    for round in 0..2 {
        for producer in ["a", "b", "c", "d", "e"] {
            run.take(&record(round, "DE").with("app", producer));
        }
    }

    let told = run.told();
    let delta = told.summaries.iter().find_map(|(_, batch)| batch.datasets.first()).unwrap();
    let mut ranks: Vec<u64> = ["a", "b", "c", "d", "e"]
        .map(|producer| CellKey { producer: producer.into(), schema_version: "none".into() })
        .map(|key| key.admission_rank())
        .to_vec();
    ranks.sort_unstable();
    assert_eq!(delta.evicted_from, Some(ranks[2]));
    assert_eq!(delta.cells.len(), 3);
    let others = delta.cells.iter().find(|cell| cell.key == CellKey::other()).unwrap();
    assert_eq!(others.rows, 6);
    assert!(others.fields.iter().all(|(_, summary)| summary.counters.present == 6));
}

#[test]
fn a_large_commit_is_several_messages_and_the_last_has_the_header() {
    let mut plan = plan(&[orders()], &[]);
    plan.limits.cells_per_window = 1_000;
    plan.limits.record_bytes = 1 << 20;
    let mut run = Run::new(plan, 1);
    run.observe.layout(&layout(1, 0));
    let text: Vec<String> = (0..60).map(|i| format!("\"f{i}\": {i}.5")).collect();
    let text = format!("{{\"at\": 5, {}}}", text.join(","));
    for i in 0..1_000 {
        run.take(&json("orders", &text).with("app", &format!("producer {i}")));
    }

    let told = run.told();
    let batches: Vec<_> =
        told.summaries.iter().filter(|(_, batch)| !batch.datasets.is_empty()).collect();
    assert!(batches.len() > 1, "{}", batches.len());
    let headers: Vec<bool> = batches.iter().map(|(_, batch)| batch.header.is_some()).collect();
    assert!(headers.iter().rev().skip(1).all(|header| !header));
    assert!(headers.last().unwrap());
    let cells = batches.iter().flat_map(|(_, batch)| &batch.datasets);
    assert_eq!(cells.flat_map(|delta| &delta.cells).map(|cell| cell.rows).sum::<u64>(), 1_000);
}

#[test]
fn every_partition_downstream_gets_a_header_also_of_nothing() {
    let mut run = Run::new(plan(&[orders()], &[fraud()]), 3);
    run.observe.at_end("orders", 2, true);
    assert!(run.observe.has_news());
    let told = run.told();

    assert_eq!(told.summaries.iter().filter(|(_, batch)| batch.header.is_some()).count(), 8);
    assert_eq!(told.facts.iter().filter(|(_, batch)| batch.header.is_some()).count(), 8);
    let header = told.facts[0].1.header.as_ref().unwrap();
    assert_eq!(header.len(), 9);
    assert!(told.progress("orders", 2).at_end);
    assert!(!run.observe.has_news());
}

#[test]
fn ranges_are_contiguous_and_metadata_brings_the_watermark_back() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    run.observe.layout(&layout(1, 0));
    run.take(&record(5_000, "DE"));
    let first = run.told().progress("orders", 0);
    run.take(&record(4_990, "DE"));
    let second = run.told().progress("orders", 0);
    assert_eq!((first.from, first.to, second.from, second.to), (0, 1, 1, 2));

    let commit = run.commits[0].clone();
    assert_eq!(commit.progress.to, 2);
    run.observe.rewind();
    run.observe.assign("orders", 0, 1, commit.progress.to, &commit.metadata);
    let restored = &run.observe.progress()[0];
    assert_eq!(restored.max_event_time, Some(EventTime(5_000)));
    assert_eq!(restored.newest_append_ms, second.newest_append_ms);
    assert!(second.newest_append_ms.is_some());
    run.take(&record(1, "DE"));
    let progress = run.told().progress("orders", 0);
    assert_eq!((progress.counts.late, progress.from, progress.to), (1, 2, 3));
}

#[test]
fn a_rewind_drops_what_was_not_committed() {
    let mut run = Run::new(plan(&[orders()], &[fraud()]), 1);
    run.take(&record(5, "DE"));
    run.take(&json("scores", r#"{"at": 5, "tx": "a", "p": 0.9}"#));
    run.observe.rewind();
    assert_eq!(run.observe.pending_bytes(), 0);
    run.commit();

    let merged = Merged::of([run.told()], 64);
    assert_eq!(merged, Merged::default());
    assert!(run.commits.is_empty());
}
