//! The join's clock: how far both sides of a model have been read, told by headers alone.
//!
//! Everything here is a function of the newest report of each source partition and of the
//! timestamp of the message at hand; nothing older counts. So whoever re-reads one report of
//! each partition knows the same, and no clock of a machine is asked.

use std::collections::BTreeMap;

use crate::event::progress::{Progress, Written};
use crate::event::time::EventTime;

/// The newest report of each partition of the topics that matter.
#[derive(Debug)]
pub(super) struct Sources {
    topics: BTreeMap<String, Topic>,
}

#[derive(Debug, Default)]
struct Topic {
    partition_count: i32,
    partitions: BTreeMap<i32, Report>,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    newest: Option<EventTime>,
    append_ms: Option<i64>,
    at_end: bool,
    /// Offset of the message that said so, and when it was written.
    offset: i64,
    heard_ms: i64,
}

/// How far one side of a model has been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Side {
    /// Its time; `None` for a topic that is empty.
    time: Option<EventTime>,
    /// Read to its end, and nothing came for longer than the hold.
    silent: bool,
}

impl Sources {
    /// Listens for these topics and passes over all others.
    pub(super) fn new<'a>(topics: impl Iterator<Item = &'a str>) -> Sources {
        Sources { topics: topics.map(|topic| (topic.to_owned(), Topic::default())).collect() }
    }

    /// Takes the header in the message at `offset`, written at `heard_ms`.
    pub(super) fn take(&mut self, header: &[Progress], offset: i64, heard_ms: i64) {
        for progress in header {
            let Some(topic) = self.topics.get_mut(&progress.topic) else {
                continue;
            };
            topic.partition_count = topic.partition_count.max(progress.partition_count);
            topic.partitions.insert(
                progress.partition,
                Report {
                    newest: progress.max_event_time,
                    append_ms: progress.newest_append_ms,
                    at_end: progress.at_end,
                    offset,
                    heard_ms,
                },
            );
        }
    }

    /// How far predictions and outcomes have both been read, seen from a message with this
    /// timestamp; `None` until every partition of both has reported.
    pub(super) fn both(&self, pair: &Pair, now_ms: i64) -> Option<EventTime> {
        let predictions = self.side(&pair.predictions, pair.hold_max_ms, now_ms)?;
        let outcomes = self.side(&pair.outcomes, pair.hold_max_ms, now_ms)?;
        match (predictions.silent, outcomes.silent) {
            (false, false) => Some(predictions.time?.min(outcomes.time?)),
            (false, true) => predictions.time,
            (true, false) => outcomes.time,
            (true, true) => predictions.time.max(outcomes.time),
        }
    }

    /// Offset of the oldest of the newest reports of both topics; `None` before the first.
    pub(super) fn oldest_report(&self, pair: &Pair) -> Option<i64> {
        [&pair.predictions, &pair.outcomes]
            .into_iter()
            .filter_map(|name| self.topics.get(name))
            .flat_map(|topic| topic.partitions.values())
            .map(|report| report.offset)
            .min()
    }

    /// What was reported, but for the offsets it was reported at.
    #[cfg(test)]
    pub(super) fn reported(&self) -> String {
        let topics = self.topics.iter().map(|(name, topic)| {
            let reports = topic.partitions.iter();
            let reports: Vec<_> =
                reports.map(|(partition, r)| (*partition, Report { offset: 0, ..*r })).collect();
            (name, topic.partition_count, reports)
        });
        format!("{:?}", topics.collect::<Vec<_>>())
    }

    /// A partition at its end does not hold its side, up to what others had got when it said so.
    fn side(&self, name: &str, hold_max_ms: i64, now_ms: i64) -> Option<Side> {
        let topic = self.topics.get(name)?;
        let written =
            Written::of(topic.partitions.values().filter_map(|report| {
                Some((report.append_ms?.min(report.heard_ms), report.newest?))
            }));
        let reports = (0..topic.partition_count).map(|partition| topic.partitions.get(&partition));
        let (mut newest, mut held, mut append_ms) = (None, None, None);
        let (mut reported, mut all_at_end) = (false, true);
        for report in reports {
            let report = report?;
            reported = true;
            newest = newest.max(report.newest);
            append_ms = append_ms.max(report.append_ms);
            all_at_end &= report.at_end;
            let idle_to = if report.at_end { written.by(report.heard_ms) } else { None };
            match idle_to.max(report.newest) {
                Some(time) => held = Some(held.map_or(time, |other: EventTime| other.min(time))),
                None if report.at_end && written.is_empty() => {}
                None => return None,
            }
        }
        if !reported {
            return None;
        }
        // An empty topic read to its end has nothing to wait for; nor has one that has shown
        // nothing since its reader started.
        let quiet = append_ms.is_none_or(|append| now_ms.saturating_sub(append) > hold_max_ms);
        Some(Side { time: held.or(newest), silent: all_at_end && quiet })
    }
}

/// The two topics of a model.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    /// Topic of predictions.
    pub(super) predictions: String,
    /// Topic of outcomes.
    pub(super) outcomes: String,
    /// How long a side that is at its end holds the clock. *Units*: milliseconds.
    pub(super) hold_max_ms: i64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::progress::OutcomeCounts;

    const NOW: i64 = 1_000_000;

    fn report(topic: &str, partition: i32, newest: Option<i64>, at_end: bool) -> Progress {
        Progress {
            topic: topic.into(),
            partition,
            partition_count: 2,
            from: 0,
            to: 1,
            counts: OutcomeCounts::default(),
            max_event_time: newest.map(EventTime),
            newest_append_ms: newest.map(|_| NOW - 100),
            at_end,
        }
    }

    fn pair() -> Pair {
        Pair { predictions: "scores".into(), outcomes: "labels".into(), hold_max_ms: 5_000 }
    }

    /// The clock after one header, at `now_ms`.
    fn check(header: &[Progress], now_ms: i64) -> Option<i64> {
        let mut sources = Sources::new(["scores", "labels"].into_iter());
        sources.take(header, 0, NOW);
        sources.both(&pair(), now_ms).map(|time| time.0)
    }

    #[test]
    fn clock_is_the_slowest_partition_of_the_slower_side() {
        let header = [
            report("scores", 0, Some(500), false),
            report("scores", 1, Some(400), false),
            report("labels", 0, Some(300), false),
            report("labels", 1, Some(350), false),
        ];

        assert_eq!(check(&header, NOW), Some(300));
    }

    #[test]
    fn clock_waits_for_every_partition_to_report() {
        let header = [
            report("scores", 0, Some(500), false),
            report("scores", 1, Some(400), false),
            report("labels", 1, Some(350), true),
        ];

        assert_eq!(check(&header, NOW), None);
    }

    #[test]
    fn partition_at_its_end_does_not_hold_its_side() {
        let header = [
            report("scores", 0, Some(500), false),
            report("scores", 1, None, true),
            report("labels", 0, Some(900), true),
            report("labels", 1, Some(100), true),
        ];

        assert_eq!(check(&header, NOW), Some(500));
    }

    #[test]
    fn partition_that_is_not_at_its_end_and_has_no_time_yet_holds_the_clock() {
        let header = [
            report("scores", 0, Some(500), false),
            report("scores", 1, None, false),
            report("labels", 0, Some(900), true),
            report("labels", 1, Some(100), true),
        ];

        assert_eq!(check(&header, NOW), None);
    }

    #[test]
    fn side_at_its_end_holds_the_clock_no_longer_than_the_hold() {
        let header = [
            report("scores", 0, Some(500), false),
            report("scores", 1, Some(500), false),
            report("labels", 0, Some(300), true),
            report("labels", 1, Some(100), true),
        ];

        assert_eq!(check(&header, NOW - 100 + 5_000), Some(300));
        assert_eq!(check(&header, NOW - 100 + 5_001), Some(500));
    }

    /// Whoever reads the idle partition has fallen behind: what it said of the end is old.
    #[test]
    fn partition_at_its_end_holds_its_side_at_what_was_written_when_it_said_so() {
        let mut sources = Sources::new(["scores", "labels"].into_iter());
        let both = [
            report("scores", 0, Some(500), false),
            report("scores", 1, Some(400), true),
            report("labels", 0, Some(900), true),
            report("labels", 1, Some(900), true),
        ];
        sources.take(&both, 0, NOW);
        let written_later =
            Progress { newest_append_ms: Some(NOW + 500), ..report("scores", 0, Some(800), false) };
        let clock = |sources: &Sources| sources.both(&pair(), NOW).map(|time| time.0);

        assert_eq!(clock(&sources), Some(500));
        sources.take(&[written_later], 1, NOW + 1_000);
        assert_eq!(clock(&sources), Some(400));
        sources.take(&[report("scores", 1, Some(400), true)], 2, NOW + 1_001);
        assert_eq!(clock(&sources), Some(800));
    }

    #[test]
    fn silent_side_that_is_not_at_its_end_holds_the_clock_for_ever() {
        let header = [
            report("scores", 0, Some(500), false),
            report("scores", 1, Some(500), false),
            report("labels", 0, Some(300), false),
            report("labels", 1, Some(100), true),
        ];

        assert_eq!(check(&header, NOW + 1_000_000), Some(300));
    }

    #[test]
    fn empty_outcome_topic_read_to_its_end_leaves_the_clock_to_predictions() {
        let header = [
            report("scores", 0, Some(500), false),
            report("scores", 1, Some(600), false),
            report("labels", 0, None, true),
            report("labels", 1, None, true),
        ];

        assert_eq!(check(&header, NOW), Some(500));
    }

    #[test]
    fn two_silent_sides_leave_the_clock_at_the_newer() {
        let header = [
            report("scores", 0, Some(500), true),
            report("scores", 1, Some(600), true),
            report("labels", 0, Some(300), true),
            report("labels", 1, Some(100), true),
        ];

        assert_eq!(check(&header, NOW + 1_000_000), Some(600));
    }
}
