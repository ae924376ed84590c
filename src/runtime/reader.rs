//! Reads a stretch of a partition outside the group: state, replays.
//!
//! Ends at a high watermark, not at the first end of partition: under `read_committed` that one
//! fires at the last stable offset, which a dead producer's open transaction may hold back.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::access::denied;
use super::client::{self, AWAY_MAX, CALL, Identity, Isolation, Silent};
use super::error::RunError;
use super::shutdown::Shutdown;
use crate::config::deployment::KafkaAccess;

/// Records between two looks at what else is asked for.
const LOOK_EVERY: u32 = 512;

/// A stretch of a partition: offsets in `[from, until)`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stretch<'a> {
    pub topic: &'a str,
    pub partition: i32,
    pub from: i64,
    pub until: i64,
}

/// How a read ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadEnd {
    /// All of it was read.
    Complete,
    /// The caller wished to stop.
    Interrupted,
}

/// The same call of a stage until it succeeds, or a restart of the process is better.
pub(super) fn patiently<T>(
    (stage, doing): (&'static str, &'static str),
    shutdown: &Shutdown,
    call: impl Fn() -> KafkaResult<T>,
) -> Result<T, RunError> {
    let started = Instant::now();
    loop {
        let source = match call() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        if shutdown.requested() {
            return Err(RunError::Stopped);
        }
        if started.elapsed() > AWAY_MAX {
            let seconds = AWAY_MAX.as_secs();
            return Err(RunError::Unreachable { stage, doing, seconds, source });
        }
        shutdown.sleep(Duration::from_millis(100));
    }
}

/// Two consumers that never join a group.
pub(super) struct Reader {
    committed: BaseConsumer<Silent>,
    uncommitted: BaseConsumer<Silent>,
}

impl Reader {
    pub(super) fn new(access: &KafkaAccess, identity: &Identity) -> KafkaResult<Reader> {
        Ok(Reader {
            committed: client::unsubscribed(access, identity, Isolation::Committed)?,
            uncommitted: client::unsubscribed(access, identity, Isolation::Uncommitted)?,
        })
    }

    /// First offset and high watermark, open transactions included.
    pub(super) fn range(&self, topic: &str, partition: i32) -> KafkaResult<(i64, i64)> {
        self.uncommitted.fetch_watermarks(topic, partition, CALL)
    }

    /// Where a reader of committed records comes to its end now.
    pub(super) fn stable_end(&self, topic: &str, partition: i32) -> KafkaResult<i64> {
        self.committed.fetch_watermarks(topic, partition, CALL).map(|(_, end)| end)
    }

    /// Waits until brokers serve these topics: one made a moment ago is not known at once, and a
    /// group joined before then gets no partitions of it until its next look.
    pub(super) fn await_topics(
        &self,
        stage: &'static str,
        topics: &[&str],
        shutdown: &Shutdown,
    ) -> Result<(), RunError> {
        for topic in topics {
            patiently((stage, "finding topics"), shutdown, || {
                let count = self.partitions(topic)?;
                (0..count.max(1)).try_for_each(|partition| self.range(topic, partition).map(|_| ()))
            })?;
        }
        Ok(())
    }

    /// Number of partitions of a topic.
    pub(super) fn partitions(&self, topic: &str) -> KafkaResult<i32> {
        let metadata = self.uncommitted.fetch_metadata(Some(topic), CALL)?;
        let count = metadata.topics().first().map_or(0, |topic| topic.partitions().len());
        Ok(i32::try_from(count).unwrap_or(i32::MAX))
    }

    /// Hands every committed record of a stretch to `each`, asking `stop` between them.
    pub(super) fn read(
        &self,
        stretch: Stretch<'_>,
        mut each: impl FnMut(&BorrowedMessage<'_>),
        stop: impl Fn() -> bool,
    ) -> KafkaResult<ReadEnd> {
        if stretch.from >= stretch.until {
            return Ok(ReadEnd::Complete);
        }
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(
            stretch.topic,
            stretch.partition,
            Offset::Offset(stretch.from),
        )?;
        self.committed.assign(&start)?;
        let end = self.read_assigned(stretch, &mut each, &stop);
        self.committed.unassign()?;
        end
    }

    fn read_assigned(
        &self,
        stretch: Stretch<'_>,
        each: &mut impl FnMut(&BorrowedMessage<'_>),
        stop: &impl Fn() -> bool,
    ) -> KafkaResult<ReadEnd> {
        let mut progress = Instant::now();
        let mut last_error = KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut);
        let mut unlooked = 0;
        loop {
            match self.committed.poll(Duration::from_millis(50)) {
                Some(Ok(message)) => {
                    if message.offset() >= stretch.until {
                        return Ok(ReadEnd::Complete);
                    }
                    each(&message);
                    if message.offset() + 1 == stretch.until {
                        return Ok(ReadEnd::Complete);
                    }
                    progress = Instant::now();
                    unlooked += 1;
                    if unlooked < LOOK_EVERY {
                        continue;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {
                    // Counts control records, which are never handed out.
                    if self.position(stretch)? >= stretch.until {
                        return Ok(ReadEnd::Complete);
                    }
                }
                Some(Err(error)) => {
                    let code = error.rdkafka_error_code();
                    if code == Some(RDKafkaErrorCode::AutoOffsetReset) || denied(&error).is_some() {
                        return Err(error);
                    }
                    last_error = error;
                }
            }
            unlooked = 0;
            if stop() {
                return Ok(ReadEnd::Interrupted);
            }
            // An open transaction of a dead producer holds reading up as well, for less: the
            // broker ends it within its 10 s timeout and a scan of another 10 s.
            if progress.elapsed() > AWAY_MAX {
                return Err(last_error);
            }
        }
    }

    fn position(&self, stretch: Stretch<'_>) -> KafkaResult<i64> {
        let positions = self.committed.position()?;
        let found = positions.find_partition(stretch.topic, stretch.partition);
        Ok(match found.map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => stretch.from,
        })
    }
}
