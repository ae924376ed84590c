//! Judges a record's time: in time, late, past or future.
//!
//! Late is held against what the record's own partition has shown before it; past and future are
//! held against the record's own Kafka timestamp, and not judged where it has none.

use crate::config::plan::TimeBounds;
use crate::event::time::{EventTime, WindowSize};

/// How a role judges time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeliness {
    /// Window; outcomes have none and are never late.
    pub(super) window: Option<WindowSize>,
    /// Lateness allowed. *Units*: milliseconds.
    pub(super) lateness_ms: i64,
    /// Plausible times.
    pub(super) bounds: TimeBounds,
}

/// The verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// To be counted.
    InTime,
    /// Its window ended too long ago.
    Late,
    /// Implausibly old.
    Past,
    /// Implausibly new.
    Future,
}

impl Timeliness {
    /// Whether a time that is past or future would be plausible in seconds, microseconds or
    /// nanoseconds: then it is most likely given in them.
    pub(super) fn has_another_unit(&self, time: EventTime, append_ms: i64) -> bool {
        let is_plausible = |ms: i64| {
            let standing = self.judge(EventTime(ms), append_ms, None);
            standing == Standing::InTime
        };
        let seconds = time.0.checked_mul(1_000).is_some_and(is_plausible);
        seconds || is_plausible(time.0 / 1_000) || is_plausible(time.0 / 1_000_000)
    }

    /// Judges `time` of a record with the Kafka timestamp `append_ms`, in a partition whose
    /// highest event time before it is `highest`.
    pub(super) fn judge(
        &self,
        time: EventTime,
        append_ms: i64,
        highest: Option<EventTime>,
    ) -> Standing {
        if append_ms >= 0 {
            let append = EventTime(append_ms);
            if append.since_ms(time) > self.bounds.past_ms {
                return Standing::Past;
            }
            if time.since_ms(append) > self.bounds.future_ms {
                return Standing::Future;
            }
        }
        let (Some(window), Some(highest)) = (self.window, highest) else {
            return Standing::InTime;
        };
        let last_call = window.end_of(window.start_of(time)).plus_ms(self.lateness_ms);
        if last_call < highest { Standing::Late } else { Standing::InTime }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_is_inclusive() {
        let timeliness = Timeliness {
            window: WindowSize::from_ms(100),
            lateness_ms: 10,
            bounds: TimeBounds { past_ms: 1_000, future_ms: 500 },
        };
        let check = |time, append_ms, highest: Option<i64>, expected| {
            let standing = timeliness.judge(EventTime(time), append_ms, highest.map(EventTime));
            assert_eq!(standing, expected, "{time} {append_ms} {highest:?}");
        };

        check(50, 50, None, Standing::InTime);
        check(50, 50, Some(110), Standing::InTime);
        check(50, 50, Some(111), Standing::Late);
        check(0, 1_000, None, Standing::InTime);
        check(0, 1_001, None, Standing::Past);
        check(500, 0, None, Standing::InTime);
        check(501, 0, None, Standing::Future);
        check(501, -1, None, Standing::InTime);
    }

    #[test]
    fn times_in_other_units_are_told_from_times_that_are_merely_wrong() {
        let day = 86_400_000;
        let timeliness = Timeliness {
            window: None,
            lateness_ms: 0,
            bounds: TimeBounds { past_ms: 30 * day, future_ms: day },
        };
        let now_ms = 1_700_000_000_000;
        for (time, expected) in [
            (now_ms / 1_000, true),
            (now_ms * 1_000, true),
            (now_ms * 1_000_000, true),
            (0, false),
            (-1, false),
            (now_ms - 40 * day, false),
            (4_080_000_000_000, false),
            (i64::MAX, false),
            (i64::MIN, false),
        ] {
            assert_eq!(timeliness.has_another_unit(EventTime(time), now_ms), expected, "{time}");
        }
    }
}
