//! The same stream through the stages chained in memory: what an undisturbed run says.

use std::sync::Arc;

use driftline::config::plan::Plan;
use driftline::event::public::{EventData, PublicEvent};
use driftline::event::route::Outbox;
use driftline::observe::Taken;
use driftline::topology::Topology;

use super::stream::{HOUR, PARTITIONS, Row, Stream};
use driftline::demo::bank::TopicKind;

/// Runs a stream to its end in order of event time, committing every few minutes of it.
pub fn run(stream: &Stream, plan: &Arc<Plan>, now_ms: i64) -> (Topology, Vec<PublicEvent>) {
    let mut topology = Topology::new(plan);
    topology.start_recording();
    stream.assign(topology.observe());
    let mut out = Outbox::default();
    let mut committed = stream.bank.start;
    for row in stream.rows() {
        if row.time.since_ms(committed) > HOUR / 12 {
            topology.commit(now_ms, &mut out);
            committed = row.time;
        }
        hand_in(&mut topology, stream, &row, now_ms, &mut out);
    }
    finish(&mut topology, stream, now_ms, &mut out);
    (topology, out.events)
}

/// Hands one row to observe, which must take it.
pub fn hand_in(topology: &mut Topology, stream: &Stream, row: &Row, now_ms: i64, out: &mut Outbox) {
    let observe = topology.observe();
    let taken =
        row.with_source(&stream.topic(row.kind), now_ms, |record| observe.record(record, out));
    assert_eq!(taken, Taken::Done, "{} at {:?}", row.key, row.time);
}

/// Says that everything has been read.
pub fn finish(topology: &mut Topology, stream: &Stream, now_ms: i64, out: &mut Outbox) {
    for kind in [TopicKind::Orders, TopicKind::Scores, TopicKind::Labels] {
        for partition in 0..PARTITIONS {
            topology.observe().at_end(&stream.topic(kind), partition, true);
        }
    }
    topology.commit(now_ms, out);
}

/// An alarm as it opened: subject, field, kind, version, first window.
pub type Opened = (String, String, String, Option<String>, i64);

/// Alarms that opened.
pub fn opened(events: &[PublicEvent]) -> Vec<Opened> {
    let mut opened: Vec<Opened> = events
        .iter()
        .filter_map(|event| match &event.data {
            EventData::Alarm(data) if data.state == "opened" => Some((
                data.subject.clone(),
                data.field.clone(),
                data.kind.clone(),
                data.schema_version.clone(),
                data.first_seen_ms,
            )),
            _ => None,
        })
        .collect();
    opened.sort();
    opened
}
