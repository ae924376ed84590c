//! When a layout is read, and what plain JSON is named by.

use std::sync::Arc;

use super::*;
use crate::config::Config;
use crate::config::plan::Plan;
use crate::event::cell::CellKey;
use crate::event::schema::NO_PLACE;
use crate::event::summary::CellDelta;
use crate::sketch::{FieldKind, FieldSummary, SampleValue};

fn sample(values: u64) -> Sample {
    let mut sample = Sample::default();
    for i in 0..values {
        sample.add(i, SampleValue::Number(i as f64));
    }
    sample
}

fn plan(dataset: &str) -> Arc<Plan> {
    let text = format!("app: a\ndatasets: {{ orders: {{ topic: orders, {dataset} }} }}");
    let config = Config::parse(&text, "drift.yaml").expect("parsed");
    Arc::new(config.plan().expect("valid").0)
}

fn is_read(plan: &Plan, samples: &[(&str, u64)]) -> bool {
    let mut dataset = Dataset::default();
    for (path, values) in samples {
        dataset.samples.insert((*path).to_owned(), sample(*values));
    }
    let moment = Moment {
        plan: &plan.datasets["orders"],
        keyed: false,
        watermark: Watermark { time: EventTime(0), complete: true, gap: None },
        newest: EventTime(0),
    };
    dataset.learn_layout(&moment);
    dataset.has_layout()
}

#[test]
fn many_items_of_few_records_are_no_reason_to_read_a_layout() {
    let both = plan(r#"fields: { "codes[]": {} }"#);
    assert!(!is_read(&both, &[("amount", 20), ("codes[]", 1_280)]));
    assert!(is_read(&both, &[("amount", 1_000), ("codes[]", 20)]));

    let items_alone = plan(r#"only: ["codes[]"]"#);
    assert!(is_read(&items_alone, &[("codes[]", 1_000)]));
}

/// What changes of schema are told when a producer writes these numbers, window after window.
fn changes(plan: &Plan, windows: &[&[&str]]) -> Vec<SchemaChange> {
    let (limits, plan) = (&plan.limits, &plan.datasets["orders"]);
    let mut dataset = Dataset::default();
    let mut told = Vec::new();
    for (nth, paths) in windows.iter().enumerate() {
        let start = EventTime(plan.window.ms() * nth as i64);
        let field = |path: &&str| {
            let mut summary = FieldSummary::new(FieldKind::Numeric, None);
            summary.counters.present = 1_000;
            ((*path).to_owned(), summary)
        };
        let key = CellKey { producer: "web".into(), schema_version: NO_SCHEMA.into() };
        let fields = paths.iter().map(field).collect();
        let delta = DatasetDelta {
            dataset: "orders".into(),
            definition: plan.definition,
            window: start,
            layout: None,
            evicted_from: None,
            cells: vec![CellDelta { key, rows: 1_000, max_event_time: start, fields }],
        };
        assert!(dataset.merge(delta, limits));
        let end = plan.window.end_of(start).plus_ms(plan.lateness_ms);
        let watermark = Watermark { time: end, complete: true, gap: None };
        let moment = Moment { plan, keyed: false, watermark, newest: end };
        let start = dataset.due(&moment).expect("it has ended");
        let items = dataset.close(start, &moment, None, &mut Outbox::default());
        told.extend(items.into_iter().filter_map(|item| match item {
            FindingItem::Schema(change) => Some(*change),
            _ => None,
        }));
        assert_eq!(dataset.windows[&start].rows(), 1_000);
    }
    told
}

#[test]
fn a_producer_of_plain_json_that_writes_other_paths_is_a_change_of_schema() {
    let (old, new) = (&["amount", "age"][..], &["amount_minor", "age"][..]);
    let told = changes(&plan(""), &[old, old, new, new, old]);

    assert_eq!(told.len(), 1, "once, and not when it goes back: {told:?}");
    let SchemaChange { from, to, fields, window_start } = &told[0];
    assert!(to.schema_version.starts_with("shape-"), "{to:?}");
    assert_ne!(from.schema_version, to.schema_version);
    assert_eq!(window_start.0, 2 * plan("").datasets["orders"].window.ms());
    assert_eq!((to.producer.as_str(), to.partition), ("web", NO_PLACE));
    let fields: Vec<(&str, &str)> =
        fields.iter().map(|field| (field.path.as_str(), field.kind.as_str())).collect();
    assert_eq!(fields, [("amount", "removed"), ("amount_minor", "added")]);
}

#[test]
fn where_a_version_is_configured_nothing_is_named_by_its_shape() {
    let configured = plan("schema_version: { header: v }");

    assert!(changes(&configured, &[&["amount"], &["amount_minor"]]).is_empty());
}
