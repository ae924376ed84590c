//! The JSON plan held against serde_json: random text, equal keys, escapes and damage.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::BTreeMap;

use driftline::observe::{DecodeLimits, Items, JsonPlan, Slot};
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

/// A JSON value in the order written, with equal keys.
#[derive(Clone, Debug)]
enum Tree {
    Scalar(String),
    Array(Vec<Tree>),
    Object(Vec<(&'static str, Tree)>),
}

fn tree() -> impl Strategy<Value = Tree> {
    let scalar = prop_oneof![Just("null".to_owned()), (0..9).prop_map(|n: i32| n.to_string())];
    let leaf = prop_oneof![scalar, string_text()].prop_map(Tree::Scalar);
    let keys = prop::sample::select(vec!["a", "b", "c", "m"]);
    leaf.prop_recursive(5, 40, 5, move |inside| {
        prop_oneof![
            2 => vec(inside.clone(), 0..5).prop_map(Tree::Array),
            3 => vec((keys.clone(), inside), 0..5).prop_map(Tree::Object),
        ]
    })
}

fn text_of(tree: &Tree) -> String {
    match tree {
        Tree::Scalar(text) => text.clone(),
        Tree::Array(items) => {
            format!("[{}]", items.iter().map(text_of).collect::<Vec<_>>().join(","))
        }
        Tree::Object(members) => {
            let written =
                members.iter().map(|(key, value)| format!("\"{key}\":{}", text_of(value)));
            format!("{{{}}}", written.collect::<Vec<_>>().join(","))
        }
    }
}

/// Paths of items, with what is expected there of each: nothing, a scalar, or `None` for what is
/// no scalar.
type Expected = BTreeMap<&'static str, Vec<Option<Value>>>;

/// What the value at a path says: the last of equal keys counts, and an object named as a map is
/// one.
fn expect(tree: &Tree, path: &str, out: &mut Expected) {
    let named = |path: &str, out: &Expected| out.keys().any(|known| known.starts_with(path));
    match tree {
        Tree::Array(items) if named(&format!("{path}[]"), out) => {
            items.iter().for_each(|item| each(item, &format!("{path}[]"), out));
        }
        Tree::Object(members) if named(&format!("{path}{{}}"), out) => {
            members.iter().for_each(|(_, item)| each(item, &format!("{path}{{}}"), out));
        }
        Tree::Object(members) => {
            for (at, (key, value)) in members.iter().enumerate() {
                if members[at + 1..].iter().all(|(later, _)| later != key) {
                    let below =
                        if path.is_empty() { (*key).into() } else { format!("{path}.{key}") };
                    expect(value, &below, out);
                }
            }
        }
        Tree::Array(_) | Tree::Scalar(_) => {}
    }
}

fn each(item: &Tree, items: &str, out: &mut Expected) {
    for (path, values) in out.iter_mut() {
        let below = path.strip_prefix(items).filter(|rest| !rest.contains(['[', '{']));
        if let Some(below) = below {
            values.push(scalar_at(item, below.trim_start_matches('.')));
        }
    }
    expect(item, items, out);
}

/// The scalar at a path below an item; `Value::Bool` stands for none, as trees have no booleans.
fn scalar_at(item: &Tree, path: &str) -> Option<Value> {
    let absent = Some(Value::Bool(true));
    match (item, path) {
        (Tree::Scalar(text), "") => Some(serde_json::from_str(text).unwrap()),
        (_, "") => None,
        (Tree::Object(members), path) => {
            let (key, rest) = path.split_once('.').unwrap_or((path, ""));
            let last = members.iter().rev().find(|(known, _)| *known == key);
            last.map_or(absent, |(_, value)| scalar_at(value, rest))
        }
        (Tree::Array(_) | Tree::Scalar(_), _) => absent,
    }
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
    fn items_are_those_that_are_written(
        trees in vec(vec((prop::sample::select(vec!["a", "b", "c", "m"]), tree()), 0..6), 1..4),
    ) {
        let paths = ["a[]", "a[].b", "a[].b.c", "a[].c[]", "a[][].a", "b.c[].a", "m{}", "m{}.a[].b"];
        let mut plan = JsonPlan::new();
        for (slot, path) in paths.iter().enumerate() {
            prop_assert!(plan.name(path, slot));
        }
        let mut kept = Items::new(1_000);
        for tree in trees.into_iter().map(Tree::Object) {
            let text = text_of(&tree);
            let mut expected: Expected = paths.iter().map(|path| (*path, Vec::new())).collect();
            expect(&tree, "", &mut expected);
            let mut slots = Vec::new();
            let mut found = kept.recycle();
            let mut want = |path: &str, _: &Slot<'_>| {
                assert!(!path.contains(['[', '{']) && !path.starts_with("m."), "{path}");
                None
            };
            let out = (&mut slots, &mut found);
            let result = plan.decode_with_items(text.as_bytes(), &LIMITS, &mut want, out);
            prop_assert_eq!(result, Ok(()));
            for (slot, path) in paths.iter().enumerate() {
                let own: Vec<_> = found.values().filter(|(at, _)| *at == slot).collect();
                prop_assert_eq!(own.len(), expected[path].len(), "{} in {}", path, text);
                for ((_, value), expected) in own.iter().zip(&expected[path]) {
                    let is_right = match expected {
                        None => **value == Slot::Composite,
                        Some(Value::Bool(_)) => **value == Slot::Absent,
                        Some(expected) => agrees(**value, expected),
                    };
                    prop_assert!(is_right, "{path}: {value:?}, expected {expected:?} in {text}");
                }
            }
            kept = found.recycle();
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
