//! The default policy: which request an incident's cause asks for.
//!
//! Broken data asks for a hold while outcomes are still to come and for a fix upstream once they
//! are in; a retrain would only teach the model the fault. A change no data explains, seen in
//! matured outcomes, asks for a retrain. Each request is made once for an incident.

use super::causes;
use super::events::{build, event_id};
use super::evidence::Evidence;
use super::incidents::Incident;
use super::sentences;
use crate::config::plan::Plan;
use crate::event::finding::Maturity;
use crate::event::public::{
    ActionRequestedData, CauseData, EventData, LeaveOutData, PublicEvent, RetrainRequestedData,
};
use crate::event::time::EventTime;

/// Probability a cause needs to be acted on.
const CAUSE_PROBABILITY: f64 = 0.8;
/// Probability `unexplained` needs for a retrain.
const UNEXPLAINED_PROBABILITY: f64 = 0.5;
/// Relative change of the false-positive rate a retrain needs.
const RETRAIN_CHANGE: f64 = 0.1;

/// Requests an incident asks for and has not made. Marks them as made.
pub(super) fn due(
    incident: &mut Incident,
    plan: &Plan,
    evidence: &Evidence,
    now: EventTime,
) -> Vec<PublicEvent> {
    let models: Vec<String> =
        causes::models(incident, plan).iter().map(|model| model.name.clone()).collect();
    let Some(cause) = incident.leading().cloned() else { return Vec::new() };
    if models.is_empty() {
        return Vec::new();
    }
    let data = matches!(cause.kind.as_str(), "schema_change" | "data_alarm");
    let broken = data && cause.probability >= CAUSE_PROBABILITY && !cause.fields.is_empty();
    let relative = incident.metric.as_ref().map_or(0.0, |(_, effect)| {
        let (before, after) = (effect.baseline.unwrap_or(0.0), effect.window.unwrap_or(0.0));
        if before > 0.0 { (after / before - 1.0).abs() } else { 0.0 }
    });
    let kind = if broken && incident.provisional {
        "hold"
    } else if broken {
        "fix_upstream"
    } else if cause.kind == "unexplained"
        && cause.probability >= UNEXPLAINED_PROBABILITY
        && !incident.provisional
        && relative > RETRAIN_CHANGE
    {
        "retrain"
    } else {
        return Vec::new();
    };
    if !incident.requested.insert(kind.to_owned()) {
        return Vec::new();
    }
    if kind == "retrain" {
        models.iter().map(|model| retrain(incident, &cause, model, (evidence, now))).collect()
    } else {
        vec![action(incident, kind, &cause, models, (plan, now))]
    }
}

fn action(
    incident: &Incident,
    kind: &str,
    cause: &CauseData,
    models: Vec<String>,
    context: (&Plan, EventTime),
) -> PublicEvent {
    let (plan, now) = context;
    let dataset = cause.dataset.as_ref().and_then(|name| plan.datasets.get(name));
    let owner = dataset.and_then(|dataset| dataset.owner.clone());
    let request_id = event_id(&["request", &incident.id, kind]);
    let subject = format!("model/{}", models.first().map_or("", String::as_str));
    PublicEvent {
        id: request_id.clone(),
        subject,
        time: now,
        correlation_id: Some(incident.id.clone()),
        causation_id: incident.last_event.clone(),
        data: EventData::ActionRequested(ActionRequestedData {
            request_id,
            action: kind.to_owned(),
            dataset: cause.dataset.clone(),
            sentence: sentences::request(kind, cause, &models, owner.as_deref()),
            owner,
            schema_version: cause.schema_version.clone(),
            models,
            incident_id: incident.id.clone(),
            cause: cause.clone(),
            provisional: incident.provisional,
            build: build(),
        }),
    }
}

fn retrain(
    incident: &Incident,
    cause: &CauseData,
    model: &str,
    context: (&Evidence, EventTime),
) -> PublicEvent {
    let (evidence, now) = context;
    let tables = evidence.tables_of(model, EventTime(i64::MAX));
    let newest = tables.iter().rev().find(|table| table.maturity >= Maturity::Mature);
    let use_to = newest.map_or(now, |table| table.window_end);
    let versions = newest.map_or(Vec::new(), |table| {
        let mut versions: Vec<String> =
            table.cells.iter().map(|(key, ..)| key.model_version.clone()).collect();
        versions.dedup();
        versions
    });
    let request_id = event_id(&["request", &incident.id, "retrain", model]);
    PublicEvent {
        id: request_id.clone(),
        subject: format!("model/{model}"),
        time: now,
        correlation_id: Some(incident.id.clone()),
        causation_id: incident.last_event.clone(),
        data: EventData::RetrainRequested(RetrainRequestedData {
            request_id,
            model: model.to_owned(),
            model_versions: versions,
            incident_id: incident.id.clone(),
            cause: cause.clone(),
            use_from_ms: incident.first_seen.0,
            use_to_ms: use_to.0,
            leave_out: leave_out(evidence, incident.first_seen, use_to),
            sentence: sentences::request("retrain", cause, &[model.to_owned()], None),
            build: build(),
        }),
    }
}

/// Records of versions whose fields certainly differ, within the training interval.
fn leave_out(evidence: &Evidence, from: EventTime, to: EventTime) -> Vec<LeaveOutData> {
    let broken = evidence
        .versions
        .iter()
        .filter(|(_, known)| !known.changed_fields().is_empty() && known.first_seen < to);
    broken
        .map(|((dataset, version), known)| LeaveOutData {
            dataset: dataset.clone(),
            schema_version: Some(version.clone()),
            from_ms: known.first_seen.max(from).0,
            to_ms: None,
            reason: sentences::evidence_of(&known.changed_fields()),
        })
        .collect()
}
