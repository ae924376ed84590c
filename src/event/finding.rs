//! What assess says to decide: findings, alarms, closed cell tables, schema changes.

use serde::{Deserialize, Serialize};
use std::fmt;

use super::cell::ModelCellKey;
use super::schema::SchemaSeen;
use super::summary::{OutcomeSums, PredictionSums};
use super::time::EventTime;

/// A dataset or a model: what summaries are keyed by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Subject {
    /// A dataset, by name.
    Dataset(String),
    /// A model, by name.
    Model(String),
}

impl Subject {
    /// The name without its kind.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Subject::Dataset(name) | Subject::Model(name) => name,
        }
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Dataset(name) => write!(f, "dataset/{name}"),
            Subject::Model(name) => write!(f, "model/{name}"),
        }
    }
}

/// One message on `findings`, in the order the shard of assess came to say it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FindingBatch {
    /// Partition of `summaries` it was computed from.
    pub shard: i32,
    /// What there is to say.
    pub items: Vec<FindingItem>,
    /// How far subjects have come: after this message, nothing of a subject's window that ends
    /// at or before the time given will be said for the first time. Told whether or not there
    /// was anything in the window.
    pub closed: Vec<(Subject, EventTime)>,
}

/// One thing assess says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FindingItem {
    /// A step in an alarm's life.
    Alarm(Box<Alarm>),
    /// A schema version that was not there before.
    Schema(Box<SchemaChange>),
    /// A model's window, at close and again as outcomes come in.
    Cells(Box<CellTable>),
    /// How one schema version of a dataset compares with the rest in the same window. Written
    /// whatever its verdict while the version is young: attribution needs the quiet ones too.
    Contrast(Box<Finding>),
    /// Offsets that are missing or counted twice.
    Integrity(IntegrityBreach),
    /// A ledger was started anew on purpose.
    Rewound(Restarted),
    /// A subject is counted under a definition that nobody judges.
    Mismatch(ConfigMismatch),
}

/// What a test looked at: one series gives one finding per window.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Series {
    /// Whose.
    pub subject: Subject,
    /// Field path; for a model the metric: `flag_rate`, `false_positive_rate`.
    pub field: String,
    /// Which question was asked.
    pub kind: SeriesKind,
    /// Restricted to this producer.
    pub producer: Option<String>,
    /// This schema version against the others in the same window; for a model, cells exposed to
    /// this version ("orders 13") against the others.
    pub schema_version: Option<String>,
}

impl fmt::Display for Series {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.subject, self.field, self.kind.as_str())?;
        if let Some(producer) = &self.producer {
            write!(f, " producer={producer}")?;
        }
        if let Some(version) = &self.schema_version {
            write!(f, " version={version}")?;
        }
        Ok(())
    }
}

/// The question a test asks of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SeriesKind {
    /// Is the distribution certainly further from the baseline than the minimum effect?
    Drift,
    /// Are there more values above the baseline's maximum?
    AboveMaximum,
    /// Are there more values below the baseline's minimum?
    BelowMinimum,
    /// Are there more nulls or absences?
    NullRise,
    /// Are there fewer nulls or absences (a silent default)?
    NullFall,
    /// Are there more values that do not parse as their type, or are not numbers?
    Unparsable,
    /// Are there more values of a category never seen before?
    NeverSeen,
    /// Are there more values that break the field's contract?
    Contract,
    /// Has the share of flagged predictions changed?
    FlagRate,
    /// Has the false-positive rate changed?
    FalsePositiveRate,
    /// Have false positives per decision changed? Asked in place of the rate where only flagged
    /// predictions get outcomes, since nobody knows how many of the others were negative.
    FalsePositivesPerDecision,
}

impl SeriesKind {
    /// The name used in events and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            SeriesKind::Drift => "drift",
            SeriesKind::AboveMaximum => "above_maximum",
            SeriesKind::BelowMinimum => "below_minimum",
            SeriesKind::NullRise => "null_rise",
            SeriesKind::NullFall => "null_fall",
            SeriesKind::Unparsable => "unparsable",
            SeriesKind::NeverSeen => "never_seen",
            SeriesKind::Contract => "contract",
            SeriesKind::FlagRate => "flag_rate",
            SeriesKind::FalsePositiveRate => "false_positive_rate",
            SeriesKind::FalsePositivesPerDecision => "false_positives_per_decision",
        }
    }
}

/// A test's verdict on one window of one series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// No change that matters.
    Ok,
    /// One window says so; the next will tell.
    Suspected,
    /// Changed.
    Detected,
    /// Too few rows to say.
    Inconclusive,
}

impl Verdict {
    /// The name used in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Verdict::Ok => "ok",
            Verdict::Suspected => "suspected",
            Verdict::Detected => "detected",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

/// One test on one window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// What was looked at.
    pub series: Series,
    /// Window start.
    pub window_start: EventTime,
    /// Window end.
    pub window_end: EventTime,
    /// Event time up to which outcomes were counted; the window's end where none are.
    pub as_of: EventTime,
    /// The verdict.
    pub verdict: Verdict,
    /// Name of the test, e.g. `minimum_effect_chi_square`.
    pub test: String,
    /// The test's statistic.
    pub value: f64,
    /// What the statistic or p-value is held against.
    pub threshold: f64,
    /// Chance of a value like this without a change that matters.
    pub p_value: f64,
    /// Size of the change with its 95 % interval.
    pub effect: Effect,
    /// Rows of the subject in the window, compared or not.
    pub rows_total: u64,
    /// Rows compared.
    pub rows_window: u64,
    /// Rows compared with.
    pub rows_baseline: u64,
    /// What kind of change the values show, where it can be told.
    pub change: Option<Change>,
    /// What the window was compared with.
    pub baseline: BaselineRef,
    /// All source partitions had been read past the window.
    pub complete: bool,
    /// Watermark of the subject when the verdict was reached.
    pub watermark: EventTime,
    /// Layout the bins were counted in.
    pub layout: Option<u64>,
    /// Definition of the subject.
    pub definition: u64,
}

/// A change with its interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Effect {
    /// Best estimate.
    pub estimate: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end of the 95 % interval.
    pub high: f64,
    /// What the numbers are: `divergence`, `share`, `ratio`.
    pub unit: String,
    /// The quantity in the window (a share or rate), where there is one.
    pub window: Option<f64>,
    /// The same in the baseline.
    pub baseline: Option<f64>,
}

/// The kind of change values show, held against the reference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// `scale`, `sign`, `shift_or_mixture`.
    pub kind: String,
    /// Median ratio of quantiles, as measured.
    pub factor: Option<f64>,
    /// The known factor it is within 15 % of, as text: `x100`, `/1000`, `x1.609`.
    pub named: Option<String>,
    /// What was compared, in words.
    pub evidence: String,
    /// Spread of the log ratios (median absolute deviation): below 0.05 is a pure scale.
    pub spread: f64,
}

/// Which counts a window was compared with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BaselineRef {
    /// `learnt` (first windows after the layout) or `same_window` (other versions, same window).
    pub kind: String,
    /// First window start covered.
    pub from: EventTime,
    /// End of the last window covered.
    pub to: EventTime,
    /// Windows it holds.
    pub windows: u32,
}

/// A step in an alarm's life.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alarm {
    /// Hash of the series and the window it began in.
    pub id: u64,
    /// What happened to it.
    pub state: AlarmState,
    /// Counts up from 0 with each step.
    pub revision: u32,
    /// Start of the first window of the run.
    pub first_seen: EventTime,
    /// The finding that brought the step.
    pub finding: Finding,
    /// Where each source partition had been read to: topic, partition, offset.
    pub ledger: Vec<(String, i32, i64)>,
}

/// Where an alarm stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AlarmState {
    /// Detected for the first time.
    Opened,
    /// Still there, and something worth telling has changed.
    Updated,
    /// Gone for as long as it took to be believed.
    Resolved,
}

impl AlarmState {
    /// The past tense used in event types.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            AlarmState::Opened => "opened",
            AlarmState::Updated => "updated",
            AlarmState::Resolved => "resolved",
        }
    }
}

/// A new schema version of a dataset, held against the one that wrote most rows before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SchemaChange {
    /// The version met.
    pub to: SchemaSeen,
    /// The version it is compared with.
    pub from: SchemaSeen,
    /// Field by field; empty when nothing but the version differs.
    pub fields: Vec<FieldChange>,
    /// Window (start) of its first record.
    pub window_start: EventTime,
}

/// What a new schema version does to one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// Dotted path.
    pub path: String,
    /// `added`, `removed`, `type`, `nullable`, `logical_type`, `symbols`, `default`, `doc`.
    pub kind: String,
    /// As it was, as text.
    pub before: Option<String>,
    /// As it is, as text.
    pub after: Option<String>,
}

/// How far a window's outcomes have come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Maturity {
    /// The window has closed.
    Closed,
    /// Half of the predictions have outcomes.
    Half,
    /// Nine in ten have outcomes: the window counts.
    Mature,
    /// The horizon has passed: nothing more will come.
    Final,
}

/// A model's closed window, cell by cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellTable {
    /// Model name.
    pub model: String,
    /// Window start.
    pub window_start: EventTime,
    /// Window end.
    pub window_end: EventTime,
    /// Event time up to which outcomes are counted.
    pub as_of: EventTime,
    /// Counts up from 0 with each telling of the same window.
    pub revision: u32,
    /// All source partitions had been read past the window.
    pub complete: bool,
    /// How far outcomes have come in.
    pub maturity: Maturity,
    /// The cells, in key order.
    pub cells: Vec<(ModelCellKey, PredictionSums, OutcomeSums)>,
}

/// The ledger does not add up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IntegrityBreach {
    /// Source topic, or `facts`.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Offset that should have come next.
    pub expected: i64,
    /// Offset that came.
    pub got: i64,
}

/// What going back in time means for the subjects of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restarted {
    /// The ledger's new epoch.
    pub epoch: u64,
    /// Windows of a subject from here (start) on are counted and told anew.
    pub subjects: Vec<(Subject, EventTime)>,
    /// Source partitions, and those of `facts`, whose ledger starts anew.
    pub partitions: Vec<(String, i32)>,
}

/// In place of a definition, of a subject that is not configured where it would be judged.
pub const UNJUDGED: u64 = 0;

/// Two configurations at once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigMismatch {
    /// Whose.
    pub subject: Subject,
    /// Definition that is judged, or [`UNJUDGED`].
    pub known: u64,
    /// Definition that is counted too.
    pub other: u64,
    /// It has not been heard for a while.
    pub over: bool,
}
