//! One commit: outputs, state and offsets together, or none of them.
//!
//! A transaction is begun only when everything it will hold is in memory and never spans a poll
//! of the consumer, so a rebalance can never find one open. Errors have three answers: the same
//! call again, abort, or a new producer; after the last two the caller restores from what is
//! committed. A new producer is not waited for here: whoever waits must serve its group meanwhile,
//! or the whole group waits for it. What a record means is not known here.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{DeliveryResult, Message};
use rdkafka::producer::{BaseProducer, Producer, ProducerContext};

use super::client::{self, AWAY_MAX, CALL, Identity};
use super::error::RunError;
use super::ffi;
use super::group::Group;
use super::pulse::Pulse;
use super::quiet::Quiet;
use super::send::{self, Batch};
use super::setup::Setup;
use crate::event::public::PublicEvent;
use crate::publish::EncodedEvent;

/// How long a commit may take with all that is tried again. The coordinator ends a transaction
/// after 10 s, so little is won after that; and the group cannot rebalance before it is over.
const COMMIT_FOR: Duration = Duration::from_secs(15);
/// The same where there are no transactions; what is not delivered by then is given up by the
/// producer itself, after 30 s.
const PLAIN_FOR: Duration = Duration::from_secs(40);
/// One try at bringing a new producer up.
const INIT_TRY: Duration = Duration::from_millis(500);
/// Fences without this much quiet between them mean a second live process, not an accident.
const FENCE_MEMORY: Duration = Duration::from_secs(120);
/// That many of them end the run.
const FENCES_MAX: u32 = 4;

/// Turns a public event into a record.
pub type EventEncoder = Box<dyn Fn(&PublicEvent) -> EncodedEvent + Send>;

/// How a loop commits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commit {
    /// Outputs and offsets in one Kafka transaction.
    Transactional,
    /// Flush, then commit the offsets: what the mock broker can do. A crash in between repeats
    /// outputs, so only the demo and tests ask for it.
    Plain,
}

/// What came of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Committed {
    /// It holds.
    Yes,
    /// It does not hold, for this reason; restore from what is committed.
    Rewind(&'static str),
}

/// Counts deliveries that failed; in a transaction they also make the commit fail.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    failed: AtomicU64,
    /// Topic and error of a message that its topic will never take.
    refused: Mutex<Option<(String, KafkaError)>>,
    quiet: Mutex<Quiet>,
}

impl ClientContext for Deliveries {
    /// A transaction that fails is told once for each partition, at every try.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(suppressed) = quiet.may_log(facility) {
            tracing::warn!(?level, facility, message, suppressed, "kafka producer");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let cause = format!("{error:?}");
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(suppressed) = quiet.may_log(&cause) {
            tracing::warn!(%reason, suppressed, "kafka producer error");
        }
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        let Err((error, message)) = result else { return };
        self.failed.fetch_add(1, Ordering::SeqCst);
        let topic = message.topic();
        if send::is_too_large(error) {
            let refused = (topic.to_owned(), error.clone());
            *self.refused.lock().unwrap_or_else(PoisonError::into_inner) = Some(refused);
        }
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(suppressed) = quiet.may_log(&format!("{topic} {error:?}")) {
            tracing::warn!(topic, %error, suppressed, "a message was not written");
        }
    }
}

/// Why a step of a transaction failed.
enum Failure {
    /// Undo it; the producer goes on.
    Abort(KafkaError),
    /// This producer is done for.
    Fatal(KafkaError),
    /// No reaction mends this.
    Run(Box<RunError>),
}

/// Writes what a stage says. One per loop; owns its producer.
pub(super) struct Writer {
    setup: Setup,
    identity: Identity,
    encoder: EventEncoder,
    pulse: Pulse,
    producer: BaseProducer<Deliveries>,
    /// The producer is new, and the coordinator does not know it yet.
    coming: Option<Coming>,
    fences: u32,
    last_fence: Option<Instant>,
}

/// A producer on its way.
struct Coming {
    since: Instant,
    /// Not to be tried before then.
    next: Instant,
    pause: Duration,
    quiet: Quiet,
}

impl Coming {
    /// Tried first after a rest.
    fn after(rest: Duration) -> Coming {
        let since = Instant::now();
        let pause = Duration::from_millis(100);
        Coming { since, next: since + rest, pause, quiet: Quiet::default() }
    }
}

impl Writer {
    /// Sets the producer up; ends a transaction that a dead predecessor left open.
    pub(super) fn new(
        setup: &Setup,
        stage: &'static str,
        encoder: EventEncoder,
    ) -> Result<Writer, RunError> {
        let (identity, pulse) = (setup.identity(stage), Pulse::new(setup, stage));
        let producer = producer(setup, &identity)?;
        let coming = Some(Coming::after(Duration::ZERO));
        let setup = setup.clone();
        let (fences, last_fence) = (0, None);
        let mut writer =
            Writer { setup, identity, encoder, pulse, producer, coming, fences, last_fence };
        while !writer.is_ready()? {
            if writer.setup.shutdown.requested() {
                return Err(RunError::Stopped);
            }
            writer.pulse.beat();
            writer.setup.shutdown.sleep(Duration::from_millis(20));
        }
        Ok(writer)
    }

    /// Whether it can commit. Where its producer is new it tries for a moment to bring that up,
    /// which ends what the one before it left open.
    pub(super) fn is_ready(&mut self) -> Result<bool, RunError> {
        if self.setup.commit == Commit::Plain {
            self.coming = None;
        }
        let Some(coming) = &mut self.coming else { return Ok(true) };
        if Instant::now() < coming.next {
            return Ok(false);
        }
        let Err(error) = self.producer.init_transactions(INIT_TRY) else {
            self.coming = None;
            return Ok(true);
        };
        let (stage, waited) = (self.identity.stage, coming.since.elapsed());
        // A right comes when someone grants it; a restart would not bring it sooner.
        let denied = self.setup.rights.explain(self.producer.client(), &self.identity, &error);
        if waited >= AWAY_MAX && !denied {
            let (doing, seconds) = ("starting a transactional producer", waited.as_secs());
            return Err(RunError::Unreachable { stage, doing, seconds, source: error });
        }
        if !denied && let Some(suppressed) = coming.quiet.may_log(&format!("{error:?}")) {
            tracing::warn!(stage, %error, suppressed, "waiting for the transaction coordinator");
        }
        let retriable = matches!(&error, KafkaError::Transaction(inner) if inner.is_retriable());
        if !retriable {
            coming.next = Instant::now() + coming.pause;
            coming.pause = (coming.pause * 2).min(Duration::from_secs(5));
            self.producer = producer(&self.setup, &self.identity)?;
        }
        Ok(false)
    }

    /// Commits a batch with the offsets it was made from.
    pub(super) fn commit(
        &mut self,
        consumer: &BaseConsumer<Group>,
        batch: &Batch<'_>,
    ) -> Result<Committed, RunError> {
        let committed = match self.setup.commit {
            Commit::Plain => self.commit_plain(consumer, batch)?,
            Commit::Transactional => self.commit_transactional(consumer, batch)?,
        };
        let refused = &self.producer.context().refused;
        match refused.lock().unwrap_or_else(PoisonError::into_inner).take() {
            None => Ok(committed),
            // It would be refused again after every restore.
            Some((topic, source)) => {
                Err(RunError::Unwritable { stage: self.stage(), topic, source })
            }
        }
    }

    fn commit_transactional(
        &mut self,
        consumer: &BaseConsumer<Group>,
        batch: &Batch<'_>,
    ) -> Result<Committed, RunError> {
        // Outside a generation the offsets would fence nobody: another may own the input.
        if ffi::membership(consumer.client()).is_none_or(|place| place.generation < 0) {
            return Ok(Committed::Rewind("not_a_member"));
        }
        match self.transact(consumer, batch) {
            Ok(()) => Ok(Committed::Yes),
            Err(Failure::Abort(error)) => {
                self.explain(&error);
                tracing::info!(stage = self.stage(), %error, "transaction aborted, restoring");
                if !self.abort() {
                    self.recreate(Duration::ZERO)?;
                }
                Ok(Committed::Rewind("aborted"))
            }
            Err(Failure::Fatal(error)) => {
                self.explain(&error);
                tracing::warn!(stage = self.stage(), %error, "producer lost, making a new one");
                if is_fence(&error) {
                    let rest = self.count_fence()?;
                    self.recreate(rest)?;
                    return Ok(Committed::Rewind("fenced"));
                }
                self.recreate(Duration::ZERO)?;
                Ok(Committed::Rewind("fatal"))
            }
            Err(Failure::Run(error)) => Err(*error),
        }
    }

    fn transact(&self, consumer: &BaseConsumer<Group>, batch: &Batch<'_>) -> Result<(), Failure> {
        let (producer, until) = (&self.producer, Instant::now() + COMMIT_FOR);
        producer.begin_transaction().map_err(Failure::Fatal)?;
        self.send(batch)?;
        self.drain(until);
        let metadata = consumer
            .group_metadata()
            .ok_or_else(|| Failure::Abort(KafkaError::Global(RDKafkaErrorCode::UnknownMemberId)))?;
        let send_offsets = || producer.send_offsets_to_transaction(batch.offsets, &metadata, CALL);
        self.again(until, send_offsets)?;
        // The flush inside commit would wait 100 ms for nothing if reports were left.
        self.drain(until);
        self.again(until, || producer.commit_transaction(CALL))
    }

    /// The same call until it succeeds or time is up, while its error says that this can help.
    fn again(
        &self,
        until: Instant,
        call: impl Fn() -> Result<(), KafkaError>,
    ) -> Result<(), Failure> {
        loop {
            let error = match call() {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.pulse.beat();
            let KafkaError::Transaction(inner) = &error else {
                // A flush that timed out has already used its time.
                if Instant::now() < until && matches!(error, KafkaError::Flush(_)) {
                    continue;
                }
                return Err(Failure::Fatal(error));
            };
            if inner.txn_requires_abort() {
                return Err(Failure::Abort(error));
            }
            let hopeless = !inner.is_retriable() || Instant::now() >= until;
            if hopeless || self.setup.shutdown.requested() {
                return Err(Failure::Fatal(error));
            }
            self.producer.poll(Duration::from_millis(20));
        }
    }

    /// Aborts; whether the producer can go on.
    fn abort(&self) -> bool {
        let until = Instant::now() + CALL;
        self.drain(until);
        self.again(until, || self.producer.abort_transaction(CALL)).is_ok()
    }

    fn send(&self, batch: &Batch<'_>) -> Result<(), Failure> {
        let sent = send::send(&self.producer, batch, &self.setup.names, &self.encoder);
        match sent {
            Ok(()) => Ok(()),
            Err(send::SendError::Unwritable { topic, source }) => {
                self.abort();
                let stage = self.stage();
                Err(Failure::Run(Box::new(RunError::Unwritable { stage, topic, source })))
            }
            Err(send::SendError::Failed(error)) => {
                let fatal = error.rdkafka_error_code() == Some(RDKafkaErrorCode::Fatal);
                Err(if fatal { Failure::Fatal(error) } else { Failure::Abort(error) })
            }
        }
    }

    /// Waits until every delivery is reported: the message timeout ends it in an outage.
    fn drain(&self, until: Instant) {
        while self.producer.in_flight_count() > 0 && Instant::now() < until {
            self.producer.poll(Duration::from_millis(1));
            self.pulse.beat();
        }
    }

    fn commit_plain(
        &mut self,
        consumer: &BaseConsumer<Group>,
        batch: &Batch<'_>,
    ) -> Result<Committed, RunError> {
        let failed = &self.producer.context().failed;
        let before = failed.load(Ordering::SeqCst);
        match self.send(batch) {
            Ok(()) => {}
            Err(Failure::Run(error)) => return Err(*error),
            Err(Failure::Abort(_) | Failure::Fatal(_)) => {
                return Ok(Committed::Rewind("aborted"));
            }
        }
        self.drain(Instant::now() + PLAIN_FOR);
        if self.producer.in_flight_count() > 0 || failed.load(Ordering::SeqCst) > before {
            return Ok(Committed::Rewind("aborted"));
        }
        if batch.offsets.count() > 0
            && let Err(error) = consumer.commit(batch.offsets, CommitMode::Sync)
        {
            tracing::info!(stage = self.stage(), %error, "offsets not committed, restoring");
            return Ok(Committed::Rewind("aborted"));
        }
        Ok(Committed::Yes)
    }

    /// A fence can be an accident (a transaction that timed out); many of them are a second
    /// process with the same slot, and two would fence each other for ever. Gives how long to rest.
    fn count_fence(&mut self) -> Result<Duration, RunError> {
        let recent = self.last_fence.is_some_and(|last| last.elapsed() < FENCE_MEMORY);
        self.fences = if recent { self.fences + 1 } else { 1 };
        self.last_fence = Some(Instant::now());
        if self.fences >= FENCES_MAX {
            return Err(slot_taken(&self.identity));
        }
        Ok(Duration::from_secs(1 << self.fences))
    }

    /// Says which right is missing, where that is why.
    fn explain(&self, error: &KafkaError) {
        self.setup.rights.explain(self.producer.client(), &self.identity, error);
    }

    fn recreate(&mut self, rest: Duration) -> Result<(), RunError> {
        self.producer = producer(&self.setup, &self.identity)?;
        self.coming = Some(Coming::after(rest));
        Ok(())
    }

    fn stage(&self) -> &'static str {
        self.identity.stage
    }
}

fn producer(setup: &Setup, identity: &Identity) -> Result<BaseProducer<Deliveries>, RunError> {
    let transactional = setup.commit == Commit::Transactional;
    client::producer(&setup.access, identity, transactional)
        .map_err(|source| RunError::Client { stage: identity.stage, source })
}

/// Another live process has this one's slot.
pub(super) fn slot_taken(identity: &Identity) -> RunError {
    let Identity { app, stage, slot } = identity.clone();
    RunError::SlotTaken { app, stage, slot, next: slot + 1 }
}

fn is_fence(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::Fenced
                | RDKafkaErrorCode::InvalidProducerEpoch
                | RDKafkaErrorCode::ProducerFenced
        )
    )
}

/// Offsets to commit with their metadata. Metadata is set once per element: setting it again
/// would leak the first.
pub(super) fn offsets<'a>(
    positions: impl IntoIterator<Item = (&'a str, i32, i64, &'a str)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (topic, partition, offset, metadata) in positions {
        let mut element = list.add_partition(topic, partition);
        element
            .set_offset(rdkafka::Offset::Offset(offset))
            .expect("offsets are counted up from zero");
        if !metadata.is_empty() {
            element.set_metadata(metadata);
        }
    }
    list
}
