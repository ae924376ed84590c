//! A loop on a mock cluster that is told how to answer: what the matrices of faults share.

use std::sync::Mutex;
use std::sync::mpsc::Receiver;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use driftline::runtime::{MockBroker, Report, ReportKind, RunError, Shutdown};
use rdkafka::types::{RDKafkaApiKey as Ask, RDKafkaRespErr as Answer};

use super::{producer, write};

/// What DESIGN gives a fault.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// Partitions of what the loop reads.
pub const PARTITIONS: i32 = 2;
/// Inputs per partition before the fault, and after it.
pub const HALF: i64 = 50;
/// A loop that restores more often than this for one fault spins.
pub const REWINDS_MAX: usize = 3;
/// Four heartbeats: time in which a client meets answers to what it asks for unasked.
pub const BACKGROUND: Duration = Duration::from_secs(2);

/// Inputs of so many of each partition.
pub fn inputs(each: i64) -> usize {
    usize::try_from(each * i64::from(PARTITIONS)).unwrap()
}

/// Answers each kind of request so many times with an error.
pub fn answer(mock: &MockBroker, answers: &[(Ask, Answer, usize)]) {
    for (ask, error, times) in answers {
        mock.fail(*ask, &vec![*error; *times]).unwrap();
    }
}

/// Writes half of the inputs to each partition of a topic; `payload` gives one by its number.
pub fn feed(mock: &MockBroker, topic: &str, payload: impl Fn(i64) -> Vec<u8>) {
    let feed = producer(&mock.access().unwrap());
    for partition in 0..PARTITIONS {
        let payloads: Vec<Vec<u8>> = (0..HALF).map(&payload).collect();
        write(&feed, topic, partition, &payloads);
    }
}

/// A loop at work.
pub struct RunningLoop {
    pub shutdown: Shutdown,
    pub heard: Receiver<Report>,
    /// How often it has restored.
    pub rewinds: usize,
    pub running: JoinHandle<Result<(), RunError>>,
}

impl RunningLoop {
    /// Waits until a report is the one that is waited for, or the loop ends.
    pub fn wait_for(&mut self, mut is_it: impl FnMut(ReportKind) -> bool) -> bool {
        let started = Instant::now();
        while started.elapsed() < PATIENCE && !self.running.is_finished() {
            let Ok(report) = self.heard.recv_timeout(Duration::from_millis(50)) else { continue };
            if matches!(report.kind, ReportKind::Rewound { .. }) {
                self.rewinds += 1;
            }
            if is_it(report.kind) {
                return true;
            }
        }
        false
    }
}

/// Tries faults out, so many at a time; gives each with what came of it.
pub fn try_all<F: Send, O: Send>(
    faults: Vec<F>,
    at_once: usize,
    try_out: impl Fn(&F) -> O + Sync,
) -> Vec<(F, O)> {
    let queue = Mutex::new(faults.into_iter());
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..at_once {
            scope.spawn(|| {
                loop {
                    let Some(fault) = queue.lock().unwrap().next() else { return };
                    let outcome = try_out(&fault);
                    outcomes.lock().unwrap().push((fault, outcome));
                }
            });
        }
    });
    outcomes.into_inner().unwrap()
}
