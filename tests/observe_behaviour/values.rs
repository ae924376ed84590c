//! What leaves observe of a value: policies, keys, registry tags.

use std::collections::BTreeMap;

use driftline::config::plan::{DatasetPlan, FieldPlan, Plan, ValuePolicy};
use driftline::config::values::ValuesKey;
use driftline::event::cell::OTHER;
use driftline::event::layout::{Layout, LayoutUpdate};
use driftline::event::time::EventTime;
use driftline::observe::{RegisteredSchema, SchemaAnswer, SchemaLanguage};
use driftline::sketch::{
    FieldKind, FieldLayout, FieldSummary, Sample, SampleValue, UNNAMED, category_hash,
};

use super::support::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn keyed(mut plan: Plan, secret: &str) -> Plan {
    plan.values.key = ValuesKey::new(secret);
    plan
}

fn with_policy(path: &str, values: ValuePolicy) -> DatasetPlan {
    let fields = named(&[(path, FieldPlan { values, ..FieldPlan::default() })]);
    DatasetPlan { fields, ..orders() }
}

fn hashes(sample: &Sample) -> Vec<u64> {
    let hash = |value: &SampleValue| match value {
        SampleValue::Category { hash, .. } => *hash,
        SampleValue::Number(_) => panic!("a number"),
    };
    sample.values().map(hash).collect()
}

fn texts(sample: &Sample) -> usize {
    let with_text =
        |value: &&SampleValue| matches!(value, SampleValue::Category { text: Some(_), .. });
    sample.values().filter(with_text).count()
}

fn cards(run: &mut Run, n: usize) -> Sample {
    for i in 0..n {
        run.take(&json("orders", &format!(r#"{{"at": 1, "card": "card {i}"}}"#)));
    }
    Merged::of([run.told()], 64).samples.remove("card").expect("sampled")
}

#[test]
fn a_hashed_value_leaves_under_the_key_alone() {
    let told = |secret| {
        let plan = plan(&[with_policy("card", ValuePolicy::Hash)], &[]);
        cards(&mut Run::new(keyed(plan, secret), 1), 3)
    };
    let sample = told(SECRET);

    assert_eq!(texts(&sample), 0);
    assert_eq!(sample, told(SECRET), "the same on every instance");
    let unkeyed: Vec<u64> = (0..3).map(|i| category_hash(format!("card {i}").as_bytes())).collect();
    for other in [unkeyed, hashes(&told(&SECRET.replace('0', "x")))] {
        assert!(hashes(&sample).iter().all(|hash| !other.contains(hash)));
    }
}

#[test]
fn more_than_64_values_leave_as_hashes_with_a_key_and_not_at_all_without() {
    let run = |secret: Option<&str>, n: usize| {
        let mut plan = plan(&[orders()], &[]);
        plan.values.key = secret.and_then(ValuesKey::new);
        cards(&mut Run::new(plan, 1), n)
    };
    let few = run(None, 64);
    assert_eq!((texts(&few), few.categories()), (64, 64));

    let with = run(Some(SECRET), 65);
    assert_eq!((texts(&with), with.categories()), (0, 65));
    assert!(FieldLayout::learn(&with).is_some());

    let without = run(None, 65);
    assert_eq!((texts(&without), hashes(&without)), (0, vec![UNNAMED; 65]));
    assert!(FieldLayout::learn(&without).is_none());
}

#[test]
fn a_hashed_number_is_counted_as_a_category() {
    let dataset = with_policy("amount", ValuePolicy::Hash);
    let mut run = Run::new(keyed(plan(&[dataset], &[]), SECRET), 1);
    for amount in [5, 5, 7] {
        run.take(&json("orders", &format!(r#"{{"at": 1, "amount": {amount}}}"#)));
    }
    let told = run.told();

    let field = told.field("amount");
    assert_eq!((field.kind, field.counters.present), (FieldKind::Category, 3));
    assert_eq!((field.counters.integral, field.histogram.total()), (0, 0));
    let sample = &Merged::of([told], 64).samples["amount"];
    assert_eq!((texts(sample), sample.categories()), (0, 2));
}

/// Present, null, absent, mismatch and breach; nothing else may be there.
fn presence(field: &FieldSummary) -> [u64; 5] {
    let counters = &field.counters;
    let silent = [counters.nan, counters.infinite, counters.zero, counters.negative];
    assert_eq!((silent, counters.integral), ([0; 4], 0));
    assert!(field.bins.is_empty() && field.histogram.total() == 0);
    [counters.present, counters.null, counters.absent, counters.mismatch, counters.breach]
}

#[test]
fn a_dropped_field_is_counted_by_presence_and_breaches() {
    let plan_of = |min| FieldPlan { values: ValuePolicy::Drop, min, ..FieldPlan::default() };
    let fields = named(&[("amount", plan_of(Some(0.0))), ("country", plan_of(None))]);
    let mut run = Run::new(plan(&[DatasetPlan { fields, ..orders() }], &[]), 1);
    for rest in [r#""amount": -4.5"#, r#""amount": 0"#, r#""amount": null"#, r#""amount": "x""#] {
        run.take(&json("orders", &format!(r#"{{"at": 1, "country": "DE", {rest}}}"#)));
    }
    let early = run.told();
    let (amount, country) = (early.field("amount"), early.field("country"));
    assert_eq!(presence(&amount), [2, 1, 0, 1, 1]);
    assert_eq!(presence(&country), [4, 0, 0, 0, 0]);
    let samples = Merged::of([early], 64).samples;
    assert_eq!(samples.keys().map(String::as_str).collect::<Vec<_>>(), ["at"]);
    run.observe.layout(&layout(5, 0));
    run.take(&json("orders", r#"{"at": 1500, "amount": 3, "country": "DE"}"#));
    let told = run.told();

    assert_eq!(presence(&told.field("amount")), [1, 0, 0, 0, 0]);
    assert_eq!(presence(&told.field("country")), [1, 0, 0, 0, 0]);
}

fn tagged_order_schema(id: u32, inline: &str, beside: &[&str]) -> SchemaAnswer {
    let SchemaAnswer::Known(known) = order_schema(id) else { panic!("known") };
    let schema = known.schema.replace(
        r#"{"name":"country","type":"string"}"#,
        &format!(r#"{{"name":"country","type":"string","default":"DE"{inline}}}"#),
    );
    let tags = beside.iter().map(|pattern| ((*pattern).to_owned(), vec!["PII".to_owned()]));
    SchemaAnswer::Known(RegisteredSchema { schema, tags: tags.collect(), ..known })
}

/// What is told of `country` when one record of such a schema is read.
fn country(dataset: DatasetPlan, answer: SchemaAnswer) -> (FieldSummary, bool, Option<String>) {
    let mut run = Run::new(keyed(plan(&[dataset], &[]), SECRET), 1);
    run.observe.schema(1, answer);
    run.take(&order(1, 5.0, "FR", 1));
    let told = run.told();
    let summary = told.field("country");
    let mut schemas = told.summaries.iter().flat_map(|(_, batch)| &batch.schemas);
    let fields = &schemas.next().expect("announced").fields;
    let default = fields.iter().find(|field| field.path == "country").unwrap().default.clone();
    (summary, Merged::of([told], 64).samples.contains_key("country"), default)
}

#[test]
fn a_field_the_registry_tags_is_silent_from_the_first_record_on() {
    for (inline, beside) in
        [(r#","confluent:tags":["PII"]"#, &[][..]), ("", &["Order.country"]), ("", &["**.country"])]
    {
        let (summary, sampled, default) = country(orders(), tagged_order_schema(1, inline, beside));

        assert_eq!(presence(&summary), [1, 0, 0, 0, 0], "{inline} {beside:?}");
        assert_eq!((sampled, default), (false, None), "{inline} {beside:?}");
    }
    let (summary, sampled, default) = country(orders(), tagged_order_schema(1, "", &["**.other"]));
    assert_eq!((summary.kind, sampled), (FieldKind::Category, true));
    assert_eq!(default.as_deref(), Some("\"DE\""));
}

#[test]
fn what_the_configuration_says_of_a_field_counts_and_not_its_tags() {
    let tagged = || tagged_order_schema(1, r#","confluent:tags":["PII"]"#, &[]);
    for (values, default) in
        [(ValuePolicy::Keep, Some("\"DE\"".to_owned())), (ValuePolicy::Hash, None)]
    {
        let (summary, sampled, told) = country(with_policy("country", values), tagged());

        assert_eq!((summary.kind, sampled, told), (FieldKind::Category, true, default));
    }
}

#[test]
fn tags_of_one_version_silence_that_version_alone_and_others_merge_without_bins() {
    let mut plan = plan(&[orders()], &[]);
    plan.limits.cells_per_window = 1;
    let told = |order_of: [u32; 4], commits: bool| {
        let mut run = Run::new(plan.clone(), 1);
        run.observe.layout(&country_layout());
        run.observe.schema(1, order_schema(1));
        run.observe.schema(2, tagged_order_schema(2, "", &["**.country"]));
        let mut all = Vec::new();
        for schema in order_of {
            run.take(&order(schema, 5.0, "DE", 1));
            if commits {
                all.push(run.told());
            }
        }
        all.push(run.told());
        Merged::of(all, 1)
    };
    let merged = told([1, 1, 2, 2], false);
    for order_of in [[2, 2, 1, 1], [1, 2, 1, 2], [2, 1, 1, 2]] {
        assert_eq!(told(order_of, true).datasets, told(order_of, false).datasets);
    }
    let cells = merged.datasets.values().next().expect("a window").cells.clone();
    let fields = |version: &str| {
        let found = cells.iter().find(|(key, _)| key.schema_version == version);
        found.map(|(_, cell)| cell.2["country"].clone())
    };
    let kept = fields("1").or(fields("2")).expect("one has the room");
    assert_eq!(kept.counters.present, 2);
    assert_eq!(fields(OTHER).expect("the other has none").counters.present, 2);

    // Both versions in the cell of others: counts add up, bins are gone, nothing panics.
    plan.limits.cells_per_window = 0;
    let mut run = Run::new(plan, 1);
    run.observe.layout(&country_layout());
    run.observe.schema(1, order_schema(1));
    run.observe.schema(2, tagged_order_schema(2, "", &["**.country"]));
    for schema in [1, 2, 1, 2] {
        run.take(&order(schema, 5.0, "DE", 1));
    }
    let mixed = run.told().field("country");
    assert_eq!((mixed.counters.present, mixed.bins.len()), (4, 0));
}

fn country_layout() -> LayoutUpdate {
    let mut sample = Sample::default();
    for i in 0..200 {
        let hash = category_hash(b"DE");
        sample.add(i, SampleValue::Category { hash, text: Some("DE".into()) });
    }
    let fields = BTreeMap::from([("country".to_owned(), FieldLayout::learn(&sample).unwrap())]);
    let layout = Layout { id: 5, effective_from: EventTime(0), fields };
    LayoutUpdate { layout: Some(layout), closed_through: None, ..layout_of_nothing() }
}

fn layout_of_nothing() -> LayoutUpdate {
    LayoutUpdate { layout: None, ..layout(5, 0) }
}

#[test]
fn json_of_a_tagged_schema_is_silent_too() {
    let schema = r#"{"$schema": "x", "properties": {
        "at": {"type": "integer"}, "card": {"type": "string", "confluent:tags": ["PRIVATE"]},
        "who": {"properties": {"name": {"type": "string"}}}}}"#;
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    run.observe.schema(
        9,
        SchemaAnswer::Known(RegisteredSchema {
            id: 9,
            language: SchemaLanguage::Json,
            schema: schema.into(),
            subject: None,
            number: None,
            tags: BTreeMap::from([("$.who".to_owned(), vec!["pii".to_owned()])]),
        }),
    );
    let body = br#"{"at": 5, "card": "4111", "who": {"name": "Ada"}, "country": "DE"}"#;
    let payload = [&[0, 0, 0, 0, 9], &body[..]].concat();
    run.take(&Input { payload: Some(payload), ..json("orders", "") });
    let told = run.told();

    assert_eq!(presence(&told.field("card")), [1, 0, 0, 0, 0]);
    assert_eq!(presence(&told.field("who.name")), [1, 0, 0, 0, 0]);
    let samples = Merged::of([told], 64).samples;
    assert_eq!(samples.keys().map(String::as_str).collect::<Vec<_>>(), ["at", "country"]);
}
