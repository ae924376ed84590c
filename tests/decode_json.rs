//! The JSON plan held against serde_json: random text, equal keys, escapes and damage.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use driftline::observe::{DecodeLimits, JsonPlan, Slot};
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::Value;

const LIMITS: DecodeLimits = DecodeLimits { depth: 64, text_bytes: 1 << 20, paths: 10_000 };

/// A JSON value as text: numbers of all shapes, escapes, white space.
fn value_text() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|value| value.to_string()),
        any::<u64>().prop_map(|value| value.to_string()),
        (-1_000_000_i64..1_000_000, 0_usize..7)
            .prop_map(|(value, places)| format!("{:.places$}", value as f64 / 1e3)),
        any::<f64>()
            .prop_filter("infinity is no JSON", |value| value.is_finite())
            .prop_map(|value| format!("{value:?}")),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?",
    ];
    let leaf = prop_oneof![
        1 => Just("null".to_owned()),
        1 => Just("true".to_owned()),
        1 => Just("false".to_owned()),
        4 => number,
        4 => string_text(),
    ];
    leaf.prop_recursive(5, 48, 6, |inside| {
        prop_oneof![
            1 => vec(inside.clone(), 0..4).prop_map(|items| format!("[{}]", items.join(" ,"))),
            4 => object_text(inside),
        ]
    })
}

fn string_text() -> impl Strategy<Value = String> {
    let escapes = vec![
        r"\n",
        r#"\""#,
        r"\\",
        r"\/",
        r"\t",
        r"\b",
        r"\f",
        r"\r",
        r"\u00e9",
        r"\u20AC",
        r"\ud83d\ude00",
        r"\u0000",
    ];
    let piece = prop_oneof![
        4 => "[a-z0-9 é€😀]{0,9}",
        1 => prop::sample::select(escapes).prop_map(str::to_owned),
    ];
    vec(piece, 0..4).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn object_text(inside: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    // Few keys, so that some are equal and all come in many orders.
    let keys = vec!["a", "b", "c", "d", r"\u0061", "é", "a longer key", "", "with \\\" quote"];
    let key = prop_oneof![
        8 => prop::sample::select(keys).prop_map(|key| format!("\"{key}\"")),
        1 => string_text(),
    ];
    vec((key, "[ \n\t\r]{0,2}", inside), 0..6).prop_map(|members| {
        let written = members.iter().map(|(key, gap, value)| format!("{key}{gap}:{gap}{value}"));
        format!("{{{}}}", written.collect::<Vec<_>>().join(","))
    })
}

/// Every scalar path of a value.
fn flatten<'v>(value: &'v Value, path: Option<&str>, out: &mut Vec<(String, &'v Value)>) {
    match value {
        Value::Object(members) => {
            for (key, inside) in members {
                let below = path.map_or_else(|| key.clone(), |path| format!("{path}.{key}"));
                flatten(inside, Some(&below), out);
            }
        }
        Value::Array(_) => {}
        scalar => out.push((path.unwrap_or_default().to_owned(), scalar)),
    }
}

fn agrees(slot: Slot<'_>, value: &Value) -> bool {
    match (slot, value) {
        (Slot::Null, Value::Null) => true,
        (Slot::Bool(found), Value::Bool(value)) => found == *value,
        (Slot::Text(found), Value::String(value)) => found == value,
        // serde_json gives minus zero as a double.
        (Slot::Integer(found), Value::Number(number)) => {
            number.as_i64().map_or(found == 0 && number.as_f64() == Some(0.0), |it| it == found)
        }
        // serde_json rounds a double within an ulp, a subnormal less well; the plan to the nearest.
        (Slot::Float(found), Value::Number(number)) => {
            let value = number.as_f64().unwrap();
            number.as_i64().is_none() && (found - value).abs() <= (value.abs() * 1e-15).max(1e-300)
        }
        _ => false,
    }
}

fn check(plan: &mut JsonPlan, paths: &mut Vec<String>, text: &str) -> Result<(), TestCaseError> {
    let value: Value = serde_json::from_str(text).unwrap();
    let mut expected = Vec::new();
    flatten(&value, None, &mut expected);
    let mut slots = vec![Slot::Absent; paths.len()];
    let mut want = |path: &str, _: &Slot<'_>| {
        paths.push(path.to_owned());
        Some(paths.len() - 1)
    };
    prop_assert_eq!(plan.decode(text.as_bytes(), &LIMITS, &mut want, &mut slots), Ok(()));

    for (path, value) in &expected {
        let slot = paths.iter().position(|known| known == path).map(|slot| slots[slot]);
        let slot = slot.unwrap_or_default();
        prop_assert!(agrees(slot, value), "{path:?}: {slot:?}, expected {value:?}");
    }
    for (path, slot) in paths.iter().zip(&slots) {
        let is_expected = expected.iter().any(|(known, _)| known == path);
        let is_nothing = matches!(slot, Slot::Absent | Slot::Composite);
        prop_assert!(is_expected || is_nothing, "{path:?}: {slot:?}, expected nothing");
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_024, ..ProptestConfig::default() })]

    #[test]
    fn plan_finds_what_serde_json_finds(texts in vec(object_text(value_text()), 1..4)) {
        let mut plan = JsonPlan::new();
        let mut paths = Vec::new();
        // One plan over all of them, and the first again when all its paths are known.
        for text in texts.iter().chain(texts.first()) {
            check(&mut plan, &mut paths, text)?;
        }
    }

    #[test]
    fn plan_refuses_what_serde_json_refuses(
        text in object_text(value_text()),
        flips in vec(any::<prop::sample::Index>(), 1..3),
        with in "[ -~]",
    ) {
        let mut text = text;
        for at in flips {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, &with);
            }
        }
        let value = serde_json::from_str::<serde_json::Map<String, Value>>(&text);
        let result =
            JsonPlan::new().decode(text.as_bytes(), &LIMITS, &mut |_, _| None, &mut Vec::new());

        // It refuses numbers beyond a double and halves of surrogate pairs; the plan reads them.
        let is_read = |words: &str| {
            ["out of range", "surrogate", "hex escape"].iter().any(|word| words.contains(word))
        };
        match value {
            Ok(_) => prop_assert_eq!(result, Ok(())),
            Err(error) if is_read(&error.to_string()) => {}
            Err(error) => prop_assert!(result.is_err(), "{text}: {error}"),
        }
    }

    #[test]
    fn random_bytes_never_panic(body in vec(any::<u8>(), 0..200)) {
        let object = [b"{\"a\":", &body[..]].concat();
        for body in [&body, &object] {
            let mut plan = JsonPlan::new();
            let _ = plan.decode(body, &LIMITS, &mut |_, _| Some(0), &mut Vec::new());
        }
    }
}
