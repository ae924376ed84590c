//! Brings a stage back to where its last commit left it: start point and silent replay.
//!
//! Runs outside any rebalance callback, reads through the unsubscribed [`Reader`], and looks at
//! the group between records, so that it never holds up a rebalance. It emits nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::access::Rights;
use super::client::{AWAY_MAX, Identity};
use super::error::RunError;
use super::group::{Group, Place};
use super::member::Member;
use super::pulse::Pulse;
use super::reader::{ReadEnd, Reader, Stretch};
use super::setup::Setup;
use super::shutdown::Shutdown;
use crate::event::route::Outbox;
use crate::stage::{Incoming, Restart, Stage};

/// Key of the record that holds a checkpoint's input offset.
pub(super) const CHECKPOINT_KEY: &[u8] = b"__checkpoint";
/// One try at the committed offsets: they are withheld while a transaction is pending.
const COMMITTED_TRY: Duration = Duration::from_millis(500);
/// Between two tries of what is not allowed.
const DENIED_REST: Duration = Duration::from_secs(1);
/// Events of the client taken at a look: what the group asks lies behind the errors of a broker
/// that was away.
const BACKLOG: usize = 64;
/// One try at a seek.
const SEEK_TRY: Duration = Duration::from_secs(1);
/// A seek right after an assignment may be refused for a moment.
const ASSIGN_AFTER: Duration = Duration::from_millis(500);
const SEEK_FOR: Duration = Duration::from_secs(20);

/// Where a partition stands.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub topic: String,
    pub partition: i32,
    /// Committed offset; `None` before the first commit.
    pub committed: Option<i64>,
    /// Metadata of that commit.
    pub metadata: String,
    /// First offset that can be read.
    pub low: i64,
}

impl Standing {
    /// Where reading goes on.
    pub(super) fn next(&self) -> i64 {
        self.committed.unwrap_or(self.low)
    }
}

/// What a restore works with.
pub(super) struct Restorer<'a> {
    member: &'a Member,
    consumer: &'a BaseConsumer<Group>,
    reader: &'a Reader,
    identity: &'a Identity,
    rights: &'a Rights,
    shutdown: &'a Shutdown,
    pulse: &'a Pulse,
}

impl<'a> Restorer<'a> {
    /// Of a loop.
    pub(super) fn new(
        setup: &'a Setup,
        member: &'a Member,
        reader: &'a Reader,
        pulse: &'a Pulse,
    ) -> Restorer<'a> {
        Restorer {
            member,
            consumer: &member.consumer,
            reader,
            identity: &member.identity,
            rights: &setup.rights,
            shutdown: &setup.shutdown,
            pulse,
        }
    }

    /// Serves the group; whether something else has to be done first. The partitions are paused,
    /// so no record is lost here.
    fn interrupted(&self) -> bool {
        self.pulse.beat();
        let backlog = std::iter::from_fn(|| self.consumer.poll(Duration::from_millis(1)));
        for polled in backlog.take(BACKLOG) {
            if let Err(error) = polled {
                self.denied(&error);
            }
        }
        self.consumer.context().is_asking() || self.shutdown.requested() || self.member.is_fenced()
    }

    /// Whether an error is a want of rights, which is said: worth any wait.
    fn denied(&self, error: &KafkaError) -> bool {
        self.rights.explain(self.consumer.client(), self.identity, error)
    }

    /// Tries until it succeeds, something else has to be done (`None`), or patience ends.
    pub(super) fn patiently<T>(
        &self,
        doing: &'static str,
        call: impl Fn() -> KafkaResult<T>,
    ) -> Result<Option<T>, RunError> {
        let started = Instant::now();
        loop {
            let source = match call() {
                Ok(value) => return Ok(Some(value)),
                Err(error) => error,
            };
            if self.interrupted() {
                return Ok(None);
            }
            if !self.denied(&source) && started.elapsed() > AWAY_MAX {
                let (stage, seconds) = (self.identity.stage, AWAY_MAX.as_secs());
                return Err(RunError::Unreachable { stage, doing, seconds, source });
            }
            self.shutdown.sleep(Duration::from_millis(50));
        }
    }

    /// Where the partitions stand, checked against what the topic still holds. `is_other` tells,
    /// of a topic and what was committed, that this was of another topic of that name.
    pub(super) fn standings(
        &self,
        places: &[Place],
        is_other: impl Fn(&str, &str) -> bool,
    ) -> Result<Option<Vec<Standing>>, RunError> {
        let mut asked = TopicPartitionList::new();
        for (topic, partition) in places {
            asked.add_partition(topic, *partition);
        }
        let fetch = || {
            let list = self.consumer.committed_offsets(asked.clone(), COMMITTED_TRY)?;
            for element in list.elements() {
                element.error()?;
            }
            Ok(list)
        };
        let Some(list) = self.patiently("fetching committed offsets", fetch)? else {
            return Ok(None);
        };
        let mut standings = Vec::with_capacity(places.len());
        for element in list.elements() {
            let (topic, partition) = (element.topic(), element.partition());
            let range = || self.reader.range(topic, partition);
            let Some((low, high)) = self.patiently("fetching watermarks", range)? else {
                return Ok(None);
            };
            let stale = is_other(topic, element.metadata());
            if stale {
                let stage = self.identity.stage;
                tracing::warn!(stage, topic, partition, low, "made anew: read from its beginning");
            }
            let standing = Standing {
                topic: topic.to_owned(),
                partition,
                committed: match element.offset() {
                    Offset::Offset(offset) if !stale => Some(offset),
                    _ => None,
                },
                metadata: if stale { String::new() } else { element.metadata().to_owned() },
                low,
            };
            self.check_within(&standing, standing.next(), high)?;
            standings.push(standing);
        }
        Ok(Some(standings))
    }

    fn check_within(&self, standing: &Standing, offset: i64, high: i64) -> Result<(), RunError> {
        if (standing.low..=high).contains(&offset) {
            return Ok(());
        }
        Err(RunError::OffsetLost {
            stage: self.identity.stage,
            topic: standing.topic.clone(),
            partition: standing.partition,
            committed: offset,
            low: standing.low,
            high,
        })
    }

    /// A stage as its last commit left it; `None` when something else has to be done first.
    pub(super) fn stage<S: Stage>(
        &self,
        standing: &Standing,
        mut stage: S,
        state_topic: &str,
    ) -> Result<Option<S>, RunError> {
        let from = match S::RESTART {
            Restart::Replay => standing
                .committed
                .map(|committed| S::replay_from(&standing.metadata, committed).max(standing.low)),
            Restart::Checkpoint => {
                let Some(checkpoint) = self.load(standing.partition, &mut stage, state_topic)?
                else {
                    return Ok(None);
                };
                self.replay_start(standing, checkpoint)?
            }
        };
        let (Some(from), Some(committed)) = (from, standing.committed) else {
            return Ok(Some(stage));
        };
        let stretch = Stretch {
            topic: &standing.topic,
            partition: standing.partition,
            from,
            until: committed,
        };
        let mut silent = Outbox::default();
        let each = |message: &BorrowedMessage<'_>| {
            stage.step(incoming(message), &mut silent);
            silent.clear();
        };
        let read = self.reader.read(stretch, each, || self.interrupted());
        if self.give_up("replaying", read)? == ReadEnd::Interrupted {
            return Ok(None);
        }
        stage.replayed(&standing.metadata);
        stage.commit(committed, &mut silent);
        Ok(Some(stage))
    }

    /// Loads the entries of a checkpoint; returns its input offset, `Some(None)` without one.
    fn load<S: Stage>(
        &self,
        partition: i32,
        stage: &mut S,
        topic: &str,
    ) -> Result<Option<Option<i64>>, RunError> {
        let range = || self.reader.range(topic, partition);
        let Some((from, until)) = self.patiently("fetching watermarks", range)? else {
            return Ok(None);
        };
        // Compaction runs when it likes: the newest value of a key counts, wherever it lies.
        let mut entries: BTreeMap<Vec<u8>, Vec<u8>> = BTreeMap::new();
        let each = |message: &BorrowedMessage<'_>| {
            let key = message.key().unwrap_or_default().to_vec();
            match message.payload() {
                Some(value) => entries.insert(key, value.to_vec()),
                None => entries.remove(&key),
            };
        };
        let read = self
            .reader
            .read(Stretch { topic, partition, from, until }, each, || self.interrupted());
        if self.give_up("reading state", read)? == ReadEnd::Interrupted {
            return Ok(None);
        }
        let unreadable = |reason: String| RunError::StateUnreadable {
            stage: self.identity.stage,
            partition,
            reason,
        };
        let checkpoint = match entries.remove(CHECKPOINT_KEY) {
            None => None,
            Some(bytes) => {
                let bytes = <[u8; 8]>::try_from(bytes.as_slice())
                    .map_err(|_| unreadable("the checkpoint is not an offset".into()))?;
                Some(i64::from_be_bytes(bytes))
            }
        };
        for (key, value) in entries {
            stage.restore(&key, &value).map_err(unreadable)?;
        }
        Ok(Some(checkpoint))
    }

    /// Where the replay after a checkpoint starts, if offsets and checkpoint belong together.
    fn replay_start(
        &self,
        standing: &Standing,
        checkpoint: Option<i64>,
    ) -> Result<Option<i64>, RunError> {
        let mismatch = |what: String| RunError::StateMismatch {
            topic: standing.topic.clone(),
            partition: standing.partition,
            what,
        };
        match (checkpoint, standing.committed) {
            (None, None) => Ok(None),
            // The first commit of a partition holds its first checkpoint.
            (None, Some(_)) => Err(mismatch("there is a committed offset but no state".into())),
            (Some(_), None) => Err(mismatch("there is state but no committed offset".into())),
            (Some(state), Some(committed)) if state > committed => {
                Err(mismatch(format!("state at {state} is ahead of the offset {committed}")))
            }
            (Some(state), Some(committed)) => {
                if state < standing.low {
                    self.check_within(standing, state, committed)?;
                }
                Ok(Some(state))
            }
        }
    }

    fn give_up(
        &self,
        doing: &'static str,
        read: KafkaResult<ReadEnd>,
    ) -> Result<ReadEnd, RunError> {
        let (stage, seconds) = (self.identity.stage, AWAY_MAX.as_secs());
        if let Err(error) = &read
            && self.denied(error)
        {
            self.shutdown.sleep(DENIED_REST);
            return Ok(ReadEnd::Interrupted);
        }
        read.map_err(|source| RunError::Unreachable { stage, doing, seconds, source })
    }

    /// Lets the group's consumer read on from these offsets, which are of some of its partitions;
    /// `false` when something else has to be done first.
    pub(super) fn resume(&self, starts: &[(Place, i64)]) -> Result<bool, RunError> {
        self.go_on(starts, None)
    }

    /// The same for all partitions of the consumer. `anew` is called when they had to be assigned
    /// once more, which undoes what the first assignment had been prepared with.
    pub(super) fn resume_all(
        &self,
        starts: &[(Place, i64)],
        anew: &dyn Fn(),
    ) -> Result<bool, RunError> {
        self.go_on(starts, Some(anew))
    }

    fn go_on(&self, starts: &[(Place, i64)], anew: Option<&dyn Fn()>) -> Result<bool, RunError> {
        let mut list = TopicPartitionList::new();
        for ((topic, partition), offset) in starts {
            let mut element = list.add_partition(topic, *partition);
            element.set_offset(Offset::Offset(*offset)).expect("offsets count up from zero");
        }
        let started = Instant::now();
        loop {
            let sought = self.consumer.seek_partitions(list.clone(), SEEK_TRY);
            let source = match sought
                .and_then(|done| done.elements().iter().try_for_each(|element| element.error()))
            {
                Ok(()) => break,
                Err(error) => error,
            };
            if self.interrupted() {
                return Ok(false);
            }
            let waited = started.elapsed();
            if waited > SEEK_FOR {
                let (stage, doing) = (self.identity.stage, "seeking");
                let seconds = SEEK_FOR.as_secs();
                return Err(RunError::Unreachable { stage, doing, seconds, source });
            }
            // A partition whose fetch was refused has stopped and cannot be sought in any more;
            // assigned once more it starts at its offset.
            if let Some(anew) = anew
                && waited > ASSIGN_AFTER
                && self.consumer.assign(&list).is_ok()
            {
                anew();
                break;
            }
            self.shutdown.sleep(Duration::from_millis(20));
        }
        let failed = |source: KafkaError| RunError::Client { stage: self.identity.stage, source };
        self.consumer.resume(&list).map_err(failed)?;
        Ok(true)
    }
}

/// A record as a stage takes it.
pub(super) fn incoming<'a>(message: &'a BorrowedMessage<'_>) -> Incoming<'a> {
    Incoming {
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        payload: message.payload().unwrap_or_default(),
    }
}

/// Whether an error of `poll` means that the position is not there any more.
pub(super) fn position_lost(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange)
    )
}
