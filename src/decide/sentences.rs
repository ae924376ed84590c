//! What is said to people. Every number has its unit beside it.

use super::evidence::Evidence;
use super::incidents::Incident;
use super::integrity::End;
use crate::assess::tests::change::factor_text;
use crate::event::finding::{
    Alarm, AlarmState, Finding, SchemaChange, SeriesKind, Subject, UNJUDGED,
};
use crate::event::public::{CauseData, EffectData};
use crate::event::schema::NO_PLACE;
use crate::event::time::EventTime;

/// A new schema version and what it changes.
pub(super) fn schema(change: &SchemaChange) -> String {
    let to = &change.to;
    let place = match (to.partition, clock(to.event_time)) {
        (NO_PLACE, time) => format!("in the window from {time}"),
        (partition, time) => format!("partition {partition} offset {}, {time}", to.offset),
    };
    let mut text = format!(
        "{} appeared in {} (producer {}, {place})",
        to.display_name(),
        to.dataset,
        to.producer
    );
    if change.fields.is_empty() {
        text.push_str("; no field differs");
        return text;
    }
    let told: Vec<String> = change
        .fields
        .iter()
        .take(4)
        .map(|field| match (&field.before, &field.after) {
            (None, Some(after)) => format!("{} {} ({after})", field.path, field.kind),
            (Some(before), None) => format!("{} {} ({before})", field.path, field.kind),
            (before, after) => {
                let text = |value: &Option<String>| value.clone().unwrap_or_else(|| "none".into());
                format!("{} {}: {:?} -> {:?}", field.path, field.kind, text(before), text(after))
            }
        })
        .collect();
    text.push_str(": ");
    text.push_str(&told.join("; "));
    if change.fields.len() > 4 {
        text.push_str(&format!("; and {} more", change.fields.len() - 4));
    }
    text
}

/// A ledger that does not add up, and what mends it.
pub(super) fn integrity(name: &str, evidence: &str, end: Option<End>) -> String {
    match end {
        None => format!(
            "the ledger of {name} is broken: {evidence}; it is trusted no more, and windows of its \
             topic are incomplete until `driftline rewind` has gone back before that, or goes on \
             without it (--accept-gap)"
        ),
        Some(End::CountedAnew) => {
            format!("{name} is counted anew: {evidence}, and someone went back in time")
        }
        Some(End::GivenUp) => format!(
            "the ledger of {name} goes on: {evidence}, and someone went on without what is gone; \
             windows that may lack records are incomplete"
        ),
    }
}

/// Two configurations at once, and what mends it.
pub(super) fn mismatch(subject: &Subject, (known, other): (u64, u64), over: bool) -> String {
    if over {
        return format!("nobody counts {subject} under definition {other:016x} any more");
    }
    if known == UNJUDGED {
        return format!(
            "{subject} is counted under definition {other:016x} by some process, and is not in \
             the configuration of the one that judges: either a change of configuration has not \
             reached every process, or two deployments have the same app"
        );
    }
    format!(
        "{subject} is counted under definition {other:016x} by some process and judged under \
         {known:016x}: what the other counts is left out; give all processes of the app the same \
         configuration (`driftline check` prints the definition)"
    )
}

/// What a window is without.
pub(super) fn without(stopped: &[String]) -> String {
    if stopped.is_empty() {
        return String::new();
    }
    format!("; incomplete, without {}", stopped.join(", "))
}

/// One step of an alarm.
pub(super) fn alarm(alarm: &Alarm, evidence: &Evidence) -> String {
    let finding = &alarm.finding;
    let what = what_changed(finding);
    let whose = whose(finding, evidence);
    let since = clock(alarm.first_seen);
    match alarm.state {
        AlarmState::Resolved => {
            format!(
                "{} of {whose} is back to normal (it had changed from {since})",
                subject(finding)
            )
        }
        AlarmState::Opened | AlarmState::Updated => format!("{what} in {whose} from {since}"),
    }
}

fn subject(finding: &Finding) -> String {
    match finding.series.kind {
        SeriesKind::FlagRate => "the flag rate".into(),
        SeriesKind::FalsePositiveRate => "the false-positive rate".into(),
        SeriesKind::FalsePositivesPerDecision => "the number of false positives".into(),
        _ => finding.series.field.clone(),
    }
}

fn what_changed(finding: &Finding) -> String {
    let field = &finding.series.field;
    let window = finding.effect.window.map_or_else(String::new, percent);
    let baseline = finding.effect.baseline.map_or_else(String::new, percent);
    if let Some(change) = &finding.change {
        return format!(
            "`{field}` {}",
            change_text(&change.kind, change.factor, change.named.as_deref())
        );
    }
    match finding.series.kind {
        SeriesKind::Drift => format!(
            "`{field}` has another distribution (divergence {:.3}, {:.3} to {:.3})",
            finding.effect.estimate, finding.effect.low, finding.effect.high
        ),
        SeriesKind::AboveMaximum => {
            format!("{window} of `{field}` lie above the highest value learnt ({baseline} before)")
        }
        SeriesKind::BelowMinimum => {
            format!("{window} of `{field}` lie below the lowest value learnt ({baseline} before)")
        }
        SeriesKind::NullRise => {
            format!("{window} of `{field}` are null or absent ({baseline} before)")
        }
        SeriesKind::NullFall => {
            format!("only {window} of `{field}` are null or absent ({baseline} before)")
        }
        SeriesKind::Unparsable => format!("{window} of `{field}` do not parse ({baseline} before)"),
        SeriesKind::NeverSeen => {
            format!("{window} of `{field}` are values never seen before ({baseline} before)")
        }
        SeriesKind::Contract => {
            format!("{window} of `{field}` break the contract ({baseline} before)")
        }
        SeriesKind::FlagRate => format!("{window} flagged, against {baseline}"),
        SeriesKind::FalsePositiveRate => {
            format!("false-positive rate {window}, against {baseline}")
        }
        SeriesKind::FalsePositivesPerDecision => format!(
            "{} false positives per 1,000 decisions, against {}",
            per_thousand(finding.effect.window.unwrap_or(0.0)),
            per_thousand(finding.effect.baseline.unwrap_or(0.0))
        ),
    }
}

/// "is x100 (measured x98.7)".
pub(super) fn change_text(kind: &str, factor: Option<f64>, named: Option<&str>) -> String {
    match (kind, factor, named) {
        ("scale", Some(factor), Some(named)) if factor_text(factor) != named => {
            format!("is {named} (measured {})", factor_text(factor))
        }
        ("scale", Some(_), Some(named)) => format!("is {named}"),
        ("scale", Some(factor), None) => format!("is {}", factor_text(factor)),
        ("sign", ..) => "has changed sign".into(),
        _ => "has another distribution".into(),
    }
}

fn whose(finding: &Finding, evidence: &Evidence) -> String {
    let series = &finding.series;
    let rows = finding.rows_window;
    match (&series.subject, &series.schema_version) {
        (Subject::Dataset(dataset), None) => format!("{dataset} ({rows} records)"),
        (Subject::Dataset(dataset), Some(version)) => {
            let name = evidence.version_name(&(dataset.clone(), version.clone()));
            let against = match finding.baseline.kind.as_str() {
                "same_window" => "the same producers' other records of the window",
                _ => "what the same producers wrote before it",
            };
            format!("{rows} records of {name}, against {against}")
        }
        (Subject::Model(model), None) => format!("{model} ({rows} predictions)"),
        (Subject::Model(model), Some(version)) => {
            let name = match version.split_once(' ') {
                Some((dataset, id)) => evidence.version_name(&(dataset.to_owned(), id.to_owned())),
                None => version.clone(),
            };
            format!("{model}, {rows} predictions made from {name} against the rest of the window")
        }
    }
}

/// The sentence of an incident of data that no schema version explains.
pub(super) fn data_incident(incident: &Incident, alarms: &[&Alarm]) -> String {
    let subjects: Vec<String> = incident.subjects.iter().map(ToString::to_string).collect();
    let subjects = subjects.join(", ");
    let from = clock(incident.first_seen);
    let told: Vec<String> =
        alarms.iter().take(3).map(|alarm| what_changed(&alarm.finding)).collect();
    if told.is_empty() {
        return format!("{subjects} had changed from {from}");
    }
    format!("{subjects} changed from {from}: {}; no schema change explains it", told.join(", "))
}

/// The sentence of an incident, for its model where it has one.
pub(super) fn incident(incident: &Incident, model: Option<&str>) -> String {
    let mut parts = Vec::new();
    if let (Some(model), Some((metric, effect))) = (model, &incident.metric) {
        parts.push(moved(model, metric, effect, incident.first_seen));
    }
    if let Some(cause) = incident.leading() {
        if let Some(explained) = &incident.explained {
            parts.push(format!(
                "{} of the change ({} to {}) is on records of {}",
                whole_percent(explained.estimate),
                whole_percent(explained.low),
                whole_percent(explained.high),
                cause.name
            ));
        }
        if !cause.evidence.is_empty() {
            parts.push(cause.evidence.clone());
        }
        let unexplained = incident.causes.iter().find(|cause| cause.kind == "unexplained");
        let rest = unexplained.map_or(0.0, |cause| cause.probability);
        if cause.kind == "unexplained" {
            parts.push(format!("no data cause: unexplained {rest:.2}"));
        } else {
            let kind = if incident.provisional { "provisional cause" } else { "cause" };
            parts.push(format!(
                "{kind} {}, P = {:.2}, unexplained {rest:.2}",
                cause.name, cause.probability
            ));
        }
    }
    parts.join("; ")
}

fn moved(model: &str, metric: &str, effect: &EffectData, from: EventTime) -> String {
    let (before, after) = (effect.baseline.unwrap_or(0.0), effect.window.unwrap_or(0.0));
    let verb = if after >= before { "rose" } else { "fell" };
    let relative = if before > 0.0 { 100.0 * (after / before - 1.0) } else { 0.0 };
    let (what, before, after) = match metric {
        "flag_rate" => ("the flag rate", percent(before), percent(after)),
        "false_positives_per_decision" => {
            ("false positives per 1,000 decisions", per_thousand(before), per_thousand(after))
        }
        _ => ("the false-positive rate", percent(before), percent(after)),
    };
    let from = clock(from);
    format!("{what} of {model} {verb} from {before} to {after} ({relative:+.0} %) from {from}")
}

/// Why a cause is believed, from its contrasts: "`amount` is x100 (measured x98.7) there".
pub(super) fn evidence_of(fields: &[&Finding]) -> String {
    let told: Vec<String> = fields
        .iter()
        .take(3)
        .map(|finding| {
            let field = &finding.series.field;
            match &finding.change {
                Some(change) => format!(
                    "`{field}` {} there",
                    change_text(&change.kind, change.factor, change.named.as_deref())
                ),
                None => {
                    format!("`{field}` differs there (divergence {:.2})", finding.effect.estimate)
                }
            }
        })
        .collect();
    told.join(", ")
}

/// A request in words.
pub(super) fn request(
    action: &str,
    cause: &CauseData,
    models: &[String],
    owner: Option<&str>,
) -> String {
    let models = models.join(", ");
    let owner = owner.map_or_else(String::new, |owner| format!(" (owner {owner})"));
    match action {
        "hold" => format!(
            "hold automatic retraining and promotion of {models}: {} looks broken, P = {:.2}, \
             outcomes not in yet",
            cause.name, cause.probability
        ),
        "fix_upstream" => format!(
            "fix {}{owner} upstream: it moved {models}, P = {:.2}; {}",
            cause.name, cause.probability, cause.evidence
        ),
        _ => format!(
            "retrain {models}: outcomes moved and no data cause explains it, P = {:.2}",
            cause.probability
        ),
    }
}

fn percent(share: f64) -> String {
    format!("{:.2} %", 100.0 * share)
}

fn per_thousand(share: f64) -> String {
    format!("{:.1}", 1_000.0 * share)
}

fn whole_percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

/// Minutes are enough: windows are.
fn clock(time: EventTime) -> String {
    let text = time.to_string();
    text.get(..16).map_or(text.clone(), |minutes| format!("{}Z", minutes.replace('T', " ")))
}
