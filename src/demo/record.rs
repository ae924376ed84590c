//! The records of the bank's three topics, as Avro and as JSON.
//!
//! Avro is written by hand: a datum is its fields one after the other, and the demo makes 60,000
//! a second beside the engine it shows. Tests hold the bytes against the schemas.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::event::time::EventTime;

/// A writer schema of the demo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SchemaRef {
    /// Orders as they always were: `amount` in dollars.
    OrderV12,
    /// The "minor" change: `amount` in cents, and `loyalty_tier`.
    OrderV13,
    /// The control: version 13 with `loyalty_tier` alone.
    OrderV13Harmless,
    /// A later, harmless version: `coupon`.
    OrderV14,
    /// Scores.
    Score,
    /// Labels.
    Label,
}

impl SchemaRef {
    /// Registry subject it belongs to, by the topic-name strategy.
    #[must_use]
    pub fn subject(self) -> &'static str {
        match self {
            SchemaRef::OrderV12
            | SchemaRef::OrderV13
            | SchemaRef::OrderV13Harmless
            | SchemaRef::OrderV14 => "orders-value",
            SchemaRef::Score => "scores-value",
            SchemaRef::Label => "labels-value",
        }
    }

    /// Version within its subject.
    #[must_use]
    pub fn number(self) -> u32 {
        match self {
            SchemaRef::OrderV12 => 12,
            SchemaRef::OrderV13 | SchemaRef::OrderV13Harmless => 13,
            SchemaRef::OrderV14 => 14,
            SchemaRef::Score | SchemaRef::Label => 1,
        }
    }

    /// The schema itself, as `.avsc` JSON.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            SchemaRef::OrderV12 => include_str!("../../schemas/demo/order-v12.avsc"),
            SchemaRef::OrderV13 => include_str!("../../schemas/demo/order-v13.avsc"),
            SchemaRef::OrderV13Harmless => {
                include_str!("../../schemas/demo/order-v13-harmless.avsc")
            }
            SchemaRef::OrderV14 => include_str!("../../schemas/demo/order-v14.avsc"),
            SchemaRef::Score => include_str!("../../schemas/demo/score.avsc"),
            SchemaRef::Label => include_str!("../../schemas/demo/label.avsc"),
        }
    }

    /// The field this version of an order has beyond version 12.
    fn added_field(self) -> Option<&'static str> {
        match self {
            SchemaRef::OrderV13 | SchemaRef::OrderV13Harmless => Some("loyalty_tier"),
            SchemaRef::OrderV14 => Some("coupon"),
            SchemaRef::OrderV12 | SchemaRef::Score | SchemaRef::Label => None,
        }
    }
}

/// An order, as its producer wrote it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Order {
    /// Identifies the order, and the prediction made for it.
    pub order_id: String,
    /// When the customer ordered.
    pub created_at: i64,
    /// Total, in the unit its schema version says.
    pub amount: f64,
    /// Currency of the account.
    pub currency: &'static str,
    /// Country of the customer.
    pub country: &'static str,
    /// How the customer pays.
    pub channel: Symbol,
    /// Kind of card.
    pub card_type: Symbol,
    /// What the merchant sells.
    pub merchant_category: &'static str,
    /// The merchant.
    pub merchant_id: String,
    /// Number of items.
    pub items: i32,
    /// Days since the customer joined.
    pub customer_age_days: i32,
    /// Risk of the network address, 0 to 1.
    pub ip_risk: f64,
    /// From address to network address.
    pub distance_km: Option<f64>,
    /// Device and its operating system.
    pub device: &'static str,
    /// Session.
    pub session_id: String,
    /// To be wrapped.
    pub is_gift: bool,
    /// Value of the field its schema version adds, if it adds one.
    #[serde(skip)]
    pub added: Option<&'static str>,
}

/// A symbol of an enum, with its place in the schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Symbol {
    /// Its name.
    pub name: &'static str,
    /// Its place.
    #[serde(skip)]
    pub place: i32,
}

/// What the fraud model said of an order.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Score {
    /// The order.
    pub tx_id: String,
    /// When it was scored.
    pub scored_at: i64,
    /// Score, 0 to 1.
    pub p_fraud: f64,
    /// Version of the model.
    pub model_version: &'static str,
}

/// What an order turned out to be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Label {
    /// The order.
    pub tx_id: String,
    /// It was fraud.
    pub is_fraud: bool,
    /// When that was found.
    pub labelled_at: i64,
}

/// A record of one of the three topics.
#[derive(Clone, Debug, PartialEq)]
pub enum Record {
    /// Of `orders`.
    Order(Box<Order>),
    /// Of `scores`.
    Score(Score),
    /// Of `labels`.
    Label(Label),
}

impl Record {
    /// Its event time.
    #[must_use]
    pub fn event_time(&self) -> EventTime {
        EventTime(match self {
            Record::Order(order) => order.created_at,
            Record::Score(score) => score.scored_at,
            Record::Label(label) => label.labelled_at,
        })
    }

    /// Its key: the order's id.
    #[must_use]
    pub fn key(&self) -> &str {
        match self {
            Record::Order(order) => &order.order_id,
            Record::Score(score) => &score.tx_id,
            Record::Label(label) => &label.tx_id,
        }
    }

    /// Appends it as an Avro datum of `schema`, without any framing.
    pub fn write_avro(&self, schema: SchemaRef, out: &mut Vec<u8>) {
        match self {
            Record::Order(order) => write_order(order, schema, out),
            Record::Score(score) => {
                text(out, &score.tx_id);
                long(out, score.scored_at);
                double(out, score.p_fraud);
                text(out, score.model_version);
            }
            Record::Label(label) => {
                text(out, &label.tx_id);
                out.push(u8::from(label.is_fraud));
                long(out, label.labelled_at);
            }
        }
    }

    /// It as one JSON object, with the fields of `schema`; times in epoch milliseconds.
    #[must_use]
    pub fn json(&self, schema: SchemaRef) -> String {
        let written = match self {
            Record::Order(order) => serde_json::to_value(order),
            Record::Score(score) => serde_json::to_value(score),
            Record::Label(label) => serde_json::to_value(label),
        };
        let mut object: Map<String, Value> = match written {
            Ok(Value::Object(object)) => object,
            Ok(_) | Err(_) => Map::new(),
        };
        if let (Record::Order(order), Some(field)) = (self, schema.added_field()) {
            object.insert(field.into(), order.added.map_or(Value::Null, Value::from));
        }
        Value::Object(object).to_string()
    }
}

fn write_order(order: &Order, schema: SchemaRef, out: &mut Vec<u8>) {
    text(out, &order.order_id);
    long(out, order.created_at);
    double(out, order.amount);
    text(out, order.currency);
    text(out, order.country);
    long(out, i64::from(order.channel.place));
    long(out, i64::from(order.card_type.place));
    text(out, order.merchant_category);
    text(out, &order.merchant_id);
    long(out, i64::from(order.items));
    long(out, i64::from(order.customer_age_days));
    double(out, order.ip_risk);
    long(out, i64::from(order.distance_km.is_some()));
    if let Some(distance_km) = order.distance_km {
        double(out, distance_km);
    }
    text(out, order.device);
    text(out, &order.session_id);
    out.push(u8::from(order.is_gift));
    if schema.added_field().is_some() {
        long(out, i64::from(order.added.is_some()));
        if let Some(added) = order.added {
            text(out, added);
        }
    }
}

/// Avro's zigzag variable-length integer.
fn long(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned();
    while rest >= 0x80 {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn double(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn text(out: &mut Vec<u8>, value: &str) {
    long(out, value.len() as i64);
    out.extend_from_slice(value.as_bytes());
}
