//! One topic, all its partitions, read from the oldest record on.
//!
//! One consumer a topic: an end of partition names no topic. It is assigned by hand and never
//! joins its group, which librdkafka wants a name of.

use std::time::Duration;

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::WatchError;
use crate::config::deployment::KafkaAccess;
use crate::observe::{KeptRecord, SOURCE_HEADERS_MAX, SourceRecord};
use crate::runtime::{Onlooker, log_in};

/// For one answer about a topic.
const ANSWER: Duration = Duration::from_secs(10);

/// Reads one topic.
pub struct TopicReader {
    name: String,
    brokers: String,
    partitions: Vec<i32>,
    consumer: BaseConsumer<Onlooker>,
}

impl std::fmt::Debug for TopicReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TopicReader({}, {} partitions)", self.name, self.partitions.len())
    }
}

/// One thing a topic has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Heard {
    Record(KeptRecord),
    /// A partition has been read to its end.
    End(i32),
    Nothing,
}

/// A copy, so that it can wait for its schema or its turn.
fn kept(message: &BorrowedMessage<'_>) -> KeptRecord {
    let headers = message.headers().into_iter().flat_map(Headers::iter);
    let headers = headers.map(|header| (header.key, header.value.unwrap_or_default()));
    let headers: Vec<(&str, &[u8])> = headers.take(SOURCE_HEADERS_MAX).collect();
    KeptRecord::new(&SourceRecord {
        topic: message.topic(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(-1),
        key: message.key(),
        payload: message.payload(),
        headers: &headers,
    })
}

impl TopicReader {
    /// Opens a topic at its oldest records.
    ///
    /// # Errors
    /// When no broker answers, or the topic is not there or not to be read.
    pub fn open(access: &KafkaAccess, name: &str) -> Result<TopicReader, WatchError> {
        let consumer = consumer(access).map_err(WatchError::Setup)?;
        let mut reader = TopicReader {
            name: name.to_owned(),
            brokers: access.bootstrap_servers.clone(),
            partitions: Vec::new(),
            consumer,
        };
        reader.partitions = reader.find_partitions()?;
        reader.rewind()?;
        Ok(reader)
    }

    fn find_partitions(&self) -> Result<Vec<i32>, WatchError> {
        let metadata = self.consumer.fetch_metadata(Some(&self.name), ANSWER);
        let metadata = metadata.map_err(|error| self.judged(&error))?;
        let found = metadata.topics().iter().find(|topic| topic.name() == self.name);
        if let Some(code) = found.and_then(|topic| topic.error()) {
            return Err(self.judged(&KafkaError::MetadataFetch(code.into())));
        }
        let partitions = found.into_iter().flat_map(|topic| topic.partitions());
        let partitions: Vec<i32> = partitions.map(|partition| partition.id()).collect();
        match partitions.is_empty() {
            true => Err(self.judged(&KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopic))),
            false => Ok(partitions),
        }
    }

    /// What an error means to who started this.
    fn judged(&self, error: &KafkaError) -> WatchError {
        let (topic, brokers) = (self.name.clone(), self.brokers.clone());
        let reason = error.to_string();
        match error.rdkafka_error_code() {
            Some(RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownTopicOrPartition) => {
                WatchError::NoTopic { topic, brokers }
            }
            Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                WatchError::Denied { topic, reason }
            }
            Some(RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SaslAuthenticationFailed) => {
                WatchError::LogIn { brokers, reason }
            }
            _ => WatchError::Unreachable { brokers, reason },
        }
    }

    /// Goes back to the oldest records.
    pub(super) fn rewind(&self) -> Result<(), WatchError> {
        let mut list = TopicPartitionList::new();
        let mut assign = || -> KafkaResult<()> {
            for partition in &self.partitions {
                list.add_partition_offset(&self.name, *partition, Offset::Beginning)?;
            }
            self.consumer.assign(&list)
        };
        assign().map_err(|error| self.judged(&error))
    }

    /// Topic.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Partitions.
    pub(super) fn partitions(&self) -> &[i32] {
        &self.partitions
    }

    /// Records the topic holds now, transaction markers counted.
    pub(super) fn rows(&self) -> i64 {
        let range = |partition: &i32| {
            self.consumer.fetch_watermarks(&self.name, *partition, ANSWER).unwrap_or((0, 0))
        };
        self.partitions.iter().map(range).map(|(low, high)| high - low).sum()
    }

    /// One thing it has to say, waiting at most `wait`.
    ///
    /// # Errors
    /// What the client cannot go on from.
    pub(super) fn poll(&self, wait: Duration) -> Result<Heard, WatchError> {
        match self.consumer.poll(wait) {
            None => Ok(Heard::Nothing),
            Some(Ok(message)) => Ok(Heard::Record(kept(&message))),
            Some(Err(KafkaError::PartitionEOF(partition))) => Ok(Heard::End(partition)),
            Some(Err(error)) => match self.judged(&error) {
                // The client goes on by itself.
                WatchError::Unreachable { reason, .. } => {
                    tracing::debug!(topic = self.name, reason, "kafka");
                    Ok(Heard::Nothing)
                }
                fatal => Err(fatal),
            },
        }
    }

    /// Stops reading a partition, or goes on behind the last record handed out.
    pub(super) fn hold(&self, partition: i32, hold: bool) -> Result<(), WatchError> {
        let mut list = TopicPartitionList::new();
        list.add_partition(&self.name, partition);
        let done = match hold {
            true => self.consumer.pause(&list),
            false => self.consumer.resume(&list),
        };
        done.map_err(|error| self.judged(&error))
    }
}

fn consumer(access: &KafkaAccess) -> KafkaResult<BaseConsumer<Onlooker>> {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning).set("client.id", "driftline-watch");
    for (name, value) in &access.properties {
        config.set(name, value.reveal());
    }
    let consumer: BaseConsumer<Onlooker> = config
        .set("bootstrap.servers", &access.bootstrap_servers)
        .set("group.id", "driftline-watch")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        // Where retention has taken the offset meanwhile.
        .set("auto.offset.reset", "earliest")
        .set("fetch.queue.backoff.ms", "5")
        .set("queued.max.messages.kbytes", "16384")
        .create_with_context(Onlooker)?;
    log_in(consumer.client(), access)?;
    Ok(consumer)
}
