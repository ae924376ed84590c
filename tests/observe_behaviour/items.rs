//! Items of arrays and maps: each counts, under a path that configuration names.

use std::collections::BTreeMap;

use driftline::config::plan::{DatasetPlan, FieldPlan, Plan, ValuePolicy};
use driftline::event::route::Note;
use driftline::observe::{RegisteredSchema, SchemaAnswer, SchemaLanguage};
use driftline::sketch::FieldCounters;
use proptest::prelude::*;

use super::support::*;

fn watching(fields: &[(&str, FieldPlan)]) -> Plan {
    plan(&[DatasetPlan { fields: named(fields), ..orders() }], &[])
}

fn plain(paths: &[&'static str]) -> Plan {
    let fields: Vec<_> = paths.iter().map(|path| (*path, FieldPlan::default())).collect();
    watching(&fields)
}

/// Orders have lines, a line a price that may be null and, with `extra`, another field of it.
fn lines_schema(id: u32, extra: &str) -> SchemaAnswer {
    let line = format!(
        r#"{{"type": "record", "name": "Line", "fields": [
            {{"name": "price", "type": ["null", "double"]}}{extra}]}}"#
    );
    let schema = format!(
        r#"{{"type": "record", "name": "Order", "fields": [{{"name": "at", "type": "long"}},
            {{"name": "lines", "type": {{"type": "array", "items": {line}}}}}]}}"#
    );
    SchemaAnswer::Known(RegisteredSchema {
        id,
        language: SchemaLanguage::Avro,
        schema,
        subject: None,
        number: None,
        tags: BTreeMap::new(),
    })
}

fn avro(id: u32, prices: &[Option<f64>]) -> Input {
    let mut payload = vec![0];
    payload.extend(id.to_be_bytes());
    payload.push(10);
    if !prices.is_empty() {
        payload.push(2 * prices.len() as u8);
    }
    for price in prices {
        payload.push(if price.is_some() { 2 } else { 0 });
        payload.extend(price.iter().flat_map(|price| price.to_le_bytes()));
    }
    payload.push(0);
    Input { payload: Some(payload), ..json("orders", "") }
}

/// Present, null, absent and mismatch.
fn shares(counters: &FieldCounters) -> [u64; 4] {
    [counters.present, counters.null, counters.absent, counters.mismatch]
}

#[test]
fn each_item_counts_and_a_record_without_items_does_not() {
    let path = "lines[].price";
    let mut run = Run::new(plain(&[path]), 1);
    run.observe.schema(7, lines_schema(7, ""));
    run.take(&avro(7, &[Some(2.0), None, Some(-3.5)]));
    run.take(&avro(7, &[]));
    run.take(&json("orders", r#"{"at": 5, "lines": [{"price": 4}, {"price": "x"}, {"n": 1}, 7]}"#));
    run.take(&json("orders", r#"{"at": 5, "lines": null}"#));
    run.take(&json("orders", r#"{"at": 5}"#));
    let told = run.told();

    let field = told.field(path);
    assert_eq!(shares(&field.counters), [3, 1, 2, 1]);
    assert_eq!((field.counters.negative, field.histogram.total()), (1, 3));
    let samples = Merged::of([told], 64).samples;
    assert_eq!(samples[path].len(), 3, "items of one record are sampled apart");
}

#[test]
fn items_of_a_schema_without_the_path_are_absent() {
    let mut run = Run::new(plain(&["lines[].tax"]), 1);
    run.observe.schema(7, lines_schema(7, ""));
    run.take(&avro(7, &[Some(2.0), None]));

    assert_eq!(shares(&run.told().field("lines[].tax").counters), [0, 0, 2, 0]);
}

#[test]
fn items_beyond_the_limit_are_left_out_and_counted() {
    let mut plan = plain(&["codes[]", "scores{}", "lines[].price"]);
    plan.limits.items_per_record = 2;
    let mut run = Run::new(plan, 1);
    run.take(&json(
        "orders",
        r#"{"at": 5, "codes": ["a", "b", "c", "d"], "scores": {"x": 1, "y": 2, "z": 3}}"#,
    ));
    run.take(&json("orders", r#"{"at": 5, "codes": ["a"]}"#));
    run.commit();
    let left_out = Note::Count { name: "item_left_out", subject: "dataset/orders".into(), n: 3 };
    assert!(run.out.notes.contains(&left_out), "{:?}", run.out.notes);
    let told = Told::of(&run.out.messages);

    assert_eq!(shares(&told.field("codes[]").counters), [3, 0, 0, 0]);
    assert_eq!(shares(&told.field("scores{}").counters), [2, 0, 0, 0]);
}

#[test]
fn an_item_that_breaks_its_contract_breaks_it_for_its_record() {
    let at_least_zero = FieldPlan { min: Some(0.0), required: true, ..FieldPlan::default() };
    let mut plan = watching(&[("lines[].price", at_least_zero)]);
    let records = [r#"[{"price": 1}, {"price": -1}]"#, r#"[{"price": null}]"#, "[]", "[{}]"];
    let told = |plan: &Plan| {
        let mut run = Run::new(plan.clone(), 1);
        for lines in records {
            run.take(&json("orders", &format!(r#"{{"at": 5, "lines": {lines}}}"#)));
        }
        run.told()
    };
    assert_eq!(told(&plan).field("lines[].price").counters.breach, 3);

    plan.datasets.get_mut("orders").unwrap().quarantine_breaches = true;
    let told = told(&plan);
    let details = told.quarantined.iter().map(|message| {
        let detail = message.headers.iter().find(|(name, _)| name == "driftline.detail");
        String::from_utf8_lossy(&detail.unwrap().1).into_owned()
    });
    let broken = |rule| format!("field lines[].price: {rule}");
    assert_eq!(
        details.collect::<Vec<_>>(),
        [broken("min"), broken("required"), broken("required")]
    );
}

#[test]
fn items_are_silent_where_the_schema_is_tagged_and_hashed_where_asked() {
    let mut run = Run::new(plain(&["lines[].card"]), 1);
    let card = r#", {"name": "card", "type": "string", "confluent:tags": ["PII"]}"#;
    run.observe.schema(7, lines_schema(7, card));
    let mut input = avro(7, &[]);
    let payload = input.payload.as_mut().unwrap();
    payload.pop();
    payload.extend([2, 0, 4, b'4', b'1', 0]);
    run.take(&input);
    let told = run.told();
    assert_eq!(shares(&told.field("lines[].card").counters), [1, 0, 0, 0]);
    assert!(!Merged::of([told], 64).samples.contains_key("lines[].card"));

    let hashed = FieldPlan { values: ValuePolicy::Hash, ..FieldPlan::default() };
    let mut plan = watching(&[("cards[]", hashed)]);
    plan.values.key = driftline::config::values::ValuesKey::new(&"k".repeat(32));
    let mut run = Run::new(plan, 1);
    run.take(&json("orders", r#"{"at": 5, "cards": ["4111", 4111, "4242"]}"#));
    let sample = Merged::of([run.told()], 64).samples.remove("cards[]").expect("sampled");
    assert_eq!((sample.len(), sample.categories()), (3, 2));
}

#[test]
fn an_object_named_as_a_map_is_no_record() {
    let mut run = Run::new(plain(&["scores{}"]), 1);
    run.take(&json("orders", r#"{"at": 5, "scores": {"x": 1, "y": null, "z": {"w": 2}}}"#));
    let told = run.told();

    assert_eq!(shares(&told.field("scores{}").counters), [1, 1, 0, 1]);
    let cells = told.summaries.iter().flat_map(|(_, batch)| &batch.datasets);
    let mut fields = cells.flat_map(|delta| &delta.cells).flat_map(|cell| &cell.fields);
    assert!(fields.all(|(path, _)| ["at", "scores{}"].contains(&path.as_str())));
}

fn any_lines() -> impl Strategy<Value = Vec<Option<f64>>> {
    let price = prop_oneof![Just(None), (-40..40i32).prop_map(|n| Some(f64::from(n) / 4.0))];
    prop::collection::vec(price, 0..9)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn avro_and_json_of_the_same_items_count_the_same(
        records in prop::collection::vec(any_lines(), 1..20),
        commits in prop::collection::vec(0..20usize, 0..4),
        limit in 1..8usize,
    ) {
        let path = "lines[].price";
        let mut plan = plain(&[path]);
        plan.limits.items_per_record = limit;
        let sums = |avro_too: bool, commits: &[usize]| {
            let mut run = Run::new(plan.clone(), 1);
            run.observe.schema(7, lines_schema(7, ""));
            let mut told = Vec::new();
            for (number, prices) in records.iter().enumerate() {
                let price = |price: &Option<f64>| match price {
                    None => r#"{"price": null}"#.to_owned(),
                    Some(price) => format!(r#"{{"price": {price:?}}}"#),
                };
                let lines: Vec<String> = prices.iter().map(price).collect();
                let text = format!(r#"{{"at": 5, "lines": [{}]}}"#, lines.join(","));
                run.take(&if avro_too { avro(7, prices) } else { json("orders", &text) });
                if commits.contains(&number) {
                    told.push(run.told());
                }
            }
            told.push(run.told());
            let merged = Merged::of(told, 64);
            let cells = merged.datasets.into_values().flat_map(|window| window.cells);
            let fields: Vec<_> = cells.map(|(_, cell)| cell.2.get(path).cloned()).collect();
            (fields, merged.samples.get(path).cloned())
        };
        let avro = sums(true, &[]);
        prop_assert_eq!(&sums(true, &commits), &avro);
        prop_assert_eq!(&sums(false, &commits), &avro);
        let items: usize = records.iter().map(|prices| prices.len().min(limit)).sum();
        let counted = avro.0.iter().flatten().map(|field| field.counters.rows()).sum::<u64>();
        prop_assert_eq!(counted, items as u64);
    }
}
