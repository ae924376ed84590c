//! Looks on: when each source partition was last committed, by the headers on `summaries`.

use std::collections::BTreeMap;

use driftline::event::progress::Header;
use driftline::event::summary::SummaryBatch;
use driftline::event::wire;

use crate::support::broker::{Broker, Read, Reader};

type Place = (String, i32);

/// The newest header of each source partition.
pub struct Headers<'a> {
    broker: &'a Broker,
    topic: String,
    reader: Option<Reader>,
    /// Broker time of the newest header. *Units*: milliseconds.
    newest: BTreeMap<Place, i64>,
}

impl<'a> Headers<'a> {
    /// Of these source partitions; the topic with the headers may not be there yet.
    pub fn new(broker: &'a Broker, app: &str, places: impl Iterator<Item = Place>) -> Headers<'a> {
        let newest = places.map(|place| (place, 0)).collect();
        Headers { broker, topic: format!("{app}.summaries"), reader: None, newest }
    }

    /// One more partition is to be committed.
    pub fn expect(&mut self, topic: &str, partition: i32) {
        self.newest.insert((topic.to_owned(), partition), 0);
    }

    /// Whether every source partition has a header of a later time, after a moment's look.
    pub fn all_newer_than(&mut self, time_ms: i64) -> bool {
        self.look();
        self.newest.values().all(|newest| *newest > time_ms)
    }

    /// Those that have not.
    pub fn older_than(&self, time_ms: i64) -> Vec<&Place> {
        self.newest.iter().filter(|(_, newest)| **newest <= time_ms).map(|(p, _)| p).collect()
    }

    /// Whether a partition has none at all, after a moment's look.
    pub fn is_missing(&mut self, topic: &str, partition: i32) -> bool {
        self.look();
        self.newest.get(&(topic.to_owned(), partition)).is_none_or(|newest| *newest == 0)
    }

    fn look(&mut self) {
        if self.reader.is_none() {
            if !self.broker.has_topic(&self.topic) {
                std::thread::sleep(std::time::Duration::from_millis(100));
                return;
            }
            self.reader = Some(self.broker.reader(std::slice::from_ref(&self.topic)));
        }
        while let Some((_, read)) = self.reader.as_ref().and_then(Reader::next) {
            self.take(&read);
        }
    }

    fn take(&mut self, read: &Read) {
        if read.partition != 0 {
            return;
        }
        let batch: SummaryBatch = wire::decode(&read.payload).expect("summaries decode");
        let Some(Header::Observe(lines)) = batch.header else { return };
        for line in lines {
            let newest = self.newest.entry((line.topic, line.partition)).or_default();
            *newest = (*newest).max(read.timestamp_ms);
        }
    }
}
