//! Items that the targets of decoders watch.

use driftline::observe::Items;

/// Paths of items that are watched wherever there are arrays and maps.
pub const ITEMS: [&str; 5] = ["a[]", "a{}", "a[].a", "a[].a[]", "b.d[]"];

pub fn named_items(mut name: impl FnMut(&str, usize) -> bool) {
    for (slot, path) in ITEMS.iter().enumerate() {
        assert!(name(path, slot), "{path}");
    }
}

/// How many of them have values, and whether some are left out; no path has more than four.
pub fn items_met(items: &Items<'_>) -> String {
    let mut counts = [0; ITEMS.len()];
    items.values().for_each(|(slot, _)| counts[slot] += 1);
    assert!(counts.iter().all(|count| *count <= 4), "{counts:?}");
    format!("{} {}", counts.iter().filter(|count| **count > 0).count(), items.left_out() > 0)
}
