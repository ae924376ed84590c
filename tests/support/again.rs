//! Recorded internal messages once more through fresh stages: the same bytes must come out.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftline::assess::Assess;
use driftline::config::plan::Plan;
use driftline::decide::Decide;
use driftline::event::finding::FindingBatch;
use driftline::event::public::PublicEvent;
use driftline::event::route::{Outbox, Route, SUMMARIES_PARTITIONS};
use driftline::event::wire;
use driftline::stage::{Incoming, Stage};

use super::broker::Read;

/// A message of an internal topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Internal {
    pub partition: i32,
    pub offset: i64,
    pub timestamp_ms: i64,
    pub payload: Vec<u8>,
}

impl Internal {
    pub fn as_incoming(&self) -> Incoming<'_> {
        let (offset, timestamp_ms, payload) = (self.offset, self.timestamp_ms, &self.payload[..]);
        Incoming { offset, timestamp_ms, payload }
    }
}

impl From<Read> for Internal {
    fn from(read: Read) -> Internal {
        let Read { partition, offset, timestamp_ms, payload, .. } = read;
        Internal { partition, offset, timestamp_ms, payload }
    }
}

/// What assess says of summaries, by shard.
pub fn findings_of(plan: &Arc<Plan>, summaries: &[Internal]) -> BTreeMap<i32, Vec<Vec<u8>>> {
    let mut said: BTreeMap<i32, Vec<Vec<u8>>> = BTreeMap::new();
    for shard in 0..SUMMARIES_PARTITIONS {
        let mut assess = Assess::new(Arc::clone(plan), shard);
        let mut out = Outbox::default();
        for message in summaries.iter().filter(|message| message.partition == shard) {
            assess.step(message.as_incoming(), &mut out);
        }
        let findings = out.messages.into_iter().filter(|message| message.route == Route::Findings);
        let findings: Vec<Vec<u8>> = findings.map(|message| message.payload).collect();
        if !findings.is_empty() {
            said.insert(shard, findings);
        }
    }
    said
}

/// Recorded findings by the shard that said them.
pub fn by_shard(findings: &[Internal]) -> BTreeMap<i32, Vec<Vec<u8>>> {
    let mut said: BTreeMap<i32, Vec<Vec<u8>>> = BTreeMap::new();
    for message in findings {
        let batch: FindingBatch = wire::decode(&message.payload).expect("findings decode");
        said.entry(batch.shard).or_default().push(message.payload.clone());
    }
    said
}

/// What decide says of findings.
pub fn events_of(plan: &Arc<Plan>, findings: &[Internal]) -> Vec<PublicEvent> {
    let mut decide = Decide::new(Arc::clone(plan));
    let mut out = Outbox::default();
    findings.iter().for_each(|message| decide.step(message.as_incoming(), &mut out));
    out.events
}

/// Holds findings to what assess says of the summaries once more.
pub fn assert_same_findings(plan: &Arc<Plan>, summaries: &[Internal], findings: &[Internal]) {
    let (again, before) = (findings_of(plan, summaries), by_shard(findings));
    let shards = |said: &BTreeMap<i32, Vec<Vec<u8>>>| -> Vec<(i32, usize)> {
        said.iter().map(|(shard, messages)| (*shard, messages.len())).collect()
    };
    for (shard, messages) in &before {
        let other = again.get(shard).map_or(&[][..], Vec::as_slice);
        for (index, (before, again)) in messages.iter().zip(other).enumerate() {
            if before != again {
                let decoded = |bytes: &[u8]| wire::decode::<FindingBatch>(bytes).expect("ours");
                let (before, again) = (decoded(before), decoded(again));
                panic!("shard {shard}, message {index}: {before:#?}\nagain: {again:#?}");
            }
        }
    }
    assert_eq!(shards(&before), shards(&again), "(shard, messages)");
}
