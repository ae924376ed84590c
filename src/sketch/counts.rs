//! A row of counts in as few bytes as its largest needs.
//!
//! Most counts of a histogram are small, and a process holds hundreds of thousands of histograms.
//! Not a histogram: what an index stands for is the holder's.

/// Counts by index, all 1, 2, 4 or 8 bytes wide. A count that outgrows the width widens the row;
/// nothing narrows it again. Equal rows say the same, however wide they are.
#[derive(Clone, Debug)]
pub(super) struct Counts(Width);

#[derive(Clone, Debug)]
enum Width {
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
    Eight(Vec<u64>),
}

/// `$body` with `$counts` bound to the row, whatever its width.
macro_rules! at_any_width {
    ($row:expr, $counts:ident => $body:expr) => {
        match $row {
            Width::One($counts) => $body,
            Width::Two($counts) => $body,
            Width::Four($counts) => $body,
            Width::Eight($counts) => $body,
        }
    };
}

impl Default for Counts {
    fn default() -> Counts {
        Counts(Width::One(Vec::new()))
    }
}

impl PartialEq for Counts {
    fn eq(&self, other: &Counts) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Counts {}

impl FromIterator<u64> for Counts {
    fn from_iter<I: IntoIterator<Item = u64>>(counts: I) -> Counts {
        let counts: Vec<u64> = counts.into_iter().collect();
        let mut row = Counts::default();
        row.grow(0, counts.len());
        for (index, n) in counts.into_iter().enumerate() {
            row.add(index, n);
        }
        row
    }
}

impl Counts {
    /// How many counts there are.
    #[inline]
    pub(super) fn len(&self) -> usize {
        at_any_width!(&self.0, counts => counts.len())
    }

    /// Whether there are none.
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The counts in order.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = u64> + ExactSizeIterator {
        (0..self.len()).map(|index| at_any_width!(&self.0, counts => wide(counts[index])))
    }

    /// Adds `n` to a count, at most to `u64::MAX`. *Panics* on an index the row does not have.
    #[inline]
    pub(super) fn add(&mut self, index: usize, n: u64) {
        let fits = at_any_width!(&mut self.0, counts => raise(&mut counts[index], n));
        if !fits {
            self.widen();
            self.add(index, n);
        }
    }

    /// Puts zeros before and behind, in exactly the memory they need: rows stop growing when they
    /// have met their range, so room to grow would stay unused.
    #[cold]
    pub(super) fn grow(&mut self, before: usize, behind: usize) {
        at_any_width!(&mut self.0, counts => *counts = grown(counts, before, behind));
    }

    /// Sets every count to zero, keeping memory.
    pub(super) fn clear(&mut self) {
        at_any_width!(&mut self.0, counts => counts.fill(0));
    }

    #[cold]
    fn widen(&mut self) {
        self.0 = match &self.0 {
            Width::One(counts) => Width::Two(widened(counts)),
            Width::Two(counts) => Width::Four(widened(counts)),
            Width::Four(counts) => Width::Eight(widened(counts)),
            Width::Eight(counts) => Width::Eight(counts.clone()),
        };
    }
}

#[inline]
fn wide<C: Into<u64>>(count: C) -> u64 {
    count.into()
}

/// Whether the sum fits; a count is left alone when it does not.
#[inline]
fn raise<C: Copy + Into<u64> + TryFrom<u64>>(count: &mut C, n: u64) -> bool {
    match C::try_from(wide(*count).saturating_add(n)) {
        Ok(sum) => {
            *count = sum;
            true
        }
        Err(_) => false,
    }
}

fn grown<C: Copy + Default>(counts: &[C], before: usize, behind: usize) -> Vec<C> {
    let mut row = Vec::with_capacity(before + counts.len() + behind);
    row.resize(before, C::default());
    row.extend_from_slice(counts);
    row.resize(before + counts.len() + behind, C::default());
    row
}

fn widened<N: Copy + Into<W>, W>(counts: &[N]) -> Vec<W> {
    counts.iter().map(|n| (*n).into()).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn counts_of_any_size_are_exact(
            added in prop::collection::vec((0..8_usize, 0..u64::MAX / 64), 0..40),
            shifts in prop::collection::vec(0..64_u32, 40),
        ) {
            let mut row = Counts::default();
            row.grow(0, 8);
            let mut exact = [0_u64; 8];
            for ((index, n), shift) in added.into_iter().zip(shifts) {
                let n = n >> shift;
                row.add(index, n);
                exact[index] += n;
            }

            prop_assert_eq!(row.iter().collect::<Vec<_>>(), exact);
            prop_assert_eq!(row, exact.into_iter().collect::<Counts>());
        }
    }

    #[test]
    fn a_row_is_as_wide_as_its_largest_count() {
        let bytes = |row: &Counts| match &row.0 {
            Width::One(_) => 1,
            Width::Two(_) => 2,
            Width::Four(_) => 4,
            Width::Eight(_) => 8,
        };
        let mut row: Counts = [255, 0].into_iter().collect();
        let mut seen = vec![bytes(&row)];
        for n in [1, 1 << 16, 1 << 32] {
            row.add(0, n);
            seen.push(bytes(&row));
        }

        assert_eq!(seen, [1, 2, 4, 8]);
        row.clear();
        assert_eq!(row, [0, 0].into_iter().collect());
    }

    #[test]
    fn growing_on_both_sides_keeps_the_counts_in_place() {
        let mut row: Counts = [7, 300].into_iter().collect();
        row.grow(2, 1);

        assert_eq!(row.iter().collect::<Vec<_>>(), [0, 0, 7, 300, 0]);
    }

    #[test]
    fn a_count_stops_at_the_largest_number() {
        let mut row: Counts = [u64::MAX].into_iter().collect();
        row.add(0, 5);

        assert_eq!(row.iter().next(), Some(u64::MAX));
    }
}
