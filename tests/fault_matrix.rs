//! Every class of error that Kafka answers with, one by one, on a loop that works: each must end
//! committed, tried again or recovered, within half a minute, without spinning.
//!
//! On the mock cluster, which can be told how to answer; each fault has one of its own. What the
//! mock cannot show (fencing, what a transaction hides) is shown on a real broker by
//! `tests/kafka_stage_loop.rs` and `tests/chaos_kafka.rs`.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "starts loops and threads, waits for them, and prints what was measured"
)]

mod kafka_support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use driftline::event::public::PublicEvent;
use driftline::event::route::{Outbox, Outgoing, Route};
use driftline::runtime::{Commit, Input, MockBroker, Report, ReportKind, RunError, Supervisor};
use driftline::stage::{Incoming, Restart, Stage};
use kafka_support::faults::{
    self, BACKGROUND, HALF, PARTITIONS, PATIENCE, REWINDS_MAX, RunningLoop, answer, inputs, try_all,
};
use kafka_support::{Watch, fresh_app, setup};
use rdkafka::types::{RDKafkaApiKey as Ask, RDKafkaRespErr as Answer};

use Answer::*;
use Ask::*;
use Commit::{Plain, Transactional};
use End::{GoesOn, Stops};
use Moment::{AtStart, Working};

/// Clusters at the same time.
const AT_ONCE: usize = 24;

/// When the answers begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// Before the loop has asked for anything.
    AtStart,
    /// When it has committed.
    Working,
}

/// How it must end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Every input has its output.
    GoesOn,
    /// The run ends with this exit code.
    Stops(u8),
}

/// How the cluster answers, each so many times.
#[derive(Clone, Debug)]
struct Fault {
    moment: Moment,
    commit: Commit,
    answers: Vec<(Ask, Answer, usize)>,
    end: End,
}

/// Faults of one kind of request, an answer each.
type OneRequest = (Moment, Commit, Ask, &'static [(Answer, usize)], End);
/// A fault of several kinds of requests.
type Several = (Moment, Commit, &'static [(Ask, Answer, usize)], End);

/// What a trial and its stage share.
#[derive(Default)]
struct Shared {
    /// Whether inputs of the second half may be taken.
    open: (Mutex<bool>, Condvar),
    /// Inputs taken, by partition and offset.
    taken: Mutex<BTreeSet<(i32, i64)>>,
}

impl Shared {
    fn wait_until_open(&self) {
        let (open, opened) = &self.open;
        drop(opened.wait_while(open.lock().unwrap(), |open| !*open).unwrap());
    }

    fn taken(&self) -> usize {
        self.taken.lock().unwrap().len()
    }

    fn open(&self) {
        *self.open.0.lock().unwrap() = true;
        self.open.1.notify_all();
    }
}

/// Says of each input where it was; holds the second half back until it is let go.
struct Echo(i32, Arc<Shared>);

impl Stage for Echo {
    const NAME: &'static str = "join";
    const RESTART: Restart = Restart::Replay;

    fn step(&mut self, message: Incoming<'_>, out: &mut Outbox) {
        let Echo(partition, shared) = self;
        if message.offset >= HALF {
            shared.wait_until_open();
        }
        shared.taken.lock().unwrap().insert((*partition, message.offset));
        out.messages.push(Outgoing {
            route: Route::Facts(*partition),
            key: None,
            payload: message.offset.to_le_bytes().to_vec(),
            headers: Vec::new(),
        });
    }
}

/// A loop on a cluster of its own. Nobody else asks that cluster for anything from the moment
/// it is told how to answer until the loop has got over it.
struct Trial {
    mock: MockBroker,
    app: String,
    shared: Arc<Shared>,
    work: RunningLoop,
}

impl Trial {
    fn new(commit: Commit, unfed: Duration, at_start: &[(Ask, Answer, usize)]) -> Trial {
        let mock = MockBroker::start().unwrap();
        let access = mock.access().unwrap();
        let app = fresh_app("fault");
        for topic in ["facts", "summaries"] {
            mock.create_topic(&format!("{app}.{topic}"), PARTITIONS).unwrap();
        }
        let (mut setup, heard) = setup(access, &app, commit);
        setup.pace.unfed = unfed;
        let (shutdown, shared) = (setup.shutdown.clone(), Arc::new(Shared::default()));
        let mut supervisor = Supervisor::new(setup).unwrap();
        let mine = Arc::clone(&shared);
        feed(&mock, &app);
        answer(&mock, at_start);
        let encoder = Box::new(|_: &PublicEvent| unreachable!("no events"));
        supervisor.stage(Input::Summaries, encoder, move |p| Echo(p, Arc::clone(&mine)));
        let running = std::thread::spawn(move || supervisor.wait());
        Trial { mock, app, shared, work: RunningLoop { shutdown, heard, rewinds: 0, running } }
    }

    /// Waits until the loop has taken so many inputs of each partition and committed, or ended.
    fn wait_for(&mut self, each: i64) -> bool {
        let (wanted, shared) = (inputs(each), Arc::clone(&self.shared));
        self.work.wait_for(|report| {
            matches!(report, ReportKind::Committed { .. }) && shared.taken() >= wanted
        })
    }

    fn taken(&self) -> usize {
        self.shared.taken()
    }

    /// Waits until the loop ends by itself.
    fn wait_for_end(&self) -> bool {
        let started = Instant::now();
        while started.elapsed() < PATIENCE && !self.work.running.is_finished() {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.work.running.is_finished()
    }

    /// Inputs that have an output, and outputs.
    fn said(&self) -> (usize, usize) {
        let access = self.mock.access().unwrap();
        let watch = Watch::new(&access, &format!("{}.facts", self.app), PARTITIONS);
        let (mut said, mut outputs, started) = (BTreeSet::new(), 0, Instant::now());
        while said.len() < self.taken() && started.elapsed() < PATIENCE {
            watch.look(|partition, payload| {
                outputs += 1;
                said.insert((partition, i64::from_le_bytes(payload.try_into().unwrap())));
            });
        }
        (said.len(), outputs)
    }
}

fn feed(mock: &MockBroker, app: &str) {
    faults::feed(mock, &format!("{app}.summaries"), |_| b"input".to_vec());
}

/// What came of a fault.
struct Outcome {
    took: Duration,
    rewinds: usize,
    outputs: usize,
    wrong: Option<String>,
}

fn try_out(fault: &Fault) -> Outcome {
    let Fault { moment, commit, answers, end } = fault;
    let mut injected = Instant::now();
    let at_start = if *moment == AtStart { &answers[..] } else { &[] };
    let mut trial = Trial::new(*commit, PATIENCE, at_start);
    let mut each = HALF;
    let mut went_on = trial.wait_for(HALF);
    if *moment == Working {
        feed(&trial.mock, &trial.app);
        answer(&trial.mock, answers);
        // What the client asks for by itself meets its answers now.
        std::thread::sleep(BACKGROUND);
        injected = Instant::now();
        trial.shared.open();
        each = 2 * HALF;
        went_on = match end {
            GoesOn => went_on && trial.wait_for(each),
            Stops(_) => !trial.wait_for_end(),
        };
    }
    let took = injected.elapsed();
    let (said, outputs) = if went_on { trial.said() } else { (0, 0) };
    trial.shared.open();
    trial.work.shutdown.request();
    let ended = trial.work.running.join().unwrap();
    let all = inputs(each);
    let fine = match (end, ended.as_ref().err().map(RunError::exit_code)) {
        (GoesOn, None) => went_on && said == all && trial.work.rewinds <= REWINDS_MAX,
        (Stops(wanted), Some(code)) => *wanted == code && !went_on,
        _ => false,
    };
    let wrong = (!fine).then(|| format!("went on: {went_on}, {said} of {all} said, {ended:?}"));
    Outcome { took, rewinds: trial.work.rewinds, outputs, wrong }
}

/// What one request is answered with, one error after the other.
#[rustfmt::skip]
const ONE_REQUEST: &[OneRequest] = &[
    (AtStart, Transactional, InitProducerId, &[
        (RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, 2),
        (RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, 3),
        (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
        (RD_KAFKA_RESP_ERR_PRODUCER_FENCED, 1),
        (RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 2),
        (RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, 2),
    ], GoesOn),
    (AtStart, Transactional, FindCoordinator, &[
        (RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, 5),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
        (RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 1),
    ], GoesOn),
    (AtStart, Plain, FindCoordinator, &[
        (RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, 5),
        (RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, 2),
    ], GoesOn),
    (AtStart, Transactional, Metadata, &[
        (RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, 3),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
    ], GoesOn),
    (AtStart, Transactional, JoinGroup, &[
        (RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, 2),
        (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2),
        (RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, 1),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 2),
    ], GoesOn),
    (AtStart, Transactional, SyncGroup, &[
        (RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 2),
        (RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, 1),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 1),
    ], GoesOn),
    (Working, Transactional, Heartbeat, &[
        (RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 1),
        (RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, 1),
        (RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, 1),
        (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 5),
    ], GoesOn),
    (Working, Transactional, Heartbeat, &[
        (RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, 1),
    ], GoesOn),
    (Working, Transactional, Heartbeat, &[
        (RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, 2),
    ], Stops(78)),
    (AtStart, Plain, OffsetFetch, &[
        (RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, 2),
        (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2),
        (RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT, 3),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
        (RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, 2),
        (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 2),
    ], GoesOn),
    (AtStart, Plain, ListOffsets, &[
        (RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE, 2),
        (RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 2),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
    ], GoesOn),
    (Working, Plain, Fetch, &[
        (RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 3),
        (RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, 3),
        (RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, 3),
        (RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, 3),
        (RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE, 1),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 5),
        (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1),
    ], GoesOn),
    (Working, Transactional, Metadata, &[
        (RD_KAFKA_RESP_ERR__TRANSPORT, 5),
    ], GoesOn),
    (Working, Transactional, Produce, &[
        (RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 2),
        (RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 3),
        (RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, 3),
        (RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, 2),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
        (RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 1),
        (RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, 1),
        (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1),
    ], GoesOn),
    (Working, Transactional, Produce, &[
        (RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1),
    ], Stops(78)),
    (Working, Plain, Produce, &[
        (RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR, 3),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
        (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1),
    ], GoesOn),
    (Working, Plain, Produce, &[
        (RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1),
    ], Stops(78)),
    (Working, Transactional, AddPartitionsToTxn, &[
        (RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, 3),
        (RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, 2),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 2),
        (RD_KAFKA_RESP_ERR_PRODUCER_FENCED, 1),
        (RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, 1),
        (RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, 1),
        (RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 1),
    ], GoesOn),
    (Working, Transactional, AddOffsetsToTxn, &[
        (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2),
        (RD_KAFKA_RESP_ERR_CONCURRENT_TRANSACTIONS, 2),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 2),
        (RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, 1),
        (RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, 1),
    ], GoesOn),
    (Working, Transactional, TxnOffsetCommit, &[
        (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2),
        (RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, 2),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 2),
        (RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, 1),
        (RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, 1),
        (RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 1),
        (RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, 1),
    ], GoesOn),
    (Working, Transactional, TxnOffsetCommit, &[
        (RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, 1),
    ], GoesOn),
    (Working, Transactional, EndTxn, &[
        (RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS, 2),
        (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 3),
        (RD_KAFKA_RESP_ERR_UNKNOWN_PRODUCER_ID, 1),
        (RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, 1),
        (RD_KAFKA_RESP_ERR_PRODUCER_FENCED, 1),
        (RD_KAFKA_RESP_ERR_INVALID_TXN_STATE, 1),
        (RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, 1),
    ], GoesOn),
    (Working, Plain, OffsetCommit, &[
        (RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 2),
        (RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, 1),
        (RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, 1),
        (RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 1),
        (RD_KAFKA_RESP_ERR__TRANSPORT, 2),
    ], GoesOn),
    (AtStart, Plain, JoinGroup, &[
        (RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, 2),
    ], GoesOn),
    (AtStart, Plain, SyncGroup, &[
        (RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, 1),
    ], GoesOn),
    (Working, Plain, Heartbeat, &[
        (RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, 2),
    ], GoesOn),
];

/// Answers to several requests in one fault; and none, which the rest is compared with.
const SEVERAL: &[Several] = &[
    (Working, Transactional, &[], GoesOn),
    (Working, Plain, &[], GoesOn),
    (
        Working,
        Plain,
        &[
            (Heartbeat, RD_KAFKA_RESP_ERR_REBALANCE_IN_PROGRESS, 1),
            (JoinGroup, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 1),
            (SyncGroup, RD_KAFKA_RESP_ERR_NOT_COORDINATOR, 1),
        ],
        GoesOn,
    ),
    (
        Working,
        Plain,
        &[
            (Heartbeat, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, 1),
            (SyncGroup, RD_KAFKA_RESP_ERR__TRANSPORT, 1),
        ],
        GoesOn,
    ),
    (
        Working,
        Transactional,
        &[
            (TxnOffsetCommit, RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, 1),
            (EndTxn, RD_KAFKA_RESP_ERR__TRANSPORT, 2),
        ],
        GoesOn,
    ),
    (
        Working,
        Transactional,
        &[
            (EndTxn, RD_KAFKA_RESP_ERR_PRODUCER_FENCED, 1),
            (InitProducerId, RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE, 2),
        ],
        GoesOn,
    ),
];

fn faults() -> Vec<Fault> {
    let several = SEVERAL.iter().map(|(moment, commit, answers, end)| Fault {
        moment: *moment,
        commit: *commit,
        answers: answers.to_vec(),
        end: *end,
    });
    let one = ONE_REQUEST.iter().flat_map(|(moment, commit, ask, answers, end)| {
        answers.iter().map(|(answer, times)| Fault {
            moment: *moment,
            commit: *commit,
            answers: vec![(*ask, *answer, *times)],
            end: *end,
        })
    });
    several.chain(one).collect()
}

#[test]
fn each_answer_of_kafka_ends_committed_or_recovered_and_none_spins() {
    let mut wrong = String::new();
    for (fault, outcome) in try_all(faults(), AT_ONCE, try_out) {
        let Outcome { took, rewinds, outputs, wrong: said } = outcome;
        let Fault { moment, commit, answers, end } = fault;
        let line = format!("{moment:?} {commit:?} {answers:?} {end:?}");
        println!("{took:>7.1?} {rewinds} rewinds {outputs:>4} outputs: {line}");
        if let Some(said) = said {
            writeln!(wrong, "{line}: {said}").unwrap();
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Shortens the watchdog's patience, and makes every fetch fail without a word to the loop.
fn starve() -> Trial {
    let mut trial = Trial::new(Plain, Duration::from_millis(1_500), &[]);
    assert!(trial.wait_for(HALF));
    trial.shared.open();
    answer(&trial.mock, &[(Fetch, RD_KAFKA_RESP_ERR_UNKNOWN_LEADER_EPOCH, 100_000)]);
    feed(&trial.mock, &trial.app);
    trial
}

#[test]
fn a_consumer_that_is_not_fed_is_made_anew_and_nothing_is_lost() {
    let mut trial = starve();

    let unfed = |report: &Report| matches!(report.kind, ReportKind::Rewound { cause: "unfed" });
    let deadline = Instant::now() + PATIENCE;
    while !trial.work.heard.recv_timeout(PATIENCE).is_ok_and(|report| unfed(&report)) {
        assert!(Instant::now() < deadline, "no word of it");
    }
    trial.mock.mend(Fetch).unwrap();

    assert!(trial.wait_for(2 * HALF));
    let all = inputs(2 * HALF);
    assert_eq!(trial.said(), (all, all), "each input once");
    trial.work.shutdown.request();
    trial.work.running.join().unwrap().unwrap();
}

#[test]
fn a_consumer_that_starves_again_ends_the_run_and_names_the_partition() {
    let trial = starve();

    assert!(trial.wait_for_end());

    let ended = trial.work.running.join().unwrap().unwrap_err();
    assert_eq!(ended.exit_code(), 75);
    let topic = format!("{}.summaries partition", trial.app);
    let text = ended.to_string();
    assert!(text.contains(&topic) && text.contains("goes on to 100"), "{text}");
}
