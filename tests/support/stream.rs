//! The bank's stream as records of topics: partitions, offsets, bytes, headers; and the
//! configuration that watches it.

use std::collections::BTreeMap;

use driftline::config::Config;
use driftline::config::deployment::Deployment;
use driftline::config::plan::Plan;
use driftline::demo::bank::{Bank, BankPlan, Generated, HeaderValue, TopicKind};
use driftline::demo::record::{Record, SchemaRef};
use driftline::event::route::partition_of;
use driftline::event::time::EventTime;
use driftline::observe::{Observe, SourceRecord};

/// One hour: the window of the story.
pub const HOUR: i64 = 3_600_000;
/// Partitions of each topic.
pub const PARTITIONS: i32 = 4;
/// Header of an order written as JSON: its schema version.
pub const VERSION_HEADER: &str = "schema_version";

/// How records are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Form {
    /// Confluent framing with these registry ids.
    Avro(BTreeMap<SchemaRef, u32>),
    /// Plain JSON; the version of an order is in a header.
    Json,
}

/// The stream of one run.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Prefix of the names of everything.
    pub app: String,
    /// What is generated.
    pub bank: BankPlan,
    /// How it is written.
    pub form: Form,
    /// One in this many predictions on version 13 is flagged beyond the story's rates.
    pub stronger: Option<u64>,
}

/// A record with its place.
#[derive(Clone, Debug)]
pub struct Row {
    pub kind: TopicKind,
    pub partition: i32,
    pub offset: i64,
    pub time: EventTime,
    pub key: String,
    pub payload: Vec<u8>,
    pub headers: Vec<(&'static str, String)>,
}

impl Stream {
    /// The stream that ends a little before `now_ms`, with version 13 from window 17 on.
    pub fn story(app: &str, form: Form, now_ms: i64) -> Stream {
        let windows = 26;
        let start = EventTime((now_ms - (i64::from(windows) + 5) * HOUR).div_euclid(HOUR) * HOUR);
        let bank = BankPlan { windows, onset_window: 17, ..BankPlan::story(start) };
        Stream { app: app.to_owned(), bank, form, stronger: None }
    }

    /// So many windows of few records in JSON, with version 13 from the middle on.
    pub fn short(app: &str, windows: u32, now_ms: i64) -> Stream {
        let story = Stream::story(app, Form::Json, now_ms);
        let onset_window = windows / 2;
        let bank = BankPlan { windows, rows_per_window: 400, onset_window, ..story.bank };
        Stream { bank, ..story }
    }

    /// Name of a topic of this run.
    pub fn topic(&self, kind: TopicKind) -> String {
        format!("{}-{}", self.app, kind.name())
    }

    /// Name of a schema version in cells and events.
    pub fn version(&self, schema: SchemaRef) -> String {
        match &self.form {
            Form::Avro(ids) => ids[&schema].to_string(),
            Form::Json => schema.number().to_string(),
        }
    }

    /// All records, in ascending order of event time.
    pub fn rows(&self) -> impl Iterator<Item = Row> + '_ {
        let mut offsets: BTreeMap<(TopicKind, i32), i64> = BTreeMap::new();
        Bank::new(self.bank).map(move |generated| {
            let partition = partition_of(generated.key().as_bytes(), PARTITIONS);
            let next = offsets.entry((generated.topic, partition)).or_default();
            let offset = *next;
            *next += 1;
            self.row(generated, partition, offset)
        })
    }

    fn row(&self, mut generated: Generated, partition: i32, offset: i64) -> Row {
        self.strengthen(&mut generated, offset);
        let payload = match &self.form {
            Form::Avro(ids) => {
                let mut payload = vec![0];
                payload.extend_from_slice(&ids[&generated.schema].to_be_bytes());
                generated.write_avro(&mut payload);
                payload
            }
            Form::Json => generated.json().into_bytes(),
        };
        let mut headers: Vec<(&'static str, String)> = generated
            .headers
            .iter()
            .map(|(name, value)| match value {
                HeaderValue::Text(text) => (*name, (*text).to_owned()),
                HeaderValue::SchemaId(schema) => (*name, self.version(*schema)),
            })
            .collect();
        if self.form == Form::Json && generated.topic == TopicKind::Orders {
            headers.push((VERSION_HEADER, self.version(generated.schema)));
        }
        Row {
            kind: generated.topic,
            partition,
            offset,
            time: generated.event_time(),
            key: generated.key().to_owned(),
            payload,
            headers,
        }
    }

    fn strengthen(&self, generated: &mut Generated, offset: i64) {
        let broken = (generated.headers.iter())
            .any(|(_, value)| *value == HeaderValue::SchemaId(SchemaRef::OrderV13));
        if let (Some(every), Record::Score(score)) = (self.stronger, &mut generated.record)
            && broken
            && offset.unsigned_abs().is_multiple_of(every)
        {
            score.p_fraud = 0.95;
        }
    }

    /// The configuration that watches it, as a user would write it.
    pub fn config(&self, servers: &str, registry: Option<&str>) -> String {
        let app = &self.app;
        let registry =
            registry.map_or(String::new(), |url| format!("registry: {{ url: \"{url}\" }}\n"));
        let version = match self.form {
            Form::Avro(_) => String::new(),
            Form::Json => format!("\n    schema_version: {{ header: {VERSION_HEADER} }}"),
        };
        format!(
            "app: {app}
kafka: {{ bootstrap_servers: \"{servers}\" }}
{registry}datasets:
  orders:
    topic: {app}-orders
    owner: payments-team
    event_time: created_at
    producer: {{ header: app }}{version}
    window: {{ size: 1h, lateness: 30m }}
models:
  fraud:
    predictions:
      topic: {app}-scores
      id: tx_id
      score: p_fraud
      decision: {{ score_above: 0.8 }}
      version: model_version
      time: scored_at
      exposure:
        orders: {{ schema: {{ header: orders_schema_id }}, producer: {{ header: orders_app }} }}
    outcomes:
      topic: {app}-labels
      id: tx_id
      label: is_fraud
      positive: true
      time: labelled_at
      horizon: 6h
    inputs: {{ orders: [amount] }}
topics:
  drift_events: {app}-drift-events
  retrain_requests: {app}-retrain-requests
  action_requests: {app}-action-requests
commit: {{ interval: 1s }}
act_within: 7d
http: {{ listen: off }}
"
        )
    }

    /// The plan of that configuration.
    pub fn plan(&self, registry: Option<&str>) -> (Plan, Deployment) {
        let text = self.config("127.0.0.1:9092", registry);
        let planned = Config::parse(&text, "drift.yaml").and_then(|config| config.plan());
        planned.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Gives all partitions of its topics to an observe that has seen nothing.
    pub fn assign(&self, observe: &mut Observe) {
        for kind in [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels] {
            for partition in 0..PARTITIONS {
                observe.assign(&self.topic(kind), partition, PARTITIONS, 0, "");
            }
        }
    }
}

impl Row {
    /// Hands the row to `take` as observe wants it. `timestamp_ms` is its Kafka timestamp.
    pub fn with_source<T>(
        &self,
        topic: &str,
        timestamp_ms: i64,
        take: impl FnOnce(&SourceRecord<'_>) -> T,
    ) -> T {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (*name, value.as_bytes())).collect();
        take(&SourceRecord {
            topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms,
            key: Some(self.key.as_bytes()),
            payload: Some(&self.payload),
            headers: &headers,
        })
    }
}
