//! The lines of the ledger, added up anew: per source partition, and per partition downstream.
//!
//! Pure: takes messages, keeps sums. A difference is a sentence that names partition and offsets.

use std::collections::BTreeMap;

use crate::event::epoch::Rewound;
use crate::event::fact::FactBatch;
use crate::event::progress::{Header, JoinProgress, Progress};
use crate::event::summary::SummaryBatch;
use crate::event::wire;

/// A topic and partition.
pub type Place = (String, i32);

/// Differences told of one partition downstream; a broken ledger would repeat itself for ever.
const DIFFERENCES_MAX: usize = 20;
/// Name under which join's own ledger is told.
pub(super) const FACTS: &str = "facts";

/// What the headers in one partition downstream say of each source partition.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    name: String,
    /// By source partition, and by partition of facts.
    pub marks: BTreeMap<Place, Mark>,
    /// What does not fit.
    pub differences: Vec<String>,
    suppressed: usize,
    /// Rewinds that this topic is not told of, in order.
    untold: Vec<Rewound>,
}

/// The ledger of one source partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// First offset of the first range.
    pub from: i64,
    /// End of the last range.
    pub to: i64,
    /// Ranges that are not empty.
    pub ranges: u64,
    /// Offsets in all ranges.
    pub span: u64,
    /// Records counted, whatever became of them.
    pub counted: u64,
    /// Records added to a summary.
    pub accepted: u64,
    /// Ranges and what was counted in them, newest last; those that touch are one.
    pub pieces: Vec<Piece>,
    /// Rewinds that it went through.
    pub rewinds: u64,
}

/// Ranges without a break between them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// First offset.
    pub from: i64,
    /// First offset after it.
    pub to: i64,
    /// Records counted.
    pub counted: u64,
}

/// Ranges are added up in pieces of at least this many offsets.
const PIECE: i64 = 65_536;

impl Mark {
    fn start(at: i64) -> Mark {
        Mark { from: at, to: at, ..Mark::default() }
    }

    fn add(&mut self, from: i64, to: i64, counted: u64) {
        self.to = to;
        if to == from {
            return;
        }
        self.ranges += 1;
        self.span += to.saturating_sub(from).unsigned_abs();
        self.counted += counted;
        match self.pieces.last_mut() {
            Some(last) if last.to == from && last.to - last.from < PIECE => {
                last.to = to;
                last.counted += counted;
            }
            _ => self.pieces.push(Piece { from, to, counted }),
        }
    }
}

impl Ledger {
    fn new(topic: &str, partition: i32) -> Ledger {
        Ledger { name: format!("{topic}/{partition}"), ..Ledger::default() }
    }

    /// Topic and partition it was read from.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    fn differs(&mut self, what: String) {
        if self.differences.len() < DIFFERENCES_MAX {
            self.differences.push(what);
        } else {
            self.suppressed += 1;
        }
    }

    /// Holds a range against the one before it.
    fn follows(&mut self, place: &Place, (from, to): (i64, i64), offset: i64) {
        if self.marks.get(place).is_some_and(|mark| mark.to != from) {
            self.pass_rewind(place, from);
        }
        let Some(mark) = self.marks.get(place) else {
            self.marks.insert(place.clone(), Mark::start(from));
            return;
        };
        let at = format!("{} offset {offset}", self.name);
        let (topic, partition) = place;
        if from > mark.to {
            let (lost, last) = (mark.to, from - 1);
            self.differs(format!(
                "{topic}/{partition}: offsets {lost} to {last} are missing, says {at}"
            ));
        } else if from < mark.to {
            let last = mark.to.min(to).max(from + 1) - 1;
            self.differs(format!(
                "{topic}/{partition}: offsets {from} to {last} are counted twice, says {at}"
            ));
        }
        if to < from {
            self.differs(format!("{topic}/{partition}: a range from {from} to {to}, says {at}"));
        }
    }

    fn line(&mut self, line: &Progress, offset: i64) {
        let place = (line.topic.clone(), line.partition);
        self.follows(&place, (line.from, line.to), offset);
        let counted = line.counts.total();
        let span = line.to.saturating_sub(line.from).max(0).unsigned_abs();
        if counted > span {
            self.differs(format!(
                "{}/{}: {counted} records counted in the {span} offsets {} to {}, says {} offset \
                 {offset}",
                line.topic,
                line.partition,
                line.from,
                line.to - 1,
                self.name
            ));
        }
        if let Some(mark) = self.marks.get_mut(&place) {
            mark.add(line.from, line.to, counted);
            mark.accepted += line.counts.accepted;
        }
    }

    fn joined(&mut self, line: &JoinProgress, offset: i64) {
        let place = (FACTS.to_owned(), line.partition);
        self.follows(&place, (line.from, line.to), offset);
        if let Some(mark) = self.marks.get_mut(&place) {
            mark.add(line.from, line.to, 0);
        }
    }

    /// Goes through the next rewind of a partition that leads to `from`, if there is one.
    fn pass_rewind(&mut self, place: &Place, from: i64) {
        let Some(mark) = self.marks.get_mut(place) else { return };
        let passed = usize::try_from(mark.rewinds).unwrap_or(usize::MAX);
        let left = self.untold.iter().enumerate().skip(passed);
        let leads = |rewound: &Rewound| {
            let mut sources = rewound.sources.iter();
            sources.any(|s| s.topic == place.0 && s.partition == place.1 && s.from == from)
        };
        if let Some((index, _)) = left.into_iter().find(|(_, rewound)| leads(rewound)) {
            mark.rewinds = index as u64 + 1;
            mark.to = from;
        }
    }

    fn rewound(&mut self, rewound: &Rewound) {
        let sources = rewound.sources.iter();
        let sources = sources.map(|source| ((source.topic.clone(), source.partition), source.from));
        let facts =
            rewound.facts.iter().map(|(partition, at)| ((FACTS.to_owned(), *partition), *at));
        for (place, at) in sources.chain(facts) {
            let mark = self.marks.entry(place).or_insert_with(|| Mark::start(at));
            mark.to = at;
            mark.rewinds += 1;
        }
    }

    /// What is said of this one and of the others, the first of each kind.
    pub(super) fn said(&self) -> impl Iterator<Item = String> {
        let more = (self.suppressed > 0)
            .then(|| format!("{}: {} more of the kind", self.name, self.suppressed));
        self.differences.iter().cloned().chain(more)
    }

    /// Where another partition downstream, or another topic, has been told something else.
    pub(super) fn against(&self, other: &Ledger, place: &Place) -> Option<String> {
        let said = |ledger: &Ledger| ledger.marks.get(place).map(|mark| (mark.to, mark.counted));
        let (mine, theirs) = (said(self)?, said(other));
        // A history cut at its beginning counts less; it must end at the same place.
        let cut = |ledger: &Ledger| ledger.marks.get(place).map(|mark| mark.from);
        let same = match theirs {
            None => false,
            Some(theirs) if cut(self) == cut(other) => mine == theirs,
            Some(theirs) => mine.0 == theirs.0,
        };
        let told = |said: Option<(i64, u64)>| match said {
            None => "nothing".to_owned(),
            Some((to, counted)) => format!("{counted} records up to offset {to}"),
        };
        let (topic, partition) = place;
        (!same).then(|| {
            format!(
                "{topic}/{partition}: {} says {}, {} says {}",
                self.name,
                told(Some(mine)),
                other.name,
                told(theirs)
            )
        })
    }
}

/// All of `summaries`: a ledger for each partition, and what was counted of each subject.
#[derive(Debug, Default)]
pub struct Summaries {
    /// By partition.
    pub ledgers: Vec<Ledger>,
    /// Records of datasets, by name.
    pub rows: BTreeMap<String, u64>,
    /// Predictions of models, by name.
    pub predictions: BTreeMap<String, u64>,
    /// Rewinds, in order.
    pub rewinds: Vec<Rewound>,
}

impl Summaries {
    /// Begins a partition.
    pub fn open(&mut self, topic: &str, partition: i32) {
        self.ledgers.push(Ledger::new(topic, partition));
    }

    /// Takes the message at `offset` of the partition begun last.
    pub fn take(&mut self, offset: i64, payload: &[u8]) {
        let Some(ledger) = self.ledgers.last_mut() else { return };
        let batch: SummaryBatch = match wire::decode(payload) {
            Ok(batch) => batch,
            Err(error) => {
                let what = format!("{} offset {offset}: {error}", ledger.name);
                return ledger.differs(what);
            }
        };
        for delta in &batch.datasets {
            let rows: u64 = delta.cells.iter().map(|cell| cell.rows).sum();
            *self.rows.entry(delta.dataset.clone()).or_default() += rows;
        }
        for delta in &batch.models {
            let n: u64 = delta.cells.iter().map(|(_, sums)| sums.n).sum();
            *self.predictions.entry(delta.model.clone()).or_default() += n;
        }
        match &batch.header {
            Some(Header::Observe(lines)) => lines.iter().for_each(|line| ledger.line(line, offset)),
            Some(Header::Join(line)) => ledger.joined(line, offset),
            Some(Header::Rewound(rewound)) => {
                ledger.rewound(rewound);
                if self.rewinds.iter().all(|known| known.epoch != rewound.epoch) {
                    self.rewinds.push(rewound.clone());
                }
            }
            None => {}
        }
    }
}

/// All of `facts`.
#[derive(Debug, Default)]
pub struct Facts {
    /// By partition.
    pub ledgers: Vec<Ledger>,
    /// Predictions of models, by name.
    pub predictions: BTreeMap<String, u64>,
    /// Outcomes of models, by name.
    pub outcomes: BTreeMap<String, u64>,
    rewinds: Vec<Rewound>,
}

impl Facts {
    /// Facts have no message that tells of a rewind: `summaries` does.
    #[must_use]
    pub fn new(rewinds: Vec<Rewound>) -> Facts {
        Facts { rewinds, ..Facts::default() }
    }

    /// Begins a partition.
    pub fn open(&mut self, topic: &str, partition: i32) {
        let untold = self.rewinds.clone();
        self.ledgers.push(Ledger { untold, ..Ledger::new(topic, partition) });
    }

    /// Takes the message at `offset` of the partition begun last.
    pub fn take(&mut self, offset: i64, payload: &[u8]) {
        let Some(ledger) = self.ledgers.last_mut() else { return };
        let batch: FactBatch = match wire::decode(payload) {
            Ok(batch) => batch,
            Err(error) => {
                let what = format!("{} offset {offset}: {error}", ledger.name);
                return ledger.differs(what);
            }
        };
        let model = |number: u16| batch.models.get(usize::from(number)).cloned();
        for fact in &batch.predictions {
            let cell = batch.cells.get(fact.cell as usize);
            if let Some(name) = cell.and_then(|cell| model(cell.model)) {
                *self.predictions.entry(name).or_default() += 1;
            }
        }
        for fact in &batch.outcomes {
            if let Some(name) = model(fact.model) {
                *self.outcomes.entry(name).or_default() += 1;
            }
        }
        let lines = batch.header.iter().flatten();
        lines.for_each(|line| ledger.line(line, offset));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::epoch::RewoundSource;
    use crate::event::progress::OutcomeCounts;

    fn line(from: i64, to: i64, accepted: u64) -> Header {
        Header::Observe(vec![Progress {
            topic: "orders".into(),
            partition: 1,
            partition_count: 2,
            from,
            to,
            counts: OutcomeCounts { accepted, ..OutcomeCounts::default() },
            max_event_time: None,
            newest_append_ms: None,
            at_end: false,
        }])
    }

    fn rewound(from: i64) -> Rewound {
        let source = RewoundSource {
            topic: "orders".into(),
            partition: 1,
            partition_count: 2,
            from,
            max_event_time: None,
            newest_append_ms: None,
        };
        Rewound { epoch: 1, sources: vec![source], ..Rewound::default() }
    }

    fn ledger(headers: &[Header]) -> Summaries {
        let mut summaries = Summaries::default();
        summaries.open("app.summaries", 3);
        for (offset, header) in (10..).zip(headers) {
            let batch = SummaryBatch { header: Some(header.clone()), ..SummaryBatch::default() };
            summaries.take(offset, &wire::encode(&batch));
        }
        summaries
    }

    fn differences(headers: &[Header]) -> Vec<String> {
        ledger(headers).ledgers[0].said().collect()
    }

    #[test]
    fn gaps_and_overlaps_are_named_by_their_offsets() {
        let clean = [line(0, 5, 5), line(5, 5, 0), line(5, 9, 3)];

        assert_eq!(differences(&clean), Vec::<String>::new());
        assert_eq!(
            differences(&[line(0, 5, 5), line(7, 9, 2), line(8, 12, 4)]),
            [
                "orders/1: offsets 5 to 6 are missing, says app.summaries/3 offset 11",
                "orders/1: offsets 8 to 8 are counted twice, says app.summaries/3 offset 12",
            ]
        );
        assert_eq!(
            differences(&[line(4, 6, 3)]),
            ["orders/1: 3 records counted in the 2 offsets 4 to 5, says app.summaries/3 offset \
                 10",]
        );
    }

    #[test]
    fn going_back_on_purpose_is_neither_gap_nor_overlap() {
        let told = [line(0, 5, 5), Header::Rewound(rewound(2)), line(2, 9, 7)];
        let summaries = ledger(&told);
        let mut facts = Facts::new(summaries.rewinds.clone());
        facts.open("app.facts", 0);
        for (offset, header) in [(0, line(0, 5, 5)), (1, line(2, 9, 7)), (2, line(3, 4, 1))] {
            let Header::Observe(lines) = header else { continue };
            let batch = FactBatch {
                header: Some(lines),
                models: Vec::new(),
                terms: Vec::new(),
                cells: Vec::new(),
                predictions: Vec::new(),
                outcomes: Vec::new(),
            };
            facts.take(offset, &wire::encode(&batch));
        }

        let place = ("orders".to_owned(), 1);
        let mark = &summaries.ledgers[0].marks[&place];
        assert_eq!(differences(&told), Vec::<String>::new());
        assert_eq!((mark.to, mark.span, mark.counted, mark.rewinds), (9, 12, 12, 1));
        let of_facts: Vec<String> = facts.ledgers[0].said().collect();
        assert_eq!(
            of_facts,
            ["orders/1: offsets 3 to 3 are counted twice, says app.facts/0 offset 2"],
            "a rewind is passed once"
        );
    }

    #[test]
    fn messages_that_do_not_decode_are_a_difference() {
        let mut summaries = Summaries::default();
        summaries.open("app.summaries", 0);
        summaries.take(7, &[2, 1, 255]);

        let said: Vec<String> = summaries.ledgers[0].said().collect();
        assert_eq!(said.len(), 1);
        assert!(said[0].starts_with("app.summaries/0 offset 7: "), "{said:?}");
    }
}
