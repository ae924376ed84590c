//! Event time and windows: integers, never a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A point in event time. *Units*: milliseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct EventTime(pub i64);

impl EventTime {
    /// The earliest time that can be told; stands for "nothing seen yet" in maxima.
    pub const MIN: EventTime = EventTime(i64::MIN);

    /// Adds milliseconds, saturating.
    #[must_use]
    pub fn plus_ms(self, ms: i64) -> EventTime {
        EventTime(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` to `self`, saturating; negative when `self` is the earlier.
    #[must_use]
    pub fn since_ms(self, earlier: EventTime) -> i64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl fmt::Display for EventTime {
    /// RFC 3339 with milliseconds where the time can be told so, else the bare integer.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_millisecond(self.0) {
            Ok(timestamp) => write!(f, "{timestamp}"),
            Err(_) => write!(f, "{}ms", self.0),
        }
    }
}

/// The length of a tumbling window aligned to the epoch. *Units*: milliseconds, > 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize(i64);

impl WindowSize {
    /// A window of `ms` milliseconds; `None` unless positive.
    #[must_use]
    pub fn from_ms(ms: i64) -> Option<WindowSize> {
        (ms > 0).then_some(WindowSize(ms))
    }

    /// The length in milliseconds.
    #[must_use]
    pub fn ms(self) -> i64 {
        self.0
    }

    /// The start of the window that holds `time`.
    #[must_use]
    pub fn start_of(self, time: EventTime) -> EventTime {
        EventTime(time.0.saturating_sub(time.0.rem_euclid(self.0)))
    }

    /// The first instant after the window that starts at `start`.
    #[must_use]
    pub fn end_of(self, start: EventTime) -> EventTime {
        start.plus_ms(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_before_the_epoch_starts_at_its_floor() {
        let hour = WindowSize::from_ms(3_600_000).expect("positive");

        assert_eq!(hour.start_of(EventTime(-1)), EventTime(-3_600_000));
        assert_eq!(hour.start_of(EventTime(0)), EventTime(0));
        assert_eq!(hour.start_of(EventTime(3_599_999)), EventTime(0));
    }

    #[test]
    fn window_of_no_length_cannot_be_made() {
        assert!(WindowSize::from_ms(0).is_none());
        assert!(WindowSize::from_ms(-5).is_none());
    }
}
