//! Going back in time on purpose: what is kept of a subject, and what is counted anew; and going
//! on behind records that are gone.
//!
//! From the boundary on everything is forgotten and comes again; before it nothing changes, and
//! nothing is taken. The layout stays, since it only says how to count. A baseline that had learnt
//! a window after the boundary starts over. Alarms begun after it are over: where the windows
//! counted anew show the same, they open again under another id.

use super::Assess;
use super::checkpoint::Part;
use super::dataset::Dataset;
use super::drain::Drains;
use super::model::Model;
use crate::event::epoch::Rewound;
use crate::event::finding::{Alarm, FindingItem, Restarted, Subject};
use crate::event::time::EventTime;

/// Name under which partitions of `facts` are told.
pub(super) const FACTS: &str = "facts";

impl Assess {
    /// Starts the epoch; what is told of it comes before what it ends.
    pub(super) fn rewind(&mut self, rewound: &Rewound) -> Vec<FindingItem> {
        let given_up = self.ledger.restart(rewound, self.now_ms);
        let gives_up = rewound.subjects.is_empty();
        for source in rewound.sources.iter().filter(|_| gives_up) {
            self.give_up_outcomes(&source.topic);
        }
        let mut ended = Vec::new();
        let mut mine = Vec::new();
        for (subject, from) in &rewound.subjects {
            let alarms = match subject {
                Subject::Dataset(name) => self.datasets.get_mut(name).map(|d| d.rewind(*from)),
                Subject::Model(name) => self.models.get_mut(name).map(|m| m.rewind(*from)),
            };
            let Some(alarms) = alarms else { continue };
            let mut items: Vec<FindingItem> =
                alarms.into_iter().map(|alarm| FindingItem::Alarm(Box::new(alarm))).collect();
            self.identify(subject, &mut items);
            ended.extend(items);
            self.drains.rewind(subject, *from);
            self.ledger.breaks.epochs.enter(rewound.epoch, subject.clone(), *from);
            mine.push((subject.clone(), *from));
        }
        if mine.is_empty() && !gives_up {
            return Vec::new();
        }
        let sources = rewound.sources.iter();
        let sources = sources.map(|source| (source.topic.clone(), source.partition));
        let facts = rewound.facts.iter().map(|(partition, _)| (FACTS.to_owned(), *partition));
        let restarted = Restarted {
            epoch: rewound.epoch,
            subjects: mine,
            partitions: sources.chain(facts).collect(),
        };
        // What was given up is told before it is told that this is over.
        let mut items: Vec<FindingItem> =
            given_up.into_iter().map(FindingItem::Integrity).collect();
        items.push(FindingItem::Rewound(restarted));
        items.extend(ended);
        items
    }

    fn give_up_outcomes(&mut self, topic: &str) {
        let own = self.models.iter_mut();
        let others = self.drains.models.iter_mut().map(|((name, _), model)| (name, model));
        for (name, model) in own.chain(others) {
            let outcomes = self.plan.models.get(name).and_then(|plan| plan.outcomes.as_ref());
            if outcomes.is_some_and(|outcomes| outcomes.topic == topic) {
                model.lack_outcomes();
            }
        }
    }

    /// Gives alarms the ids of their epoch.
    pub(super) fn identify(&self, subject: &Subject, items: &mut [FindingItem]) {
        let epochs = &self.ledger.breaks.epochs;
        for item in items {
            if let FindingItem::Alarm(alarm) = item {
                alarm.id = epochs.id(subject, alarm.first_seen, alarm.id);
            }
        }
    }
}

impl Drains {
    /// Counts after the boundary come again, under the plan's definition.
    fn rewind(&mut self, subject: &Subject, from: EventTime) {
        match subject {
            Subject::Dataset(name) => {
                let old = self.datasets.iter_mut().filter(|((of, _), _)| of == name);
                old.for_each(|(_, old)| drop(old.rewind(from)));
            }
            Subject::Model(name) => {
                let old = self.models.iter_mut().filter(|((of, _), _)| of == name);
                old.for_each(|(_, old)| drop(old.rewind(from)));
            }
        }
    }
}

impl Dataset {
    fn rewind(&mut self, from: EventTime) -> Vec<Alarm> {
        let gone = self.windows.split_off(&from);
        self.touched.extend(gone.into_keys().map(Part::Window));
        self.touched.extend([Part::Core, Part::Kept, Part::Shapes]);
        self.core.rewind(from)
    }
}

impl Model {
    fn rewind(&mut self, from: EventTime) -> Vec<Alarm> {
        let gone = self.windows.split_off(&from);
        self.touched.extend(gone.into_keys().map(Part::Window));
        self.touched.push(Part::Core);
        self.core.rewind(from)
    }
}
