//! How far everything upstream has come: the ledger of source offsets, watermarks, join clocks.
//!
//! A check, not a filter: ranges must follow each other, and where they do not it says so and the
//! partition takes no further part ([`super::breaks`]). Time comes from here alone; it is in the
//! headers that observe and join write.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::breaks::Breaks;
use super::gaps::Gaps;
use super::rewind::FACTS;
use crate::event::epoch::Rewound;
use crate::event::finding::IntegrityBreach;
use crate::event::progress::{JoinProgress, Progress, Written};
use crate::event::route::FACTS_PARTITIONS;
use crate::event::time::{EventTime, WindowSize};

/// What the headers have said so far.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Ledger {
    /// By topic, then partition.
    sources: BTreeMap<String, BTreeMap<i32, SourceMark>>,
    /// By partition of `facts`.
    joins: BTreeMap<i32, JoinMark>,
    /// An entry of its own in checkpoints.
    #[serde(skip)]
    pub(super) breaks: Breaks,
    /// The same.
    #[serde(skip)]
    pub(super) gaps: Gaps,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SourceMark {
    to: i64,
    partition_count: i32,
    max_event_time: Option<EventTime>,
    newest_append_ms: Option<i64>,
    at_end: bool,
    /// Broker time of the last header that named the partition.
    heard_ms: i64,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct JoinMark {
    to: i64,
    partition_count: i32,
    clocks: BTreeMap<String, EventTime>,
}

/// How long to wait for what does not come. *Units*: milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// A partition not heard of for this long no longer holds the watermark.
    pub(super) hold_ms: i64,
    /// A topic read to its end and without a new record for this long is taken as quiet: its
    /// windows end with *now*.
    pub(super) quiet_ms: i64,
}

/// How far a topic has come in event time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watermark {
    /// Nothing older is expected, lateness aside.
    pub(super) time: EventTime,
    /// Every partition had its say.
    pub(super) complete: bool,
    /// Windows that start at this time or earlier may lack records that are gone.
    pub(super) gap: Option<EventTime>,
}

impl Watermark {
    /// Whether all there was of a window has been read, once it has ended.
    pub(super) fn completes(&self, start: EventTime) -> bool {
        self.complete && self.gap.is_none_or(|reach| start > reach)
    }

    /// The end of the newest window that has ended, with anything in it or not, when that is
    /// later than what was `told` last; then it counts as told.
    pub(super) fn frontier(
        self,
        window: WindowSize,
        lateness_ms: i64,
        told: &mut Option<EventTime>,
    ) -> Option<EventTime> {
        let frontier = window.start_of(self.time.plus_ms(lateness_ms.saturating_neg()));
        (*told < Some(frontier)).then(|| *told.insert(frontier))
    }
}

impl Ledger {
    /// Takes a header of observe.
    pub(super) fn observe(&mut self, lines: &[Progress], now_ms: i64) -> Vec<IntegrityBreach> {
        let mut breaches = Vec::new();
        for line in lines {
            if self.breaks.stops(&line.topic, line.partition) {
                continue;
            }
            let partitions = self.sources.entry(line.topic.clone()).or_default();
            if let Some(mark) = partitions.get(&line.partition)
                && mark.to != line.from
            {
                let breach = IntegrityBreach {
                    topic: line.topic.clone(),
                    partition: line.partition,
                    expected: mark.to,
                    got: line.from,
                };
                breaches.push(breach.clone());
                self.breaks.stop(breach);
                continue;
            }
            self.gaps.observe(line);
            let mark = SourceMark {
                to: line.to,
                partition_count: line.partition_count,
                max_event_time: line.max_event_time,
                newest_append_ms: line.newest_append_ms,
                at_end: line.at_end,
                heard_ms: now_ms,
            };
            partitions.insert(line.partition, mark);
        }
        breaches
    }

    /// Takes a header of join.
    pub(super) fn join(&mut self, progress: &JoinProgress) -> Option<IntegrityBreach> {
        let mark = JoinMark {
            to: progress.to,
            partition_count: progress.partition_count,
            clocks: progress.clocks.iter().cloned().collect(),
        };
        if self.breaks.stops(FACTS, progress.partition) {
            return None;
        }
        let before = self.joins.get(&progress.partition);
        let expected = before.map(|mark| mark.to).filter(|to| *to != progress.from);
        let Some(expected) = expected else {
            self.joins.insert(progress.partition, mark);
            return None;
        };
        let breach = IntegrityBreach {
            topic: FACTS.into(),
            partition: progress.partition,
            expected,
            got: progress.from,
        };
        self.breaks.stop(breach.clone());
        Some(breach)
    }

    /// Goes on from where someone went to: back, or past records that are gone. Gives those that
    /// nobody was told of.
    pub(super) fn restart(&mut self, rewound: &Rewound, now_ms: i64) -> Vec<IntegrityBreach> {
        let mut given_up = Vec::new();
        let gives_up = rewound.subjects.is_empty();
        for source in &rewound.sources {
            // A break has been told when it was met.
            let is_told = self.breaks.stops(&source.topic, source.partition);
            self.breaks.mend(&source.topic, source.partition);
            if gives_up {
                self.gaps.open(&source.topic, source.partition);
            }
            let known = self.sources.get(&source.topic).and_then(|p| p.get(&source.partition));
            if let Some(mark) = known
                && gives_up
                && !is_told
            {
                given_up.push(IntegrityBreach {
                    topic: source.topic.clone(),
                    partition: source.partition,
                    expected: mark.to,
                    got: source.from,
                });
            }
            let mark = SourceMark {
                to: source.from,
                partition_count: source.partition_count,
                max_event_time: source.max_event_time,
                newest_append_ms: source.newest_append_ms,
                at_end: false,
                heard_ms: now_ms,
            };
            let partitions = self.sources.entry(source.topic.clone()).or_default();
            partitions.insert(source.partition, mark);
        }
        for (partition, to) in &rewound.facts {
            self.breaks.mend(FACTS, *partition);
            let (to, clocks) = (*to, BTreeMap::new());
            let mark = JoinMark { to, partition_count: FACTS_PARTITIONS, clocks };
            self.joins.insert(*partition, mark);
        }
        given_up
    }

    /// How far a topic has come; `None` until every partition has been heard of.
    ///
    /// The minimum over the partitions that have more to read: one read to its end proves by
    /// that that it is idle, and does not hold the others back. It proves so for what had been
    /// written when it said it, and for nothing later: whoever reads it may have fallen behind.
    pub(super) fn watermark(
        &self,
        topic: &str,
        now_ms: i64,
        patience: Patience,
    ) -> Option<Watermark> {
        let partitions = self.sources.get(topic)?;
        let count = partitions.values().map(|mark| mark.partition_count).max()?;
        if i32::try_from(partitions.len()).is_ok_and(|heard| heard < count) {
            return None;
        }
        let newest = partitions.values().filter_map(|mark| mark.max_event_time).max()?;
        let written = Written::of(partitions.values().filter_map(|mark| {
            Some((mark.newest_append_ms?.min(mark.heard_ms), mark.max_event_time?))
        }));
        let mut time = newest;
        let mut complete = !self.breaks.touch(topic);
        for mark in partitions.values() {
            if now_ms - mark.heard_ms > patience.hold_ms {
                complete &= mark.at_end;
                continue;
            }
            let idle_to = if mark.at_end { written.by(mark.heard_ms) } else { None };
            time = time.min(idle_to.max(mark.max_event_time).unwrap_or(EventTime::MIN));
        }
        let newest_append = partitions.values().filter_map(|mark| mark.newest_append_ms).max();
        let has_ended =
            |partition, mark: &SourceMark| mark.at_end || self.breaks.stops(topic, partition);
        let all_at_end = partitions.iter().all(|(partition, mark)| has_ended(*partition, mark));
        let quiet = newest_append.is_some_and(|at| now_ms - at > patience.quiet_ms);
        if all_at_end && quiet {
            time = time.max(EventTime(now_ms));
        }
        Some(Watermark { time, complete, gap: self.gaps.reach(topic) })
    }

    /// Nobody reads a topic any more: none of its partitions was heard of for `hold_ms`.
    pub(super) fn is_forsaken(&self, topic: &str, now_ms: i64, hold_ms: i64) -> bool {
        let partitions = self.sources.get(topic).into_iter().flatten();
        partitions.into_iter().all(|(_, mark)| now_ms - mark.heard_ms > hold_ms)
    }

    /// The highest event time heard of in a topic.
    pub(super) fn newest(&self, topic: &str) -> Option<EventTime> {
        self.sources.get(topic)?.values().filter_map(|mark| mark.max_event_time).max()
    }

    /// A model's join clock: the minimum over all partitions of `facts`; `None` until each has
    /// told it.
    pub(super) fn join_clock(&self, model: &str) -> Option<EventTime> {
        let count = self.joins.values().next()?.partition_count;
        if i32::try_from(self.joins.len()).is_ok_and(|heard| heard < count) {
            return None;
        }
        self.joins.values().map(|mark| mark.clocks.get(model).copied()).min().flatten()
    }

    /// Where each partition of a topic has been read to.
    pub(super) fn read_to(&self, topic: &str) -> Vec<(String, i32, i64)> {
        let partitions = self.sources.get(topic).into_iter().flatten();
        partitions.map(|(partition, mark)| (topic.to_owned(), *partition, mark.to)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::epoch::RewoundSource;
    use crate::event::progress::OutcomeCounts;

    const PATIENCE: Patience = Patience { hold_ms: 600_000, quiet_ms: 60_000 };

    fn line(partition: i32, range: (i64, i64), time: i64, at_end: bool) -> Progress {
        Progress {
            topic: "orders".into(),
            partition,
            partition_count: 2,
            from: range.0,
            to: range.1,
            counts: OutcomeCounts::default(),
            max_event_time: Some(EventTime(time)),
            newest_append_ms: Some(0),
            at_end,
        }
    }

    #[test]
    fn watermark_is_undefined_until_every_partition_has_reported() {
        let mut ledger = Ledger::default();
        ledger.observe(&[line(0, (0, 5), 100, false)], 0);

        assert_eq!(ledger.watermark("orders", 0, PATIENCE), None);
    }

    #[test]
    fn watermark_is_the_minimum_over_partitions_with_more_to_read() {
        let mut ledger = Ledger::default();
        ledger.observe(&[line(0, (0, 5), 100, false), line(1, (0, 5), 40, false)], 0);
        let held = ledger.watermark("orders", 0, PATIENCE).expect("both heard");
        ledger.observe(&[line(1, (5, 5), 40, true)], 0);
        let idle = ledger.watermark("orders", 0, PATIENCE).expect("both heard");

        assert_eq!((held.time, held.complete), (EventTime(40), true));
        assert_eq!((idle.time, idle.complete), (EventTime(100), true));
    }

    #[test]
    fn partition_that_cannot_be_read_holds_the_watermark_for_a_while_only() {
        let mut ledger = Ledger::default();
        ledger.observe(&[line(0, (0, 5), 100, false), line(1, (0, 5), 40, false)], 0);
        ledger.observe(&[line(0, (5, 9), 900, false)], 700_000);
        let mark = ledger.watermark("orders", 700_000, PATIENCE).expect("both heard");

        assert_eq!((mark.time, mark.complete), (EventTime(900), false));
    }

    /// Found by simulation (seed 3): the instance that reads partition 1 is behind, and what its
    /// last header says of the end of the partition is old.
    #[test]
    fn partition_at_its_end_holds_what_was_written_after_it_said_so() {
        let mut ledger = Ledger::default();
        ledger.observe(&[line(0, (0, 5), 100, false), line(1, (0, 5), 40, true)], 1_000);
        let later = Progress {
            newest_append_ms: Some(1_500),
            max_event_time: Some(EventTime(900)),
            ..line(0, (5, 9), 900, false)
        };
        ledger.observe(&[later], 2_000);
        let held = ledger.watermark("orders", 2_000, PATIENCE).expect("both heard");
        ledger.observe(&[line(1, (5, 5), 40, true)], 2_001);
        let idle = ledger.watermark("orders", 2_001, PATIENCE).expect("both heard");

        assert_eq!((held.time, idle.time), (EventTime(40), EventTime(900)));
    }

    #[test]
    fn timestamps_ahead_of_the_broker_hold_no_idle_partition() {
        let mut ledger = Ledger::default();
        let ahead = Progress { newest_append_ms: Some(9_000_000), ..line(0, (0, 5), 100, false) };
        ledger.observe(&[ahead], 1_000);
        ledger.observe(&[line(1, (0, 0), 40, true)], 1_001);
        let mark = ledger.watermark("orders", 1_001, PATIENCE).expect("both heard");

        assert_eq!(mark.time, EventTime(100));
    }

    /// Found by simulation: whoever reads the first partition may be the last to know.
    #[test]
    fn partition_that_was_added_is_waited_for_once_anyone_tells_of_it() {
        let mut ledger = Ledger::default();
        ledger.observe(&[line(0, (0, 5), 100, true), line(1, (0, 5), 40, true)], 0);
        let grown = Progress { partition_count: 3, ..line(1, (5, 5), 40, true) };
        ledger.observe(&[grown], 0);

        assert_eq!(ledger.watermark("orders", 0, PATIENCE), None);
    }

    #[test]
    fn quiet_topic_ends_its_windows_with_now() {
        let mut ledger = Ledger::default();
        ledger.observe(&[line(0, (0, 5), 100, true), line(1, (0, 5), 40, true)], 60_001);
        let mark = ledger.watermark("orders", 60_001, PATIENCE).expect("both heard");

        assert_eq!(mark.time, EventTime(60_001));
    }

    #[test]
    fn gap_and_overlap_are_named() {
        let mut ledger = Ledger::default();
        ledger.observe(&[line(0, (0, 5), 100, false), line(1, (0, 9), 100, false)], 0);
        let gap = ledger.observe(&[line(0, (7, 9), 100, false)], 0);
        let overlap = ledger.observe(&[line(1, (8, 10), 100, false)], 0);

        assert_eq!((gap[0].expected, gap[0].got), (5, 7));
        assert_eq!((overlap[0].expected, overlap[0].got), (9, 8));
    }

    #[test]
    fn broken_partition_takes_no_part_until_someone_goes_back() {
        let mut ledger = Ledger::default();
        ledger.observe(&[line(0, (0, 5), 100, false), line(1, (0, 5), 400, false)], 0);
        ledger.observe(&[line(0, (7, 9), 900, false)], 0);

        let said = ledger.observe(&[line(0, (9, 12), 900, false)], 0);
        let mark = ledger.watermark("orders", 0, PATIENCE).expect("both heard");
        assert_eq!(said, [], "it is said once");
        assert_eq!((mark.time, mark.complete), (EventTime(100), false));
        assert_eq!(ledger.read_to("orders")[0], ("orders".to_owned(), 0, 5));
        ledger.observe(&[line(1, (5, 9), 900, false)], 700_000);
        let later = ledger.watermark("orders", 700_000, PATIENCE).expect("both heard");
        assert_eq!((later.time, later.complete), (EventTime(900), false), "held for a while");

        let source = RewoundSource {
            topic: "orders".into(),
            partition: 0,
            partition_count: 2,
            from: 2,
            max_event_time: Some(EventTime(60)),
            newest_append_ms: None,
        };
        let rewound = Rewound { epoch: 1, sources: vec![source], ..Rewound::default() };
        ledger.restart(&rewound, 700_000);
        assert_eq!(ledger.observe(&[line(0, (2, 20), 900, false)], 700_000), []);
        let mended = ledger.watermark("orders", 700_000, PATIENCE).expect("both heard");
        assert_eq!((mended.time, mended.complete), (EventTime(900), true));
    }
}
