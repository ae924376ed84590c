//! A stage that counts: each output says what it was made from and what the memory held.

use std::collections::BTreeMap;

use driftline::event::route::{Outbox, Outgoing, Route};
use driftline::stage::{Incoming, Restart, Stage, StateEntry};

/// Counts its messages by their value modulo ten.
pub struct Counter {
    partition: i32,
    totals: BTreeMap<u8, u64>,
    changed: BTreeMap<u8, u64>,
}

impl Counter {
    pub fn new(partition: i32) -> Counter {
        Counter { partition, totals: BTreeMap::new(), changed: BTreeMap::new() }
    }
}

impl Stage for Counter {
    const NAME: &'static str = "assess";
    const RESTART: Restart = Restart::Checkpoint;

    fn step(&mut self, message: Incoming<'_>, out: &mut Outbox) {
        let value = u64::from_le_bytes(message.payload.try_into().unwrap());
        let class = (value % 10) as u8;
        let total = self.totals.entry(class).or_default();
        *total += value;
        self.changed.insert(class, *total);
        let mut payload = message.offset.to_le_bytes().to_vec();
        payload.extend(total.to_le_bytes());
        out.messages.push(Outgoing {
            route: Route::Facts(self.partition),
            key: None,
            payload,
            headers: Vec::new(),
        });
    }

    fn commit(&mut self, next_offset: i64, _out: &mut Outbox) -> String {
        next_offset.to_string()
    }

    fn replay_from(_metadata: &str, committed: i64) -> i64 {
        committed
    }

    fn replayed(&mut self, metadata: &str) {
        assert!(metadata.parse::<i64>().is_ok(), "metadata must come back: {metadata:?}");
    }

    fn checkpoint(&mut self) -> Vec<StateEntry> {
        let changed = std::mem::take(&mut self.changed);
        let entry = |(class, total): (u8, u64)| (vec![class], Some(total.to_le_bytes().to_vec()));
        changed.into_iter().map(entry).collect()
    }

    fn restore(&mut self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let value = value.try_into().map_err(|_| "not a total".to_owned())?;
        self.totals.insert(key[0], u64::from_le_bytes(value));
        Ok(())
    }
}

/// Holds outputs against what an undisturbed run must say: each input once, with the right total.
#[derive(Default)]
pub struct Ledger {
    next: BTreeMap<i32, i64>,
    totals: BTreeMap<(i32, u8), u64>,
    pub seen: usize,
}

impl Ledger {
    /// Takes an output in order and returns the offset it was made from; `value_of` is the input
    /// at (partition, offset).
    pub fn take(
        &mut self,
        partition: i32,
        payload: &[u8],
        value_of: impl Fn(i32, i64) -> u64,
    ) -> i64 {
        let offset = i64::from_le_bytes(payload[..8].try_into().unwrap());
        let total = u64::from_le_bytes(payload[8..].try_into().unwrap());
        let next = self.next.entry(partition).or_default();
        assert_eq!(offset, *next, "partition {partition}: lost or repeated");
        *next += 1;
        let value = value_of(partition, offset);
        let expected = self.totals.entry((partition, (value % 10) as u8)).or_default();
        *expected += value;
        assert_eq!(total, *expected, "partition {partition} offset {offset}: memory differs");
        self.seen += 1;
        offset
    }
}
