//! One file as a source of records, and several merged by time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::avro::AvroRows;
use super::csv::CsvRows;
use super::json::JsonRows;
use super::{FileSpec, Format, NO_TIMESTAMP, OwnedRecord, Progress, ReplayError, Row, Rows, input};

/// The records of one file, in its order.
pub struct FileSource {
    name: String,
    topic: Arc<str>,
    partition: i32,
    offset: i64,
    rows: Rows,
    schema: Option<(u32, Arc<str>)>,
    read: Arc<AtomicU64>,
    total: Option<u64>,
}

impl fmt::Debug for FileSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileSource({} as {}-{})", self.name, self.topic, self.partition)
    }
}

impl FileSource {
    /// Opens a file that stands for partition 0 of its topic; its schema, if it has one, is 1.
    ///
    /// # Errors
    /// When it cannot be opened or its head is not of its format.
    pub fn open(spec: &FileSpec) -> Result<FileSource, ReplayError> {
        let opened = input::open(spec)?;
        let name = spec.path.display().to_string();
        let time = spec.time.as_deref();
        let rows = match opened.format {
            Format::Avro => AvroRows::new(opened.input, time).map(Rows::Avro),
            Format::Json => Ok(Rows::Json(JsonRows::new(opened.input, spec.time.clone()))),
            Format::Csv => CsvRows::new(opened.input, time).map(Rows::Csv),
        };
        let rows = rows.map_err(|reason| ReplayError::Content {
            name: name.clone(),
            place: if opened.format == Format::Csv { "line 1" } else { "header" }.into(),
            reason,
        })?;
        let mut source = FileSource {
            name,
            topic: spec.topic.as_str().into(),
            partition: 0,
            offset: 0,
            rows,
            schema: None,
            read: opened.read,
            total: opened.total,
        };
        source.set_schema_id(1);
        Ok(source)
    }

    /// The container's schema with its local id.
    #[must_use]
    pub fn schema(&self) -> Option<&(u32, Arc<str>)> {
        self.schema.as_ref()
    }

    /// How much of the file has been read.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress { read: self.read.load(Ordering::Relaxed), total: self.total }
    }

    fn set_schema_id(&mut self, id: u32) {
        if let Rows::Avro(rows) = &mut self.rows {
            rows.set_id(id);
            self.schema = Some((id, Arc::clone(rows.schema())));
        }
    }

    fn record(&mut self, row: Row) -> OwnedRecord {
        let offset = self.offset;
        self.offset += 1;
        OwnedRecord {
            topic: Arc::clone(&self.topic),
            partition: self.partition,
            offset,
            timestamp_ms: row.time_ms.unwrap_or(NO_TIMESTAMP),
            key: None,
            payload: row.payload,
            headers: Vec::new(),
            schema: self.schema.clone(),
        }
    }
}

impl Iterator for FileSource {
    type Item = Result<OwnedRecord, ReplayError>;

    /// After an error the next call goes on where that is possible (a row of CSV), else ends.
    fn next(&mut self) -> Option<Self::Item> {
        Some(match self.rows.next()? {
            Ok(row) => Ok(self.record(row)),
            Err((place, reason)) => {
                Err(ReplayError::Content { name: self.name.clone(), place, reason })
            }
        })
    }
}

/// Several files, merged by the time of their records; of equal times, the file named first.
///
/// Each file keeps its own order: a record earlier than the one before it is merged with that
/// one's time. A file without times comes before all that have them.
/// *Bound*: one record a file is held.
#[derive(Debug)]
pub struct Replay {
    sources: Vec<FileSource>,
    /// Time, file and record, smallest first.
    heads: BinaryHeap<Reverse<(i64, usize)>>,
    records: Vec<Option<OwnedRecord>>,
    /// Per file: the time of its newest head.
    reached: Vec<i64>,
    /// Errors met while reading heads; told before anything else.
    failed: Vec<ReplayError>,
}

impl Replay {
    /// Opens all files. Files of one topic are its partitions, in the order named; the same
    /// schema text has the same local id everywhere.
    ///
    /// # Errors
    /// When one cannot be opened or its head is not of its format.
    pub fn open(specs: &[FileSpec]) -> Result<Replay, ReplayError> {
        let mut partitions: BTreeMap<&str, i32> = BTreeMap::new();
        let mut ids: BTreeMap<Arc<str>, u32> = BTreeMap::new();
        let mut sources = Vec::new();
        for spec in specs {
            let mut source = FileSource::open(spec)?;
            let partition = partitions.entry(&spec.topic).or_default();
            source.partition = *partition;
            *partition += 1;
            if let Some((_, text)) = source.schema.clone() {
                let next = ids.len() as u32 + 1;
                let id = *ids.entry(text).or_insert(next);
                source.set_schema_id(id);
            }
            sources.push(source);
        }
        let mut replay = Replay {
            heads: BinaryHeap::with_capacity(sources.len()),
            records: sources.iter().map(|_| None).collect(),
            reached: vec![i64::MIN; sources.len()],
            failed: Vec::new(),
            sources,
        };
        (0..replay.sources.len()).for_each(|file| replay.refill(file));
        Ok(replay)
    }

    /// Every topic and how many files (partitions) it has, in order of name.
    #[must_use]
    pub fn topics(&self) -> BTreeMap<Arc<str>, i32> {
        let mut topics = BTreeMap::new();
        for source in &self.sources {
            *topics.entry(Arc::clone(&source.topic)).or_default() += 1;
        }
        topics
    }

    /// How much of all files has been read.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let mut sum = Progress { read: 0, total: Some(0) };
        for progress in self.sources.iter().map(FileSource::progress) {
            sum.read += progress.read;
            sum.total = sum.total.zip(progress.total).map(|(sum, more)| sum + more);
        }
        sum
    }

    fn refill(&mut self, file: usize) {
        match self.sources[file].next() {
            None => {}
            Some(Ok(record)) => {
                if record.timestamp_ms != NO_TIMESTAMP {
                    self.reached[file] = self.reached[file].max(record.timestamp_ms);
                }
                self.heads.push(Reverse((self.reached[file], file)));
                self.records[file] = Some(record);
            }
            Some(Err(error)) => {
                self.failed.push(error);
                // Looks for the next good record, so that one bad row does not end a file.
                self.heads.push(Reverse((self.reached[file], file)));
            }
        }
    }
}

impl Iterator for Replay {
    type Item = Result<OwnedRecord, ReplayError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if !self.failed.is_empty() {
                return Some(Err(self.failed.remove(0)));
            }
            let Reverse((_, file)) = self.heads.pop()?;
            let record = self.records[file].take();
            self.refill(file);
            if let Some(record) = record {
                return Some(Ok(record));
            }
        }
    }
}
