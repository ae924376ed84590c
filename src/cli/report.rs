//! What `replay` and `watch` say: events as they come, and a summary in the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};

use crate::config::deployment::PublicTopics;
use crate::event::progress::OutcomeCounts;
use crate::event::public::EventData;
use crate::event::route::{Note, Outbox};
use crate::event::time::EventTime;
use crate::publish::{Encoder, decode, human, structured};

/// Prints events and counts what else is said.
pub(super) struct Report {
    encoder: Encoder,
    for_people: bool,
    /// Windows closed and the end of the newest, by subject.
    windows: BTreeMap<String, (u64, i64)>,
    learnt: BTreeMap<String, Learnt>,
    alarms: BTreeMap<String, u64>,
    /// Latest state and sentence by incident id.
    incidents: BTreeMap<String, (i64, String, String)>,
    requests: Vec<String>,
    schema_changes: u64,
    /// Why records were set aside, with how many.
    set_aside: BTreeMap<String, u64>,
    counts: BTreeMap<&'static str, u64>,
}

/// How far a dataset has come in learning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Learnt {
    pub(super) layout: bool,
    pub(super) windows: u32,
    pub(super) needed: u32,
}

impl Report {
    /// Prints words `for_people`, else one JSON object a line.
    pub(super) fn new(app: &str, for_people: bool) -> Report {
        Report {
            encoder: Encoder::new(app, PublicTopics::default(), None),
            for_people,
            windows: BTreeMap::new(),
            learnt: BTreeMap::new(),
            alarms: BTreeMap::new(),
            incidents: BTreeMap::new(),
            requests: Vec::new(),
            schema_changes: 0,
            set_aside: BTreeMap::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Prints and counts all that is in the outbox, and empties it.
    pub(super) fn take(&mut self, outbox: &mut Outbox, out: &mut impl Write) -> io::Result<()> {
        for event in &outbox.events {
            self.count_event(&event.data);
            let record = self.encoder.encode(event);
            let event = decode(&record.headers, Some(&record.payload), |_| {
                Err("JSON names no schema".to_owned())
            });
            let event = event.map_err(io::Error::other)?;
            match self.for_people {
                true => writeln!(out, "{}", human(&event))?,
                false => writeln!(out, "{}", structured(&event))?,
            }
        }
        for message in &outbox.messages {
            let reason = message.headers.iter().find(|(name, _)| name.ends_with("reason"));
            let reason = reason.map(|(_, value)| String::from_utf8_lossy(value).into_owned());
            *self.set_aside.entry(reason.unwrap_or_default()).or_default() += 1;
        }
        for note in outbox.notes.drain(..) {
            self.count_note(note);
        }
        outbox.clear();
        out.flush()
    }

    /// How far each dataset has come in learning, with the end of its newest closed window.
    pub(super) fn learnt(&self) -> impl Iterator<Item = (&String, Learnt, Option<i64>)> {
        self.learnt.iter().map(|(dataset, learnt)| {
            let closed = self.windows.get(&format!("dataset/{dataset}"));
            (dataset, *learnt, closed.map(|(_, end_ms)| *end_ms))
        })
    }

    fn count_event(&mut self, data: &EventData) {
        match data {
            EventData::SchemaChanged(_) => self.schema_changes += 1,
            EventData::Alarm(alarm) => {
                *self.alarms.entry(alarm.state.clone()).or_default() += 1;
            }
            EventData::Incident(incident) => {
                let entry = self.incidents.entry(incident.incident_id.clone()).or_default();
                if entry.0 == 0 {
                    entry.0 = incident.first_seen_ms;
                }
                entry.1 = incident.state.clone();
                entry.2 = incident.sentence.clone();
            }
            EventData::RetrainRequested(_) | EventData::ActionRequested(_) => {
                self.requests.push(data.sentence().to_owned());
            }
        }
    }

    fn count_note(&mut self, note: Note) {
        match note {
            Note::WindowClosed { subject, end_ms, .. } => {
                let entry = self.windows.entry(subject).or_insert((0, end_ms));
                *entry = (entry.0 + 1, entry.1.max(end_ms));
            }
            Note::Learning {
                dataset,
                layout,
                baseline_windows: windows,
                baseline_windows_needed: needed,
            } => {
                self.learnt.insert(dataset, Learnt { layout, windows, needed });
            }
            Note::Count { name, n, .. } => *self.counts.entry(name).or_default() += n,
            Note::Undecodable { stage, reason } => {
                tracing::warn!(stage, reason, "an internal message cannot be read");
            }
        }
    }

    /// All of it in words, for the end.
    pub(super) fn summary(&self, outcomes: &BTreeMap<String, OutcomeCounts>) -> String {
        let mut text = String::new();
        for (topic, counts) in outcomes {
            line(&mut text, &format!("{topic}: {}", outcome_words(counts)));
        }
        if !self.set_aside.is_empty() {
            let reasons = self.set_aside.iter().map(|(reason, n)| format!("{reason} {n}"));
            line(&mut text, &format!("set aside: {}", join(reasons)));
        }
        if !self.counts.is_empty() {
            let counts = self.counts.iter().map(|(name, n)| format!("{name} {n}"));
            line(&mut text, &format!("counted: {}", join(counts)));
        }
        for (subject, (n, end_ms)) in &self.windows {
            let mut words = format!("{subject}: {n} windows closed, to {}", EventTime(*end_ms));
            let dataset = subject.strip_prefix("dataset/");
            if let Some(learnt) = dataset.and_then(|dataset| self.learnt.get(dataset)) {
                let _ = write!(words, "; {}", learnt.words());
            }
            line(&mut text, &words);
        }
        let alarms = self.alarms.iter().map(|(state, n)| format!("{n} {state}"));
        let alarms = if self.alarms.is_empty() { "none".to_owned() } else { join(alarms) };
        line(&mut text, &format!("schema changes: {}; alarms: {alarms}", self.schema_changes));
        if self.incidents.is_empty() {
            line(&mut text, "incidents: none");
        }
        let mut incidents: Vec<_> = self.incidents.iter().collect();
        incidents.sort_by_key(|(id, (first_seen, ..))| (*first_seen, *id));
        for (id, (_, state, sentence)) in incidents {
            line(&mut text, &format!("incident {id} ({state}): {sentence}"));
        }
        for request in &self.requests {
            line(&mut text, &format!("request: {request}"));
        }
        text
    }
}

impl Learnt {
    /// `layout 1/1, baseline 3/14`.
    pub(super) fn words(self) -> String {
        let layout = u8::from(self.layout);
        format!("layout {layout}/1, baseline {}/{}", self.windows.min(self.needed), self.needed)
    }
}

/// `12 read: 10 accepted, 2 late`; what did not happen is left out.
fn outcome_words(counts: &OutcomeCounts) -> String {
    let named = [
        ("accepted", counts.accepted),
        ("late", counts.late),
        ("past", counts.past),
        ("future", counts.future),
        ("filtered", counts.filtered),
        ("quarantined", counts.quarantined),
        ("tombstones", counts.tombstone),
    ];
    let named = named.into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{n} {name}"));
    match counts.total() {
        0 => "no records".to_owned(),
        total => format!("{total} read: {}", join(named)),
    }
}

fn join(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(", ")
}

/// One line; control characters are replaced, since names come from foreign data.
fn line(text: &mut String, content: &str) {
    text.extend(content.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }));
    text.push('\n');
}
