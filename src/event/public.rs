//! Public events: what users' services read. Each `data` struct has an Avro schema in
//! `schemas/` with the same field names and order (a test holds them equal).
//!
//! Not the wire: [`crate::publish`] wraps these in CloudEvents and encodes them.

use serde::{Deserialize, Serialize};

use super::time::EventTime;

/// A public topic. Names are configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PublicTopic {
    /// Schema changes, alarms, incidents.
    DriftEvents,
    /// `retrain.requested`.
    RetrainRequests,
    /// `action.requested`: hold, fix upstream.
    ActionRequests,
}

/// An event to be published.
#[derive(Clone, Debug, PartialEq)]
pub struct PublicEvent {
    /// Derived from subject, kind, window, series and revision: the same event has the same id.
    pub id: String,
    /// `dataset/orders`, `model/fraud`; also the record key.
    pub subject: String,
    /// When it was decided, in the stage's own time.
    pub time: EventTime,
    /// Incident it belongs to.
    pub correlation_id: Option<String>,
    /// Event that led to it.
    pub causation_id: Option<String>,
    /// The body.
    pub data: EventData,
}

/// The body of an event; the variant is its type.
#[derive(Clone, Debug, PartialEq)]
pub enum EventData {
    /// `schema.changed`.
    SchemaChanged(SchemaChangedData),
    /// `alarm.opened`, `.updated`, `.resolved`.
    Alarm(Box<AlarmData>),
    /// `incident.opened`, `.updated`, `.resolved`.
    Incident(Box<IncidentData>),
    /// `retrain.requested`.
    RetrainRequested(RetrainRequestedData),
    /// `action.requested`.
    ActionRequested(ActionRequestedData),
}

impl EventData {
    /// CloudEvents type.
    #[must_use]
    pub fn type_name(&self) -> String {
        let noun_and_verb = match self {
            EventData::SchemaChanged(_) => "schema.changed".to_owned(),
            EventData::Alarm(data) => format!("alarm.{}", data.state),
            EventData::Incident(data) => format!("incident.{}", data.state),
            EventData::RetrainRequested(_) => "retrain.requested".to_owned(),
            EventData::ActionRequested(_) => "action.requested".to_owned(),
        };
        format!("io.driftline.{noun_and_verb}.v1")
    }

    /// Topic it goes to.
    #[must_use]
    pub fn topic(&self) -> PublicTopic {
        match self {
            EventData::SchemaChanged(_) | EventData::Alarm(_) | EventData::Incident(_) => {
                PublicTopic::DriftEvents
            }
            EventData::RetrainRequested(_) => PublicTopic::RetrainRequests,
            EventData::ActionRequested(_) => PublicTopic::ActionRequests,
        }
    }

    /// One line for people.
    #[must_use]
    pub fn sentence(&self) -> &str {
        match self {
            EventData::SchemaChanged(data) => &data.sentence,
            EventData::Alarm(data) => &data.sentence,
            EventData::Incident(data) => &data.sentence,
            EventData::RetrainRequested(data) => &data.sentence,
            EventData::ActionRequested(data) => &data.sentence,
        }
    }
}

/// A window of event time, milliseconds since the epoch, half open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowData {
    /// Start.
    pub start_ms: i64,
    /// End.
    pub end_ms: i64,
}

/// A number with its 95 % interval and unit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EffectData {
    /// Best estimate.
    pub estimate: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// `divergence`, `share`, `ratio`.
    pub unit: String,
    /// The quantity in the window, where there is one.
    pub window: Option<f64>,
    /// The same in the baseline.
    pub baseline: Option<f64>,
}

/// Kind of change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ChangeData {
    /// `scale`, `sign`, `shift_or_mixture`.
    pub kind: String,
    /// As measured.
    pub factor: Option<f64>,
    /// Known factor: `x100`.
    pub named: Option<String>,
    /// What was compared.
    pub evidence: String,
    /// Spread of log ratios.
    pub spread: f64,
}

/// What a window was compared with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BaselineData {
    /// Derived from what it holds.
    pub id: String,
    /// `learnt`, `same_window`.
    pub kind: String,
    /// From, milliseconds.
    pub from_ms: i64,
    /// To, milliseconds.
    pub to_ms: i64,
    /// Windows it holds.
    pub windows: i64,
}

/// Where a source partition had been read to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerData {
    /// Source topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// First offset not read.
    pub to: i64,
}

/// `schema.changed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaChangedData {
    /// Dataset.
    pub dataset: String,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Registry subject.
    pub schema_subject: Option<String>,
    /// Version as in cells: registry id, configured version or name of a shape.
    pub schema_version: String,
    /// Number within the subject.
    pub schema_number: Option<i32>,
    /// Version compared with.
    pub previous_version: String,
    /// Its number.
    pub previous_number: Option<i32>,
    /// Producer of the first record.
    pub producer: String,
    /// Partition of the first record; -1 for a shape, which a whole window has.
    pub partition: i32,
    /// Its offset, or -1.
    pub offset: i64,
    /// Its event time, or the start of the window, milliseconds.
    pub first_seen_ms: i64,
    /// Field by field.
    pub changes: Vec<SchemaFieldChangeData>,
    /// For people.
    pub sentence: String,
    /// Build that said it.
    pub build: String,
}

/// One field of a schema change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaFieldChangeData {
    /// Path.
    pub path: String,
    /// `added`, `removed`, `type`, ...
    pub kind: String,
    /// As it was.
    pub before: Option<String>,
    /// As it is.
    pub after: Option<String>,
}

/// `alarm.*`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AlarmData {
    /// `opened`, `updated`, `resolved`.
    pub state: String,
    /// `dataset` or `model`.
    pub subject_kind: String,
    /// Its name.
    pub subject: String,
    /// Field, or metric of a model.
    pub field: String,
    /// Question asked: `drift`, `above_maximum`, `flag_rate`, ...
    pub kind: String,
    /// Producer the series is about.
    pub producer: Option<String>,
    /// Schema version the series is about.
    pub schema_version: Option<String>,
    /// Window of the finding.
    pub window: WindowData,
    /// Start of the first window of the run, milliseconds.
    pub first_seen_ms: i64,
    /// Watermark at the verdict, milliseconds.
    pub watermark_ms: i64,
    /// All partitions had been read past the window.
    pub complete: bool,
    /// About the past: moves nothing.
    pub backfill: bool,
    /// Kind of change.
    pub change: Option<ChangeData>,
    /// For people.
    pub sentence: String,
    /// Name of the test.
    pub test: String,
    /// Statistic.
    pub value: f64,
    /// Threshold.
    pub threshold: f64,
    /// p-value.
    pub p_value: f64,
    /// Effect.
    pub effect: EffectData,
    /// Rows in the window.
    pub rows_window: i64,
    /// Rows in the baseline.
    pub rows_baseline: i64,
    /// `ok`, `suspected`, `detected`, `inconclusive`.
    pub verdict: String,
    /// Baseline.
    pub baseline: BaselineData,
    /// Alarm.
    pub alarm_id: String,
    /// Incident.
    pub incident_id: Option<String>,
    /// Step of the alarm.
    pub revision: i32,
    /// Source offsets.
    pub ledger: Vec<LedgerData>,
    /// Layout id.
    pub layout: Option<String>,
    /// Definition id.
    pub definition: String,
    /// Build that said it.
    pub build: String,
}

/// A cause with its probability.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CauseData {
    /// `schema_change`, `data_alarm`, `unexplained`.
    pub kind: String,
    /// Dataset, where the cause has one.
    pub dataset: Option<String>,
    /// Schema version, where it has one.
    pub schema_version: Option<String>,
    /// For people: "orders-value v13".
    pub name: String,
    /// Probability, 0 to 1; all causes of an incident add to 1.
    pub probability: f64,
    /// Fields it declares or shows changed, most changed first.
    pub fields: Vec<String>,
    /// Evidence in words.
    pub evidence: String,
}

/// `incident.*`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct IncidentData {
    /// `opened`, `updated`, `resolved`.
    pub state: String,
    /// Incident.
    pub incident_id: String,
    /// Counts up with each event.
    pub revision: i32,
    /// Incident this one was merged into.
    pub merged_into: Option<String>,
    /// Subjects touched: `dataset/orders`, `model/fraud`.
    pub subjects: Vec<String>,
    /// Start of the first window, milliseconds.
    pub first_seen_ms: i64,
    /// Last window judged.
    pub window: WindowData,
    /// Outcomes have not matured yet.
    pub provisional: bool,
    /// About the past: moves nothing.
    pub backfill: bool,
    /// Causes, most likely first; `unexplained` is always one of them.
    pub causes: Vec<CauseData>,
    /// Metric the sentence is about.
    pub metric: Option<String>,
    /// Its change.
    pub effect: Option<EffectData>,
    /// Share of the change the leading cause explains.
    pub explained: Option<EffectData>,
    /// Alarms that belong to it.
    pub alarm_ids: Vec<String>,
    /// The placebo's log Bayes factor beside the leading cause's, for calibration.
    pub placebo_log_bf: Option<f64>,
    /// The leading cause's log Bayes factor.
    pub leading_log_bf: Option<f64>,
    /// For people.
    pub sentence: String,
    /// Build that said it.
    pub build: String,
}

/// `retrain.requested`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrainRequestedData {
    /// Request.
    pub request_id: String,
    /// Model.
    pub model: String,
    /// Versions seen in the window judged.
    pub model_versions: Vec<String>,
    /// Incident.
    pub incident_id: String,
    /// Why.
    pub cause: CauseData,
    /// Interval to train on.
    pub use_from_ms: i64,
    /// Its end.
    pub use_to_ms: i64,
    /// Intervals to leave out.
    pub leave_out: Vec<LeaveOutData>,
    /// For people.
    pub sentence: String,
    /// Build that said it.
    pub build: String,
}

/// Data that must not be trained on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaveOutData {
    /// Dataset.
    pub dataset: String,
    /// Schema version; all versions when absent.
    pub schema_version: Option<String>,
    /// From, milliseconds.
    pub from_ms: i64,
    /// To, milliseconds; open when absent.
    pub to_ms: Option<i64>,
    /// Why.
    pub reason: String,
}

/// `action.requested`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionRequestedData {
    /// Request.
    pub request_id: String,
    /// `hold` or `fix_upstream`.
    pub action: String,
    /// Dataset at fault.
    pub dataset: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// Schema version at fault.
    pub schema_version: Option<String>,
    /// Models touched.
    pub models: Vec<String>,
    /// Incident.
    pub incident_id: String,
    /// Why.
    pub cause: CauseData,
    /// Outcomes have not matured yet.
    pub provisional: bool,
    /// For people.
    pub sentence: String,
    /// Build that said it.
    pub build: String,
}
