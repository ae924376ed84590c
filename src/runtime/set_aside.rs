//! Records that observe could not take yet, each holding its partition until it can.
//!
//! At most one per partition: the partition is paused from then on.

use std::collections::BTreeMap;

use super::ffi::Fetched;
use super::group::Place;
use crate::event::route::Outbox;
use crate::observe::{KeptRecord, Observe, SOURCE_HEADERS_MAX, SchemaKey, SourceRecord, Taken};

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
    records: BTreeMap<Place, (KeptRecord, WaitsFor)>,
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

    pub(super) fn insert(&mut self, record: KeptRecord, waits_for: WaitsFor) {
        let place = (record.topic.clone(), record.partition);
        self.records.insert(place, (record, waits_for));
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

    /// Hands records that waited for this in again.
    pub(super) fn hand_in_again(
        &mut self,
        came: WaitsFor,
        observe: &mut Observe,
        out: &mut Outbox,
    ) -> HandedIn {
        let HandedIn { mut free, mut asked } = HandedIn::default();
        for (place, (record, waits_for)) in &mut self.records {
            if *waits_for != came {
                continue;
            }
            match record.lend(|record| observe.record(record, out)) {
                Taken::Done => free.push((place.clone(), record.offset + 1)),
                Taken::Ahead => *waits_for = WaitsFor::Layout,
                Taken::NeedSchema(key) => {
                    *waits_for = WaitsFor::Schema(key);
                    asked.push((place.clone(), key));
                }
            }
        }
        for (place, _) in &free {
            self.records.remove(place);
        }
        HandedIn { free, asked }
    }
}

/// What came of records that were handed in again.
#[derive(Debug, Default)]
pub(super) struct HandedIn {
    /// Partitions that may go on, each with its next offset.
    pub(super) free: Vec<(Place, i64)>,
    /// Partitions that need another schema.
    pub(super) asked: Vec<(Place, SchemaKey)>,
}

/// Hands what was fetched of a topic to observe, with at most [`SOURCE_HEADERS_MAX`] headers: one
/// of them may name the schema. Gives it back as it has to be kept when it has to wait.
pub(super) fn hand_in<'b>(
    observe: &mut Observe,
    fetched: &Fetched<'b>,
    seen: &mut Seen<'b>,
    out: &mut Outbox,
) -> Option<(KeptRecord, WaitsFor)> {
    seen.look(fetched);
    let Seen { topic, headers, .. } = seen;
    let count = fetched.headers(headers);
    let record = SourceRecord {
        topic,
        partition: fetched.partition(),
        offset: fetched.offset(),
        timestamp_ms: fetched.timestamp_ms(),
        key: fetched.key(),
        payload: fetched.payload(),
        headers: &headers[..count],
    };
    let waits_for = match observe.record(&record, out) {
        Taken::Done => return None,
        Taken::NeedSchema(key) => WaitsFor::Schema(key),
        Taken::Ahead => WaitsFor::Layout,
    };
    Some((KeptRecord::new(&record), waits_for))
}

/// What is the same for all records of a topic, looked up once for those that lie side by side in
/// a batch, and room for headers.
#[derive(Debug, Default)]
pub(super) struct Seen<'b> {
    handle: usize,
    topic: &'b str,
    headers: [(&'b str, &'b [u8]); SOURCE_HEADERS_MAX],
}

impl<'b> Seen<'b> {
    fn look(&mut self, fetched: &Fetched<'b>) {
        let handle = fetched.topic_handle();
        if handle != self.handle {
            self.handle = handle;
            self.topic = fetched.topic();
        }
    }
}
