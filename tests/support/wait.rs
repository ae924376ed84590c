//! Waiting for a run to come as far as a test wants.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use driftline::event::finding::{FindingBatch, Subject};
use driftline::event::time::EventTime;
use driftline::event::wire;

use super::broker::{Broker, Read};

/// Waits until `done` says so; `failed` gives the message when it does not in time.
pub fn until(within: Duration, mut done: impl FnMut() -> bool, failed: impl Fn() -> String) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < within, "not within {within:?}: {}", failed());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Follows `findings` until every subject's windows are closed up to a time.
pub struct Frontier<'a> {
    broker: &'a Broker,
    topic: String,
    reader: Option<super::broker::Reader>,
    closed: BTreeMap<Subject, EventTime>,
}

impl<'a> Frontier<'a> {
    /// Of an app that may not have made its topics yet.
    pub fn new(broker: &'a Broker, app: &str) -> Frontier<'a> {
        let topic = format!("{app}.findings");
        Frontier { broker, topic, reader: None, closed: BTreeMap::new() }
    }

    /// Whether both subjects have come as far, after reading what there is for a moment.
    pub fn reached(&mut self, end: EventTime) -> bool {
        if self.reader.is_none() {
            if !self.broker.has_topic(&self.topic) {
                std::thread::sleep(Duration::from_millis(100));
                return false;
            }
            self.reader = Some(self.broker.reader(std::slice::from_ref(&self.topic)));
        }
        while let Some((_, read)) = self.reader.as_ref().and_then(super::broker::Reader::next) {
            self.take(&read);
        }
        self.closed.len() == 2 && self.closed.values().all(|closed| *closed >= end)
    }

    fn take(&mut self, read: &Read) {
        let batch: FindingBatch = wire::decode(&read.payload).expect("findings decode");
        for (subject, closed) in batch.closed {
            self.closed.insert(subject, closed);
        }
    }

    /// How far they have come, for messages.
    pub fn said(&self) -> String {
        format!("closed through {:?}", self.closed)
    }
}
