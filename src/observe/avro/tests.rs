//! What the plan does with layouts that no writer here produces, and what it says about fields;
//! `tests/decode_differential.rs` holds it against apache-avro.

use super::*;

const LIMITS: DecodeLimits = DecodeLimits { depth: 8, text_bytes: 6, paths: 0 };

fn record(fields: &str) -> String {
    format!(r#"{{"type": "record", "name": "R", "fields": [{fields}]}}"#)
}

/// A plan that watches everything, and the paths in the order of their slots.
fn watch_all(schema: &str) -> (AvroPlan, Vec<String>) {
    watch(schema, |kind| kind != FoundKind::Length)
}

fn watch(schema: &str, wants: impl Fn(FoundKind) -> bool) -> (AvroPlan, Vec<String>) {
    let mut paths = Vec::new();
    let plan = AvroPlan::parse(schema, &mut |found| {
        wants(found.kind).then(|| {
            paths.push(found.schema.path.clone());
            paths.len() - 1
        })
    });
    (plan.unwrap(), paths)
}

/// Decodes with everything watched, and with nothing watched: both must agree on errors.
fn check(schema: &str, body: &[u8], expected: Result<&[Slot<'_>], DecodeError>) {
    let (plan, paths) = watch_all(schema);
    let mut slots = vec![Slot::Absent; paths.len()];
    let result = plan.decode(body, &LIMITS, &mut slots);
    assert_eq!(result.map(|()| &slots[..]), expected);

    let blind = AvroPlan::parse(schema, &mut |_| None).unwrap();
    let result = blind.decode(body, &LIMITS, &mut []);
    if expected.is_ok() {
        assert_eq!(result, Ok(()));
    }
}

#[test]
fn null_branch_makes_every_path_below_null() {
    let inner = r#"{"type": "record", "name": "I", "fields": [
        {"name": "a", "type": "int"}, {"name": "b", "type": ["string", "null"]}]}"#;
    let schema = record(&format!(r#"{{"name": "i", "type": ["null", {inner}]}}"#));

    check(&schema, &[0], Ok(&[Slot::Null, Slot::Null]));
    check(&schema, &[2, 2, 2], Ok(&[Slot::Integer(1), Slot::Null]));
    check(&schema, &[2, 2, 0, 2, b'x'], Ok(&[Slot::Integer(1), Slot::Text("x")]));
    check(&schema, &[4], Err(DecodeError::BadBranch));
    check(&schema, &[1], Err(DecodeError::BadBranch));
}

#[test]
fn branches_share_paths_and_leave_the_others_absent() {
    let schema = record(
        r#"{"name": "u", "type": ["null", "long", "string",
            {"type": "record", "name": "A", "fields": [
                {"name": "x", "type": "int"}, {"name": "y", "type": "int"}]},
            {"type": "record", "name": "B", "fields": [{"name": "x", "type": "string"}]}]},
           {"name": "after", "type": "int"}"#,
    );
    let (absent, after) = (Slot::Absent, Slot::Integer(5));

    check(&schema, &[0, 10], Ok(&[Slot::Null, Slot::Null, Slot::Null, after]));
    check(&schema, &[2, 2, 10], Ok(&[Slot::Integer(1), absent, absent, after]));
    check(&schema, &[4, 2, b'x', 10], Ok(&[Slot::Text("x"), absent, absent, after]));
    let both = [absent, Slot::Integer(1), Slot::Integer(2), after];
    check(&schema, &[6, 2, 4, 10], Ok(&both));
    check(&schema, &[8, 2, b'x', 10], Ok(&[absent, Slot::Text("x"), absent, after]));

    let fields = schema_fields(&parse_schema(&schema).unwrap()).unwrap();
    let types: Vec<_> = fields.iter().map(|field| &*field.type_name).collect();
    assert_eq!(types, ["long|string", "int|string", "int", "int"]);
}

#[test]
fn arrays_and_maps_are_skipped_in_all_their_layouts() {
    let after = Ok(&[Slot::Integer(5)][..]);
    for (items, body) in [
        (r#"{"type": "array", "items": "string"}"#, &[0, 10][..]),
        (r#"{"type": "array", "items": "string"}"#, &[4, 2, b'a', 0, 0, 10]),
        (r#"{"type": "array", "items": "string"}"#, &[3, 6, 2, b'a', 0, 0, 10]),
        (r#"{"type": "array", "items": "string"}"#, &[2, 2, b'a', 1, 2, 0, 0, 10]),
        (r#"{"type": "array", "items": "float"}"#, &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10]),
        (r#"{"type": "array", "items": "null"}"#, &[0x80, 0x80, 0x80, 0x80, 0x10, 0, 10]),
        (r#"{"type": "map", "values": "double"}"#, &[2, 2, b'k', 0, 0, 0, 0, 0, 0, 0, 0, 0, 10]),
        (r#"{"type": "map", "values": "null"}"#, &[2, 2, b'k', 0, 10]),
        (
            r#"{"type": "array", "items": {"type": "array", "items": ["null", "int"]}}"#,
            &[4, 4, 0, 2, 2, 0, 2, 0, 0, 0, 10],
        ),
    ] {
        let schema =
            record(&format!(r#"{{"name": "a", "type": {items}}}, {{"name": "n", "type": "int"}}"#));
        check(&schema, body, after);
    }
}

#[test]
fn lengths_are_counted_in_all_layouts() {
    for (items, body, path, expected) in [
        (r#"{"type": "array", "items": "string"}"#, &[0][..], "a[#]", Slot::Integer(0)),
        (
            r#"{"type": "array", "items": "string"}"#,
            &[3, 6, 2, b'a', 0, 0],
            "a[#]",
            Slot::Integer(2),
        ),
        (
            r#"{"type": "array", "items": "string"}"#,
            &[2, 2, b'a', 1, 2, 0, 4, 0, 0, 0],
            "a[#]",
            Slot::Integer(4),
        ),
        (r#"{"type": "array", "items": "float"}"#, &[2, 0, 0, 0, 0, 0], "a[#]", Slot::Integer(1)),
        (
            r#"{"type": "array", "items": "null"}"#,
            &[0x80, 0x80, 0x80, 0x80, 0x10, 0],
            "a[#]",
            Slot::Integer(1 << 31),
        ),
        (r#"{"type": "map", "values": "null"}"#, &[2, 2, b'k', 0], "a{#}", Slot::Integer(1)),
        (r#"["null", {"type": "array", "items": "int"}]"#, &[0], "a[#]", Slot::Null),
        (r#"["null", {"type": "array", "items": "int"}]"#, &[2, 2, 8, 0], "a[#]", Slot::Integer(1)),
        (r#"["int", {"type": "map", "values": "int"}]"#, &[0, 8], "a{#}", Slot::Absent),
    ] {
        let schema = record(&format!(r#"{{"name": "a", "type": {items}}}"#));
        let (plan, paths) = watch(&schema, |kind| kind == FoundKind::Length);
        let mut slots = [Slot::Absent];
        assert_eq!(plan.decode(body, &LIMITS, &mut slots), Ok(()), "{items} {body:?}");
        assert_eq!((paths, slots), (vec![path.to_owned()], [expected]), "{items} {body:?}");
    }
    let fields = schema_fields(
        &parse_schema(&record(r#"{"name": "a", "type": {"type": "array", "items": "int"}}"#))
            .unwrap(),
    );
    let paths: Vec<String> = fields.unwrap().into_iter().map(|field| field.path).collect();
    assert_eq!(paths, ["a"], "a length is no path of the schema");
}

#[test]
fn blocks_that_lie_are_errors() {
    for (items, body, expected) in [
        ("string", &[0xfe, 0xff, 0xff, 0xff, 0xff, 1, 2][..], DecodeError::Truncated),
        ("double", &[0xfe, 0xff, 0xff, 0xff, 0xff, 1, 2], DecodeError::Truncated),
        ("string", &[1, 8, 0], DecodeError::Truncated),
        ("string", &[1, 1, 0], DecodeError::BadLength),
        ("double", &[1, 1, 0], DecodeError::BadLength),
    ] {
        let schema =
            record(&format!(r#"{{"name": "a", "type": {{"type": "array", "items": "{items}"}}}}"#));
        check(&schema, body, Err(expected));
    }
}

#[test]
fn array_beside_scalars_is_composite() {
    let array = r#"{"type": "array", "items": "int"}"#;
    let schema = record(&format!(r#"{{"name": "a", "type": ["null", "string", {array}]}}"#));

    check(&schema, &[2, 2, b'x'], Ok(&[Slot::Text("x")]));
    check(&schema, &[4, 2, 2, 0], Ok(&[Slot::Composite]));
    check(&schema, &[0], Ok(&[Slot::Null]));
}

#[test]
fn record_inside_itself_is_skipped_to_the_depth_limit() {
    let schema = record(
        r#"{"name": "v", "type": "int"}, {"name": "next", "type": ["null", "R"]},
           {"name": "others", "type": {"type": "array", "items": "R"}}"#,
    );
    let value = Slot::Integer(1);

    check(&schema, &[2, 0, 0], Ok(&[value]));
    check(&schema, &[2, 2, 4, 0, 0, 0], Ok(&[value]));
    check(&schema, &[2, 0, 4, 4, 0, 0, 6, 0, 0, 0], Ok(&[value]));
    let mut deep: Vec<u8> = [2, 2].repeat(20);
    deep.extend([2, 0, 0]);
    deep.extend([0; 20]);
    check(&schema, &deep, Err(DecodeError::TooDeep));
}

#[test]
fn record_made_of_itself_is_too_deep_and_does_not_loop() {
    check(&record(r#"{"name": "r", "type": "R"}"#), &[], Err(DecodeError::TooDeep));
}

#[test]
fn names_that_multiply_are_not_compiled() {
    let mut inner = r#""double""#.to_owned();
    for level in 0..20 {
        inner = format!(
            r#"{{"type": "record", "name": "L{level}", "fields": [
                {{"name": "a", "type": {inner}}}, {{"name": "b", "type": "L{}"}}]}}"#,
            if level == 0 { "X".to_owned() } else { (level - 1).to_string() }
        );
        if level == 0 {
            inner = inner.replace(r#""LX""#, r#""double""#);
        }
    }

    let result = AvroPlan::parse(&inner, &mut |_| Some(0));

    assert_eq!(result.unwrap_err(), CompileError::TooLarge);
}

#[test]
fn root_must_be_made_of_records() {
    for schema in [r#""string""#, r#"["null", "string"]"#, r#"{"type": "array", "items": "int"}"#] {
        let result = AvroPlan::parse(schema, &mut |_| None);
        assert_eq!(result.unwrap_err(), CompileError::NotARecord, "{schema}");
    }
    let result = AvroPlan::parse("{", &mut |_| None);
    assert_eq!(result.unwrap_err().reason(), "schema_invalid");
}

#[test]
fn root_may_be_a_union_of_records() {
    let of = |name: &str| {
        format!(
            r#"{{"type": "record", "name": "{name}", "fields": [
            {{"name": "{name}", "type": "int"}}]}}"#
        )
    };
    let schema = format!("[{}, {}]", of("A"), of("B"));

    check(&schema, &[2, 2], Ok(&[Slot::Absent, Slot::Integer(1)]));
}

#[test]
fn body_must_end_with_the_record() {
    let schema = record(r#"{"name": "n", "type": "int"}"#);

    check(&schema, &[2, 0], Err(DecodeError::TrailingBytes));
    check(&schema, &[], Err(DecodeError::Truncated));
}

#[test]
fn text_and_bytes_are_cut_at_the_limit() {
    let schema = record(r#"{"name": "t", "type": "string"}, {"name": "b", "type": "bytes"}"#);

    let body = [&[16], "aaaaaé".as_bytes(), b"x\x10bbbbbbbb"].concat();

    check(&schema, &body, Ok(&[Slot::Text("aaaaa"), Slot::Bytes(b"bbbbbb")]));
}

#[test]
fn values_outside_their_type_are_errors() {
    let symbols = r#"{"type": "enum", "name": "E", "symbols": ["A"]}"#;
    for (kind, body, expected) in [
        (r#""boolean""#, &[2][..], DecodeError::BadBool),
        (symbols, &[2], DecodeError::BadEnum),
        (symbols, &[1], DecodeError::BadEnum),
        (r#""string""#, &[2, 0xff], DecodeError::BadUtf8),
        (r#"{"type": "bytes", "logicalType": "big-decimal"}"#, &[2, 9], DecodeError::BadDecimal),
    ] {
        let (plan, _) = watch_all(&record(&format!(r#"{{"name": "f", "type": {kind}}}"#)));
        assert_eq!(plan.decode(body, &LIMITS, &mut [Slot::Absent]), Err(expected), "{kind}");
    }
}

#[test]
fn times_are_milliseconds_rounded_down() {
    for (kind, logical, body, expected) in [
        ("int", "date", &[3][..], -172_800_000),
        ("int", "time-millis", &[4], 2),
        ("long", "timestamp-micros", &[1], -1),
        ("long", "local-timestamp-nanos", &[1], -1),
        ("long", "timestamp-millis", &[1], -1),
    ] {
        let schema = record(&format!(
            r#"{{"name": "f", "type": {{"type": "{kind}", "logicalType": "{logical}"}}}}"#
        ));
        check(&schema, body, Ok(&[Slot::TimeMs(expected)]));
    }
}

#[test]
fn fields_tell_what_the_schema_says() {
    let schema = record(
        r#"{"name": "d", "doc": "Price.", "default": null, "type": ["null",
              {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}]},
           {"name": "e", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]},
              "default": "A"},
           {"name": "tags", "type": {"type": "array", "items": "string"}},
           {"name": "r", "type": {"type": "record", "name": "I", "fields": [
              {"name": "m", "type": {"type": "map", "values": "int"}}]}}"#,
    );

    let fields = schema_fields(&parse_schema(&schema).unwrap()).unwrap();

    let field = |path: &str, type_name: &str| SchemaField {
        path: path.into(),
        type_name: type_name.into(),
        nullable: false,
        logical_type: None,
        default: None,
        symbols: vec![],
        doc: None,
    };
    let expected = [
        SchemaField {
            nullable: true,
            logical_type: Some("decimal(10,2)".into()),
            default: Some("null".into()),
            doc: Some("Price.".into()),
            ..field("d", "bytes")
        },
        SchemaField {
            default: Some(r#""A""#.into()),
            symbols: vec!["A".into(), "B".into()],
            ..field("e", "enum")
        },
        field("tags", "array"),
        field("r.m", "map"),
    ];
    assert_eq!(fields, expected);
    let (_, watched) = watch_all(&schema);
    assert_eq!(watched, ["d", "e"]);
}

#[test]
fn slots_beyond_the_callers_are_dropped() {
    let plan = AvroPlan::parse(&record(r#"{"name": "n", "type": "int"}"#), &mut |_| Some(9));

    assert_eq!(plan.unwrap().decode(&[2], &LIMITS, &mut []), Ok(()));
}

/// Decodes with these paths of items watched; gives their values by path, in order.
fn items_of<'a>(
    plan: &'a AvroPlan,
    paths: &[&'static str],
    body: &'a [u8],
) -> Result<Vec<(&'static str, Slot<'a>)>, DecodeError> {
    let mut items = Items::new(3);
    let mut slots = vec![Slot::Absent; paths.len()];
    plan.decode_with_items(body, &LIMITS, &mut slots, &mut items)?;
    assert!(slots.iter().all(|slot| *slot == Slot::Absent), "{slots:?}");
    Ok(items.values().map(|(slot, value)| (paths[slot], *value)).collect())
}

fn plan_of_items(schema: &str, paths: &[&'static str]) -> AvroPlan {
    let mut watch = ItemPaths::default();
    for (slot, path) in paths.iter().enumerate() {
        assert!(watch.name(path, slot), "{path}");
    }
    let schema = parse_schema(schema).unwrap();
    AvroPlan::compile(&schema, &mut |_| None, &watch).unwrap()
}

#[test]
fn items_are_found_in_all_layouts() {
    let line = r#"{"type": "record", "name": "L", "fields": [{"name": "p", "type": ["null", "int"]},
        {"name": "q", "type": "int"}]}"#;
    let (int, p, none) = (Slot::Integer, "a[].p", Slot::Absent);
    for (items, paths, body, expected) in [
        (
            r#""string""#,
            &["a[]"][..],
            &[4, 2, b'x', 0, 0][..],
            vec![("a[]", Slot::Text("x")), ("a[]", Slot::Text(""))],
        ),
        // Blocks that tell their size, and two of them.
        (
            r#""int""#,
            &["a[]"],
            &[3, 4, 2, 4, 1, 2, 6, 0],
            vec![("a[]", int(1)), ("a[]", int(2)), ("a[]", int(3))],
        ),
        (line, &["a[].p"], &[4, 0, 8, 2, 6, 8, 0], vec![(p, Slot::Null), (p, int(3))]),
        (line, &["a[].p", "a[].gone"], &[2, 2, 6, 8, 0], vec![(p, int(3)), ("a[].gone", none)]),
        (line, &["a[]"], &[2, 0, 8, 0], vec![("a[]", none)]),
        (
            r#"{"type": "array", "items": "int"}"#,
            &["a[][]", "a[][#]", "a[]"],
            &[4, 2, 8, 0, 0, 0],
            vec![
                ("a[][]", int(4)),
                ("a[][#]", int(1)),
                ("a[]", Slot::Composite),
                ("a[][#]", int(0)),
                ("a[]", Slot::Composite),
            ],
        ),
        (
            r#"{"type": "map", "values": "int"}"#,
            &["a[]{}"],
            &[2, 2, 2, b'k', 8, 0, 0],
            vec![("a[]{}", int(4))],
        ),
        (r#""string""#, &["a[]"], &[0], vec![]),
    ] {
        let schema =
            record(&format!(r#"{{"name": "a", "type": {{"type": "array", "items": {items}}}}}"#));
        let plan = plan_of_items(&schema, paths);
        assert_eq!(items_of(&plan, paths, body), Ok(expected), "{items} {body:?}");
    }
}

#[test]
fn items_of_a_branch_not_taken_are_none() {
    let schema = record(r#"{"name": "a", "type": ["null", {"type": "map", "values": "int"}]}"#);
    let plan = plan_of_items(&schema, &["a{}"]);

    assert_eq!(items_of(&plan, &["a{}"], &[0]), Ok(vec![]));
    let one = Ok(vec![("a{}", Slot::Integer(4))]);
    assert_eq!(items_of(&plan, &["a{}"], &[2, 2, 2, b'k', 8, 0]), one);
}

#[test]
fn items_that_lie_are_errors_or_cost_nothing() {
    let array = |items: &str| {
        let schema =
            record(&format!(r#"{{"name": "a", "type": {{"type": "array", "items": {items}}}}}"#));
        plan_of_items(&schema, &["a[]"])
    };
    let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    let nulls = array(r#""null""#);
    let bomb = [&most[..], &[0]].concat();
    assert_eq!(items_of(&nulls, &["a[]"], &bomb), Ok(vec![("a[]", Slot::Null); 3]));
    let ints = array(r#""int""#);
    for (body, error) in [
        (&bomb[..], DecodeError::Truncated),
        (&[1, 1, 0], DecodeError::BadLength),
        // A size beyond, before and behind the end of the items.
        (&[1, 8, 2, 0], DecodeError::Truncated),
        (&[3, 2, 2, 4, 0], DecodeError::Truncated),
        (&[1, 4, 2, 4, 0], DecodeError::TrailingBytes),
    ] {
        assert_eq!(items_of(&ints, &["a[]"], body), Err(error), "{body:?}");
    }
}
