//! Records from files, as if they came from topics: Avro containers, JSON lines, CSV.
//!
//! An impure room: it reads files and standard input. It judges nothing: what a record is worth
//! is observe's business, so a broken JSON line is handed on as it is, while a file that cannot
//! be cut into records is an error that names the place. Memory is one record a file, or one
//! block of an Avro container.

mod avro;
mod codec;
mod csv;
mod input;
mod json;
mod merge;
mod run;
mod sample;
mod shape;
mod spec;
mod time;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use thiserror::Error;

pub use input::Progress;
pub use merge::{FileSource, Replay};
pub use run::{ReplayRun, Stuck};
pub use sample::{TimeError, sample, set_times};
pub use spec::{FileSpec, Format};

use crate::observe::SourceRecord;

/// Timestamp of a record that has none, as in Kafka.
pub const NO_TIMESTAMP: i64 = -1;

/// A record read from a file.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnedRecord {
    /// Topic it stands for.
    pub topic: Arc<str>,
    /// Which of the topic's files, from 0.
    pub partition: i32,
    /// Which record of the file, from 0.
    pub offset: i64,
    /// Its time where a time field is named and found, else [`NO_TIMESTAMP`]. *Units*:
    /// milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Key; files have none.
    pub key: Option<Vec<u8>>,
    /// Value. Of an Avro container: a zero byte, the local schema id (big-endian), the datum.
    pub payload: Vec<u8>,
    /// Headers; files have none.
    pub headers: Vec<(String, Vec<u8>)>,
    /// Of an Avro container: the local id (from 1, the same for the same text) and the schema.
    pub schema: Option<(u32, Arc<str>)>,
}

impl OwnedRecord {
    /// As observe takes it; files have no headers.
    #[must_use]
    pub fn as_source(&self) -> SourceRecord<'_> {
        SourceRecord {
            topic: &self.topic,
            partition: self.partition,
            offset: self.offset,
            timestamp_ms: self.timestamp_ms,
            key: self.key.as_deref(),
            payload: Some(&self.payload),
            headers: &[],
        }
    }
}

/// Why a file cannot be read on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReplayError {
    /// What names a file is not usable.
    #[error("`{spec}`: {reason}")]
    Spec {
        /// As written.
        spec: String,
        /// What is wrong, and what to write.
        reason: &'static str,
    },
    /// It cannot be opened.
    #[error("cannot open {name}: {reason}")]
    Open {
        /// File.
        name: String,
        /// What the system said.
        reason: String,
    },
    /// What is in it cannot be cut into records.
    #[error("{name}, {place}: {reason}")]
    Content {
        /// File.
        name: String,
        /// `line 7`, `block 3`.
        place: String,
        /// What is wrong there.
        reason: String,
    },
}

/// What a reader of one format yields; the rest of a record is the same for all formats.
struct Row {
    payload: Vec<u8>,
    time_ms: Option<i64>,
}

/// A reader of one format.
enum Rows {
    Avro(avro::AvroRows),
    Json(json::JsonRows),
    Csv(csv::CsvRows),
}

impl Rows {
    /// The next row; `Err` has the place and the reason.
    fn next(&mut self) -> Option<Result<Row, (String, String)>> {
        match self {
            Rows::Avro(rows) => rows.next(),
            Rows::Json(rows) => rows.next(),
            Rows::Csv(rows) => rows.next(),
        }
    }
}
