//! Inference over small samples of JSON records.

use super::*;
use crate::config::Config;
use crate::observe::SourceRecord;

fn sample(topic: &str, lines: impl Iterator<Item = String>) -> TopicSample {
    let mut sampler = Sampler::new(topic);
    for (offset, line) in lines.enumerate() {
        let record = SourceRecord {
            topic,
            partition: 0,
            offset: offset as i64,
            timestamp_ms: -1,
            key: None,
            payload: Some(line.as_bytes()),
            headers: &[],
        };
        assert_eq!(sampler.take(&record), None, "JSON needs no schema");
    }
    sampler.finish(1.0)
}

/// Rows of orders, `step_ms` apart.
fn orders(rows: i64, step_ms: i64) -> TopicSample {
    let line = |row: i64| {
        let at = 1_700_000_000_000 + row * step_ms;
        format!(
            r#"{{"order_id":"o{row}","created_at":{at},"items":3,"app":"web","schema_version":"12"}}"#
        )
    };
    sample("orders", (0..rows).map(line))
}

fn scores(rows: i64) -> TopicSample {
    let line = |row: i64| {
        let at = 1_700_000_000_000 + row * 1_000;
        format!(
            r#"{{"tx_id":"o{row}","scored_at":{at},"p_fraud":0.{row:04},"model_version":"7","orders_schema_id":"12","orders_app":"web"}}"#
        )
    };
    sample("scores", (0..rows).map(line))
}

fn labels(rows: i64) -> TopicSample {
    let line = |row: i64| {
        let at = 1_700_000_000_000 + row * 1_000;
        format!(r#"{{"tx_id":"o{row}","is_fraud":false,"labelled_at":{at}}}"#)
    };
    sample("labels", (0..rows).map(line))
}

fn wishes() -> Wishes {
    Wishes {
        app: "replay".into(),
        flag_above: 0.8,
        horizon: "14d".into(),
        predictions: Some("scores".into()),
        outcomes: Some("labels".into()),
        ..Wishes::default()
    }
}

#[test]
fn the_banks_topics_need_no_flags_but_their_parts() {
    let samples = [orders(500, 1_000), scores(500), labels(500)];

    let text = propose(&samples, &wishes()).expect("all is told by names");

    for line in [
        "    event_time: created_at\n    producer: app\n    schema_version: schema_version\n",
        "    fields: { app: { values: drop }, schema_version: { values: drop } }\n",
        "      id: tx_id\n      score: p_fraud\n      decision: { score_above: 0.8 }\n",
        "      version: model_version\n      time: scored_at\n",
        "        orders: { schema: orders_schema_id, producer: orders_app }\n",
        "      label: is_fraud\n      positive: [\"true\"]\n      time: labelled_at\n",
        "    inputs:\n      orders: []\n",
    ] {
        assert!(text.contains(line), "{line}\nis not in\n{text}");
    }
    Config::parse(&text, "inferred").and_then(|config| config.plan()).expect("it is valid");
}

#[test]
fn a_window_has_enough_rows_and_there_are_enough_of_them() {
    let check = |rows: i64, step_ms: i64, size: &str| {
        let wishes = Wishes { app: "a".into(), ..Wishes::default() };
        let text = propose(&[orders(rows, step_ms)], &wishes).expect("a dataset");
        assert!(text.contains(&format!("size: {size} ")), "{rows} rows {step_ms} ms apart: {text}");
    };

    check(20_000, 10_000, "1h");
    check(20_000, 50, "1h");
    check(20_000, 1_000, "15m");
    check(40_000, 300, "5m");
    check(1_000, 86_400_000, "1h");
}

#[test]
fn what_cannot_be_told_names_the_flag_to_give() {
    let plain = || sample("labels", (0..9).map(|row| format!(r#"{{"tx_id":"o{row}","ts":1}}"#)));
    let error = propose(&[orders(9, 1), scores(9), plain()], &wishes()).expect_err("no label");
    assert_eq!(
        error.to_string(),
        "cannot tell which field of `labels` is the label: give --label FIELD; fields are ts, \
         tx_id"
    );

    let only = Wishes { app: "a".into(), ..Wishes::default() };
    let error = propose(&[plain()], &only).expect_err("no time");
    assert!(error.to_string().contains("give --time labels=FIELD"), "{error}");

    let error = propose(&[orders(9, 1)], &wishes()).expect_err("no scores");
    assert!(error.to_string().starts_with("--predictions scores: no such topic"), "{error}");

    let wrong = Wishes { id: Some("idd".into()), ..wishes() };
    let error = propose(&[orders(9, 1), scores(9), labels(9)], &wrong).expect_err("no field");
    assert!(error.to_string().starts_with("--id idd: `scores` has no such field"), "{error}");
}

#[test]
fn a_label_of_text_needs_its_positive_values() {
    let line = |row: i64| {
        let label = if row % 5 == 0 { "odd" } else { "even" };
        format!(r#"{{"tx_id":"o{row}","label":"{label}","labelled_at":"2024-01-01T00:00:00Z"}}"#)
    };
    let samples = [orders(99, 1), scores(99), sample("labels", (0..99).map(line))];

    let error = propose(&samples, &wishes()).expect_err("neither is known");
    assert!(error.to_string().ends_with("give --positive VALUE; values are even, odd"), "{error}");

    let told = Wishes { positive: vec!["odd".into()], ..wishes() };
    let text = propose(&samples, &told).expect("told");
    assert!(text.contains("positive: [\"odd\"]"), "{text}");
}

#[test]
fn a_time_keeps_its_promise() {
    let check = |line: &str, expected: Option<&str>| {
        let sample = sample("t", std::iter::once(line.to_owned()));
        assert_eq!(time_field(&sample), expected, "{line}");
    };

    check(r#"{"createdAt": "2024-01-01T00:00:00Z"}"#, Some("createdAt"));
    check(r#"{"timestamp": 1700000000}"#, None);
    check(r#"{"meta": {"ts": 1700000000000}, "n": 1700000000000}"#, Some("meta.ts"));
    check(r#"{"updated_at": 1700000000000, "event_time": 1700000000000}"#, Some("event_time"));
    check(r#"{"created_at": "yesterday"}"#, None);
}
