//! One fixed mix of twenty fields: fourteen numbers, four categories, an id and a time; and the
//! plan and the layout it is counted in.

use std::collections::BTreeMap;

use apache_avro::Schema;
use apache_avro::types::Value;
use apache_avro::writer::datum::GenericDatumWriter;
use driftline::config::plan::{
    DatasetPlan, FieldSelection, Limits, Locator, Plan, TimeBounds, TimeSource,
};
use driftline::config::values::ValuesPlan;
use driftline::event::layout::{Layout, LayoutUpdate};
use driftline::event::time::{EventTime, WindowSize};
use driftline::sketch::{FieldLayout, Sample, SampleValue, category_hash};

/// Time of the first row.
pub(crate) const NOW: i64 = 1_700_000_000_000;

/// One record's values; a small generator, so that every run measures the same.
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) at: i64,
    pub(crate) doubles: [f64; 8],
    pub(crate) longs: [i64; 6],
    pub(crate) texts: [&'static str; 4],
}

/// So many rows, a millisecond apart.
pub(crate) fn rows(count: usize) -> Vec<Row> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let countries = ["DE", "FR", "AT", "CH", "NL", "BE", "LI"];
    let channels = ["web", "shop", "phone"];
    let statuses = ["new", "paid", "sent", "returned"];
    let currencies = ["EUR", "CHF", "USD"];
    (0..count)
        .map(|i| Row {
            id: format!("order-{:012x}", next() & 0xffff_ffff_ffff),
            at: NOW + i as i64,
            doubles: std::array::from_fn(|_| (next() % 1_000_000) as f64 / 97.0),
            longs: std::array::from_fn(|j| (next() % (10_u64 << (2 * j))).cast_signed()),
            texts: [
                countries[(next() % 7) as usize],
                channels[(next() % 3) as usize],
                statuses[(next() % 4) as usize],
                currencies[(next() % 3) as usize],
            ],
        })
        .collect()
}

/// Their writer schema.
pub(crate) fn schema() -> String {
    let mut fields = vec![
        r#"{"name": "id", "type": "string"}"#.to_owned(),
        r#"{"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}}"#.to_owned(),
    ];
    fields.extend((0..8).map(|i| format!(r#"{{"name": "d{i}", "type": "double"}}"#)));
    fields.extend((0..6).map(|i| format!(r#"{{"name": "l{i}", "type": "long"}}"#)));
    fields.extend((0..4).map(|i| format!(r#"{{"name": "t{i}", "type": "string"}}"#)));
    format!(r#"{{"type": "record", "name": "Order", "fields": [{}]}}"#, fields.join(","))
}

/// Their Avro datums.
pub(crate) fn avro_bodies(rows: &[Row]) -> Vec<Vec<u8>> {
    let schema = Schema::parse_str(&schema()).expect("valid");
    let writer = GenericDatumWriter::builder(&schema).build().expect("valid");
    let encode = |row: &Row| {
        let mut fields = vec![
            ("id".to_owned(), Value::String(row.id.clone())),
            ("at".to_owned(), Value::TimestampMillis(row.at)),
        ];
        let doubles = row.doubles.iter().enumerate();
        fields.extend(doubles.map(|(i, value)| (format!("d{i}"), Value::Double(*value))));
        let longs = row.longs.iter().enumerate();
        fields.extend(longs.map(|(i, value)| (format!("l{i}"), Value::Long(*value))));
        let texts = row.texts.iter().enumerate();
        fields.extend(texts.map(|(i, text)| (format!("t{i}"), Value::String((*text).to_owned()))));
        writer.write_value_to_vec(Value::Record(fields)).expect("fits")
    };
    rows.iter().map(encode).collect()
}

/// One dataset, every field watched, windows of an hour.
pub(crate) fn plan() -> Plan {
    let dataset = DatasetPlan {
        name: "orders".into(),
        topic: "orders".into(),
        owner: None,
        event_time: TimeSource::At(Locator::Field("at".into())),
        producer: Some(Locator::Header("app".into())),
        schema_version: None,
        window: WindowSize::from_ms(3_600_000).expect("positive"),
        lateness_ms: 60_000,
        fields: FieldSelection::All(BTreeMap::new()),
        quarantine_breaches: false,
        bounds: TimeBounds { past_ms: i64::MAX, future_ms: i64::MAX },
        definition: 1,
    };
    Plan {
        app: "bench".into(),
        datasets: [("orders".to_owned(), dataset)].into(),
        models: BTreeMap::new(),
        act_within_ms: 1,
        hold_max_ms: 1,
        max_ahead: 4,
        values: ValuesPlan::default(),
        limits: Limits {
            memory_bytes: 1 << 29,
            cells_per_window: 64,
            fields_per_dataset: 256,
            versions_per_dataset: 16,
            items_per_record: 64,
            text_bytes: 256,
            record_bytes: 1 << 20,
            depth: 32,
            pending_bytes: 8 << 20,
            prefetch_bytes: 8 << 20,
            waiting: 1_000,
        },
    }
}

/// Layouts as assess would learn them from these rows.
pub(crate) fn layout(rows: &[Row]) -> LayoutUpdate {
    let mut samples: BTreeMap<String, Sample> = BTreeMap::new();
    for (i, row) in rows.iter().enumerate() {
        let mut add = |path: String, value: SampleValue| {
            samples.entry(path).or_default().add(i as u64, value);
        };
        let category =
            |text: &str| SampleValue::Category { hash: category_hash(text.as_bytes()), text: None };
        add("id".into(), category(&row.id));
        for (j, value) in row.doubles.iter().enumerate() {
            add(format!("d{j}"), SampleValue::Number(*value));
        }
        for (j, value) in row.longs.iter().enumerate() {
            add(format!("l{j}"), SampleValue::Number(*value as f64));
        }
        for (j, text) in row.texts.iter().enumerate() {
            add(format!("t{j}"), category(text));
        }
    }
    let learn = |(path, sample): (String, Sample)| Some((path, FieldLayout::learn(&sample)?));
    LayoutUpdate {
        dataset: "orders".into(),
        definition: 1,
        closed_through: None,
        layout: Some(Layout {
            id: 1,
            effective_from: EventTime(0),
            fields: samples.into_iter().filter_map(learn).collect(),
        }),
    }
}

/// Datums behind the registry's framing, of schema 1.
pub(crate) fn framed(bodies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    bodies.iter().map(|body| [&[0, 0, 0, 0, 1], body.as_slice()].concat()).collect()
}
