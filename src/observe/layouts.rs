//! The layouts a dataset has been given, and which window is counted in which.
//!
//! A layout holds from its own first window on, but never for a window this instance had met, or
//! one older, when the layout arrived: a window is counted one way from its first record to its
//! last, also across commits. Until there is a layout, says how far ahead to read.

use crate::event::layout::{Layout, LayoutUpdate};
use crate::event::time::{EventTime, WindowSize};
use crate::sketch::{FieldKind, FieldLayout};

/// Layouts remembered; older ones only matter to windows long gone.
const REMEMBERED: usize = 4;
/// Windows read beyond what assess has closed while there is no layout.
const AHEAD_WINDOWS: i64 = 2;

/// The layouts of one dataset.
#[derive(Debug, Default)]
pub(super) struct Layouts {
    /// By `from`, ascending.
    known: Vec<KnownLayout>,
    closed_through: Option<EventTime>,
    /// Lowest and highest window start met, of accepted records.
    met: Option<(EventTime, EventTime)>,
}

/// One layout and where it begins for this instance.
#[derive(Debug)]
pub(super) struct KnownLayout {
    /// Its id.
    pub(super) id: u64,
    from: EventTime,
    fields: Vec<(String, FieldLayout)>,
    /// Index into `fields` by field number of the dataset.
    by_field: Vec<Option<usize>>,
}

impl KnownLayout {
    /// The layout of a field by its number.
    pub(super) fn field(&self, number: usize) -> Option<&FieldLayout> {
        let index = self.by_field.get(number).copied().flatten()?;
        self.fields.get(index).map(|(_, layout)| layout)
    }

    fn find(&self, path: &str) -> Option<usize> {
        self.fields.binary_search_by(|(known, _)| known.as_str().cmp(path)).ok()
    }
}

impl Layouts {
    /// Takes what assess says; `paths` are the dataset's fields by number. Gives whether a layout
    /// was added.
    pub(super) fn update<'p>(
        &mut self,
        update: &LayoutUpdate,
        size: WindowSize,
        paths: impl Iterator<Item = &'p str>,
    ) -> bool {
        self.closed_through = self.closed_through.max(update.closed_through);
        let Some(layout) = &update.layout else {
            return false;
        };
        if self.known.iter().any(|known| known.id == layout.id) {
            return false;
        }
        let mut known = self.place(layout, size);
        known.by_field = paths.map(|path| known.find(path)).collect();
        self.known.push(known);
        true
    }

    /// Tells of a field added to the dataset, in the order of their numbers.
    pub(super) fn add_field(&mut self, path: &str) {
        for known in &mut self.known {
            let index = known.find(path);
            known.by_field.push(index);
        }
    }

    /// The kind the newest layout gives a field.
    pub(super) fn kind(&self, number: usize) -> Option<FieldKind> {
        match self.known.last()?.field(number)? {
            FieldLayout::Numeric(_) => Some(FieldKind::Numeric),
            FieldLayout::Category(_) => Some(FieldKind::Category),
        }
    }

    /// Index of the layout a window is counted in.
    pub(super) fn choose(&self, window: EventTime) -> Option<usize> {
        self.known.iter().rposition(|known| known.from <= window)
    }

    /// A layout by its index, which holds until [`Layouts::prune`].
    pub(super) fn get(&self, index: Option<usize>) -> Option<&KnownLayout> {
        self.known.get(index?)
    }

    /// There is none yet: values are sampled.
    pub(super) fn is_learning(&self) -> bool {
        self.known.is_empty()
    }

    /// Remembers that a record of this window was accepted.
    pub(super) fn meet(&mut self, window: EventTime) {
        self.met = Some(match self.met {
            None => (window, window),
            Some((lowest, highest)) => (lowest.min(window), highest.max(window)),
        });
    }

    /// Whether a window lies too far ahead, for a partition that has shown `highest`. A partition
    /// that itself keeps the oldest open window open is never held back: waiting for that window
    /// to close would be for ever.
    pub(super) fn is_ahead(
        &self,
        window: EventTime,
        size: WindowSize,
        lateness_ms: i64,
        highest: Option<EventTime>,
    ) -> bool {
        if !self.is_learning() {
            return false;
        }
        let (Some(highest), Some(open)) =
            (highest, self.closed_through.or(self.met.map(|(lowest, _)| lowest)))
        else {
            return false;
        };
        window >= open.plus_ms(size.ms().saturating_mul(AHEAD_WINDOWS))
            && highest > size.end_of(open).plus_ms(lateness_ms)
    }

    /// Forgets the oldest layouts beyond what is remembered; indexes change.
    pub(super) fn prune(&mut self) {
        let excess = self.known.len().saturating_sub(REMEMBERED);
        self.known.drain(..excess);
    }

    fn place(&self, layout: &Layout, size: WindowSize) -> KnownLayout {
        let mut from = layout.effective_from;
        if let Some((_, highest)) = self.met {
            from = from.max(size.end_of(highest));
        }
        if let Some(last) = self.known.last() {
            from = from.max(last.from);
        }
        KnownLayout {
            id: layout.id,
            from,
            fields: layout.fields.iter().map(|(k, v)| (k.clone(), v.clone())).collect(),
            by_field: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const SIZE: i64 = 100;

    fn size() -> WindowSize {
        WindowSize::from_ms(SIZE).expect("positive")
    }

    fn update(closed: Option<i64>, layout: Option<(u64, i64)>) -> LayoutUpdate {
        LayoutUpdate {
            dataset: "d".into(),
            definition: 0,
            closed_through: closed.map(EventTime),
            layout: layout.map(|(id, from)| Layout {
                id,
                effective_from: EventTime(from),
                fields: BTreeMap::new(),
            }),
        }
    }

    fn chosen(layouts: &Layouts, window: i64) -> Option<u64> {
        layouts.get(layouts.choose(EventTime(window))).map(|known| known.id)
    }

    #[test]
    fn a_window_met_before_the_layout_keeps_none() {
        let mut layouts = Layouts::default();
        layouts.meet(EventTime(500));
        layouts.update(&update(None, Some((7, 400))), size(), std::iter::empty());

        assert_eq!(chosen(&layouts, 400), None);
        assert_eq!(chosen(&layouts, 500), None);
        assert_eq!(chosen(&layouts, 600), Some(7));
    }

    #[test]
    fn an_instance_that_met_nothing_takes_effective_from() {
        let mut layouts = Layouts::default();
        layouts.update(&update(None, Some((7, 400))), size(), std::iter::empty());

        assert_eq!(chosen(&layouts, 300), None);
        assert_eq!(chosen(&layouts, 400), Some(7));
    }

    #[test]
    fn a_partition_reads_at_most_two_windows_ahead() {
        let mut layouts = Layouts::default();
        let ahead = |layouts: &Layouts, window: i64, highest: Option<i64>| {
            layouts.is_ahead(EventTime(window), size(), 5, highest.map(EventTime))
        };

        assert!(!ahead(&layouts, 900, Some(900)), "nothing met, nothing closed");
        layouts.meet(EventTime(0));
        assert!(!ahead(&layouts, 100, Some(190)));
        assert!(ahead(&layouts, 200, Some(190)));
        layouts.update(&update(Some(100), None), size(), std::iter::empty());
        assert!(!ahead(&layouts, 200, Some(190)));
        assert!(ahead(&layouts, 300, Some(290)));
        layouts.update(&update(None, Some((1, 500))), size(), std::iter::empty());
        assert!(!ahead(&layouts, 900, Some(290)));
    }

    #[test]
    fn a_partition_that_holds_the_oldest_window_open_is_never_ahead() {
        let mut layouts = Layouts::default();
        layouts.meet(EventTime(0));

        let jump = EventTime(5_000);
        assert!(!layouts.is_ahead(jump, size(), 5, None));
        assert!(!layouts.is_ahead(jump, size(), 5, Some(EventTime(105))));
        assert!(layouts.is_ahead(jump, size(), 5, Some(EventTime(106))));
    }
}
