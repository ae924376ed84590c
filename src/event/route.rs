//! Where a stage's outputs go. Stages name places; the runtime knows topics.

use super::public::PublicEvent;

/// Partitions of `facts`. For ever: more would need a new `app` prefix.
pub const FACTS_PARTITIONS: i32 = 8;
/// Partitions of `summaries`. For ever, as above.
pub const SUMMARIES_PARTITIONS: i32 = 8;

/// An internal topic, and the partition where the writer chooses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// `facts`.
    Facts(i32),
    /// `summaries`.
    Summaries(i32),
    /// `findings`, one partition.
    Findings,
    /// `layouts`, one compacted partition, read by every instance of observe.
    Layouts,
    /// `quarantine`; any partition.
    Quarantine,
}

/// A message to an internal topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Where to.
    pub route: Route,
    /// Key, where compaction or people need one.
    pub key: Option<Vec<u8>>,
    /// Body.
    pub payload: Vec<u8>,
    /// Headers.
    pub headers: Vec<(String, Vec<u8>)>,
}

/// Everything a stage wants done; the runtime does it in one transaction.
#[derive(Debug, Default)]
pub struct Outbox {
    /// Messages to internal topics.
    pub messages: Vec<Outgoing>,
    /// Public events, encoded by `publish`.
    pub events: Vec<PublicEvent>,
    /// For operators: becomes metrics and log lines, not messages.
    pub notes: Vec<Note>,
}

impl Outbox {
    /// Nothing to do.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.events.is_empty() && self.notes.is_empty()
    }

    /// Empties it, keeping its memory.
    pub fn clear(&mut self) {
        self.messages.clear();
        self.events.clear();
        self.notes.clear();
    }
}

/// Something an operator should be able to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// An internal message that this build cannot read; it was passed over.
    Undecodable {
        /// Which stage met it.
        stage: &'static str,
        /// What was wrong.
        reason: String,
    },
    /// How far a dataset has come in learning.
    Learning {
        /// Dataset name.
        dataset: String,
        /// The layout has been read from a sample.
        layout: bool,
        /// Windows in the baseline.
        baseline_windows: u32,
        /// Windows it needs.
        baseline_windows_needed: u32,
    },
    /// A window was closed.
    WindowClosed {
        /// `dataset/orders`, `model/fraud`.
        subject: String,
        /// Its end, event-time milliseconds.
        end_ms: i64,
        /// Records or predictions in it.
        rows: u64,
    },
    /// A count that only matters to operators, by a name from the metrics table.
    Count {
        /// `outcome_duplicate`, `outcome_conflict`, `outcome_expired`, `cell_evicted`, ...
        name: &'static str,
        /// Dataset or model.
        subject: String,
        /// How many.
        n: u64,
    },
}

/// The partition a key belongs to: Java's murmur2 partitioner, so that any Kafka tool agrees.
///
/// *Source*: `org.apache.kafka.common.utils.Utils.murmur2` and `toPositive`.
#[must_use]
pub fn partition_of(key: &[u8], partitions: i32) -> i32 {
    let hash = murmur2(key) & 0x7fff_ffff;
    (hash % partitions.unsigned_abs().max(1)).cast_signed()
}

fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c_u32 ^ (data.len() as u32);
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().expect("chunks of four"));
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        k = k.wrapping_mul(M);
        h = h.wrapping_mul(M) ^ k;
    }
    let rest = chunks.remainder();
    for (i, byte) in rest.iter().enumerate().rev() {
        h ^= u32::from(*byte) << (8 * i);
    }
    if !rest.is_empty() {
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn murmur2_agrees_with_kafka() {
        assert_eq!(murmur2(b"21").cast_signed(), -973_932_308);
        assert_eq!(murmur2(b"foobar").cast_signed(), -790_332_482);
        assert_eq!(murmur2(b"a-little-bit-long-string").cast_signed(), -985_981_536);
        assert_eq!(murmur2(b"a-little-bit-longer-string").cast_signed(), -1_486_304_829);
    }
}
