//! A source record as the runtime hands it over: borrowed, nothing copied.

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
