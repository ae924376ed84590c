//! The loop of a stage on a real broker: exactly-once under kill -9, fences, second processes.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tests start processes and threads, wait for them, and print what they measured"
)]

mod kafka_support;

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use driftline::config::deployment::{KafkaAccess, PublicTopics};
use driftline::event::route::Route;
use driftline::runtime::{
    Commit, EventEncoder, Input, MockBroker, ReportKind, RunError, Supervisor, TopicNames,
    TopicSpec, TopicsError, ensure_topics,
};
use kafka_support::counter::{Counter, Ledger};
use kafka_support::{Watch, broker, fresh_app, producer, setup, write};
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, Producer};

const PARTITIONS: i32 = 8;
const PATIENCE: Duration = Duration::from_secs(60);
/// Set for the process that the test kills: the prefix it works under.
const WORKER: &str = "DRIFTLINE_TEST_WORKER";

fn encoder() -> EventEncoder {
    Box::new(|_| unreachable!("the counter makes no events"))
}

fn value_of(partition: i32, index: i64) -> u64 {
    (u64::from(partition.unsigned_abs()) + 1) * 1_000 + index.unsigned_abs() * 7
}

fn inputs(partition: i32, from: i64, count: i64) -> Vec<Vec<u8>> {
    let value = |index| value_of(partition, index).to_le_bytes().to_vec();
    (from..from + count).map(value).collect()
}

fn specs(names: &TopicNames) -> Vec<TopicSpec> {
    let log = |name: &str| TopicSpec {
        name: name.to_owned(),
        partitions: Some(PARTITIONS),
        compacted: false,
        append_time: true,
        retention_ms_min: None,
    };
    vec![
        log(names.place(Route::Facts(0)).0),
        log(names.place(Route::Summaries(0)).0),
        TopicSpec { compacted: true, ..log(&names.state("assess")) },
    ]
}

fn names(app: &str) -> TopicNames {
    TopicNames::new(app, &PublicTopics::default())
}

fn start_worker(app: &str) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["worker_process", "--exact"])
        .env(WORKER, app)
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// The process that is killed; an ordinary run of the tests passes it by, for it tests nothing.
#[test]
fn worker_process() {
    let Ok(app) = std::env::var(WORKER) else { return };
    let (setup, _heard) = setup(broker(), &app, Commit::Transactional);
    let mut supervisor = Supervisor::new(setup).unwrap();
    supervisor.stage(Input::Summaries, encoder(), Counter::new);
    supervisor.wait().unwrap();
}

#[test]
fn every_input_counts_once_under_kill_9() {
    let access = broker();
    let app = fresh_app("kill");
    let names = names(&app);
    ensure_topics(&access, &specs(&names), &[]).unwrap();
    let (per_round, rounds) = (250_i64, 12_i64);
    let all = usize::try_from(per_round * rounds).unwrap() * PARTITIONS as usize;
    let topic = format!("{app}.summaries");
    let feed = producer(&access);
    let watch = Watch::new(&access, &format!("{app}.facts"), PARTITIONS);
    let mut ledger = Ledger::default();
    let (mut kills, mut failovers) = (0, Vec::new());

    let mut worker = start_worker(&app);
    for round in 0..rounds {
        let (from, late) = (round * per_round, per_round / 5);
        for partition in 0..PARTITIONS {
            let payloads = inputs(partition, from, per_round - late);
            write(&feed, &topic, partition, &payloads);
        }
        let mut killed = None;
        if round % 2 == 1 {
            worker.kill().unwrap();
            worker.wait().unwrap();
            killed = Some(Instant::now());
            worker = start_worker(&app);
            kills += 1;
        }
        // What is written after the kill shows when its successor works.
        let fresh_from = from + per_round - late;
        for partition in 0..PARTITIONS {
            write(&feed, &topic, partition, &inputs(partition, fresh_from, late));
        }
        let mut fresh = false;
        watch.until(PATIENCE, |partition, payload| {
            fresh |= ledger.take(partition, payload, value_of) >= fresh_from;
            if fresh && let Some(since) = killed.take() {
                failovers.push(since.elapsed());
            }
            fresh
        });
    }
    watch.until(PATIENCE, |partition, payload| {
        ledger.take(partition, payload, value_of);
        ledger.seen == all
    });
    let repeated = watch.more(Duration::from_secs(1));
    worker.kill().unwrap();
    worker.wait().unwrap();

    assert_eq!(repeated, 0);
    assert!(kills >= 3);
    println!("{all} inputs, {kills} kills, from kill to output {failovers:?}");
}

#[test]
fn a_fenced_producer_is_replaced_and_nothing_is_lost() {
    let access = broker();
    let app = fresh_app("fence");
    let topics = names(&app);
    ensure_topics(&access, &specs(&topics), &[]).unwrap();
    let (setup, heard) = setup(access.clone(), &app, Commit::Transactional);
    let shutdown = setup.shutdown.clone();
    let mut supervisor = Supervisor::new(setup).unwrap();
    supervisor.stage(Input::Summaries, encoder(), Counter::new);
    let running = std::thread::spawn(move || supervisor.wait());
    let feed = producer(&access);
    let watch = Watch::new(&access, &format!("{app}.facts"), PARTITIONS);
    let mut ledger = Ledger::default();

    let topic = format!("{app}.summaries");
    write(&feed, &topic, 3, &inputs(3, 0, 100));
    take(&watch, &mut ledger, 100);
    // Somebody with the same transactional id: what a zombie's successor does.
    let thief: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", &access.bootstrap_servers)
        .set("transactional.id", format!("{app}.assess.0"))
        .create()
        .unwrap();
    thief.init_transactions(Duration::from_secs(20)).unwrap();
    write(&feed, &topic, 3, &inputs(3, 100, 100));
    take(&watch, &mut ledger, 200);
    shutdown.request();
    running.join().unwrap().unwrap();

    let kinds: Vec<ReportKind> = heard.iter().map(|report| report.kind).collect();
    let fenced = |kind: &ReportKind| matches!(kind, ReportKind::Rewound { cause: "fenced" });
    assert!(kinds.iter().any(fenced), "{kinds:?}");
    let checkpoint =
        |kind: &ReportKind| matches!(kind, ReportKind::Committed { checkpoint: true, .. });
    assert!(kinds.iter().any(checkpoint), "{kinds:?}");
}

#[test]
fn a_second_process_on_a_slot_ends_the_first_and_says_so() {
    let access = broker();
    let app = fresh_app("slot");
    ensure_topics(&access, &specs(&names(&app)), &[]).unwrap();
    let run = |access: KafkaAccess| {
        let (setup, heard) = setup(access, &app, Commit::Transactional);
        let shutdown = setup.shutdown.clone();
        let mut supervisor = Supervisor::new(setup).unwrap();
        supervisor.stage(Input::Summaries, encoder(), Counter::new);
        (std::thread::spawn(move || supervisor.wait()), heard, shutdown)
    };
    let (first, heard, _) = run(access.clone());
    let joined = heard.recv_timeout(PATIENCE).unwrap();
    assert!(matches!(joined.kind, ReportKind::Assigned { partitions: 8, .. }), "{joined:?}");

    let (second, _heard, shutdown) = run(access);
    let ended = first.join().unwrap().unwrap_err();
    shutdown.request();

    assert!(matches!(ended, RunError::SlotTaken { .. }), "{ended}");
    assert_eq!(ended.exit_code(), 78);
    assert!(ended.to_string().contains("--slot 1"), "{ended}");
    second.join().unwrap().unwrap();
}

#[test]
fn a_stop_and_a_start_on_the_mock_broker_repeat_nothing() {
    let mock = MockBroker::start().unwrap();
    let access = mock.access().unwrap();
    let app = fresh_app("mock");
    mock.create_topics(&specs(&names(&app))).unwrap();
    let feed = producer(&access);
    let watch = Watch::new(&access, &format!("{app}.facts"), PARTITIONS);
    let mut ledger = Ledger::default();

    for round in 0..2 {
        let (setup, _heard) = setup(access.clone(), &app, Commit::Plain);
        let shutdown = setup.shutdown.clone();
        let mut supervisor = Supervisor::new(setup).unwrap();
        supervisor.stage(Input::Summaries, encoder(), Counter::new);
        let running = std::thread::spawn(move || supervisor.wait());
        for partition in 0..PARTITIONS {
            let payloads = inputs(partition, round * 500, 500);
            write(&feed, &format!("{app}.summaries"), partition, &payloads);
        }
        take(&watch, &mut ledger, 4_000 * (usize::try_from(round).unwrap() + 1));
        let asked = Instant::now();
        shutdown.request();
        running.join().unwrap().unwrap();
        println!("stopped in {:?}", asked.elapsed());
    }

    assert_eq!(watch.more(Duration::from_millis(500)), 0);
}

#[test]
fn a_wrong_topic_is_named_with_the_command_that_mends_it() {
    let access = broker();
    let app = fresh_app("topics");
    let right = specs(&names(&app));
    let wrong = TopicSpec { append_time: false, ..right[0].clone() };
    let made = ensure_topics(&access, &[wrong], &[]).unwrap();
    assert_eq!(made, [format!("{app}.facts")]);

    let error = ensure_topics(&access, &right, &[]).unwrap_err();

    assert!(matches!(error, TopicsError::Wrong { .. }));
    let text = error.to_string();
    let command =
        format!("--entity-name {app}.facts --add-config message.timestamp.type=LogAppendTime");
    assert!(text.contains(&command), "{text}");
    let fewer = TopicSpec { partitions: Some(9), ..right[1].clone() };
    let error = ensure_topics(&access, &[fewer], &[]).unwrap_err();
    assert!(error.to_string().contains("has 8 partitions and must have 9"), "{error}");
    let error = ensure_topics(&access, &right[1..], &["no-such-topic".into()]).unwrap_err();
    assert!(matches!(error, TopicsError::SourceMissing { .. }), "{error}");
    assert!(ensure_topics(&access, &right[1..], &[]).unwrap().is_empty());
}

fn take(watch: &Watch, ledger: &mut Ledger, until: usize) {
    watch.until(PATIENCE, |partition, payload| {
        ledger.take(partition, payload, value_of);
        ledger.seen >= until
    });
}

/// Two members of one group; how long after the first has gone the second holds everything.
fn hand_over(leave: bool) -> Duration {
    let access = broker();
    let app = fresh_app("leave");
    ensure_topics(&access, &specs(&names(&app)), &[]).unwrap();
    let run = |slot: u32| {
        let (mut setup, heard) = setup(access.clone(), &app, Commit::Transactional);
        (setup.slot, setup.leave) = (slot, leave);
        let shutdown = setup.shutdown.clone();
        let mut supervisor = Supervisor::new(setup).unwrap();
        supervisor.stage(Input::Summaries, encoder(), Counter::new);
        (std::thread::spawn(move || supervisor.wait()), heard, shutdown)
    };
    let holds = |heard: &std::sync::mpsc::Receiver<driftline::runtime::Report>, wanted: usize| {
        loop {
            let report = heard.recv_timeout(PATIENCE).unwrap();
            if matches!(report.kind, ReportKind::Assigned { partitions, .. } if partitions == wanted)
            {
                return;
            }
        }
    };
    let (first, first_heard, first_shutdown) = run(0);
    holds(&first_heard, 8);
    let (second, second_heard, second_shutdown) = run(1);
    holds(&first_heard, 4);
    holds(&second_heard, 4);

    first_shutdown.request();
    first.join().unwrap().unwrap();
    let gone = Instant::now();
    holds(&second_heard, 8);
    let took = gone.elapsed();
    second_shutdown.request();
    second.join().unwrap().unwrap();
    took
}

#[test]
fn a_member_that_leaves_for_good_hands_over_at_once() {
    let (leaving, staying) = (hand_over(true), hand_over(false));

    println!("handed over in {leaving:?}, in {staying:?} where a return is waited for");
    assert!(leaving < Duration::from_secs(5), "{leaving:?}");
    assert!(staying > leaving, "a static member that only stops is waited for: {staying:?}");
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let started = Instant::now();
    while !done() {
        assert!(started.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
    }
}

#[test]
fn a_member_that_leaves_while_it_is_let_in_hands_over_at_once() {
    let access = broker();
    let app = fresh_app("leave-early");
    ensure_topics(&access, &specs(&names(&app)), &[]).unwrap();
    let group = format!("{app}.assess");
    let other: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &access.bootstrap_servers)
        .set("group.id", &group)
        .set("heartbeat.interval.ms", "500")
        .set("partition.assignment.strategy", "range")
        .create()
        .unwrap();
    other.subscribe(&[&format!("{app}.summaries")]).unwrap();
    let holds_all = || {
        let _ = other.poll(Duration::from_millis(50));
        other.assignment().unwrap().count() == PARTITIONS as usize
    };
    wait_for("the other holds everything", holds_all);
    let state = || {
        let list = other.fetch_group_list(Some(&group), PATIENCE).unwrap();
        list.groups()[0].state().to_owned()
    };
    let (mut setup, _heard) = setup(access.clone(), &app, Commit::Transactional);
    setup.leave = true;
    let shutdown = setup.shutdown.clone();
    let mut supervisor = Supervisor::new(setup).unwrap();
    supervisor.stage(Input::Summaries, encoder(), Counter::new);
    let member = std::thread::spawn(move || supervisor.wait());
    // The other does not poll, so the group waits for it and lets nobody in.
    wait_for("the group lets somebody in", || state() == "PreparingRebalance");

    let asked = Instant::now();
    shutdown.request();
    let mut gone = None;
    wait_for("the other holds everything again", || {
        if gone.is_none() && member.is_finished() {
            gone = Some(asked.elapsed());
        }
        holds_all() && gone.is_some() && state() == "Stable"
    });

    let took = asked.elapsed();
    println!("gone after {gone:?}, handed over after {took:?}");
    member.join().unwrap().unwrap();
    assert!(took < Duration::from_secs(5), "{took:?}");
}
