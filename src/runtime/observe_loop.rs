//! The loop of observe: the user's topics in, facts and summaries out.
//!
//! As the loop of a stage, with three differences: it reads topics that are not ours, it keeps
//! nothing across a commit, and a record may have to wait for a schema or a layout, which pauses
//! its partition and no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::Consumer;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::error::RunError;
use super::ffi::{self, Fetched};
use super::group::{Group, GroupEvent, Place};
use super::incarnation::{self, Incarnations};
use super::layouts::Layouts;
use super::member::{Member, Polled};
use super::pulse::Pulse;
use super::reader::Reader;
use super::report::ReportKind;
use super::restore::Restorer;
use super::schema_waits::{SchemaWaits, Wait};
use super::send::Batch;
use super::set_aside::{HandedIn, Seen, SetAside, WaitsFor, hand_in};
use super::setup::Setup;
use super::transaction::{Committed, Writer, offsets};
use crate::config::plan::Plan;
use crate::event::progress::Progress;
use crate::event::public::PublicEvent;
use crate::event::route::{Outbox, Route};
use crate::observe::{KeptRecord, Observe, SchemaAnswer, SchemaKey, Taken};
use crate::registry::SchemaSource;

/// Its name in groups, metrics and logs.
pub(super) const NAME: &str = "observe";
/// Longest a poll waits; also how soon a shutdown is noticed.
const POLL: Duration = Duration::from_millis(50);
/// Records taken from librdkafka at a time, and so between two looks at the group, the clock, the
/// registry and the layouts.
const BATCH: usize = 1024;

/// What is fetched comes here, beside the consumer's own queue.
type Intake = ffi::Queue<Group>;

/// What became of something fetched that is no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    Done,
    PositionLost,
}

struct ObserveLoop<'a> {
    setup: &'a Setup,
    observe: Observe,
    member: Member,
    reader: Reader,
    writer: Writer,
    layouts: Layouts,
    incarnations: Incarnations,
    schemas: Option<SchemaSource>,
    schema_waits: SchemaWaits,
    set_aside: SetAside,
    out: Outbox,
    read: u64,
    last_commit: Instant,
    pulse: Pulse,
}

/// Drives observe until a shutdown is asked for or something cannot be mended.
pub(super) fn run(
    setup: &Setup,
    plan: Arc<Plan>,
    schemas: Option<SchemaSource>,
) -> Result<(), RunError> {
    let identity = setup.identity(NAME);
    let encoder = Box::new(|_: &PublicEvent| unreachable!("observe makes no public events"));
    let writer = Writer::new(setup, NAME, encoder)?;
    let failed = |source: KafkaError| RunError::Client { stage: NAME, source };
    let reader = Reader::new(&setup.access, &identity).map_err(failed)?;
    let mut observe = Observe::paced(plan);
    let topics = observe.topics();
    let topics: Vec<&str> = topics.iter().map(String::as_str).collect();
    reader.await_topics(NAME, &topics, &setup.shutdown)?;
    reader.await_topics(NAME, &[setup.names.place(Route::Layouts).0], &setup.shutdown)?;
    let layouts = Layouts::start(setup, NAME, &reader, |update| observe.layout(update))?;
    let member = Member::join(setup, NAME, &topics)?;
    let mut intake = intake_of(&member)?;
    let mut driver = ObserveLoop {
        setup,
        observe,
        member,
        reader,
        writer,
        layouts,
        incarnations: Incarnations::new(),
        schemas,
        schema_waits: SchemaWaits::new(Instant::now()),
        set_aside: SetAside::default(),
        out: Outbox::default(),
        read: 0,
        last_commit: Instant::now(),
        pulse: Pulse::new(setup, NAME),
    };
    let end = driver.turn_until_shutdown(&mut intake);
    // The consumer cannot leave before what belongs to it is gone.
    drop(intake);
    driver.member.leave(setup.leave && end.is_ok());
    end
}

fn intake_of(member: &Member) -> Result<Intake, RunError> {
    Intake::new(Arc::clone(&member.consumer), BATCH).ok_or_else(|| {
        let source = KafkaError::ClientCreation("no queue".to_owned());
        RunError::Client { stage: NAME, source }
    })
}

impl ObserveLoop<'_> {
    fn turn_until_shutdown(&mut self, intake: &mut Intake) -> Result<(), RunError> {
        while !self.setup.shutdown.requested() {
            while let Some(event) = self.member.next_event() {
                self.answer(event, intake)?;
            }
            self.look_after_member(intake)?;
            if !self.writer.is_ready()? {
                self.member.serve(POLL, &self.setup.shutdown);
                self.pulse.beat();
                continue;
            }
            if !self.member.restored && !self.member.assigned.is_empty() {
                self.restore(intake)?;
                continue;
            }
            self.read_some(intake)?;
            self.look_whether_made_anew();
            self.take_answers();
            self.take_layouts();
            if self.commit_is_due() {
                self.commit()?;
            } else {
                self.pulse.beat();
            }
        }
        if self.member.restored { self.commit() } else { Ok(()) }
    }

    fn answer(&mut self, event: GroupEvent, intake: &Intake) -> Result<(), RunError> {
        match event {
            GroupEvent::Assign(places) => {
                self.forget();
                places.iter().for_each(|(topic, partition)| intake.bring(topic, *partition));
                self.member.take(places)
            }
            GroupEvent::Revoke { lost } => {
                if !lost && self.member.restored {
                    self.commit()?;
                }
                self.forget();
                self.member.give_up();
                self.setup.report(NAME, ReportKind::Revoked);
                Ok(())
            }
        }
    }

    fn forget(&mut self) {
        self.observe.rewind();
        self.set_aside.clear();
        self.out.clear();
        self.read = 0;
        self.member.restored = false;
    }

    fn restore(&mut self, intake: &Intake) -> Result<(), RunError> {
        let started = Instant::now();
        self.forget();
        let topics = self.member.assigned.iter().map(|(topic, _)| topic.as_str());
        self.incarnations.learn(self.member.consumer.client(), topics);
        let restorer = self.restorer();
        let is_other = |topic: &str, committed: &str| self.incarnations.is_other(topic, committed);
        let Some(standings) = restorer.standings(&self.member.assigned, is_other)? else {
            return Ok(());
        };
        let mut counts: BTreeMap<String, i32> = BTreeMap::new();
        for standing in &standings {
            if !counts.contains_key(&standing.topic) {
                let count = || self.reader.partitions(&standing.topic);
                let Some(count) = restorer.patiently("fetching metadata", count)? else {
                    return Ok(());
                };
                counts.insert(standing.topic.clone(), count);
            }
        }
        let starts: Vec<(Place, i64)> = standings
            .iter()
            .map(|standing| ((standing.topic.clone(), standing.partition), standing.next()))
            .collect();
        for standing in &standings {
            self.observe.assign(
                &standing.topic,
                standing.partition,
                counts[&standing.topic],
                standing.next(),
                incarnation::said(&standing.metadata),
            );
        }
        let bring =
            || starts.iter().for_each(|((topic, partition), _)| intake.bring(topic, *partition));
        if !self.restorer().resume_all(&starts, &bring)? {
            return Ok(());
        }
        let (partitions, took) = (starts.len(), started.elapsed());
        self.member.restored_at(&starts);
        let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(stage = NAME, partitions, took_ms, "restored");
        self.setup.report(NAME, ReportKind::Assigned { partitions, took });
        Ok(())
    }

    fn restorer(&self) -> Restorer<'_> {
        Restorer::new(self.setup, &self.member, &self.reader, &self.pulse)
    }

    fn read_some(&mut self, intake: &mut Intake) -> Result<(), RunError> {
        // Rebalances and errors of the client come this way; records do not.
        match self.member.poll(Duration::ZERO)? {
            Polled::Record(_) | Polled::PositionLost => {
                self.rewind("fetch");
                return Ok(());
            }
            Polled::End(_) | Polled::Nothing => {}
        }
        let due = self.setup.pace.observe.saturating_sub(self.last_commit.elapsed());
        let batch = intake.take(due.min(POLL));
        let mut seen = Seen::default();
        let mut waiting: Vec<(KeptRecord, WaitsFor)> = Vec::new();
        let mut lost = false;
        for fetched in batch.iter() {
            if (!waiting.is_empty() || !self.set_aside.is_empty()) && self.waits(&fetched, &waiting)
            {
                // Behind a record that waits: it comes again when that one is done.
                continue;
            }
            match fetched.error() {
                None => {
                    self.read += 1;
                    let held = hand_in(&mut self.observe, &fetched, &mut seen, &mut self.out);
                    waiting.extend(held.filter(|(record, cause)| self.has_to_wait(record, *cause)));
                }
                Some(code) => lost |= self.note(&fetched, code) == Noted::PositionLost,
            }
        }
        drop(batch);
        if lost {
            self.rewind("fetch");
        } else if !waiting.is_empty() {
            self.set_aside(waiting);
        }
        Ok(())
    }

    fn look_after_member(&mut self, intake: &mut Intake) -> Result<(), RunError> {
        let set_aside = &self.set_aside;
        let waits = |(topic, partition): &Place| set_aside.holds(topic, *partition);
        let Some(broken) = self.member.broken(&self.reader, waits) else {
            return Ok(());
        };
        self.setup.report(NAME, ReportKind::Rewound { cause: broken.cause() });
        self.forget();
        let old = self.member.replace(self.setup, broken)?;
        *intake = intake_of(&self.member)?;
        self.member.rejoin(old, &self.observe.topics())
    }

    /// A source that was deleted and made anew has nothing to do with what was read of it.
    fn look_whether_made_anew(&mut self) {
        // Without a cluster that answers it would only wait.
        if self.member.restored
            && let Some(topic) = self.incarnations.changed(self.member.consumer.client())
        {
            tracing::warn!(stage = NAME, topic, "the topic was made anew");
            self.rewind("made_anew");
        }
    }

    fn waits(&self, fetched: &Fetched<'_>, waiting: &[(KeptRecord, WaitsFor)]) -> bool {
        let (topic, partition) = (fetched.topic(), fetched.partition());
        waiting.iter().any(|(kept, _)| kept.topic == topic && kept.partition == partition)
            || self.set_aside.holds(topic, partition)
    }

    /// Asks for the schema a record waits for; where that is taken for missing, the record is
    /// done with at once.
    fn has_to_wait(&mut self, record: &KeptRecord, waits_for: WaitsFor) -> bool {
        let WaitsFor::Schema(key) = waits_for else { return true };
        self.ask(&(record.topic.clone(), record.partition), key)
            || record.lend(|record| self.observe.record(record, &mut self.out)) != Taken::Done
    }

    /// Takes down what was fetched that is no record.
    fn note(&mut self, fetched: &Fetched<'_>, code: RDKafkaErrorCode) -> Noted {
        let (topic, partition) = (fetched.topic(), fetched.partition());
        match code {
            RDKafkaErrorCode::PartitionEOF => {
                // It fires at the last stable offset: a partition with an open transaction is
                // not at its end.
                self.member.at_end(topic, partition, fetched.offset());
                let high = ffi::cached_high(self.member.consumer.client(), topic, partition);
                if high.is_some_and(|high| fetched.offset() >= high) {
                    self.observe.at_end(topic, partition, true);
                }
            }
            RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange => {
                return Noted::PositionLost;
            }
            _ => self.member.complain(&KafkaError::MessageConsumption(code)),
        }
        Noted::Done
    }

    fn set_aside(&mut self, waiting: Vec<(KeptRecord, WaitsFor)>) {
        let mut list = TopicPartitionList::new();
        for (record, _) in &waiting {
            list.add_partition(&record.topic, record.partition);
        }
        if let Err(error) = self.member.consumer.pause(&list) {
            tracing::warn!(stage = NAME, %error, "pause");
        }
        for (record, waits_for) in waiting {
            self.set_aside.insert(record, waits_for);
        }
        self.report_waiting();
    }

    fn report_waiting(&self) {
        let (schema, layout) = self.set_aside.counts();
        self.setup.report(NAME, ReportKind::Waiting { schema, layout });
    }

    /// Asks for a schema; whether the partition has to wait. Where not, observe has an answer.
    fn ask(&mut self, place: &Place, key: SchemaKey) -> bool {
        let Some(schemas) = &mut self.schemas else {
            let why = "no registry is configured".to_owned();
            self.observe.schema(key, SchemaAnswer::Unreadable(why));
            return false;
        };
        match self.schema_waits.wait(place, schemas.pending(), Instant::now()) {
            Wait::For(patience) => {
                schemas.request(key, patience);
                true
            }
            Wait::No => {
                schemas.request(key, Duration::ZERO);
                self.observe.schema(key, SchemaAnswer::Unknown);
                false
            }
        }
    }

    fn take_answers(&mut self) {
        let now = Instant::now();
        if self.schema_waits.doubts(now) {
            self.observe.forget_useless_schemas();
        }
        let Some(schemas) = &mut self.schemas else { return };
        for (key, answer) in schemas.poll() {
            if answer == SchemaAnswer::Unknown {
                for place in self.set_aside.waiting_for(key) {
                    self.schema_waits.missing(place, now);
                }
            }
            self.observe.schema(key, answer);
            self.hand_in_again(WaitsFor::Schema(key));
        }
    }

    fn take_layouts(&mut self) {
        self.layouts.look(|update| self.observe.layout(update));
        // Also without news: others may have caught up with a partition that is ahead of them.
        if !self.set_aside.is_empty() {
            self.hand_in_again(WaitsFor::Layout);
        }
    }

    fn hand_in_again(&mut self, came: WaitsFor) {
        let HandedIn { free, asked } =
            self.set_aside.hand_in_again(came, &mut self.observe, &mut self.out);
        if !free.is_empty() {
            self.go_on(&free);
            self.report_waiting();
        }
        for (place, key) in asked {
            if !self.ask(&place, key) {
                self.hand_in_again(WaitsFor::Schema(key));
            }
        }
    }

    /// Reads on in partitions that were paused. librdkafka would go on behind all it has handed
    /// out, so it is told where.
    fn go_on(&mut self, starts: &[(Place, i64)]) {
        // With something else to be done first, or without success, the restore finds the place.
        match self.restorer().resume(starts) {
            Ok(true) => {}
            Ok(false) => self.rewind("fetch"),
            Err(error) => {
                tracing::warn!(stage = NAME, %error, "reading on");
                self.rewind("fetch");
            }
        }
    }

    fn commit_is_due(&self) -> bool {
        self.member.restored
            && (self.last_commit.elapsed() >= self.setup.pace.observe
                || self.observe.urgent()
                || self.observe.pending_bytes() >= self.setup.pending_bytes)
    }

    /// Commits what was read; with nothing read, the news that nothing was.
    fn commit(&mut self) -> Result<(), RunError> {
        let commits = self.observe.commit(&mut self.out);
        if commits.is_empty() && self.out.messages.is_empty() {
            self.last_commit = Instant::now();
            return Ok(());
        }
        let beside: Vec<String> = commits
            .iter()
            .map(|commit| self.incarnations.beside(&commit.progress.topic, &commit.metadata))
            .collect();
        let list = offsets(commits.iter().zip(&beside).map(|(commit, beside)| {
            let line = &commit.progress;
            (line.topic.as_str(), line.partition, line.to, beside.as_str())
        }));
        let batch = Batch { out: &self.out, state: None, offsets: &list };
        let started = Instant::now();
        match self.writer.commit(&self.member.consumer, &batch)? {
            Committed::Yes => {
                self.member.progressed();
                self.last_commit = Instant::now();
                let client = self.member.consumer.client();
                let lines: Vec<Progress> = commits.into_iter().map(|c| c.progress).collect();
                let behind = lines.iter().filter(|line| !line.at_end).map(|line| {
                    let high = ffi::cached_high(client, &line.topic, line.partition);
                    u64::try_from(high.unwrap_or(line.to) - line.to).unwrap_or(0)
                });
                let lag = behind.sum();
                let mut messages = std::mem::take(&mut self.out.messages);
                let written = messages.len() as u64;
                messages.retain(|message| message.route == Route::Quarantine);
                messages.iter_mut().for_each(|message| message.payload.clear());
                let kind = ReportKind::Committed {
                    took: started.elapsed(),
                    read: self.read,
                    written,
                    lag,
                    checkpoint: false,
                    notes: std::mem::take(&mut self.out.notes),
                    lines,
                    set_aside: messages,
                    events: Vec::new(),
                };
                self.setup.report(NAME, kind);
                self.pulse.reset();
                self.out.clear();
                self.read = 0;
            }
            Committed::Rewind(cause) => self.rewind(cause),
        }
        Ok(())
    }

    fn rewind(&mut self, cause: &'static str) {
        self.setup.report(NAME, ReportKind::Rewound { cause });
        self.forget();
        self.member.pause();
        self.member.rest_after_rewind(&self.setup.shutdown);
    }
}
