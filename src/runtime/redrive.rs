//! Records that were set aside, driven in again: from the quarantine to a topic, each once.
//!
//! Every transaction holds the records written and how far the quarantine was read for their
//! reason, so that running it again goes on where it stopped, whatever stopped it. A second run at
//! the same time fences the first. It decides nothing about records: whoever reads the topic does.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message, OwnedMessage};
use rdkafka::producer::{BaseProducer, Producer};
use rdkafka::{Offset, TopicPartitionList};

use super::client::{self, CALL, Identity, Isolation, ReservedProperty, Silent, check_properties};
use super::reader::Reader;
use super::redrive_record::SetAsideRecord;
use super::shutdown::Shutdown;
use super::transaction::{Deliveries, offsets};
use crate::config::deployment::KafkaAccess;

/// Longest wait without anything to read: an open transaction of a dead process is ended by the
/// broker within its timeout of 10 s and a scan of another 10 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// Records and bytes of one transaction.
const BATCH_RECORDS: usize = 500;
const BATCH_BYTES: usize = 4 << 20;

/// What to drive in again.
#[derive(Clone, Debug)]
pub struct Redrive {
    /// Prefix of the deployment.
    pub app: String,
    /// The topic with the records set aside.
    pub quarantine: String,
    /// Records with this reason alone.
    pub reason: &'static str,
    /// Where to; where each record came from when absent.
    pub to: Option<String>,
    /// Records to drive in at most.
    pub limit: Option<u64>,
    /// Only count.
    pub dry_run: bool,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Redriven {
    /// Records driven in, or that would be.
    pub driven: u64,
    /// Records of this reason that are not here as a whole.
    pub cut: u64,
    /// Records of other reasons, passed over.
    pub others: u64,
}

/// Why it stopped. What was committed holds; running it again goes on from there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RedriveError {
    /// A property that would break correctness was configured.
    #[error(transparent)]
    Property(#[from] ReservedProperty),
    /// A topic that is not there.
    #[error("topic {topic} does not exist: make it, or name another one with --to")]
    NoTopic {
        /// Its name.
        topic: String,
    },
    /// Kafka.
    #[error("{doing}: {source}; what was committed holds, run it again to go on")]
    Kafka {
        /// What was being done.
        doing: &'static str,
        /// What librdkafka said.
        source: KafkaError,
    },
    /// It was told to stop.
    #[error("stopped; what was committed holds, run it again to go on")]
    Stopped,
}

fn while_doing(doing: &'static str) -> impl Fn(KafkaError) -> RedriveError {
    move |source| RedriveError::Kafka { doing, source }
}

/// Drives records in, up to the end that the quarantine has now.
///
/// # Errors
/// [`RedriveError`]; nothing of an open transaction is ever seen.
pub fn redrive(
    access: &KafkaAccess,
    wanted: &Redrive,
    shutdown: &Shutdown,
) -> Result<Redriven, RedriveError> {
    check_properties(access)?;
    // A group of its own for each reason: its offsets say how far that reason has come.
    let app = format!("{}.redrive", wanted.app);
    let identity = Identity { app, stage: wanted.reason, slot: 0 };
    let setting_up = while_doing("cannot set up a Kafka client");
    let reader = Reader::new(access, &identity).map_err(&setting_up)?;
    let consumer = client::unsubscribed(access, &identity, Isolation::Committed);
    let consumer = consumer.map_err(&setting_up)?;
    let producer = match wanted.dry_run {
        true => None,
        false => Some(connect(access, &identity, shutdown)?),
    };
    let quarantine = topic(&reader, &wanted.quarantine)?;
    if let Some(to) = &wanted.to {
        topic(&reader, to)?;
    }
    let mut drive = Drive {
        wanted,
        reader,
        consumer,
        producer,
        shutdown,
        targets: BTreeMap::new(),
        batch: Vec::new(),
        batch_bytes: 0,
        redriven: Redriven::default(),
    };
    for partition in 0..quarantine {
        if drive.partition(partition)?.is_break() {
            break;
        }
    }
    Ok(drive.redriven)
}

/// Partitions of a topic that must be there.
fn topic(reader: &Reader, topic: &str) -> Result<i32, RedriveError> {
    let count = reader.partitions(topic).map_err(while_doing("fetching metadata"))?;
    if count > 0 { Ok(count) } else { Err(RedriveError::NoTopic { topic: topic.to_owned() }) }
}

/// A producer that has fenced all before it: only then do committed offsets hold still.
fn connect(
    access: &KafkaAccess,
    identity: &Identity,
    shutdown: &Shutdown,
) -> Result<BaseProducer<Deliveries>, RedriveError> {
    let doing = "starting a transactional producer";
    let producer = client::producer(access, identity, true).map_err(while_doing(doing))?;
    let started = Instant::now();
    loop {
        let Err(error) = producer.init_transactions(CALL) else { return Ok(producer) };
        let retriable = matches!(&error, KafkaError::Transaction(inner) if inner.is_retriable());
        if shutdown.requested() {
            return Err(RedriveError::Stopped);
        }
        if !retriable || started.elapsed() > PATIENCE {
            return Err(while_doing(doing)(error));
        }
    }
}

struct Drive<'a> {
    wanted: &'a Redrive,
    reader: Reader,
    consumer: BaseConsumer<Silent>,
    producer: Option<BaseProducer<Deliveries>>,
    shutdown: &'a Shutdown,
    /// Partitions of the topics written to.
    targets: BTreeMap<String, i32>,
    /// Records to be written by the next transaction.
    batch: Vec<OwnedMessage>,
    batch_bytes: usize,
    redriven: Redriven,
}

impl Drive<'_> {
    /// Reads one partition of the quarantine to its end, or until the limit is reached.
    fn partition(&mut self, partition: i32) -> Result<ControlFlow<()>, RedriveError> {
        let (from, until) = self.stretch(partition)?;
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.wanted.quarantine, partition, Offset::Offset(from))
            .and_then(|()| self.consumer.assign(&list))
            .map_err(while_doing("reading the quarantine"))?;
        let mut next = from;
        let mut heard = Instant::now();
        while next < until {
            if self.shutdown.requested() {
                return Err(RedriveError::Stopped);
            }
            match self.consumer.poll(Duration::from_millis(50)) {
                Some(Ok(message)) if message.offset() >= until => next = until,
                Some(Ok(message)) => {
                    next = message.offset() + 1;
                    heard = Instant::now();
                    let taken = take(self.wanted, &mut self.redriven, &message);
                    self.batch.extend(taken.map(|bytes| {
                        self.batch_bytes += bytes;
                        message.detach()
                    }));
                    if self.has_enough() {
                        self.commit((partition, next))?;
                        return Ok(ControlFlow::Break(()));
                    }
                    if self.batch.len() >= BATCH_RECORDS || self.batch_bytes >= BATCH_BYTES {
                        self.commit((partition, next))?;
                    }
                }
                Some(Err(KafkaError::PartitionEOF(_))) | None => {
                    // Counts control records, which are never handed out.
                    let position = self.position(partition);
                    next = position.map_err(while_doing("reading the quarantine"))?.max(next);
                    if heard.elapsed() > PATIENCE {
                        let timed_out = RDKafkaErrorCode::OperationTimedOut;
                        let error = KafkaError::MessageConsumption(timed_out);
                        return Err(while_doing("reading the quarantine")(error));
                    }
                }
                Some(Err(error)) if heard.elapsed() > PATIENCE => {
                    return Err(while_doing("reading the quarantine")(error));
                }
                Some(Err(error)) => tracing::debug!(%error, "reading the quarantine"),
            }
        }
        if next > from {
            self.commit((partition, next))?;
        }
        Ok(ControlFlow::Continue(()))
    }

    fn has_enough(&self) -> bool {
        self.wanted.limit.is_some_and(|limit| self.redriven.driven >= limit)
    }

    /// From where the reason has come to, or what is left of it, to the end.
    fn stretch(&self, partition: i32) -> Result<(i64, i64), RedriveError> {
        let topic = &self.wanted.quarantine;
        let range = self.reader.range(topic, partition);
        let (low, high) = range.map_err(while_doing("fetching watermarks"))?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition(topic, partition);
        let committed = self.consumer.committed_offsets(asked, CALL);
        let committed = committed.map_err(while_doing("fetching committed offsets"))?;
        let found = committed.find_partition(topic, partition);
        let from = match found.map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset.max(low),
            _ => low,
        };
        Ok((from, high))
    }

    fn position(&self, partition: i32) -> KafkaResult<i64> {
        let positions = self.consumer.position()?;
        let found = positions.find_partition(&self.wanted.quarantine, partition);
        Ok(match found.map(|element| element.offset()) {
            Some(Offset::Offset(offset)) => offset,
            _ => 0,
        })
    }

    /// Writes the batch and how far the partition was read, together.
    fn commit(&mut self, (partition, next): (i32, i64)) -> Result<(), RedriveError> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_bytes = 0;
        let records: Vec<SetAsideRecord<'_>> =
            batch.iter().filter_map(SetAsideRecord::of).collect();
        for record in &records {
            let to = self.wanted.to.as_deref().unwrap_or(record.topic);
            if !self.targets.contains_key(to) {
                self.targets.insert(to.to_owned(), topic(&self.reader, to)?);
            }
        }
        let Some(producer) = &self.producer else { return Ok(()) };
        producer.begin_transaction().map_err(while_doing("writing"))?;
        let written = self.write(producer, &records, (partition, next));
        if written.is_err() {
            // The error that led here is told; one of the abort would only be its echo.
            let _ = producer.abort_transaction(CALL);
        }
        written
    }

    fn write(
        &self,
        producer: &BaseProducer<Deliveries>,
        records: &[SetAsideRecord<'_>],
        (partition, next): (i32, i64),
    ) -> Result<(), RedriveError> {
        for record in records {
            let to = self.wanted.to.as_deref().unwrap_or(record.topic);
            let target = (to, self.targets[to]);
            record.send(producer, target).map_err(while_doing("writing"))?;
        }
        let place = (self.wanted.quarantine.as_str(), partition, next, "");
        let nameless = || KafkaError::Global(RDKafkaErrorCode::UnknownGroup);
        let group = self.consumer.group_metadata().ok_or_else(nameless);
        group
            .and_then(|group| producer.send_offsets_to_transaction(&offsets([place]), &group, CALL))
            .and_then(|()| producer.commit_transaction(2 * CALL))
            .map_err(while_doing("committing"))
    }
}

/// Counts a record; its size where it is to be driven in.
fn take(wanted: &Redrive, counts: &mut Redriven, message: &BorrowedMessage<'_>) -> Option<usize> {
    let found = SetAsideRecord::of(message).filter(|found| found.reason == wanted.reason);
    let Some(found) = found else {
        counts.others += 1;
        return None;
    };
    if !found.is_whole {
        counts.cut += 1;
        return None;
    }
    counts.driven += 1;
    Some(found.bytes())
}
