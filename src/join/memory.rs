//! Restore = memory: a join that lost everything and read again remembers the same, byte for byte,
//! as one that never lost anything. Tests alone.
//!
//! Left out of the comparison are the offsets from which things would be read again: after a
//! restart they are those of what was read then, which may be later and never too late; that is
//! tested by restarting from them once more. Not in the histories is what the rules of `model`
//! except: an id whose facts lie more than two horizons apart is no id, and a restart may begin
//! counting it at another of its facts.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::Join;
use crate::config::Config;
use crate::config::plan::Plan;
use crate::event::cell::{ModelCellKey, Origin};
use crate::event::fact::{FactBatch, FactCell, OutcomeFact, PredictionFact, fact_id};
use crate::event::progress::{OutcomeCounts, Progress};
use crate::event::route::Outbox;
use crate::event::time::EventTime;
use crate::event::wire;
use crate::stage::{Incoming, Stage};

const WINDOW_MS: i64 = 10_000;
const HORIZON_MS: i64 = 100_000;

fn plan(absent: &str, waiting: usize) -> Arc<Plan> {
    let text = format!(
        "app: memory
kafka: {{ bootstrap_servers: \"127.0.0.1:9092\" }}
datasets: {{ orders: {{ topic: orders, window: {{ size: {WINDOW_MS}ms, lateness: 5s }} }} }}
models:
  fraud:
    predictions: {{ topic: scores, id: id, score: p, decision: {{ score_above: 0.5 }}, time: at }}
    outcomes:
      {{ topic: labels, id: id, label: l, positive: true, time: at, absent: {absent},
        horizon: {HORIZON_MS}ms }}
    inputs: {{ orders: [amount] }}
hold_max: 50s
limits: {{ waiting: {waiting} }}
"
    );
    let planned = Config::parse(&text, "memory.yaml").and_then(|config| config.plan());
    Arc::new(planned.unwrap_or_else(|error| panic!("{error}")).0)
}

/// One step of a history: facts near a time, how far source partitions have come, a commit.
#[derive(Clone, Debug)]
struct Step {
    after_ms: i64,
    /// Id, time before now, whether it is a prediction, and a coin.
    facts: Vec<(u8, i64, bool, bool)>,
    /// Topic and partition that report, and whether they are at their end.
    reports: Vec<(bool, i32, bool)>,
    commits: bool,
}

fn step() -> impl Strategy<Value = Step> {
    let fact = (any::<u8>(), 0..2 * WINDOW_MS, any::<bool>(), any::<bool>());
    let report = (any::<bool>(), 0..2, prop::bool::weighted(0.2));
    (
        0..HORIZON_MS / 6,
        prop::collection::vec(fact, 0..12),
        prop::collection::vec(report, 0..5),
        prop::bool::weighted(0.3),
    )
        .prop_map(|(after_ms, facts, reports, commits)| Step {
            after_ms,
            facts,
            reports,
            commits,
        })
}

/// The messages of a history, with the broker's time.
fn messages(steps: &[Step]) -> Vec<(i64, Vec<u8>)> {
    let mut now = 1_000;
    let messages = steps.iter().map(|step| {
        now += step.after_ms;
        let mut batch = FactBatch {
            header: (!step.reports.is_empty()).then(|| header(&step.reports, now)),
            models: vec!["fraud".into()],
            terms: Vec::new(),
            cells: Vec::new(),
            predictions: Vec::new(),
            outcomes: Vec::new(),
        };
        for (id, before, is_prediction, coin) in &step.facts {
            // Ids are used again, but not for ever.
            let age = (now / (HORIZON_MS * 3 / 2)).to_string();
            let id = fact_id(format!("{id} {age}").as_bytes());
            let time = EventTime(now - before);
            if *is_prediction {
                let cell = batch.cells.len() as u32;
                batch.cells.push(cell_at(time, *coin));
                batch.predictions.push(PredictionFact { id, cell, time, flagged: *coin });
            } else {
                batch.outcomes.push(OutcomeFact { id, model: 0, time, positive: *coin });
            }
        }
        (now, wire::encode(&batch))
    });
    messages.collect()
}

fn cell_at(time: EventTime, coin: bool) -> FactCell {
    let window = EventTime(time.0.div_euclid(WINDOW_MS) * WINDOW_MS);
    let schema_version = if coin { "2" } else { "1" }.to_owned();
    let origin = Origin { dataset: "orders".into(), producer: "a".into(), schema_version };
    let key = ModelCellKey { model_version: "7".into(), exposure: vec![origin] };
    FactCell { model: 0, window, key }
}

fn header(reports: &[(bool, i32, bool)], now: i64) -> Vec<Progress> {
    let lines = reports.iter().map(|(is_score, partition, at_end)| Progress {
        topic: if *is_score { "scores" } else { "labels" }.into(),
        partition: *partition,
        partition_count: 2,
        from: 0,
        to: 0,
        counts: OutcomeCounts::default(),
        max_event_time: Some(EventTime(now)),
        newest_append_ms: Some(now),
        at_end: *at_end,
    });
    lines.collect()
}

fn feed(join: &mut Join, offset: usize, message: &(i64, Vec<u8>), out: &mut Outbox) {
    let (timestamp_ms, payload) = (message.0, message.1.as_slice());
    join.step(Incoming { offset: offset as i64, timestamp_ms, payload }, out);
}

/// A join after a crash at the commit before `next` that wrote `metadata`.
fn restored(plan: &Arc<Plan>, log: &[(i64, Vec<u8>)], next: usize, metadata: &str) -> Join {
    let mut join = Join::new(Arc::clone(plan), 0);
    let mut silent = Outbox::default();
    let from = usize::try_from(Join::replay_from(metadata, next as i64)).expect("not below 0");
    for (offset, message) in log.iter().enumerate().take(next).skip(from) {
        feed(&mut join, offset, message, &mut silent);
    }
    join.replayed(metadata);
    let _ = join.commit(next as i64, &mut silent);
    join
}

fn memory(join: &Join) -> BTreeMap<&str, String> {
    join.models.iter().map(|(name, model)| (name.as_str(), model.memory())).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200, failure_persistence: None, ..ProptestConfig::default()
    })]
    #[test]
    fn restored_join_remembers_the_same_bytes(
        steps in prop::collection::vec(step(), 1..120),
        tight in any::<bool>(),
        negative in any::<bool>(),
    ) {
        let absent = if negative { "negative_after_horizon" } else { "unknown" };
        let plan = plan(absent, if tight { 8 * 20 } else { 8_000 });
        let log = messages(&steps);
        let mut join = Join::new(Arc::clone(&plan), 0);
        let mut out = Outbox::default();
        let mut lost: Option<Join> = None;
        for (offset, (step, message)) in steps.iter().zip(&log).enumerate() {
            feed(&mut join, offset, message, &mut out);
            if let Some(lost) = &mut lost {
                feed(lost, offset, message, &mut out);
            }
            if !step.commits {
                continue;
            }
            let next = offset + 1;
            let metadata = join.commit(next as i64, &mut out);
            let again = restored(&plan, &log, next, &metadata);
            prop_assert_eq!(memory(&again), memory(&join), "after {} messages", next);
            prop_assert_eq!(again.kept_to, join.kept_to);
            // One that has crashed at every commit so far.
            let metadata = match &mut lost {
                Some(lost) => lost.commit(next as i64, &mut out),
                None => metadata,
            };
            let again = restored(&plan, &log, next, &metadata);
            prop_assert_eq!(memory(&again), memory(&join), "once more, {} messages", next);
            lost = Some(again);
        }
    }
}
