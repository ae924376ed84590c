//! A source record as the runtime hands it over: borrowed, nothing copied; and one with bytes of
//! its own, for those that have to wait.

/// Headers of a record that are looked at and kept.
pub const SOURCE_HEADERS_MAX: usize = 16;

/// One record of a user's topic.
#[derive(Clone, Copy, Debug)]
pub struct SourceRecord<'a> {
    /// Topic.
    pub topic: &'a str,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Kafka timestamp of the record (create or append time), milliseconds; negative when it has
    /// none.
    pub timestamp_ms: i64,
    /// Key.
    pub key: Option<&'a [u8]>,
    /// Value; `None` is a tombstone.
    pub payload: Option<&'a [u8]>,
    /// Headers in order, at most the first [`SOURCE_HEADERS_MAX`].
    pub headers: &'a [(&'a str, &'a [u8])],
}

impl<'a> SourceRecord<'a> {
    /// The last header of that name, as Kafka's own rule has it.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers.iter().rev().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }
}

/// A source record with bytes of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptRecord {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// As [`SourceRecord::timestamp_ms`].
    pub timestamp_ms: i64,
    key: Option<Vec<u8>>,
    payload: Option<Vec<u8>>,
    headers: Vec<(String, Vec<u8>)>,
}

impl KeptRecord {
    /// A copy.
    #[must_use]
    pub fn new(record: &SourceRecord<'_>) -> KeptRecord {
        let headers = record.headers.iter();
        KeptRecord {
            topic: record.topic.to_owned(),
            partition: record.partition,
            offset: record.offset,
            timestamp_ms: record.timestamp_ms,
            key: record.key.map(<[u8]>::to_vec),
            payload: record.payload.map(<[u8]>::to_vec),
            headers: headers.map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        }
    }

    /// Hands it to `take` as observe wants it.
    pub fn lend<T>(&self, take: impl FnOnce(&SourceRecord<'_>) -> T) -> T {
        let headers: Vec<(&str, &[u8])> =
            self.headers.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
        take(&SourceRecord {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            payload: self.payload.as_deref(),
            headers: &headers,
        })
    }
}
