//! Items of arrays and maps: which of their paths are watched, and the values of one record's.
//!
//! A decoder reads an item into the slots of the paths it has, as if it were a record; when the
//! item ends they are moved here, with [`Slot::Absent`] for a path it did not have. So an item
//! counts once at each watched path, and a record without the array not at all.
//!
//! It decodes nothing, and counts nothing but items beyond the limit.

use super::Slot;
use crate::event::path;

/// Watched paths of items, with the slots their values go through.
#[derive(Clone, Debug, Default)]
pub struct ItemPaths(Vec<(String, u32)>);

impl ItemPaths {
    /// Takes a path; gives whether it is one of items.
    pub fn name(&mut self, path: &str, slot: usize) -> bool {
        match (path::items(path), u32::try_from(slot)) {
            (Some(_), Ok(slot)) => {
                self.0.push((path.to_owned(), slot));
                true
            }
            _ => false,
        }
    }

    /// The slot of a path.
    pub(super) fn slot(&self, path: &str) -> Option<u32> {
        self.0.iter().find(|(known, _)| known == path).map(|(_, slot)| *slot)
    }

    /// The slots that each of these items (`lines[]`) has a value for, those of items within
    /// them left out.
    pub(super) fn of(&self, items: &str) -> Vec<u32> {
        let own = self.0.iter().filter(|(known, _)| path::items(known) == Some(items));
        own.map(|(_, slot)| *slot).collect()
    }

    /// The slots of these items and of all items within them.
    pub(super) fn below(&self, items: &str) -> Vec<u32> {
        let is_below = |known: &str| {
            let rest = known.strip_prefix(items);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[', '{']))
        };
        self.0.iter().filter(|(known, _)| is_below(known)).map(|(_, slot)| *slot).collect()
    }
}

/// Stands for the slot of a value that counts no more.
const FORGOTTEN: u32 = u32::MAX;

/// The values of one record's items, in the order met.
///
/// *Bound*: of each path the values of the first items, as many as the limit says.
#[derive(Debug)]
pub struct Items<'a> {
    found: Vec<(u32, Slot<'a>)>,
    /// Items met in this record, by the first of the slots they fill.
    met: Vec<u64>,
    limit: u64,
    left_out: u64,
}

impl<'a> Items<'a> {
    /// Empty; `limit` is how many items of an array or map count.
    #[must_use]
    pub fn new(limit: usize) -> Items<'a> {
        let limit = u64::try_from(limit).unwrap_or(u64::MAX).max(1);
        Items { found: Vec::new(), met: Vec::new(), limit, left_out: 0 }
    }

    /// Emptied and freed from the record they borrow from, as [`super::recycle`] does with slots.
    #[must_use]
    pub fn recycle<'next>(mut self) -> Items<'next> {
        for (slot, _) in &self.found {
            if let Some(met) = self.met.get_mut(*slot as usize) {
                *met = 0;
            }
        }
        self.found.clear();
        let found = self.found.into_iter().map(|(slot, _)| (slot, Slot::Absent)).collect();
        Items { found, met: self.met, limit: self.limit, left_out: 0 }
    }

    /// Values with their slots.
    pub fn values(&self) -> impl Iterator<Item = (usize, &Slot<'a>)> {
        let live = self.found.iter().filter(|(slot, _)| *slot != FORGOTTEN);
        live.map(|(slot, value)| (*slot as usize, value))
    }

    /// Items beyond the limit, which are not among the values.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// How many values there are by now.
    pub(super) fn len(&self) -> usize {
        self.found.len()
    }

    /// Takes an item, or several that are the same, out of the slots it was read into; they are
    /// absent again.
    pub(super) fn take(&mut self, of: &[u32], slots: &mut [Slot<'a>], times: u64) {
        let Some(first) = of.first().map(|first| *first as usize) else {
            return;
        };
        if first >= self.met.len() {
            self.met.resize(first + 1, 0);
        }
        let fit = self.limit.saturating_sub(self.met[first]).min(times);
        for _ in 0..fit {
            let values = of.iter().map(|slot| (*slot, slots.get(*slot as usize)));
            self.found
                .extend(values.map(|(slot, value)| (slot, value.copied().unwrap_or_default())));
        }
        self.met[first] = self.met[first].saturating_add(fit);
        self.left_out = self.left_out.saturating_add(times - fit);
        for slot in of {
            if let Some(place) = slots.get_mut(*slot as usize) {
                *place = Slot::Absent;
            }
        }
    }

    /// Drops what was found for these slots from a place on: a later array under the same key
    /// replaces it. What was left out of it stays counted.
    pub(super) fn forget(&mut self, of: &[u32], from: usize) {
        for (slot, _) in self.found.iter_mut().skip(from) {
            if of.contains(slot) {
                if let Some(met) = self.met.get_mut(*slot as usize) {
                    *met = met.saturating_sub(1);
                }
                *slot = FORGOTTEN;
            }
        }
    }

    /// A value by its place.
    pub(super) fn value(&mut self, at: usize) -> Option<&mut Slot<'a>> {
        self.found.get_mut(at).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(items: &Items<'_>) -> Vec<(usize, i64)> {
        let number = |slot: &Slot<'_>| match slot {
            Slot::Integer(number) => *number,
            _ => -1,
        };
        items.values().map(|(slot, value)| (slot, number(value))).collect()
    }

    #[test]
    fn an_item_counts_at_each_of_its_paths() {
        let mut items = Items::new(8);
        let mut slots = [Slot::Integer(1), Slot::Integer(2)];
        items.take(&[1, 4], &mut slots, 1);

        assert_eq!(values(&items), [(1, 2), (4, -1)]);
        assert_eq!(slots, [Slot::Integer(1), Slot::Absent]);
    }

    #[test]
    fn items_beyond_the_limit_are_left_out_path_by_path() {
        let mut items = Items::new(2);
        for number in 0..3 {
            items.take(&[0], &mut [Slot::Integer(number)], 1);
        }
        items.take(&[1], &mut [Slot::Absent, Slot::Integer(7)], u64::MAX);

        assert_eq!(values(&items), [(0, 0), (0, 1), (1, 7), (1, 7)]);
        assert_eq!(items.left_out(), u64::MAX - 1);
        let mut items = items.recycle();
        items.take(&[0], &mut [Slot::Integer(5)], 1);
        assert_eq!((values(&items), items.left_out()), (vec![(0, 5)], 0));
    }

    #[test]
    fn what_is_forgotten_leaves_its_room() {
        let mut items = Items::new(2);
        for number in 0..2 {
            items.take(&[0], &mut [Slot::Integer(number)], 1);
        }
        items.forget(&[0], 1);
        items.take(&[0], &mut [Slot::Integer(7)], 1);

        assert_eq!(values(&items), [(0, 0), (0, 7)]);
    }

    #[test]
    fn paths_are_those_of_the_items_and_of_items_within() {
        let mut paths = ItemPaths::default();
        for (slot, path) in
            ["a[]", "a[].x", "a[].b{}", "a[][].c", "ab[].x", "a[].b[#]"].into_iter().enumerate()
        {
            assert!(paths.name(path, slot), "{path}");
        }
        assert!(!paths.name("a[#]", 9));

        assert_eq!(paths.of("a[]"), [0, 1, 5]);
        assert_eq!(paths.of("a[].b{}"), [2]);
        assert_eq!(paths.below("a[]"), [0, 1, 2, 3, 5]);
        assert_eq!(paths.slot("a[].x"), Some(1));
    }
}
