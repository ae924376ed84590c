//! Times as files write them.

use jiff::civil;
use jiff::tz::TimeZone;

/// Milliseconds of a text: epoch milliseconds, RFC 3339, or a date and time without zone (UTC).
pub(super) fn of_text(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(ms) = text.parse::<i64>() {
        return Some(ms);
    }
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        return Some(timestamp.as_millisecond());
    }
    let time = text.parse::<civil::DateTime>().ok()?;
    Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_the_usual_forms_are_read() {
        for (text, ms) in [
            ("1700000000000", Some(1_700_000_000_000)),
            ("2024-01-01T00:00:00Z", Some(1_704_067_200_000)),
            ("2024-01-01T01:00:00.500+01:00", Some(1_704_067_200_500)),
            ("2024-01-01 00:00:00", Some(1_704_067_200_000)),
            ("2024-01-01", Some(1_704_067_200_000)),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(of_text(text), ms, "{text}");
        }
    }
}
