//! What the committed summaries add up to, and what the source's records add up to by themselves.
//!
//! The second is counted from the records as they were made, by the rules users are told and not
//! by the stages: late is held against the partition, the first of each id counts, an outcome
//! pairs within the horizon.

use std::collections::BTreeMap;

use driftline::config::plan::Absent;
use driftline::event::cell::{ModelCellKey, Origin};
use driftline::event::layout::Layout;
use driftline::event::summary::{
    OUTCOME_AGES, OutcomeSums, PredictionSums, SummaryBatch, outcome_age,
};
use driftline::event::time::{EventTime, WindowSize};
use driftline::event::wire;
use driftline::sketch::{FieldKind, FieldLayout, FieldSummary, category_hash};

use super::broker::Place;
use super::source::{Fact, HORIZON_MS, LABELS_TOPIC, LATENESS_MS, ORDERS_TOPIC, Row, Source};
use super::source::{Outcome, Prediction, WINDOW_MS};

/// One cell of the dataset.
#[derive(Clone, Debug, PartialEq)]
pub struct OrderCell {
    pub rows: u64,
    /// By path.
    pub fields: BTreeMap<String, FieldSummary>,
}

/// Sums per window and cell.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Totals {
    /// By window, producer and version.
    pub orders: BTreeMap<(EventTime, String, String), OrderCell>,
    pub predictions: BTreeMap<(EventTime, ModelCellKey), PredictionSums>,
    /// By window, cell and age.
    pub outcomes: BTreeMap<(EventTime, ModelCellKey, u8), OutcomeSums>,
}

impl Totals {
    /// Adds up summaries.
    pub fn told<'a>(summaries: impl IntoIterator<Item = &'a [u8]>) -> Totals {
        let mut totals = Totals::default();
        for payload in summaries {
            let batch: SummaryBatch = wire::decode(payload).expect("summaries decode");
            totals.add(batch);
        }
        totals
    }

    /// Adds a message of summaries.
    pub fn add(&mut self, batch: SummaryBatch) {
        for delta in batch.datasets {
            for cell in delta.cells {
                let key = (delta.window, cell.key.producer, cell.key.schema_version);
                let empty = OrderCell { rows: 0, fields: BTreeMap::new() };
                let sum = self.orders.entry(key).or_insert(empty);
                sum.rows += cell.rows;
                for (path, field) in cell.fields {
                    match sum.fields.get_mut(&path) {
                        Some(sum) => sum.merge(&field),
                        None => {
                            sum.fields.insert(path, field);
                        }
                    }
                }
            }
        }
        for delta in batch.models {
            for (key, sums) in delta.cells {
                self.predictions.entry((delta.window, key)).or_default().merge(&sums);
            }
        }
        for delta in batch.outcomes {
            let key = (delta.window, delta.key, delta.age);
            self.outcomes.entry(key).or_default().merge(&delta.sums);
        }
    }

    /// Without bins and kinds, which depend on when a layout was learnt.
    pub fn without_bins(mut self) -> Totals {
        for cell in self.orders.values_mut() {
            for field in cell.fields.values_mut() {
                field.bins.clear();
                field.kind = FieldKind::Opaque;
            }
        }
        self
    }

    /// The first thing in which two sums differ.
    pub fn difference(&self, other: &Totals) -> Option<String> {
        first_difference("rows of", &self.orders, &other.orders)
            .or_else(|| first_difference("predictions of", &self.predictions, &other.predictions))
            .or_else(|| first_difference("outcomes of", &self.outcomes, &other.outcomes))
    }
}

/// The first key of two maps whose values differ, with both.
pub fn first_difference<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
    what: &str,
    one: &BTreeMap<K, V>,
    other: &BTreeMap<K, V>,
) -> Option<String> {
    let keys = one.keys().chain(other.keys());
    let mut differing: Vec<&K> = keys.filter(|key| one.get(key) != other.get(key)).collect();
    differing.sort();
    differing.dedup();
    let key = differing.first()?;
    let (n, one, other) = (differing.len(), one.get(key), other.get(key));
    Some(format!("{n} {what} differ, first {key:?}:\n     {one:?}\n not {other:?}"))
}

fn window_of(time: EventTime) -> EventTime {
    WindowSize::from_ms(WINDOW_MS).expect("positive").start_of(time)
}

fn cell_of(prediction: &Prediction) -> ModelCellKey {
    ModelCellKey {
        model_version: "7".into(),
        exposure: vec![Origin {
            dataset: ORDERS_TOPIC.into(),
            producer: prediction.producer.into(),
            schema_version: prediction.version.into(),
        }],
    }
}

/// Counts the records of a source by themselves. With a layout, bins are counted too.
pub fn recount(source: &Source, layout: Option<&Layout>) -> Totals {
    let mut totals = Totals::default();
    let mut highest: BTreeMap<Place, EventTime> = BTreeMap::new();
    let mut ids: BTreeMap<u64, Pairing> = BTreeMap::new();
    let mut newest = (EventTime::MIN, EventTime::MIN);
    // In order of arrival, which is the order within each partition.
    for row in &source.rows {
        let known = highest.entry(row.place).or_insert(EventTime::MIN);
        let last_call = window_of(row.time).plus_ms(WINDOW_MS + LATENESS_MS);
        let is_late = row.place.0 != LABELS_TOPIC && last_call < *known;
        if is_late || matches!(row.fact, Fact::Garbage | Fact::Tombstone) {
            continue;
        }
        *known = row.time.max(*known);
        match &row.fact {
            Fact::Order(_) => count_order(&mut totals, row, layout),
            Fact::Prediction(prediction) => {
                newest.0 = newest.0.max(row.time);
                count_prediction(&mut totals, row.time, prediction);
                let pairing = ids.entry(prediction.id).or_default();
                pairing.prediction.get_or_insert((row.time, prediction.clone()));
            }
            Fact::Outcome(outcome) => {
                newest.1 = newest.1.max(row.time);
                let pairing = ids.entry(outcome.id).or_default();
                pairing.outcomes.push((row.time, *outcome));
            }
            Fact::Garbage | Fact::Tombstone => {}
        }
    }
    // Both sides are silent in the end, and the clock of the join keeps a window and the lateness.
    let clock = newest.0.max(newest.1).plus_ms(-WINDOW_MS - LATENESS_MS);
    let absent = source.plan.models["fraud"].outcomes.as_ref().map(|plan| plan.absent);
    for pairing in ids.into_values() {
        pairing.count(&mut totals, clock, absent == Some(Absent::NegativeAfterHorizon));
    }
    totals
}

fn count_order(totals: &mut Totals, row: &Row, layout: Option<&Layout>) {
    let Fact::Order(order) = &row.fact else { return };
    let key = (window_of(row.time), order.producer.to_owned(), order.version.to_owned());
    let field = |path: &str, kind| (path.to_owned(), FieldSummary::new(kind, of(layout, path)));
    let sum = totals.orders.entry(key).or_insert_with(|| OrderCell {
        rows: 0,
        fields: BTreeMap::from([
            field("amount", FieldKind::Numeric),
            field("country", FieldKind::Category),
        ]),
    });
    sum.rows += 1;
    let amount = sum.fields.get_mut("amount").expect("just made");
    match order.amount {
        Some(value) => amount.add_number(value, of(layout, "amount")),
        None => amount.counters.null += 1,
    }
    let country = sum.fields.get_mut("country").expect("just made");
    country.add_category(category_hash(order.country.as_bytes()), of(layout, "country"));
}

fn of<'l>(layout: Option<&'l Layout>, path: &str) -> Option<&'l FieldLayout> {
    layout.and_then(|layout| layout.fields.get(path))
}

fn count_prediction(totals: &mut Totals, time: EventTime, prediction: &Prediction) {
    let sums = totals.predictions.entry((window_of(time), cell_of(prediction))).or_default();
    sums.add(Some(prediction.score), prediction.score > 0.8);
}

#[derive(Debug, Default)]
struct Pairing {
    prediction: Option<(EventTime, Prediction)>,
    outcomes: Vec<(EventTime, Outcome)>,
}

impl Pairing {
    fn count(&self, totals: &mut Totals, clock: EventTime, absent_is_negative: bool) {
        let Some((time, prediction)) = &self.prediction else { return };
        let flagged = prediction.score > 0.8;
        let within = |(came, _): &&(EventTime, Outcome)| came.since_ms(*time).abs() <= HORIZON_MS;
        let window = window_of(*time);
        let (age, positive, assumed) = match self.outcomes.iter().find(within) {
            Some((came, outcome)) => {
                let age = outcome_age(window.plus_ms(WINDOW_MS), *came, HORIZON_MS);
                (age, outcome.positive, false)
            }
            None if absent_is_negative && *time < clock.plus_ms(-HORIZON_MS) => {
                (OUTCOME_AGES, false, true)
            }
            None => return,
        };
        let sums = totals.outcomes.entry((window, cell_of(prediction), age)).or_default();
        sums.add(flagged, positive);
        sums.assumed += u64::from(assumed);
    }
}
