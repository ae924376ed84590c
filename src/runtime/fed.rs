//! The watchdog of a consumer: connected, with something to read, and not fed.
//!
//! Client libraries have lost wake-ups before: a partition then stays where it is, without an
//! error, while its topic grows. Here that is noticed; what follows is the loop's business.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use rdkafka::consumer::{BaseConsumer, Consumer};

use super::group::{Group, Place};
use super::reader::Reader;

/// Looks per patience.
const LOOKS: u32 = 4;

/// A partition that is not read on although there is more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unfed {
    pub place: Place,
    /// How far it has been read.
    pub reached: i64,
    /// How far it could be.
    pub end: i64,
}

/// Where one partition stands.
#[derive(Debug)]
struct Mark {
    /// Position, or the end the consumer has told, whichever is further.
    reached: i64,
    /// When its end was last asked for, or it moved.
    looked: Instant,
    /// Since when it is known to be behind without having moved.
    behind: Option<Instant>,
}

/// Watches the partitions of one consumer.
#[derive(Debug)]
pub(super) struct Fed {
    patience: Duration,
    looked: Instant,
    marks: BTreeMap<Place, Mark>,
}

impl Fed {
    /// Nothing to watch yet.
    pub(super) fn new(patience: Duration) -> Fed {
        Fed { patience, looked: Instant::now(), marks: BTreeMap::new() }
    }

    /// Reading goes on here, and nowhere else.
    pub(super) fn start(&mut self, starts: &[(Place, i64)]) {
        let mark = |at: i64| Mark { reached: at, looked: Instant::now(), behind: None };
        self.marks = starts.iter().map(|(place, at)| (place.clone(), mark(*at))).collect();
    }

    /// A partition has been read to its end. That counts beside its position: behind the last
    /// record of a compacted topic there may be offsets that are never handed out.
    pub(super) fn at_end(&mut self, topic: &str, partition: i32, end: i64) {
        if let Some(mark) = self.marks.get_mut(&(topic.to_owned(), partition)) {
            mark.reached = mark.reached.max(end);
        }
    }

    /// A partition that has been behind for the whole patience and has not moved. `waits` tells
    /// those that are paused on purpose. Asks the broker only about what stands still, and
    /// nothing most of the time.
    pub(super) fn unfed(
        &mut self,
        consumer: &BaseConsumer<Group>,
        reader: &Reader,
        waits: impl Fn(&Place) -> bool,
    ) -> Option<Unfed> {
        if self.looked.elapsed() < self.patience / LOOKS {
            return None;
        }
        self.looked = Instant::now();
        let positions = consumer.position().ok()?;
        for (place, mark) in &mut self.marks {
            let position = positions.find_partition(&place.0, place.1);
            let position = match position.map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => offset,
                _ => mark.reached,
            };
            if position > mark.reached || waits(place) {
                *mark = Mark { reached: mark.reached.max(position), ..Mark::moved() };
            } else if mark.behind.is_some() || mark.looked.elapsed() >= self.patience {
                mark.looked = Instant::now();
                // A broker that does not answer is another matter, and mends itself.
                let Ok(end) = reader.stable_end(&place.0, place.1) else {
                    mark.behind = None;
                    return None;
                };
                if end <= mark.reached {
                    mark.behind = None;
                } else if mark.behind.get_or_insert_with(Instant::now).elapsed() >= self.patience {
                    let (place, reached) = (place.clone(), mark.reached);
                    return Some(Unfed { place, reached, end });
                }
            }
        }
        None
    }
}

impl Mark {
    fn moved() -> Mark {
        Mark { reached: 0, looked: Instant::now(), behind: None }
    }
}
