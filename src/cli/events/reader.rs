//! Reads several topics as one, in the order of their records' timestamps.
//!
//! One unsubscribed consumer a topic: an end of partition names no topic, and three small
//! consumers are cheaper than guessing. A record is handed out when every partition has one to
//! compare it with or has been read to its end, so that order holds over what is there at once.
#![expect(clippy::disallowed_methods, reason = "gives up on a silent partition by wall time")]

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use crate::config::deployment::KafkaAccess;
use crate::runtime::Onlooker;

use super::Since;

/// For one answer about a topic.
const METADATA: Duration = Duration::from_secs(10);
/// Without a record or an end of a partition that has not been read to its end.
const STALLED: Duration = Duration::from_secs(30);
/// Of one poll.
const POLL: Duration = Duration::from_millis(100);

/// Why reading ended before the end.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum ReadError {
    /// No broker answered.
    #[error("no broker of {brokers} answers: {source}")]
    Unreachable {
        /// As given.
        brokers: String,
        /// Why.
        source: KafkaError,
    },
    /// None of the topics is there.
    #[error("none of the topics {topics} exists at {brokers}; name others with --topics")]
    NoTopic {
        /// As given.
        topics: String,
        /// As given.
        brokers: String,
    },
    /// A topic cannot be read.
    #[error("cannot read {topic}: {source}")]
    Topic {
        /// Which.
        topic: String,
        /// Why.
        source: KafkaError,
    },
    /// A partition gives neither records nor its end.
    #[error("{topic} partition {partition} gave nothing for {} s: {reason}", STALLED.as_secs())]
    Stalled {
        /// Topic.
        topic: String,
        /// Partition.
        partition: i32,
        /// The last error.
        reason: String,
    },
    /// A property is wrong.
    #[error("cannot set up a consumer: {0}")]
    Setup(KafkaError),
}

/// A record, copied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
    pub(super) timestamp_ms: i64,
    pub(super) headers: Vec<(String, Vec<u8>)>,
    pub(super) payload: Option<Vec<u8>>,
}

impl Record {
    /// The last header of that name that is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().rev().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// Reads topics as one.
pub(super) struct Reader {
    topics: Vec<Topic>,
    follow: bool,
    /// When something last came.
    heard: Instant,
    last_error: Option<String>,
}

struct Topic {
    name: String,
    consumer: BaseConsumer<Onlooker>,
    partitions: BTreeMap<i32, Partition>,
}

#[derive(Default)]
struct Partition {
    waiting: VecDeque<Record>,
    at_end: bool,
}

impl Partition {
    fn is_open(&self) -> bool {
        self.waiting.is_empty() && !self.at_end
    }
}

impl Reader {
    /// Assigns all partitions of the topics that exist.
    pub(super) fn open(
        access: &KafkaAccess,
        names: &[String],
        since: Since,
        follow: bool,
    ) -> Result<Reader, ReadError> {
        let mut topics = Vec::new();
        for name in names {
            let consumer = consumer(access).map_err(ReadError::Setup)?;
            let partitions = partitions(&consumer, access, name)?;
            if partitions.is_empty() {
                tracing::warn!(topic = name, "there is no such topic, going on without it");
                continue;
            }
            assign(&consumer, name, &partitions, since)
                .map_err(|source| ReadError::Topic { topic: name.clone(), source })?;
            let partitions = partitions.into_iter().map(|p| (p, Partition::default())).collect();
            topics.push(Topic { name: name.clone(), consumer, partitions });
        }
        if topics.is_empty() {
            let brokers = access.bootstrap_servers.clone();
            return Err(ReadError::NoTopic { topics: names.join(", "), brokers });
        }
        Ok(Reader { topics, follow, heard: Instant::now(), last_error: None })
    }

    /// The next record; `None` at the end of all, never when following.
    pub(super) fn next(&mut self) -> Result<Option<Record>, ReadError> {
        loop {
            let mut open = None;
            for place in 0..self.topics.len() {
                let topic = &self.topics[place];
                let waits = topic.partitions.iter().find(|(_, partition)| partition.is_open());
                if let Some((partition, _)) = waits {
                    open = Some((topic.name.clone(), *partition));
                    self.poll(place, POLL)?;
                } else if self.follow {
                    self.poll(place, Duration::ZERO)?;
                }
            }
            match open {
                Some((topic, partition)) => {
                    if !self.follow && self.heard.elapsed() > STALLED {
                        let reason = self.last_error.clone().unwrap_or("no error".to_owned());
                        return Err(ReadError::Stalled { topic, partition, reason });
                    }
                }
                None => match self.oldest() {
                    Some(record) => return Ok(Some(record)),
                    None if self.follow => self.poll(0, POLL)?,
                    None => return Ok(None),
                },
            }
        }
    }

    /// Takes one thing a topic has to say.
    fn poll(&mut self, place: usize, wait: Duration) -> Result<(), ReadError> {
        let topic = &mut self.topics[place];
        match topic.consumer.poll(wait) {
            None => return Ok(()),
            Some(Ok(message)) => {
                let partition = topic.partitions.entry(message.partition()).or_default();
                partition.at_end = false;
                partition.waiting.push_back(copied(&message));
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                topic.partitions.entry(partition).or_default().at_end = true;
            }
            Some(Err(source)) if is_final(&source) => {
                return Err(ReadError::Topic { topic: topic.name.clone(), source });
            }
            // The client goes on by itself.
            Some(Err(error)) => {
                self.last_error = Some(error.to_string());
                return Ok(());
            }
        }
        self.heard = Instant::now();
        Ok(())
    }

    fn oldest(&mut self) -> Option<Record> {
        let partitions = self.topics.iter_mut().flat_map(|topic| topic.partitions.values_mut());
        let first = partitions
            .filter(|partition| !partition.waiting.is_empty())
            .min_by_key(|partition| partition.waiting.front().map(|r| r.timestamp_ms))?;
        first.waiting.pop_front()
    }
}

fn consumer(access: &KafkaAccess) -> Result<BaseConsumer<Onlooker>, KafkaError> {
    let mut config = ClientConfig::new();
    config.set_log_level(RDKafkaLogLevel::Warning).set("client.id", "driftline-events");
    for (name, value) in &access.properties {
        config.set(name, value.reveal());
    }
    config
        .set("bootstrap.servers", &access.bootstrap_servers)
        // Wanted for `assign`; the group is never joined.
        .set("group.id", "driftline-events")
        .set("isolation.level", "read_committed")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("enable.partition.eof", "true")
        // Where retention has taken the offset meanwhile.
        .set("auto.offset.reset", "earliest")
        .set("queued.max.messages.kbytes", "8192")
        .create_with_context(Onlooker)
}

fn partitions(
    consumer: &BaseConsumer<Onlooker>,
    access: &KafkaAccess,
    topic: &str,
) -> Result<Vec<i32>, ReadError> {
    let metadata = consumer.fetch_metadata(Some(topic), METADATA).map_err(|source| {
        ReadError::Unreachable { brokers: access.bootstrap_servers.clone(), source }
    })?;
    let known = metadata.topics().iter().find(|known| known.name() == topic);
    Ok(known.into_iter().flat_map(|known| known.partitions()).map(|p| p.id()).collect())
}

fn assign(
    consumer: &BaseConsumer<Onlooker>,
    topic: &str,
    partitions: &[i32],
    since: Since,
) -> Result<(), KafkaError> {
    let offset = match since {
        Since::Earliest => Offset::Beginning,
        Since::Latest => Offset::End,
    };
    let mut list = TopicPartitionList::new();
    for partition in partitions {
        list.add_partition_offset(topic, *partition, offset)?;
    }
    consumer.assign(&list)
}

fn is_final(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
                | RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::Authentication
                | RDKafkaErrorCode::Fatal
        )
    )
}

fn copied(message: &BorrowedMessage<'_>) -> Record {
    let headers = message.headers().map(|headers| {
        let text = |header: rdkafka::message::Header<'_, &[u8]>| {
            (header.key.to_owned(), header.value.unwrap_or_default().to_vec())
        };
        headers.iter().map(text).collect()
    });
    Record {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
        headers: headers.unwrap_or_default(),
        payload: message.payload().map(<[u8]>::to_vec),
    }
}
