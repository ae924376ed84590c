//! Records that observe could not take yet, each holding its partition until it can.
//!
//! At most one per partition: the partition is paused from then on.

use std::collections::BTreeMap;

use rdkafka::Message;
use rdkafka::message::{Headers, OwnedMessage};

use crate::observe::{Observe, SOURCE_HEADERS_MAX, SchemaKey, SourceRecord, Taken};

use super::group::Place;
use crate::event::route::Outbox;

/// What a record waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// This schema.
    Schema(SchemaKey),
    /// News of layouts.
    Layout,
}

/// The records that wait.
#[derive(Debug, Default)]
pub(super) struct SetAside {
    records: BTreeMap<Place, (OwnedMessage, WaitsFor)>,
}

impl SetAside {
    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.records.clear();
    }

    pub(super) fn holds(&self, topic: &str, partition: i32) -> bool {
        self.records.keys().any(|(held, number)| held == topic && *number == partition)
    }

    pub(super) fn insert(&mut self, message: OwnedMessage, waits_for: WaitsFor) {
        let place = (message.topic().to_owned(), message.partition());
        self.records.insert(place, (message, waits_for));
    }

    /// Partitions that wait for a schema.
    pub(super) fn waiting_for(&self, key: SchemaKey) -> impl Iterator<Item = &Place> {
        let all = self.records.iter();
        all.filter(move |(_, (_, waits))| *waits == WaitsFor::Schema(key)).map(|(place, _)| place)
    }

    /// Partitions waiting for a schema, and for a layout.
    pub(super) fn counts(&self) -> (usize, usize) {
        let all = self.records.len();
        let layouts = self.records.values().filter(|(_, waits)| *waits == WaitsFor::Layout).count();
        (all - layouts, layouts)
    }

    /// Hands records that waited for this in again; returns the partitions that may go on, and
    /// those that need another schema.
    pub(super) fn hand_in_again(
        &mut self,
        came: WaitsFor,
        observe: &mut Observe,
        out: &mut Outbox,
    ) -> (Vec<Place>, Vec<(Place, SchemaKey)>) {
        let (mut free, mut asked) = (Vec::new(), Vec::new());
        for (place, (message, waits_for)) in &mut self.records {
            if *waits_for != came {
                continue;
            }
            match hand_in(observe, message, out) {
                Taken::Done => free.push(place.clone()),
                Taken::Ahead => *waits_for = WaitsFor::Layout,
                Taken::NeedSchema(key) => {
                    *waits_for = WaitsFor::Schema(key);
                    asked.push((place.clone(), key));
                }
            }
        }
        for place in &free {
            self.records.remove(place);
        }
        (free, asked)
    }
}

/// Hands a message to observe, with at most [`SOURCE_HEADERS_MAX`] headers.
pub(super) fn hand_in<M: Message>(observe: &mut Observe, message: &M, out: &mut Outbox) -> Taken {
    let mut headers: [(&str, &[u8]); SOURCE_HEADERS_MAX] = [("", &[]); SOURCE_HEADERS_MAX];
    let mut count = 0;
    if let Some(given) = message.headers() {
        for (slot, header) in headers.iter_mut().zip(given.iter()) {
            *slot = (header.key, header.value.unwrap_or_default());
            count += 1;
        }
    }
    let record = SourceRecord {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key(),
        payload: message.payload(),
        headers: &headers[..count],
    };
    observe.record(&record, out)
}
