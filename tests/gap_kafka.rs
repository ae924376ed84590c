//! Retention that was faster than an outage, on a real broker: the run ends and names the command
//! that goes on without the lost records; after it they are told by their offsets, and the windows
//! that may have held them are incomplete, and no others.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use driftline::demo::bank::TopicKind;
use driftline::event::finding::{FindingBatch, FindingItem};
use driftline::event::time::EventTime;
use driftline::event::wire;
use support::broker::{self, Broker};
use support::heard::{self, Decoder};
use support::running::Running;
use support::settled::{self, TOPICS, driftline, printed};
use support::stream::{HOUR, Row, Stream};

const PATIENCE: Duration = Duration::from_secs(60);
const PARTITION: i32 = 1;

/// Whether each window of the model was told as complete, when it was closed.
fn complete(broker: &Broker, app: &str) -> BTreeMap<EventTime, bool> {
    let mut windows = BTreeMap::new();
    for read in broker.read_all(&format!("{app}.findings")) {
        let batch: FindingBatch = wire::decode(&read.payload).expect("findings decode");
        for item in batch.items {
            if let FindingItem::Cells(table) = item {
                windows.entry(table.window_start).or_insert(table.complete);
            }
        }
    }
    windows
}

/// What happens while the stream is written: at a window of it, so many times in order.
struct Outage<'a> {
    broker: &'a Broker,
    stream: &'a Stream,
    folder: &'a Path,
    config: &'a Path,
    /// Offsets that were lost, once they are.
    lost: Option<(i64, i64)>,
    running: Option<Running>,
}

impl Outage<'_> {
    fn end(&self) -> i64 {
        let topic = self.stream.topic(TopicKind::Scores);
        self.broker.ends(&topic)[&(topic, PARTITION)]
    }

    /// All is read, then nobody runs.
    fn begins(&mut self) {
        settled::run(self.broker, self.stream, self.folder, self.config);
        self.lost = Some((self.end(), 0));
    }

    /// What was written since is gone.
    fn loses(&mut self) {
        let (from, _) = self.lost.expect("it has begun");
        let topic = self.stream.topic(TopicKind::Scores);
        let until = self.end();
        self.broker.delete_before(&topic, PARTITION, until);
        self.lost = Some((from, until));
    }

    fn ends(&mut self) {
        let (from, until) = self.lost.expect("it has lost something");
        let config = self.config.display().to_string();
        let mut refused = Running::start(self.folder, self.config, &[]);
        assert_eq!(refused.ended(PATIENCE).code(), Some(78), "{}", refused.tail());
        let log = refused.log();
        let gone = format!("retention has taken {} offsets that were not read", until - from);
        assert!(log.contains(&gone), "{gone}\n{}", refused.tail());
        assert!(log.contains("driftline rewind --config FILE --accept-gap"), "{}", refused.tail());

        let back = driftline(&["rewind", "--config", &config, "--to", "earliest", "--dry-run"]);
        println!("{}", printed(&back));
        let accept = ["rewind", "--config", &config, "--accept-gap"];
        let dry = driftline(&[&accept[..], &["--dry-run"]].concat());
        assert_eq!(dry.status.code(), Some(0), "{}", printed(&dry));
        let went = driftline(&accept);
        let said = printed(&went);
        println!("{said}");
        assert_eq!(went.status.code(), Some(0), "{said}");
        let offsets = format!("offsets {from} to {}: {} are gone", until - 1, until - from);
        assert!(said.contains(&offsets), "{offsets}\n{said}");
        let again = driftline(&accept);
        assert_eq!(again.status.code(), Some(78), "{}", printed(&again));
        assert!(printed(&again).contains("no gap to accept"), "{}", printed(&again));

        let running = Running::start(self.folder, self.config, &[]);
        settled::wait_until_read(self.broker, self.stream, &running);
        self.running = Some(running);
    }
}

#[test]
fn lost_records_are_given_up_by_name_and_their_windows_are_incomplete() {
    let broker = Broker::get();
    let app = broker::unique("gap");
    let stream = Stream::short(&app, 16, broker::now_ms());
    broker.create_topics(&TOPICS.map(|kind| stream.topic(kind)));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("drift.yaml");
    std::fs::write(&config, stream.config(&broker.servers, None)).expect("written");
    let at = |window: i64| stream.bank.start.plus_ms(window * HOUR + HOUR / 2);
    let (folder, config) = (folder.path(), config.as_path());
    let mut outage = Outage { broker, stream: &stream, folder, config, lost: None, running: None };
    let mut step = 0;

    broker.feed(&stream, |row: &Row| {
        let (begins, loses, ends) = (at(5), at(7), at(8));
        match step {
            0 if row.time >= begins => outage.begins(),
            1 if row.time >= loses => outage.loses(),
            2 if row.time >= ends => outage.ends(),
            _ => return true,
        }
        step += 1;
        true
    });
    let running = outage.running.take().expect("it runs again");
    settled::wait_until_read(broker, &stream, &running);
    let (status, _) = running.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));

    let (from, until) = outage.lost.expect("offsets were lost");
    assert!(until > from, "something was lost");
    let windows = complete(broker, &app);
    println!("{windows:?}");
    for (start, complete) in &windows {
        let window = start.since_ms(stream.bank.start) / HOUR;
        // Where the outage began and ended, windows were open that lost nothing for certain.
        match window {
            0..=3 | 10.. => assert!(complete, "window {window} lost nothing"),
            5..=7 => assert!(!complete, "window {window} lost records"),
            _ => {}
        }
    }
    assert!(windows.len() >= 13, "{windows:?}");
    let heard = heard::all(broker, &stream, &mut Decoder::new(None));
    let told: Vec<(&str, &str)> = heard
        .iter()
        .filter(|event| event.at("/causes/0/kind") == "integrity")
        .map(|event| {
            let evidence = event.at("/causes/0/evidence").as_str().expect("words");
            (event.kind.as_str(), evidence)
        })
        .collect();
    let offsets = format!("offsets {from} to {} were never counted", until - 1);
    assert_eq!(told, [("incident.opened", &*offsets), ("incident.resolved", &*offsets)]);
    let verified = driftline(&["verify", "--config", &config.display().to_string()]);
    assert_eq!(verified.status.code(), Some(0), "{}", printed(&verified));
}
