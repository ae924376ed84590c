//! A loop's membership in its group: the consumer, what it holds, and what polling brings.
//!
//! Holds no data and decides nothing about any; both kinds of loop are built on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

use super::access::Rights;
use super::client::{self, Identity};
use super::error::RunError;
use super::fed::{Fed, Unfed};
use super::ffi;
use super::group::{Group, GroupEvent, Place};
use super::quiet::Quiet;
use super::reader::Reader;
use super::restore::position_lost;
use super::setup::Setup;
use super::shutdown::Shutdown;
use super::transaction::slot_taken;

/// Longest pause after repeated rewinds.
const REST_MAX: Duration = Duration::from_secs(5);
/// A consumer made anew for want of food that starves again within so many times the patience is
/// not to blame.
const REPLACE_EVERY: u32 = 10;
/// A member fenced a second time within this has a second live process on its slot; once is what
/// is left of a broker that died while it joined.
const FENCE_MEMORY: Duration = Duration::from_secs(60);
/// Long enough for librdkafka to hand over all that has piled up, unless more comes all the time.
const MOMENT: Duration = Duration::from_millis(5);
/// Longest wait before a look at what is asked for.
const LOOK: Duration = Duration::from_millis(50);
/// How long the group's coordinator may take to let a member in and go.
const LEAVE_WITHIN: Duration = Duration::from_secs(4);

/// What a poll brought.
pub(super) enum Polled<'a> {
    /// A record.
    Record(BorrowedMessage<'a>),
    /// Some topic's partition of that number has been read to its end.
    End(i32),
    /// The position of a partition is not there any more.
    PositionLost,
    /// Nothing in the time given.
    Nothing,
}

/// Why a consumer is of no use any more.
#[derive(Debug)]
pub(super) enum Broken {
    /// Its static id belongs to another consumer.
    Fenced,
    /// A partition is not read on although there is more.
    Unfed(Unfed),
}

impl Broken {
    /// For the label of a metric.
    pub(super) fn cause(&self) -> &'static str {
        match self {
            Broken::Fenced => "member_fenced",
            Broken::Unfed(_) => "unfed",
        }
    }
}

/// A consumer in its group.
pub(super) struct Member {
    pub consumer: Arc<BaseConsumer<Group>>,
    pub identity: Identity,
    /// Partitions the group has given.
    pub assigned: Vec<Place>,
    /// Whether they have been restored and are read.
    pub restored: bool,
    rights: Rights,
    fed: Fed,
    /// When it was last made anew for want of food.
    refed: Option<Instant>,
    fenced: Option<Instant>,
    rewinds: u32,
    quiet: Quiet,
}

impl Member {
    /// Makes the consumer and joins the group.
    pub(super) fn join(
        setup: &Setup,
        stage: &'static str,
        topics: &[&str],
    ) -> Result<Member, RunError> {
        let consumer = connect(setup, stage, topics)?;
        Ok(Member {
            consumer: Arc::new(consumer),
            identity: setup.identity(stage),
            assigned: Vec::new(),
            restored: false,
            rights: setup.rights.clone(),
            fed: Fed::new(setup.pace.unfed),
            refed: None,
            fenced: None,
            rewinds: 0,
            quiet: Quiet::default(),
        })
    }

    /// Puts a new consumer, which has not joined yet, in the place of one that is of no use, and
    /// gives the old one back; where that was done a short while ago it gives up.
    pub(super) fn replace(
        &mut self,
        setup: &Setup,
        broken: Broken,
    ) -> Result<Arc<BaseConsumer<Group>>, RunError> {
        let stage = self.identity.stage;
        match broken {
            Broken::Fenced => {
                if self.fenced.is_some_and(|fenced| fenced.elapsed() < FENCE_MEMORY) {
                    return Err(slot_taken(&self.identity));
                }
                tracing::warn!(stage, "the group took the slot away: joining anew");
                self.fenced = Some(Instant::now());
            }
            Broken::Unfed(Unfed { place: (topic, partition), reached, end }) => {
                let soon = setup.pace.unfed * REPLACE_EVERY;
                if self.refed.is_some_and(|refed| refed.elapsed() < soon) {
                    return Err(RunError::NotFed { stage, topic, partition, reached, end });
                }
                tracing::error!(stage, topic, partition, reached, end, "not fed: joining anew");
                self.refed = Some(Instant::now());
            }
        }
        self.assigned.clear();
        self.restored = false;
        self.fed = Fed::new(setup.pace.unfed);
        self.consumer.context().close();
        let fresh = client::group_consumer(&setup.access, &self.identity, setup.prefetch_bytes)
            .map_err(|source| RunError::Client { stage, source })?;
        Ok(std::mem::replace(&mut self.consumer, Arc::new(fresh)))
    }

    /// Ends the consumer that was replaced and joins with the new one: two members with one
    /// static id would fence each other.
    pub(super) fn rejoin<T: AsRef<str>>(
        &mut self,
        old: Arc<BaseConsumer<Group>>,
        topics: &[T],
    ) -> Result<(), RunError> {
        drop(old);
        let topics: Vec<&str> = topics.iter().map(AsRef::as_ref).collect();
        let stage = self.identity.stage;
        self.consumer.subscribe(&topics).map_err(|source| RunError::Client { stage, source })
    }

    pub(super) fn next_event(&self) -> Option<GroupEvent> {
        self.consumer.context().next()
    }

    /// Takes partitions over, paused until they are restored.
    pub(super) fn take(&mut self, places: Vec<Place>) -> Result<(), RunError> {
        // An explicit offset keeps librdkafka from looking one up; the restore seeks.
        let mut list = list_of(&places);
        let stage = self.identity.stage;
        list.set_all_offsets(rdkafka::Offset::Offset(0))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|source| RunError::Client { stage, source })?;
        self.assigned = places;
        self.restored = false;
        self.pause();
        Ok(())
    }

    /// Gives everything up, as the group wishes.
    pub(super) fn give_up(&mut self) {
        self.assigned.clear();
        self.restored = false;
        if let Err(error) = self.consumer.unassign() {
            tracing::warn!(stage = self.identity.stage, %error, "unassign");
        }
    }

    /// Stops reading everything held, until the restore resumes it.
    pub(super) fn pause(&self) {
        if let Err(error) = self.consumer.pause(&list_of(&self.assigned)) {
            tracing::debug!(stage = self.identity.stage, %error, "pause");
        }
    }

    /// The next thing from Kafka.
    pub(super) fn poll(&mut self, timeout: Duration) -> Result<Polled<'_>, RunError> {
        let error = match self.consumer.poll(timeout) {
            None => return Ok(Polled::Nothing),
            Some(Ok(message)) => return Ok(Polled::Record(message)),
            Some(Err(KafkaError::PartitionEOF(partition))) => return Ok(Polled::End(partition)),
            Some(Err(error)) => error,
        };
        if position_lost(&error) {
            return Ok(Polled::PositionLost);
        }
        if self.is_fenced() {
            // The next look at what is broken tells.
            return Ok(Polled::Nothing);
        }
        let stage = self.identity.stage;
        if let KafkaError::MessageConsumptionFatal(_) = error {
            return Err(RunError::Unreachable {
                stage,
                doing: "reading",
                seconds: 0,
                source: error,
            });
        }
        if !self.rights.explain(self.consumer.client(), &self.identity, &error) {
            complain(&mut self.quiet, stage, &error);
        }
        Ok(Polled::Nothing)
    }

    /// Its partitions are restored, and read on from here.
    pub(super) fn restored_at(&mut self, starts: &[(Place, i64)]) {
        self.fed.start(starts);
        self.restored = true;
    }

    /// A partition has been read to its end, which is here.
    pub(super) fn at_end(&mut self, topic: &str, partition: i32, end: i64) {
        self.fed.at_end(topic, partition, end);
    }

    /// Whether the consumer has ended because another has its static id. That is asked for in
    /// place of waiting for the error, which comes once and may come to anybody who polls.
    pub(super) fn is_fenced(&self) -> bool {
        let ended = self.consumer.client().fatal_error();
        ended.is_some_and(|(code, _)| code == RDKafkaErrorCode::FencedInstanceId)
    }

    /// Why a new consumer is needed, if it is: this one was fenced, or a partition is not read on
    /// although there is more; `waits` tells those paused on purpose.
    pub(super) fn broken(
        &mut self,
        reader: &Reader,
        waits: impl Fn(&Place) -> bool,
    ) -> Option<Broken> {
        if self.is_fenced() {
            return Some(Broken::Fenced);
        }
        if !self.restored {
            return None;
        }
        self.fed.unfed(&self.consumer, reader, waits).map(Broken::Unfed)
    }

    /// Says, but not too often, what reading ran into. What may not be read is not handed out;
    /// the rest is, and librdkafka tries again.
    pub(super) fn complain(&mut self, error: &KafkaError) {
        if !self.rights.explain(self.consumer.client(), &self.identity, error) {
            complain(&mut self.quiet, self.identity.stage, error);
        }
    }

    /// Rests before the next restore: hardly after the first failure, then longer.
    pub(super) fn rest_after_rewind(&mut self, shutdown: &Shutdown) {
        self.rewinds += 1;
        let exponent = self.rewinds.min(8);
        let rest = if self.rewinds <= 1 { Duration::ZERO } else { Duration::from_millis(50) };
        self.serve((rest * (1 << exponent)).min(REST_MAX), shutdown);
    }

    /// Does nothing for a while but to answer the group, with everything paused: a member that
    /// does not hear that the others wait for it holds them all up. A broker that was away leaves
    /// a backlog of errors, and what the group asks lies behind it, so that is heard to the end.
    pub(super) fn serve(&mut self, time: Duration, shutdown: &Shutdown) {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let error = match self.consumer.poll(left.clamp(MOMENT, LOOK)) {
                Some(Err(error)) => Some(error),
                Some(Ok(_)) | None if left.is_zero() => return,
                Some(Ok(_)) | None => None,
            };
            if let Some(error) = error {
                self.complain(&error);
            }
            if self.consumer.context().is_asking() || shutdown.requested() || self.is_fenced() {
                return;
            }
        }
    }

    /// A commit has succeeded.
    pub(super) fn progressed(&mut self) {
        self.rewinds = 0;
    }

    /// Ends the membership. A static member that only closes stays known to the group, so that a
    /// restart takes over at once; `for_good` tells the group that it does not come back, and its
    /// partitions move without a wait.
    pub(super) fn leave(self, for_good: bool) {
        self.consumer.context().close();
        if for_good {
            let until = Instant::now() + LEAVE_WITHIN;
            // The group knows a member that asked to be let in before that member knows its id;
            // gone without a word, it would hold the others up for a session.
            self.await_belonging(true, until);
            // librdkafka tells the group of a static member's leaving when it unsubscribes, never
            // when it closes.
            self.consumer.unsubscribe();
            self.await_belonging(false, until);
        }
        drop(self.consumer);
    }

    fn await_belonging(&self, wanted: bool, until: Instant) {
        while self.belongs() != wanted && Instant::now() < until {
            let _ = self.consumer.poll(Duration::from_millis(20));
        }
    }

    fn belongs(&self) -> bool {
        ffi::membership(self.consumer.client()).is_some_and(|place| !place.member.is_empty())
    }
}

fn connect(
    setup: &Setup,
    stage: &'static str,
    topics: &[&str],
) -> Result<BaseConsumer<Group>, RunError> {
    let failed = |source: KafkaError| RunError::Client { stage, source };
    let identity = setup.identity(stage);
    let consumer =
        client::group_consumer(&setup.access, &identity, setup.prefetch_bytes).map_err(failed)?;
    consumer.subscribe(topics).map_err(failed)?;
    Ok(consumer)
}

fn complain(quiet: &mut Quiet, stage: &str, error: &KafkaError) {
    if let Some(suppressed) = quiet.may_log(&format!("{error:?}")) {
        tracing::warn!(stage, %error, suppressed, "reading");
    }
}

fn list_of(places: &[Place]) -> TopicPartitionList {
    let mut list = TopicPartitionList::with_capacity(places.len());
    for (topic, partition) in places {
        list.add_partition(topic, *partition);
    }
    list
}
