//! A loop's membership in its group: the consumer, what it holds, and what polling brings.
//!
//! Holds no data and decides nothing about any; both kinds of loop are built on it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;

use super::client::{self, Identity};
use super::error::RunError;
use super::group::{Group, GroupEvent, Place};
use super::quiet::Quiet;
use super::restore::position_lost;
use super::setup::Setup;
use super::transaction::slot_taken;

/// Longest pause after repeated rewinds.
const REST_MAX: Duration = Duration::from_secs(5);

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

/// A consumer in its group.
pub(super) struct Member {
    pub consumer: Arc<BaseConsumer<Group>>,
    pub identity: Identity,
    /// Partitions the group has given.
    pub assigned: Vec<Place>,
    /// Whether they have been restored and are read.
    pub restored: bool,
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
        let identity = setup.identity(stage);
        let failed = |source: KafkaError| RunError::Client { stage, source };
        let consumer = client::group_consumer(&setup.access, &identity, setup.prefetch_bytes)
            .map_err(failed)?;
        consumer.subscribe(topics).map_err(failed)?;
        Ok(Member {
            consumer: Arc::new(consumer),
            identity,
            assigned: Vec::new(),
            restored: false,
            rewinds: 0,
            quiet: Quiet::default(),
        })
    }

    pub(super) fn next_event(&self) -> Option<GroupEvent> {
        self.consumer.context().next()
    }

    /// Takes partitions over, paused until they are restored.
    pub(super) fn take(&mut self, places: Vec<Place>) -> Result<(), RunError> {
        // An explicit offset keeps librdkafka from looking one up; the restore seeks.
        let list = list_of(&places);
        self.with_all_offsets_zero(list)?;
        self.assigned = places;
        self.restored = false;
        self.pause();
        Ok(())
    }

    fn with_all_offsets_zero(&self, mut list: TopicPartitionList) -> Result<(), RunError> {
        let stage = self.identity.stage;
        list.set_all_offsets(rdkafka::Offset::Offset(0))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(|source| RunError::Client { stage, source })
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
        if error.rdkafka_error_code() == Some(RDKafkaErrorCode::FencedInstanceId) {
            return Err(slot_taken(&self.identity));
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
        complain(&mut self.quiet, stage, &error);
        Ok(Polled::Nothing)
    }

    /// Says, but not too often, what reading ran into.
    pub(super) fn complain(&mut self, error: &KafkaError) {
        complain(&mut self.quiet, self.identity.stage, error);
    }

    /// How long to rest before the next restore: nothing after the first failure, then more.
    pub(super) fn rest_after_rewind(&mut self) -> Duration {
        self.rewinds += 1;
        if self.rewinds <= 1 {
            return Duration::ZERO;
        }
        let exponent = self.rewinds.min(8);
        Duration::from_millis(50 << exponent).min(REST_MAX)
    }

    /// A commit has succeeded.
    pub(super) fn progressed(&mut self) {
        self.rewinds = 0;
    }

    /// Leaves. A static member stays known to the group, so a restart takes over at once.
    pub(super) fn leave(self) {
        self.consumer.context().close();
        drop(self.consumer);
    }
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

/// Decides when a loop with nothing to say says so.
#[derive(Debug)]
pub(super) struct IdleTimer {
    last: Instant,
}

impl IdleTimer {
    /// About this often.
    const INTERVAL: Duration = Duration::from_secs(5);

    pub(super) fn new() -> IdleTimer {
        IdleTimer { last: Instant::now() }
    }

    pub(super) fn due(&mut self) -> bool {
        let due = self.last.elapsed() >= Self::INTERVAL;
        if due {
            self.last = Instant::now();
        }
        due
    }

    pub(super) fn reset(&mut self) {
        self.last = Instant::now();
    }
}
