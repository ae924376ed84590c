//! Keeps partitions of a topic together in event time: one far ahead of the others waits.
//!
//! Also between the predictions and the outcomes of a model, which join would otherwise have to
//! hold for as long as one side is behind. Held against each other are the partitions of this
//! instance that have more to read. A partition waits when its next record lies `max_ahead` windows
//! or more beyond the slowest and it has itself come into a later window than the slowest: the
//! slowest never waits, so something can always be read. One that waits goes on once the slowest is
//! almost level with it, or it would be paused again after a few records.

use std::collections::BTreeMap;

use super::partition::Partition;
use super::topic::Topic;
use crate::config::plan::Plan;
use crate::event::time::{EventTime, WindowSize};

/// How far topics have come, by their index.
#[derive(Debug)]
pub(super) struct Pace {
    /// Windows a partition may be ahead.
    windows: i64,
    topics: Vec<PacedTopic>,
}

#[derive(Debug)]
struct PacedTopic {
    /// Smallest window of what it is read for.
    size: WindowSize,
    /// Topics whose partitions it is held against, itself among them.
    group: Vec<usize>,
    /// Lowest event time accepted: stands for partitions that have shown none.
    lowest: Option<EventTime>,
    slowest: Option<Slowest>,
}

/// The window of the slowest partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Slowest {
    start: EventTime,
    end: EventTime,
}

impl Pace {
    /// The pace of a plan's topics, which are given in the order of their indexes.
    pub(super) fn new(plan: &Plan, topics: &[Topic]) -> Pace {
        let mut sizes: BTreeMap<&str, WindowSize> = BTreeMap::new();
        let mut pairs = Vec::new();
        let mut read = |topic, window: WindowSize| {
            let size = sizes.entry(topic).or_insert(window);
            if window.ms() < size.ms() {
                *size = window;
            }
        };
        for dataset in plan.datasets.values() {
            read(dataset.topic.as_str(), dataset.window);
        }
        for model in plan.models.values() {
            read(&model.predictions.topic, model.window);
            if let Some(outcomes) = &model.outcomes {
                read(&outcomes.topic, model.window);
                pairs.push((model.predictions.topic.as_str(), outcomes.topic.as_str()));
            }
        }
        let index = |name: &str| topics.iter().position(|topic| topic.name == name);
        let hour = WindowSize::from_ms(3_600_000).expect("an hour is positive");
        let paced = topics.iter().enumerate().map(|(own, topic)| {
            let others = pairs.iter().filter_map(|(a, b)| match topic.name.as_str() {
                name if name == *a => index(b),
                name if name == *b => index(a),
                _ => None,
            });
            let mut group: Vec<usize> = std::iter::once(own).chain(others).collect();
            group.sort_unstable();
            group.dedup();
            let size = sizes.get(topic.name.as_str()).copied().unwrap_or(hour);
            PacedTopic { size, group, lowest: None, slowest: None }
        });
        Pace { windows: plan.max_ahead.into(), topics: paced.collect() }
    }

    /// The event time from which on a partition's records must wait, if they must.
    pub(super) fn limit(&self, topic: usize, partition: &Partition) -> Option<EventTime> {
        let paced = &self.topics[topic];
        let slowest = paced.slowest?;
        if partition.max_event_time.is_none_or(|highest| highest < slowest.end) {
            return None;
        }
        let windows = if partition.waits { 1 } else { self.windows };
        Some(slowest.start.plus_ms(paced.size.ms().saturating_mul(windows)))
    }

    /// Takes note that a partition has come from one highest event time to another.
    pub(super) fn moved(
        &mut self,
        topics: &[Topic],
        topic: usize,
        (from, to): (Option<EventTime>, Option<EventTime>),
    ) {
        if from == to {
            return;
        }
        let paced = &mut self.topics[topic];
        let start = |time: Option<EventTime>| time.map(|time| paced.size.start_of(time));
        let same_window = start(from) == start(to);
        if let (None, Some(time)) = (from, to) {
            paced.lowest = Some(paced.lowest.map_or(time, |lowest| lowest.min(time)));
        }
        if !same_window {
            self.look(topics);
        }
    }

    /// Looks anew for the slowest of each topic.
    pub(super) fn look(&mut self, topics: &[Topic]) {
        for index in 0..self.topics.len() {
            let group = self.topics[index].group.iter();
            let starts = group.filter_map(|member| self.slowest_of(&topics[*member], *member));
            self.topics[index].slowest = starts.min();
        }
    }

    /// Forgets what partitions have shown: all of them are assigned anew.
    pub(super) fn forget(&mut self) {
        for paced in &mut self.topics {
            (paced.lowest, paced.slowest) = (None, None);
        }
    }

    fn slowest_of(&self, topic: &Topic, index: usize) -> Option<Slowest> {
        let paced = &self.topics[index];
        let reading = topic.partitions.values().filter(|partition| !partition.at_end);
        let times = reading.filter_map(|partition| partition.max_event_time.or(paced.lowest));
        let start = paced.size.start_of(times.min()?);
        Some(Slowest { start, end: paced.size.end_of(start) })
    }
}
