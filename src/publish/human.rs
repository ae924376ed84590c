//! An event in words: one block of lines for a terminal.
//!
//! Leaves out what only machines need (ledger, layout, definition, build); `--json` has it all.

use std::fmt::Write;

use serde_json::Value;

use crate::event::time::EventTime;

use super::decode::Decoded;

/// The event for a person: time, type, subject; the sentence; the key figures.
///
/// Control characters are replaced, since names and values in an event come from foreign data.
#[must_use]
pub fn human(event: &Decoded) -> String {
    let kind = short_type(&event.kind);
    let time = event.time.as_deref().unwrap_or("-");
    let mut text = format!("{time}  {kind}  {}\n", event.subject.as_deref().unwrap_or("-"));
    if let Some(sentence) = event.data["sentence"].as_str() {
        line(&mut text, sentence);
    }
    match kind.split('.').next().unwrap_or_default() {
        "schema" => schema_changed(&mut text, &event.data),
        "alarm" => alarm(&mut text, &event.data),
        "incident" => incident(&mut text, &event.data),
        "retrain" => retrain(&mut text, &event.data),
        "action" => action(&mut text, &event.data),
        _ => line(&mut text, &event.data.to_string()),
    }
    if let Some(incident) = &event.correlation_id {
        line(&mut text, &format!("incident {incident}"));
    }
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

fn short_type(kind: &str) -> &str {
    let kind = kind.strip_prefix("io.driftline.").unwrap_or(kind);
    kind.strip_suffix(".v1").unwrap_or(kind)
}

/// One indented line, whatever is in it.
fn line(text: &mut String, content: &str) {
    let content = content.replace('\n', " ");
    let _ = writeln!(text, "    {content}");
}

fn schema_changed(text: &mut String, data: &Value) {
    for change in items(&data["changes"]) {
        let mut words = format!("{} {}", string(&change["kind"]), string(&change["path"]));
        match (change["before"].as_str(), change["after"].as_str()) {
            (Some(before), Some(after)) => {
                let _ = write!(words, ": {before} -> {after}");
            }
            (Some(one), None) | (None, Some(one)) => {
                let _ = write!(words, ": {one}");
            }
            (None, None) => {}
        }
        line(text, &words);
    }
    line(
        text,
        &format!(
            "first seen {} at partition {} offset {}, producer {}",
            time(&data["first_seen_ms"]),
            data["partition"],
            data["offset"],
            string(&data["producer"]),
        ),
    );
}

fn alarm(text: &mut String, data: &Value) {
    line(text, &window(&data["window"], data));
    line(
        text,
        &format!(
            "{} ({}): {} against {}, p = {}, {}",
            string(&data["verdict"]),
            string(&data["test"]),
            number(&data["value"]),
            number(&data["threshold"]),
            number(&data["p_value"]),
            effect(&data["effect"]),
        ),
    );
    line(
        text,
        &format!(
            "rows {}, baseline {}",
            number(&data["rows_window"]),
            number(&data["rows_baseline"])
        ),
    );
}

fn incident(text: &mut String, data: &Value) {
    line(text, &window(&data["window"], data));
    if let (Some(metric), true) = (data["metric"].as_str(), data["effect"].is_object()) {
        line(text, &format!("{metric}: {}", effect(&data["effect"])));
    }
    if data["explained"].is_object() {
        line(text, &format!("explained: {}", effect(&data["explained"])));
    }
    for one in items(&data["causes"]) {
        line(text, &cause(one));
    }
    if let Some(other) = data["merged_into"].as_str() {
        line(text, &format!("merged into {other}"));
    }
}

fn retrain(text: &mut String, data: &Value) {
    line(text, &format!("train on {} to {}", time(&data["use_from_ms"]), time(&data["use_to_ms"])));
    for one in items(&data["leave_out"]) {
        let version = one["schema_version"].as_str().map(|v| format!(" {v}")).unwrap_or_default();
        let until = if one["to_ms"].is_null() {
            "on".to_owned()
        } else {
            format!("to {}", time(&one["to_ms"]))
        };
        line(
            text,
            &format!(
                "leave out {}{version} from {} {until}: {}",
                string(&one["dataset"]),
                time(&one["from_ms"]),
                string(&one["reason"]),
            ),
        );
    }
    line(text, &cause(&data["cause"]));
    line(text, &format!("request {}", string(&data["request_id"])));
}

fn action(text: &mut String, data: &Value) {
    let models: Vec<&str> = items(&data["models"]).iter().filter_map(Value::as_str).collect();
    let mut words = string(&data["action"]).to_owned();
    for (label, value) in [("", &data["dataset"]), ("schema ", &data["schema_version"])] {
        if let Some(value) = value.as_str() {
            let _ = write!(words, " {label}{value}");
        }
    }
    if let Some(owner) = data["owner"].as_str() {
        let _ = write!(words, ", owner {owner}");
    }
    if !models.is_empty() {
        let _ = write!(words, ", models {}", models.join(", "));
    }
    line(text, &words);
    line(text, &cause(&data["cause"]));
    line(text, &format!("request {}", string(&data["request_id"])));
}

fn cause(data: &Value) -> String {
    let probability = data["probability"].as_f64().unwrap_or(f64::NAN);
    let mut words = format!("P = {probability:.2}  {}", string(&data["name"]));
    let fields: Vec<&str> = items(&data["fields"]).iter().filter_map(Value::as_str).collect();
    if !fields.is_empty() {
        let _ = write!(words, " [{}]", fields.join(", "));
    }
    if let Some(evidence) = data["evidence"].as_str().filter(|e| !e.is_empty()) {
        let _ = write!(words, ": {evidence}");
    }
    words
}

fn effect(data: &Value) -> String {
    let mut words = format!(
        "{} {} (95 %: {} to {})",
        string(&data["unit"]),
        number(&data["estimate"]),
        number(&data["low"]),
        number(&data["high"]),
    );
    if let (Some(now), Some(before)) = (data["window"].as_f64(), data["baseline"].as_f64()) {
        let _ = write!(words, ", {} now, {} before", significant(now), significant(before));
    }
    words
}

fn window(window: &Value, data: &Value) -> String {
    let mut words = format!("window {} to {}", time(&window["start_ms"]), time(&window["end_ms"]));
    for (flag, when, said) in [
        ("complete", false, ", incomplete"),
        ("backfill", true, ", about the past"),
        ("provisional", true, ", provisional: outcomes are not in yet"),
    ] {
        if data[flag].as_bool() == Some(when) {
            words.push_str(said);
        }
    }
    words
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn string(value: &Value) -> &str {
    value.as_str().unwrap_or("-")
}

fn time(value: &Value) -> String {
    value.as_i64().map_or_else(|| "-".to_owned(), |ms| EventTime(ms).to_string())
}

fn number(value: &Value) -> String {
    match (value.as_i64(), value.as_f64()) {
        (Some(whole), _) => whole.to_string(),
        (None, Some(number)) => significant(number),
        (None, None) => "-".to_owned(),
    }
}

/// Four significant digits; powers of ten where plain digits would be long.
fn significant(number: f64) -> String {
    let magnitude = number.abs();
    if number == 0.0 {
        "0".to_owned()
    } else if !(1e-4..1e7).contains(&magnitude) {
        format!("{number:.2e}")
    } else {
        let digits = (3 - magnitude.log10().floor() as i32).max(0) as usize;
        let text = format!("{number:.digits$}");
        if digits == 0 { text } else { text.trim_end_matches('0').trim_end_matches('.').to_owned() }
    }
}
