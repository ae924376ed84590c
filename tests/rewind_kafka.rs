//! `driftline rewind` on a real broker: after it the sums are those of the raw records, and the
//! ledger adds up.
#![allow(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    clippy::print_stdout,
    reason = "waits for processes, and says what was measured"
)]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use driftline::assess::Assess;
use driftline::config::plan::Plan;
use driftline::demo::bank::TopicKind;
use driftline::event::finding::{CellTable, FindingBatch, FindingItem, Maturity};
use driftline::event::progress::Header;
use driftline::event::route::{Note, Outbox, SUMMARIES_PARTITIONS};
use driftline::event::summary::SummaryBatch;
use driftline::event::time::EventTime;
use driftline::event::wire;
use driftline::stage::Stage;
use support::again::Internal;
use support::broker::{self, Broker};
use support::running::Running;
use support::settled::{self, TOPICS, driftline, printed};
use support::stream::{HOUR, Stream};

/// What assess says of windows after the last rewind: rows of the dataset, cells of the model.
#[derive(Debug, Default)]
struct Said {
    rows: BTreeMap<i64, u64>,
    predictions: BTreeMap<EventTime, u64>,
    outcomes: BTreeMap<EventTime, (u64, Maturity)>,
}

/// Steps assess through recorded summaries; gives what it said of windows since the last rewind,
/// and the boundaries of that.
fn said(plan: &Arc<Plan>, summaries: &[Internal]) -> (Said, BTreeMap<String, EventTime>) {
    let (mut all, mut boundaries) = (Said::default(), BTreeMap::new());
    for shard in 0..SUMMARIES_PARTITIONS {
        let mut said = Said::default();
        let mut assess = Assess::new(Arc::clone(plan), shard);
        for message in summaries.iter().filter(|message| message.partition == shard) {
            let batch: SummaryBatch = wire::decode(&message.payload).expect("summaries decode");
            if let Some(Header::Rewound(rewound)) = &batch.header {
                let subjects = rewound.subjects.iter();
                boundaries = subjects.map(|(s, from)| (s.to_string(), *from)).collect();
                said = Said::default();
            }
            let mut out = Outbox::default();
            assess.step(message.as_incoming(), &mut out);
            for note in out.notes {
                if let Note::WindowClosed { subject, end_ms, rows } = note
                    && subject == "dataset/orders"
                {
                    let before = said.rows.insert(end_ms - HOUR, rows);
                    assert_eq!(before, None, "a window is closed once");
                }
            }
            for message in out.messages {
                let Ok(batch) = wire::decode::<FindingBatch>(&message.payload) else { continue };
                for item in batch.items {
                    if let FindingItem::Cells(table) = item {
                        take(&mut said, &table);
                    }
                }
            }
        }
        all.rows.extend(said.rows);
        all.predictions.extend(said.predictions);
        all.outcomes.extend(said.outcomes);
    }
    (all, boundaries)
}

fn take(said: &mut Said, table: &CellTable) {
    let n = table.cells.iter().map(|(_, sums, _)| sums.n).sum();
    let labelled = table.cells.iter().map(|(.., outcomes)| outcomes.labelled).sum();
    said.predictions.insert(table.window_start, n);
    said.outcomes.insert(table.window_start, (labelled, table.maturity));
}

/// Records by window, as generated.
fn raw(stream: &Stream, kind: TopicKind) -> BTreeMap<EventTime, u64> {
    let mut rows = BTreeMap::new();
    for row in stream.rows().filter(|row| row.kind == kind) {
        *rows.entry(EventTime(row.time.0.div_euclid(HOUR) * HOUR)).or_default() += 1;
    }
    rows
}

#[test]
fn after_going_back_the_sums_are_those_of_the_raw_records() {
    let broker = Broker::get();
    let app = broker::unique("rewind");
    let stream = Stream::short(&app, 16, broker::now_ms());
    broker.create_topics(&TOPICS.map(|kind| stream.topic(kind)));
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("drift.yaml");
    std::fs::write(&config, stream.config(&broker.servers, None)).expect("written");
    let config_text = config.display().to_string();
    broker.feed(&stream, |_| true);

    // While someone is alive nobody goes back.
    let running = Running::start(folder.path(), &config, &[]);
    settled::wait_until_read(broker, &stream, &running);
    let back_to = stream.bank.start.plus_ms(5 * HOUR + 1);
    let time = back_to.to_string();
    let arguments = ["rewind", "--config", &config_text, "--to", &time];
    let refused = driftline(&arguments);
    assert_eq!(refused.status.code(), Some(75), "{}", printed(&refused));
    assert!(printed(&refused).contains("are alive"), "{}", printed(&refused));
    let (status, _) = running.terminate(Duration::from_secs(10));
    assert_eq!(status.code(), Some(0));

    let before = broker.committed(&format!("{app}.observe"), &stream.topic(TopicKind::Orders));
    let dry = driftline(&[&arguments[..], &["--dry-run"]].concat());
    println!("{}", printed(&dry));
    assert_eq!(dry.status.code(), Some(0), "{}", printed(&dry));
    let after = broker.committed(&format!("{app}.observe"), &stream.topic(TopicKind::Orders));
    assert_eq!(before, after, "--dry-run changes nothing");

    let started = Instant::now();
    let went = driftline(&arguments);
    println!("went back in {:?}", started.elapsed());
    assert_eq!(went.status.code(), Some(0), "{}", printed(&went));
    let after = broker.committed(&format!("{app}.observe"), &stream.topic(TopicKind::Orders));
    assert!(after < before, "offsets went from {before} to {after}");
    settled::run(broker, &stream, folder.path(), &config);

    let (plan, _) = stream.plan(None);
    let summaries = broker.read_all(&format!("{app}.summaries"));
    let summaries: Vec<Internal> = summaries.into_iter().map(Internal::from).collect();
    let (said, boundaries) = said(&Arc::new(plan), &summaries);
    println!("{boundaries:?}");
    let (orders, scores) = (raw(&stream, TopicKind::Orders), raw(&stream, TopicKind::Scores));
    let from = boundaries["dataset/orders"];
    assert_eq!(from, stream.bank.start.plus_ms(5 * HOUR), "the window that holds the time");
    let told: BTreeMap<EventTime, u64> =
        said.rows.iter().map(|(start, n)| (EventTime(*start), *n)).collect();
    assert!(told.len() >= 9, "{told:?}");
    for (start, n) in &told {
        assert!(*start >= from, "{start:?} was not to be counted anew");
        assert_eq!(orders.get(start), Some(n), "orders of {start}");
    }
    assert_eq!(told.keys().next(), Some(&from));
    let from = boundaries["model/fraud"];
    assert!(said.predictions.len() >= 9, "{said:?}");
    for (start, n) in &said.predictions {
        assert!(*start >= from, "{start:?} was not to be counted anew");
        assert_eq!(scores.get(start), Some(n), "predictions of {start}");
    }
    let labelled: Vec<_> =
        said.outcomes.iter().filter(|(_, (_, maturity))| *maturity == Maturity::Final).collect();
    assert!(!labelled.is_empty(), "{said:?}");
    for (start, (labelled, _)) in labelled {
        assert_eq!(scores.get(start), Some(labelled), "every prediction of {start} has a label");
    }

    let verified = driftline(&["verify", "--config", &config_text, "--records"]);
    let text = printed(&verified);
    println!("{text}");
    assert_eq!(verified.status.code(), Some(0), "{text}");
}
