//! The ledger against what lies outside it: group offsets, the source topics, the sums.

use super::ledger::{FACTS, Facts, Ledger, Mark, Place, Summaries};
use super::{Offsets, Options, SourceLine, Verifier, VerifyError};
use crate::event::route::Route;

/// How records and offsets of a source go together, by its settings.
const CLEANUP: &str = "cleanup.policy";

impl Verifier<'_> {
    /// Offsets of observe by source partition, and of join by partition of facts.
    pub(super) fn committed(&self) -> Result<Offsets, VerifyError> {
        let mut offsets = Offsets::new();
        for topic in self.plan.source_topics() {
            for (partition, committed) in self.archive.committed("observe", &topic)? {
                offsets.insert((topic.clone(), partition), committed.offset);
            }
        }
        let facts = self.names.place(Route::Facts(0)).0;
        for (partition, committed) in self.archive.committed("join", facts)? {
            offsets.insert((FACTS.to_owned(), partition), committed.offset);
        }
        Ok(offsets)
    }

    /// Every ledger must end where its group stands, and all of them at the same place.
    pub(super) fn ends(
        &mut self,
        (summaries, facts): (&Summaries, &Facts),
        (before, after): (&Offsets, &Offsets),
    ) {
        let Some((first, others)) = summaries.ledgers.split_first() else { return };
        let mut agreed = 0;
        for (place, stands) in after {
            let (topic, partition) = place;
            let quiet = before.get(place) == Some(stands);
            let Some(mark) = first.marks.get(place) else {
                self.report.differences.push(format!(
                    "{topic}/{partition}: the group stands at {stands} and {} says nothing of it",
                    first_name(summaries)
                ));
                continue;
            };
            let low = before.get(place).copied().unwrap_or(mark.from);
            if !(low..=*stands).contains(&mark.to) {
                let to = mark.to;
                self.report.differences.push(format!(
                    "{topic}/{partition}: the ledger ends at {to}, the group stands at {stands}"
                ));
            }
            if !quiet {
                self.report.unchecked.push(format!(
                    "{topic}/{partition}: went on from {low} to {stands} meanwhile; its end is \
                     held to that range alone"
                ));
                continue;
            }
            let told = if topic == FACTS { &[][..] } else { &facts.ledgers[..] };
            let differ: Vec<String> =
                others.iter().chain(told).filter_map(|other| first.against(other, place)).collect();
            agreed += usize::from(differ.is_empty());
            self.report.differences.extend(differ);
        }
        for place in first.marks.keys().filter(|place| !after.contains_key(*place)) {
            self.report.differences.push(format!(
                "{}/{}: in the ledger, but its group has committed no offset of it",
                place.0, place.1
            ));
        }
        self.report.checked.push(format!(
            "{agreed} ledgers without gap or overlap, the same in every partition downstream, \
             ending at the committed offset"
        ));
    }

    /// Ranges against records: of the topic's settings, of what is there, counted on request.
    pub(super) fn sources(
        &mut self,
        summaries: &Summaries,
        committed: &Offsets,
        options: Options,
    ) -> Result<(), VerifyError> {
        let Some(ledger) = summaries.ledgers.first() else { return Ok(()) };
        for (place, mark) in &ledger.marks {
            let is_source = place.0 != FACTS;
            let mut line = SourceLine {
                topic: place.0.clone(),
                partition: place.1,
                ranges: mark.ranges,
                from: mark.from,
                to: mark.to,
                committed: committed.get(place).copied(),
                counted: is_source.then_some(mark.counted),
                found: None,
                rewinds: mark.rewinds,
            };
            if is_source {
                self.source(place, mark, &mut line, options)?;
            }
            self.report.lines.push(line);
        }
        Ok(())
    }

    fn source(
        &mut self,
        place: &Place,
        mark: &Mark,
        line: &mut SourceLine,
        options: Options,
    ) -> Result<(), VerifyError> {
        let (topic, partition) = (place.0.as_str(), place.1);
        if self.archive.partitions(topic)? <= partition {
            self.report.differences.push(format!(
                "{topic}/{partition}: in the ledger, but the topic has no such partition now"
            ));
            return Ok(());
        }
        let (low, high) = self.archive.range(topic, partition)?;
        if high < mark.to {
            self.report.differences.push(format!(
                "{topic}/{partition}: the ledger ends at {}, the topic at {high}: it was made anew",
                mark.to
            ));
            return Ok(());
        }
        if options.records {
            return self.recount((topic, partition), mark, low, line);
        }
        if mark.counted == mark.span {
            return Ok(());
        }
        let missing = mark.span.saturating_sub(mark.counted);
        let policy = self.archive.setting(topic, CLEANUP)?.unwrap_or_default();
        let why = if policy.contains("compact") {
            "the topic is compacted"
        } else {
            "transactions leave such offsets, and so do records deleted before they were read"
        };
        self.report.unchecked.push(format!(
            "{topic}/{partition}: {missing} of {} offsets hold no counted record: {why}; \
             --records counts what is there",
            mark.span
        ));
        Ok(())
    }

    /// Counts the records of each piece of the ledger that is still there.
    fn recount(
        &mut self,
        (topic, partition): (&str, i32),
        mark: &Mark,
        low: i64,
        line: &mut SourceLine,
    ) -> Result<(), VerifyError> {
        let (mut found, mut counted, mut gone) = (0, 0, 0);
        let compacted =
            self.archive.setting(topic, CLEANUP)?.unwrap_or_default().contains("compact");
        for piece in &mark.pieces {
            if piece.from < low {
                gone += piece.counted;
                continue;
            }
            (self.tell)(format!(
                "counting {topic}/{partition}, offsets {} to {}",
                piece.from, piece.to
            ));
            let mut here = 0;
            let range = (piece.from, piece.to);
            self.archive.read((topic, partition), range, |_| here += 1)?;
            if here != piece.counted && !(compacted && here < piece.counted) {
                self.report.differences.push(format!(
                    "{topic}/{partition}: offsets {} to {} hold {here} records, {} were counted",
                    piece.from,
                    piece.to - 1,
                    piece.counted
                ));
            }
            found += here;
            counted += piece.counted;
        }
        if gone > 0 {
            self.report.unchecked.push(format!(
                "{topic}/{partition}: {gone} counted records lie before offset {low}, the first \
                 that is kept (retention of the source)"
            ));
        }
        if compacted && found < counted {
            self.report.unchecked.push(format!(
                "{topic}/{partition}: {} counted records are gone: the topic is compacted",
                counted - found
            ));
        }
        line.found = Some((found, counted));
        Ok(())
    }

    /// What was added up for each subject against what its topic's ledger says was accepted.
    pub(super) fn subjects(&mut self, summaries: &Summaries, facts: &Facts) {
        let accepted = |topic: &str| -> u64 {
            let marks = summaries.ledgers.first().map(|ledger| ledger.marks.iter());
            let of_topic = marks.into_iter().flatten().filter(|(place, _)| place.0 == topic);
            of_topic.map(|(_, mark)| mark.accepted).sum()
        };
        let mut sums: Vec<(String, &str, &str, u64)> = Vec::new();
        let of = |sums: &std::collections::BTreeMap<String, u64>, name: &str| {
            sums.get(name).copied().unwrap_or(0)
        };
        for (name, dataset) in &self.plan.datasets {
            let rows = of(&summaries.rows, name);
            sums.push((format!("dataset {name}"), &dataset.topic, "summaries", rows));
        }
        for (name, model) in &self.plan.models {
            let topic = &model.predictions.topic;
            let n = of(&summaries.predictions, name);
            sums.push((format!("predictions of {name}"), topic, "summaries", n));
            if let Some(outcomes) = &model.outcomes {
                let n = of(&facts.predictions, name);
                sums.push((format!("predictions of {name} for join"), topic, "facts", n));
                let n = of(&facts.outcomes, name);
                sums.push((format!("outcomes of {name}"), &outcomes.topic, "facts", n));
            }
        }
        for (what, topic, told, n) in sums {
            let internal = match told {
                "facts" => self.names.place(Route::Facts(0)).0,
                _ => self.names.place(Route::Summaries(0)).0,
            };
            let summaries_topic = self.names.place(Route::Summaries(0)).0;
            let is_cut = [internal, summaries_topic].iter().any(|t| self.report.cut.contains(*t));
            if is_cut {
                let why = "older messages are gone";
                self.report.unchecked.push(format!("{what}: its sum in {told}, since {why}"));
            } else if self.plan.roles_of(topic) > 1 {
                let why = "its topic is read for more than one thing";
                self.report.unchecked.push(format!("{what}: its sum in {told}, since {why}"));
            } else if n == accepted(topic) {
                self.report.checked.push(format!("{what}: {n} in {told}, as many as accepted"));
            } else {
                let accepted = accepted(topic);
                self.report.differences.push(format!(
                    "{what}: {n} in {told}, but {accepted} records of {topic} were accepted"
                ));
            }
        }
    }
}

fn first_name(summaries: &Summaries) -> &str {
    summaries.ledgers.first().map_or("summaries", Ledger::name)
}
