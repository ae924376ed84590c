//! The bytes of internal messages are held by files: what one build wrote, the next one reads.
//!
//! Each file in `tests/data/golden` is a fixed value of one message kind in hexadecimal. A
//! mismatch means that the bytes of a version have changed. While topics hold messages of that
//! version the way out is a new version beside it (`event/wire.rs`), not a new file.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write};
use std::path::Path;

use driftline::event::cell::{CellKey, ModelCellKey, Origin};
use driftline::event::epoch::{Rewound, RewoundSource};
use driftline::event::fact::{
    FactBatch, FactCell, FactTerms, OutcomeFact, PredictionFact, fact_id,
};
use driftline::event::finding::{
    Alarm, AlarmState, BaselineRef, CellTable, Change, ConfigMismatch, Effect, FieldChange,
    Finding, FindingBatch, FindingItem, IntegrityBreach, Maturity, Restarted, SchemaChange, Series,
    SeriesKind, Subject, Verdict,
};
use driftline::event::layout::{Layout, LayoutUpdate};
use driftline::event::progress::{Header, JoinProgress, OutcomeCounts, Progress};
use driftline::event::schema::{SchemaField, SchemaSeen};
use driftline::event::summary::{
    CellDelta, DatasetDelta, ModelDelta, OutcomeDelta, OutcomeSums, PredictionSums, SampleDelta,
    SummaryBatch,
};
use driftline::event::time::EventTime;
use driftline::event::wire::{Wire, WireError, decode, encode};
use driftline::sketch::{FieldKind, FieldLayout, FieldSummary, Sample, SampleValue};
use proptest::prelude::*;

const HOUR_MS: i64 = 3_600_000;
/// 2023-11-14 22:00 UTC.
const START: EventTime = EventTime(1_699_999_200_000);

fn progress() -> Progress {
    Progress {
        topic: "orders".into(),
        partition: 1,
        partition_count: 4,
        from: 900,
        to: 1_012,
        counts: OutcomeCounts {
            accepted: 100,
            late: 5,
            past: 1,
            future: 2,
            filtered: 0,
            quarantined: 3,
            tombstone: 1,
        },
        max_event_time: Some(START.plus_ms(59_000)),
        newest_append_ms: None,
        at_end: true,
    }
}

fn model_cell() -> ModelCellKey {
    let origin =
        Origin { dataset: "orders".into(), producer: "pos-7".into(), schema_version: "13".into() };
    ModelCellKey { model_version: "7".into(), exposure: vec![origin] }
}

fn facts() -> FactBatch {
    FactBatch {
        header: Some(vec![progress()]),
        models: vec!["fraud".into()],
        terms: Vec::new(),
        cells: vec![FactCell { model: 0, window: START, key: model_cell() }],
        predictions: vec![PredictionFact {
            id: fact_id(b"tx-1"),
            cell: 0,
            time: START.plus_ms(1),
            flagged: true,
        }],
        outcomes: vec![OutcomeFact {
            id: fact_id(b"1002"),
            model: 0,
            time: START.plus_ms(HOUR_MS),
            positive: false,
        }],
    }
}

/// Facts that say what they were counted under.
fn facts_of_a_definition() -> FactBatch {
    let terms = FactTerms {
        definition: 0x6994_0ff4_15f1_1fcf,
        labels: 8,
        outcomes: u64::MAX,
        window_ms: HOUR_MS,
    };
    FactBatch { terms: vec![terms], ..facts() }
}

/// Outcomes that say what their predictions were counted under.
fn outcomes_of_a_definition() -> SummaryBatch {
    let mut batch = summaries();
    let unsaid = batch.outcomes[0].clone();
    batch.outcomes[0].definition = Some(0x6994_0ff4_15f1_1fcf);
    batch.outcomes.push(unsaid);
    batch
}

fn samples() -> [Sample; 2] {
    let mut numbers = Sample::default();
    let mut categories = Sample::default();
    for i in 0..40_u64 {
        numbers.add(i * 7, SampleValue::Number(i as f64 * 1.5 - 10.0));
        let text = (i % 2 == 0).then(|| "DE".to_owned());
        categories.add(i * 11, SampleValue::Category { hash: i % 2, text });
    }
    [numbers, categories]
}

fn layouts() -> BTreeMap<String, FieldLayout> {
    let [numbers, categories] = samples();
    let learn = |sample| FieldLayout::learn(sample).expect("a sample with values");
    BTreeMap::from([
        ("amount".to_owned(), learn(&numbers)),
        ("country".to_owned(), learn(&categories)),
    ])
}

fn dataset_delta() -> DatasetDelta {
    let layouts = layouts();
    let mut amount = FieldSummary::new(FieldKind::Numeric, layouts.get("amount"));
    for value in [-8.5, 0.0, 12.0, 1e9, f64::NAN] {
        amount.add_number(value, layouts.get("amount"));
    }
    let mut country = FieldSummary::new(FieldKind::Category, layouts.get("country"));
    country.add_category(0, layouts.get("country"));
    country.counters.null = 4;
    DatasetDelta {
        dataset: "orders".into(),
        definition: 0x6994_0ff4_15f1_1fcf,
        window: START,
        layout: Some(u64::MAX),
        evicted_from: None,
        cells: vec![CellDelta {
            key: CellKey { producer: "pos-7".into(), schema_version: "13".into() },
            rows: 5,
            max_event_time: START.plus_ms(59_000),
            fields: vec![("amount".into(), amount), ("country".into(), country)],
        }],
    }
}

fn prediction_sums() -> PredictionSums {
    let mut sums = PredictionSums::default();
    sums.add(Some(0.97), true);
    sums.add(Some(0.0), false);
    sums.add(None, false);
    sums
}

fn outcome_sums() -> OutcomeSums {
    let mut sums = OutcomeSums::default();
    sums.add(true, false);
    sums.add(false, true);
    sums.assumed = 1;
    sums
}

fn schema_seen(version: &str) -> SchemaSeen {
    SchemaSeen {
        dataset: "orders".into(),
        schema_version: version.into(),
        subject: Some("orders-value".into()),
        number: Some(13),
        fields: vec![SchemaField {
            path: "loyalty_tier".into(),
            type_name: "enum".into(),
            nullable: true,
            logical_type: None,
            default: Some("null".into()),
            symbols: vec!["GOLD".into(), "NONE".into()],
            doc: Some("Tier.".into()),
        }],
        partition: 2,
        offset: 312,
        event_time: START,
        producer: "pos-7".into(),
    }
}

fn summaries() -> SummaryBatch {
    let [sample, _] = samples();
    let join = JoinProgress {
        partition: 3,
        partition_count: 8,
        from: 10,
        to: 11,
        clocks: vec![("fraud".into(), START)],
    };
    SummaryBatch {
        header: Some(Header::Join(join)),
        datasets: vec![dataset_delta()],
        models: vec![ModelDelta {
            model: "fraud".into(),
            definition: 7,
            window: START,
            evicted_from: Some(99),
            cells: vec![(model_cell(), prediction_sums())],
        }],
        outcomes: vec![OutcomeDelta {
            model: "fraud".into(),
            window: START,
            key: model_cell(),
            age: 10,
            sums: outcome_sums(),
            definition: None,
        }],
        samples: vec![SampleDelta {
            dataset: "orders".into(),
            definition: 7,
            field: "amount".into(),
            sample,
        }],
        schemas: vec![schema_seen("13")],
    }
}

fn finding() -> Finding {
    Finding {
        series: Series {
            subject: Subject::Dataset("orders".into()),
            field: "amount".into(),
            kind: SeriesKind::Drift,
            producer: None,
            schema_version: Some("13".into()),
        },
        window_start: START,
        window_end: START.plus_ms(HOUR_MS),
        as_of: START.plus_ms(HOUR_MS),
        verdict: Verdict::Detected,
        test: "minimum_effect_chi_square".into(),
        value: 812.25,
        threshold: 1e-4,
        p_value: 0.0,
        effect: Effect {
            estimate: 2.5,
            low: 2.25,
            high: 2.75,
            unit: "divergence".into(),
            window: Some(0.5),
            baseline: None,
        },
        rows_total: 20_000,
        rows_window: 3_267,
        rows_baseline: 3_300,
        change: Some(Change {
            kind: "scale".into(),
            factor: Some(98.5),
            named: Some("x100".into()),
            evidence: "quantiles".into(),
            spread: 0.01,
        }),
        baseline: BaselineRef {
            kind: "same_window".into(),
            from: START,
            to: START.plus_ms(HOUR_MS),
            windows: 1,
        },
        complete: true,
        watermark: START.plus_ms(2 * HOUR_MS),
        layout: Some(1),
        definition: 7,
    }
}

fn findings() -> FindingBatch {
    let alarm = Alarm {
        id: 0xfeed,
        state: AlarmState::Opened,
        revision: 0,
        first_seen: START,
        finding: finding(),
        ledger: vec![("orders".into(), 1, 1_012)],
    };
    let table = CellTable {
        model: "fraud".into(),
        window_start: START,
        window_end: START.plus_ms(HOUR_MS),
        as_of: START.plus_ms(5 * HOUR_MS),
        revision: 2,
        complete: false,
        maturity: Maturity::Mature,
        cells: vec![(model_cell(), prediction_sums(), outcome_sums())],
    };
    let change = SchemaChange {
        to: schema_seen("13"),
        from: schema_seen("12"),
        fields: vec![FieldChange {
            path: "loyalty_tier".into(),
            kind: "added".into(),
            before: None,
            after: Some("string or null".into()),
        }],
        window_start: START,
    };
    let breach =
        IntegrityBreach { topic: "orders".into(), partition: 1, expected: 1_012, got: 1_020 };
    FindingBatch {
        shard: 5,
        items: vec![
            FindingItem::Alarm(Box::new(alarm)),
            FindingItem::Schema(Box::new(change)),
            FindingItem::Cells(Box::new(table)),
            FindingItem::Contrast(Box::new(finding())),
            FindingItem::Integrity(breach),
        ],
        closed: vec![(Subject::Model("fraud".into()), START)],
    }
}

fn layout_update() -> LayoutUpdate {
    LayoutUpdate {
        dataset: "orders".into(),
        definition: 7,
        closed_through: Some(START),
        layout: Some(Layout { id: 1, effective_from: START, fields: layouts() }),
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(32) {
        line.iter().for_each(|byte| write!(text, "{byte:02x}").expect("a String takes all"));
        text.push('\n');
    }
    text
}

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    let pair = |pair: &[u8]| {
        let pair = std::str::from_utf8(pair).expect("ASCII digits");
        u8::from_str_radix(pair, 16).expect("hexadecimal digits")
    };
    digits.chunks(2).map(pair).collect()
}

/// A value is its file, and its file is the value. NaN is no part of the values: counters count
/// it, nothing stores it.
fn check<M: Wire + PartialEq + Debug>(message: &M, name: &str) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/golden").join(name);
    let stored = std::fs::read_to_string(&file).unwrap_or_default();
    let written = hex(&encode(message));
    if stored != written {
        let beside = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&beside, &written).expect("the scratch folder takes a file");
        panic!(
            "{name}: version {} is written in other bytes than before; messages of that version \
             may be in topics, so give the new form a version of its own. The bytes of this \
             build are in {}",
            message.version(),
            beside.display()
        );
    }

    let bytes = unhex(&stored);
    assert_eq!(decode::<M>(&bytes).as_ref(), Ok(message));

    let mut other = bytes.clone();
    other[1] = M::VERSION + 1;
    let expected = WireError::Version { kind: M::KIND, version: M::VERSION + 1, reads: M::VERSION };
    assert_eq!(decode::<M>(&other), Err(expected));

    let mut other = bytes.clone();
    other[0] = 0;
    assert_eq!(decode::<M>(&other), Err(WireError::Kind { expected: M::KIND, got: Some(0) }));
    assert_eq!(decode::<M>(&[]), Err(WireError::Kind { expected: M::KIND, got: None }));

    for end in 2..bytes.len() {
        assert!(decode::<M>(&bytes[..end]).is_err(), "{name} cut to {end} bytes is a message");
    }
}

/// What a newer build says in words that an older one does not know.
fn rewound() -> SummaryBatch {
    let source = RewoundSource {
        topic: "orders".into(),
        partition: 1,
        partition_count: 4,
        from: 900,
        max_event_time: Some(START),
        newest_append_ms: Some(START.0 + 17),
    };
    let rewound = Rewound {
        epoch: 2,
        sources: vec![source],
        facts: vec![(3, 11)],
        subjects: vec![(Subject::Model("fraud".into()), START)],
    };
    SummaryBatch { header: Some(Header::Rewound(rewound)), ..SummaryBatch::default() }
}

fn trouble() -> FindingBatch {
    let restarted = Restarted {
        epoch: 2,
        subjects: vec![(Subject::Dataset("orders".into()), START)],
        partitions: vec![("orders".into(), 1)],
    };
    let mismatch = ConfigMismatch {
        subject: Subject::Dataset("orders".into()),
        known: 7,
        other: 8,
        over: true,
    };
    let items = vec![FindingItem::Rewound(restarted), FindingItem::Mismatch(mismatch)];
    FindingBatch { shard: 5, items, closed: Vec::new() }
}

#[test]
fn a_rewind_is_written_as_before() {
    check(&rewound(), "summaries_rewound.v2.hex");
}

#[test]
fn trouble_is_written_as_before() {
    check(&trouble(), "findings_trouble.v2.hex");
}

#[test]
fn facts_that_say_their_definition_are_written_as_before() {
    check(&facts_of_a_definition(), "facts_terms.v2.hex");
}

#[test]
fn outcomes_that_say_their_definition_are_written_as_before() {
    check(&outcomes_of_a_definition(), "summaries_outcomes.v3.hex");
}

#[test]
fn what_is_appended_belongs_to_its_message() {
    let mut facts = facts_of_a_definition();
    facts.terms.push(facts.terms[0]);
    assert!(decode::<FactBatch>(&encode(&facts)).is_err(), "terms of more models than there are");

    let mut bytes = encode(&outcomes_of_a_definition());
    assert_eq!(bytes.pop(), Some(0), "the last outcome does not say its definition");
    assert!(decode::<SummaryBatch>(&bytes).is_err());
    bytes.extend([0, 0]);
    assert!(decode::<SummaryBatch>(&bytes).is_err(), "more definitions than outcomes");
}

#[test]
fn what_the_build_before_can_say_is_written_so_that_it_can_read_it() {
    assert_eq!((encode(&summaries())[1], encode(&findings())[1]), (1, 1));
    assert_eq!((encode(&rewound())[1], encode(&trouble())[1]), (2, 2));
    let newest = (encode(&facts_of_a_definition())[1], encode(&outcomes_of_a_definition())[1]);
    assert_eq!((encode(&facts())[1], newest), (1, (2, 3)));
    // And a newer build reads both, also where nothing new is said in the new version.
    let mut newer = encode(&summaries());
    newer[1] = 2;
    assert_eq!(decode::<SummaryBatch>(&newer), Ok(summaries()));
    let mut newer = encode(&findings());
    newer[1] = 2;
    assert_eq!(decode::<FindingBatch>(&newer), Ok(findings()));
}

#[test]
fn facts_are_written_as_before() {
    check(&facts(), "facts.v1.hex");
}

#[test]
fn summaries_are_written_as_before() {
    check(&summaries(), "summaries.v1.hex");
}

#[test]
fn summaries_of_observe_are_written_as_before() {
    let header = Some(Header::Observe(vec![progress()]));
    let empty = SummaryBatch {
        header,
        datasets: Vec::new(),
        models: Vec::new(),
        outcomes: Vec::new(),
        samples: Vec::new(),
        schemas: Vec::new(),
    };
    check(&empty, "summaries_header.v1.hex");
}

#[test]
fn findings_are_written_as_before() {
    check(&findings(), "findings.v1.hex");
}

#[test]
fn layouts_are_written_as_before() {
    check(&layout_update(), "layout.v1.hex");
}

#[test]
fn kinds_are_told_apart_by_their_first_byte() {
    let kinds = [FactBatch::KIND, SummaryBatch::KIND, FindingBatch::KIND, LayoutUpdate::KIND];

    assert_eq!(kinds, [1, 2, 3, 4], "a kind's number is for ever");
}

/// Decodes as every kind; whether that succeeds does not matter here.
fn decode_as_all(body: &[u8]) {
    fn one<M: Wire>(body: &[u8]) {
        let bytes = [&[M::KIND, M::VERSION], body].concat();
        // What is read can be written again: nothing half read is taken for a message.
        if let Ok(message) = decode::<M>(&bytes) {
            let _ = encode(&message);
        }
    }
    one::<FactBatch>(body);
    one::<SummaryBatch>(body);
    one::<FindingBatch>(body);
    one::<LayoutUpdate>(body);
}

proptest! {
    #[test]
    fn random_bytes_never_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        decode_as_all(&body);
        let _ = decode::<SummaryBatch>(&body);
    }

    /// Lengths that lie, cut ends, flipped tags: all near something that decodes.
    #[test]
    fn damaged_messages_never_panic(
        which in 0..6_usize,
        at in any::<prop::sample::Index>(),
        with in prop::collection::vec(any::<u8>(), 0..6),
        end in any::<prop::sample::Index>(),
    ) {
        let mut bytes = match which {
            0 => encode(&facts()),
            1 => encode(&summaries()),
            2 => encode(&findings()),
            3 => encode(&facts_of_a_definition()),
            4 => encode(&outcomes_of_a_definition()),
            _ => encode(&layout_update()),
        };
        let at = at.index(bytes.len());
        let past = (at + with.len()).min(bytes.len());
        bytes.splice(at..past, with);
        decode_as_all(bytes.get(2..).unwrap_or_default());
        bytes.truncate(end.index(bytes.len().max(1)));
        decode_as_all(bytes.get(2..).unwrap_or_default());
    }
}
