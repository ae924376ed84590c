//! The stages behind join, chained as a topology would chain them, and what they said.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftline::assess::Assess;
use driftline::config::plan::{
    Absent, Covers, DatasetPlan, Decision, ExposurePlan, FieldSelection, Limits, Locator,
    ModelPlan, OutcomePlan, Plan, PredictionPlan, TimeBounds, TimeSource,
};
use driftline::config::values::ValuesPlan;
use driftline::decide::Decide;
use driftline::event::layout::{Layout, LayoutUpdate};
use driftline::event::public::{EventData, IncidentData, PublicEvent};
use driftline::event::route::{Outbox, Route};
use driftline::event::summary::SummaryBatch;
use driftline::event::time::WindowSize;
use driftline::event::wire;
use driftline::stage::{Incoming, Stage};

/// Length of a window. *Units*: milliseconds.
pub const HOUR: i64 = 3_600_000;
/// Definition of everything in [`plan`].
pub const DEFINITION: u64 = 7;

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
            items_per_record: 64,
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
pub struct Stages {
    plan: Arc<Plan>,
    assess: Vec<Assess>,
    decide: Decide,
    pub layout: Option<Layout>,
    /// Checkpoints as a compacted topic would hold them: by stage, then key.
    state: Vec<BTreeMap<Vec<u8>, Vec<u8>>>,
    offset: i64,
    pub messages: usize,
    read_later_ms: i64,
    pub said: Said,
}

impl Stages {
    pub fn new(plan: Plan, read_later_ms: i64) -> Stages {
        let plan = Arc::new(plan);
        Stages {
            assess: (0..8).map(|p| Assess::new(Arc::clone(&plan), p)).collect(),
            decide: Decide::new(Arc::clone(&plan)),
            plan,
            layout: None,
            state: vec![BTreeMap::new(); 9],
            offset: 0,
            messages: 0,
            read_later_ms,
            said: Said::default(),
        }
    }

    pub fn summaries(&mut self, partition: i32, batch: &SummaryBatch, now_ms: i64) {
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
    pub fn redefine(&mut self) {
        let mut plan = (*self.plan).clone();
        let orders = plan.datasets.get_mut("orders").expect("the dataset");
        (orders.lateness_ms, orders.definition) = (orders.lateness_ms - 1, DEFINITION + 1);
        let fraud = plan.models.get_mut("fraud").expect("the model");
        (fraud.lateness_ms, fraud.definition) = (fraud.lateness_ms - 1, DEFINITION + 1);
        self.plan = Arc::new(plan);
        self.crash();
    }

    pub fn crash(&mut self) {
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
