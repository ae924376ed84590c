//! Records that were gone before they were counted, and were given up on purpose.
//!
//! The ledger goes on behind them. Nobody knows in which windows they were: in some that were open
//! then, up to how far their partition has come with what it still had. Those windows are told as
//! incomplete.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::progress::Progress;
use crate::event::time::EventTime;

/// By topic and partition, how far the last gap may reach; `None` until the partition has told of
/// a record behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Gaps(BTreeMap<String, BTreeMap<i32, Option<EventTime>>>);

impl Gaps {
    /// Records of a partition were given up.
    pub(super) fn open(&mut self, topic: &str, partition: i32) {
        self.0.entry(topic.to_owned()).or_default().insert(partition, None);
    }

    /// Takes what a commit says: with records behind the gap, its end is known.
    pub(super) fn observe(&mut self, line: &Progress) {
        let gap = self.0.get_mut(&line.topic).and_then(|gaps| gaps.get_mut(&line.partition));
        if let Some(until @ None) = gap
            && line.to > line.from
        {
            *until = line.max_event_time;
        }
    }

    /// Windows of a topic that start at this time or earlier may lack records.
    pub(super) fn reach(&self, topic: &str) -> Option<EventTime> {
        let gaps = self.0.get(topic)?.values();
        gaps.map(|until| until.unwrap_or(EventTime(i64::MAX))).max()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::progress::OutcomeCounts;

    #[test]
    fn a_gap_reaches_to_the_first_records_behind_it() {
        let mut gaps = Gaps::default();
        assert_eq!(gaps.reach("orders"), None);
        gaps.open("orders", 1);
        assert_eq!(gaps.reach("orders"), Some(EventTime(i64::MAX)), "nothing is known yet");
        let line = |partition, to, time| Progress {
            topic: "orders".into(),
            partition,
            partition_count: 2,
            from: 50,
            to,
            counts: OutcomeCounts::default(),
            max_event_time: Some(EventTime(time)),
            newest_append_ms: None,
            at_end: true,
        };

        gaps.observe(&line(0, 60, 100));
        gaps.observe(&line(1, 50, 100));
        assert_eq!(gaps.reach("orders"), Some(EventTime(i64::MAX)), "no record was behind it");
        gaps.observe(&line(1, 60, 700));
        gaps.observe(&line(1, 90, 900));

        assert_eq!(gaps.reach("orders"), Some(EventTime(700)));
        assert_eq!(gaps.reach("labels"), None);
    }
}
