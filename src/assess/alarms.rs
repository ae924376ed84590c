//! From findings to alarms: when to believe a run of findings, and when to tell.
//!
//! One change is one alarm with a beginning, updates and an end, not one event per window.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::event::finding::{Alarm, AlarmState, Finding, FindingItem, Series, SeriesKind, Verdict};
use crate::event::time::EventTime;

/// Windows without a finding before an alarm is believed to be over.
const QUIET_WINDOWS: u32 = 2;
/// An open alarm tells again when its effect has grown or shrunk by this factor; one whose kind
/// of change is known, when the kind changes.
const RETELL_FACTOR: f64 = 3.0;

/// The runs of one subject, by series.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Alarms {
    runs: BTreeMap<Series, Run>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Run {
    id: u64,
    first_seen: EventTime,
    /// Windows in a row that spoke for the change.
    hits: u32,
    /// Windows in a row that spoke against it.
    quiet: u32,
    opened: bool,
    revision: u32,
    told_effect: f64,
    told_change: Option<String>,
    /// The last finding that spoke for it, told again when it resolves.
    last: Finding,
}

/// Windows in a row a series needs to be believed: two for distributions against the learnt
/// baseline, where a single odd window is common; one for what ought never to happen and for
/// contrasts within a window.
fn needed(series: &Series) -> u32 {
    match series.kind {
        SeriesKind::Drift if series.schema_version.is_none() => 2,
        _ => 1,
    }
}

impl Alarms {
    /// Takes all findings of a window and tells the steps they bring. An open series of a version
    /// that `concerns` this judging and was not found is taken as ok: its version wrote nothing.
    pub(super) fn settle(
        &mut self,
        mut findings: Vec<Finding>,
        window_start: EventTime,
        concerns: impl Fn(&Series) -> bool,
    ) -> Vec<FindingItem> {
        let mut steps: Vec<Alarm> =
            findings.iter_mut().filter_map(|finding| self.take(finding)).collect();
        let found: BTreeSet<&Series> = findings.iter().map(|finding| &finding.series).collect();
        let gone: Vec<Series> = self
            .open()
            .filter(|s| s.schema_version.is_some() && concerns(s) && !found.contains(s))
            .cloned()
            .collect();
        steps.extend(gone.iter().filter_map(|series| self.quiet(series, window_start, None)));
        steps.into_iter().map(|step| FindingItem::Alarm(Box::new(step))).collect()
    }

    /// Gives the runs of wanted series away.
    pub(super) fn part(&mut self, wanted: impl Fn(&Series) -> bool) -> Alarms {
        Alarms { runs: self.runs.extract_if(.., |series, _| wanted(series)).collect() }
    }

    /// Gives up all runs; gives the last step of those that were open.
    pub(super) fn end(&mut self) -> Vec<Alarm> {
        self.rewind(EventTime::MIN)
    }

    /// Forgets runs that began at `from` or later; gives the last step of those that were open.
    pub(super) fn rewind(&mut self, from: EventTime) -> Vec<Alarm> {
        let mut ended = Vec::new();
        self.runs.retain(|_, run| {
            let stays = run.first_seen < from;
            if !stays && run.opened {
                run.revision += 1;
                let last = Finding { verdict: Verdict::Ok, ..run.last.clone() };
                ended.push(step(run, AlarmState::Resolved, last));
            }
            stays
        });
        ended
    }

    /// Takes one window's finding; its verdict is what the test says of the window alone, and is
    /// set to `suspected` while the run is too short. Returns a step of the alarm, if any.
    fn take(&mut self, finding: &mut Finding) -> Option<Alarm> {
        match finding.verdict {
            Verdict::Detected | Verdict::Suspected => self.hit(finding),
            Verdict::Ok => self.quiet(&finding.series.clone(), finding.window_start, Some(finding)),
            Verdict::Inconclusive => None,
        }
    }

    /// Series with an open alarm.
    pub(super) fn open(&self) -> impl Iterator<Item = &Series> {
        self.runs.iter().filter(|(_, run)| run.opened).map(|(series, _)| series)
    }

    fn hit(&mut self, finding: &mut Finding) -> Option<Alarm> {
        let run = self.runs.entry(finding.series.clone()).or_insert_with(|| Run {
            id: alarm_id(&finding.series, finding.window_start),
            first_seen: finding.window_start,
            hits: 0,
            quiet: 0,
            opened: false,
            revision: 0,
            told_effect: 0.0,
            told_change: None,
            last: finding.clone(),
        });
        run.hits += 1;
        run.quiet = 0;
        if run.hits < needed(&finding.series) {
            finding.verdict = Verdict::Suspected;
            run.last = finding.clone();
            return None;
        }
        finding.verdict = Verdict::Detected;
        run.last = finding.clone();
        let change = finding.change.as_ref().map(|c| c.named.clone().unwrap_or(c.kind.clone()));
        let effect = finding.effect.estimate.abs();
        let grown =
            effect > run.told_effect * RETELL_FACTOR || effect * RETELL_FACTOR < run.told_effect;
        let state = if !run.opened {
            AlarmState::Opened
        } else if (change.is_none() && grown) || (change.is_some() && change != run.told_change) {
            run.revision += 1;
            AlarmState::Updated
        } else {
            return None;
        };
        run.opened = true;
        run.told_effect = effect;
        run.told_change = change;
        Some(step(run, state, finding.clone()))
    }

    fn quiet(
        &mut self,
        series: &Series,
        window_start: EventTime,
        finding: Option<&Finding>,
    ) -> Option<Alarm> {
        let run = self.runs.get_mut(series)?;
        run.quiet += 1;
        run.hits = 0;
        if !run.opened {
            self.runs.remove(series);
            return None;
        }
        if run.quiet < QUIET_WINDOWS {
            return None;
        }
        run.revision += 1;
        let mut last = finding.cloned().unwrap_or_else(|| run.last.clone());
        last.verdict = Verdict::Ok;
        let length = last.window_end.since_ms(last.window_start);
        last.window_start = window_start;
        last.window_end = window_start.plus_ms(length);
        let alarm = step(run, AlarmState::Resolved, last);
        self.runs.remove(series);
        Some(alarm)
    }
}

fn step(run: &Run, state: AlarmState, finding: Finding) -> Alarm {
    Alarm {
        id: run.id,
        state,
        revision: run.revision,
        first_seen: run.first_seen,
        finding,
        ledger: Vec::new(),
    }
}

/// Derived from the series and the window it began in, so that the same alarm has the same id.
fn alarm_id(series: &Series, first_seen: EventTime) -> u64 {
    xxh3_64(format!("{series}@{}", first_seen.0).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::testing::finding;
    use super::*;

    fn take(alarms: &mut Alarms, window: i64, verdict: Verdict, effect: f64) -> Option<AlarmState> {
        let mut finding = finding(SeriesKind::Drift, window, verdict);
        finding.effect.estimate = effect;
        alarms.take(&mut finding).map(|alarm| alarm.state)
    }

    #[test]
    fn drift_is_believed_after_two_windows_in_a_row() {
        let mut alarms = Alarms::default();

        assert_eq!(take(&mut alarms, 0, Verdict::Detected, 0.1), None);
        assert_eq!(take(&mut alarms, 1, Verdict::Ok, 0.0), None);
        assert_eq!(take(&mut alarms, 2, Verdict::Detected, 0.1), None);
        assert_eq!(take(&mut alarms, 3, Verdict::Detected, 0.1), Some(AlarmState::Opened));
    }

    #[test]
    fn a_lasting_change_is_told_once() {
        let mut alarms = Alarms::default();
        for window in 0..2 {
            take(&mut alarms, window, Verdict::Detected, 0.1);
        }

        assert!((2..50).all(|w| take(&mut alarms, w, Verdict::Detected, 0.11).is_none()));
        assert_eq!(take(&mut alarms, 50, Verdict::Detected, 0.4), Some(AlarmState::Updated));
    }

    #[test]
    fn an_alarm_ends_after_two_quiet_windows() {
        let mut alarms = Alarms::default();
        for window in 0..2 {
            take(&mut alarms, window, Verdict::Detected, 0.1);
        }

        assert_eq!(take(&mut alarms, 2, Verdict::Ok, 0.0), None);
        assert_eq!(take(&mut alarms, 3, Verdict::Ok, 0.0), Some(AlarmState::Resolved));
        assert_eq!(alarms.open().count(), 0);
    }

    #[test]
    fn a_window_with_too_few_rows_neither_opens_nor_ends() {
        let mut alarms = Alarms::default();
        take(&mut alarms, 0, Verdict::Detected, 0.1);
        take(&mut alarms, 1, Verdict::Inconclusive, 0.0);

        assert_eq!(take(&mut alarms, 2, Verdict::Detected, 0.1), Some(AlarmState::Opened));
    }
}
