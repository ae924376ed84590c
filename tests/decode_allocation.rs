//! Decoders allocate nothing for a record once they have met its like, and little for a bad one.

#![expect(unsafe_code, reason = "counting allocations takes an allocator")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use driftline::observe::{AvroPlan, DecodeLimits, ItemPaths, Items, JsonPlan, Slot, parse_schema};

const LIMITS: DecodeLimits = DecodeLimits { depth: 64, text_bytes: 256, paths: 100 };

thread_local! {
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.with(|bytes| bytes.set(bytes.get() + layout.size()));
        // SAFETY: as promised by the caller.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as promised by the caller.
        unsafe { System.dealloc(pointer, layout) }
    }
}

fn allocated(mut work: impl FnMut()) -> usize {
    let before = BYTES.get();
    work();
    BYTES.get() - before
}

const SCHEMA: &str = r#"{"type": "record", "name": "R", "fields": [
    {"name": "n", "type": ["null", "double"]}, {"name": "t", "type": "string"},
    {"name": "a", "type": {"type": "array", "items": "string"}},
    {"name": "d", "type": {"type": "bytes", "logicalType": "decimal", "precision": 60}}]}"#;

fn avro_plan() -> AvroPlan {
    let mut next = 0;
    let mut want = |_: &_| {
        next += 1;
        Some(next - 1)
    };
    AvroPlan::parse(SCHEMA, &mut want).expect("a valid schema")
}

#[test]
fn avro_allocates_nothing() {
    let plan = avro_plan();
    let body = b"\x02\0\0\0\0\0\0\0\0\x04ab\x02\x02x\0\x02\x07";
    let mut slots = [Slot::Absent; 4];

    let bytes = allocated(|| assert_eq!(plan.decode(body, &LIMITS, &mut slots), Ok(())));

    assert_eq!(bytes, 0);
}

#[test]
fn avro_allocates_nothing_for_lengths_that_lie() {
    let plan = avro_plan();
    let length = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
    for before in [&b"\0"[..], b"\0\x02x", b"\0\x02x\x02", b"\0\x02x\0"] {
        let body = [before, &length, b"xx"].concat();
        let mut slots = [Slot::Absent; 4];
        let bytes = allocated(|| assert!(plan.decode(&body, &LIMITS, &mut slots).is_err()));
        assert_eq!(bytes, 0, "{body:?}");
    }
}

#[test]
fn json_allocates_nothing_once_its_paths_are_met() {
    let body = br#"{"a": 1.5, "b\n": "x\u00e9y", "c": {"d": [1, {"e": 2}], "f": "g"}, "a": null}"#;
    let mut plan = JsonPlan::new();
    let mut kept = Vec::new();
    let mut next = 0;
    let mut record = || {
        let mut slots = driftline::observe::recycle(std::mem::take(&mut kept));
        slots.resize(next, Slot::Absent);
        let mut want = |_: &str, _: &Slot<'_>| {
            next += 1;
            Some(next - 1)
        };
        assert_eq!(plan.decode(body, &LIMITS, &mut want, &mut slots), Ok(()));
        kept = driftline::observe::recycle(slots);
    };
    record();

    assert_eq!(allocated(record), 0);
}

#[test]
fn items_allocate_nothing_once_their_like_was_met() {
    let paths = ["a[]", "a[].x"];
    let mut watch = ItemPaths::default();
    let mut json = JsonPlan::new();
    for (slot, path) in paths.iter().enumerate() {
        assert!(watch.name(path, slot) && json.name(path, slot));
    }
    let schema = r#"{"type": "record", "name": "R", "fields": [{"name": "a", "type":
        {"type": "array", "items": ["string", "null"]}}]}"#;
    let schema = parse_schema(schema).expect("a valid schema");
    let avro = AvroPlan::compile(&schema, &mut |_| None, &watch).expect("compiled");
    let text = br#"{"a": ["\u00e9", {"x": 5, "y": 6}, null], "b": 1}"#;
    let mut kept = Items::new(8);
    let mut record = || {
        for _ in 0..2 {
            let mut items = std::mem::replace(&mut kept, Items::new(1)).recycle();
            let mut slots = [Slot::Absent; 2];
            let body = b"\x04\0\x02x\x02\0";
            assert_eq!(avro.decode_with_items(body, &LIMITS, &mut slots, &mut items), Ok(()));
            assert_eq!(items.values().count(), 4);
            kept = items.recycle();
        }
    };
    record();
    assert_eq!(allocated(record), 0);

    let mut kept = Items::new(8);
    let mut empty = Vec::new();
    let mut record = || {
        let mut items = std::mem::replace(&mut kept, Items::new(1)).recycle();
        let mut slots = driftline::observe::recycle(std::mem::take(&mut empty));
        slots.resize(2, Slot::Absent);
        let out = (&mut slots, &mut items);
        assert_eq!(json.decode_with_items(text, &LIMITS, &mut |_, _| None, out), Ok(()));
        assert_eq!(items.values().count(), 6);
        empty = driftline::observe::recycle(slots);
        kept = items.recycle();
    };
    record();
    assert_eq!(allocated(record), 0);
}
