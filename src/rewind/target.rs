//! Where someone wants to go back to, as written on the command line.

use std::str::FromStr;

use thiserror::Error;

use super::history::Place;
use crate::event::time::EventTime;

/// Where to go back to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// As far as records and ledger are kept.
    Earliest,
    /// The windows that hold this event time.
    Time(EventTime),
    /// So far that these records are counted again.
    Offsets(Vec<(Place, i64)>),
}

/// Text that names no place in time.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{0}` is no place to go back to: write earliest, a time such as 2026-11-24T08:00:00Z (or \
     milliseconds since 1970), or TOPIC:PARTITION:OFFSET, several separated by commas"
)]
pub struct TargetError(String);

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        if text == "earliest" {
            return Ok(Target::Earliest);
        }
        if let Ok(ms) = text.parse() {
            return Ok(Target::Time(EventTime(ms)));
        }
        if let Ok(time) = text.parse::<jiff::Timestamp>() {
            return Ok(Target::Time(EventTime(time.as_millisecond())));
        }
        let offsets: Option<Vec<(Place, i64)>> = text.split(',').map(offset).collect();
        offsets.map(Target::Offsets).ok_or_else(|| TargetError(text.to_owned()))
    }
}

fn offset(text: &str) -> Option<(Place, i64)> {
    let (rest, offset) = text.trim().rsplit_once(':')?;
    let (topic, partition) = rest.rsplit_once(':')?;
    let (partition, offset): (i32, i64) = (partition.parse().ok()?, offset.parse().ok()?);
    let plausible = !topic.is_empty() && partition >= 0 && offset >= 0;
    plausible.then(|| ((topic.to_owned(), partition), offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_read_and_others_are_refused() {
        let at = |topic: &str, partition, offset| ((topic.to_owned(), partition), offset);

        assert_eq!("earliest".parse(), Ok(Target::Earliest));
        assert_eq!("1970-01-01T00:00:01Z".parse(), Ok(Target::Time(EventTime(1_000))));
        assert_eq!("86400000".parse(), Ok(Target::Time(EventTime(86_400_000))));
        assert_eq!(
            "orders:0:12, a.b:3:0".parse(),
            Ok(Target::Offsets(vec![at("orders", 0, 12), at("a.b", 3, 0)]))
        );
        for wrong in ["", "yesterday", "orders:1", "orders:-1:5", ":0:5", "orders:0:5,"] {
            assert_eq!(wrong.parse::<Target>(), Err(TargetError(wrong.to_owned())));
        }
    }
}
