//! A restart at scale, in memory on one core: assess with 100,000 cell-fields, join with ten
//! million waiting predictions. Prints times, sizes and resident memory; asserts nothing of them.
//!
//! Times are those this thread was on a core, so that a busy machine does not show. Reading from a
//! broker is not part of it: what is measured is what the stages do. Linux only, it reads `/proc`.

#![allow(clippy::unwrap_used, reason = "a bench that cannot go on fails")]
#![allow(clippy::print_stdout, reason = "it says what it measured")]
#![allow(clippy::disallowed_methods, reason = "a bench reads the clock, here from a file")]

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use driftline::assess::{Assess, partition_of_subject};
use driftline::config::Config;
use driftline::config::plan::Plan;
use driftline::event::cell::{CellKey, ModelCellKey, Origin};
use driftline::event::fact::{FactBatch, FactCell, PredictionFact, fact_id};
use driftline::event::finding::Subject;
use driftline::event::progress::{Header, OutcomeCounts, Progress};
use driftline::event::route::{FACTS_PARTITIONS, Outbox, SUMMARIES_PARTITIONS};
use driftline::event::summary::{CellDelta, DatasetDelta, SummaryBatch};
use driftline::event::time::EventTime;
use driftline::event::wire;
use driftline::join::Join;
use driftline::sketch::{FieldKind, FieldLayout, FieldSummary, Sample, SampleValue};
use driftline::stage::{Incoming, Stage};

const HOUR: i64 = 3_600_000;
const START: i64 = 1_760_000_400_000 / HOUR * HOUR;

/// What assess holds: datasets x windows x cells x fields is 100,000.
const DATASETS: usize = 4;
const WINDOWS: i64 = 5;
const CELLS: usize = 50;
const FIELDS: usize = 100;
/// Commits between the checkpoint and the crash, each telling of every cell of one window.
const COMMITS: i64 = 60;

/// What join holds.
const WAITING: u64 = 10_000_000;
const PER_MESSAGE: u64 = 4_000;
const HORIZON_MS: i64 = 14 * 24 * HOUR;

fn main() {
    // First, while this process is small: what it grows by is what join holds.
    join();
    assess();
}

/// How long this thread has been on a core.
fn on_core() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

fn plan() -> Arc<Plan> {
    let mut text = String::from(
        "app: bench
kafka: { bootstrap_servers: \"127.0.0.1:9092\" }
limits: { memory: 8GiB, waiting: 20000000 }
models:
  fraud:
    predictions: { topic: scores, id: id, score: p, decision: { score_above: 0.5 }, time: at }
    outcomes: { topic: labels, id: id, label: l, positive: true, time: at, horizon: 14d }
    inputs: { orders0: [f0] }
datasets:
",
    );
    for dataset in 0..DATASETS {
        let name = format!("orders{dataset}");
        text.push_str(&format!("  {name}: {{ topic: {name}, window: {{ size: 1h }} }}\n"));
    }
    let planned = Config::parse(&text, "bench.yaml").and_then(|config| config.plan());
    Arc::new(planned.unwrap_or_else(|error| panic!("{error}")).0)
}

/// Counts of one field: two hundred amounts in bins, as a cell has after a commit or two.
fn summary() -> FieldSummary {
    let mut sample = Sample::default();
    let value = |i: u64| (i.wrapping_mul(7_919) % 100_003 + 1) as f64 / 100.0;
    for i in 0..2_000 {
        sample.add(i, SampleValue::Number(value(i)));
    }
    let layout = FieldLayout::learn(&sample);
    let mut summary = FieldSummary::new(FieldKind::Numeric, layout.as_ref());
    (0..200).for_each(|i| summary.add_number(value(i * 31), layout.as_ref()));
    summary
}

/// What one commit says of every cell of one window of a dataset.
fn commit(plan: &Plan, dataset: &str, window: i64, summary: &FieldSummary) -> SummaryBatch {
    let start = EventTime(START + window * HOUR);
    let fields: Vec<(String, FieldSummary)> =
        (0..FIELDS).map(|field| (format!("f{field:03}"), summary.clone())).collect();
    let cells = (0..CELLS).map(|cell| CellDelta {
        key: CellKey { producer: format!("p{cell}"), schema_version: "1".into() },
        rows: 200,
        max_event_time: start,
        fields: fields.clone(),
    });
    let line = Progress {
        topic: dataset.to_owned(),
        partition: 0,
        partition_count: 1,
        from: 0,
        to: 0,
        counts: OutcomeCounts::default(),
        // Windows stay open: what is measured is holding them.
        max_event_time: Some(EventTime(START)),
        newest_append_ms: Some(START),
        at_end: false,
    };
    let delta = DatasetDelta {
        dataset: dataset.to_owned(),
        definition: plan.datasets[dataset].definition,
        window: start,
        layout: Some(1),
        evicted_from: None,
        cells: cells.collect(),
    };
    SummaryBatch {
        header: Some(Header::Observe(vec![line])),
        datasets: vec![delta],
        ..SummaryBatch::default()
    }
}

fn step<S: Stage>(stage: &mut S, offset: i64, timestamp_ms: i64, payload: &[u8]) {
    let mut out = Outbox::default();
    stage.step(Incoming { offset, timestamp_ms, payload }, &mut out);
    black_box(out);
}

/// By dataset: the partition it lives in, and a commit of each window.
fn commits(plan: &Plan, summary: &FieldSummary) -> Vec<(usize, Vec<Vec<u8>>)> {
    let of_dataset = |dataset: usize| {
        let name = format!("orders{dataset}");
        let home = partition_of_subject(&Subject::Dataset(name.clone()));
        let windows = (0..WINDOWS).map(|w| wire::encode(&commit(plan, &name, w, summary)));
        (home as usize, windows.collect())
    };
    (0..DATASETS).map(of_dataset).collect()
}

fn assess() {
    let plan = plan();
    let summary = summary();
    let shards = || -> Vec<Assess> {
        (0..SUMMARIES_PARTITIONS).map(|p| Assess::new(Arc::clone(&plan), p)).collect()
    };
    let messages = commits(&plan, &summary);
    let mut live = shards();
    for (home, windows) in &messages {
        for payload in windows {
            step(&mut live[*home], 0, START, payload);
        }
    }
    let started = on_core();
    let mut longest = Duration::ZERO;
    let mut states = Vec::new();
    for shard in &mut live {
        let began = on_core();
        states.push(shard.checkpoint());
        longest = longest.max(on_core() - began);
    }
    let wrote = on_core() - started;
    let entries: usize = states.iter().map(Vec::len).sum();
    let largest = states.iter().flatten().filter_map(|(_, v)| Some(v.as_ref()?.len())).max();
    let bytes: usize =
        states.iter().flatten().map(|(k, v)| k.len() + v.as_ref().map_or(0, Vec::len)).sum();
    // What a minute later is written: one window of each dataset.
    for (home, windows) in &messages {
        step(&mut live[*home], 1, START, &windows[0]);
    }
    let started = on_core();
    let again: usize = live.iter_mut().map(|shard| shard.checkpoint().len()).sum();
    let rewrote = on_core() - started;

    let mut shards = shards();
    let started = on_core();
    for (shard, state) in shards.iter_mut().zip(&states) {
        for (key, value) in state {
            // What is deleted is not read.
            if let Some(value) = value {
                shard.restore(key, value).unwrap();
            }
        }
    }
    shards.iter_mut().for_each(|shard| shard.replayed(""));
    let restored = on_core() - started;
    let started = on_core();
    for number in 0..COMMITS {
        for (home, windows) in &messages {
            step(&mut shards[*home], number + 1, START, &windows[(WINDOWS - 1) as usize]);
        }
    }
    let replayed = on_core() - started;
    let cell_fields = DATASETS * WINDOWS as usize * CELLS * FIELDS;
    println!(
        "assess, {cell_fields} cell-fields: checkpoint of all {:.2} s ({entries} entries, {:.0} MB, the \
         largest {:.2} MB; longest stall {:.2} s), of one window of each {:.2} s ({again} entries)",
        wrote.as_secs_f64(),
        bytes as f64 / 1e6,
        largest.unwrap_or(0) as f64 / 1e6,
        longest.as_secs_f64(),
        rewrote.as_secs_f64(),
    );
    println!(
        "assess, restart: {:.2} s to read the checkpoint, {:.2} s to replay {COMMITS} commits of {} \
         cell-fields each; {:.2} s in all",
        restored.as_secs_f64(),
        replayed.as_secs_f64(),
        DATASETS * CELLS * FIELDS,
        (restored + replayed).as_secs_f64(),
    );
}

/// A message of predictions spread over the horizon, in the order of their time.
fn facts(message: u64, messages: u64) -> Vec<u8> {
    let time = EventTime(START + (message as i64) * HORIZON_MS / messages as i64);
    let window = EventTime(time.0.div_euclid(HOUR) * HOUR);
    let cells = (0..6).map(|cell| FactCell { model: 0, window, key: model_cell(cell) });
    let predictions = (0..PER_MESSAGE).map(|number| PredictionFact {
        id: fact_id(format!("tx-{message}-{number}").as_bytes()),
        cell: (number % 6) as u32,
        time,
        flagged: number % 40 == 0,
    });
    wire::encode(&FactBatch {
        header: None,
        models: vec!["fraud".into()],
        terms: Vec::new(),
        cells: cells.collect(),
        predictions: predictions.collect(),
        outcomes: Vec::new(),
    })
}

fn model_cell(cell: u64) -> ModelCellKey {
    let producer = format!("pos-{cell}");
    let origin = Origin { dataset: "orders0".into(), producer, schema_version: "12".into() };
    ModelCellKey { model_version: "7".into(), exposure: vec![origin] }
}

fn join() {
    let plan = plan();
    let partitions = FACTS_PARTITIONS.unsigned_abs();
    let messages = WAITING / PER_MESSAGE;
    let before = resident_bytes();
    let mut joins: BTreeMap<i32, Join> =
        (0..FACTS_PARTITIONS).map(|p| (p, Join::new(Arc::clone(&plan), p))).collect();
    let (mut took, mut bytes) = (Duration::ZERO, 0);
    for message in 0..messages {
        let payload = facts(message, messages);
        bytes += payload.len();
        let join = joins.get_mut(&((message % u64::from(partitions)) as i32)).unwrap();
        let started = on_core();
        step(join, (message / u64::from(partitions)) as i64, START, &payload);
        took += on_core() - started;
    }
    let held = resident_bytes() - before;
    let started = on_core();
    for join in joins.values_mut() {
        join.replayed("");
        black_box(join.commit((messages / u64::from(partitions)) as i64, &mut Outbox::default()));
    }
    let first = on_core() - started;
    println!(
        "join, {WAITING} waiting predictions: rebuilt in {:.1} s from {:.0} MB of facts, first commit \
         {:.2} s; resident {:.0} MiB, {:.0} bytes each",
        (took + first).as_secs_f64(),
        bytes as f64 / 1e6,
        first.as_secs_f64(),
        held as f64 / f64::from(1 << 20),
        held as f64 / WAITING as f64,
    );
}

/// Memory of this process that is in RAM.
fn resident_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: u64 = text.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4_096
}
