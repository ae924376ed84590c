//! Records that observe could not take yet, each holding its partition until it can.
//!
//! At most one per partition: the partition is paused from then on.

use std::collections::BTreeMap;

use super::ffi::Fetched;
use super::group::Place;
use crate::event::route::Outbox;
use crate::observe::{Observe, SourceRecord, Taken};

/// Headers handed on; more are not looked at.
const HEADERS_MAX: usize = 16;

/// What a record waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    /// A schema of this id.
    Schema(u32),
    /// News of layouts.
    Layout,
}

/// The records that wait.
#[derive(Debug, Default)]
pub(super) struct SetAside {
    records: BTreeMap<Place, (Kept, WaitsFor)>,
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

    pub(super) fn insert(&mut self, record: Kept, waits_for: WaitsFor) {
        let place = (record.topic.clone(), record.partition);
        self.records.insert(place, (record, waits_for));
    }

    /// Partitions waiting for a schema, and for a layout.
    pub(super) fn counts(&self) -> (usize, usize) {
        let all = self.records.len();
        let layouts = self.records.values().filter(|(_, waits)| *waits == WaitsFor::Layout).count();
        (all - layouts, layouts)
    }

    /// Hands records that waited for this in again; returns the partitions that may go on, each
    /// with its next offset, and the schemas still asked for.
    pub(super) fn hand_in_again(
        &mut self,
        came: WaitsFor,
        observe: &mut Observe,
        out: &mut Outbox,
    ) -> (Vec<(Place, i64)>, Vec<u32>) {
        let (mut free, mut asked) = (Vec::new(), Vec::new());
        for (place, (record, waits_for)) in &mut self.records {
            if *waits_for != came {
                continue;
            }
            match record.hand_in(observe, out) {
                Taken::Done => free.push((place.clone(), record.offset + 1)),
                Taken::Ahead => *waits_for = WaitsFor::Layout,
                Taken::NeedSchema(id) => {
                    *waits_for = WaitsFor::Schema(id);
                    asked.push(id);
                }
            }
        }
        for (place, _) in &free {
            self.records.remove(place);
        }
        (free, asked)
    }
}

/// A record with bytes of its own.
#[derive(Debug)]
pub(super) struct Kept {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp_ms: i64,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

impl Kept {
    pub(super) fn new(record: &SourceRecord<'_>) -> Kept {
        let headers = record.headers.iter();
        Kept {
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.map(<[u8]>::to_vec),
            headers: headers.map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        }
    }

    pub(super) fn place(&self) -> (&str, i32) {
        (&self.topic, self.partition)
    }

    fn hand_in(&self, observe: &mut Observe, out: &mut Outbox) -> Taken {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        let record = SourceRecord {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            payload: self.payload.as_deref(),
            headers: &headers,
        };
        observe.record(&record, out)
    }
}

/// Hands what was fetched of a topic to observe, with at most [`HEADERS_MAX`] headers where it
/// looks at any; gives it back as it has to be kept when it has to wait.
pub(super) fn hand_in<'b>(
    observe: &mut Observe,
    fetched: &Fetched<'b>,
    seen: &mut Seen<'b>,
    out: &mut Outbox,
) -> Option<(Kept, WaitsFor)> {
    seen.look(fetched, observe);
    let Seen { topic, wants_headers, headers, .. } = seen;
    let count = if *wants_headers { fetched.headers(headers) } else { 0 };
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
        Taken::NeedSchema(id) => WaitsFor::Schema(id),
        Taken::Ahead => WaitsFor::Layout,
    };
    Some((Kept::new(&record), waits_for))
}

/// What is the same for all records of a topic, looked up once for those that lie side by side in
/// a batch, and room for headers.
#[derive(Debug, Default)]
pub(super) struct Seen<'b> {
    handle: usize,
    topic: &'b str,
    wants_headers: bool,
    headers: [(&'b str, &'b [u8]); HEADERS_MAX],
}

impl<'b> Seen<'b> {
    fn look(&mut self, fetched: &Fetched<'b>, observe: &Observe) {
        let handle = fetched.topic_handle();
        if handle != self.handle {
            self.handle = handle;
            self.topic = fetched.topic();
            self.wants_headers = observe.wants_headers(self.topic);
        }
    }
}
