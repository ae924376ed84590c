//! What the headers in one partition of `summaries` tell of the past: how far each source partition
//! had come when.
//!
//! Pure. Keeps the last commit of each stretch of event time, not all of them.

use std::collections::BTreeMap;

use crate::config::plan::Plan;
use crate::event::epoch::Rewound;
use crate::event::progress::{Header, JoinProgress, Progress};
use crate::event::route::FACTS_PARTITIONS;
use crate::event::summary::SummaryBatch;
use crate::event::time::{EventTime, WindowSize};

/// A source topic and partition.
pub type Place = (String, i32);

/// The past of a deployment.
#[derive(Debug)]
pub struct History {
    /// Stretches of event time of which the last commit is kept.
    stretch: WindowSize,
    pasts: BTreeMap<Place, Past>,
    /// Clocks by model, by partition of `facts`.
    joins: BTreeMap<i32, BTreeMap<String, EventTime>>,
    /// The newest epoch.
    pub(super) epoch: u64,
    /// It begins with the first commit there was.
    pub is_whole: bool,
}

/// The past of one source partition.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) partition_count: i32,
    /// First offset of the first range told.
    pub(super) start: i64,
    /// In order; offsets and event times do not fall.
    pub(super) stops: Vec<Stop>,
    /// It had been read to its end.
    at_end: bool,
    /// A range did not follow the one before it, and nobody has gone anywhere since.
    pub(super) is_broken: bool,
}

/// A place to go back to: a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stop {
    /// First offset behind it.
    pub(super) to: i64,
    /// Highest event time before it.
    pub(super) max_event_time: Option<EventTime>,
    /// Append time of the newest record before it.
    pub(super) newest_append_ms: Option<i64>,
}

impl Past {
    /// The last commit.
    pub(super) fn now(&self) -> Stop {
        let start = Stop { to: self.start, max_event_time: None, newest_append_ms: None };
        self.stops.last().copied().unwrap_or(start)
    }

    /// The last commit before which no event time reached the bound; the start where there was
    /// none.
    pub(super) fn before(&self, bound: EventTime) -> Stop {
        let start = Stop { to: self.start, max_event_time: None, newest_append_ms: None };
        let below = |stop: &&Stop| stop.max_event_time.is_none_or(|time| time < bound);
        self.stops.iter().take_while(below).last().copied().unwrap_or(start)
    }
}

impl History {
    /// Nothing read yet.
    #[must_use]
    pub fn new(plan: &Plan) -> History {
        let datasets = plan.datasets.values().map(|dataset| dataset.window);
        let models = plan.models.values().map(|model| model.window);
        let smallest = datasets.chain(models).min_by_key(|window| window.ms());
        let minute = WindowSize::from_ms(60_000).expect("a minute is positive");
        History {
            stretch: smallest.unwrap_or(minute),
            pasts: BTreeMap::new(),
            joins: BTreeMap::new(),
            epoch: 0,
            is_whole: false,
        }
    }

    /// Whether no commit was told.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pasts.is_empty()
    }

    /// Source partitions there are.
    pub fn places(&self) -> impl Iterator<Item = &Place> {
        self.pasts.keys()
    }

    /// Takes the next message.
    pub fn take(&mut self, batch: &SummaryBatch) {
        match &batch.header {
            Some(Header::Observe(lines)) => lines.iter().for_each(|line| self.line(line)),
            Some(Header::Join(line)) => self.joined(line),
            Some(Header::Rewound(rewound)) => self.rewound(rewound),
            None => {}
        }
    }

    fn line(&mut self, line: &Progress) {
        let place = (line.topic.clone(), line.partition);
        let past = self.pasts.entry(place).or_insert_with(|| Past {
            partition_count: line.partition_count,
            start: line.from,
            stops: Vec::new(),
            at_end: false,
            is_broken: false,
        });
        past.is_broken |= past.now().to != line.from;
        past.partition_count = line.partition_count;
        past.at_end = line.at_end;
        let stop = Stop {
            to: line.to,
            max_event_time: line.max_event_time,
            newest_append_ms: line.newest_append_ms,
        };
        let stretch = |stop: &Stop| stop.max_event_time.map(|time| self.stretch.start_of(time));
        match past.stops.last_mut() {
            Some(last) if stretch(last) == stretch(&stop) => *last = stop,
            _ => past.stops.push(stop),
        }
    }

    fn joined(&mut self, line: &JoinProgress) {
        self.joins.insert(line.partition, line.clocks.iter().cloned().collect());
    }

    fn rewound(&mut self, rewound: &Rewound) {
        self.epoch = self.epoch.max(rewound.epoch);
        self.joins.clear();
        for source in &rewound.sources {
            let Some(past) = self.pasts.get_mut(&(source.topic.clone(), source.partition)) else {
                continue;
            };
            past.at_end = false;
            past.is_broken = false;
            past.stops.retain(|stop| stop.to < source.from);
            past.stops.push(Stop {
                to: source.from,
                max_event_time: source.max_event_time,
                newest_append_ms: source.newest_append_ms,
            });
        }
    }

    pub(super) fn past(&self, place: &Place) -> Option<&Past> {
        self.pasts.get(place)
    }

    pub(super) fn of_topic(&self, topic: &str) -> impl Iterator<Item = (&Place, &Past)> {
        self.pasts.iter().filter(move |(place, _)| place.0 == topic)
    }

    /// How far a topic has been read in all partitions that had more to read.
    pub(super) fn watermark(&self, topic: &str) -> Option<EventTime> {
        let times = self.of_topic(topic).map(|(_, past)| (past.at_end, past.now().max_event_time));
        let (mut newest, mut slowest) = (None, None);
        for (at_end, time) in times {
            newest = newest.max(time);
            if !at_end {
                let time = time.unwrap_or(EventTime::MIN);
                slowest = Some(slowest.map_or(time, |slowest: EventTime| slowest.min(time)));
            }
        }
        slowest.or(newest)
    }

    /// How far a model is joined in all partitions.
    pub(super) fn join_clock(&self, model: &str) -> Option<EventTime> {
        let clocks = (0..FACTS_PARTITIONS).map(|p| self.joins.get(&p)?.get(model).copied());
        clocks.min().flatten()
    }
}
