//! Asks attribution about an incident's model and writes the answer into the incident.

use super::attribution::{Attribution, Circumstances, Metric, attribute, placebo};
use super::events;
use super::evidence::{Evidence, Question, Suspect, VersionKey};
use super::incidents::Incident;
use super::sentences;
use crate::assess::tests::rates::{Count, rate_difference};
use crate::config::plan::{Covers, ModelPlan, Plan};
use crate::event::finding::{Alarm, CellTable, Maturity, SeriesKind};
use crate::event::public::{CauseData, EffectData};
use crate::event::time::EventTime;

/// A probability has to move this far to be told again.
const NEWS_PROBABILITY: f64 = 0.1;
/// Windows pooled in the figures of the sentence.
const POOL: usize = 16;
/// Seed of the placebo's coin.
const PLACEBO_SEED: u64 = 0xd21f;
/// The least that stays unexplained where nothing but the contrast itself speaks.
const UNEXPLAINED_LEAST: f64 = 0.05;

/// Judges an incident by a model's tables up to a window (start); `false` when they do not
/// suffice.
pub(super) fn judge(
    incident: &mut Incident,
    evidence: &Evidence,
    plan: &ModelPlan,
    until: EventTime,
) -> bool {
    let Some(question) = evidence.question(plan, until) else { return false };
    let onset = plan.window.start_of(incident.first_seen);
    let after = until.since_ms(onset).max(0) / plan.window.ms() + 1;
    let after = u32::try_from(after).unwrap_or(u32::MAX);
    let now = Circumstances { windows_after_onset: after, grade: question.grade };
    let answer = attribute(&question.table, &question.candidates, now);
    let tables = evidence.tables_of(&plan.name, until);
    let provisional = !tables
        .iter()
        .any(|table| table.window_start >= onset && table.maturity >= Maturity::Mature);
    let causes = causes(&question, &answer, evidence);
    incident.news |= is_news(incident, &causes, provisional);
    incident.provisional = provisional;
    incident.causes = causes;
    incident.metric = measure(plan, &tables, onset, provisional);
    let leading = leading_index(&answer);
    let metric = if provisional { Metric::FlagRate } else { Metric::FalsePositiveRate };
    incident.explained =
        leading.and_then(|index| answer.shares[index].get(metric).as_ref()).map(|share| {
            EffectData {
                estimate: share.rho,
                low: share.interval.low,
                high: share.interval.high,
                unit: "share".into(),
                window: None,
                baseline: None,
            }
        });
    let placebo = placebo::placebo(&question.table, &question.candidates, after, PLACEBO_SEED);
    let leading_bf = match leading {
        Some(index) => answer.scores[index].get(metric).log_bf,
        None => *answer.unexplained_log_bf.get(metric),
    };
    incident.log_bfs = Some((leading_bf, *placebo.log_bf.get(metric)));
    if let Some(index) = leading
        && incident.suspect.is_none()
    {
        incident.suspect = Some(question.suspects[index].clone());
    }
    incident.sentence = sentences::incident(incident, Some(&plan.name));
    true
}

/// What can be said of an incident of data alone: the version the contrast names, or nothing.
pub(super) fn judge_data(incident: &mut Incident, evidence: &Evidence) {
    let causes = match &incident.suspect {
        Some(Suspect::Version(key)) => vec![
            version_cause(key, evidence, 1.0 - UNEXPLAINED_LEAST),
            events::unexplained(UNEXPLAINED_LEAST),
        ],
        _ => vec![events::unexplained(1.0)],
    };
    incident.news |= is_news(incident, &causes, true);
    incident.causes = causes;
    incident.sentence = match incident.suspect {
        Some(Suspect::Version(_)) => sentences::incident(incident, None),
        _ => sentences::data_incident(incident, &open_alarms(incident, evidence)),
    };
}

/// The open alarms of an incident, in order of id.
fn open_alarms<'a>(incident: &Incident, evidence: &'a Evidence) -> Vec<&'a Alarm> {
    incident.alarms.keys().filter_map(|id| evidence.alarms.get(id)).collect()
}

/// The suspect that leads, when that is not `unexplained`.
fn leading_index(answer: &Attribution) -> Option<usize> {
    let stated = &answer.stated;
    let best = (0..stated.candidates.len())
        .max_by(|a, b| stated.candidates[*a].total_cmp(&stated.candidates[*b]))?;
    (stated.candidates[best] > stated.unexplained).then_some(best)
}

/// The suspect that leads an incident of a model by its tables, for finding its home.
pub(super) fn leading_suspect(
    evidence: &Evidence,
    plan: &ModelPlan,
    until: EventTime,
) -> Option<Suspect> {
    let question = evidence.question(plan, until)?;
    let now = Circumstances { windows_after_onset: 1, grade: question.grade };
    let answer = attribute(&question.table, &question.candidates, now);
    leading_index(&answer).map(|index| question.suspects[index].clone())
}

fn causes(question: &Question, answer: &Attribution, evidence: &Evidence) -> Vec<CauseData> {
    let mut causes: Vec<CauseData> = question
        .suspects
        .iter()
        .zip(&answer.stated.candidates)
        .map(|(suspect, probability)| match suspect {
            Suspect::Version(key) => version_cause(key, evidence, *probability),
            Suspect::Alarms(dataset, first_seen) => CauseData {
                kind: "data_alarm".into(),
                dataset: Some(dataset.clone()),
                schema_version: None,
                name: format!("change of {dataset} from {first_seen}"),
                probability: *probability,
                fields: alarmed_fields(evidence, dataset, *first_seen),
                evidence: String::new(),
            },
        })
        .collect();
    causes.push(events::unexplained(answer.stated.unexplained));
    causes.sort_by(|a, b| b.probability.total_cmp(&a.probability).then(a.name.cmp(&b.name)));
    causes
}

fn alarmed_fields(evidence: &Evidence, dataset: &str, first_seen: EventTime) -> Vec<String> {
    let mut fields: Vec<String> = evidence
        .alarms
        .values()
        .filter(|alarm| {
            alarm.first_seen == first_seen && alarm.finding.series.subject.name() == dataset
        })
        .map(|alarm| alarm.finding.series.field.clone())
        .collect();
    fields.sort();
    fields.dedup();
    fields
}

fn version_cause(key: &VersionKey, evidence: &Evidence, probability: f64) -> CauseData {
    let changed =
        evidence.versions.get(key).map(|known| known.changed_fields()).unwrap_or_default();
    CauseData {
        kind: "schema_change".into(),
        dataset: Some(key.0.clone()),
        schema_version: Some(key.1.clone()),
        name: evidence.version_name(key),
        probability,
        fields: changed.iter().map(|finding| finding.series.field.clone()).collect(),
        evidence: sentences::evidence_of(&changed),
    }
}

fn is_news(incident: &Incident, causes: &[CauseData], provisional: bool) -> bool {
    let (Some(before), Some(after)) = (incident.causes.first(), causes.first()) else {
        return true;
    };
    before.name != after.name
        || (before.probability - after.probability).abs() >= NEWS_PROBABILITY
        || incident.provisional != provisional
}

/// The metric people read, before the onset and over the newest windows since: the
/// false-positive rate once a window has matured, the flag rate until then.
fn measure(
    plan: &ModelPlan,
    tables: &[&CellTable],
    onset: EventTime,
    provisional: bool,
) -> Option<(String, EffectData)> {
    let flagged_alone = plan.outcomes.as_ref().is_some_and(|o| o.covers == Covers::Flagged);
    let count = |table: &&CellTable| {
        let mut sum = Count { hits: 0, rows: 0 };
        for (_, sums, outcomes) in &table.cells {
            sum.hits += if provisional { sums.flags } else { outcomes.false_positives };
            sum.rows += if provisional || flagged_alone { sums.n } else { outcomes.negatives };
        }
        sum
    };
    let usable: Vec<&&CellTable> =
        tables.iter().filter(|table| provisional || table.maturity >= Maturity::Mature).collect();
    let add = |a: Count, b: Count| Count { hits: a.hits + b.hits, rows: a.rows + b.rows };
    let none = Count { hits: 0, rows: 0 };
    let before = usable.iter().filter(|table| table.window_start < onset);
    let before = before.map(|table| count(table)).fold(none, add);
    let since: Vec<Count> = usable
        .iter()
        .filter(|table| table.window_start >= onset)
        .map(|table| count(table))
        .collect();
    let after = since.iter().rev().take(POOL).copied().fold(none, add);
    if before.rows == 0 || after.rows == 0 {
        return None;
    }
    let difference = rate_difference(after, before);
    let name = match (provisional, flagged_alone) {
        (true, _) => SeriesKind::FlagRate,
        (false, true) => SeriesKind::FalsePositivesPerDecision,
        (false, false) => SeriesKind::FalsePositiveRate,
    };
    let effect = EffectData {
        estimate: difference.value,
        low: difference.interval.low,
        high: difference.interval.high,
        unit: "share".into(),
        window: Some(after.share()),
        baseline: Some(before.share()),
    };
    Some((name.as_str().into(), effect))
}

/// The models an incident touches, with their plans.
pub(super) fn models<'a>(incident: &Incident, plan: &'a Plan) -> Vec<&'a ModelPlan> {
    plan.models.values().filter(|model| incident.touches(&model.name)).collect()
}
