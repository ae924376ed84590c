//! The undisturbed run of a source: everything read in order, nothing fails.

use std::collections::BTreeMap;

use driftline::assess::partition_of_subject;
use driftline::event::finding::Subject;
use driftline::event::layout::{Layout, LayoutUpdate};
use driftline::event::public::PublicEvent;
use driftline::event::route::{Outbox, Route};
use driftline::event::summary::{SampleDelta, SummaryBatch};
use driftline::event::wire;
use driftline::observe::{SourceCommit, Taken};
use driftline::topology::{Recorded, Topology};

use super::broker::Given;
use super::recount::{Totals, recount};
use super::source::{HOLD_MS, SOURCES, START, Source};
use super::verdict::Verdicts;

/// Time between two commits.
const COMMIT_MS: i64 = 10_000;

/// A source with what must come of it.
#[derive(Debug)]
pub struct Calm {
    pub source: Source,
    /// The layout, and the samples it was learnt from, as messages.
    pub given: Vec<Given>,
    pub verdicts: Verdicts,
    /// By hand, with the layout given.
    pub totals: Totals,
    /// Internal messages of the run.
    pub recorded: Vec<Recorded>,
}

impl Calm {
    /// Of a seed. The first run learns a layout, the second is given it.
    pub fn new(seed: u64) -> Calm {
        let source = Source::new(seed);
        let (learning, _) = run(&source, &[]);
        let (layout, given) = given(&learning);
        let (recorded, events) = run(&source, &given);
        let verdicts = Verdicts::of(payloads(&recorded, Route::Findings), &events)
            .unwrap_or_else(|error| panic!("data of seed {seed}: {error}"));
        let summaries = recorded.iter().filter(|m| matches!(m.route, Route::Summaries(_)));
        let told = Totals::told(summaries.map(|message| message.payload.as_slice()));
        let totals = recount(&source, Some(&layout));
        if let Some(difference) = told.difference(&totals) {
            panic!("data of seed {seed}: undisturbed and by hand: {difference}");
        }
        Calm { source, given, verdicts, totals, recorded }
    }
}

fn payloads(recorded: &[Recorded], route: Route) -> impl Iterator<Item = &[u8]> {
    let of_route = recorded.iter().filter(move |message| message.route == route);
    of_route.map(|message| message.payload.as_slice())
}

/// The layout a run learnt and the samples it had by then.
fn given(recorded: &[Recorded]) -> (Layout, Vec<Given>) {
    let mut samples: Vec<SampleDelta> = Vec::new();
    for message in recorded {
        match message.route {
            Route::Layouts => {
                let mut update: LayoutUpdate = wire::decode(&message.payload).expect("decodes");
                let Some(layout) = &mut update.layout else { continue };
                layout.effective_from.0 = START;
                let layout = layout.clone();
                let home = partition_of_subject(&Subject::Dataset("orders".into()));
                let batch = SummaryBatch { samples, ..SummaryBatch::default() };
                let key = Some(b"orders".to_vec());
                let given = vec![
                    (("summaries", home), None, wire::encode(&batch)),
                    (("layouts", 0), key, wire::encode(&update)),
                ];
                return (layout, given);
            }
            Route::Summaries(_) => {
                let batch: SummaryBatch = wire::decode(&message.payload).expect("decodes");
                samples.extend(batch.samples);
            }
            Route::Facts(_) | Route::Findings | Route::Quarantine => {}
        }
    }
    panic!("no layout was learnt");
}

fn run(source: &Source, given: &[Given]) -> (Vec<Recorded>, Vec<PublicEvent>) {
    let mut topology = Topology::new(&source.plan);
    let mut out = Outbox::default();
    topology.start_recording();
    for ((topic, partition), _, payload) in given {
        let route = if *topic == "layouts" { Route::Layouts } else { Route::Summaries(*partition) };
        topology.deliver(route, payload.clone(), START, &mut out);
    }
    let mut counts: BTreeMap<&str, i32> = source.partitions.clone();
    assign(&mut topology, &counts, &[]);
    let (mut committed_ms, mut grows) = (START, source.grows);
    for row in &source.rows {
        if row.append_ms - committed_ms > COMMIT_MS || grows.is_some_and(|g| g.1 < row.append_ms) {
            committed_ms = row.append_ms;
            all_at_end(&mut topology, &counts);
            let commits = topology.commit(row.append_ms, &mut out);
            if let Some((topic, _)) = grows.take_if(|grown| grown.1 < row.append_ms) {
                *counts.get_mut(topic).expect("a source") += 1;
                topology.observe().rewind();
                assign(&mut topology, &counts, &commits);
            }
        }
        let taken = row.with_source(|record| topology.observe().record(record, &mut out));
        assert_eq!(taken, Taken::Done, "{row:?}");
    }
    all_at_end(&mut topology, &counts);
    let end_ms = source.last_append_ms();
    topology.commit(end_ms, &mut out);
    topology.commit(end_ms + HOLD_MS + 1_000, &mut out);
    (topology.recorded().to_vec(), out.events)
}

/// What is read in order of arrival is read to the end whenever one looks.
fn all_at_end(topology: &mut Topology, counts: &BTreeMap<&str, i32>) {
    for topic in SOURCES {
        for partition in 0..counts[topic] {
            topology.observe().at_end(topic, partition, true);
        }
    }
}

fn assign(topology: &mut Topology, counts: &BTreeMap<&str, i32>, commits: &[SourceCommit]) {
    for (topic, count) in counts {
        for partition in 0..*count {
            let known = commits.iter().find(|commit| {
                (commit.progress.topic.as_str(), commit.progress.partition) == (topic, partition)
            });
            let (next, metadata) =
                known.map_or((0, ""), |known| (known.progress.to, known.metadata.as_str()));
            topology.observe().assign(topic, partition, *count, next, metadata);
        }
    }
}
