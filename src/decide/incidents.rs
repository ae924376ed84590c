//! Incidents: alarms that belong together, under one cause.
//!
//! An incident's id comes from its first alarm and stays when the leading cause changes. Two that
//! turn out to have one cause are merged into the older.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::evidence::Suspect;
use crate::event::finding::{Alarm, AlarmState, Series, Subject};
use crate::event::public::{CauseData, EffectData};
use crate::event::time::EventTime;

/// Alarms without a version join an incident of their subject begun at most this many windows
/// before or after them.
const SAME_ONSET_WINDOWS: i64 = 4;

/// One incident.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Incident {
    /// Derived from the first alarm.
    pub(super) id: String,
    /// Steps told, counting the opening.
    pub(super) revision: i32,
    /// What it is about, as far as known.
    pub(super) suspect: Option<Suspect>,
    /// Subjects touched.
    pub(super) subjects: BTreeSet<Subject>,
    /// Alarms, and whether each is open.
    pub(super) alarms: BTreeMap<u64, bool>,
    /// Start of the first window.
    pub(super) first_seen: EventTime,
    /// Length of its windows, milliseconds.
    pub(super) window_ms: i64,
    /// Causes as told last, most likely first.
    pub(super) causes: Vec<CauseData>,
    /// Outcomes have not matured.
    pub(super) provisional: bool,
    /// Metric and its change as told last.
    pub(super) metric: Option<(String, EffectData)>,
    /// Share of the change the leading cause explains.
    pub(super) explained: Option<EffectData>,
    /// Log Bayes factors of the leading cause and of the placebo.
    pub(super) log_bfs: Option<(f64, f64)>,
    /// Kinds of request made.
    pub(super) requested: BTreeSet<String>,
    /// The sentence as told last.
    pub(super) sentence: String,
    /// Event id of the last telling.
    pub(super) last_event: Option<String>,
    /// Something has changed that is worth telling.
    pub(super) news: bool,
    /// It is over.
    pub(super) resolved: bool,
    /// Incident it was merged into.
    pub(super) merged_into: Option<String>,
}

impl Incident {
    /// Opens an incident for its first alarm.
    pub(super) fn open(alarm: &Alarm, suspect: Option<Suspect>, epoch: u64) -> Incident {
        let finding = &alarm.finding;
        Incident {
            id: incident_id(&finding.series, alarm.first_seen, epoch),
            revision: 0,
            suspect,
            subjects: BTreeSet::from([finding.series.subject.clone()]),
            alarms: BTreeMap::new(),
            first_seen: alarm.first_seen,
            window_ms: finding.window_end.since_ms(finding.window_start).max(1),
            causes: Vec::new(),
            provisional: true,
            metric: None,
            explained: None,
            log_bfs: None,
            requested: BTreeSet::new(),
            sentence: String::new(),
            last_event: None,
            news: true,
            resolved: false,
            merged_into: None,
        }
    }

    /// Enters a step of an alarm.
    pub(super) fn enter(&mut self, alarm: &Alarm) {
        let open = alarm.state != AlarmState::Resolved;
        self.news |= self.alarms.insert(alarm.id, open) != Some(open);
        self.subjects.insert(alarm.finding.series.subject.clone());
        self.first_seen = self.first_seen.min(alarm.first_seen);
    }

    /// Every alarm is over.
    pub(super) fn is_over(&self) -> bool {
        self.alarms.values().all(|open| !open)
    }

    /// It touches a model.
    pub(super) fn touches(&self, model: &str) -> bool {
        self.subjects.contains(&Subject::Model(model.to_owned()))
    }

    /// A first window near enough to be the same event.
    fn began_with(&self, first_seen: EventTime) -> bool {
        first_seen.since_ms(self.first_seen).abs() <= SAME_ONSET_WINDOWS * self.window_ms
    }

    /// The incident's number for people: the leading cause's probability.
    pub(super) fn leading(&self) -> Option<&CauseData> {
        self.causes.first()
    }
}

/// Derived from the first alarm's series and its first window, and from the ledger's epoch where
/// that window was counted anew.
pub(super) fn incident_id(series: &Series, first_seen: EventTime, epoch: u64) -> String {
    let mut text = format!("incident {series}@{}", first_seen.0);
    if epoch > 0 {
        text.push_str(&format!(" epoch {epoch}"));
    }
    format!("{:016x}", xxh3_64(text.as_bytes()))
}

/// The suspect an alarm names by itself.
pub(super) fn named_suspect(series: &Series) -> Option<Suspect> {
    let version = series.schema_version.as_ref()?;
    match &series.subject {
        Subject::Dataset(dataset) => Some(Suspect::Version((dataset.clone(), version.clone()))),
        Subject::Model(_) => {
            let (dataset, version) = version.split_once(' ')?;
            Some(Suspect::Version((dataset.to_owned(), version.to_owned())))
        }
    }
}

/// The open incident an alarm belongs to: the one that has it already, the one of the suspect it
/// names, or one of its subject (or of a dataset its model reads) begun at about the same time.
pub(super) fn home<'a>(
    incidents: &'a BTreeMap<String, Incident>,
    alarm: &Alarm,
    inputs: &[String],
) -> Option<&'a Incident> {
    let series = &alarm.finding.series;
    let open = || incidents.values().filter(|incident| !incident.resolved);
    if let Some(incident) = open().find(|incident| incident.alarms.contains_key(&alarm.id)) {
        return Some(incident);
    }
    if let Some(suspect) = named_suspect(series) {
        return open().find(|incident| incident.suspect.as_ref() == Some(&suspect));
    }
    open().find(|incident| {
        let subject = incident.subjects.contains(&series.subject);
        let input = inputs
            .iter()
            .any(|dataset| incident.subjects.contains(&Subject::Dataset(dataset.clone())));
        (subject || input) && incident.began_with(alarm.first_seen)
    })
}
