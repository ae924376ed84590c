//! The demo's stream is what its story says it is.

use std::collections::BTreeMap;

use apache_avro::reader::datum::GenericDatumReader;
use apache_avro::{Schema, types::Value};
use driftline::demo::bank::{
    Bank, BankPlan, ChangeKind, EXPOSURE_PRODUCER_HEADER, EXPOSURE_SCHEMA_HEADER, Generated,
    HeaderValue, LABEL_DELAY_MAX_MS, LABEL_DELAY_MIN_MS, PRODUCER_HEADER, PRODUCERS, THRESHOLD,
    TopicKind, V13_PRODUCERS, V14_PRODUCER,
};
use driftline::demo::record::{Order, Record, SchemaRef};
use driftline::event::time::EventTime;

const START: EventTime = EventTime(1_760_000_400_000);

/// Nine windows of the story, version 13 in the last eight.
fn plan(v13: ChangeKind) -> BankPlan {
    BankPlan { windows: 9, onset_window: 1, v13, ..BankPlan::story(START) }
}

/// What became of the orders of one schema version.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    honest: u64,
    honest_flagged: u64,
    fraud: u64,
    fraud_flagged: u64,
}

impl Tally {
    fn flag_rate(self) -> f64 {
        (self.honest_flagged + self.fraud_flagged) as f64 / (self.honest + self.fraud) as f64
    }

    fn false_positive_rate(self) -> f64 {
        self.honest_flagged as f64 / self.honest as f64
    }

    fn true_positive_rate(self) -> f64 {
        self.fraud_flagged as f64 / self.fraud as f64
    }
}

/// Joins scores and labels of the windows after the onset, by schema version of the order.
fn tallies(plan: BankPlan) -> BTreeMap<SchemaRef, Tally> {
    let onset = plan.start.plus_ms(plan.window_ms * i64::from(plan.onset_window));
    let mut scores: BTreeMap<String, (SchemaRef, bool)> = BTreeMap::new();
    let mut tallies: BTreeMap<SchemaRef, Tally> = BTreeMap::new();
    for message in Bank::new(plan) {
        match &message.record {
            Record::Score(score) if message.event_time() >= onset => {
                let Some((_, HeaderValue::SchemaId(schema))) = message.headers.first() else {
                    panic!("a score names the schema of its order");
                };
                scores.insert(score.tx_id.clone(), (*schema, score.p_fraud > THRESHOLD));
            }
            Record::Label(label) => {
                let Some((schema, flagged)) = scores.remove(&label.tx_id) else { continue };
                let tally = tallies.entry(schema).or_default();
                let (all, flags) = if label.is_fraud {
                    (&mut tally.fraud, &mut tally.fraud_flagged)
                } else {
                    (&mut tally.honest, &mut tally.honest_flagged)
                };
                *all += 1;
                *flags += u64::from(flagged);
            }
            Record::Score(_) | Record::Order(_) => {}
        }
    }
    assert!(scores.is_empty(), "every score gets its label");
    tallies
}

fn orders(plan: BankPlan) -> Vec<(SchemaRef, &'static str, Order)> {
    let with_order = |message: Generated| match (message.record, message.headers.first()) {
        (Record::Order(order), Some((PRODUCER_HEADER, HeaderValue::Text(producer)))) => {
            Some((message.schema, *producer, *order))
        }
        _ => None,
    };
    Bank::new(plan).filter_map(with_order).collect()
}

fn assert_near(value: f64, wanted: f64, tolerance: f64) {
    assert!((value - wanted).abs() <= tolerance, "{value} is not {wanted} +- {tolerance}");
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[test]
fn model_errs_more_on_version_13_by_as_much_as_the_story_says() {
    let tallies = tallies(plan(ChangeKind::Cents));
    let (v12, v13) = (tallies[&SchemaRef::OrderV12], tallies[&SchemaRef::OrderV13]);

    // Three standard errors of 160,000 orders, a sixth of them in version 13.
    assert_near(v12.flag_rate(), 0.029, 0.0015);
    assert_near(v13.flag_rate(), 0.051, 0.004);
    assert_near(v12.false_positive_rate(), 0.021, 0.0012);
    assert_near(v13.false_positive_rate(), 0.043, 0.0035);
    assert_near(v12.true_positive_rate(), 0.80, 0.03);
    assert_near(v13.true_positive_rate(), 0.85, 0.06);
    let honest_flagged = (v12.honest_flagged + v13.honest_flagged) as f64;
    let total = honest_flagged / (v12.honest + v13.honest) as f64;
    assert_near(total / 0.021, 1.175, 0.05);
}

#[test]
fn version_13_is_a_sixth_of_the_traffic_and_half_of_two_producers() {
    let orders = orders(BankPlan { windows: 4, ..plan(ChangeKind::Cents) });
    let (before, after) = orders.split_at(20_000);

    assert!(before.iter().all(|(schema, ..)| *schema == SchemaRef::OrderV12));
    let v13 = after.iter().filter(|(schema, ..)| *schema == SchemaRef::OrderV13).count();
    assert_near(v13 as f64 / after.len() as f64, 1.0 / 6.0, 0.005);
    for producer in PRODUCERS {
        let of_producer = || after.iter().filter(|(_, by, _)| *by == producer);
        let all = of_producer().count() as f64;
        let v13 = of_producer().filter(|(schema, ..)| *schema == SchemaRef::OrderV13).count();
        assert_near(all / after.len() as f64, 1.0 / 6.0, 0.005);
        let wanted = if V13_PRODUCERS.contains(&producer) { 0.5 } else { 0.0 };
        assert_near(v13 as f64 / all, wanted, 0.016);
    }
}

#[test]
fn amounts_of_version_13_are_a_hundred_times_the_others() {
    let orders = orders(BankPlan { windows: 4, ..plan(ChangeKind::Cents) });
    let amounts = |wanted: SchemaRef| {
        let of_schema = orders.iter().filter(|(schema, ..)| *schema == wanted);
        median(of_schema.map(|(_, _, order)| order.amount).collect())
    };

    let ratio = amounts(SchemaRef::OrderV13) / amounts(SchemaRef::OrderV12);

    assert_near(ratio, 100.0, 5.0);
}

#[test]
fn control_adds_a_field_and_changes_neither_amounts_nor_errors() {
    let plan = BankPlan { windows: 5, ..plan(ChangeKind::AddedField) };
    let tallies = tallies(plan);
    let orders = orders(plan);
    let amounts = |wanted: SchemaRef| {
        let of_schema = orders.iter().filter(|(schema, ..)| *schema == wanted);
        median(of_schema.map(|(_, _, order)| order.amount).collect())
    };

    let control = SchemaRef::OrderV13Harmless;
    assert_near(tallies[&control].false_positive_rate(), 0.021, 0.004);
    assert_near(amounts(control) / amounts(SchemaRef::OrderV12), 1.0, 0.05);
}

#[test]
fn version_14_is_written_by_one_producer_from_its_window_on() {
    let plan = BankPlan { v14_window: Some(5), windows: 7, ..plan(ChangeKind::Cents) };
    let mut v14 = 0;

    for (at, (schema, producer, _)) in orders(plan).iter().enumerate() {
        let expected = at >= 5 * 20_000 && *producer == V14_PRODUCER;
        assert_eq!(*schema == SchemaRef::OrderV14, expected);
        v14 += u32::from(expected);
    }

    assert!(v14 > 6_000, "{v14}");
}

#[test]
fn same_plan_gives_the_same_stream_and_another_seed_another() {
    let plan = BankPlan { windows: 1, rows_per_window: 2_000, ..plan(ChangeKind::Cents) };
    let bytes = |plan: BankPlan| {
        let mut bytes = Vec::new();
        for message in Bank::new(plan) {
            message.write_avro(&mut bytes);
        }
        bytes
    };

    assert_eq!(bytes(plan), bytes(plan));
    assert_ne!(bytes(plan), bytes(BankPlan { seed: 8, ..plan }));
}

#[test]
fn messages_come_in_order_of_event_time_and_windows_are_full() {
    let plan = BankPlan { windows: 3, ..plan(ChangeKind::Cents) };
    let mut newest = EventTime::MIN;
    let mut orders = [0_u32; 3];
    let mut counts: BTreeMap<TopicKind, u32> = BTreeMap::new();

    for message in Bank::new(plan) {
        let time = message.event_time();
        assert!(time >= newest);
        newest = time;
        *counts.entry(message.topic).or_default() += 1;
        if message.topic == TopicKind::Orders {
            orders[(time.since_ms(START) / plan.window_ms) as usize] += 1;
        }
    }

    assert_eq!(orders, [20_000; 3]);
    assert!(counts.values().all(|count| *count == 60_000), "{counts:?}");
}

#[test]
fn labels_come_one_to_four_hours_after_their_order() {
    let plan = BankPlan { windows: 1, rows_per_window: 5_000, ..plan(ChangeKind::Cents) };
    let mut made: BTreeMap<String, EventTime> = BTreeMap::new();
    let mut delays = Vec::new();

    for message in Bank::new(plan) {
        if message.topic == TopicKind::Orders {
            made.insert(message.key().to_owned(), message.event_time());
        } else if message.topic == TopicKind::Labels {
            delays.push(message.event_time().since_ms(made[message.key()]));
        }
    }

    let within = LABEL_DELAY_MIN_MS..=LABEL_DELAY_MAX_MS;
    assert!(delays.iter().all(|delay| within.contains(delay)));
    assert_near(median(delays.iter().map(|delay| *delay as f64).collect()), 9e6, 3e5);
}

/// Every schema of a plan with all versions in it.
#[test]
fn avro_datums_and_json_say_the_same_and_fit_their_schemas() {
    let full = BankPlan {
        windows: 4,
        rows_per_window: 500,
        v14_window: Some(3),
        ..plan(ChangeKind::Cents)
    };
    let control = BankPlan { v13: ChangeKind::AddedField, ..full };
    let mut seen: BTreeMap<SchemaRef, Schema> = BTreeMap::new();

    for message in Bank::new(full).chain(Bank::new(control)) {
        let schema = seen.entry(message.schema).or_insert_with(|| {
            Schema::parse_str(message.schema.text()).expect("a schema of the demo parses")
        });
        let mut datum = Vec::new();
        message.write_avro(&mut datum);
        let mut rest = datum.as_slice();
        let value = GenericDatumReader::builder(schema)
            .build()
            .and_then(|reader| reader.read_value(&mut rest))
            .expect("a datum fits its schema");
        assert!(rest.is_empty());
        let json: serde_json::Value = serde_json::from_str(&message.json()).expect("JSON");
        assert_same(&value, &json);
    }

    assert_eq!(seen.len(), 6);
}

fn assert_same(avro: &Value, json: &serde_json::Value) {
    let (Value::Record(fields), serde_json::Value::Object(object)) = (avro, json) else {
        panic!("a record and an object");
    };
    assert_eq!(fields.len(), object.len());
    for (name, value) in fields {
        let plain = match value {
            Value::Union(_, branch) => branch.as_ref(),
            other => other,
        };
        let expected = match plain {
            Value::Null => serde_json::Value::Null,
            Value::Boolean(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::TimestampMillis(value) => (*value).into(),
            Value::Double(value) => {
                // serde_json reads a number to within a last digit.
                let read = object[name].as_f64().expect("a number");
                assert_near(read, *value, 1e-15 * value.abs());
                continue;
            }
            Value::String(value) => value.as_str().into(),
            Value::Enum(_, symbol) => symbol.as_str().into(),
            other => panic!("{name} is {other:?}"),
        };
        assert_eq!(object[name], expected, "{name}");
    }
}

#[test]
fn orders_are_of_the_size_the_demo_was_planned_with() {
    let plan = BankPlan { windows: 1, rows_per_window: 2_000, ..plan(ChangeKind::Cents) };
    let mut sizes: BTreeMap<TopicKind, Vec<f64>> = BTreeMap::new();

    for message in Bank::new(plan) {
        let mut datum = Vec::new();
        message.write_avro(&mut datum);
        sizes.entry(message.topic).or_default().push(datum.len() as f64);
    }

    let mean = |topic| {
        let sizes: &Vec<f64> = &sizes[&topic];
        sizes.iter().sum::<f64>() / sizes.len() as f64
    };
    assert_near(mean(TopicKind::Orders), 140.0, 20.0);
    assert!(mean(TopicKind::Scores) < 35.0);
    assert!(mean(TopicKind::Labels) < 25.0);
}

#[test]
fn scores_name_where_their_order_came_from() {
    let plan = BankPlan { windows: 3, rows_per_window: 1_000, ..plan(ChangeKind::Cents) };
    let mut origins: BTreeMap<String, (SchemaRef, HeaderValue)> = BTreeMap::new();

    for message in Bank::new(plan) {
        match message.topic {
            TopicKind::Orders => {
                let producer = message.headers[0].1;
                origins.insert(message.key().to_owned(), (message.schema, producer));
            }
            TopicKind::Scores => {
                let (schema, producer) = origins[message.key()];
                let expected = [
                    (EXPOSURE_SCHEMA_HEADER, HeaderValue::SchemaId(schema)),
                    (EXPOSURE_PRODUCER_HEADER, producer),
                ];
                assert_eq!(message.headers, expected);
            }
            TopicKind::Labels => assert!(message.headers.is_empty()),
        }
    }
}
