//! What attribution reads: the cell table of one model, and the candidate causes.
//!
//! Cells are sums over predictions, so they add up; nothing here is an individual prediction.

/// A closed cell table around a change of outcomes.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    /// Windows before the first candidate: 0 up to, not including, this one say what is usual.
    pub pre_windows: u32,
    /// All windows, numbered from 0; at least `pre_windows`.
    pub windows: u32,
    /// Length of the season in windows, at least 1; a window's phase is its number modulo this.
    pub phases: u32,
    /// The cells, in any order; several may share a window and a producer.
    pub cells: Vec<CellRow>,
}

/// Sums over the predictions of one (window, producer, versions) cell.
#[derive(Debug, Clone, PartialEq)]
pub struct CellRow {
    /// Window number, below [`Table::windows`].
    pub window: u32,
    /// Producer, any number that names it.
    pub producer: u32,
    /// Predictions.
    pub n: u64,
    /// Sum of the logit of the scores.
    pub logit_sum: f64,
    /// Sum of the squared logits.
    pub logit_sq: f64,
    /// Predictions that were flagged.
    pub flags: u64,
    /// Labelled negatives.
    pub negatives: u64,
    /// Flagged ones among the labelled negatives.
    pub false_positives: u64,
    /// Labelled positives.
    pub positives: u64,
    /// How far the cell is exposed to each candidate.
    pub exposed: Exposure,
}

/// Exposure of one cell to the candidates, in their order.
#[derive(Debug, Clone, PartialEq)]
pub enum Exposure {
    /// Bit `c` is set when the cell is wholly exposed to candidate `c`; at most 64 candidates.
    Mask(u64),
    /// Exposed share per candidate, 0 to 1; a missing one is 0.
    Shares(Vec<f64>),
}

impl Exposure {
    /// Exposed share for a candidate, 0 to 1.
    #[must_use]
    pub fn share(&self, candidate: usize) -> f64 {
        match self {
            Self::Mask(bits) => {
                let bit = u32::try_from(candidate).ok().and_then(|shift| bits.checked_shr(shift));
                if bit.unwrap_or(0) & 1 == 1 { 1.0 } else { 0.0 }
            }
            Self::Shares(shares) => {
                shares.get(candidate).map_or(0.0, |share| share.clamp(0.0, 1.0))
            }
        }
    }
}

/// What kind of event a candidate is; decides which metrics it must move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CauseClass {
    /// A new schema version or format of a source.
    SchemaChange,
    /// An open quality, drift, freshness or volume alarm on a source; predicts what a schema
    /// change predicts.
    DataAlarm,
    /// A model version or its rollout.
    Model,
    /// A decision threshold or policy.
    Threshold,
    /// The pipeline that delivers labels.
    LabelPipeline,
}

impl CauseClass {
    /// Whether the cause is a change of data, for which drift of the declared fields is evidence.
    #[must_use]
    pub fn is_data(self) -> bool {
        matches!(self, Self::SchemaChange | Self::DataAlarm)
    }
}

/// One possible cause.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Candidate {
    /// What kind of event it is.
    pub class: CauseClass,
    /// Whether something stayed unexposed while it ran; a hard cutover of everyone has none.
    pub contrast: bool,
    /// Drift of the declared fields on exposed records against unexposed ones, as
    /// `log10(divergence / 0.02)`; clipped to [-2, 2] and read for data causes only.
    pub drift: f64,
    /// Prior weight against the others, above 0; 1 is neutral, and what `unexplained` has.
    pub prior: f64,
}

/// How well it is known which records a prediction's features came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// Carried by the prediction.
    A,
    /// Joined by an id that names one record.
    B,
    /// Estimated from time and producer share.
    C,
}

/// What can move.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Metric {
    /// Mean logit of the score.
    Score,
    /// Flagged predictions per prediction.
    FlagRate,
    /// False positives per labelled negative.
    FalsePositiveRate,
    /// Positives per labelled prediction.
    LabelRate,
}

impl Metric {
    /// All of them, in the order used everywhere.
    pub const ALL: [Self; 4] =
        [Self::Score, Self::FlagRate, Self::FalsePositiveRate, Self::LabelRate];

    /// Numerator and denominator of this metric in a cell.
    pub(super) fn parts(self, cell: &CellRow) -> (f64, f64) {
        match self {
            Self::Score => (cell.logit_sum, cell.n as f64),
            Self::FlagRate => (cell.flags as f64, cell.n as f64),
            Self::FalsePositiveRate => (cell.false_positives as f64, cell.negatives as f64),
            Self::LabelRate => (cell.positives as f64, (cell.negatives + cell.positives) as f64),
        }
    }
}

/// One value per metric, in the order of [`Metric::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PerMetric<T>(pub [T; 4]);

impl<T> PerMetric<T> {
    /// Builds one value for each metric.
    pub fn each(build: impl FnMut(Metric) -> T) -> Self {
        Self(Metric::ALL.map(build))
    }

    /// The value of a metric.
    pub fn get(&self, metric: Metric) -> &T {
        match metric {
            Metric::Score => &self.0[0],
            Metric::FlagRate => &self.0[1],
            Metric::FalsePositiveRate => &self.0[2],
            Metric::LabelRate => &self.0[3],
        }
    }

    /// Turns each value into another one.
    pub fn map<U>(self, turn: impl FnMut(T) -> U) -> PerMetric<U> {
        PerMetric(self.0.map(turn))
    }
}
