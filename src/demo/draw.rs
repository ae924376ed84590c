//! Draws what an order is made of.
//!
//! Every producer draws from the same population: a version rolled out to some of them then
//! differs from the others in what it changed and in nothing else.

use super::random::Random;
use super::record::{Order, Symbol};

const COUNTRIES: [(&str, f64); 8] = [
    ("US", 52.0),
    ("CA", 14.0),
    ("GB", 11.0),
    ("DE", 8.0),
    ("FR", 6.0),
    ("MX", 4.0),
    ("JP", 3.0),
    ("AU", 2.0),
];
const CHANNELS: [(Symbol, f64); 3] = [
    (Symbol { name: "CARD", place: 0 }, 71.0),
    (Symbol { name: "WALLET", place: 1 }, 22.0),
    (Symbol { name: "TRANSFER", place: 2 }, 7.0),
];
const CARD_TYPES: [(Symbol, f64); 3] = [
    (Symbol { name: "CREDIT", place: 0 }, 48.0),
    (Symbol { name: "DEBIT", place: 1 }, 45.0),
    (Symbol { name: "PREPAID", place: 2 }, 7.0),
];
const MERCHANT_CATEGORIES: [(&str, f64); 10] = [
    ("grocery", 24.0),
    ("restaurant", 17.0),
    ("clothing", 13.0),
    ("fuel", 11.0),
    ("electronics", 9.0),
    ("travel", 8.0),
    ("pharmacy", 7.0),
    ("furniture", 5.0),
    ("games", 4.0),
    ("jewellery", 2.0),
];
const DEVICES: [(&str, f64); 6] = [
    ("iphone/ios-18.5", 34.0),
    ("pixel/android-15", 24.0),
    ("desktop/windows-11", 21.0),
    ("desktop/macos-15", 12.0),
    ("ipad/ipados-18.5", 6.0),
    ("desktop/linux-6.12", 3.0),
];
/// Median order in dollars, and the spread of its logarithm.
const AMOUNT: (f64, f64) = (40.0, 0.9);
const MERCHANTS: f64 = 2_000.0;
const LOYALTY_TIERS: [&str; 3] = ["bronze", "silver", "gold"];

/// An order as version 12 has it.
pub(super) fn order(random: &mut Random, number: u64, created_at: i64) -> Order {
    let dollars = AMOUNT.0 * (AMOUNT.1 * random.normal()).exp();
    let age = 3_650.0 * random.unit().powi(2);
    // Squaring makes the first merchants the busy ones.
    let merchant = MERCHANTS * random.unit().powi(2);
    let distance = -180.0 * (1.0 - random.unit()).ln();
    Order {
        order_id: order_id(number),
        created_at,
        amount: rounded(dollars.max(0.5), 100.0),
        currency: "USD",
        country: random.weighted(&COUNTRIES),
        channel: random.weighted(&CHANNELS),
        card_type: random.weighted(&CARD_TYPES),
        merchant_category: random.weighted(&MERCHANT_CATEGORIES),
        merchant_id: format!("m-{:05}", merchant as u32),
        items: 1 + (-1.6 * (1.0 - random.unit()).ln()) as i32,
        customer_age_days: age as i32,
        ip_risk: rounded(random.unit().powi(3), 1_000.0),
        distance_km: (!random.chance(0.08)).then(|| rounded(distance, 10.0)),
        device: random.weighted(&DEVICES),
        session_id: format!("{:016x}{:016x}", random.bits(), random.bits()),
        is_gift: random.chance(0.04),
        added: None,
    }
}

/// The id of the order with this number.
pub(super) fn order_id(number: u64) -> String {
    format!("o-{number:09}")
}

/// A loyalty tier, for the members among customers.
pub(super) fn loyalty_tier(random: &mut Random) -> Option<&'static str> {
    random.chance(0.35).then(|| random.pick(&LOYALTY_TIERS))
}

/// A coupon, for the few who have one.
pub(super) fn coupon(random: &mut Random) -> Option<&'static str> {
    random.chance(0.1).then_some("SPRING")
}

/// The score of an order that is `flagged` at a threshold, or is not: most orders score low, and
/// flagged ones lie evenly between the threshold and 1.
pub(super) fn score(random: &mut Random, flagged: bool, threshold: f64) -> f64 {
    let unit = random.unit();
    if flagged {
        // unit is below 1, so a flagged score is strictly above the threshold.
        1.0 - (1.0 - threshold) * unit
    } else {
        threshold * unit.powi(3)
    }
}

fn rounded(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}
