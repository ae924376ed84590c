//! What a run said, laid out so that two runs can be compared; and the checks one run has to pass
//! by itself.
//!
//! Two runs of the same source may differ in this alone:
//!
//! - which message carried what, and at which broker time: commits fall where they fall;
//! - a finding's watermark, an alarm's ledger, a subject's frontier: they tell how far reading had
//!   come, and reading goes on while a window waits for others;
//! - the record by which a schema version was met first (its partition, offset, producer, window):
//!   a partition may be read ahead of others. The version, what it is compared with and what it
//!   changes are the same;
//! - how often an incident was told, and with which probability in between: outcomes of an old
//!   window may be in before or after a new window of orders closes. So also whether a `hold` was
//!   asked for: only while outcomes are still to come. What an incident is about, its causes and
//!   all other requests are the same;
//! - what follows from a layout learnt while running: it is read from the records that had been
//!   read by then. So runs are compared with the layout given, and a run that learns is held to
//!   exact sums.

use std::collections::BTreeMap;

use driftline::event::finding::{Finding, FindingBatch, FindingItem};
use driftline::event::progress::{JoinProgress, Progress};
use driftline::event::public::{CauseData, EventData, IncidentData, PublicEvent};
use driftline::event::time::EventTime;
use driftline::event::wire;

use super::broker::Place;
use super::recount::first_difference;

/// What must not depend on the schedule. Keys name things, values are all their figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdicts {
    pub alarms: BTreeMap<String, String>,
    pub contrasts: BTreeMap<String, String>,
    pub tables: BTreeMap<String, String>,
    pub schemas: BTreeMap<String, String>,
    pub incidents: BTreeMap<String, String>,
    pub requests: BTreeMap<String, String>,
}

impl Verdicts {
    /// Reads what was said; an error where something was said twice.
    pub fn of<'a>(
        findings: impl IntoIterator<Item = &'a [u8]>,
        events: &[PublicEvent],
    ) -> Result<Verdicts, String> {
        let mut verdicts = Verdicts::default();
        for payload in findings {
            let batch: FindingBatch = wire::decode(payload).expect("findings decode");
            for item in batch.items {
                verdicts.take(item)?;
            }
        }
        let mut ids = BTreeMap::new();
        for event in events {
            if let Some(before) = ids.insert(&event.id, event) {
                return Err(format!("event said twice: {before:?}\nand {event:?}"));
            }
            verdicts.take_event(event)?;
        }
        Ok(verdicts)
    }

    fn take(&mut self, item: FindingItem) -> Result<(), String> {
        let (map, key, figures) = match item {
            FindingItem::Alarm(alarm) => {
                let (id, revision, state) = (alarm.id, alarm.revision, alarm.state.as_str());
                let key = format!("{id:x}.{revision} {state} {}", alarm.finding.series);
                let figures = format!("{:?} {}", alarm.first_seen, figures(&alarm.finding));
                (&mut self.alarms, key, figures)
            }
            FindingItem::Contrast(finding) => {
                let key = format!("{} {:?}", finding.series, finding.window_start);
                (&mut self.contrasts, key, figures(&finding))
            }
            FindingItem::Cells(table) => {
                let key = format!("{} {:?} r{}", table.model, table.window_start, table.revision);
                (&mut self.tables, key, format!("{table:?}"))
            }
            FindingItem::Schema(change) => {
                let key = format!("{} {}", change.to.dataset, change.to.schema_version);
                let figures = format!("from {} {:?}", change.from.schema_version, change.fields);
                (&mut self.schemas, key, figures)
            }
            item @ (FindingItem::Integrity(_)
            | FindingItem::Rewound(_)
            | FindingItem::Mismatch(_)) => return Err(format!("{item:?}")),
        };
        enter(map, key, figures)
    }

    fn take_event(&mut self, event: &PublicEvent) -> Result<(), String> {
        match &event.data {
            EventData::Incident(data) => {
                // The last telling stands.
                self.incidents.insert(data.incident_id.clone(), about(data));
                Ok(())
            }
            EventData::ActionRequested(data) if data.action != "hold" => {
                let key = format!("{} of {}", data.action, data.incident_id);
                let figures = format!("{:?} {:?} {:?}", data.dataset, data.owner, data.models);
                enter(&mut self.requests, key, format!("{figures} {}", named(&data.cause)))
            }
            EventData::RetrainRequested(data) => {
                let key = format!("retrain {} of {}", data.model, data.incident_id);
                let figures = format!("from {} {:?}", data.use_from_ms, data.leave_out);
                enter(&mut self.requests, key, format!("{figures} {}", named(&data.cause)))
            }
            EventData::SchemaChanged(_) | EventData::Alarm(_) | EventData::ActionRequested(_) => {
                Ok(())
            }
        }
    }

    /// The first thing in which two runs differ.
    pub fn difference(&self, other: &Verdicts) -> Option<String> {
        [
            ("alarms", &self.alarms, &other.alarms),
            ("contrasts", &self.contrasts, &other.contrasts),
            ("cell tables", &self.tables, &other.tables),
            ("schema changes", &self.schemas, &other.schemas),
            ("incidents", &self.incidents, &other.incidents),
            ("requests", &self.requests, &other.requests),
        ]
        .into_iter()
        .find_map(|(what, mine, theirs)| first_difference(what, mine, theirs))
    }
}

fn enter(map: &mut BTreeMap<String, String>, key: String, value: String) -> Result<(), String> {
    match map.insert(key.clone(), value) {
        Some(before) => Err(format!("said twice: {key}: {before}")),
        None => Ok(()),
    }
}

/// All of a finding but how far reading had come.
fn figures(finding: &Finding) -> String {
    format!("{:?}", Finding { watermark: EventTime(0), ..finding.clone() })
}

/// What an incident is about.
fn about(data: &IncidentData) -> String {
    let cause = data.causes.first().map(named);
    format!(
        "{} {:?} first seen {} {:?} {cause:?} {:?}",
        data.state, data.subjects, data.first_seen_ms, data.merged_into, data.alarm_ids
    )
}

fn named(cause: &CauseData) -> String {
    let CauseData { kind, dataset, schema_version, fields, .. } = cause;
    format!("{kind} {dataset:?} {schema_version:?} {fields:?}")
}

/// The headers of observe in one partition of an internal topic: its lines follow each other from
/// 0 to the end of each source partition, and what became of the records adds up to them.
pub fn check_ledger(
    at: Place,
    headers: impl IntoIterator<Item = Vec<Progress>>,
    ends: &BTreeMap<(String, i32), i64>,
) -> Result<(), String> {
    let mut reached: BTreeMap<(String, i32), i64> = BTreeMap::new();
    for line in headers.into_iter().flatten() {
        let place = (line.topic.clone(), line.partition);
        let before = reached.insert(place, line.to).unwrap_or(0);
        if line.from != before {
            let what = if line.from > before { "lost" } else { "doubled" };
            return Err(format!("{what} between {before} and {} in {at:?}", line.from));
        }
        if line.counts.total() != (line.to - line.from).unsigned_abs() {
            return Err(format!("counts and range differ in {at:?}: {line:?}"));
        }
    }
    if &reached != ends {
        return Err(format!("{at:?} ends at {reached:?}, its sources at {ends:?}"));
    }
    Ok(())
}

/// The headers of join in one partition of summaries: ranges of each partition of facts follow
/// each other. Returns where they end.
pub fn check_joins(
    at: Place,
    headers: impl IntoIterator<Item = JoinProgress>,
) -> Result<BTreeMap<i32, i64>, String> {
    let mut reached: BTreeMap<i32, i64> = BTreeMap::new();
    for line in headers {
        let before = reached.insert(line.partition, line.to).unwrap_or(line.from);
        if line.from != before {
            return Err(format!(
                "facts {before} and {} do not meet in {at:?}: {line:?}",
                line.from
            ));
        }
    }
    Ok(reached)
}
