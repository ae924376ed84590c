//! Checks internal topics: every record of every source in exactly one commit, every sum exact.

use std::collections::BTreeMap;

use driftline::event::cell::ModelCellKey;
use driftline::event::fact::FactBatch;
use driftline::event::progress::{Header, Progress};
use driftline::event::summary::{OutcomeSums, SummaryBatch};
use driftline::event::time::EventTime;
use driftline::event::wire;

use super::again::Internal;

/// Next offset of each source partition.
pub type Ends = BTreeMap<(String, i32), i64>;
/// Outcomes by window and cell.
pub type Outcomes = BTreeMap<(EventTime, ModelCellKey), OutcomeSums>;

/// What the summaries of a run add up to.
#[derive(Debug, Default)]
pub struct Totals {
    /// Rows of the dataset by window.
    pub rows: BTreeMap<EventTime, u64>,
    /// Predictions by window.
    pub predictions: BTreeMap<EventTime, u64>,
    /// Outcomes.
    pub outcomes: Outcomes,
    /// Commits of observe.
    pub commits: usize,
}

/// Adds summaries up.
pub fn totals<'a>(summaries: impl IntoIterator<Item = &'a [u8]>) -> Totals {
    let mut totals = Totals::default();
    for payload in summaries {
        let batch: SummaryBatch = wire::decode(payload).expect("summaries decode");
        for delta in &batch.datasets {
            let rows: u64 = delta.cells.iter().map(|cell| cell.rows).sum();
            *totals.rows.entry(delta.window).or_default() += rows;
        }
        for delta in &batch.models {
            let n: u64 = delta.cells.iter().map(|(_, sums)| sums.n).sum();
            *totals.predictions.entry(delta.window).or_default() += n;
        }
        for delta in batch.outcomes {
            totals.outcomes.entry((delta.window, delta.key)).or_default().merge(&delta.sums);
        }
    }
    totals
}

/// Holds the headers of one internal topic to the ledger's rules, in each of its partitions:
/// ranges of a source partition follow each other from 0 to its end, and what became of the
/// records adds up to the range. Gives the number of commits.
pub fn assert_contiguous(
    topic: &str,
    messages: &[Internal],
    partitions: i32,
    ends: &Ends,
) -> usize {
    let mut commits = 0;
    for partition in 0..partitions {
        let mut reached: Ends = BTreeMap::new();
        for message in messages.iter().filter(|message| message.partition == partition) {
            let Some(lines) = header(topic, &message.payload) else { continue };
            commits += 1;
            for line in lines {
                let place = (line.topic.clone(), line.partition);
                let before = reached.insert(place, line.to).unwrap_or(0);
                let at = format!("{topic}/{partition} offset {}: {line:?}", message.offset);
                assert!(line.from <= before, "lost {before}..{} at {at}", line.from);
                assert!(line.from >= before, "doubled {}..{before} at {at}", line.from);
                let counted = i64::try_from(line.counts.total()).expect("small");
                assert_eq!(counted, line.to - line.from, "counts and range differ at {at}");
                assert_eq!(line.counts.accepted, line.counts.total(), "set aside at {at}");
            }
        }
        assert_eq!(&reached, ends, "{topic}/{partition} ends where its sources end");
    }
    commits
}

fn header(topic: &str, payload: &[u8]) -> Option<Vec<Progress>> {
    if topic.ends_with("facts") {
        let batch: FactBatch = wire::decode(payload).expect("facts decode");
        return batch.header;
    }
    let batch: SummaryBatch = wire::decode(payload).expect("summaries decode");
    match batch.header {
        Some(Header::Observe(lines)) => Some(lines),
        Some(Header::Join(_) | Header::Rewound(_)) | None => None,
    }
}

/// Holds join's own headers to the same rule: per partition of `facts`, ranges follow each other.
pub fn assert_join_contiguous(summaries: &[Internal], partitions: i32) {
    for partition in 0..partitions {
        let mut reached: BTreeMap<i32, i64> = BTreeMap::new();
        for message in summaries.iter().filter(|message| message.partition == partition) {
            let batch: SummaryBatch = wire::decode(&message.payload).expect("summaries decode");
            let Some(Header::Join(progress)) = batch.header else { continue };
            let before = reached.insert(progress.partition, progress.to);
            let before = before.unwrap_or(progress.from);
            assert_eq!(progress.from, before, "summaries/{partition}: {progress:?}");
        }
    }
}
