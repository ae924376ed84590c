//! A bank's summaries, drawn from known rates: orders of six producers, a fraud model, outcomes.

use driftline::assess::partition_of_subject;
use driftline::config::plan::{Covers, Plan};
use driftline::event::cell::{CellKey, ModelCellKey, Origin};
use driftline::event::finding::Subject;
use driftline::event::layout::Layout;
use driftline::event::progress::{Header, JoinProgress, OutcomeCounts, Progress};
use driftline::event::schema::{SchemaField, SchemaSeen};
use driftline::event::summary::{
    CellDelta, DatasetDelta, ModelDelta, OutcomeDelta, OutcomeSums, PredictionSums, SampleDelta,
    SummaryBatch,
};
use driftline::event::time::EventTime;
use driftline::sketch::{FieldKind, FieldSummary, Sample, SampleValue};

use super::random::Random;
use super::stages::{DEFINITION, HOUR, Said, Stages, plan};

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
        let mut stages = Stages::new(self.plan(), self.read_later_ms);
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
