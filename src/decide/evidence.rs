//! What decide remembers: schema changes, contrasts, open alarms, cell tables; and how it lays
//! them out for attribution.
//!
//! Who is a candidate is decided here by lineage and time alone. How likely each is, is the
//! business of [`super::attribution`].

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::attribution::{Candidate, CauseClass, CellRow, Exposure, Grade, Table};
use crate::config::plan::{Covers, ModelPlan};
use crate::event::cell::{ModelCellKey, UNKNOWN_PRODUCER};
use crate::event::finding::{
    Alarm, CellTable, Finding, Maturity, SchemaChange, SeriesKind, Subject, Verdict,
};
use crate::event::summary::{FIXED_POINT, OutcomeSums, PredictionSums};
use crate::event::time::EventTime;

/// How far back a cause may lie. *Units*: milliseconds (72 h).
const LOOKBACK_MS: i64 = 72 * 3_600_000;
/// Windows before the first candidate that say what is usual, at most.
const USUAL_WINDOWS: usize = 72;
/// Candidates of one attribution, at most: the bits of an exposure mask.
const CANDIDATES_MAX: usize = 64;
/// Divergence against which the drift of a candidate's fields is held (log10).
const DRIFT_UNIT: f64 = 0.02;
/// Exposure of two cells of a window that differs by this much is a contrast.
const CONTRAST_SHARE: f64 = 0.05;
/// Windows of one season (a day of hours); used once three of them have been seen.
const DAY_MS: i64 = 24 * 3_600_000;

/// Names a schema version of a dataset.
pub(super) type VersionKey = (String, String);

/// Everything remembered.
#[derive(Clone, Debug, Default)]
pub(super) struct Evidence {
    pub(super) versions: BTreeMap<VersionKey, VersionEvidence>,
    pub(super) alarms: BTreeMap<u64, Alarm>,
    pub(super) tables: BTreeMap<(String, EventTime), CellTable>,
}

/// What is known of a schema version.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct VersionEvidence {
    /// Window (start) of its first record.
    pub(super) first_seen: EventTime,
    /// The change it brought, where its schema is known.
    pub(super) change: Option<SchemaChange>,
    /// Newest contrast of each field.
    pub(super) contrasts: BTreeMap<String, Finding>,
    /// Share of the dataset's records it wrote, by window (start).
    pub(super) shares: BTreeMap<EventTime, f64>,
}

/// Who might have done it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Suspect {
    /// A schema version.
    Version(VersionKey),
    /// Alarms of a dataset that began in the same window (start).
    Alarms(String, EventTime),
}

impl Suspect {
    /// Dataset it belongs to.
    pub(super) fn dataset(&self) -> &str {
        match self {
            Suspect::Version((dataset, _)) | Suspect::Alarms(dataset, _) => dataset,
        }
    }
}

/// What attribution is asked.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) suspects: Vec<Suspect>,
    pub(super) candidates: Vec<Candidate>,
    pub(super) table: Table,
    pub(super) grade: Grade,
}

impl VersionEvidence {
    fn new(first_seen: EventTime) -> VersionEvidence {
        VersionEvidence {
            first_seen,
            change: None,
            contrasts: BTreeMap::new(),
            shares: BTreeMap::new(),
        }
    }

    /// Fields that certainly differ on its records, most different first.
    pub(super) fn changed_fields(&self) -> Vec<&Finding> {
        let mut changed: Vec<&Finding> = self
            .contrasts
            .values()
            .filter(|finding| finding.verdict == Verdict::Detected)
            .collect();
        changed.sort_by(|a, b| {
            b.effect.estimate.total_cmp(&a.effect.estimate).then(a.series.cmp(&b.series))
        });
        changed
    }
}

impl Evidence {
    /// Takes note of a schema change.
    pub(super) fn schema(&mut self, change: &SchemaChange) -> VersionKey {
        let key = (change.to.dataset.clone(), change.to.schema_version.clone());
        let first_seen = change.window_start;
        let entry = self.versions.entry(key.clone());
        let known = entry.or_insert_with(|| VersionEvidence::new(first_seen));
        known.change = Some(change.clone());
        key
    }

    /// Takes note of a contrast.
    pub(super) fn contrast(&mut self, finding: &Finding) -> Option<VersionKey> {
        let version = finding.series.schema_version.clone()?;
        let key = (finding.series.subject.name().to_owned(), version);
        let entry = self.versions.entry(key.clone());
        let known = entry.or_insert_with(|| VersionEvidence::new(finding.window_start));
        // The change was told with the first record read, which need not be the first written.
        known.first_seen = known.first_seen.min(finding.window_start);
        if finding.rows_total > 0 {
            let share = finding.rows_window as f64 / finding.rows_total as f64;
            known.shares.insert(finding.window_start, share.min(1.0));
            while known.shares.len() > USUAL_WINDOWS {
                known.shares.pop_first();
            }
        }
        if finding.series.kind == SeriesKind::Drift && finding.verdict != Verdict::Inconclusive {
            known.contrasts.insert(finding.series.field.clone(), finding.clone());
        }
        Some(key)
    }

    /// Takes note of a cell table; later tellings replace earlier ones. Returns what is too old.
    pub(super) fn table(&mut self, table: CellTable) -> Vec<(String, EventTime)> {
        let model = table.model.clone();
        let start = table.window_start;
        self.tables.insert((model.clone(), start), table);
        let first = (model.clone(), EventTime::MIN);
        let of_model: Vec<EventTime> = self
            .tables
            .range(first..)
            .take_while(|((m, _), _)| *m == model)
            .map(|(k, _)| k.1)
            .collect();
        let limit = of_model.len().saturating_sub(2 * USUAL_WINDOWS);
        let old: Vec<(String, EventTime)> =
            of_model[..limit].iter().map(|start| (model.clone(), *start)).collect();
        for key in &old {
            self.tables.remove(key);
        }
        old
    }

    /// A model's tables up to a window (start), oldest first.
    pub(super) fn tables_of(&self, model: &str, until: EventTime) -> Vec<&CellTable> {
        let from = (model.to_owned(), EventTime::MIN);
        let to = (model.to_owned(), until);
        self.tables.range(from..=to).map(|(_, table)| table).collect()
    }

    /// The suspects of a model's window: schema versions and alarms of the datasets it reads,
    /// begun within the lookback.
    fn suspects(&self, plan: &ModelPlan, until: EventTime) -> Vec<Suspect> {
        let recent = |time: EventTime| time <= until && until.since_ms(time) <= LOOKBACK_MS;
        let mut suspects = BTreeSet::new();
        for (key, known) in &self.versions {
            if plan.inputs.contains_key(&key.0) && recent(known.first_seen) {
                suspects.insert(Suspect::Version(key.clone()));
            }
        }
        for alarm in self.alarms.values() {
            let series = &alarm.finding.series;
            let Subject::Dataset(dataset) = &series.subject else { continue };
            let known = plan.inputs.contains_key(dataset) && series.schema_version.is_none();
            // A field that differs on a version's own records is that version's doing.
            let explained = self.versions.iter().any(|((of, _), version)| {
                of == dataset
                    && version.first_seen <= alarm.first_seen
                    && version.changed_fields().iter().any(|f| f.series.field == series.field)
            });
            if known && !explained && recent(alarm.first_seen) {
                suspects.insert(Suspect::Alarms(dataset.clone(), alarm.first_seen));
            }
        }
        suspects.into_iter().take(CANDIDATES_MAX).collect()
    }

    /// When a suspect's effect can have begun.
    pub(super) fn onset(&self, suspect: &Suspect) -> EventTime {
        match suspect {
            Suspect::Version(key) => {
                self.versions.get(key).map_or(EventTime::MIN, |known| known.first_seen)
            }
            Suspect::Alarms(_, first_seen) => *first_seen,
        }
    }

    /// Lays out what is known of a model up to a window (start) for attribution; `None` when
    /// there are too few windows from before the first suspect to say what is usual.
    pub(super) fn question(&self, plan: &ModelPlan, until: EventTime) -> Option<Question> {
        let suspects = self.suspects(plan, until);
        let tables = self.tables_of(&plan.name, until);
        let onset = suspects.iter().map(|suspect| self.onset(suspect)).min();
        let before = tables.iter().filter(|t| onset.is_none_or(|o| t.window_end <= o)).count();
        let tables = &tables[before.saturating_sub(USUAL_WINDOWS)..];
        let first = tables.first()?.window_start;
        let size = plan.window.ms();
        let index = |time: EventTime| u32::try_from(time.since_ms(first).div_euclid(size)).ok();
        let pre_windows = index(onset.map_or(until, |onset| plan.window.start_of(onset)))?;
        if pre_windows < 2 {
            return None;
        }
        let day = u32::try_from(DAY_MS / size).unwrap_or(1).max(1);
        let phases = if pre_windows >= 3 * day { day } else { 1 };
        let mut producers: BTreeMap<String, u32> = BTreeMap::new();
        let mut cells = Vec::new();
        for table in tables {
            for (key, sums, outcomes) in &table.cells {
                let next = producers.len() as u32;
                let producer = *producers.entry(producers_of(key)).or_insert(next);
                let labels = labels(plan, table.maturity, sums, outcomes);
                cells.push(CellRow {
                    window: index(table.window_start)?,
                    producer,
                    n: sums.n,
                    logit_sum: sums.logit_sum as f64 / FIXED_POINT,
                    logit_sq: sums.logit_sq as f64 / FIXED_POINT,
                    flags: sums.flags,
                    negatives: labels.negatives,
                    false_positives: labels.false_positives,
                    positives: labels.positives,
                    exposed: self.exposure(&suspects, key, table.window_start),
                });
            }
        }
        let windows = index(until)? + 1;
        let table = Table { pre_windows, windows, phases, cells };
        let candidates: Vec<Candidate> =
            (0..suspects.len()).map(|i| self.candidate(&suspects[i], i, plan, &table)).collect();
        let grade = if plan.inputs.keys().all(|d| plan.predictions.exposure.contains_key(d)) {
            Grade::A
        } else {
            Grade::C
        };
        Some(Question { suspects, candidates, table, grade })
    }

    /// How far a cell is exposed to each suspect: wholly or not where the prediction names its
    /// origin, else by the suspect's share of the dataset in that window.
    fn exposure(&self, suspects: &[Suspect], key: &ModelCellKey, window: EventTime) -> Exposure {
        let share = |suspect: &Suspect| {
            let reached = window >= self.onset(suspect);
            let origin = key.exposure.iter().find(|origin| origin.dataset == suspect.dataset());
            match (suspect, origin) {
                (Suspect::Alarms(..), _) => f64::from(u8::from(reached)),
                (Suspect::Version((_, version)), Some(origin))
                    if origin.schema_version != UNKNOWN_PRODUCER =>
                {
                    f64::from(u8::from(&origin.schema_version == version))
                }
                (Suspect::Version(key), _) if reached => self
                    .versions
                    .get(key)
                    .and_then(|known| known.shares.range(..=window).next_back())
                    .map_or(0.0, |(_, share)| *share),
                _ => 0.0,
            }
        };
        Exposure::Shares(suspects.iter().map(share).collect())
    }

    fn candidate(
        &self,
        suspect: &Suspect,
        index: usize,
        plan: &ModelPlan,
        table: &Table,
    ) -> Candidate {
        // A natural experiment needs cells of one window that are exposed to different degrees.
        let mut spans: BTreeMap<u32, (f64, f64)> = BTreeMap::new();
        for cell in table.cells.iter().filter(|cell| cell.window >= table.pre_windows) {
            let share = cell.exposed.share(index);
            let span = spans.entry(cell.window).or_insert((share, share));
            *span = (span.0.min(share), span.1.max(share));
        }
        let contrast = spans.values().any(|(low, high)| high - low > CONTRAST_SHARE);
        let inputs = plan.inputs.get(suspect.dataset());
        let reads = |field: &str| {
            inputs.is_none_or(|fields| fields.is_empty() || fields.iter().any(|f| f == field))
        };
        let (class, divergence) = match suspect {
            Suspect::Version(key) => (
                CauseClass::SchemaChange,
                self.versions.get(key).and_then(|known| {
                    let read = known.contrasts.values().filter(|f| reads(&f.series.field));
                    read.map(|finding| finding.effect.estimate).max_by(f64::total_cmp)
                }),
            ),
            Suspect::Alarms(dataset, first_seen) => (
                CauseClass::DataAlarm,
                self.alarms
                    .values()
                    .filter(|alarm| {
                        let series = &alarm.finding.series;
                        alarm.first_seen == *first_seen
                            && series.subject == Subject::Dataset(dataset.clone())
                            && reads(&series.field)
                    })
                    .map(|alarm| alarm.finding.effect.estimate.abs())
                    .max_by(f64::total_cmp),
            ),
        };
        // Without a contrast nothing is known of its fields: neutral, neither for nor against.
        let drift = divergence.map_or(0.0, |d| (d.max(1e-9) / DRIFT_UNIT).log10().clamp(-2.0, 2.0));
        Candidate { class, contrast, drift, prior: 1.0 }
    }

    /// Display name of a schema version.
    pub(super) fn version_name(&self, key: &VersionKey) -> String {
        let change = self.versions.get(key).and_then(|known| known.change.as_ref());
        change.map_or_else(
            || format!("{} schema {}", key.0, key.1),
            |change| change.to.display_name(),
        )
    }

    /// Forgets what is too old to be a cause. Returns the versions forgotten.
    pub(super) fn forget(&mut self, now: EventTime) -> Vec<VersionKey> {
        let old: Vec<VersionKey> = self
            .versions
            .iter()
            .filter(|(_, known)| {
                let newest = known.shares.last_key_value().map_or(known.first_seen, |(t, _)| *t);
                now.since_ms(newest.max(known.first_seen)) > 2 * LOOKBACK_MS
            })
            .map(|(key, _)| key.clone())
            .collect();
        for key in &old {
            self.versions.remove(key);
        }
        old
    }
}

/// The outcomes attribution may read: none before they are ripe, since who is labelled first is
/// not chance. Where only flagged predictions get outcomes, false positives are held against all
/// decisions and nothing is known of the share of positives.
fn labels(
    plan: &ModelPlan,
    maturity: Maturity,
    sums: &PredictionSums,
    outcomes: &OutcomeSums,
) -> OutcomeSums {
    if maturity < Maturity::Mature {
        return OutcomeSums::default();
    }
    match plan.outcomes.as_ref().map(|outcomes| outcomes.covers) {
        Some(Covers::Flagged) => OutcomeSums { negatives: sums.n, positives: 0, ..*outcomes },
        _ => *outcomes,
    }
}

/// The producers behind a cell as one name: their effects are fitted together.
fn producers_of(key: &ModelCellKey) -> String {
    let names: Vec<&str> = key.exposure.iter().map(|origin| origin.producer.as_str()).collect();
    names.join("+")
}
