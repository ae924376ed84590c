//! Turns what decide knows into public events: shapes and ids, no judgement.

use xxhash_rust::xxh3::xxh3_128;

use super::evidence::Evidence;
use super::incidents::Incident;
use super::sentences;
use crate::config::plan::Plan;
use crate::event::finding::{Alarm, Effect, SchemaChange, Subject};
use crate::event::public::{
    AlarmData, BaselineData, CauseData, ChangeData, EffectData, EventData, IncidentData,
    LedgerData, PublicEvent, SchemaChangedData, SchemaFieldChangeData, WindowData,
};
use crate::event::time::EventTime;

/// Name and version of this build, in every event.
pub(super) fn build() -> String {
    format!("driftline {}", env!("CARGO_PKG_VERSION"))
}

/// An id derived from what the event is about: the same event has the same id.
pub(super) fn event_id(parts: &[&str]) -> String {
    format!("{:032x}", xxh3_128(parts.join("\u{1f}").as_bytes()))
}

/// `schema.changed`.
pub(super) fn schema_changed(change: &SchemaChange, plan: &Plan, now: EventTime) -> PublicEvent {
    let (to, from) = (&change.to, &change.from);
    let subject = Subject::Dataset(to.dataset.clone()).to_string();
    let owner = plan.datasets.get(&to.dataset).and_then(|dataset| dataset.owner.clone());
    let fields = change.fields.iter().map(|field| SchemaFieldChangeData {
        path: field.path.clone(),
        kind: field.kind.clone(),
        before: field.before.clone(),
        after: field.after.clone(),
    });
    PublicEvent {
        id: event_id(&[&subject, "schema.changed", &to.schema_version, &from.schema_version]),
        subject,
        time: now,
        correlation_id: None,
        causation_id: None,
        data: EventData::SchemaChanged(SchemaChangedData {
            dataset: to.dataset.clone(),
            owner,
            schema_subject: to.subject.clone(),
            schema_version: to.schema_version.clone(),
            schema_number: to.number.and_then(|n| i32::try_from(n).ok()),
            previous_version: from.schema_version.clone(),
            previous_number: from.number.and_then(|n| i32::try_from(n).ok()),
            producer: to.producer.clone(),
            partition: to.partition,
            offset: to.offset,
            first_seen_ms: to.event_time.0,
            changes: fields.collect(),
            sentence: sentences::schema(change),
            build: build(),
        }),
    }
}

/// What an alarm is told with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context<'a> {
    /// Incident it belongs to.
    pub(super) incident: Option<&'a Incident>,
    /// Partitions that its window is without.
    pub(super) stopped: &'a [String],
    /// What is known of versions.
    pub(super) evidence: &'a Evidence,
}

/// `alarm.opened`, `.updated`, `.resolved`.
pub(super) fn alarm(alarm: &Alarm, context: Context<'_>, moment: Moment) -> PublicEvent {
    let Context { incident, stopped, evidence } = context;
    let finding = &alarm.finding;
    let series = &finding.series;
    let subject = series.subject.to_string();
    let alarm_id = format!("{:016x}", alarm.id);
    let kind = match series.subject {
        Subject::Dataset(_) => "dataset",
        Subject::Model(_) => "model",
    };
    let ledger = alarm.ledger.iter().map(|(topic, partition, to)| LedgerData {
        topic: topic.clone(),
        partition: *partition,
        to: *to,
    });
    let data = AlarmData {
        state: alarm.state.as_str().into(),
        subject_kind: kind.into(),
        subject: series.subject.name().into(),
        field: series.field.clone(),
        kind: series.kind.as_str().into(),
        producer: series.producer.clone(),
        schema_version: series.schema_version.clone(),
        window: window(finding.window_start, finding.window_end),
        first_seen_ms: alarm.first_seen.0,
        watermark_ms: finding.watermark.0,
        complete: finding.complete,
        backfill: moment.backfill,
        change: finding.change.as_ref().map(|change| ChangeData {
            kind: change.kind.clone(),
            factor: change.factor,
            named: change.named.clone(),
            evidence: change.evidence.clone(),
            spread: change.spread,
        }),
        sentence: sentences::alarm(alarm, evidence) + &sentences::without(stopped),
        test: finding.test.clone(),
        value: finding.value,
        threshold: finding.threshold,
        p_value: finding.p_value,
        effect: effect(&finding.effect),
        rows_window: signed(finding.rows_window),
        rows_baseline: signed(finding.rows_baseline),
        verdict: finding.verdict.as_str().into(),
        baseline: BaselineData {
            id: event_id(&[&subject, &finding.baseline.kind, &finding.baseline.from.0.to_string()]),
            kind: finding.baseline.kind.clone(),
            from_ms: finding.baseline.from.0,
            to_ms: finding.baseline.to.0,
            windows: i64::from(finding.baseline.windows),
        },
        alarm_id: alarm_id.clone(),
        incident_id: incident.map(|incident| incident.id.clone()),
        revision: i32::try_from(alarm.revision).unwrap_or(i32::MAX),
        ledger: ledger.collect(),
        layout: finding.layout.map(|id| format!("{id:016x}")),
        definition: format!("{:016x}", finding.definition),
        build: build(),
    };
    PublicEvent {
        id: event_id(&[&subject, "alarm", &alarm_id, &alarm.revision.to_string()]),
        subject,
        time: moment.now,
        correlation_id: incident.map(|incident| incident.id.clone()),
        causation_id: None,
        data: EventData::Alarm(Box::new(data)),
    }
}

/// When something is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    /// Now, by the newest message.
    pub(super) now: EventTime,
    /// It is about the past.
    pub(super) backfill: bool,
}

/// `incident.opened`, `.updated`, `.resolved`.
pub(super) fn incident(
    incident: &Incident,
    state: &str,
    judged: (EventTime, EventTime),
    moment: Moment,
) -> PublicEvent {
    let subject = incident.subjects.iter().next().map_or(String::new(), ToString::to_string);
    let data = IncidentData {
        state: state.into(),
        incident_id: incident.id.clone(),
        revision: incident.revision,
        merged_into: incident.merged_into.clone(),
        subjects: incident.subjects.iter().map(ToString::to_string).collect(),
        first_seen_ms: incident.first_seen.0,
        window: window(judged.0, judged.1),
        provisional: incident.provisional,
        backfill: moment.backfill,
        causes: incident.causes.clone(),
        metric: incident.metric.as_ref().map(|(name, _)| name.clone()),
        effect: incident.metric.as_ref().map(|(_, effect)| effect.clone()),
        explained: incident.explained.clone(),
        alarm_ids: incident.alarms.keys().map(|id| format!("{id:016x}")).collect(),
        placebo_log_bf: incident.log_bfs.map(|(_, placebo)| placebo),
        leading_log_bf: incident.log_bfs.map(|(leading, _)| leading),
        sentence: incident.sentence.clone(),
        build: build(),
    };
    PublicEvent {
        id: event_id(&["incident", &incident.id, &incident.revision.to_string()]),
        subject,
        time: moment.now,
        correlation_id: Some(incident.id.clone()),
        causation_id: None,
        data: EventData::Incident(Box::new(data)),
    }
}

/// Something about the running of Driftline itself that is told as an incident.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// Its incident's id.
    pub(super) id: String,
    /// Kind of cause: `integrity`, `config_mismatch`.
    pub(super) kind: &'static str,
    /// What is concerned: a partition, a subject.
    pub(super) name: String,
    /// Subjects concerned.
    pub(super) subjects: Vec<Subject>,
    /// When it was heard of.
    pub(super) since: EventTime,
    /// It is over.
    pub(super) over: bool,
    /// What was seen.
    pub(super) evidence: String,
    /// For people.
    pub(super) sentence: String,
}

/// `incident.opened` and `.resolved` of a trouble: nothing to weigh, nothing to ask for.
pub(super) fn trouble(trouble: Trouble, now: EventTime) -> PublicEvent {
    let Trouble { id, kind, name, subjects, since, over, evidence, sentence } = trouble;
    let revision = i32::from(over);
    let subjects: Vec<String> = subjects.iter().map(ToString::to_string).collect();
    let cause = CauseData {
        kind: kind.into(),
        dataset: None,
        schema_version: None,
        name,
        probability: 1.0,
        fields: Vec::new(),
        evidence,
    };
    let data = IncidentData {
        state: if over { "resolved" } else { "opened" }.into(),
        incident_id: id.clone(),
        revision,
        merged_into: None,
        subjects: subjects.clone(),
        first_seen_ms: since.0,
        window: window(since, now),
        provisional: false,
        backfill: false,
        causes: vec![cause],
        metric: None,
        effect: None,
        explained: None,
        alarm_ids: Vec::new(),
        placebo_log_bf: None,
        leading_log_bf: None,
        sentence,
        build: build(),
    };
    PublicEvent {
        id: event_id(&["incident", &id, &revision.to_string()]),
        subject: subjects.into_iter().next().unwrap_or_default(),
        time: now,
        correlation_id: Some(id),
        causation_id: None,
        data: EventData::Incident(Box::new(data)),
    }
}

/// The cause nothing else explains.
pub(super) fn unexplained(probability: f64) -> CauseData {
    CauseData {
        kind: "unexplained".into(),
        dataset: None,
        schema_version: None,
        name: "unexplained".into(),
        probability,
        fields: Vec::new(),
        evidence: String::new(),
    }
}

fn window(start: EventTime, end: EventTime) -> WindowData {
    WindowData { start_ms: start.0, end_ms: end.0 }
}

fn effect(effect: &Effect) -> EffectData {
    EffectData {
        estimate: effect.estimate,
        low: effect.low,
        high: effect.high,
        unit: effect.unit.clone(),
        window: effect.window,
        baseline: effect.baseline,
    }
}

fn signed(n: u64) -> i64 {
    i64::try_from(n).unwrap_or(i64::MAX)
}
