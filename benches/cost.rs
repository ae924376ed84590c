//! What Driftline costs the cluster and its own memory; in memory, without a broker.
//!
//! `cargo bench --bench cost` prints bytes of `summaries` by byte of input for twenty Avro fields
//! in ten cells, of `facts` by byte of predictions and outcomes, and bytes held by numeric field of
//! a cell. Nothing is timed: every run prints the same, on any machine.
//!
//! On the topic means as Kafka stores it: messages of one commit and partition in batches of at
//! most [`BATCH_BYTES`], zstd at the producer's default level, [`BATCH_FRAME`] bytes a batch and
//! [`MARKER`] bytes for the end of the transaction. Input is compressed in the same way beside it.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a bench prints, and stops at the first surprise"
)]
#![allow(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]

mod allocator;
mod mix;

use std::collections::BTreeMap;
use std::sync::Arc;

use driftline::assess::Assess;
use driftline::config::Config;
use driftline::demo::bank::{Bank, BankPlan, Generated, HeaderValue, TopicKind};
use driftline::demo::record::SchemaRef;
use driftline::event::layout::LayoutUpdate;
use driftline::event::route::{Outbox, Outgoing, Route};
use driftline::event::summary::SummaryBatch;
use driftline::event::time::EventTime;
use driftline::event::wire;
use driftline::observe::{
    Observe, RegisteredSchema, SchemaAnswer, SchemaLanguage, SourceRecord, Taken,
};
use driftline::sketch::{FieldKind, FieldSummary};
use driftline::stage::{Incoming, Stage};

/// Rows of the mix; longer runs read them again.
const ROWS: usize = 200_000;
const CELLS: usize = 10;
const PARTITIONS: i32 = 8;
/// librdkafka's `batch.size`.
const BATCH_BYTES: usize = 1_000_000;
/// Header of a record batch, version 2 of Kafka's format.
const BATCH_FRAME: usize = 61;
/// A batch that holds the end of a transaction.
const MARKER: usize = 78;
/// Lengths, offset and time of one record in a batch.
const RECORD_FRAME: usize = 8;

fn main() {
    let rows = mix::rows(ROWS);
    let payloads = mix::framed(&mix::avro_bodies(&rows));
    let layout = mix::layout(&rows);
    summaries(&payloads, &layout);
    learning(&payloads);
    facts();
    memory(&payloads, &layout);
}

/// Bytes as they are and as they lie on a topic.
#[derive(Clone, Copy, Debug, Default)]
struct Bytes {
    raw: usize,
    stored: usize,
}

impl Bytes {
    fn add(&mut self, other: Bytes) {
        self.raw += other.raw;
        self.stored += other.stored;
    }
}

/// Messages of one partition, written at once.
fn stored<'a>(messages: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let mut bytes = Bytes::default();
    let mut batch: Vec<u8> = Vec::new();
    let mut close = |batch: &mut Vec<u8>| {
        if !batch.is_empty() {
            bytes.stored += BATCH_FRAME + zstd::bulk::compress(batch, 0).unwrap().len();
            batch.clear();
        }
    };
    let mut raw = 0;
    for message in messages {
        if batch.len() + message.len() > BATCH_BYTES {
            close(&mut batch);
        }
        batch.extend_from_slice(message);
        batch.extend_from_slice(&[0; RECORD_FRAME]);
        raw += message.len();
    }
    close(&mut batch);
    bytes.raw = raw;
    bytes
}

/// What one commit wrote, by topic.
#[derive(Clone, Copy, Debug, Default)]
struct Written {
    summaries: Bytes,
    facts: Bytes,
}

impl Written {
    fn take(&mut self, messages: &[Outgoing]) {
        let mut partitions: BTreeMap<Route, Vec<&[u8]>> = BTreeMap::new();
        for message in messages {
            partitions.entry(message.route).or_default().push(&message.payload);
        }
        for (route, payloads) in partitions {
            let mut bytes = stored(payloads.into_iter());
            bytes.stored += MARKER;
            match route {
                Route::Summaries(_) => self.summaries.add(bytes),
                Route::Facts(_) => self.facts.add(bytes),
                Route::Findings | Route::Layouts | Route::Quarantine => {}
            }
        }
    }
}

/// The mix's dataset, read in so many cells.
struct Reader {
    observe: Observe,
    out: Outbox,
    producers: Vec<String>,
    next: usize,
    input: Bytes,
}

impl Reader {
    fn new(layout: Option<&LayoutUpdate>, cells: usize) -> Reader {
        let mut observe = Observe::new(Arc::new(mix::plan()));
        for partition in 0..PARTITIONS {
            observe.assign("orders", partition, PARTITIONS, 0, "");
        }
        observe.schema(1, known(1, mix::schema()));
        if let Some(layout) = layout {
            observe.layout(layout);
        }
        let producers = (0..cells).map(|cell| format!("pos-{cell}")).collect();
        Reader { observe, out: Outbox::default(), producers, next: 0, input: Bytes::default() }
    }

    /// Reads so many records, spread evenly over partitions and cells.
    fn read(&mut self, payloads: &[Vec<u8>], records: usize) {
        let first = self.next;
        self.next += records;
        for index in first..self.next {
            let producer = self.producers[index % self.producers.len()].as_bytes();
            let record = SourceRecord {
                topic: "orders",
                partition: i32::try_from(index / self.producers.len()).unwrap() % PARTITIONS,
                offset: i64::try_from(index).unwrap(),
                timestamp_ms: mix::NOW,
                key: None,
                payload: Some(&payloads[index % payloads.len()]),
                headers: &[("app", producer)],
            };
            assert_eq!(self.observe.record(&record, &mut self.out), Taken::Done);
        }
        self.input.add(stored((first..self.next).map(|i| &payloads[i % payloads.len()][..])));
    }

    fn commit(&mut self) -> Vec<Outgoing> {
        self.observe.commit(&mut self.out);
        let messages = std::mem::take(&mut self.out.messages);
        self.out.clear();
        messages
    }
}

fn known(id: u32, schema: String) -> SchemaAnswer {
    SchemaAnswer::Known(RegisteredSchema {
        id,
        language: SchemaLanguage::Avro,
        schema,
        subject: None,
        number: None,
        tags: BTreeMap::new(),
    })
}

fn summaries(payloads: &[Vec<u8>], layout: &LayoutUpdate) {
    println!("summaries, 20 Avro fields x {CELLS} cells, {PARTITIONS} source partitions");
    for (rate, seconds) in
        [(1_000, 1), (1_000, 30), (20_000, 1), (20_000, 10), (200_000, 1), (1_000_000, 1)]
    {
        let mut reader = Reader::new(Some(layout), CELLS);
        let mut written = Written::default();
        for _ in 0..3 {
            reader.read(payloads, rate * seconds);
            written.take(&reader.commit());
        }
        let (input, output) = (reader.input, written.summaries);
        println!(
            "  {rate:7} records/s, a commit every {seconds:2} s: {:7} bytes a commit, {:6} on the \
             topic; by byte of input {:.4}, on the topic {:.4}",
            output.raw / 3,
            output.stored / 3,
            ratio(output.raw, input.raw),
            ratio(output.stored, input.stored)
        );
    }
    shares(payloads, layout);
}

fn ratio(part: usize, whole: usize) -> f64 {
    part as f64 / whole as f64
}

/// Where the bytes of one commit are: 20,000 records, before compression.
fn shares(payloads: &[Vec<u8>], layout: &LayoutUpdate) {
    let mut reader = Reader::new(Some(layout), CELLS);
    reader.read(payloads, 20_000);
    let size = |size: postcard::Result<usize>| size.unwrap();
    let (mut counters, mut bins, mut histograms, mut names, mut all) = (0, 0, 0, 0, 0);
    let mut fields = 0;
    for message in reader.commit() {
        let Route::Summaries(_) = message.route else { continue };
        all += message.payload.len();
        let batch: SummaryBatch = wire::decode(&message.payload).unwrap();
        for (name, summary) in
            batch.datasets.iter().flat_map(|d| &d.cells).flat_map(|cell| &cell.fields)
        {
            use postcard::experimental::serialized_size;
            fields += usize::from(summary.kind == FieldKind::Numeric);
            counters += size(serialized_size(&summary.counters));
            bins += size(serialized_size(&summary.bins));
            histograms += size(serialized_size(&summary.histogram));
            names += size(serialized_size(name)) + size(serialized_size(&summary.kind));
        }
    }
    let rest = all - counters - bins - histograms - names;
    println!(
        "  of {all} bytes with 20,000 records ({fields} numeric fields in all cells): log \
         histograms {histograms}, bins {bins}, counters {counters}, names {names}, rest {rest}"
    );
}

/// The values a layout is learnt from are sent once.
fn learning(payloads: &[Vec<u8>]) {
    let mut reader = Reader::new(None, CELLS);
    let mut written = Written::default();
    for _ in 0..ROWS / 20_000 {
        reader.read(payloads, 20_000);
        written.take(&reader.commit());
    }
    println!(
        "  while learning, {ROWS} records in commits of 20,000: by byte of input {:.4}, on the \
         topic {:.4}",
        ratio(written.summaries.raw, reader.input.raw),
        ratio(written.summaries.stored, reader.input.stored)
    );
}

const BANK: &str = "\
app: bench
registry: { url: \"http://127.0.0.1:1\" }
datasets:
  orders:
    topic: orders
    event_time: created_at
    producer: { header: app }
    window: { size: 1h, lateness: 30m }
models:
  fraud:
    predictions:
      topic: scores
      id: tx_id
      score: p_fraud
      decision: { score_above: 0.8 }
      version: model_version
      time: scored_at
      exposure:
        orders: { schema: { header: orders_schema_id }, producer: { header: orders_app } }
    outcomes: { topic: labels, id: tx_id, label: is_fraud, positive: true, time: labelled_at,
                horizon: 6h }
    inputs: { orders: [amount] }
";

/// The demo bank's day: what predictions and outcomes cost on `facts`.
fn facts() {
    const HOURS: u32 = 12;
    const COMMIT: usize = 20_000;
    let (plan, _) = Config::parse(BANK, "bench.yaml").unwrap().plan().unwrap();
    let definition = plan.datasets["orders"].definition;
    let mut observe = Observe::new(Arc::new(plan));
    // No assess is there to say how far it is: read on.
    observe.layout(&LayoutUpdate {
        dataset: "orders".into(),
        definition,
        closed_through: Some(EventTime(i64::MAX / 2)),
        layout: None,
    });
    let bank =
        BankPlan { windows: HOURS, onset_window: 6, ..BankPlan::story(EventTime(HOUR * 472_222)) };
    for kind in [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels] {
        for partition in 0..PARTITIONS {
            observe.assign(kind.name(), partition, PARTITIONS, 0, "");
        }
    }
    for schema in bank.schemas() {
        observe.schema(schema_id(schema), known(schema_id(schema), schema.text().to_owned()));
    }
    let mut out = Outbox::default();
    let (mut written, mut input) = (Written::default(), Bytes::default());
    let mut waiting: Vec<Vec<u8>> = Vec::new();
    let mut orders = 0_usize;
    for (offset, record) in Bank::new(bank).enumerate() {
        let payload = payload(&record);
        hand_in(&mut observe, &record, (i64::try_from(offset).unwrap(), &payload), &mut out);
        match record.topic {
            TopicKind::Orders => orders += 1,
            TopicKind::Scores | TopicKind::Labels => waiting.push(payload),
        }
        if offset % COMMIT == COMMIT - 1 {
            observe.commit(&mut out);
            written.take(&out.messages);
            out.clear();
            input.add(stored(waiting.iter().map(Vec::as_slice)));
            waiting.clear();
        }
    }
    println!(
        "facts, {orders} predictions and their outcomes in commits of {COMMIT} records: by byte \
         of predictions and outcomes {:.3}, on the topic {:.3}",
        ratio(written.facts.raw, input.raw),
        ratio(written.facts.stored, input.stored)
    );
    println!(
        "  {:.1} bytes a fact, {:.1} on the topic; a prediction or outcome is {:.1}, {:.1} on its \
         topic",
        ratio(written.facts.raw, 2 * orders),
        ratio(written.facts.stored, 2 * orders),
        ratio(input.raw, 2 * orders),
        ratio(input.stored, 2 * orders)
    );
}

const HOUR: i64 = 3_600_000;

fn schema_id(schema: SchemaRef) -> u32 {
    schema.number()
        + 100 * u32::from(schema == SchemaRef::Score)
        + 200 * u32::from(schema == SchemaRef::Label)
}

fn payload(record: &Generated) -> Vec<u8> {
    let mut payload = vec![0];
    payload.extend_from_slice(&schema_id(record.schema).to_be_bytes());
    record.write_avro(&mut payload);
    payload
}

fn hand_in(
    observe: &mut Observe,
    record: &Generated,
    (offset, payload): (i64, &[u8]),
    out: &mut Outbox,
) {
    let headers: Vec<(&str, String)> = record
        .headers
        .iter()
        .map(|(name, value)| match value {
            HeaderValue::Text(text) => (*name, (*text).to_owned()),
            HeaderValue::SchemaId(schema) => (*name, schema_id(*schema).to_string()),
        })
        .collect();
    let headers: Vec<(&str, &[u8])> =
        headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
    let taken = observe.record(
        &SourceRecord {
            topic: record.topic.name(),
            partition: i32::try_from(offset).unwrap() % PARTITIONS,
            offset,
            timestamp_ms: record.event_time().0,
            key: Some(record.key().as_bytes()),
            payload: Some(payload),
            headers: &headers,
        },
        out,
    );
    assert_eq!(taken, Taken::Done);
}

/// Bytes held by numeric field of a cell: the summary alone, in observe, in assess.
fn memory(payloads: &[Vec<u8>], layout: &LayoutUpdate) {
    println!("memory by numeric field of a cell, target 2048 bytes on average");
    summaries_alone(layout);
    for records in [2_000, 20_000] {
        let in_observe = grown(|cells| {
            let mut reader = Reader::new(Some(layout), cells);
            reader.read(payloads, cells * records);
            reader
        });
        let in_assess = grown(|cells| {
            let mut reader = Reader::new(Some(layout), cells);
            reader.read(payloads, cells * records);
            assess(reader)
        });
        println!("  {records:6} rows a cell: observe {in_observe:.0}, assess {in_assess:.0}");
    }
}

/// Numeric fields of the mix; the other six are small and counted in with them.
const NUMERIC: usize = 14;

/// What twenty more cells hold, by numeric field.
fn grown<T>(hold: impl Fn(usize) -> T) -> f64 {
    let held = |cells| {
        let before = allocator::live_bytes();
        let value = hold(cells);
        let after = allocator::live_bytes();
        drop(value);
        after - before
    };
    (held(30) - held(10)) as f64 / (20 * NUMERIC) as f64
}

/// An assess that has taken what a reader tells in ten commits.
fn assess(mut reader: Reader) -> Vec<Assess> {
    let plan = Arc::new(mix::plan());
    let mut stages: Vec<Assess> =
        (0..PARTITIONS).map(|partition| Assess::new(Arc::clone(&plan), partition)).collect();
    for message in reader.commit() {
        let Route::Summaries(partition) = message.route else { continue };
        let incoming =
            Incoming { offset: 0, timestamp_ms: mix::NOW, payload: message.payload.as_slice() };
        stages[usize::try_from(partition).unwrap()].step(incoming, &mut Outbox::default());
    }
    stages
}

/// Every numeric field of the mix, all rows in one cell.
fn summaries_alone(layout: &LayoutUpdate) {
    let rows = mix::rows(ROWS);
    let layouts = &layout.layout.as_ref().unwrap().fields;
    let before = allocator::live_bytes();
    let mut summaries = Vec::with_capacity(NUMERIC);
    for field in 0..NUMERIC {
        let path = if field < 8 { format!("d{field}") } else { format!("l{}", field - 8) };
        let layout = &layouts[&path];
        let mut summary = FieldSummary::new(FieldKind::Numeric, Some(layout));
        for row in &rows {
            let value = if field < 8 { row.doubles[field] } else { row.longs[field - 8] as f64 };
            summary.add_number(value, Some(layout));
        }
        summaries.push(summary);
    }
    let held = allocator::live_bytes() - before;
    println!(
        "  {ROWS} rows in one cell: {:.0} for the summary alone",
        held as f64 / NUMERIC as f64
    );
    drop(summaries);
}
