//! Follows the `layouts` topic: all of it at the start, then what is added.
//!
//! Every instance of observe reads all of it, outside any group.

use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message, Offset, TopicPartitionList};

use super::client::{self, AWAY_MAX, Isolation, Silent};
use super::error::RunError;
use super::reader::{ReadEnd, Reader, Stretch, patiently};
use super::setup::Setup;
use crate::event::layout::LayoutUpdate;
use crate::event::route::Route;
use crate::event::wire;

/// Updates taken at one look.
const BURST: usize = 64;

/// A reader that has read `layouts` from its beginning and goes on.
pub(super) struct Layouts {
    consumer: BaseConsumer<Silent>,
}

impl Layouts {
    /// Hands all updates there are to `each` and stands at the end of the topic.
    pub(super) fn start(
        setup: &Setup,
        stage: &'static str,
        reader: &Reader,
        mut each: impl FnMut(&LayoutUpdate),
    ) -> Result<Layouts, RunError> {
        let (topic, partition) = (setup.names.place(Route::Layouts).0, 0);
        let doing = "reading layouts";
        let range = || reader.range(topic, partition);
        let (from, until) = patiently((stage, doing), &setup.shutdown, range)?;
        let failed = |source: KafkaError| {
            let seconds = AWAY_MAX.as_secs();
            RunError::Unreachable { stage, doing, seconds, source }
        };
        let stretch = Stretch { topic, partition, from, until };
        let take = |message: &BorrowedMessage<'_>| {
            if let Some(update) = decode(message) {
                each(&update);
            }
        };
        let end = reader.read(stretch, take, || setup.shutdown.requested()).map_err(failed)?;
        if end == ReadEnd::Interrupted {
            return Err(RunError::Stopped);
        }
        let consumer = Self::follow(setup, stage, topic, until)
            .map_err(|source| RunError::Client { stage, source })?;
        Ok(Layouts { consumer })
    }

    fn follow(
        setup: &Setup,
        stage: &'static str,
        topic: &str,
        from: i64,
    ) -> KafkaResult<BaseConsumer<Silent>> {
        let identity = setup.identity(stage);
        let consumer = client::unsubscribed(&setup.access, &identity, Isolation::Committed)?;
        let mut start = TopicPartitionList::new();
        start.add_partition_offset(topic, 0, Offset::Offset(from))?;
        consumer.assign(&start)?;
        Ok(consumer)
    }

    /// Hands what has been added to `each`; never waits. Errors are transient here: the consumer
    /// goes on by itself, and layouts come late at worst.
    pub(super) fn look(&self, mut each: impl FnMut(&LayoutUpdate)) {
        for _ in 0..BURST {
            match self.consumer.poll(Duration::ZERO) {
                Some(Ok(message)) => {
                    if let Some(update) = decode(&message) {
                        each(&update);
                    }
                }
                Some(Err(_)) => {}
                None => return,
            }
        }
    }
}

fn decode(message: &BorrowedMessage<'_>) -> Option<LayoutUpdate> {
    let payload = message.payload()?;
    match wire::decode(payload) {
        Ok(update) => Some(update),
        Err(error) => {
            tracing::warn!(offset = message.offset(), %error, "layout passed over");
            None
        }
    }
}
