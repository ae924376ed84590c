//! A bank's summaries, drawn from known rates: orders of six producers, a fraud model, outcomes.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftline::assess::{Assess, partition_of_subject};
use driftline::config::plan::{
    Absent, Covers, DatasetPlan, Decision, ExposurePlan, FieldSelection, Limits, Locator,
    ModelPlan, OutcomePlan, Plan, PredictionPlan, TimeBounds, TimeSource,
};
use driftline::config::values::ValuesPlan;
use driftline::decide::Decide;
use driftline::event::cell::{CellKey, ModelCellKey, Origin};
use driftline::event::finding::Subject;
use driftline::event::layout::{Layout, LayoutUpdate};
use driftline::event::progress::{Header, JoinProgress, OutcomeCounts, Progress};
use driftline::event::public::{EventData, IncidentData, PublicEvent};
use driftline::event::route::{Outbox, Route};
use driftline::event::schema::{SchemaField, SchemaSeen};
use driftline::event::summary::{
    CellDelta, DatasetDelta, ModelDelta, OutcomeDelta, OutcomeSums, PredictionSums, SampleDelta,
    SummaryBatch,
};
use driftline::event::time::{EventTime, WindowSize};
use driftline::event::wire;
use driftline::sketch::{FieldKind, FieldSummary, Sample, SampleValue};
use driftline::stage::{Incoming, Stage};

use super::random::Random;

const HOUR: i64 = 3_600_000;
const DEFINITION: u64 = 7;
const SOURCES: [&str; 3] = ["orders", "scores", "labels"];

/// What happens from the onset on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// Nothing.
    None,
    /// v13 by half of two producers: nothing but a new version.
    Harmless,
    /// The same, and its amounts are cents: scores, flags and false positives move with it.
    Cents,
    /// No version; false positives rise everywhere.
    World,
    /// No version; all amounts are cents, and the model does not mind.
    Silent,
}

/// A run.
#[derive(Clone, Debug)]
pub struct Bank {
    pub seed: u64,
    pub change: Change,
    pub windows: i64,
    pub onset: i64,
    /// First window in which v13 is gone again.
    pub until: Option<i64>,
    pub rows: u64,
    /// Drop all memory after this many messages and take the checkpoints back.
    pub crash_after: Option<usize>,
    /// Predictions do not say where their inputs came from.
    pub grade_c: bool,
    /// Only flagged predictions get outcomes.
    pub flagged_only: bool,
    /// How much later than the windows all this is read, milliseconds.
    pub read_later_ms: i64,
    /// After the last window nothing comes for 30 days but the outcomes that were on their way.
    pub falls_silent: bool,
    /// First window that is counted under another configuration, by which the same counts.
    pub redefined: Option<i64>,
}

impl Default for Bank {
    fn default() -> Bank {
        let change = Change::None;
        Bank {
            seed: 1,
            change,
            windows: 34,
            onset: 19,
            until: None,
            rows: 20_000,
            crash_after: None,
            grade_c: false,
            flagged_only: false,
            read_later_ms: 0,
            falls_silent: false,
            redefined: None,
        }
    }
}

/// What was said.
#[derive(Debug, Default)]
pub struct Said {
    pub events: Vec<PublicEvent>,
}

impl Said {
    pub fn sentences(&self) -> Vec<String> {
        let line = |e: &PublicEvent| format!("{} {}", e.data.type_name(), e.data.sentence());
        self.events.iter().map(line).collect()
    }

    pub fn incidents(&self) -> BTreeMap<String, IncidentData> {
        let mut incidents = BTreeMap::new();
        for event in &self.events {
            if let EventData::Incident(data) = &event.data {
                incidents.insert(data.incident_id.clone(), (**data).clone());
            }
        }
        incidents
    }

    pub fn last_incident(&self) -> IncidentData {
        let incidents = self.events.iter().rev().find_map(|event| match &event.data {
            EventData::Incident(data) => Some((**data).clone()),
            _ => None,
        });
        incidents.unwrap_or_else(|| panic!("no incident: {:#?}", self.sentences()))
    }

    pub fn actions(&self) -> Vec<String> {
        let actions = self.events.iter().filter_map(|event| match &event.data {
            EventData::ActionRequested(data) => Some(data.action.clone()),
            _ => None,
        });
        actions.collect()
    }

    pub fn retrains(&self) -> usize {
        let retrain = |e: &&PublicEvent| matches!(e.data, EventData::RetrainRequested(_));
        self.events.iter().filter(retrain).count()
    }
}

/// A plan of one dataset and one model, as a configuration would give it.
pub fn plan() -> Plan {
    let window = WindowSize::from_ms(HOUR).expect("positive");
    let bounds = TimeBounds { past_ms: i64::MAX, future_ms: i64::MAX };
    let orders = DatasetPlan {
        name: "orders".into(),
        topic: "orders".into(),
        owner: Some("payments-team".into()),
        event_time: TimeSource::Record,
        producer: Some(Locator::Header("app".into())),
        schema_version: None,
        window,
        lateness_ms: 300_000,
        fields: FieldSelection::All(BTreeMap::new()),
        quarantine_breaches: false,
        bounds,
        definition: DEFINITION,
    };
    let header = |name: &str| vec![Locator::Header(name.into())];
    let exposure = ExposurePlan { schema: header("schema"), producer: header("app") };
    let fraud = ModelPlan {
        name: "fraud".into(),
        predictions: PredictionPlan {
            topic: "scores".into(),
            id: Locator::Field("id".into()),
            score: Some(Locator::Field("p".into())),
            decision: Decision::ScoreAbove(0.8),
            version: None,
            time: TimeSource::Record,
            exposure: BTreeMap::from([("orders".to_owned(), exposure)]),
        },
        outcomes: Some(OutcomePlan {
            topic: "labels".into(),
            id: Locator::Field("id".into()),
            label: Locator::Field("fraud".into()),
            positive: vec!["true".into()],
            time: TimeSource::Record,
            covers: Covers::All,
            absent: Absent::Unknown,
            horizon_ms: 6 * HOUR,
        }),
        inputs: BTreeMap::from([("orders".to_owned(), Vec::new())]),
        window,
        lateness_ms: 300_000,
        bounds,
        definition: DEFINITION,
    };
    Plan {
        app: "test".into(),
        datasets: BTreeMap::from([("orders".to_owned(), orders)]),
        models: BTreeMap::from([("fraud".to_owned(), fraud)]),
        act_within_ms: 24 * HOUR,
        hold_max_ms: 600_000,
        values: ValuesPlan::default(),
        max_ahead: 4,
        limits: Limits {
            memory_bytes: 512 << 20,
            cells_per_window: 64,
            fields_per_dataset: 200,
            versions_per_dataset: 16,
            text_bytes: 256,
            record_bytes: 1 << 20,
            depth: 32,
            pending_bytes: 8 << 20,
            prefetch_bytes: 64 << 20,
            waiting: 1_000_000,
        },
    }
}

/// The stages behind join, and what goes between them.
struct Stages {
    plan: Arc<Plan>,
    assess: Vec<Assess>,
    decide: Decide,
    layout: Option<Layout>,
    /// Checkpoints as a compacted topic would hold them: by stage, then key.
    state: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
    offset: i64,
    messages: usize,
    read_later_ms: i64,
    said: Said,
}

impl Stages {
    fn new(bank: &Bank) -> Stages {
        let plan = Arc::new(bank.plan());
        Stages {
            assess: (0..8).map(|p| Assess::new(Arc::clone(&plan), p)).collect(),
            decide: Decide::new(Arc::clone(&plan)),
            plan,
            layout: None,
            state: vec![BTreeMap::new(); 9],
            offset: 0,
            messages: 0,
            read_later_ms: bank.read_later_ms,
            said: Said::default(),
        }
    }

    fn summaries(&mut self, partition: i32, batch: &SummaryBatch, now_ms: i64) {
        self.offset += 1;
        self.messages += 1;
        let now_ms = now_ms + self.read_later_ms;
        let payload = wire::encode(batch);
        let incoming = Incoming { offset: self.offset, timestamp_ms: now_ms, payload: &payload };
        let mut out = Outbox::default();
        self.assess[partition as usize].step(incoming, &mut out);
        let mut said = Outbox::default();
        for message in out.messages {
            match message.route {
                Route::Findings => {
                    let payload = &message.payload;
                    let incoming = Incoming { offset: 0, timestamp_ms: now_ms, payload };
                    self.decide.step(incoming, &mut said);
                }
                Route::Layouts => {
                    let update: LayoutUpdate = wire::decode(&message.payload).expect("a layout");
                    self.layout = update.layout;
                }
                route => panic!("assess wrote to {route:?}"),
            }
        }
        self.said.events.extend(said.events);
    }

    /// Everything starts anew with another configuration, by which the same counts.
    fn redefine(&mut self) {
        let mut plan = (*self.plan).clone();
        let orders = plan.datasets.get_mut("orders").expect("the dataset");
        (orders.lateness_ms, orders.definition) = (orders.lateness_ms - 1, DEFINITION + 1);
        let fraud = plan.models.get_mut("fraud").expect("the model");
        (fraud.lateness_ms, fraud.definition) = (fraud.lateness_ms - 1, DEFINITION + 1);
        self.plan = Arc::new(plan);
        self.crash();
    }

    fn crash(&mut self) {
        fn save(entries: Vec<(Vec<u8>, Option<Vec<u8>>)>, state: &mut BTreeMap<Vec<u8>, Vec<u8>>) {
            for (key, value) in entries {
                match value {
                    Some(value) => state.insert(key, value),
                    None => state.remove(&key),
                };
            }
        }
        for (stage, state) in self.assess.iter_mut().zip(&mut self.state) {
            save(stage.checkpoint(), state);
        }
        save(self.decide.checkpoint(), &mut self.state[8]);
        let mut assess = Vec::new();
        for (partition, state) in (0..8).zip(&self.state) {
            let mut stage = Assess::new(Arc::clone(&self.plan), partition);
            for (key, value) in state {
                stage.restore(key, value).expect("own entries");
            }
            stage.replayed("");
            assess.push(stage);
        }
        self.assess = assess;
        self.decide = Decide::new(Arc::clone(&self.plan));
        for (key, value) in &self.state[8] {
            self.decide.restore(key, value).expect("own entries");
        }
    }
}

impl Bank {
    /// The plan it runs under.
    fn plan(&self) -> Plan {
        let mut plan = plan();
        let fraud = plan.models.get_mut("fraud").expect("the model");
        if self.grade_c {
            fraud.predictions.exposure.clear();
        }
        if let (true, Some(outcomes)) = (self.flagged_only, &mut fraud.outcomes) {
            outcomes.covers = Covers::Flagged;
        }
        plan
    }

    fn model_key(&self, producer: u64, version: &str) -> ModelCellKey {
        let origin = Origin {
            dataset: "orders".into(),
            producer: format!("p{producer}"),
            schema_version: version.into(),
        };
        let exposure = if self.grade_c { Vec::new() } else { vec![origin] };
        ModelCellKey { model_version: "7".into(), exposure }
    }

    /// Runs it to the end.
    pub fn run(&self) -> Said {
        let mut random = Random::new(self.seed);
        let mut stages = Stages::new(self);
        let mut waiting: Vec<(i64, Vec<OutcomeDelta>)> = Vec::new();
        for window in 0..self.windows {
            if self.redefined == Some(window) {
                stages.redefine();
            }
            if let Some(version) = self.news(window) {
                self.send(&mut stages, self.schemas(version, window), Some(window));
            }
            let (batch, outcomes) = self.window(window, &mut random, stages.layout.as_ref());
            waiting.push((window, outcomes));
            self.send(&mut stages, batch, Some(window));
            // Outcomes of a window are all in five windows later.
            let due: Vec<OutcomeDelta> = waiting
                .extract_if(.., |(of, _)| *of + 5 <= window)
                .flat_map(|(_, outcomes)| outcomes)
                .collect();
            self.send_outcomes(&mut stages, due, window, (window + 1) * HOUR + 300_001);
        }
        if self.falls_silent {
            let now = self.windows * HOUR + 30 * 24 * HOUR;
            let lines = SOURCES.map(|topic| silent(topic, self.windows));
            let header = Header::Observe(lines.to_vec());
            for partition in 0..8 {
                let batch = SummaryBatch { header: Some(header.clone()), ..Default::default() };
                stages.summaries(partition, &batch, now);
            }
            let due = waiting.into_iter().flat_map(|(_, outcomes)| outcomes).collect();
            self.send_outcomes(&mut stages, due, self.windows, now);
        }
        stages.said
    }

    /// What records of a window are counted under.
    fn definition(&self, window: i64) -> u64 {
        DEFINITION + u64::from(self.redefined.is_some_and(|from| window >= from))
    }

    fn news(&self, window: i64) -> Option<&'static str> {
        match (window, self.change) {
            (0, _) => Some("12"),
            (w, Change::Harmless | Change::Cents) if w == self.onset => Some("13"),
            _ => None,
        }
    }

    fn schemas(&self, version: &str, window: i64) -> SummaryBatch {
        let doc = if version == "13" { "amount in cents" } else { "amount in dollars" };
        let field = SchemaField {
            path: "amount".into(),
            type_name: "double".into(),
            nullable: false,
            logical_type: None,
            default: None,
            symbols: Vec::new(),
            doc: Some(doc.into()),
        };
        let seen = SchemaSeen {
            dataset: "orders".into(),
            schema_version: version.into(),
            subject: Some("orders-value".into()),
            number: version.parse().ok(),
            fields: vec![field],
            partition: 0,
            offset: window * 1_000,
            event_time: EventTime(window * HOUR + 1),
            producer: "pos-7".into(),
        };
        SummaryBatch { schemas: vec![seen], ..SummaryBatch::default() }
    }

    /// One window of records and predictions, and the outcomes that will come.
    fn window(
        &self,
        window: i64,
        random: &mut Random,
        layout: Option<&Layout>,
    ) -> (SummaryBatch, Vec<OutcomeDelta>) {
        let start = EventTime(window * HOUR);
        let layout = layout.filter(|layout| start >= layout.effective_from);
        let changed = window >= self.onset && self.until.is_none_or(|until| window < until);
        let versioned = changed && matches!(self.change, Change::Cents | Change::Harmless);
        let mut cells = Vec::new();
        let mut models = Vec::new();
        let mut outcomes = Vec::new();
        let mut sample = Sample::default();
        for producer in 0..6u64 {
            let parts: &[(&str, u64)] =
                if versioned && producer < 2 { &[("12", 2), ("13", 2)] } else { &[("12", 1)] };
            for (version, parts) in parts {
                let broken = *version == "13" && self.change == Change::Cents;
                let cents = broken || (changed && self.change == Change::Silent);
                let world = changed && self.change == Change::World;
                let n = self.rows / 6 / parts;
                cells.push(self.cell(producer, version, n, cents, layout, random, &mut sample));
                let key = self.model_key(producer, version);
                let (sums, mut labels) = draw_model(n, broken, world, random);
                if self.flagged_only {
                    labels = flagged(&labels);
                }
                models.push((key.clone(), sums));
                outcomes.push(OutcomeDelta {
                    model: "fraud".into(),
                    window: start,
                    key,
                    // Outcomes come five hours later, of a horizon of six.
                    age: 23,
                    sums: labels,
                    definition: Some(self.definition(window)),
                });
            }
        }
        let dataset = DatasetDelta {
            dataset: "orders".into(),
            definition: self.definition(window),
            window: start,
            layout: layout.map(|layout| layout.id),
            evicted_from: None,
            cells,
        };
        let model = ModelDelta {
            model: "fraud".into(),
            definition: self.definition(window),
            window: start,
            evicted_from: None,
            cells: models,
        };
        let field = "amount".into();
        let sample = SampleDelta {
            dataset: "orders".into(),
            definition: self.definition(window),
            field,
            sample,
        };
        let batch = SummaryBatch {
            datasets: vec![dataset],
            models: vec![model],
            samples: vec![sample],
            ..SummaryBatch::default()
        };
        (batch, outcomes)
    }

    #[expect(clippy::too_many_arguments, reason = "a draw is made of all of these")]
    fn cell(
        &self,
        producer: u64,
        version: &str,
        n: u64,
        cents: bool,
        layout: Option<&Layout>,
        random: &mut Random,
        sample: &mut Sample,
    ) -> CellDelta {
        let layout = layout.and_then(|layout| layout.fields.get("amount"));
        let mut amount = FieldSummary::new(FieldKind::Numeric, layout);
        for _ in 0..n {
            let dollars = (3.0 + 0.1 * producer as f64 + random.normal()).exp();
            let value = if cents { dollars * 100.0 } else { dollars };
            amount.add_number(value, layout);
            sample.add(random.bits(), SampleValue::Number(value));
        }
        CellDelta {
            key: CellKey { producer: format!("p{producer}"), schema_version: version.into() },
            rows: n,
            max_event_time: EventTime(0),
            fields: vec![("amount".into(), amount)],
        }
    }

    /// Sends a batch to all partitions: subjects to theirs, the header to each.
    fn send(&self, stages: &mut Stages, batch: SummaryBatch, window: Option<i64>) {
        let at = window.map_or(0, |window| (window + 1) * HOUR + 300_001);
        let header = Header::Observe(SOURCES.into_iter().map(|topic| line(topic, at)).collect());
        let orders = partition_of_subject(&Subject::Dataset("orders".into()));
        let fraud = partition_of_subject(&Subject::Model("fraud".into()));
        let ready = !batch.datasets.is_empty();
        for partition in 0..8 {
            let mut mine =
                SummaryBatch { header: ready.then(|| header.clone()), ..SummaryBatch::default() };
            if partition == orders {
                mine.datasets = batch.datasets.clone();
                mine.samples = batch.samples.clone();
                mine.schemas = batch.schemas.clone();
            }
            if partition == fraud {
                mine.models = batch.models.clone();
            }
            if self.crash_after == Some(stages.messages) {
                stages.crash();
            }
            stages.summaries(partition, &mine, at);
        }
    }

    fn send_outcomes(&self, stages: &mut Stages, due: Vec<OutcomeDelta>, window: i64, at: i64) {
        let fraud = partition_of_subject(&Subject::Model("fraud".into()));
        for partition in 0..8 {
            let progress = JoinProgress {
                partition,
                partition_count: 8,
                from: window,
                to: window + 1,
                clocks: vec![("fraud".into(), EventTime(at))],
            };
            let outcomes = if partition == 0 { due.clone() } else { Vec::new() };
            let batch = SummaryBatch {
                header: Some(Header::Join(progress)),
                outcomes,
                ..SummaryBatch::default()
            };
            stages.summaries(fraud, &batch, at);
        }
    }
}

fn line(topic: &str, at: i64) -> Progress {
    Progress {
        topic: topic.into(),
        partition: 0,
        partition_count: 1,
        from: at / HOUR - 1,
        to: at / HOUR,
        counts: OutcomeCounts::default(),
        max_event_time: Some(EventTime(at)),
        newest_append_ms: Some(at),
        at_end: false,
    }
}

/// A source read to its end, with nothing new since the last window.
fn silent(topic: &str, windows: i64) -> Progress {
    let last = line(topic, windows * HOUR + 300_001);
    Progress { from: last.to, at_end: true, ..last }
}

/// What is left of outcomes where only flagged predictions get them.
fn flagged(labels: &OutcomeSums) -> OutcomeSums {
    OutcomeSums {
        labelled: labels.false_positives + labels.true_positives,
        negatives: labels.false_positives,
        positives: labels.true_positives,
        ..*labels
    }
}

/// Rates of the story: fraud 1 %; FPR 2.1 % (4.3 % broken, 2.6 % changed world); TPR .80 (.85).
fn draw_model(
    n: u64,
    broken: bool,
    world: bool,
    random: &mut Random,
) -> (PredictionSums, OutcomeSums) {
    let false_rate = if broken {
        0.043
    } else if world {
        0.026
    } else {
        0.021
    };
    let true_rate = if broken { 0.85 } else { 0.80 };
    let mut sums = PredictionSums::default();
    let mut labels = OutcomeSums::default();
    for _ in 0..n {
        let positive = random.unit() < 0.01;
        let flagged = random.unit() < if positive { true_rate } else { false_rate };
        let score = if flagged { 0.8 + 0.2 * random.unit() } else { 0.8 * random.unit().powi(3) };
        sums.add(Some(score), flagged);
        labels.add(flagged, positive);
    }
    (sums, labels)
}
