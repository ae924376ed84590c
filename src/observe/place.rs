//! Where a role finds a value: a header or a slot, and what it reads there.
//!
//! Configuration names places by [`Locator`]; here they are resolved to slot indexes, so that the
//! record path compares no paths. Says nothing of what a value means to a contract.

use super::items::Items;
use super::record::SourceRecord;
use super::slot::Slot;
use super::text::TextBuffer;
use crate::config::plan::{Locator, TimeSource};
use crate::event::time::EventTime;

/// Longest producer, version or decision text taken, in bytes.
const NAME_BYTES: usize = 256;

/// A resolved [`Locator`].
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A header by name.
    Header(String),
    /// A slot by index.
    Slot(usize),
}

impl Place {
    /// Resolves a locator; `slot_of` gives the slot of a path.
    pub(super) fn new(locator: &Locator, slot_of: &mut impl FnMut(&str) -> usize) -> Place {
        match locator {
            Locator::Header(name) => Place::Header(name.clone()),
            Locator::Field(path) => Place::Slot(slot_of(path)),
        }
    }
}

/// A resolved [`TimeSource`].
#[derive(Clone, Debug)]
pub(super) enum TimePlace {
    /// The record's Kafka timestamp.
    Record,
    /// A place.
    At(Place),
}

impl TimePlace {
    /// Resolves a time source; `slot_of` gives the slot of a path.
    pub(super) fn new(source: &TimeSource, slot_of: &mut impl FnMut(&str) -> usize) -> TimePlace {
        match source {
            TimeSource::Record => TimePlace::Record,
            TimeSource::At(locator) => TimePlace::At(Place::new(locator, slot_of)),
        }
    }
}

/// A decoded record: its envelope, its slots and its items.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'v> {
    /// The envelope.
    pub(super) record: &'v SourceRecord<'v>,
    /// The slots, by index; a missing one is absent.
    pub(super) slots: &'v [Slot<'v>],
    /// Values of its items.
    pub(super) items: &'v Items<'v>,
}

impl<'v> View<'v> {
    /// The slot at an index. A reference: copying slots of every field of every record stalled
    /// the record path for a twentieth of its time.
    pub(super) fn slot(&self, index: usize) -> &'v Slot<'v> {
        self.slots.get(index).unwrap_or(&Slot::Absent)
    }

    /// What is at a place; a header is text, or bytes where it is not UTF-8.
    pub(super) fn at(&self, place: &Place) -> Slot<'v> {
        match place {
            Place::Slot(index) => *self.slot(*index),
            Place::Header(name) => match self.record.header(name) {
                None => Slot::Absent,
                Some(bytes) => std::str::from_utf8(bytes).map_or(Slot::Bytes(bytes), Slot::Text),
            },
        }
    }

    /// The time at a place, if there is one.
    pub(super) fn time(&self, place: &TimePlace) -> Option<EventTime> {
        match place {
            TimePlace::Record => {
                let ms = self.record.timestamp_ms;
                (ms >= 0).then_some(EventTime(ms))
            }
            TimePlace::At(place) => time_of(self.at(place)),
        }
    }

    /// A short name at a place: text that is not empty and at most 256 bytes, or a number's or
    /// boolean's text.
    pub(super) fn name<'t>(&self, place: &Place, buffer: &'t mut TextBuffer) -> Option<&'t str>
    where
        'v: 't,
    {
        let text = buffer.text_of(self.at(place))?;
        (!text.is_empty() && text.len() <= NAME_BYTES).then_some(text)
    }

    /// The first short name found at any of some places.
    pub(super) fn first_name<'t>(
        &self,
        places: &[Place],
        buffer: &'t mut TextBuffer,
    ) -> Option<&'t str>
    where
        'v: 't,
    {
        let found =
            places.iter().find(|place| !matches!(self.at(place), Slot::Absent | Slot::Null))?;
        self.name(found, buffer)
    }

    /// A canonical id: text as it stands, integers in decimal; anything else is none.
    pub(super) fn id<'t>(&self, place: &Place, buffer: &'t mut TextBuffer) -> Option<&'t str>
    where
        'v: 't,
    {
        match self.at(place) {
            slot @ (Slot::Text(_) | Slot::Integer(_)) => {
                buffer.text_of(slot).filter(|text| !text.is_empty())
            }
            _ => None,
        }
    }

    /// A number at a place; text (a header) is parsed.
    pub(super) fn number(&self, place: &Place) -> Option<f64> {
        match self.at(place) {
            Slot::Integer(number) => Some(number as f64),
            Slot::Float(number) => Some(number),
            Slot::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }
}

/// Epoch milliseconds, a timestamp by its logical type, or RFC 3339 text.
fn time_of(slot: Slot<'_>) -> Option<EventTime> {
    match slot {
        Slot::TimeMs(ms) | Slot::Integer(ms) => Some(EventTime(ms)),
        Slot::Text(text) => match text.parse::<i64>() {
            Ok(ms) => Some(EventTime(ms)),
            Err(_) => {
                let timestamp: jiff::Timestamp = text.parse().ok()?;
                Some(EventTime(timestamp.as_millisecond()))
            }
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_epoch_ms_or_rfc_3339() {
        let check = |slot, expected: Option<i64>| {
            assert_eq!(time_of(slot), expected.map(EventTime), "{slot:?}");
        };
        check(Slot::Integer(5), Some(5));
        check(Slot::TimeMs(-5), Some(-5));
        check(Slot::Text("1700000000000"), Some(1_700_000_000_000));
        check(Slot::Text("1970-01-01T00:00:01.5Z"), Some(1_500));
        check(Slot::Text("1970-01-01T02:00:00+02:00"), Some(0));
        check(Slot::Text("yesterday"), None);
        check(Slot::Float(5.0), None);
        check(Slot::Null, None);
    }
}
