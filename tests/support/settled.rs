//! A deployment that reads a stream to its end and is stopped; verbs run on what it left.

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use super::broker::Broker;
use super::running::Running;
use super::stream::Stream;
use super::wait;
use driftline::demo::bank::TopicKind;

/// What a stream is written to.
pub const TOPICS: [TopicKind; 3] = [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels];
/// For one stage to read up.
const READ_WITHIN: Duration = Duration::from_secs(90);

/// Runs until every stage has read all there is for it, then stops as an orchestrator would.
pub fn run(broker: &Broker, stream: &Stream, folder: &Path, config: &Path) {
    let running = Running::start(folder, config, &[]);
    wait_until_read(broker, stream, &running);
    let (status, _) = running.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0), "after SIGTERM");
}

/// Waits until each stage in turn has read all there is for it.
pub fn wait_until_read(broker: &Broker, stream: &Stream, running: &Running) {
    let app = &stream.app;
    let mut steps: Vec<(&str, String)> =
        TOPICS.iter().map(|kind| ("observe", stream.topic(*kind))).collect();
    for (stage, topic) in [("join", "facts"), ("assess", "summaries"), ("decide", "findings")] {
        steps.push((stage, format!("{app}.{topic}")));
    }
    for (stage, topic) in steps {
        let group = format!("{app}.{stage}");
        let made = || format!("{topic} is not made; {}", running.tail());
        wait::until(READ_WITHIN, || broker.has_topic(&topic), made);
        let end = broker.end(&topic);
        let read = || broker.committed(&group, &topic) >= end;
        let failed = || format!("{stage} has not read {topic}; {}", running.tail());
        wait::until(READ_WITHIN, read, failed);
    }
}

/// Runs a verb of the real binary to its end.
pub fn driftline(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_driftline"));
    command.args(arguments).env("NO_COLOR", "1").output().expect("the binary runs")
}

/// Everything a verb printed.
pub fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!("{}\n{}", text(&output.stdout), text(&output.stderr))
}
