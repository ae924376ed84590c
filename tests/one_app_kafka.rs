//! Two processes that claim the same part of one app, on a real broker: one of them ends and says
//! why, and the other goes on.
#![allow(clippy::disallowed_methods, clippy::disallowed_types, reason = "waits for processes")]

mod support;

use std::path::PathBuf;
use std::time::Duration;

use support::broker::{self, Broker};
use support::running::Running;
use support::settled::{self, TOPICS};
use support::stream::Stream;
use tempfile::TempDir;

/// For a process to end that has no business there.
const PATIENCE: Duration = Duration::from_secs(60);

/// A configuration in a folder of its own, where the log of its process is kept as well.
fn home(broker: &Broker, stream: &Stream) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("drift.yaml");
    std::fs::write(&config, stream.config(&broker.servers, None)).expect("written");
    (folder, config)
}

#[test]
fn a_second_deployment_with_the_same_app_is_refused_and_both_are_named() {
    let broker = Broker::get();
    let app = broker::unique("two");
    let stream = Stream::short(&app, 4, broker::now_ms());
    let topics = TOPICS.map(|kind| stream.topic(kind));
    broker.create_topics(&topics);
    let payments = format!("{app}-payments");
    broker.create_topics(std::slice::from_ref(&payments));
    let (first_home, first_config) = home(broker, &stream);
    let (second_home, second_config) = home(broker, &stream);
    let (servers, config) = (&broker.servers, &second_config);
    let other = format!(
        "app: {app}\nkafka: {{ bootstrap_servers: \"{servers}\" }}\nhttp: {{ listen: off }}\n\
         datasets:\n  payments: {{ topic: {payments} }}\n"
    );
    std::fs::write(config, other).expect("written");
    broker.feed(&stream, |_| true);
    let mut first = Running::start(first_home.path(), &first_config, &[]);
    settled::wait_until_read(broker, &stream, &first);

    let mut second = Running::start(second_home.path(), config, &["--slot", "7"]);
    let status = second.ended(PATIENCE);

    assert_eq!(status.code(), Some(78), "{}", second.tail());
    let log = second.log();
    let says = |text: &str| assert!(log.contains(text), "{text}\n{}", second.tail());
    says(&format!("app {app} is in use by another deployment: the group of {app}.observe.0"));
    topics.iter().for_each(|topic| says(topic));
    says(&format!("this configuration reads {payments}"));
    assert!(first.is_alive(), "{}", first.tail());
    let (status, _) = first.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));
}

#[test]
fn of_two_processes_on_one_slot_the_older_ends_and_the_other_goes_on() {
    let broker = Broker::get();
    let app = broker::unique("slot");
    let stream = Stream::short(&app, 4, broker::now_ms());
    broker.create_topics(&TOPICS.map(|kind| stream.topic(kind)));
    let (older_home, older_config) = home(broker, &stream);
    let (newer_home, newer_config) = home(broker, &stream);
    let mut older = Running::start(older_home.path(), &older_config, &["--slot", "2"]);
    broker.feed(&stream, |_| true);
    settled::wait_until_read(broker, &stream, &older);

    let mut newer = Running::start(newer_home.path(), &newer_config, &["--slot", "2"]);
    let status = older.ended(PATIENCE);

    assert_eq!(status.code(), Some(78), "{}", older.tail());
    let said = format!("another process runs slot 2 of app {app}");
    assert!(older.log().contains(&said), "{}", older.tail());
    assert!(older.log().contains("--slot 3"), "{}", older.tail());
    broker.feed(&stream, |_| true);
    settled::wait_until_read(broker, &stream, &newer);
    assert!(newer.is_alive(), "{}", newer.tail());
    let (status, _) = newer.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "{}", newer_home.path().display());
}
