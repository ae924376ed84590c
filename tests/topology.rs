//! The four stages in memory: order of reading, replay and crashes change nothing that is said.
//!
//! Every seed is printed with its failure.
#![allow(clippy::print_stdout, reason = "says what was measured")]

mod support;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use driftline::assess::{Assess, partition_of_subject};
use driftline::config::plan::Plan;
use driftline::decide::Decide;
use driftline::demo::bank::BankPlan;
use driftline::event::finding::{FindingBatch, FindingItem, Subject};
use driftline::event::layout::LayoutUpdate;
use driftline::event::progress::Header;
use driftline::event::public::{EventData, IncidentData, PublicEvent};
use driftline::event::route::{Outbox, Route, SUMMARIES_PARTITIONS};
use driftline::event::summary::{SampleDelta, SummaryBatch};
use driftline::event::time::EventTime;
use driftline::event::wire;
use driftline::stage::Stage;
use driftline::topology::{Recorded, Topology};
use support::again::{self, Internal};
use support::ledger::{self, Ends};
use support::memory;
use support::random::Random;
use support::stream::{Form, HOUR, Row, Stream, VERSION_HEADER};

const NOW: i64 = 1_760_000_400_000 + 40 * HOUR;

/// A small stream with a strong effect: what is said must not hang by a thread.
fn small() -> Stream {
    let story = Stream::story("small", Form::Json, NOW);
    let bank = BankPlan { windows: 26, onset_window: 19, rows_per_window: 1_200, ..story.bank };
    Stream { bank, stronger: Some(3), ..story }
}

/// One undisturbed run, recorded.
struct Whole {
    stream: Stream,
    plan: Arc<Plan>,
    recorded: Vec<Recorded>,
    events: Vec<PublicEvent>,
}

fn whole() -> &'static Whole {
    static WHOLE: OnceLock<Whole> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let stream = small();
        let plan = Arc::new(stream.plan(None).0);
        let (topology, events) = memory::run(&stream, &plan, NOW);
        Whole { recorded: topology.recorded().to_vec(), stream, plan, events }
    })
}

impl Whole {
    /// What one internal topic held, with the offsets it would have had.
    fn topic(&self, wanted: impl Fn(Route) -> Option<i32>) -> Vec<Internal> {
        let mut next: BTreeMap<i32, i64> = BTreeMap::new();
        let of_topic = self.recorded.iter().filter_map(|message| {
            let partition = wanted(message.route)?;
            let offset = next.entry(partition).or_default();
            *offset += 1;
            let (timestamp_ms, payload) = (message.timestamp_ms, message.payload.clone());
            Some(Internal { partition, offset: *offset - 1, timestamp_ms, payload })
        });
        of_topic.collect()
    }

    fn summaries(&self) -> Vec<Internal> {
        self.topic(|route| match route {
            Route::Summaries(partition) => Some(partition),
            _ => None,
        })
    }

    fn findings(&self) -> Vec<Internal> {
        self.topic(|route| (route == Route::Findings).then_some(0))
    }

    /// The layout that was learnt, with the window it begins to hold in.
    fn pinned(&self) -> LayoutUpdate {
        let updates = self.recorded.iter().filter(|message| message.route == Route::Layouts);
        let learnt = updates
            .map(|message| wire::decode::<LayoutUpdate>(&message.payload).expect("decodes"))
            .find(|update| update.layout.is_some());
        learnt.expect("a layout was learnt")
    }

    /// The samples it was learnt from: everything told before it.
    fn samples(&self) -> Vec<SampleDelta> {
        let learnt = |message: &&Recorded| {
            message.route != Route::Layouts
                || wire::decode::<LayoutUpdate>(&message.payload).is_ok_and(|u| u.layout.is_none())
        };
        let before = self.recorded.iter().take_while(learnt);
        before
            .filter(|message| matches!(message.route, Route::Summaries(_)))
            .flat_map(|message| {
                let batch: SummaryBatch = wire::decode(&message.payload).expect("decodes");
                batch.samples
            })
            .collect()
    }
}

fn sentences(events: &[PublicEvent]) -> String {
    let line = |e: &PublicEvent| format!("{} {} {}", e.id, e.data.type_name(), e.data.sentence());
    events.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn requests(events: &[PublicEvent]) -> Vec<String> {
    let request = |event: &PublicEvent| match &event.data {
        EventData::ActionRequested(data) => Some(data.action.clone()),
        EventData::RetrainRequested(_) => Some("retrain".to_owned()),
        _ => None,
    };
    events.iter().filter_map(request).collect()
}

#[test]
fn undisturbed_run_tells_the_story() {
    let whole = whole();

    let said = sentences(&whole.events);
    assert_eq!(requests(&whole.events), ["hold", "fix_upstream"], "{said}");
    let ids: std::collections::BTreeSet<&str> =
        whole.events.iter().map(|event| event.id.as_str()).collect();
    assert_eq!(ids.len(), whole.events.len(), "{said}");
}

/// What must not depend on the order of reading: alarms with their figures, the incident's cause.
/// A hold is asked for only while outcomes are still to come, which can be over where labels are
/// read far ahead of orders.
#[derive(Debug, Default, PartialEq)]
struct Verdicts {
    /// By alarm, revision and state: the figures.
    alarms: BTreeMap<(u64, u32, String), String>,
    causes: Vec<(String, Option<String>)>,
    schemas: Vec<String>,
    requests: Vec<String>,
}

fn verdicts(recorded: &[Recorded], events: &[PublicEvent]) -> Verdicts {
    let mut requests = requests(events);
    requests.retain(|request| request != "hold");
    let mut verdicts = Verdicts { requests, ..Verdicts::default() };
    for message in recorded.iter().filter(|message| message.route == Route::Findings) {
        let batch: FindingBatch = wire::decode(&message.payload).expect("decodes");
        for item in batch.items {
            let FindingItem::Alarm(alarm) = item else { continue };
            let finding = &alarm.finding;
            let state = format!("{:?}", alarm.state);
            let figures = format!(
                "{} {:?} p={} value={} {:?} rows {}/{} {:?}",
                finding.series,
                finding.window_start,
                finding.p_value,
                finding.value,
                finding.effect,
                finding.rows_window,
                finding.rows_baseline,
                finding.change
            );
            verdicts.alarms.insert((alarm.id, alarm.revision, state), figures);
        }
    }
    for event in events {
        match &event.data {
            EventData::Incident(data) if data.state == "opened" => {
                let cause = &data.causes[0];
                let name = (cause.kind.clone(), cause.schema_version.clone());
                verdicts.causes.push(name);
            }
            EventData::SchemaChanged(data) => {
                verdicts.schemas.push(format!("{} {}", data.schema_version, data.previous_version));
            }
            _ => {}
        }
    }
    verdicts
}

/// The stream's partitions, read in an order a seed draws: now one is ahead, now another.
fn interleaved(whole: &Whole, rows: &[Row], seed: u64) -> Verdicts {
    let (stream, mut random) = (&whole.stream, Random::new(seed));
    let mut topology = Topology::new(&whole.plan);
    let mut out = Outbox::default();
    let samples = SummaryBatch {
        header: None,
        datasets: Vec::new(),
        models: Vec::new(),
        outcomes: Vec::new(),
        samples: whole.samples(),
        schemas: Vec::new(),
    };
    let home = partition_of_subject(&Subject::Dataset("orders".into()));
    topology.deliver(Route::Summaries(home), wire::encode(&samples), NOW, &mut out);
    topology.deliver(Route::Layouts, wire::encode(&whole.pinned()), NOW, &mut out);
    topology.start_recording();
    stream.assign(topology.observe());
    let mut partitions: BTreeMap<_, Vec<&Row>> = BTreeMap::new();
    for row in rows {
        partitions.entry((row.kind, row.partition)).or_default().push(row);
    }
    let mut queues: Vec<_> = partitions.into_values().map(|rows| rows.into_iter()).collect();
    let mut left = rows.len();
    while left > 0 {
        let index = (random.bits() % queues.len() as u64) as usize;
        let run = 1 + random.bits() % [3, 60, 600, 1_500][(random.bits() % 4) as usize];
        for _ in 0..run {
            let Some(row) = queues[index].next() else { break };
            left -= 1;
            memory::hand_in(&mut topology, stream, row, NOW, &mut out);
            if queues[index].len() == 0 {
                let topic = stream.topic(row.kind);
                topology.observe().at_end(&topic, row.partition, true);
            }
        }
        if random.one_in(3) {
            topology.commit(NOW, &mut out);
        }
    }
    topology.commit(NOW, &mut out);
    verdicts(topology.recorded(), &out.events)
}

#[test]
fn any_order_of_reading_partitions_gives_the_same_verdicts() {
    let whole = whole();
    let rows: Vec<Row> = whole.stream.rows().collect();
    let first = interleaved(whole, &rows, 0);
    assert!(first.alarms.len() >= 3, "there is something to compare: {first:#?}");
    assert_eq!(first.requests, ["fix_upstream"], "{first:#?}");
    assert_eq!(first.causes, [("schema_change".to_owned(), Some("13".to_owned()))]);

    for seed in 1..=12 {
        assert_eq!(interleaved(whole, &rows, seed), first, "seed {seed}");
    }
}

#[test]
fn recorded_summaries_give_the_same_findings_and_events_byte_for_byte() {
    let whole = whole();
    let findings = whole.findings();

    again::assert_same_findings(&whole.plan, &whole.summaries(), &findings);
    assert_eq!(again::events_of(&whole.plan, &findings), whole.events);
}

/// What a stage says of a partition when it crashes after every message a seed picks, comes back
/// from its last checkpoint and reads the rest again in silence.
fn crashing<S: Stage>(
    fresh: impl Fn() -> S,
    messages: &[Internal],
    (checkpoint_every, crash_every): (u64, u64),
    random: &mut Random,
) -> (Outbox, u32) {
    let mut stage = fresh();
    let mut state: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
    let (mut said, mut saved, mut crashes) = (Outbox::default(), 0, 0);
    for (index, message) in messages.iter().enumerate() {
        stage.step(message.as_incoming(), &mut said);
        if random.one_in(4) {
            stage.commit(message.offset + 1, &mut said);
        }
        if random.one_in(checkpoint_every) {
            for (key, value) in stage.checkpoint() {
                match value {
                    Some(value) => state.insert(key, value),
                    None => state.remove(&key),
                };
            }
            saved = index + 1;
        }
        if random.one_in(crash_every) {
            crashes += 1;
            stage = fresh();
            for (key, value) in &state {
                stage.restore(key, value).expect("its own entries");
            }
            let mut silent = Outbox::default();
            for message in &messages[saved..=index] {
                stage.step(message.as_incoming(), &mut silent);
            }
            stage.replayed("");
            stage.commit(message.offset + 1, &mut silent);
        }
    }
    (said, crashes)
}

#[test]
fn assess_that_crashes_anywhere_says_the_same() {
    let whole = whole();
    let summaries = whole.summaries();
    let before = again::by_shard(&whole.findings());
    let mut crashes = 0;
    for seed in 0..6 {
        let mut random = Random::new(seed);
        for (shard, findings) in &before {
            let messages: Vec<Internal> =
                summaries.iter().filter(|m| m.partition == *shard).cloned().collect();
            let fresh = || Assess::new(Arc::clone(&whole.plan), *shard);
            let pace = (1 + seed * 3, 2 + seed);
            let (said, crashed) = crashing(fresh, &messages, pace, &mut random);
            crashes += crashed;
            let findings_again = said.messages.iter().filter(|m| m.route == Route::Findings);
            let again: Vec<&Vec<u8>> = findings_again.map(|message| &message.payload).collect();
            assert_eq!(again, findings.iter().collect::<Vec<_>>(), "seed {seed}, shard {shard}");
            let layouts = said.messages.iter().filter(|m| m.route == Route::Layouts).count();
            let learnt = if *shard == partition_of_subject(&Subject::Dataset("orders".into())) {
                whole.recorded.iter().filter(|m| m.route == Route::Layouts).count()
            } else {
                0
            };
            assert_eq!(layouts, learnt, "seed {seed}, shard {shard}");
        }
    }
    println!("{crashes} crashes");
}

#[test]
fn decide_that_crashes_anywhere_says_the_same() {
    let whole = whole();
    let findings = whole.findings();
    let mut crashes = 0;
    for seed in 0..12 {
        let mut random = Random::new(seed);
        let fresh = || Decide::new(Arc::clone(&whole.plan));
        let pace = (1 + seed % 12, 2 + seed % 5);
        let (said, crashed) = crashing(fresh, &findings, pace, &mut random);
        crashes += crashed;
        assert_eq!(said.events, whole.events, "seed {seed}");
    }
    println!("{crashes} crashes");
}

/// A version that one partition shows two windows late, but is read there first, still begins with
/// its first record.
#[test]
fn version_met_first_in_a_partition_far_ahead_begins_with_its_first_record() {
    let whole = whole();
    let onset = whole.stream.bank.start.plus_ms(i64::from(whole.stream.bank.onset_window) * HOUR);
    let begins_here = onset.plus_ms(2 * HOUR);
    let is_v13 =
        |row: &Row| row.headers.iter().any(|(name, v)| *name == VERSION_HEADER && v == "13");
    let mut rows: Vec<Row> = whole.stream.rows().collect();
    rows.retain(|row| row.partition != 0 || row.time >= begins_here || !is_v13(row));
    // Partition 0 is read three windows into version 13 before the others come to it.
    let ahead = |row: &Row| row.partition == 0 && row.time < begins_here.plus_ms(HOUR);
    rows.sort_by_key(|row| (row.time >= onset && !ahead(row), row.time));
    let mut topology = Topology::new(&whole.plan);
    let mut out = Outbox::default();
    topology.start_recording();
    whole.stream.assign(topology.observe());
    for (index, row) in rows.iter().enumerate() {
        memory::hand_in(&mut topology, &whole.stream, row, NOW, &mut out);
        if index % 200 == 0 {
            topology.commit(NOW, &mut out);
        }
    }
    memory::finish(&mut topology, &whole.stream, NOW, &mut out);

    let said = sentences(&out.events);
    let incidents: Vec<&IncidentData> = out
        .events
        .iter()
        .filter_map(|event| match &event.data {
            EventData::Incident(data) => Some(&**data),
            _ => None,
        })
        .collect();
    let firsts: Vec<EventTime> = incidents.iter().map(|i| EventTime(i.first_seen_ms)).collect();
    assert!(firsts.iter().all(|first| *first == onset), "{firsts:?}\n{said}");
    let first = incidents.first().unwrap_or_else(|| panic!("no incident:\n{said}"));
    assert_eq!(first.causes[0].schema_version.as_deref(), Some("13"), "{first:#?}\n{said}");
    assert_eq!(requests(&out.events).last().map(String::as_str), Some("fix_upstream"), "{said}");
}

/// The checker of the Kafka runs sees faults: a commit lost, and one read twice.
#[test]
fn checker_sees_what_is_lost_and_what_is_doubled() {
    let whole = whole();
    let summaries = whole.summaries();
    let mut ends = Ends::new();
    for row in whole.stream.rows() {
        ends.insert((whole.stream.topic(row.kind), row.partition), row.offset + 1);
    }
    let check = |summaries: &[Internal]| {
        let check =
            || ledger::assert_contiguous("summaries", summaries, SUMMARIES_PARTITIONS, &ends);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(check)).is_ok()
    };
    let with_header = |message: &Internal| {
        let batch: SummaryBatch = wire::decode(&message.payload).expect("decodes");
        matches!(batch.header, Some(Header::Observe(_)))
    };
    let victim =
        (summaries.len() / 2..).find(|index| with_header(&summaries[*index])).expect("one");
    let (mut lost, mut doubled) = (summaries.clone(), summaries.clone());
    lost.remove(victim);
    doubled.insert(victim, summaries[victim].clone());

    assert!(check(&summaries), "as recorded");
    assert!(!check(&lost), "a commit lost");
    assert!(!check(&doubled), "a commit doubled");
    assert!(!check(&summaries[..summaries.len() / 2]), "the end lost");
}
