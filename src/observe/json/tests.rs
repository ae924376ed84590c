//! What the plan makes of JSON; `tests/decode_differential.rs` holds it against serde_json.

use super::*;
use crate::observe::recycle;

const LIMITS: DecodeLimits = DecodeLimits { depth: 4, text_bytes: 8, paths: 6 };

/// Watches every path met, in the order met, and keeps their names.
fn decode_all(plan: &mut JsonPlan, paths: &mut Vec<String>, body: &str) -> Result<(), DecodeError> {
    let mut slots = Vec::new();
    plan.decode(body.as_bytes(), &LIMITS, &mut |path, _| all(paths, path), &mut slots)
}

fn all(paths: &mut Vec<String>, path: &str) -> Option<usize> {
    paths.push(path.to_owned());
    Some(paths.len() - 1)
}

fn check(body: &str, expected: &[(&str, Slot<'_>)]) {
    let mut paths = Vec::new();
    let mut plan = JsonPlan::new();
    let mut kept: Vec<Slot<'static>> = Vec::new();
    // Twice: the second time every path is known and every key is guessed.
    for _ in 0..2 {
        let mut slots = recycle(std::mem::take(&mut kept));
        slots.resize(paths.len(), Slot::Absent);
        let mut want = |path: &str, _: &Slot<'_>| all(&mut paths, path);
        let result = plan.decode(body.as_bytes(), &LIMITS, &mut want, &mut slots);
        assert_eq!(result, Ok(()), "{body}");
        let found: Vec<_> = paths.iter().map(String::as_str).zip(slots.iter().copied()).collect();
        assert_eq!(found, expected, "{body}");
        kept = recycle(slots);
    }
}

fn check_error(body: &str, expected: DecodeError) {
    let mut plan = JsonPlan::new();
    assert_eq!(decode_all(&mut plan, &mut Vec::new(), body), Err(expected), "{body}");
    let blind = plan.decode(body.as_bytes(), &LIMITS, &mut |_, _| None, &mut Vec::new());
    assert_eq!(blind, Err(expected), "{body}");
}

#[test]
fn scalars_go_to_their_slots() {
    check(
        r#" { "a" : 1 , "b" : [1, {"x": []}] , "c" : { "d" : "x" , "e" : null } , "f" : true } "#,
        &[
            ("a", Slot::Integer(1)),
            ("c.d", Slot::Text("x")),
            ("c.e", Slot::Null),
            ("f", Slot::Bool(true)),
        ],
    );
    check("{}", &[]);
}

#[test]
fn whole_numbers_that_fit_are_integers() {
    for (written, expected) in [
        ("0", Slot::Integer(0)),
        ("-0", Slot::Integer(0)),
        ("9223372036854775807", Slot::Integer(i64::MAX)),
        ("-9223372036854775808", Slot::Integer(i64::MIN)),
        ("9223372036854775808", Slot::Float(9_223_372_036_854_775_808.0)),
        ("-9223372036854775809", Slot::Float(-9_223_372_036_854_775_808.0)),
        ("123456789012345678901234567890", Slot::Float(1.234_567_890_123_456_8e29)),
        ("1.0", Slot::Float(1.0)),
        ("-19.95", Slot::Float(-19.95)),
        ("1e3", Slot::Float(1e3)),
        ("0.1E-7", Slot::Float(0.1e-7)),
        ("1e400", Slot::Float(f64::INFINITY)),
        ("-1e400", Slot::Float(f64::NEG_INFINITY)),
        ("1e-400", Slot::Float(0.0)),
        ("0.30000000000000004", Slot::Float(0.300_000_000_000_000_04)),
    ] {
        check(&format!(r#"{{"n": {written}}}"#), &[("n", expected)]);
    }
}

#[test]
fn escapes_are_undone() {
    check(
        r#"{"a": "\"\\\/\b\f\n\r\t", "b\u00e9": "\u20ac", "c": "\ud83d\ude00", "d": "\ud83dx"}"#,
        &[
            ("a", Slot::Text("\"\\/\u{8}\u{c}\n\r\t")),
            ("bé", Slot::Text("€")),
            ("c", Slot::Text("😀")),
            ("d", Slot::Text("\u{fffd}x")),
        ],
    );
}

#[test]
fn long_text_is_cut_between_characters() {
    check(
        r#"{"a": "123456789", "b": "1234567é", "c": "\n123456é", "d": "1234567\u00e9"}"#,
        &[
            ("a", Slot::Text("12345678")),
            ("b", Slot::Text("1234567")),
            ("c", Slot::Text("\n123456")),
            ("d", Slot::Text("1234567")),
        ],
    );
}

#[test]
fn last_of_equal_keys_counts() {
    check(r#"{"a": 1, "a": 2}"#, &[("a", Slot::Integer(2))]);
    check(r#"{"a": "\n", "a": 2}"#, &[("a", Slot::Integer(2))]);
    check(r#"{"a": "\n", "a": "\t"}"#, &[("a", Slot::Text("\t"))]);
    check(r#"{"a": 1, "\u0061": "x"}"#, &[("a", Slot::Text("x"))]);
    check(r#"{"a": 1, "a": [2]}"#, &[("a", Slot::Composite)]);
}

#[test]
fn last_of_equal_objects_counts_whole() {
    check(
        r#"{"a": {"x": 1, "z": "\n"}, "a": {"y": 2}}"#,
        &[("a.x", Slot::Absent), ("a.z", Slot::Absent), ("a.y", Slot::Integer(2))],
    );
    check(
        r#"{"a": {"x": 1}, "b": 3, "a": null}"#,
        &[("a.x", Slot::Absent), ("b", Slot::Integer(3)), ("a", Slot::Null)],
    );
}

#[test]
fn composite_is_told_only_where_a_scalar_was_met() {
    let mut plan = JsonPlan::new();
    let mut paths = Vec::new();
    for (body, expected) in [
        (r#"{"a": [1]}"#, None),
        (r#"{"a": "x"}"#, Some(Slot::Text("x"))),
        (r#"{"a": [1]}"#, Some(Slot::Composite)),
        (r#"{"a": {"b": []}}"#, Some(Slot::Composite)),
        (r#"{}"#, Some(Slot::Absent)),
    ] {
        let mut slots = vec![Slot::Absent; paths.len()];
        let mut want = |path: &str, _: &Slot<'_>| all(&mut paths, path);
        plan.decode(body.as_bytes(), &LIMITS, &mut want, &mut slots).unwrap();
        assert_eq!(slots.first().copied(), expected, "{body}");
    }
}

#[test]
fn lengths_are_counted_where_asked_for() {
    let mut plan = JsonPlan::new();
    assert!(plan.name("a[#]", 0) && plan.name("b.c{#}", 1) && !plan.name("a", 2));
    for (body, array, object) in [
        (r#"{"a": [1, [2, 3], {}], "b": {"c": {"x": 1, "y": [1]}}}"#, Some(3), Some(2)),
        (r#"{"a": [], "b": {"c": {}}}"#, Some(0), Some(0)),
        (r#"{"a": {"x": 1}, "b": {"c": [1]}}"#, None, None),
        (r#"{"a": 5, "b": 6}"#, None, None),
        (r#"{"a": [1, 2], "a": 7, "b": {"c": {"x": 1}}, "b": {}}"#, None, None),
        (r#"{"a": [1, 2], "a": [1]}"#, Some(1), None),
    ] {
        let slot = |count: Option<i64>| count.map_or(Slot::Absent, Slot::Integer);
        let mut slots = vec![Slot::Absent; 2];
        plan.decode(body.as_bytes(), &LIMITS, &mut |_, _| None, &mut slots).unwrap();
        assert_eq!(slots, [slot(array), slot(object)], "{body}");
    }
    let mut slots = Vec::new();
    plan.decode(br#"{"a": null}"#, &LIMITS, &mut |_, _| None, &mut slots).unwrap();
    assert_eq!(slots, [Slot::Null]);
}

#[test]
fn paths_are_asked_about_once() {
    let mut plan = JsonPlan::new();
    let mut paths = Vec::new();
    for _ in 0..3 {
        decode_all(&mut plan, &mut paths, r#"{"a": "\n", "b": {"c": 1}}"#).unwrap();
    }
    assert_eq!(paths, ["a", "b.c"]);
}

#[test]
fn paths_beyond_the_limit_are_skipped_and_counted() {
    let mut plan = JsonPlan::new();
    let mut paths = Vec::new();
    let body = r#"{"a":1,"b":2,"c":{"d":3,"e":4},"f":5,"g":6,"h":{"i":7},"a":8}"#;

    decode_all(&mut plan, &mut paths, body).unwrap();

    assert_eq!(paths, ["a", "b", "c.d", "c.e", "f"]);
    assert_eq!((plan.paths(), plan.skipped()), (6, 2));
    let long = format!(r#"{{"{}": 1}}"#, "k".repeat(2_000));
    let mut fresh = JsonPlan::new();
    decode_all(&mut fresh, &mut paths, &long).unwrap();
    assert_eq!((fresh.paths(), fresh.skipped()), (0, 1));
}

#[test]
fn order_of_keys_may_change() {
    let mut plan = JsonPlan::new();
    let mut paths = Vec::new();
    for body in [r#"{"a":1,"b":2,"c":3}"#, r#"{"c":3,"a":1,"b":2}"#, r#"{"c":3,"b":2}"#] {
        let mut slots = vec![Slot::Absent; 3];
        let mut want = |path: &str, _: &Slot<'_>| all(&mut paths, path);
        plan.decode(body.as_bytes(), &LIMITS, &mut want, &mut slots).unwrap();
        assert_eq!(slots[1..], [Slot::Integer(2), Slot::Integer(3)], "{body}");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    check_error("[1]", DecodeError::BadMagic);
    check_error("1", DecodeError::BadMagic);
    check_error("", DecodeError::Truncated);
}

#[test]
fn broken_text_is_refused_watched_or_not() {
    for body in [
        r#"{"a":01}"#,
        r#"{"a":1.}"#,
        r#"{"a":.5}"#,
        r#"{"a":1e}"#,
        r#"{"a":+1}"#,
        r#"{"a":-}"#,
        r#"{"a":tru}"#,
        r#"{"a":nulL}"#,
        r#"{"a" 1}"#,
        r#"{a:1}"#,
        r#"{"a":1,}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[1 2]}"#,
        r#"{,}"#,
        "{\"a\":\"\n\"}",
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12g4"}"#,
        r#"{"a":NaN}"#,
        r#"{"a":'x'}"#,
    ] {
        check_error(body, DecodeError::BadJson);
    }
    check_error(r#"{"a":1} x"#, DecodeError::TrailingBytes);
}

#[test]
fn every_prefix_is_truncated() {
    let body = r#"{"a": -1.5e+3, "b": "\u00e9é", "c": [true, {}], "d": {"e": null}}"#;
    for end in (0..body.len()).filter(|end| body.is_char_boundary(*end)) {
        check_error(&body[..end], DecodeError::Truncated);
    }
}

#[test]
fn text_that_is_not_utf8_is_refused() {
    let result =
        JsonPlan::new().decode(b"{\"a\":\"\xff\"}", &LIMITS, &mut |_, _| None, &mut Vec::new());
    assert_eq!(result, Err(DecodeError::BadUtf8));
}

#[test]
fn nesting_is_bounded() {
    check(r#"{"a":{"a":{"a":[]}}}"#, &[]);
    check_error(r#"{"a":{"a":{"a":[[]]}}}"#, DecodeError::TooDeep);
    check_error(r#"{"a":{"a":{"a":{"a":{}}}}}"#, DecodeError::TooDeep);
    let deep = format!(r#"{{"a":{}"#, "[".repeat(1 << 20));
    let limits = DecodeLimits { depth: usize::MAX, ..LIMITS };
    let result =
        JsonPlan::new().decode(deep.as_bytes(), &limits, &mut |_, _| None, &mut Vec::new());
    assert_eq!(result, Err(DecodeError::TooDeep));
}

/// Decodes twice with these paths of items watched; gives their values by path, in order.
fn check_items(paths: &[&'static str], body: &str, expected: &[(&str, Slot<'_>)]) {
    let mut plan = JsonPlan::new();
    for (slot, path) in paths.iter().enumerate() {
        assert!(plan.name(path, slot), "{path}");
    }
    for _ in 0..2 {
        let (mut slots, mut items) = (Vec::new(), Items::new(3));
        let mut want = |path: &str, _: &Slot<'_>| {
            assert!(!path.contains(['[', '{']), "{path}");
            None
        };
        let limits = DecodeLimits { depth: 8, paths: 20, ..LIMITS };
        let out = (&mut slots, &mut items);
        let result = plan.decode_with_items(body.as_bytes(), &limits, &mut want, out);
        assert_eq!(result, Ok(()), "{body}");
        let found: Vec<_> = items.values().map(|(slot, value)| (paths[slot], *value)).collect();
        assert_eq!(found, expected, "{body}");
    }
}

#[test]
fn items_are_read_like_records_of_their_own() {
    let (int, text) = (Slot::Integer, Slot::Text);
    check_items(
        &["a[]"],
        r#"{"a": [1, "\n", null]}"#,
        &[("a[]", int(1)), ("a[]", text("\n")), ("a[]", Slot::Null)],
    );
    check_items(
        &["a[].p"],
        r#"{"a": [{"p": 1, "q": 9}, {"q": 2}, {"p": "\t", "p": "\n"}]}"#,
        &[("a[].p", int(1)), ("a[].p", Slot::Absent), ("a[].p", text("\n"))],
    );
    check_items(&["a[]"], r#"{"a": [{"p": 1}, [2]]}"#, &[("a[]", Slot::Composite); 2]);
    check_items(
        &["a[].b[].c", "a[].b[#]"],
        r#"{"a": [{"b": [{"c": 1}, {"c": 2}]}, {"b": []}]}"#,
        &[("a[].b[].c", int(1)), ("a[].b[].c", int(2)), ("a[].b[#]", int(2)), ("a[].b[#]", int(0))],
    );
    check_items(
        &["m{}", "m[]"],
        r#"{"m": {"x": 1, "y": 2}, "n": [1]}"#,
        &[("m{}", int(1)), ("m{}", int(2))],
    );
    check_items(&["m{}", "m[]"], r#"{"m": [1]}"#, &[("m[]", int(1))]);
    for none in [r#"{"a": []}"#, r#"{"a": null}"#, r#"{"a": 5}"#, "{}"] {
        check_items(&["a[]", "a[].p"], none, &[]);
    }
}

#[test]
fn items_of_the_last_of_equal_keys_count() {
    let int = Slot::Integer;
    check_items(&["a[]"], r#"{"a": [1, "\n"], "a": [3]}"#, &[("a[]", int(3))]);
    check_items(&["a[].p"], r#"{"a": [{"p": 1}], "a": 5}"#, &[]);
    check_items(
        &["a[].b[]"],
        r#"{"a": [{"b": [1]}, {"b": [2], "b": [3]}]}"#,
        &[("a[].b[]", int(1)), ("a[].b[]", int(3))],
    );
}
