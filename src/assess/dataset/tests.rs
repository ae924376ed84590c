//! When a layout is read.

use std::sync::Arc;

use super::*;
use crate::config::plan::Plan;
use crate::sketch::SampleValue;

fn sample(values: u64) -> Sample {
    let mut sample = Sample::default();
    for i in 0..values {
        sample.add(i, SampleValue::Number(i as f64));
    }
    sample
}

fn plan(dataset: &str) -> Arc<Plan> {
    let text = format!("app: a\ndatasets: {{ orders: {{ topic: orders, {dataset} }} }}");
    let config = crate::config::Config::parse(&text, "drift.yaml").expect("parsed");
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
