//! Bad input harms nothing: what is counted, what is set aside, and that memory stays bounded.
//!
//! Which test holds which rule; those without a file are here.
//!
//! | input | tests |
//! |---|---|
//! | truncated or garbage bytes, bad magic | `observe_behaviour`: `bytes_that_do_not_decode_are_set_aside`, `every_record_has_exactly_one_outcome`; `decode_differential`: `every_cut_is_truncated_and_no_flip_panics`; `decode_allocation`: `avro_allocates_nothing_for_lengths_that_lie`; `fuzz` |
//! | unknown schema | [`a_schema_that_appears_later_is_read_without_a_restart`], [`names_that_nobody_registered_push_no_schema_out`]; `runtime::schema_waits` (one wait in a period, ever new names); `bad_input_kafka`: `unknown_schemas_are_set_aside_and_can_be_driven_in_again`, `ever_new_schemas_never_stall_a_partition` |
//! | registry down, slow, 401, 429, 500 | `registry::tests`: `client_recovers_by_itself_from_everything_that_is_no_answer`, `a_schema_that_comes_late_is_waited_for_and_no_longer_than_said`; `bad_input_kafka`: `a_registry_in_trouble_holds_up_only_partitions_with_unknown_schemas` |
//! | wrong type, missing required field | `observe_behaviour`: `a_value_of_another_kind_is_a_mismatch_unless_a_kind_is_wanted`, `a_breach_is_counted_or_sets_the_record_aside` |
//! | NaN, infinity, -0, huge integers, decimals | [`special_numbers_have_counters_of_their_own_and_poison_no_summary`], [`decimals_are_numbers_with_their_scale`] |
//! | timestamps 0, negative, in seconds, year 2099 | [`implausible_times_touch_nothing_and_other_units_are_hinted_at`]; `observe_behaviour`: `past_and_future_touch_neither_watermark_nor_summary` |
//! | out of order, too late | `observe_behaviour`: `commits_at_any_boundary_merge_to_the_same`, `late_is_judged_against_the_records_own_partition`; `topology`: `any_order_of_reading_partitions_gives_the_same_verdicts` |
//! | ever new keys, producers, fields, optional keys, versions | [`ever_new_producers_are_added_together_in_bounded_memory`], [`ten_thousand_fields_are_watched_up_to_the_limit`], [`a_thousand_optional_keys_stay_within_the_limit`], [`ever_new_versions_are_held_up_to_the_limit`]; `observe_behaviour`: `cells_beyond_the_limit_go_to_the_others` |
//! | depth and length bombs, long texts, oversized records | [`bombs_are_set_aside_and_cost_next_to_nothing`], [`a_text_of_five_mebibytes_is_counted_by_its_prefix`], [`records_set_aside_ask_for_a_commit_before_they_fill_memory`] |
//! | duplicate, conflicting, orphan, early, expired outcomes; several predictions per id | `join_behaviour`: `first_outcome_wins_and_later_ones_are_duplicates_or_conflicts`, `outcome_without_a_prediction_is_an_orphan_when_it_expires`, `outcome_that_comes_first_waits_for_its_prediction`, `outcome_later_than_the_horizon_never_pairs_however_early_it_is_read`, `first_prediction_wins` |
//!
//! `DRIFTLINE_TEST_LONG=1` runs the ever new producers ten million long, as a release check does.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "tests; the support module is shared with another binary, each using a part"
)]

#[path = "../benches/allocator/mod.rs"]
mod allocator;
#[path = "observe_behaviour/support.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;

use allocator::{held_at_most, live_bytes};
use driftline::config::plan::{DatasetPlan, Plan, TimeBounds};
use driftline::event::route::Note;
use driftline::observe::{RegisteredSchema, SchemaAnswer, SchemaKey, SchemaLanguage, Taken};
use support::*;

/// Tests of this binary run one at a time: they share the counters.
static ALONE: Mutex<()> = Mutex::new(());

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// A plan of one dataset with the limits of a small process.
fn small(change: impl FnOnce(&mut DatasetPlan)) -> Plan {
    let mut dataset = orders();
    change(&mut dataset);
    plan(&[dataset], &[])
}

/// Commits as the loop does: when enough is pending. What was said is thrown away.
fn commit_when_due(run: &mut Run, plan: &Plan) {
    if run.observe.pending_bytes() >= plan.limits.pending_bytes {
        run.commit();
        run.out.clear();
    }
}

fn known(id: u32, language: SchemaLanguage, schema: String) -> SchemaAnswer {
    SchemaAnswer::Known(RegisteredSchema {
        id,
        language,
        schema,
        subject: None,
        number: None,
        tags: BTreeMap::new(),
    })
}

fn framed(id: u32, body: &[u8]) -> Input {
    let payload = [&[0][..], &id.to_be_bytes(), body].concat();
    Input { payload: Some(payload), ..json("orders", "") }
}

#[test]
fn special_numbers_have_counters_of_their_own_and_poison_no_summary() {
    let _alone = alone();
    let mut run = Run::new(small(|_| ()), 1);
    run.observe.schema(7, order_schema(7));
    let plain = [2.5, 2.5, 1e300, 5e-324];
    let special = [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -0.0, 0.0];
    for amount in plain.into_iter().chain(special) {
        run.take(&order(7, amount, "DE", 5));
    }
    let huge = [("9223372036854775807", 1), ("123456789012345678901234567890", 1), ("1e400", 0)];
    for (written, _) in huge {
        run.take(&json("orders", &format!(r#"{{"at": 5, "amount": {written}}}"#)));
    }

    let amount = run.told().field("amount");
    let counters = amount.counters;
    assert_eq!((counters.present, counters.mismatch), (12, 0));
    assert_eq!((counters.nan, counters.infinite, counters.zero), (1, 3, 2));
    assert_eq!(counters.negative, 0, "minus zero is zero and minus infinity is infinite");
    let in_histogram = plain.len() as u64 + huge.iter().map(|(_, finite)| finite).sum::<u64>();
    assert_eq!(amount.histogram.total(), in_histogram);
}

#[test]
fn decimals_are_numbers_with_their_scale() {
    let _alone = alone();
    let mut run = Run::new(small(|_| ()), 1);
    let decimal = r#""logicalType": "decimal", "precision": 20, "scale": 2"#;
    let schema = format!(
        r#"{{"type": "record", "name": "R", "fields": [
            {{"name": "at", "type": "long"}},
            {{"name": "bytes", "type": {{"type": "bytes", {decimal}}}}},
            {{"name": "fixed", "type": {{"type": "fixed", "name": "F", "size": 9, {decimal}}}}}]}}"#
    );
    run.observe.schema(7, known(7, SchemaLanguage::Avro, schema));
    // 5 at; 1995 and -1995 at scale 2, big-endian two's complement.
    let fixed = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xf8, 0x35];
    run.take(&framed(7, &[&[10, 4, 0x07, 0xcb][..], &fixed].concat()));
    // No digits at all is zero.
    run.take(&framed(7, &[&[10, 0][..], &[0; 9]].concat()));

    let told = run.told();
    for (path, negative) in [("bytes", 0), ("fixed", 1)] {
        let field = told.field(path);
        let counters = field.counters;
        assert_eq!((counters.present, counters.zero), (2, 1), "{path}");
        assert_eq!((counters.negative, counters.integral), (negative, 1), "{path}");
        assert_eq!(field.histogram.total(), 1, "{path}");
    }
}

#[test]
fn implausible_times_touch_nothing_and_other_units_are_hinted_at() {
    let _alone = alone();
    let now_ms = 1_700_000_000_000;
    let day = 86_400_000;
    let bounds = TimeBounds { past_ms: 30 * day, future_ms: day };
    let mut run = Run::new(small(|dataset| dataset.bounds = bounds), 1);
    let mut take = |time: i64| {
        let record = json("orders", &format!(r#"{{"at": {time}, "amount": 1}}"#));
        run.take(&Input { timestamp_ms: now_ms, ..record });
    };
    let in_seconds = now_ms / 1_000;
    [0, -1, i64::MIN, in_seconds, in_seconds].into_iter().for_each(&mut take);
    [4_070_908_800_000, i64::MAX, now_ms * 1_000].into_iter().for_each(&mut take);
    take(now_ms);

    run.commit();
    let told = Told::of(&run.out.messages);
    let progress = told.progress("orders", 0);
    assert_eq!((progress.counts.past, progress.counts.future), (5, 3));
    assert_eq!(progress.counts.accepted, 1);
    assert_eq!(progress.max_event_time.map(|time| time.0), Some(now_ms));
    assert_eq!(told.field("amount").counters.rows(), 1);
    let subject = "dataset/orders".to_owned();
    let hint = Note::Count { name: "time_unit_mismatch", subject, n: 3 };
    assert_eq!(run.out.notes, [hint]);
}

#[test]
fn ever_new_producers_are_added_together_in_bounded_memory() {
    let _alone = alone();
    #[expect(clippy::disallowed_methods, reason = "chooses the long form")]
    let long = std::env::var("DRIFTLINE_TEST_LONG").is_ok_and(|value| value == "1");
    let count = if long { 10_000_000_u64 } else { 300_000 };
    let plan = small(|_| ());
    let mut run = Run::new(plan.clone(), 1);
    run.observe.layout(&layout(1, 0));
    let (mut rows, mut others) = (0, 0);
    let mut record = json("orders", r#"{"at": 5, "amount": 1}"#).with("app", "");

    let (held, ()) = held_at_most(|| {
        for number in 0..count {
            record.headers[0].1.clear();
            // As long as a name may be.
            write!(record.headers[0].1, "{number:0>256}").unwrap();
            run.take(&record);
            let is_last = number + 1 == count;
            if is_last || run.observe.pending_bytes() >= plan.limits.pending_bytes {
                let told = run.told();
                for delta in told.summaries.iter().flat_map(|(_, batch)| &batch.datasets) {
                    assert!(delta.cells.len() <= plan.limits.cells_per_window + 1);
                    rows += delta.cells.iter().map(|cell| cell.rows).sum::<u64>();
                    let other = delta.cells.iter().filter(|cell| cell.key.producer == "__other__");
                    others += other.map(|cell| cell.rows).sum::<u64>();
                }
            }
        }
    });

    assert_eq!(rows, count, "no record is lost");
    assert!(others > count * 9 / 10, "{others} of {count}");
    let limit = 3 * plan.limits.pending_bytes;
    assert!(held < limit, "{held} bytes for {count} producers, limit {limit}");
}

#[test]
fn ten_thousand_fields_are_watched_up_to_the_limit() {
    let _alone = alone();
    let mut schema = String::from(
        r#"{"type": "record", "name": "R", "fields": [{"name": "at", "type": "long"}"#,
    );
    let mut object = String::from(r#"{"at": 5"#);
    for number in 0..10_000 {
        write!(schema, r#", {{"name": "f{number}", "type": "boolean"}}"#).unwrap();
        write!(object, r#", "f{number}": true"#).unwrap();
    }
    schema.push_str("]}");
    object.push('}');
    let body = [&[10][..], &[1; 10_000]].concat();
    for input in [framed(7, &body), json("orders", &object)] {
        let mut plan = small(|_| ());
        plan.limits.record_bytes = 1 << 20;
        let fields = plan.limits.fields_per_dataset;
        let mut run = Run::new(plan, 1);
        run.observe.schema(7, known(7, SchemaLanguage::Avro, schema.clone()));
        let before = live_bytes();
        for _ in 0..3 {
            run.take(&input);
        }
        let kept = live_bytes().saturating_sub(before);

        run.commit();
        let told = Told::of(&run.out.messages);
        let cells = told.summaries.iter().flat_map(|(_, batch)| &batch.datasets);
        let widest = cells.flat_map(|delta| &delta.cells).map(|cell| cell.fields.len()).max();
        assert_eq!(widest, Some(fields));
        assert_eq!(told.progress("orders", 0).counts.accepted, 3);
        let unwatched = run.out.notes.iter().find_map(|note| match note {
            Note::Count { name: "field_unwatched", n, .. } => Some(*n),
            _ => None,
        });
        assert!(unwatched.is_some_and(|n| n > 100), "{unwatched:?}");
        // The plan of an Avro schema keeps what the schema says, once.
        assert!(kept < 4 << 20, "{kept} bytes");
    }
}

#[test]
fn a_thousand_optional_keys_stay_within_the_limit() {
    let _alone = alone();
    let plan = small(|_| ());
    let fields = plan.limits.fields_per_dataset;
    let mut run = Run::new(plan.clone(), 1);
    let (held, ()) = held_at_most(|| {
        for number in 0..5_000_u64 {
            let mut object = String::from(r#"{"at": 5"#);
            for key in 0..8 {
                let key = number.wrapping_mul(0x9e37_79b9).wrapping_add(key * 131) % 1_000;
                write!(object, r#", "k{key}": {number}"#).unwrap();
            }
            object.push('}');
            run.take(&json("orders", &object));
            commit_when_due(&mut run, &plan);
        }
    });

    let told = run.told();
    let cells = told.summaries.iter().flat_map(|(_, batch)| &batch.datasets);
    assert!(cells.flat_map(|delta| &delta.cells).all(|cell| cell.fields.len() <= fields));
    assert!(held < 2 * plan.limits.pending_bytes, "{held} bytes");
}

#[test]
fn ever_new_versions_are_held_up_to_the_limit() {
    let _alone = alone();
    let plan = small(|_| ());
    let mut run = Run::new(plan.clone(), 1);
    run.observe.layout(&layout(1, 0));
    let mut rows = BTreeMap::new();
    let count = 500;
    let (held, ()) = held_at_most(|| {
        for id in 1..=count {
            let record = order(id, 1.0, "DE", 5);
            assert_eq!(run.give(&record), Taken::NeedSchema(SchemaKey::Id(id)));
            run.observe.schema(id, order_schema(id));
            run.take(&record);
        }
    });
    let told = run.told();
    for delta in told.summaries.iter().flat_map(|(_, batch)| &batch.datasets) {
        for cell in &delta.cells {
            *rows.entry(cell.key.schema_version.clone()).or_insert(0) += cell.rows;
        }
    }
    assert_eq!(rows.values().sum::<u64>(), u64::from(count));
    assert_eq!(rows.len(), plan.limits.cells_per_window + 1);
    assert!(rows["__other__"] > 400, "{rows:?}");
    assert!(held < 4 << 20, "{held} bytes");
    // The newest are still known, the oldest are asked for again.
    let newest = plan.limits.versions_per_dataset as u32;
    run.take(&order(count - newest + 1, 1.0, "DE", 5));
    let gone = run.give(&order(1, 1.0, "DE", 5));
    assert_eq!(gone, Taken::NeedSchema(SchemaKey::Id(1)));
}

#[test]
fn bombs_are_set_aside_and_cost_next_to_nothing() {
    let _alone = alone();
    let deep = |open: &str, close: &str, levels: usize| {
        format!(r#"{{"at": 5, "a": {}1{}}}"#, open.repeat(levels), close.repeat(levels))
    };
    let list = r#"{"type": "record", "name": "L", "fields": [
        {"name": "at", "type": "long"}, {"name": "next", "type": ["null", "L"]}]}"#;
    let chain = [10, 2].repeat(1_000);
    let endless = r#"{"type": "record", "name": "R", "fields": [
        {"name": "at", "type": "long"}, {"name": "a", "type": {"type": "array", "items": "null"}}]}"#;
    // An array of 2^62 nulls takes no bytes but time; the last block is never reached.
    let nulls = [&[10][..], &[0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]].concat();
    let lie = [10, 0xfe, 0xff, 0xff, 0xff, 0x0f];
    let check = |schema: &str, input: Input, reason: &str| {
        let mut plan = small(|_| ());
        plan.limits.record_bytes = 1 << 20;
        let mut run = Run::new(plan, 1);
        run.observe.schema(7, known(7, SchemaLanguage::Avro, schema.into()));
        let size = input.payload.as_ref().map_or(0, Vec::len);
        let (held, ()) = held_at_most(|| run.take(&input));
        assert_eq!(run.told().set_aside("driftline.reason"), reason);
        assert!(held < 3 * size + (64 << 10), "{held} bytes for {size}, {reason}");
    };
    check(list, json("orders", &deep("[", "]", 100_000)), "too_deep");
    check(list, json("orders", &deep(r#"{"a":"#, "}", 100_000)), "too_deep");
    check(list, json("orders", &format!(r#"{{"at": 5, "a": {}"#, "[".repeat(500_000))), "too_deep");
    check(list, framed(7, &chain), "too_deep");
    check(endless, framed(7, &nulls), "truncated");
    check(endless, framed(7, &lie), "truncated");
    let text = r#"{"type": "record", "name": "T", "fields": [{"name": "at", "type": "string"}]}"#;
    check(text, framed(7, &[0xfe, 0xff, 0xff, 0xff, 0x0f, b'x']), "truncated");
}

#[test]
fn a_text_of_five_mebibytes_is_counted_by_its_prefix() {
    let _alone = alone();
    let text = "x".repeat(5 << 20);
    let record = json("orders", &format!(r#"{{"at": 5, "note": "{text}"}}"#));
    let mut plan = small(|_| ());
    plan.limits.record_bytes = 8 << 20;
    let mut run = Run::new(plan, 1);
    let (held, ()) = held_at_most(|| run.take(&record));
    let told = run.told();
    assert_eq!(told.field("note").counters.present, 1);
    assert!(held < 1 << 20, "{held} bytes");
    let summaries: usize = run.out.messages.iter().map(|message| message.payload.len()).sum();
    assert!(summaries < 1 << 20);

    let mut plan = small(|_| ());
    plan.limits.record_bytes = 4 << 20;
    let mut run = Run::new(plan, 1);
    run.take(&record);
    let told = run.told();
    assert_eq!(told.set_aside("driftline.reason"), "oversized");
    assert!(told.quarantined[0].payload.len() > 500_000);
    assert_eq!(told.set_aside("driftline.bytes"), record.payload.unwrap().len().to_string());
}

#[test]
fn records_set_aside_ask_for_a_commit_before_they_fill_memory() {
    let _alone = alone();
    let plan = small(|_| ());
    let mut run = Run::new(plan.clone(), 1);
    let garbage = Input { payload: Some(vec![b'!'; 4_000]), ..json("orders", "") };
    let mut commits = 0;
    let (held, ()) = held_at_most(|| {
        for _ in 0..10_000 {
            run.take(&garbage);
            if run.observe.set_aside_bytes() >= plan.limits.pending_bytes {
                commits += 1;
            }
            commit_when_due(&mut run, &plan);
        }
    });

    assert!((4..=6).contains(&commits), "{commits}");
    assert!(held < 2 * plan.limits.pending_bytes, "{held} bytes");
}

#[test]
fn a_schema_that_appears_later_is_read_without_a_restart() {
    let _alone = alone();
    let mut run = Run::new(small(|_| ()), 1);
    let record = order(7, 1.0, "DE", 5);
    for useless in [SchemaAnswer::Unknown, SchemaAnswer::Unreadable("protobuf".into())] {
        assert_eq!(run.give(&record), Taken::NeedSchema(SchemaKey::Id(7)));
        run.observe.schema(7, useless);
        run.take(&record);
        assert_eq!(run.told().progress("orders", 0).counts.quarantined, 1);

        run.observe.forget_useless_schemas();
    }

    assert_eq!(run.give(&record), Taken::NeedSchema(SchemaKey::Id(7)));
    run.observe.schema(7, order_schema(7));
    run.take(&record);
    assert_eq!(run.told().progress("orders", 0).counts.accepted, 1);
    run.observe.forget_useless_schemas();
    run.take(&record);
}

#[test]
fn names_that_nobody_registered_push_no_schema_out() {
    let _alone = alone();
    let mut plan = small(|_| ());
    // One plan at a time, so that each change of schema asks what is known of it.
    plan.limits.versions_per_dataset = 2;
    let mut run = Run::new(plan, 1);
    run.observe.schema(7, order_schema(7));
    run.observe.schema(8, order_schema(8));
    for id in 100..1_000 {
        run.observe.schema(id, SchemaAnswer::Unknown);
        run.take(&order(id, 1.0, "DE", 5));
    }

    run.take(&order(7, 1.0, "DE", 5));
    run.take(&order(8, 1.0, "DE", 5));
    assert_eq!(run.told().progress("orders", 0).counts.accepted, 2);
}
