//! The bank's stream: orders, the scores a fraud model gives them, and late labels.
//!
//! Six producers write orders. From the onset on, half of what two of them write is schema
//! version 13: a sixth of the traffic, and in no producer alone, so that a change of version can
//! be told from a change of producer. The model's error rates are those of the story, given the
//! version its inputs were written with; scores are drawn so that they hold at the threshold.
//!
//! *Determinism*: a plan gives the same records on every run. *Memory*: scores and labels still
//! to come, at most [`LABEL_DELAY_MAX_MS`] of orders.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::event::time::EventTime;

use super::draw;
use super::random::Random;
use super::record::{Label, Record, SchemaRef, Score};

/// Score above which the model's users act.
pub const THRESHOLD: f64 = 0.8;
/// Version of the model.
pub const MODEL_VERSION: &str = "7";
/// Header of an order: who wrote it.
pub const PRODUCER_HEADER: &str = "app";
/// Header of a score: registry id of the schema its order was written with.
pub const EXPOSURE_SCHEMA_HEADER: &str = "orders_schema_id";
/// Header of a score: who wrote its order.
pub const EXPOSURE_PRODUCER_HEADER: &str = "orders_app";
/// Shortest and longest wait for a label, drawn evenly. *Units*: milliseconds.
pub const LABEL_DELAY_MIN_MS: i64 = 3_600_000;
/// See [`LABEL_DELAY_MIN_MS`].
pub const LABEL_DELAY_MAX_MS: i64 = 4 * 3_600_000;

/// The producers of orders, each with a sixth of the traffic.
pub const PRODUCERS: [&str; 6] = ["web-1", "web-2", "pos-7", "pos-8", "app-3", "app-4"];
/// The ones that roll version 13 out, each for half of what it writes.
pub const V13_PRODUCERS: [&str; 2] = ["pos-7", "pos-8"];
/// The one that writes version 14, where the plan has it.
pub const V14_PRODUCER: &str = "app-3";

const FRAUD_SHARE: f64 = 0.01;
const V13_SHARE: f64 = 0.5;
/// From an order to its score, drawn evenly. *Units*: milliseconds.
const SCORE_DELAY_MS: (i64, i64) = (20, 80);

/// What version 13 does to the data and to the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChangeKind {
    /// There is no version 13.
    None,
    /// It adds an optional field and touches nothing else: the control.
    AddedField,
    /// It also writes `amount` in cents, and the model errs more on it: the story.
    Cents,
}

/// Error rates of the model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rates {
    /// Share of frauds that are flagged.
    pub true_positive: f64,
    /// Share of honest orders that are flagged.
    pub false_positive: f64,
}

/// On orders as it was trained on them.
pub const RATES: Rates = Rates { true_positive: 0.80, false_positive: 0.021 };
/// On orders whose amount is in cents.
pub const RATES_CENTS: Rates = Rates { true_positive: 0.85, false_positive: 0.043 };

/// What to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BankPlan {
    /// Start of window 0.
    pub start: EventTime,
    /// Length of a window. *Units*: milliseconds, > 0.
    pub window_ms: i64,
    /// Windows of orders; labels come after them too.
    pub windows: u32,
    /// Orders in each window: fewer than 20,000, and four windows no longer show +18 %.
    pub rows_per_window: u32,
    /// First window with version 13.
    pub onset_window: u32,
    /// What version 13 does.
    pub v13: ChangeKind,
    /// First window in which [`V14_PRODUCER`] writes the harmless version 14, if any.
    pub v14_window: Option<u32>,
    /// Everything drawn follows from this.
    pub seed: u64,
}

impl BankPlan {
    /// The demo's story from `start` on: 41 windows of an hour, version 13 from window 19.
    /// The seed is one of two dozen tried: in its first windows with version 13 the rates drawn
    /// lie close to the rates meant, neither a lucky draw nor an unlucky one.
    #[must_use]
    pub fn story(start: EventTime) -> BankPlan {
        BankPlan {
            start,
            window_ms: 3_600_000,
            windows: 41,
            rows_per_window: 20_000,
            onset_window: 19,
            v13: ChangeKind::Cents,
            v14_window: None,
            seed: 11,
        }
    }

    /// First instant after the last window.
    #[must_use]
    pub fn end(&self) -> EventTime {
        self.start.plus_ms(self.window_ms.saturating_mul(i64::from(self.windows)))
    }

    /// Writer schemas it uses, in the order they appear.
    #[must_use]
    pub fn schemas(&self) -> Vec<SchemaRef> {
        let v13 = match self.v13 {
            ChangeKind::None => None,
            ChangeKind::AddedField => Some(SchemaRef::OrderV13Harmless),
            ChangeKind::Cents => Some(SchemaRef::OrderV13),
        };
        let v14 = self.v14_window.map(|_| SchemaRef::OrderV14);
        let always = [SchemaRef::OrderV12, SchemaRef::Score, SchemaRef::Label];
        always.into_iter().chain(v13).chain(v14).collect()
    }
}

/// The three topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TopicKind {
    /// Orders: the dataset.
    Orders,
    /// Scores: predictions.
    Scores,
    /// Labels: outcomes.
    Labels,
}

impl TopicKind {
    /// Its name in the demo.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            TopicKind::Orders => "orders",
            TopicKind::Scores => "scores",
            TopicKind::Labels => "labels",
        }
    }
}

/// A header's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderValue {
    /// This text.
    Text(&'static str),
    /// The registry id of this schema, as decimal text: whoever registered it knows.
    SchemaId(SchemaRef),
}

/// One message to come.
#[derive(Clone, Debug, PartialEq)]
pub struct Generated {
    /// Where it belongs.
    pub topic: TopicKind,
    /// What it says.
    pub record: Record,
    /// Schema it is written with.
    pub schema: SchemaRef,
    /// Its headers.
    pub headers: Vec<(&'static str, HeaderValue)>,
}

impl Generated {
    /// Its event time.
    #[must_use]
    pub fn event_time(&self) -> EventTime {
        self.record.event_time()
    }

    /// Its key.
    #[must_use]
    pub fn key(&self) -> &str {
        self.record.key()
    }

    /// Appends its value as an Avro datum, without any framing.
    pub fn write_avro(&self, out: &mut Vec<u8>) {
        self.record.write_avro(self.schema, out);
    }

    /// Its value as a JSON object.
    #[must_use]
    pub fn json(&self) -> String {
        self.record.json(self.schema)
    }
}

/// The stream: messages of all topics in ascending order of event time.
///
/// ```
/// use driftline::demo::bank::{Bank, BankPlan};
/// use driftline::event::time::EventTime;
///
/// let first = Bank::new(BankPlan::story(EventTime(0))).next().expect("a plan with orders");
/// let mut datum = Vec::new();
/// first.write_avro(&mut datum);
/// assert_eq!(first.topic.name(), "orders");
/// ```
#[derive(Clone, Debug)]
pub struct Bank {
    plan: BankPlan,
    random: Random,
    /// Orders made.
    made: u64,
    next_order: Option<Generated>,
    /// Scores and labels that follow from orders made, earliest first.
    pending: BinaryHeap<Reverse<Pending>>,
}

/// A score or a label to come. Ordered by time; the order's number makes the order total.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    time: i64,
    number: u64,
    kind: PendingKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum PendingKind {
    /// Bits of the score (scores are positive, so bits order as they do), and the exposure.
    Score {
        bits: u64,
        schema: SchemaRef,
        producer: &'static str,
    },
    Label {
        is_fraud: bool,
    },
}

impl Bank {
    /// The stream of a plan, from its beginning.
    #[must_use]
    pub fn new(plan: BankPlan) -> Bank {
        let random = Random::new(plan.seed);
        let mut bank = Bank { plan, random, made: 0, next_order: None, pending: BinaryHeap::new() };
        bank.next_order = bank.order();
        bank
    }

    /// The next order, its score and label put among the pending.
    fn order(&mut self) -> Option<Generated> {
        let rows = u64::from(self.plan.rows_per_window.max(1));
        let window = u32::try_from(self.made / rows).ok()?;
        if window >= self.plan.windows {
            return None;
        }
        let created_at = self.created_at(window, self.made % rows);
        let number = self.made;
        self.made += 1;

        let producer = self.random.pick(&PRODUCERS);
        let mut order = draw::order(&mut self.random, number, created_at);
        let schema = self.schema(window, producer);
        match schema {
            SchemaRef::OrderV13 => {
                order.amount = (order.amount * 100.0).round();
                order.added = draw::loyalty_tier(&mut self.random);
            }
            SchemaRef::OrderV13Harmless => order.added = draw::loyalty_tier(&mut self.random),
            SchemaRef::OrderV14 => order.added = draw::coupon(&mut self.random),
            SchemaRef::OrderV12 | SchemaRef::Score | SchemaRef::Label => {}
        }
        self.judge(number, created_at, schema, producer);
        Some(Generated {
            topic: TopicKind::Orders,
            record: Record::Order(Box::new(order)),
            schema,
            headers: vec![(PRODUCER_HEADER, HeaderValue::Text(producer))],
        })
    }

    /// One order in each equal part of the window, anywhere within it: steady, and in order.
    fn created_at(&mut self, window: u32, row: u64) -> i64 {
        let part = (row as f64 + self.random.unit()) / f64::from(self.plan.rows_per_window);
        let window_start = i64::from(window).saturating_mul(self.plan.window_ms);
        self.plan.start.plus_ms(window_start + (part * self.plan.window_ms as f64) as i64).0
    }

    fn schema(&mut self, window: u32, producer: &str) -> SchemaRef {
        let rolled_out = window >= self.plan.onset_window && V13_PRODUCERS.contains(&producer);
        if rolled_out && self.plan.v13 != ChangeKind::None && self.random.chance(V13_SHARE) {
            return match self.plan.v13 {
                ChangeKind::Cents => SchemaRef::OrderV13,
                ChangeKind::AddedField | ChangeKind::None => SchemaRef::OrderV13Harmless,
            };
        }
        match self.plan.v14_window {
            Some(first) if window >= first && producer == V14_PRODUCER => SchemaRef::OrderV14,
            _ => SchemaRef::OrderV12,
        }
    }

    /// Decides what the order is, what the model says of it, and when each will be known.
    fn judge(&mut self, number: u64, created_at: i64, schema: SchemaRef, producer: &'static str) {
        let rates = if schema == SchemaRef::OrderV13 { RATES_CENTS } else { RATES };
        let is_fraud = self.random.chance(FRAUD_SHARE);
        let rate = if is_fraud { rates.true_positive } else { rates.false_positive };
        let flagged = self.random.chance(rate);
        let bits = draw::score(&mut self.random, flagged, THRESHOLD).to_bits();
        let scored_at = created_at + self.between(SCORE_DELAY_MS);
        let labelled_at = created_at + self.between((LABEL_DELAY_MIN_MS, LABEL_DELAY_MAX_MS));
        let score = PendingKind::Score { bits, schema, producer };
        self.pending.push(Reverse(Pending { time: scored_at, number, kind: score }));
        let label = PendingKind::Label { is_fraud };
        self.pending.push(Reverse(Pending { time: labelled_at, number, kind: label }));
    }

    fn between(&mut self, (low, high): (i64, i64)) -> i64 {
        low + (self.random.unit() * (high - low) as f64) as i64
    }
}

impl Iterator for Bank {
    type Item = Generated;

    fn next(&mut self) -> Option<Generated> {
        let order_time = self.next_order.as_ref().map(|order| order.event_time().0);
        let pending_time = self.pending.peek().map(|Reverse(pending)| pending.time);
        if let Some(order_time) = order_time
            && pending_time.is_none_or(|time| order_time <= time)
        {
            let order = self.order();
            return std::mem::replace(&mut self.next_order, order);
        }
        self.pending.pop().map(|Reverse(pending)| follow_up(pending))
    }
}

fn follow_up(pending: Pending) -> Generated {
    let tx_id = draw::order_id(pending.number);
    match pending.kind {
        PendingKind::Score { bits, schema, producer } => Generated {
            topic: TopicKind::Scores,
            record: Record::Score(Score {
                tx_id,
                scored_at: pending.time,
                p_fraud: f64::from_bits(bits),
                model_version: MODEL_VERSION,
            }),
            schema: SchemaRef::Score,
            headers: vec![
                (EXPOSURE_SCHEMA_HEADER, HeaderValue::SchemaId(schema)),
                (EXPOSURE_PRODUCER_HEADER, HeaderValue::Text(producer)),
            ],
        },
        PendingKind::Label { is_fraud } => Generated {
            topic: TopicKind::Labels,
            record: Record::Label(Label { tx_id, is_fraud, labelled_at: pending.time }),
            schema: SchemaRef::Label,
            headers: Vec::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_waits_to_come_is_bounded_by_the_longest_label_delay() {
        let story = BankPlan::story(EventTime(0));
        let mut bank = Bank::new(BankPlan { windows: 12, rows_per_window: 1_000, ..story });
        let mut most = 0;

        while bank.next().is_some() {
            most = most.max(bank.pending.len());
        }

        assert!((2_000..4_100).contains(&most), "{most}");
    }
}
