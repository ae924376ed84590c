//! From where someone wants to go to the offsets and windows that makes.
//!
//! Pure. The rules are argued for in [`super`]; here is their arithmetic.

use std::collections::BTreeMap;
use std::fmt;

use thiserror::Error;

use super::history::{History, Place};
use super::target::Target;
use crate::config::plan::{ModelPlan, Plan, TimeBounds, TimeSource};
use crate::event::epoch::{Rewound, RewoundSource};
use crate::event::finding::Subject;
use crate::event::time::{EventTime, WindowSize};

/// Where to go back to, in full.
#[derive(Clone, Debug)]
pub struct Journey {
    /// As the ledger is told.
    pub rewound: Rewound,
    /// Offset each source partition stands at now, in the order of `rewound.sources`.
    pub from: Vec<i64>,
}

/// What it would take is not there any more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum TooFar {
    /// There is a later time that would do.
    #[error(
        "{subject} cannot be counted anew from {wanted}: {why}; the earliest possible is \
         `--to {earliest}`"
    )]
    Later {
        /// Subject.
        subject: Subject,
        /// Window asked for.
        wanted: Since,
        /// What is missing.
        why: String,
        /// Start of the earliest window.
        earliest: EventTime,
    },
    /// Nothing would do.
    #[error(
        "{subject} cannot be counted anew: {why}, and windows that are still open or wait for \
         outcomes began before; where reading cannot go on for it, `driftline rewind --accept-gap` \
         goes on without what is gone, and a new `app` prefix starts over"
    )]
    Never {
        /// Subject.
        subject: Subject,
        /// What is missing.
        why: String,
    },
    /// An offset that has never been read.
    #[error("{}/{} is not in the ledger: only what has been read can be read again", .0.0, .0.1)]
    Unread(Place),
}

/// A boundary for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since(pub EventTime);

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == EventTime::MIN { f.write_str("the beginning") } else { self.0.fmt(f) }
    }
}

/// A subject as far as going back is concerned.
struct Traveller<'a> {
    subject: Subject,
    topic: &'a str,
    window: WindowSize,
    lateness_ms: i64,
    /// Topic of outcomes and the horizon.
    outcomes: Option<(&'a str, i64)>,
}

/// The earliest bound a topic can go back to, and what stands in the way of an earlier one.
type Floor = (EventTime, String);

/// Plans the journey; `low` is the first offset that each source partition still has. Offsets of
/// `facts` are left to the caller.
///
/// # Errors
/// When what it would take is not there any more.
pub fn plan(
    history: &History,
    plan: &Plan,
    target: &Target,
    low: &BTreeMap<Place, i64>,
) -> Result<Journey, TooFar> {
    let travellers = travellers(plan);
    let wanted = match target {
        Target::Earliest => EventTime::MIN,
        Target::Time(time) => *time,
        Target::Offsets(offsets) => time_of(history, &travellers, offsets)?,
    };
    let mut subjects = Vec::new();
    let mut bounds: BTreeMap<&str, EventTime> = BTreeMap::new();
    for traveller in &travellers {
        let latest = latest(history, plan, traveller);
        let (floor, why) = floor(history, traveller, low);
        let subject = traveller.subject.clone();
        if floor > latest {
            return Err(TooFar::Never { subject, why });
        }
        let start = traveller.start_of(wanted).min(latest);
        let boundary = if *target == Target::Earliest { floor } else { start };
        if boundary < floor {
            let wanted = Since(boundary);
            return Err(TooFar::Later { subject, wanted, why, earliest: floor });
        }
        let mut bind = |topic, bound: EventTime| {
            let known = bounds.entry(topic).or_insert(bound);
            *known = bound.min(*known);
        };
        bind(traveller.topic, boundary);
        if let Some((topic, horizon_ms)) = traveller.outcomes {
            bind(topic, boundary.plus_ms(-horizon_ms));
        }
        subjects.push((subject, boundary));
    }
    let (mut sources, mut from) = (Vec::new(), Vec::new());
    for (topic, bound) in bounds {
        for ((topic, partition), past) in history.of_topic(topic) {
            let stop = past.before(bound);
            from.push(past.now().to);
            sources.push(RewoundSource {
                topic: topic.clone(),
                partition: *partition,
                partition_count: past.partition_count,
                from: stop.to,
                max_event_time: stop.max_event_time,
                newest_append_ms: stop.newest_append_ms,
            });
        }
    }
    let epoch = history.epoch + 1;
    Ok(Journey { rewound: Rewound { epoch, sources, facts: Vec::new(), subjects }, from })
}

/// Plans to go on where nothing can be counted anew: each source partition that no longer holds the
/// offset it stands at goes to the nearest one it has, and one whose ledger is broken goes on where
/// it stands. `range` is what each partition still has. `None` where all is well.
#[must_use]
pub fn over_gaps(history: &History, range: &BTreeMap<Place, (i64, i64)>) -> Option<Journey> {
    let (mut sources, mut from) = (Vec::new(), Vec::new());
    for place in history.places() {
        let (Some((low, high)), Some(past)) = (range.get(place), history.past(place)) else {
            continue;
        };
        let now = past.now();
        let nearest = now.to.clamp(*low, *high);
        if nearest == now.to && !past.is_broken {
            continue;
        }
        from.push(now.to);
        sources.push(RewoundSource {
            topic: place.0.clone(),
            partition: place.1,
            partition_count: past.partition_count,
            from: nearest,
            max_event_time: now.max_event_time,
            newest_append_ms: now.newest_append_ms,
        });
    }
    let epoch = history.epoch + 1;
    let rewound = Rewound { epoch, sources, facts: Vec::new(), subjects: Vec::new() };
    (!from.is_empty()).then_some(Journey { rewound, from })
}

impl Traveller<'_> {
    fn start_of(&self, time: EventTime) -> EventTime {
        if time == EventTime::MIN { time } else { self.window.start_of(time) }
    }

    /// The first window start at or after a time.
    fn first_from(&self, time: EventTime) -> EventTime {
        let start = self.start_of(time);
        if start < time { self.window.end_of(start) } else { start }
    }
}

fn travellers(plan: &Plan) -> Vec<Traveller<'_>> {
    let datasets = plan.datasets.values().map(|dataset| Traveller {
        subject: Subject::Dataset(dataset.name.clone()),
        topic: &dataset.topic,
        window: dataset.window,
        lateness_ms: dataset.lateness_ms,
        outcomes: None,
    });
    let models = plan.models.values().map(|model| Traveller {
        subject: Subject::Model(model.name.clone()),
        topic: &model.predictions.topic,
        window: model.window,
        lateness_ms: model.lateness_ms,
        outcomes: model.outcomes.as_ref().map(|o| (o.topic.as_str(), o.horizon_ms)),
    });
    datasets.chain(models).collect()
}

/// The latest boundary that leaves no window before it that may still change.
fn latest(history: &History, plan: &Plan, traveller: &Traveller<'_>) -> EventTime {
    let Some(watermark) = history.watermark(traveller.topic) else { return EventTime::MIN };
    if !has_one_clock(plan, traveller.topic) {
        return EventTime::MIN;
    }
    let size_ms = traveller.window.ms();
    let open = traveller.start_of(watermark.plus_ms(-traveller.lateness_ms - size_ms));
    let Some((topic, horizon_ms)) = traveller.outcomes else { return open };
    if !has_one_clock(plan, topic) {
        return EventTime::MIN;
    }
    let clock = history.join_clock(traveller.subject.name());
    let waiting = clock.map(|clock| traveller.start_of(clock.plus_ms(-horizon_ms - size_ms)));
    waiting.map_or(EventTime::MIN, |waiting| waiting.min(open))
}

/// Whether all that a topic is read for takes its time from the same place: only then does the
/// highest event time of a partition bound them all.
fn has_one_clock(plan: &Plan, topic: &str) -> bool {
    let datasets = plan.datasets.values().filter(|dataset| dataset.topic == topic);
    let clock = |model: &ModelPlan, time: &TimeSource| (time.clone(), model.bounds);
    let mut clocks: Vec<(TimeSource, TimeBounds)> =
        datasets.map(|dataset| (dataset.event_time.clone(), dataset.bounds)).collect();
    for model in plan.models.values() {
        if model.predictions.topic == topic {
            clocks.push(clock(model, &model.predictions.time));
        }
        if let Some(outcomes) = model.outcomes.as_ref().filter(|o| o.topic == topic) {
            clocks.push(clock(model, &outcomes.time));
        }
    }
    clocks.windows(2).all(|pair| pair[0] == pair[1])
}

/// The earliest boundary of a subject for which all records are there.
fn floor(history: &History, traveller: &Traveller<'_>, low: &BTreeMap<Place, i64>) -> Floor {
    let (bound, mut why) = floor_of_topic(history, traveller.topic, low);
    let mut floor = traveller.first_from(bound);
    if let Some((topic, horizon_ms)) = traveller.outcomes {
        let (bound, other) = floor_of_topic(history, topic, low);
        let of_outcomes = if bound == EventTime::MIN { bound } else { bound.plus_ms(horizon_ms) };
        let of_outcomes = traveller.first_from(of_outcomes);
        if of_outcomes > floor {
            (floor, why) = (of_outcomes, other);
        }
    }
    (floor, why)
}

fn floor_of_topic(history: &History, topic: &str, low: &BTreeMap<Place, i64>) -> Floor {
    let mut floor = (EventTime::MIN, String::new());
    for (place, past) in history.of_topic(topic) {
        let low = low.get(place).copied().unwrap_or(0);
        if history.is_whole && past.start >= low {
            continue;
        }
        let (topic, partition) = place;
        let why = if past.start < low {
            format!("records of {topic}/{partition} before offset {low} have been deleted")
        } else {
            format!("the ledger of {topic}/{partition} before offset {} has", past.start)
                + " been deleted (retention of summaries)"
        };
        let first = past.stops.iter().find(|stop| stop.to >= low);
        let bound = match first.map(|stop| stop.max_event_time) {
            Some(None) => continue,
            Some(Some(time)) => time.plus_ms(1),
            None => EventTime(i64::MAX),
        };
        if bound > floor.0 {
            floor = (bound, why);
        }
    }
    floor
}

/// The event time below which no record from these offsets on can have been taken.
fn time_of(
    history: &History,
    travellers: &[Traveller<'_>],
    offsets: &[(Place, i64)],
) -> Result<EventTime, TooFar> {
    let mut earliest = EventTime(i64::MAX);
    for (place, offset) in offsets {
        let found = history.of_topic(&place.0).find(|(known, _)| *known == place);
        let Some((_, past)) = found else { return Err(TooFar::Unread(place.clone())) };
        let before = past.stops.iter().take_while(|stop| stop.to <= *offset).last();
        let Some(time) = before.and_then(|stop| stop.max_event_time) else {
            return Ok(EventTime::MIN);
        };
        let back = travellers.iter().filter_map(|traveller| match traveller.outcomes {
            _ if traveller.topic == place.0 => Some(traveller.lateness_ms + traveller.window.ms()),
            // An outcome is never late; it belongs to a prediction within the horizon.
            Some((topic, horizon_ms)) if topic == place.0 => Some(horizon_ms),
            _ => None,
        });
        earliest = earliest.min(time.plus_ms(-back.max().unwrap_or(0)));
    }
    Ok(earliest)
}
