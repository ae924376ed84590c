//! Errors that Kafka answers with, one by one, on the loop of observe: each must end committed, tried
//! again or recovered, within half a minute, without spinning, as on the other loops
//! (`tests/fault_matrix.rs`).
//!
//! Observe reads and restores in its own way, so that is asked for here: every record lies in a
//! range that a header tells. It commits also when there is nothing to read, so answers to commits
//! are met without more records.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "starts loops and threads, waits for them, and prints what was measured"
)]

mod kafka_support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftline::config::Config;
use driftline::event::progress::{Header, Progress};
use driftline::event::summary::SummaryBatch;
use driftline::event::wire;
use driftline::runtime::{Commit, MockBroker, ReportKind, Supervisor, TopicNames};
use kafka_support::faults::{
    self, BACKGROUND, HALF, PARTITIONS, PATIENCE, REWINDS_MAX, RunningLoop, answer, inputs, try_all,
};
use kafka_support::{Watch, fresh_app, setup};
use rdkafka::types::{RDKafkaApiKey as Ask, RDKafkaRespErr as Answer};

use Answer::*;
use Ask::*;

/// Clusters at the same time.
const AT_ONCE: usize = 12;

/// A partition and an offset of the source.
type Record = (i32, i64);

/// Answers, each so many times, met before the loop has asked for anything, or while it works.
#[derive(Clone, Copy, Debug)]
struct Fault {
    at_start: bool,
    ask: Ask,
    answer: Answer,
    times: usize,
}

#[rustfmt::skip]
const AT_START: &[(Ask, &[(Answer, usize)])] = &[
    (OffsetFetch, &[
        (RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, 2),
        (RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, 3),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
    ]),
    (ListOffsets, &[
        (RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 2),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
    ]),
    (Metadata, &[
        (RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, 3),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
    ]),
    (JoinGroup, &[(RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2), (RD_KAFKA_RESP_ERR__TRANSPORT, 2)]),
    (SyncGroup, &[(RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 2)]),
    (InitProducerId, &[(RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, 2)]),
];

#[rustfmt::skip]
const WORKING: &[(Ask, &[(Answer, usize)])] = &[
    (Fetch, &[
        (RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 3),
        (RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, 3),
        (RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, 3),
        (RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, 3),
        (RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, 1),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 5),
    ]),
    (Heartbeat, &[
        (RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 1),
        (RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, 1),
        (RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, 1),
        (RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, 1),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 5),
    ]),
    (Metadata, &[(RD_KAFKA_RESP_ERR__TRANSPORT, 5)]),
    (Produce, &[
        (RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 3),
        (RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 1),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
    ]),
    (AddPartitionsToTxn, &[
        (RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, 3),
        (RD_KAFKA_RESP_ERR_PRODUCER_FENCED, 1),
    ]),
    (AddOffsetsToTxn, &[(RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2)]),
    (TxnOffsetCommit, &[
        (RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, 2),
        (RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, 1),
        (RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, 1),
        (RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, 1),
    ]),
    (EndTxn, &[
        (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2),
        (RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, 1),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
    ]),
];

fn faults() -> Vec<Fault> {
    let moments = [(true, AT_START), (false, WORKING)];
    let asked = moments.iter().flat_map(|(at_start, asks)| asks.iter().map(|ask| (*at_start, ask)));
    asked
        .flat_map(|(at_start, (ask, answers))| {
            let fault = move |(answer, times): &(Answer, usize)| Fault {
                at_start,
                ask: *ask,
                answer: *answer,
                times: *times,
            };
            answers.iter().map(fault)
        })
        .collect()
}

fn records(lines: &[Progress]) -> impl Iterator<Item = Record> + '_ {
    lines.iter().flat_map(|line| (line.from..line.to).map(|offset| (line.partition, offset)))
}

/// Observe on a cluster of its own.
struct Trial {
    mock: MockBroker,
    app: String,
    source: String,
    committed: BTreeSet<Record>,
    work: RunningLoop,
}

impl Trial {
    fn new(fault: &Fault) -> Trial {
        let mock = MockBroker::start().unwrap();
        let (access, app) = (mock.access().unwrap(), fresh_app("observe-fault"));
        let source = format!("{app}-orders");
        let servers = &access.bootstrap_servers;
        let text = format!(
            "app: {app}\nkafka: {{ bootstrap_servers: \"{servers}\" }}\n\
             datasets:\n  orders: {{ topic: {source}, event_time: at }}\n"
        );
        let (plan, _) = Config::parse(&text, "test.yaml").unwrap().plan().unwrap();
        let names = TopicNames::new(&app, &Default::default());
        mock.create_topics(&names.specs(&plan)).unwrap();
        mock.create_topic(&source, PARTITIONS).unwrap();
        feed(&mock, &source);
        if fault.at_start {
            fault.answer(&mock);
        }
        let (setup, heard) = setup(access, &app, Commit::Transactional);
        let shutdown = setup.shutdown.clone();
        let mut supervisor = Supervisor::new(setup).unwrap();
        supervisor.observe(Arc::new(plan), None);
        let running = std::thread::spawn(move || supervisor.wait());
        let work = RunningLoop { shutdown, heard, rewinds: 0, running };
        Trial { mock, app, source, committed: BTreeSet::new(), work }
    }

    /// Waits until so many records of each partition are committed, or it ends.
    fn wait_for(&mut self, each: i64) -> bool {
        let (wanted, committed) = (inputs(each), &mut self.committed);
        self.work.wait_for(|report| {
            if let ReportKind::Committed { lines, .. } = report {
                committed.extend(records(&lines));
            }
            committed.len() >= wanted
        })
    }

    /// Records that headers tell.
    fn told(&self) -> usize {
        let watch = Watch::new(&self.mock.access().unwrap(), &format!("{}.summaries", self.app), 1);
        let (mut told, started) = (BTreeSet::new(), Instant::now());
        while told.len() < self.committed.len() && started.elapsed() < PATIENCE {
            watch.look(|_, payload| {
                let batch: SummaryBatch = wire::decode(payload).unwrap();
                if let Some(Header::Observe(lines)) = batch.header {
                    told.extend(records(&lines));
                }
            });
        }
        told.len()
    }
}

impl Fault {
    fn answer(&self, mock: &MockBroker) {
        answer(mock, &[(self.ask, self.answer, self.times)]);
    }
}

fn feed(mock: &MockBroker, source: &str) {
    faults::feed(mock, source, |i| {
        format!(r#"{{"at": {}, "amount": {i}}}"#, 1_700_000_000_000_i64 + i).into_bytes()
    });
}

/// How long it took and how often it restored; and what is wrong, if anything.
fn try_out(fault: &Fault) -> (Duration, usize, Option<String>) {
    let mut injected = Instant::now();
    let mut trial = Trial::new(fault);
    let mut went_on = trial.wait_for(HALF);
    if !fault.at_start {
        fault.answer(&trial.mock);
        std::thread::sleep(BACKGROUND);
        injected = Instant::now();
    }
    feed(&trial.mock, &trial.source);
    went_on &= trial.wait_for(2 * HALF);
    let took = injected.elapsed();
    let told = trial.told();
    let Trial { work: RunningLoop { shutdown, rewinds, running, .. }, .. } = trial;
    shutdown.request();
    let ended = running.join().unwrap();
    let all = inputs(2 * HALF);
    let fine = went_on && ended.is_ok() && told == all && rewinds <= REWINDS_MAX;
    let wrong = (!fine).then(|| format!("went on: {went_on}, {told} of {all} told, {ended:?}"));
    (took, rewinds, wrong)
}

#[test]
fn observe_gets_over_each_answer_of_kafka_and_tells_every_record() {
    let mut wrong = String::new();
    for (fault, (took, rewinds, said)) in try_all(faults(), AT_ONCE, try_out) {
        println!("{took:>7.1?} {rewinds} rewinds: {fault:?}");
        if let Some(said) = said {
            writeln!(wrong, "{fault:?}: {said}, {rewinds} rewinds").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}
