//! Plans, records and merged results for the tests of observe.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use driftline::config::plan::{
    Absent, Covers, DatasetPlan, Decision, ExposurePlan, FieldPlan, FieldSelection, Limits,
    Locator, ModelPlan, OutcomePlan, Plan, PredictionPlan, TimeBounds, TimeSource,
};
use driftline::config::values::ValuesPlan;
use driftline::event::cell::{CellKey, ModelCellKey};
use driftline::event::fact::FactBatch;
use driftline::event::layout::{Layout, LayoutUpdate};
use driftline::event::progress::{Header, Progress};
use driftline::event::route::{Outbox, Outgoing, Route};
use driftline::event::summary::{PredictionSums, SummaryBatch};
use driftline::event::time::{EventTime, WindowSize};
use driftline::event::wire::decode;
use driftline::observe::{
    Observe, RegisteredSchema, SchemaAnswer, SchemaLanguage, SourceCommit, SourceRecord, Taken,
};
use driftline::sketch::{FieldLayout, FieldSummary, Sample, SampleValue};

/// Window of every plan here. *Units*: milliseconds.
pub(crate) const WINDOW: i64 = 1_000;
pub(crate) const LATENESS: i64 = 100;

pub(crate) fn field(path: &str) -> Locator {
    Locator::Field(path.into())
}

pub(crate) fn header(name: &str) -> Locator {
    Locator::Header(name.into())
}

pub(crate) fn orders() -> DatasetPlan {
    DatasetPlan {
        name: "orders".into(),
        topic: "orders".into(),
        owner: None,
        event_time: TimeSource::At(field("at")),
        producer: Some(header("app")),
        schema_version: None,
        window: WindowSize::from_ms(WINDOW).unwrap(),
        lateness_ms: LATENESS,
        fields: FieldSelection::All(BTreeMap::new()),
        quarantine_breaches: false,
        bounds: TimeBounds { past_ms: 1_000_000, future_ms: 1_000_000 },
        definition: 77,
    }
}

pub(crate) fn named(fields: &[(&str, FieldPlan)]) -> FieldSelection {
    FieldSelection::All(fields.iter().map(|(path, plan)| ((*path).into(), plan.clone())).collect())
}

pub(crate) fn fraud() -> ModelPlan {
    let exposure = ExposurePlan {
        schema: vec![header("orders_schema"), field("orders_schema")],
        producer: vec![header("orders_app")],
    };
    ModelPlan {
        name: "fraud".into(),
        predictions: PredictionPlan {
            topic: "scores".into(),
            id: field("tx"),
            score: Some(field("p")),
            decision: Decision::ScoreAbove(0.8),
            version: Some(field("v")),
            time: TimeSource::At(field("at")),
            exposure: [("orders".to_owned(), exposure)].into(),
        },
        outcomes: Some(OutcomePlan {
            topic: "chargebacks".into(),
            id: field("tx"),
            label: field("fraud"),
            positive: vec!["true".into(), "1".into()],
            time: TimeSource::At(field("at")),
            covers: Covers::All,
            absent: Absent::Unknown,
            horizon_ms: 10_000,
        }),
        inputs: [("orders".to_owned(), Vec::new())].into(),
        window: WindowSize::from_ms(WINDOW).unwrap(),
        lateness_ms: LATENESS,
        bounds: TimeBounds { past_ms: 1_000_000, future_ms: 1_000_000 },
        definition: 78,
    }
}

pub(crate) fn plan(datasets: &[DatasetPlan], models: &[ModelPlan]) -> Plan {
    Plan {
        app: "app".into(),
        datasets: datasets.iter().map(|one| (one.name.clone(), one.clone())).collect(),
        models: models.iter().map(|one| (one.name.clone(), one.clone())).collect(),
        act_within_ms: 2_000,
        hold_max_ms: 600_000,
        values: ValuesPlan::default(),
        max_ahead: 4,
        limits: Limits {
            memory_bytes: 1 << 29,
            cells_per_window: 64,
            fields_per_dataset: 64,
            versions_per_dataset: 4,
            text_bytes: 256,
            record_bytes: 4_096,
            depth: 32,
            pending_bytes: 8 << 20,
            prefetch_bytes: 8 << 20,
            waiting: 1_000,
        },
    }
}

/// A record to hand in, with what tests rarely say filled in.
#[derive(Clone, Debug)]
pub(crate) struct Input {
    pub(crate) topic: &'static str,
    pub(crate) partition: i32,
    pub(crate) timestamp_ms: i64,
    pub(crate) payload: Option<Vec<u8>>,
    pub(crate) headers: Vec<(&'static str, String)>,
    /// Headers that are no text.
    pub(crate) raw: Vec<(&'static str, Vec<u8>)>,
}

pub(crate) fn json(topic: &'static str, text: &str) -> Input {
    Input {
        topic,
        partition: 0,
        timestamp_ms: 0,
        payload: Some(text.as_bytes().to_vec()),
        headers: Vec::new(),
        raw: Vec::new(),
    }
}

impl Input {
    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Input {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn on(mut self, partition: i32) -> Input {
        self.partition = partition;
        self
    }
}

/// An Avro order: id, amount, country, at.
pub(crate) fn order(schema: u32, amount: f64, country: &str, at: i64) -> Input {
    let mut payload = vec![0];
    payload.extend(schema.to_be_bytes());
    payload.extend(amount.to_le_bytes());
    let mut long = |value: i64, text: &str| {
        let mut zigzag = ((value << 1) ^ (value >> 63)).cast_unsigned();
        while zigzag >= 0x80 {
            payload.push(zigzag as u8 | 0x80);
            zigzag >>= 7;
        }
        payload.push(zigzag as u8);
        payload.extend(text.as_bytes());
    };
    long(country.len() as i64, country);
    long(at, "");
    Input { payload: Some(payload), ..json("orders", "") }
}

pub(crate) fn order_schema(id: u32) -> SchemaAnswer {
    SchemaAnswer::Known(RegisteredSchema {
        id,
        language: SchemaLanguage::Avro,
        schema: r#"{"type":"record","name":"Order","fields":[
            {"name":"amount","type":"double"},
            {"name":"country","type":"string"},
            {"name":"at","type":{"type":"long","logicalType":"timestamp-millis"}}]}"#
            .into(),
        subject: Some("orders-value".into()),
        number: Some(id),
        tags: BTreeMap::new(),
    })
}

/// An instance with its partitions and everything it has said.
pub(crate) struct Run {
    pub(crate) observe: Observe,
    pub(crate) out: Outbox,
    pub(crate) commits: Vec<SourceCommit>,
    next: BTreeMap<(String, i32), i64>,
}

impl Run {
    pub(crate) fn new(plan: Plan, partitions: i32) -> Run {
        Run::over(plan, &(0..partitions).collect::<Vec<_>>(), partitions)
    }

    pub(crate) fn over(plan: Plan, partitions: &[i32], count: i32) -> Run {
        let mut observe = Observe::new(Arc::new(plan));
        let mut next = BTreeMap::new();
        for topic in observe.topics() {
            for partition in partitions {
                observe.assign(&topic, *partition, count, 0, "");
                next.insert((topic.clone(), *partition), 0);
            }
        }
        Run { observe, out: Outbox::default(), commits: Vec::new(), next }
    }

    /// Hands in a record at its partition's next offset.
    pub(crate) fn give(&mut self, input: &Input) -> Taken {
        let offset = self.next.get_mut(&(input.topic.to_owned(), input.partition)).unwrap();
        let texts = input.headers.iter().map(|(name, value)| (*name, value.as_bytes()));
        let raw = input.raw.iter().map(|(name, value)| (*name, value.as_slice()));
        let headers: Vec<(&str, &[u8])> = texts.chain(raw).collect();
        let record = SourceRecord {
            topic: input.topic,
            partition: input.partition,
            offset: *offset,
            timestamp_ms: input.timestamp_ms,
            key: Some(b"key"),
            payload: input.payload.as_deref(),
            headers: &headers,
        };
        let taken = self.observe.record(&record, &mut self.out);
        if taken == Taken::Done {
            *offset += 1;
        }
        taken
    }

    /// Hands in a record that must be taken.
    pub(crate) fn take(&mut self, input: &Input) {
        assert_eq!(self.give(input), Taken::Done, "{input:?}");
    }

    pub(crate) fn commit(&mut self) {
        self.commits = self.observe.commit(&mut self.out);
    }

    /// Commits and gives all that was said since the last time.
    pub(crate) fn told(&mut self) -> Told {
        self.commit();
        let told = Told::of(&self.out.messages);
        self.out.clear();
        told
    }
}

/// Messages, decoded.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) summaries: Vec<(i32, SummaryBatch)>,
    pub(crate) facts: Vec<(i32, FactBatch)>,
    pub(crate) quarantined: Vec<Outgoing>,
}

impl Told {
    pub(crate) fn of(messages: &[Outgoing]) -> Told {
        let mut told = Told::default();
        for message in messages {
            assert!(message.payload.len() < 900 * 1024);
            match message.route {
                Route::Summaries(partition) => {
                    told.summaries.push((partition, decode(&message.payload).unwrap()));
                }
                Route::Facts(partition) => {
                    told.facts.push((partition, decode(&message.payload).unwrap()));
                }
                Route::Quarantine => told.quarantined.push(message.clone()),
                other => panic!("{other:?}"),
            }
        }
        told
    }

    /// The progress of a partition in the last header.
    pub(crate) fn progress(&self, topic: &str, partition: i32) -> Progress {
        let header = self.summaries.iter().rev().find_map(|(_, batch)| batch.header.as_ref());
        let Some(Header::Observe(progress)) = header else {
            panic!("no header");
        };
        let found = progress.iter().find(|one| one.topic == topic && one.partition == partition);
        found.unwrap().clone()
    }

    /// The value of a header of the only record set aside.
    pub(crate) fn set_aside(&self, name: &str) -> String {
        assert_eq!(self.quarantined.len(), 1);
        let headers = &self.quarantined[0].headers;
        let found = headers.iter().find(|(key, _)| key == name);
        String::from_utf8(found.unwrap().1.clone()).unwrap()
    }

    /// The summary of a field of `orders` over all cells and windows.
    pub(crate) fn field(&self, path: &str) -> FieldSummary {
        let cells = self.summaries.iter().flat_map(|(_, batch)| &batch.datasets);
        let mut fields = cells.flat_map(|delta| &delta.cells).flat_map(|cell| &cell.fields);
        let first = fields.by_ref().find(|(known, _)| known == path);
        let mut summary = first.unwrap_or_else(|| panic!("no {path}")).1.clone();
        for (_, more) in fields.filter(|(known, _)| known == path) {
            summary.merge(more);
        }
        summary
    }
}

pub(crate) type Cell = (u64, EventTime, BTreeMap<String, FieldSummary>);

/// What assess makes of it: everything added up, the limit drawn through it once more.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Merged {
    pub(crate) datasets: BTreeMap<(String, EventTime, Option<u64>), Cells<CellKey, Cell>>,
    pub(crate) models: BTreeMap<(String, EventTime), Cells<ModelCellKey, PredictionSums>>,
    /// Partition, id, model, window, time, flag or label.
    pub(crate) facts: BTreeSet<(i32, u128, String, Option<EventTime>, EventTime, bool)>,
    pub(crate) samples: BTreeMap<String, Sample>,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Cells<K: Ord, C> {
    pub(crate) evicted_from: Option<u64>,
    pub(crate) cells: BTreeMap<K, C>,
}

impl<K: Ord, C> Default for Cells<K, C> {
    fn default() -> Cells<K, C> {
        Cells { evicted_from: None, cells: BTreeMap::new() }
    }
}

fn smaller(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    a.into_iter().chain(b).min()
}

fn merge_cell(into: &mut Cell, from: Cell) {
    into.0 += from.0;
    into.1 = into.1.max(from.1);
    for (path, summary) in from.2 {
        match into.2.get_mut(&path) {
            Some(known) => known.merge(&summary),
            None => {
                into.2.insert(path, summary);
            }
        }
    }
}

/// Moves what lies beyond the limit to the others, as assess does.
fn admit<K: Ord + Clone, C: Default>(
    window: &mut Cells<K, C>,
    limit: usize,
    (rank, other): (impl Fn(&K) -> u64, &K),
    merge: impl Fn(&mut C, C),
) {
    let mut ranks: Vec<u64> = window.cells.keys().filter(|key| *key != other).map(&rank).collect();
    ranks.sort_unstable();
    window.evicted_from = smaller(window.evicted_from, ranks.get(limit).copied());
    let Some(from) = window.evicted_from else {
        return;
    };
    let gone: Vec<K> =
        window.cells.keys().filter(|key| *key != other && rank(key) >= from).cloned().collect();
    for key in gone {
        let cell = window.cells.remove(&key).unwrap();
        merge(window.cells.entry(other.clone()).or_default(), cell);
    }
}

impl Merged {
    pub(crate) fn of(told: impl IntoIterator<Item = Told>, limit: usize) -> Merged {
        let mut merged = Merged::default();
        for told in told {
            for (_, batch) in told.summaries {
                merged.add_summaries(batch);
            }
            for (partition, batch) in told.facts {
                merged.add_facts(partition, batch);
            }
        }
        for window in merged.datasets.values_mut() {
            let other = CellKey::other();
            admit(window, limit, (CellKey::admission_rank, &other), merge_cell);
        }
        for window in merged.models.values_mut() {
            let other = ModelCellKey::other();
            admit(window, limit, (ModelCellKey::admission_rank, &other), |into, from| {
                into.merge(&from);
            });
        }
        merged
    }

    fn add_summaries(&mut self, batch: SummaryBatch) {
        for delta in batch.datasets {
            let window =
                self.datasets.entry((delta.dataset, delta.window, delta.layout)).or_default();
            window.evicted_from = smaller(window.evicted_from, delta.evicted_from);
            for cell in delta.cells {
                let fields = cell.fields.into_iter().collect();
                let into = window.cells.entry(cell.key).or_default();
                merge_cell(into, (cell.rows, cell.max_event_time, fields));
            }
        }
        for delta in batch.models {
            let window = self.models.entry((delta.model, delta.window)).or_default();
            window.evicted_from = smaller(window.evicted_from, delta.evicted_from);
            for (key, sums) in delta.cells {
                window.cells.entry(key).or_default().merge(&sums);
            }
        }
        for delta in batch.samples {
            self.samples.entry(delta.field).or_default().merge(&delta.sample);
        }
    }

    fn add_facts(&mut self, partition: i32, batch: FactBatch) {
        for fact in batch.predictions {
            let cell = &batch.cells[fact.cell as usize];
            let model = batch.models[cell.model as usize].clone();
            let window = Some(cell.window);
            self.facts.insert((partition, fact.id, model, window, fact.time, fact.flagged));
        }
        for fact in batch.outcomes {
            let model = batch.models[fact.model as usize].clone();
            self.facts.insert((partition, fact.id, model, None, fact.time, fact.positive));
        }
    }
}

/// A layout for `amount` and `country` from window `from` on.
pub(crate) fn layout(id: u64, from: i64) -> LayoutUpdate {
    let mut amounts = Sample::default();
    let mut countries = Sample::default();
    for i in 0..100u64 {
        amounts.add(i, SampleValue::Number(i as f64));
        let hash = driftline::sketch::category_hash(b"DE");
        countries.add(i, SampleValue::Category { hash, text: Some("DE".into()) });
    }
    let learn = |sample| FieldLayout::learn(sample).unwrap();
    LayoutUpdate {
        dataset: "orders".into(),
        definition: 77,
        closed_through: None,
        layout: Some(Layout {
            id,
            effective_from: EventTime(from),
            fields: [
                ("amount".to_owned(), learn(&amounts)),
                ("country".to_owned(), learn(&countries)),
            ]
            .into(),
        }),
    }
}
