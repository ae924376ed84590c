//! Every record has exactly one outcome, and one that is set aside says why.

use driftline::config::plan::{FieldPlan, TimeBounds, TimeSource, WantedKind};
use driftline::event::time::EventTime;
use driftline::observe::{SchemaAnswer, SchemaKey, Taken};
use proptest::prelude::*;

use super::support::*;

fn at(time: i64) -> Input {
    json("orders", &format!(r#"{{"at": {time}, "amount": 1.5}}"#))
}

#[test]
fn late_is_judged_against_the_records_own_partition() {
    let mut run = Run::new(plan(&[orders()], &[]), 2);
    run.observe.layout(&layout(1, 0));
    run.take(&at(1_100));
    run.take(&at(999));
    run.take(&at(1_101));
    run.take(&at(999));
    run.take(&at(5_000).on(1));
    run.take(&at(999).on(1));

    let told = run.told();
    let counts = told.progress("orders", 0).counts;
    assert_eq!((counts.accepted, counts.late), (3, 1));
    assert_eq!(told.progress("orders", 0).max_event_time, Some(EventTime(1_101)));
    assert_eq!(told.progress("orders", 1).counts.late, 1);
}

#[test]
fn past_and_future_touch_neither_watermark_nor_summary() {
    let bounds = TimeBounds { past_ms: 10_000, future_ms: 500 };
    let mut run = Run::new(plan(&[driftline_dataset(bounds)], &[]), 1);
    for time in [100_000, 100_501, 89_999] {
        run.take(&Input { timestamp_ms: 100_000, ..at(time) });
    }

    let told = run.told();
    let progress = told.progress("orders", 0);
    assert_eq!((progress.counts.accepted, progress.counts.future, progress.counts.past), (1, 1, 1));
    assert_eq!(progress.max_event_time, Some(EventTime(100_000)));
    assert_eq!(progress.newest_append_ms, Some(100_000));
    assert_eq!(told.field("amount").counters.rows(), 1);
}

fn driftline_dataset(bounds: TimeBounds) -> driftline::config::plan::DatasetPlan {
    driftline::config::plan::DatasetPlan { bounds, ..orders() }
}

#[test]
fn a_record_without_a_time_is_set_aside() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    run.take(&json("orders", r#"{"amount": 1}"#));

    let told = run.told();
    assert_eq!(told.set_aside("driftline.reason"), "event_time");
    assert_eq!(told.set_aside("driftline.detail"), "dataset/orders");
    assert_eq!(told.set_aside("driftline.topic"), "orders");
    assert_eq!(told.set_aside("driftline.partition"), "0");
    assert_eq!(told.set_aside("driftline.offset"), "0");
    assert_eq!(told.quarantined[0].payload, br#"{"amount": 1}"#);
    assert_eq!(told.quarantined[0].key.as_deref(), Some(&b"key"[..]));
}

#[test]
fn the_kafka_timestamp_is_the_default_time() {
    let dataset =
        driftline::config::plan::DatasetPlan { event_time: TimeSource::Record, ..orders() };
    let mut run = Run::new(plan(&[dataset], &[]), 1);
    run.take(&Input { timestamp_ms: 42, ..json("orders", "{}") });
    run.take(&Input { timestamp_ms: -1, ..json("orders", "{}") });

    let told = run.told();
    assert_eq!(told.progress("orders", 0).max_event_time, Some(EventTime(42)));
    assert_eq!(told.set_aside("driftline.reason"), "event_time");
}

#[test]
fn an_oversized_record_is_set_aside_cut() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    run.take(&Input { payload: Some(vec![b' '; 10_000]), ..json("orders", "") });

    let told = run.told();
    assert_eq!(told.set_aside("driftline.reason"), "oversized");
    assert_eq!(told.quarantined[0].payload.len(), 4_096);
}

#[test]
fn nothing_is_counted_until_the_schema_is_known() {
    let mut run = Run::new(plan(&[orders()], &[]), 1);
    let record = order(7, 1.5, "DE", 10);
    assert_eq!(run.give(&record), Taken::NeedSchema(SchemaKey::Id(7)));
    assert!(!run.observe.has_news());

    run.observe.schema(7, order_schema(7));
    run.take(&record);
    let told = run.told();
    assert_eq!(told.progress("orders", 0).counts.accepted, 1);
    assert_eq!(told.summaries.iter().flat_map(|(_, batch)| &batch.schemas).count(), 1);
}

#[test]
fn records_of_a_useless_schema_are_set_aside() {
    let check = |answer, reason| {
        let mut run = Run::new(plan(&[orders()], &[]), 1);
        run.observe.schema(7, answer);
        run.take(&order(7, 1.5, "DE", 10));
        assert_eq!(run.told().set_aside("driftline.reason"), reason);
    };
    check(SchemaAnswer::Unknown, "unknown_schema");
    check(SchemaAnswer::Unreadable("protobuf".into()), "unreadable_schema");
    let SchemaAnswer::Known(known) = order_schema(7) else { unreachable!() };
    let garbled = driftline::observe::RegisteredSchema { schema: "{".into(), ..known };
    check(SchemaAnswer::Known(garbled), "unreadable_schema");
}

#[test]
fn bytes_that_do_not_decode_are_set_aside() {
    let check = |payload: &[u8], reason| {
        let mut run = Run::new(plan(&[orders()], &[]), 1);
        run.observe.schema(7, order_schema(7));
        run.take(&Input { payload: Some(payload.to_vec()), ..json("orders", "") });
        assert_eq!(run.told().set_aside("driftline.reason"), reason);
    };
    check(b"hello", "bad_magic");
    check(b"", "truncated");
    check(&[0, 0, 0, 0, 7, 1], "truncated");
    check(br#"{"at": }"#, "bad_json");
}

#[test]
fn a_breach_is_counted_or_sets_the_record_aside() {
    let rule = FieldPlan { required: true, min: Some(0.0), ..FieldPlan::default() };
    let fields = named(&[("amount", rule)]);
    let counting = driftline::config::plan::DatasetPlan { fields, ..orders() };
    let strict =
        driftline::config::plan::DatasetPlan { quarantine_breaches: true, ..counting.clone() };
    let broken = json("orders", r#"{"at": 5, "amount": -1, "country": "DE"}"#);
    let missing = json("orders", r#"{"at": 5, "country": "DE"}"#);

    let mut run = Run::new(plan(&[counting], &[]), 1);
    run.take(&broken);
    run.take(&missing);
    let counters = run.told().field("amount").counters;
    assert_eq!((counters.present, counters.absent, counters.breach), (1, 1, 2));

    let mut run = Run::new(plan(&[strict], &[]), 1);
    run.take(&broken);
    let told = run.told();
    assert_eq!(told.set_aside("driftline.reason"), "contract");
    assert_eq!(told.set_aside("driftline.detail"), "field amount: min");
    assert!(told.summaries.iter().all(|(_, batch)| batch.datasets.is_empty()));
    run.take(&missing);
    assert_eq!(run.told().set_aside("driftline.detail"), "field amount: required");
}

#[test]
fn a_value_of_another_kind_is_a_mismatch_unless_a_kind_is_wanted() {
    let numeric = FieldPlan { kind: Some(WantedKind::Numeric), ..FieldPlan::default() };
    let fields = named(&[("wanted", numeric)]);
    let dataset = driftline::config::plan::DatasetPlan { fields, ..orders() };
    let mut run = Run::new(plan(&[dataset], &[]), 1);
    run.take(&json("orders", r#"{"at": 1, "met": 1, "wanted": "2.5"}"#));
    run.take(&json("orders", r#"{"at": 1, "met": "1", "wanted": "many"}"#));
    run.take(&json("orders", r#"{"at": 1, "met": 1.5, "wanted": 3}"#));

    let told = run.told();
    let (met, wanted) = (told.field("met").counters, told.field("wanted").counters);
    assert_eq!((met.present, met.mismatch), (2, 1));
    assert_eq!((wanted.present, wanted.mismatch), (2, 1));
}

#[test]
fn a_record_one_role_cannot_use_counts_for_none() {
    let mut dataset = orders();
    dataset.topic = "scores".into();
    let mut run = Run::new(plan(&[dataset], &[fraud()]), 1);
    run.take(&json("scores", r#"{"at": 5, "p": 0.5}"#));

    let told = run.told();
    assert_eq!(told.set_aside("driftline.reason"), "missing_id");
    assert!(told.summaries.iter().all(|(_, batch)| batch.datasets.is_empty()));
    assert_eq!(told.progress("scores", 0).counts.quarantined, 1);
}

#[test]
fn a_record_late_for_one_role_counts_for_the_other() {
    let mut dataset = orders();
    dataset.topic = "scores".into();
    dataset.lateness_ms = 100_000;
    let mut run = Run::new(plan(&[dataset], &[fraud()]), 1);
    run.take(&json("scores", r#"{"at": 1500, "p": 0.5, "tx": "a"}"#));
    run.take(&json("scores", r#"{"at": 5, "p": 0.5, "tx": "b"}"#));

    let told = run.told();
    let counts = told.progress("scores", 0).counts;
    assert_eq!((counts.accepted, counts.late), (1, 1));
    assert_eq!(told.field("p").counters.rows(), 2);
    let merged = Merged::of([told], 64);
    assert_eq!((merged.models.len(), merged.facts.len()), (1, 1));
}

fn any_payload() -> impl Strategy<Value = Option<Vec<u8>>> {
    prop_oneof![
        Just(None),
        (0..6_000i64).prop_map(|time| at(time).payload),
        (0..6_000i64, "[A-Z]{0,3}").prop_map(|(time, text)| order(7, 1.0, &text, time).payload),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Some),
        prop::collection::vec(any::<u8>(), 0..40)
            .prop_map(|tail| Some([&[0, 0, 0, 0, 7], &tail[..]].concat())),
        r#"\{"(at|tx|p|fraud)": ?(1|null|"x"|true|\[1\]|\{"a": 1e400\})\}"#
            .prop_map(|text| Some(text.into_bytes())),
    ]
}

proptest! {
    #[test]
    fn every_record_has_exactly_one_outcome(
        payloads in prop::collection::vec((any_payload(), -5..20_000i64), 0..60),
    ) {
        let mut dataset = orders();
        dataset.topic = "scores".into();
        let mut model = fraud();
        model.outcomes.as_mut().unwrap().topic = "scores".into();
        let mut run = Run::new(plan(&[dataset], &[model]), 1);
        run.observe.schema(7, order_schema(7));
        run.observe.layout(&layout(1, 0));
        let mut taken = 0;
        for (payload, timestamp_ms) in payloads {
            let input = Input { payload, timestamp_ms, ..json("scores", "") };
            match run.give(&input) {
                Taken::Done => taken += 1,
                Taken::NeedSchema(id) => run.observe.schema(id, SchemaAnswer::Unknown),
                Taken::Ahead => unreachable!("there is a layout"),
            }
        }

        let progress = run.told().progress("scores", 0);
        prop_assert_eq!(progress.to - progress.from, taken);
        prop_assert_eq!(progress.counts.total(), taken.cast_unsigned());
    }
}
