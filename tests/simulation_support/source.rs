//! The source data of a simulation: what users' topics hold, when each record is appended, and
//! the configuration that watches it. A function of a seed.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftline::config::Config;
use driftline::config::plan::{Absent, Plan};
use driftline::event::route::partition_of;
use driftline::event::time::EventTime;
use driftline::observe::SourceRecord;

use super::broker::Place;
use crate::support::random::Random;

/// Length of a window.
pub const WINDOW_MS: i64 = 120_000;
/// How late a record may come: a little later than any that is not meant to be late.
pub const LATENESS_MS: i64 = 30_000;
/// How long an outcome may take.
pub const HORIZON_MS: i64 = 3 * WINDOW_MS;
/// No fault of a simulation lasts as long.
pub const HOLD_MS: i64 = 3_600_000;
/// Start of the first window.
pub const START: i64 = 1_760_000_400_000;
/// A record comes at most this much later than it happened, unless it is meant to be late.
const DELAY_MS: u64 = 20_000;
/// Orders of a window: enough for both sides of a contrast.
const ORDERS: u64 = 540;
/// Of these, in percent, what a prediction is made from.
const PREDICTED: u64 = 52;

pub const ORDERS_TOPIC: &str = "orders";
pub const SCORES_TOPIC: &str = "scores";
pub const LABELS_TOPIC: &str = "labels";
pub const SOURCES: [&str; 3] = [ORDERS_TOPIC, SCORES_TOPIC, LABELS_TOPIC];

/// What happens in a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Version 2 writes cents; predictions made from it are flagged too often.
    Cents,
    /// Version 2 is as version 1.
    Harmless,
    /// The model begins to flag too much, and no data changed.
    World,
    /// Amounts go missing.
    Nulls,
}

/// An order as it was written.
#[derive(Clone, Debug)]
pub struct Order {
    pub producer: &'static str,
    pub version: &'static str,
    pub amount: Option<f64>,
    pub country: &'static str,
}

/// A prediction as it was written.
#[derive(Clone, Debug)]
pub struct Prediction {
    pub id: u64,
    pub score: f64,
    pub producer: &'static str,
    pub version: &'static str,
}

/// An outcome as it was written.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    pub id: u64,
    pub positive: bool,
}

/// What a record is about.
#[derive(Clone, Debug)]
pub enum Fact {
    Order(Order),
    Prediction(Prediction),
    Outcome(Outcome),
    /// Bytes that are no record.
    Garbage,
    /// No payload.
    Tombstone,
}

/// One record of a user's topic.
#[derive(Clone, Debug)]
pub struct Row {
    pub place: Place,
    pub offset: i64,
    /// When the broker got it.
    pub append_ms: i64,
    /// Its event time.
    pub time: EventTime,
    pub fact: Fact,
    key: String,
    payload: Option<String>,
    headers: Vec<(&'static str, String)>,
}

/// All records of a world, in order of their arrival.
#[derive(Debug)]
pub struct Source {
    pub change: Change,
    pub plan: Arc<Plan>,
    /// Another configuration by which the same counts.
    pub plan_after: Arc<Plan>,
    pub rows: Vec<Row>,
    /// Partitions of the topics at the start.
    pub partitions: BTreeMap<&'static str, i32>,
    /// A topic that gets one partition more, and when.
    pub grows: Option<(&'static str, i64)>,
}

struct Draft {
    append_ms: i64,
    time: i64,
    topic: &'static str,
    key: String,
    fact: Fact,
}

struct Maker {
    random: Random,
    change: Change,
    windows: u64,
    onset: u64,
    third_version: bool,
    drafts: Vec<Draft>,
}

const COUNTRIES: [&str; 5] = ["DE", "FR", "US", "JP", "NL"];

impl Maker {
    fn at_most(&mut self, ms: u64) -> i64 {
        (self.random.bits() % (ms + 1)) as i64
    }

    fn percent(&mut self, chance: u64) -> bool {
        self.random.bits() % 100 < chance
    }

    fn end(&self) -> i64 {
        START + self.windows as i64 * WINDOW_MS
    }

    /// Appends a record once, or now and then twice, as a producer that tries again does. Records
    /// that are meant to be late are so beyond doubt, and only where later ones follow.
    fn write(&mut self, time: i64, topic: &'static str, key: &str, fact: Fact) {
        let may_be_late = topic != LABELS_TOPIC && time < self.end() - 6 * WINDOW_MS / 2;
        let late = may_be_late && self.percent(2);
        let delay = if late { 3 * WINDOW_MS } else { 0 };
        let mut append_ms = time + delay + self.at_most(DELAY_MS);
        let twice = self.percent(2);
        for _ in 0..=u8::from(twice) {
            let (key, fact) = (key.to_owned(), fact.clone());
            self.drafts.push(Draft { append_ms, time, topic, key, fact });
            append_ms += self.at_most(2_000);
        }
    }

    fn order(&mut self, window: u64, id: u64) {
        let time = START + window as i64 * WINDOW_MS + self.at_most(WINDOW_MS as u64 - 1);
        let changed = window >= self.onset;
        let producer = ["a", "a", "b", "b", "b", "b", "b", "c"][(self.random.bits() % 8) as usize];
        let versioned = matches!(self.change, Change::Cents | Change::Harmless);
        let version = if changed && versioned && producer != "c" && self.percent(50) {
            "2"
        } else if self.third_version && window > self.onset && producer == "c" && self.percent(40) {
            "3"
        } else {
            "1"
        };
        let broken = self.change == Change::Cents && version == "2";
        let dollars = (3.0 + self.random.normal()).exp();
        let dollars = (dollars * 100.0).round() / 100.0;
        let missing = if changed && self.change == Change::Nulls { 40 } else { 1 };
        let amount = (!self.percent(missing)).then_some(dollars * if broken { 100.0 } else { 1.0 });
        let country = COUNTRIES[(self.random.bits() % 5) as usize];
        let key = id.to_string();
        let order = Order { producer, version, amount, country };
        self.write(time, ORDERS_TOPIC, &key, Fact::Order(order));
        let flags = if broken || (changed && self.change == Change::World) { 35 } else { 4 };
        self.prediction(time, (id, producer, version), flags);
        if self.percent(1) {
            let fact = if self.percent(50) { Fact::Garbage } else { Fact::Tombstone };
            self.write(time, SOURCES[(id % 3) as usize], &key, fact);
        }
    }

    fn prediction(
        &mut self,
        time: i64,
        (id, producer, version): (u64, &'static str, &'static str),
        flags: u64,
    ) {
        if !self.percent(PREDICTED) {
            return;
        }
        let time = time + 1_000 + self.at_most(4_000);
        let flagged = self.percent(flags);
        let thousandth = (self.random.bits() % 200) as f64;
        let score = if flagged { 801.0 + thousandth * 0.9 } else { thousandth * 4.0 } / 1_000.0;
        let prediction = Prediction { id, score, producer, version };
        self.write(time, SCORES_TOPIC, &id.to_string(), Fact::Prediction(prediction));
        let positive = self.percent(8);
        let came = match self.random.bits() % 100 {
            0..4 => return,
            4..7 => time - self.at_most(10_000),
            7..9 => time + HORIZON_MS + 1 + self.at_most(60_000),
            9..12 => time + HORIZON_MS - self.at_most(20_000),
            _ => time + 5_000 + self.at_most(WINDOW_MS as u64),
        };
        let outcome = Outcome { id, positive };
        self.write(came, LABELS_TOPIC, &id.to_string(), Fact::Outcome(outcome));
        if self.percent(2) {
            // Whoever reads the labels' partition in order meets the first one first.
            let outcome = Outcome { id, positive: !positive };
            let came = came + DELAY_MS as i64 + 2_000 + self.at_most(5_000);
            self.write(came, LABELS_TOPIC, &id.to_string(), Fact::Outcome(outcome));
        }
    }
}

impl Source {
    /// The world of a seed.
    pub fn new(seed: u64) -> Source {
        let mut random = Random::new(seed ^ 0x50_72ce);
        let change = match seed % 8 {
            0 | 1 | 2 | 4 | 5 => Change::Cents,
            3 => Change::Harmless,
            6 => Change::World,
            _ => Change::Nulls,
        };
        let nulls = change == Change::Nulls;
        let (windows, onset) = if nulls { (8, 5) } else { (7, 2 + random.bits() % 2) };
        let third_version = random.one_in(3);
        let absent = if random.one_in(3) { Absent::NegativeAfterHorizon } else { Absent::Unknown };
        let partitions: BTreeMap<&'static str, i32> = BTreeMap::from([
            (ORDERS_TOPIC, 3),
            (SCORES_TOPIC, 2 + (random.bits() % 2) as i32),
            (LABELS_TOPIC, 2),
        ]);
        let grows = random.one_in(3).then(|| {
            let topic = SOURCES[(random.bits() % 3) as usize];
            (topic, START + WINDOW_MS + (random.bits() % (4 * WINDOW_MS as u64)) as i64)
        });
        let idle = random.one_in(2);
        let mut maker = Maker { random, change, windows, onset, third_version, drafts: Vec::new() };
        let mut id = 0;
        for window in 0..windows {
            for _ in 0..ORDERS {
                maker.order(window, id);
                id += 1;
            }
        }
        let mut drafts = maker.drafts;
        drafts.sort_by_key(|draft| draft.append_ms);
        let rows = place(drafts, &partitions, grows, idle);
        let plan = plan(absent);
        let plan_after = redefined(&plan);
        Source { change, plan, plan_after, rows, partitions, grows }
    }

    /// When the last record is appended.
    pub fn last_append_ms(&self) -> i64 {
        self.rows.last().map_or(START, |row| row.append_ms)
    }
}

/// Gives drafts their partitions and offsets. Where a topic has idle partitions, its last one gets
/// nothing for a while.
fn place(
    drafts: Vec<Draft>,
    partitions: &BTreeMap<&'static str, i32>,
    grows: Option<(&'static str, i64)>,
    idle: bool,
) -> Vec<Row> {
    let mut ends: BTreeMap<Place, i64> = BTreeMap::new();
    let rows = drafts.into_iter().map(|draft| {
        let Draft { append_ms, time, topic, key, fact } = draft;
        let first = partitions[topic];
        let mut partition = partition_of(key.as_bytes(), first);
        let is_late = append_ms - time > 2 * DELAY_MS as i64;
        let quiet = START + 2 * WINDOW_MS..START + 5 * WINDOW_MS;
        let avoids_last = is_late || quiet.contains(&append_ms);
        if idle && partition == first - 1 && avoids_last && topic != LABELS_TOPIC {
            partition = 0;
        }
        // A new partition is written to once it is there; late records are kept to the old ones.
        if let Some((_, from_ms)) = grows.filter(|(grown, _)| *grown == topic)
            && append_ms > from_ms
            && !is_late
            && topic != LABELS_TOPIC
            && partition_of(key.as_bytes(), first + 1) == first
        {
            partition = first;
        }
        let place = (topic, partition);
        let end = ends.entry(place).or_default();
        let offset = *end;
        *end += 1;
        let (payload, headers) = written(&fact, &key, time);
        let time = EventTime(time);
        Row { place, offset, append_ms, time, fact, key, payload, headers }
    });
    rows.collect()
}

fn written(fact: &Fact, key: &str, time: i64) -> (Option<String>, Vec<(&'static str, String)>) {
    match fact {
        Fact::Order(order) => {
            let amount = order.amount.map_or("null".to_owned(), |amount| amount.to_string());
            let country = order.country;
            let text =
                format!("{{\"at\": {time}, \"amount\": {amount}, \"country\": \"{country}\"}}");
            let headers = vec![("app", order.producer.into()), ("version", order.version.into())];
            (Some(text), headers)
        }
        Fact::Prediction(prediction) => {
            let score = prediction.score;
            let text =
                format!("{{\"id\": \"{key}\", \"score\": {score}, \"at\": {time}, \"m\": \"7\"}}");
            let headers = vec![
                ("orders_app", prediction.producer.into()),
                ("orders_version", prediction.version.into()),
            ];
            (Some(text), headers)
        }
        Fact::Outcome(outcome) => {
            let positive = outcome.positive;
            let text = format!("{{\"id\": \"{key}\", \"fraud\": {positive}, \"at\": {time}}}");
            (Some(text), Vec::new())
        }
        Fact::Garbage => (Some("{\"at\": ".into()), Vec::new()),
        Fact::Tombstone => (None, Vec::new()),
    }
}

/// A plan that bounds times a little wider: its definitions are others.
fn redefined(plan: &Plan) -> Arc<Plan> {
    let mut plan = plan.clone();
    for dataset in plan.datasets.values_mut() {
        (dataset.bounds.future_ms, dataset.definition) =
            (dataset.bounds.future_ms + 1, !dataset.definition);
    }
    for model in plan.models.values_mut() {
        (model.bounds.future_ms, model.definition) =
            (model.bounds.future_ms + 1, !model.definition);
    }
    Arc::new(plan)
}

fn plan(absent: Absent) -> Arc<Plan> {
    let absent = match absent {
        Absent::NegativeAfterHorizon => "negative_after_horizon",
        Absent::Unknown => "unknown",
    };
    let text = format!(
        "app: sim
kafka: {{ bootstrap_servers: \"127.0.0.1:9092\" }}
datasets:
  orders:
    topic: orders
    owner: payments-team
    event_time: at
    producer: {{ header: app }}
    schema_version: {{ header: version }}
    window: {{ size: {WINDOW_MS}ms, lateness: {LATENESS_MS}ms }}
    only: [amount, country]
models:
  fraud:
    predictions:
      topic: scores
      id: id
      score: score
      decision: {{ score_above: 0.8 }}
      version: m
      time: at
      exposure:
        orders: {{ schema: {{ header: orders_version }}, producer: {{ header: orders_app }} }}
    outcomes:
      topic: labels
      id: id
      label: fraud
      positive: true
      time: at
      absent: {absent}
      horizon: {HORIZON_MS}ms
    inputs: {{ orders: [amount] }}
act_within: 7d
hold_max: {HOLD_MS}ms
http: {{ listen: off }}
"
    );
    let planned = Config::parse(&text, "sim.yaml").and_then(|config| config.plan());
    let (plan, _) = planned.unwrap_or_else(|error| panic!("{error}"));
    Arc::new(plan)
}

impl Row {
    /// Hands the record to `take` as observe wants it.
    pub fn with_source<T>(&self, take: impl FnOnce(&SourceRecord<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        take(&SourceRecord {
            topic: self.place.0,
            partition: self.place.1,
            offset: self.offset,
            timestamp_ms: self.append_ms,
            key: Some(self.key.as_bytes()),
            payload: self.payload.as_deref().map(str::as_bytes),
            headers: &headers,
        })
    }
}
