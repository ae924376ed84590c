//! What a new definition of a subject takes over from the one before it.
//!
//! Where nothing that is counted has changed (a window, a lateness, bounds), all that was learnt
//! goes over at once, and the old definition's last windows borrow it back for as long as they are
//! judged. Else a field that is counted as before keeps its layout, its baseline and its alarms,
//! and all other fields are learnt anew; the old definition keeps what it has until it is drained.
//! Schema versions that were known stay known in either case.

use std::collections::{BTreeMap, BTreeSet};

use super::baseline::Kept;
use super::checkpoint::Part;
use super::dataset::{Core, Dataset, Learnt};
use super::model::{self, Model};
use super::terms::{DatasetTerms, ModelTerms};
use crate::event::finding::Alarm;
use crate::event::time::EventTime;

impl Dataset {
    /// Becomes the plan's definition, the first of its dataset.
    pub(super) fn begin(&mut self, turn: u32, terms: DatasetTerms) {
        self.tenure.begin(turn, terms);
        self.touched.push(Part::Tenure);
    }

    /// Becomes the plan's definition after another; gives the alarms that end by that: those it had
    /// open the last time it was the plan's.
    pub(super) fn succeed(
        &mut self,
        before: &mut Dataset,
        terms: DatasetTerms,
        now_ms: i64,
    ) -> Vec<Alarm> {
        let ended = self.core.learnt.alarms.end();
        let same = self.tenure.follow(&mut before.tenure, terms, now_ms);
        self.core.told_through = before.core.told_through;
        if same {
            self.core.windows_closed = before.core.windows_closed;
            self.core.layout.clone_from(&before.core.layout);
            self.core.learnt = std::mem::take(&mut before.core.learnt);
            self.samples.append(&mut before.samples);
            let sampled = self.samples.keys().cloned().map(Part::Sample);
            before.touched.extend(sampled.clone());
            self.touched.extend(sampled);
            self.take_closed(before);
        } else {
            // One window is enough for versions not to pass for original.
            self.core.windows_closed = before.core.windows_closed.min(1);
            self.core.layout = None;
            self.core.learnt = self.learnt_of(before);
        }
        self.touched.extend([Part::Core, Part::Tenure, Part::Kept, Part::Shapes]);
        before.touched.extend([Part::Core, Part::Tenure, Part::Shapes]);
        ended
    }

    /// Of what was learnt under another definition, what still means the same: of fields counted as
    /// before the layout, the baseline and the open alarms.
    fn learnt_of(&self, before: &mut Dataset) -> Learnt {
        let (now, then) = (&self.tenure.terms, &before.tenure.terms);
        let keeps =
            |path: &str| now.as_ref().zip(then.as_ref()).is_some_and(|(a, b)| a.keeps(b, path));
        let Core { layout, learnt, .. } = &mut before.core;
        let layouts = layout.iter().flat_map(|layout| &layout.fields);
        let layouts = layouts.filter(|(path, _)| keeps(path));
        let layouts: BTreeMap<_, _> =
            layouts.map(|(path, layout)| (path.clone(), layout.clone())).collect();
        let mut baseline = learnt.baseline.part(|path| layouts.contains_key(path));
        // Where a definition changed twice, what was kept the first time is still the same.
        baseline.absorb(&learnt.kept.baseline.part(|path| layouts.contains_key(path)));
        Learnt {
            alarms: learnt.alarms.part(|series| layouts.contains_key(&series.field)),
            versions: learnt.versions.clone(),
            main_version: learnt.main_version.clone(),
            kept: Kept { layouts, baseline },
            ..Learnt::default()
        }
    }

    /// Does something with an older definition by what was learnt since, where it means the same.
    pub(super) fn lend<R>(&mut self, old: &mut Dataset, with: impl FnOnce(&mut Dataset) -> R) -> R {
        if !self.tenure.counts_as(&old.tenure) {
            return with(old);
        }
        self.touched.extend([Part::Core, Part::Shapes]);
        self.core.swap_learnt(&mut old.core);
        let result = with(old);
        self.core.swap_learnt(&mut old.core);
        self.take_closed(old);
        result
    }

    /// Versions counted from start to end; `None` where nothing was.
    pub(super) fn beside(&self, span: (EventTime, EventTime)) -> Option<BTreeSet<String>> {
        let windows = self.windows.range(..span.1);
        let windows = windows.filter(|(start, _)| self.tenure.end_of(**start) > span.0);
        let versions = windows.flat_map(|(_, window)| window.rows_by_version().into_keys());
        self.tenure.shares(span).then(|| versions.map(str::to_owned).collect())
    }

    /// Takes over closed windows: versions that come next are held against them.
    fn take_closed(&mut self, old: &mut Dataset) {
        for (start, window) in old.windows.extract_if(.., |_, window| window.closed) {
            old.touched.push(Part::Window(start));
            self.touched.push(Part::Window(start));
            self.windows.entry(start).or_insert(window);
        }
    }
}

impl Model {
    /// Becomes the plan's definition, the first of its model.
    pub(super) fn begin(&mut self, turn: u32, terms: ModelTerms) {
        self.tenure.begin(turn, terms);
        self.touched.push(Part::Tenure);
    }

    /// Becomes the plan's definition after another; gives the alarms that end by that.
    pub(super) fn succeed(
        &mut self,
        before: &mut Model,
        terms: ModelTerms,
        now_ms: i64,
    ) -> Vec<Alarm> {
        let ended = self.core.learnt.alarms.end();
        let same = self.tenure.follow(&mut before.tenure, terms, now_ms);
        self.core.windows_closed = before.core.windows_closed;
        self.core.told_through = before.core.told_through;
        self.core.learnt = if same {
            std::mem::take(&mut before.core.learnt)
        } else {
            model::Learnt::knowing(before.core.learnt.versions.clone())
        };
        self.touched.extend([Part::Core, Part::Tenure]);
        before.touched.extend([Part::Core, Part::Tenure]);
        ended
    }

    /// Does something with an older definition by what was learnt since, where it means the same.
    pub(super) fn lend<R>(&mut self, old: &mut Model, with: impl FnOnce(&mut Model) -> R) -> R {
        if !self.tenure.counts_as(&old.tenure) {
            return with(old);
        }
        self.touched.push(Part::Core);
        self.core.swap_learnt(&mut old.core);
        let result = with(old);
        self.core.swap_learnt(&mut old.core);
        result
    }

    /// Its windows will not get all of their outcomes, or nobody knows whether they will.
    pub(super) fn lack_outcomes(&mut self) {
        for (start, window) in self.windows.iter_mut().filter(|(_, window)| window.complete) {
            window.complete = false;
            self.touched.push(Part::Window(*start));
        }
    }
}
