//! Which cells of a window are kept when there are more than the limit.
//!
//! The smallest ranks are, whatever order they come in; the smallest rank that found no room is
//! told downstream, so that assess can draw the same line through what other instances sent.

use std::collections::BinaryHeap;

/// Admission to one window of one subject, within one commit.
#[derive(Debug, Default)]
pub(super) struct Admission {
    /// Admitted cells, the largest rank on top.
    kept: BinaryHeap<(u64, u32)>,
    evicted_from: Option<u64>,
}

/// What is to happen to a new cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    /// There is room.
    Kept,
    /// It takes the place of this cell, which is moved to the others.
    Replaces(u32),
    /// It belongs to the others.
    Refused,
}

impl Admission {
    /// Decides about a cell never met in this window.
    pub(super) fn admit(&mut self, rank: u64, cell: u32, limit: usize) -> Entry {
        if self.evicted_from.is_some_and(|from| rank >= from) {
            return Entry::Refused;
        }
        if self.kept.len() < limit {
            self.kept.push((rank, cell));
            return Entry::Kept;
        }
        match self.kept.pop() {
            Some((largest, evicted)) if rank < largest => {
                self.kept.push((rank, cell));
                self.evicted_from = Some(largest);
                Entry::Replaces(evicted)
            }
            top => {
                self.kept.extend(top);
                self.evicted_from = Some(rank);
                Entry::Refused
            }
        }
    }

    /// The smallest rank that found no room.
    pub(super) fn evicted_from(&self) -> Option<u64> {
        self.evicted_from
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_smallest_ranks_are_kept_in_any_order(
            ranks in prop::collection::hash_set(any::<u64>(), 1..40),
            limit in 0..20_usize,
        ) {
            let mut admission = Admission::default();
            for (cell, rank) in ranks.iter().enumerate() {
                admission.admit(*rank, cell as u32, limit);
            }
            let mut sorted: Vec<u64> = ranks.into_iter().collect();
            sorted.sort_unstable();
            let mut kept: Vec<u64> = admission.kept.iter().map(|(rank, _)| *rank).collect();
            kept.sort_unstable();

            prop_assert_eq!(&kept[..], &sorted[..limit.min(sorted.len())]);
            prop_assert_eq!(admission.evicted_from, sorted.get(limit).copied());
        }
    }
}
