//! Looks back over topics and groups of a deployment, outside its groups: what `verify` reads.
//!
//! Knows how to read, not what it means. Changes nothing; going back is [`super::rewind`].

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::Message;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;

use super::client::{self, CALL, Identity, Isolation, Silent, check_properties};
use super::cluster::topic_settings;
use super::error::RunError;
use super::reader::{ReadEnd, Reader, Stretch};
use super::shutdown::Shutdown;
use crate::config::deployment::KafkaAccess;

/// The name it goes by in messages.
const NAME: &str = "archive";
/// Committed offsets are withheld while a transaction is pending; a dead one ends within 20 s.
const COMMITTED_FOR: Duration = Duration::from_secs(30);

/// Reads a deployment's topics and groups.
pub struct Archive {
    access: KafkaAccess,
    app: String,
    reader: Reader,
    shutdown: Shutdown,
}

impl std::fmt::Debug for Archive {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Archive({})", self.app)
    }
}

/// Where a group stands in a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Committed {
    /// Next offset it reads.
    pub offset: i64,
    /// What it wrote beside it.
    pub metadata: String,
}

/// A record as found.
#[derive(Clone, Copy, Debug)]
pub struct Found<'a> {
    /// Its offset.
    pub offset: i64,
    /// Its value.
    pub payload: &'a [u8],
    /// Its headers.
    message: &'a BorrowedMessage<'a>,
}

impl Found<'_> {
    /// The text of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<String> {
        use rdkafka::message::Headers;

        let headers = self.message.headers()?;
        let header = headers.iter().find(|header| header.key == name)?;
        Some(String::from_utf8_lossy(header.value.unwrap_or_default()).into_owned())
    }
}

impl Archive {
    /// Of an app.
    ///
    /// # Errors
    /// When the configuration makes no client.
    pub fn open(access: &KafkaAccess, app: &str, shutdown: &Shutdown) -> Result<Archive, RunError> {
        check_properties(access)?;
        let identity = Identity { app: app.to_owned(), stage: NAME, slot: 0 };
        let reader = Reader::new(access, &identity)
            .map_err(|source| RunError::Client { stage: NAME, source })?;
        let (access, app) = (access.clone(), app.to_owned());
        Ok(Archive { access, app, reader, shutdown: shutdown.clone() })
    }

    /// Number of partitions; 0 for a topic that does not exist.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn partitions(&self, topic: &str) -> Result<i32, RunError> {
        self.reader.partitions(topic).map_err(|source| unreachable("fetching metadata", source))
    }

    /// First offset there is and end of a partition, open transactions included.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn range(&self, topic: &str, partition: i32) -> Result<(i64, i64), RunError> {
        let range = self.reader.range(topic, partition);
        range.map_err(|source| unreachable("fetching watermarks", source))
    }

    /// Hands each committed record of offsets `[from, until)` to `each`.
    ///
    /// # Errors
    /// When the cluster does not answer, or a stop was asked for.
    pub fn read(
        &self,
        (topic, partition): (&str, i32),
        (from, until): (i64, i64),
        mut each: impl FnMut(Found<'_>),
    ) -> Result<(), RunError> {
        let stretch = Stretch { topic, partition, from, until };
        let take = |message: &BorrowedMessage<'_>| {
            let payload = message.payload().unwrap_or_default();
            each(Found { offset: message.offset(), payload, message });
        };
        let end = self.reader.read(stretch, take, || self.shutdown.requested());
        match end.map_err(|source| unreachable("reading", source))? {
            ReadEnd::Complete => Ok(()),
            ReadEnd::Interrupted => Err(RunError::Stopped),
        }
    }

    /// Where a stage's group stands in a topic, by partition; without those it never committed.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn committed(
        &self,
        stage: &'static str,
        topic: &str,
    ) -> Result<BTreeMap<i32, Committed>, RunError> {
        let consumer = self.consumer_of(stage)?;
        let mut asked = TopicPartitionList::new();
        for partition in 0..self.partitions(topic)? {
            asked.add_partition(topic, partition);
        }
        if asked.count() == 0 {
            return Ok(BTreeMap::new());
        }
        let started = Instant::now();
        let list = loop {
            let tried = consumer.committed_offsets(asked.clone(), CALL).and_then(|list| {
                list.elements().iter().try_for_each(|element| element.error())?;
                Ok(list)
            });
            match tried {
                Ok(list) => break list,
                Err(source) if started.elapsed() > COMMITTED_FOR => {
                    return Err(unreachable("fetching committed offsets", source));
                }
                Err(_) => self.shutdown.sleep(Duration::from_millis(200)),
            }
        };
        let elements = list.elements();
        Ok(elements
            .iter()
            .filter_map(|element| match element.offset() {
                rdkafka::Offset::Offset(offset) => {
                    let metadata = element.metadata().to_owned();
                    Some((element.partition(), Committed { offset, metadata }))
                }
                _ => None,
            })
            .collect())
    }

    /// Members of a stage's group that are alive, or whose session has not run out.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn members(&self, stage: &'static str) -> Result<usize, RunError> {
        let consumer = self.consumer_of(stage)?;
        let group = self.identity(stage).group();
        let list = consumer.fetch_group_list(Some(&group), CALL);
        let list = list.map_err(|source| unreachable("describing groups", source))?;
        let groups = list.groups().iter().filter(|found| found.name() == group);
        Ok(groups.map(|found| found.members().len()).sum())
    }

    /// A setting of a topic, as the cluster has it.
    ///
    /// # Errors
    /// When the cluster does not answer.
    pub fn setting(&self, topic: &str, key: &str) -> Result<Option<String>, RunError> {
        Ok(topic_settings(&self.access, topic)?.remove(key))
    }

    pub(super) fn identity(&self, stage: &'static str) -> Identity {
        Identity { app: self.app.clone(), stage, slot: 0 }
    }

    pub(super) fn access(&self) -> &KafkaAccess {
        &self.access
    }

    /// A consumer that goes by a stage's group and never joins it.
    pub(super) fn consumer_of(
        &self,
        stage: &'static str,
    ) -> Result<BaseConsumer<Silent>, RunError> {
        client::unsubscribed(&self.access, &self.identity(stage), Isolation::Committed)
            .map_err(|source| RunError::Client { stage, source })
    }
}

fn unreachable(doing: &'static str, source: KafkaError) -> RunError {
    RunError::Unreachable { stage: NAME, doing, seconds: CALL.as_secs(), source }
}
