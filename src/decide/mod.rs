//! Stage 4, decide: everything at once, few and small messages.
//!
//! Brings what data did and what models did together: incidents, causes, requests. It tests
//! nothing and counts nothing; that is done. It judges a window when every subject connected with
//! it has come that far, in the order of windows, so that the order in which partitions happened
//! to be read does not matter.

pub mod attribution;
mod causes;
mod checkpoint;
mod events;
mod evidence;
mod incidents;
mod integrity;
mod mismatch;
mod requests;
mod rewind;
mod sentences;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use self::events::Moment;
use self::evidence::Evidence;
use self::incidents::{Incident, home, named_suspect};
use self::integrity::Breaches;
use self::mismatch::Mismatches;
use crate::config::plan::Plan;
use crate::event::epoch::Epochs;
use crate::event::finding::{Alarm, AlarmState, CellTable, FindingBatch, FindingItem, Subject};
use crate::event::route::{Note, Outbox};
use crate::event::time::{EventTime, WindowSize};
use crate::event::wire;
use crate::stage::{Incoming, Restart, Stage, StateEntry};

/// Resolved incidents are kept this long for merging and for people. *Units*: ms (7 days).
const RESOLVED_KEPT_MS: i64 = 7 * 24 * 3_600_000;

/// Order of judging: when, whose, and as said.
type QueueKey = (EventTime, Subject, u64);

/// An item that waits until every subject connected with it has come as far.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Queued {
    arrived_ms: i64,
    item: FindingItem,
}

/// The whole of decide; `findings` has one partition.
#[derive(Debug)]
pub struct Decide {
    plan: Arc<Plan>,
    /// Subjects connected by lineage, by subject.
    connected: BTreeMap<Subject, Arc<BTreeSet<Subject>>>,
    now_ms: i64,
    closed: BTreeMap<Subject, EventTime>,
    sequence: u64,
    queue: BTreeMap<QueueKey, Queued>,
    evidence: Evidence,
    incidents: BTreeMap<String, Incident>,
    breaches: Breaches,
    mismatches: Mismatches,
    epochs: Epochs,
    saved: checkpoint::Saved,
}

impl Decide {
    /// Starts from nothing.
    #[must_use]
    pub fn new(plan: Arc<Plan>) -> Decide {
        Decide {
            connected: connected(&plan),
            plan,
            now_ms: i64::MIN,
            closed: BTreeMap::new(),
            sequence: 0,
            queue: BTreeMap::new(),
            evidence: Evidence::default(),
            incidents: BTreeMap::new(),
            breaches: Breaches::new(),
            mismatches: Mismatches::new(),
            epochs: Epochs::default(),
            saved: checkpoint::Saved::new(),
        }
    }

    fn take(&mut self, item: FindingItem, out: &mut Outbox) {
        let (subject, window, as_of) = match &item {
            FindingItem::Schema(change) => {
                // Said at once, judged by nothing but what its contrasts will show.
                self.evidence.schema(change);
                out.events.push(events::schema_changed(change, &self.plan, EventTime(self.now_ms)));
                return;
            }
            FindingItem::Integrity(breach) => return self.breach(breach.clone(), out),
            FindingItem::Rewound(restarted) => return self.rewind(restarted, out),
            FindingItem::Mismatch(mismatch) => return self.mismatch(mismatch, out),
            FindingItem::Alarm(alarm) => {
                let finding = &alarm.finding;
                let window = (finding.window_start, finding.window_end);
                (finding.series.subject.clone(), window, finding.as_of)
            }
            FindingItem::Contrast(finding) => {
                let window = (finding.window_start, finding.window_end);
                (finding.series.subject.clone(), window, finding.as_of)
            }
            FindingItem::Cells(table) => {
                let window = (table.window_start, table.window_end);
                (Subject::Model(table.model.clone()), window, table.as_of)
            }
        };
        // What outcomes say of an old window is judged with the window they had come by: not with
        // now, or the past would act once a topic falls silent.
        let size = WindowSize::from_ms(window.1.since_ms(window.0));
        let due = size.map_or(window.1, |size| size.end_of(size.start_of(as_of.plus_ms(-1))));
        self.sequence += 1;
        let queued = Queued { arrived_ms: self.now_ms, item };
        self.queue.insert((due, subject, self.sequence), queued);
    }

    /// Judges what is due, one time after the other.
    fn judge_due(&mut self, out: &mut Outbox) {
        while let Some((due, group)) = self.next_group() {
            let mut touched = BTreeSet::new();
            let mut models = BTreeSet::new();
            let mut alarms = Vec::new();
            for key in group {
                let Some(queued) = self.queue.remove(&key) else { continue };
                match queued.item {
                    FindingItem::Contrast(finding) => {
                        self.evidence.contrast(&finding);
                    }
                    FindingItem::Cells(table) => {
                        models.insert(table.model.clone());
                        self.enter_table(*table);
                    }
                    FindingItem::Alarm(alarm) => alarms.push(*alarm),
                    FindingItem::Schema(_)
                    | FindingItem::Integrity(_)
                    | FindingItem::Rewound(_)
                    | FindingItem::Mismatch(_) => {}
                }
            }
            // Alarms that name a version first: the others may belong to the same incident.
            alarms.sort_by_key(|alarm| alarm.finding.series.schema_version.is_none());
            for alarm in &alarms {
                touched.extend(self.enter_alarm(alarm, due, out));
            }
            let open = self.incidents.values().filter(|incident| !incident.resolved);
            touched.extend(
                open.filter(|i| models.iter().any(|model| i.touches(model))).map(|i| i.id.clone()),
            );
            for id in touched {
                self.judge(&id, due, out);
            }
            self.forget(due);
        }
    }

    /// The oldest time that every connected subject has reached, with all that waits for it in
    /// that part of the lineage. What has waited longer than `hold_max` goes on without the rest.
    fn next_group(&self) -> Option<(EventTime, Vec<QueueKey>)> {
        let ready = |key: &QueueKey, queued: &Queued| {
            let reached = |other: &Subject| self.closed.get(other).is_some_and(|c| *c >= key.0);
            self.connected.get(&key.1).is_none_or(|all| all.iter().all(reached))
                || self.now_ms.saturating_sub(queued.arrived_ms) > self.plan.hold_max_ms
        };
        let (first, _) = self.queue.iter().find(|(key, queued)| ready(key, queued))?;
        let part = self.connected.get(&first.1);
        let group = self
            .queue
            .iter()
            .take_while(|(key, _)| key.0 == first.0)
            .filter(|(key, _)| key.1 == first.1 || part.is_some_and(|all| all.contains(&key.1)))
            .map(|(key, _)| key.clone())
            .collect();
        Some((first.0, group))
    }

    fn enter_table(&mut self, table: CellTable) {
        // A later telling never replaces a riper one.
        let key = (table.model.clone(), table.window_start);
        let riper = |known: &CellTable| known.revision > table.revision;
        if !self.evidence.tables.get(&key).is_some_and(riper) {
            self.evidence.table(table);
        }
    }

    /// Enters a step of an alarm and says it; returns the incident it belongs to.
    fn enter_alarm(&mut self, alarm: &Alarm, due: EventTime, out: &mut Outbox) -> Option<String> {
        if alarm.state == AlarmState::Resolved {
            self.evidence.alarms.remove(&alarm.id);
        } else {
            self.evidence.alarms.insert(alarm.id, alarm.clone());
        }
        let id = self.home_of(alarm, due);
        if let Some(incident) = id.as_ref().and_then(|id| self.incidents.get_mut(id)) {
            incident.enter(alarm);
        }
        let incident = id.as_ref().and_then(|id| self.incidents.get(id));
        let moment = self.moment(alarm.finding.window_end);
        let stopped = if alarm.finding.complete {
            Vec::new()
        } else {
            self.stopped_of(&alarm.finding.series.subject)
        };
        let context = events::Context { incident, stopped: &stopped, evidence: &self.evidence };
        out.events.push(events::alarm(alarm, context, moment));
        id
    }

    /// The incident of an alarm, opened where there is none.
    fn home_of(&mut self, alarm: &Alarm, due: EventTime) -> Option<String> {
        let series = &alarm.finding.series;
        let model = match &series.subject {
            Subject::Model(name) => self.plan.models.get(name),
            Subject::Dataset(_) => None,
        };
        let inputs: Vec<String> =
            model.map_or(Vec::new(), |model| model.inputs.keys().cloned().collect());
        if let Some(incident) = home(&self.incidents, alarm, &inputs) {
            return Some(incident.id.clone());
        }
        if alarm.state == AlarmState::Resolved {
            return None;
        }
        let mut suspect = named_suspect(series);
        if let (None, Some(model)) = (&suspect, model) {
            let until = due.plus_ms(-model.window.ms());
            suspect = causes::leading_suspect(&self.evidence, model, until);
            let known = self.incidents.values().find(|incident| {
                !incident.resolved && suspect.is_some() && incident.suspect == suspect
            });
            if let Some(incident) = known {
                return Some(incident.id.clone());
            }
        }
        let epoch = self.epochs.of(&series.subject, alarm.first_seen);
        let incident = Incident::open(alarm, suspect, epoch);
        let id = incident.id.clone();
        self.incidents.insert(id.clone(), incident);
        Some(id)
    }

    /// Judges one incident anew and says what is worth saying.
    fn judge(&mut self, id: &str, due: EventTime, out: &mut Outbox) {
        let Some(mut incident) = self.incidents.remove(id) else { return };
        let models = causes::models(&incident, &self.plan);
        let mut judged = (due.plus_ms(-incident.window_ms), due);
        let mut known = false;
        for model in models {
            let until = due.plus_ms(-model.window.ms());
            known |= causes::judge(&mut incident, &self.evidence, model, until);
            judged.0 = until;
        }
        if !known {
            causes::judge_data(&mut incident, &self.evidence);
        }
        let moment = self.moment(due);
        self.merge(&mut incident);
        incident.resolved = incident.merged_into.is_some() || incident.is_over();
        let state = match (incident.revision, incident.resolved) {
            (_, true) => "resolved",
            (0, false) => "opened",
            (_, false) => "updated",
        };
        if incident.news || incident.resolved {
            let event = events::incident(&incident, state, judged, moment);
            incident.last_event = Some(event.id.clone());
            incident.revision += 1;
            incident.news = false;
            out.events.push(event);
        }
        if !moment.backfill && !incident.resolved {
            let requests = requests::due(&mut incident, &self.plan, &self.evidence, moment.now);
            out.events.extend(requests);
        }
        self.incidents.insert(incident.id.clone(), incident);
    }

    /// Merges an incident into an older open one of the same suspect.
    fn merge(&mut self, incident: &mut Incident) {
        if incident.suspect.is_none() {
            return;
        }
        let older = self.incidents.values_mut().find(|other| {
            !other.resolved
                && other.suspect == incident.suspect
                && (other.first_seen, &other.id) < (incident.first_seen, &incident.id)
        });
        if let Some(older) = older {
            older.subjects.extend(incident.subjects.iter().cloned());
            older.alarms.extend(incident.alarms.iter().map(|(id, open)| (*id, *open)));
            older.requested.extend(incident.requested.iter().cloned());
            older.news = true;
            incident.merged_into = Some(older.id.clone());
        }
    }

    fn moment(&self, window_end: EventTime) -> Moment {
        let now = EventTime(self.now_ms);
        Moment { now, backfill: now.since_ms(window_end) > self.plan.act_within_ms }
    }

    fn forget(&mut self, due: EventTime) {
        self.evidence.forget(due);
        self.incidents.retain(|_, incident| {
            !incident.resolved || due.since_ms(incident.first_seen) < RESOLVED_KEPT_MS
        });
    }

    /// Incidents that are not over.
    fn open_incidents(&self) -> usize {
        let open = self.incidents.values().filter(|incident| !incident.resolved).count();
        open + self.open_breaches() + self.mismatches.len()
    }
}

/// For each subject, all subjects it is connected with by lineage, itself included.
fn connected(plan: &Plan) -> BTreeMap<Subject, Arc<BTreeSet<Subject>>> {
    let mut parts: Vec<BTreeSet<Subject>> = Vec::new();
    for dataset in plan.datasets.keys() {
        parts.push(BTreeSet::from([Subject::Dataset(dataset.clone())]));
    }
    for model in plan.models.values() {
        let mut part = BTreeSet::from([Subject::Model(model.name.clone())]);
        part.extend(model.inputs.keys().map(|dataset| Subject::Dataset(dataset.clone())));
        let (apart, joined): (Vec<_>, Vec<_>) =
            parts.into_iter().partition(|other| other.is_disjoint(&part));
        part.extend(joined.into_iter().flatten());
        parts = apart;
        parts.push(part);
    }
    let mut connected = BTreeMap::new();
    for part in parts {
        let part = Arc::new(part);
        for subject in part.iter() {
            connected.insert(subject.clone(), Arc::clone(&part));
        }
    }
    connected
}

impl Stage for Decide {
    const NAME: &'static str = "decide";
    const RESTART: Restart = Restart::Checkpoint;

    fn step(&mut self, message: Incoming<'_>, out: &mut Outbox) {
        self.now_ms = self.now_ms.max(message.timestamp_ms);
        let batch: FindingBatch = match wire::decode(message.payload) {
            Ok(batch) => batch,
            Err(error) => {
                let reason = error.to_string();
                out.notes.push(Note::Undecodable { stage: Self::NAME, reason });
                return;
            }
        };
        let before = self.open_incidents();
        for item in batch.items {
            self.take(item, out);
        }
        for (subject, through) in batch.closed {
            let closed = self.closed.entry(subject).or_insert(through);
            *closed = through.max(*closed);
        }
        self.judge_due(out);
        let open = self.open_incidents();
        if open != before {
            let n = open as u64;
            out.notes.push(Note::Count { name: "incidents_open", subject: String::new(), n });
        }
    }

    fn checkpoint(&mut self) -> Vec<StateEntry> {
        checkpoint::entries(self)
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        checkpoint::restore(self, key, value)
    }
}
