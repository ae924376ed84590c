//! Topics that change under a running or a stopped deployment, on a real broker: what is lost is
//! named, what comes back is read again, and nothing is passed over in silence.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "tests start threads, wait for them, and talk to a real broker"
)]

mod kafka_support;

use std::collections::BTreeMap;
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use driftline::config::Config;
use driftline::config::deployment::{KafkaAccess, PublicTopics};
use driftline::config::plan::Plan;
use driftline::event::progress::Header;
use driftline::event::summary::SummaryBatch;
use driftline::event::wire;
use driftline::runtime::{
    Commit, Input, RunError, Shutdown, Supervisor, TopicNames, TopicSpec, TopicsError,
    ensure_topics,
};
use kafka_support::counter::Counter;
use kafka_support::{Watch, broker, fresh_app, producer, setup, write};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

const PATIENCE: Duration = Duration::from_secs(60);
/// Shards of what the counter writes.
const SHARDS: i32 = 8;

/// Deletes things.
struct Admin {
    client: AdminClient<DefaultClientContext>,
    waiter: tokio::runtime::Runtime,
}

impl Admin {
    fn new(access: &KafkaAccess) -> Admin {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &access.bootstrap_servers);
        let waiter = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Admin { client: config.create().unwrap(), waiter }
    }

    fn delete_topic(&self, topic: &str) {
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        let deleted = self.waiter.block_on(self.client.delete_topics(&[topic], &options));
        assert!(deleted.unwrap().iter().all(Result::is_ok), "{topic}");
    }

    /// As retention does: everything before an offset.
    fn delete_before(&self, topic: &str, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(topic, partition, Offset::Offset(offset)).unwrap();
        let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
        self.waiter.block_on(self.client.delete_records(&list, &options)).unwrap();
    }
}

/// A running loop of the counter, or of observe.
struct Running {
    shutdown: Shutdown,
    thread: JoinHandle<Result<(), RunError>>,
}

impl Running {
    fn counter(access: &KafkaAccess, app: &str) -> Running {
        let (setup, _) = setup(access.clone(), app, Commit::Transactional);
        let shutdown = setup.shutdown.clone();
        let mut supervisor = Supervisor::new(setup).unwrap();
        let encoder = Box::new(|_: &_| unreachable!("the counter makes no events"));
        supervisor.stage(Input::Summaries, encoder, Counter::new);
        Running { shutdown, thread: std::thread::spawn(move || supervisor.wait()) }
    }

    fn observe(access: &KafkaAccess, app: &str, plan: &Arc<Plan>) -> Running {
        let (setup, _) = setup(access.clone(), app, Commit::Transactional);
        let shutdown = setup.shutdown.clone();
        let mut supervisor = Supervisor::new(setup).unwrap();
        supervisor.observe(Arc::clone(plan), None);
        Running { shutdown, thread: std::thread::spawn(move || supervisor.wait()) }
    }

    fn stop(self) -> Result<(), RunError> {
        self.shutdown.request();
        self.thread.join().unwrap()
    }

    /// Waits until it ends by itself.
    fn end(self) -> RunError {
        self.thread.join().unwrap().unwrap_err()
    }
}

fn counter_specs(app: &str) -> Vec<TopicSpec> {
    let names = TopicNames::new(app, &PublicTopics::default());
    let log = |topic: &str| TopicSpec::records(&format!("{app}.{topic}"), SHARDS);
    let state = TopicSpec { compacted: true, ..TopicSpec::records(&names.state("assess"), SHARDS) };
    vec![log("facts"), log("summaries"), state]
}

/// A counter that has read so many inputs of partition 0 and was stopped.
fn counted(access: &KafkaAccess, app: &str, inputs: u64) {
    ensure_topics(access, &counter_specs(app), &[]).unwrap();
    let running = Running::counter(access, app);
    let watch = Watch::new(access, &format!("{app}.facts"), SHARDS);
    feed(access, app, inputs);
    let mut seen = 0;
    watch.until(PATIENCE, |_, _| {
        seen += 1;
        seen == inputs
    });
    running.stop().unwrap();
}

fn feed(access: &KafkaAccess, app: &str, inputs: u64) {
    let payloads: Vec<Vec<u8>> = (0..inputs).map(|input| input.to_le_bytes().to_vec()).collect();
    write(&producer(access), &format!("{app}.summaries"), 0, &payloads);
}

#[test]
fn offsets_that_retention_has_taken_end_the_run_and_are_counted() {
    let (access, app) = (broker(), fresh_app("gone"));
    counted(&access, &app, 100);
    feed(&access, &app, 100);
    Admin::new(&access).delete_before(&format!("{app}.summaries"), 0, 150);

    let ended = Running::counter(&access, &app).end();

    assert!(matches!(ended, RunError::OffsetLost { committed: 100, low: 150, .. }), "{ended:?}");
    assert_eq!(ended.exit_code(), 78);
    let text = ended.to_string();
    assert!(text.contains(&format!("{app}.summaries partition 0")), "{text}");
    assert!(text.contains("taken 50 offsets that were not read"), "{text}");
    assert!(text.contains("a new `app` prefix has to start over"), "{text}");
}

#[test]
fn a_topic_that_begins_late_is_read_from_there_by_a_new_group() {
    let (access, app) = (broker(), fresh_app("young"));
    ensure_topics(&access, &counter_specs(&app), &[]).unwrap();
    feed(&access, &app, 100);
    Admin::new(&access).delete_before(&format!("{app}.summaries"), 0, 60);
    let watch = Watch::new(&access, &format!("{app}.facts"), SHARDS);

    let running = Running::counter(&access, &app);

    let mut offsets = Vec::new();
    watch.until(PATIENCE, |_, payload| {
        offsets.push(i64::from_le_bytes(payload[..8].try_into().unwrap()));
        offsets.len() == 40
    });
    assert_eq!(offsets, (60..100).collect::<Vec<_>>());
    running.stop().unwrap();
}

#[test]
fn an_internal_topic_made_anew_under_its_state_ends_the_run() {
    let (access, app) = (broker(), fresh_app("anew"));
    counted(&access, &app, 100);
    let (admin, topic) = (Admin::new(&access), format!("{app}.summaries"));
    admin.delete_topic(&topic);
    ensure_topics(&access, &counter_specs(&app), &[]).unwrap();

    let ended = Running::counter(&access, &app).end();

    // Kafka forgets the group's offsets with the topic; the state still knows.
    let known = matches!(ended, RunError::StateMismatch { .. } | RunError::OffsetLost { .. });
    assert!(known, "{ended:?}");
    assert_eq!(ended.exit_code(), 78);
    assert!(ended.to_string().contains(&format!("{topic} partition 0")), "{ended}");
}

#[test]
fn each_wrong_setting_of_an_internal_topic_is_named() {
    let (access, app) = (broker(), fresh_app("settings"));
    let right = TopicSpec {
        append_time: true,
        retention_ms_min: Some(86_400_000),
        ..TopicSpec::records(&format!("{app}.facts"), 2)
    };
    let wrong = [
        (TopicSpec { compacted: true, ..right.clone() }, "cleanup.policy=compact"),
        (TopicSpec { append_time: false, ..right.clone() }, "message.timestamp.type=CreateTime"),
        (TopicSpec { retention_ms_min: Some(3_600_000), ..right.clone() }, "retention.ms=3600000"),
        (TopicSpec { partitions: Some(3), ..right.clone() }, "has 3 partitions and must have 2"),
    ];
    for (index, (spec, named)) in wrong.into_iter().enumerate() {
        let name = format!("{app}.facts-{index}");
        ensure_topics(&access, &[TopicSpec { name: name.clone(), ..spec }], &[]).unwrap();

        let right = TopicSpec { name: name.clone(), ..right.clone() };
        let error = ensure_topics(&access, &[right], &[]).unwrap_err();

        assert!(matches!(error, TopicsError::Wrong { .. }), "{error}");
        assert_eq!(error.exit_code(), 78);
        let text = error.to_string();
        assert!(text.contains(&name) && text.contains(named), "{text}");
    }
}

#[test]
fn processes_that_start_at_once_agree_on_the_topics() {
    let (access, app) = (broker(), fresh_app("at-once"));
    let (plan, _) = plan(&app, &access.bootstrap_servers);
    let specs = TopicNames::new(&app, &PublicTopics::default()).specs(&plan);
    let start = Barrier::new(4);

    let made: usize = std::thread::scope(|scope| {
        let ensure = || {
            start.wait();
            ensure_topics(&access, &specs, &[]).unwrap().len()
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(ensure)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });

    // Public topics are shared by apps and may have been there.
    assert!((specs.len() - 3..=specs.len()).contains(&made), "{made} of {}", specs.len());
}

/// Two datasets on topics of their own.
fn plan(app: &str, servers: &str) -> (Arc<Plan>, [String; 2]) {
    let topics = ["kept", "deleted"].map(|name| format!("{app}-{name}"));
    let text = format!(
        "app: {app}\nkafka: {{ bootstrap_servers: \"{servers}\" }}\ndatasets:\n  \
         kept: {{ topic: {}, event_time: at }}\n  deleted: {{ topic: {}, event_time: at }}\n",
        topics[0], topics[1]
    );
    let (plan, _) = Config::parse(&text, "test.yaml").unwrap().plan().unwrap();
    (Arc::new(plan), topics)
}

fn orders(count: i64) -> Vec<Vec<u8>> {
    let order = |i: i64| format!(r#"{{"at": {}, "amount": {i}}}"#, 1_700_000_000_000_i64 + i);
    (0..count).map(|i| order(i).into_bytes()).collect()
}

/// Follows the headers: how far each topic's partition 0 has been read.
fn wait_until_read(watch: &Watch, read: &mut BTreeMap<String, i64>, topic: &str, to: i64) {
    if read.get(topic) == Some(&to) {
        return;
    }
    watch.until(PATIENCE, |_, payload| {
        let batch: SummaryBatch = wire::decode(payload).unwrap();
        if let Some(Header::Observe(lines)) = batch.header {
            read.extend(lines.into_iter().map(|line| (line.topic, line.to)));
        }
        read.get(topic) == Some(&to)
    });
}

#[test]
fn a_source_made_anew_is_read_from_its_beginning() {
    let (access, app) = (broker(), fresh_app("made-anew"));
    let (plan, [kept, deleted]) = plan(&app, &access.bootstrap_servers);
    let sources = [&kept, &deleted].map(|topic| TopicSpec::records(topic, 1));
    ensure_topics(&access, &sources, &[]).unwrap();
    let names = TopicNames::new(&app, &PublicTopics::default());
    ensure_topics(&access, &names.specs(&plan), &[]).unwrap();
    let watch = Watch::new(&access, &format!("{app}.summaries"), 1);
    let running = Running::observe(&access, &app, &plan);
    write(&producer(&access), &deleted, 0, &orders(40));
    wait_until_read(&watch, &mut BTreeMap::new(), &deleted, 40);

    // More than was read of the one before it: its offsets alone would not show.
    Admin::new(&access).delete_topic(&deleted);
    let started = Instant::now();
    // The broker may still know the old one for a moment.
    while ensure_topics(&access, &sources[1..], &[]).map_or(true, |made| made.is_empty()) {
        assert!(started.elapsed() < PATIENCE, "{deleted} is not made anew");
    }
    write(&producer(&access), &deleted, 0, &orders(70));

    let (mut from, mut to) = (None, 0);
    watch.until(PATIENCE, |_, payload| {
        let batch: SummaryBatch = wire::decode(payload).unwrap();
        let Some(Header::Observe(lines)) = batch.header else { return false };
        for line in lines.iter().filter(|line| line.topic == deleted && line.to > line.from) {
            from = from.filter(|_| line.from > 0).or(Some(line.from));
            to = line.to;
        }
        (from, to) == (Some(0), 70)
    });
    running.stop().unwrap();
}

#[test]
fn a_source_deleted_while_running_waits_and_the_others_go_on() {
    let (access, app) = (broker(), fresh_app("deleted"));
    let (plan, [kept, deleted]) = plan(&app, &access.bootstrap_servers);
    let sources = [&kept, &deleted].map(|topic| TopicSpec::records(topic, 1));
    ensure_topics(&access, &sources, &[]).unwrap();
    let names = TopicNames::new(&app, &PublicTopics::default());
    ensure_topics(&access, &names.specs(&plan), &[]).unwrap();
    let feed = producer(&access);
    let watch = Watch::new(&access, &format!("{app}.summaries"), 1);
    let mut read = BTreeMap::new();
    let running = Running::observe(&access, &app, &plan);
    for topic in [&kept, &deleted] {
        write(&feed, topic, 0, &orders(40));
        wait_until_read(&watch, &mut read, topic, 40);
    }

    Admin::new(&access).delete_topic(&deleted);
    write(&feed, &kept, 0, &orders(40));
    wait_until_read(&watch, &mut read, &kept, 80);

    ensure_topics(&access, &sources[1..], &[]).unwrap();
    write(&producer(&access), &deleted, 0, &orders(30));
    wait_until_read(&watch, &mut read, &deleted, 30);
    write(&feed, &kept, 0, &orders(10));
    wait_until_read(&watch, &mut read, &kept, 90);
    running.stop().unwrap();
}
