//! Writes a return in time: messages and the offsets of several groups in one transaction.
//!
//! For when nobody runs: the offsets carry no membership, so they fence nobody.

use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseRecord, Producer};

use super::archive::Archive;
use super::client::{CALL, Identity, producer};
use super::error::RunError;
use super::transaction::offsets;

/// The name it goes by in messages and as a transactional id.
const NAME: &str = "rewind";
/// For all messages to be delivered.
const DELIVERED_WITHIN: Duration = Duration::from_secs(10);

/// Topic, partition, offset, metadata.
pub type Stand = (String, i32, i64, String);

/// What is written.
#[derive(Debug)]
pub struct Return {
    /// Topic, partition, payload.
    pub messages: Vec<(String, i32, Vec<u8>)>,
    /// By stage, where its group is put.
    pub offsets: Vec<(&'static str, Vec<Stand>)>,
}

impl Archive {
    /// Writes it; all of it or nothing.
    ///
    /// # Errors
    /// When it was not committed.
    pub fn go_back(&self, back: &Return) -> Result<(), RunError> {
        let identity: Identity = self.identity(NAME);
        let failed = |source: KafkaError| RunError::Unreachable {
            stage: NAME,
            doing: "writing the return",
            seconds: CALL.as_secs(),
            source,
        };
        let producer = producer(self.access(), &identity, true)
            .map_err(|source| RunError::Client { stage: NAME, source })?;
        producer.init_transactions(DELIVERED_WITHIN).map_err(failed)?;
        producer.begin_transaction().map_err(failed)?;
        for (topic, partition, payload) in &back.messages {
            let record: BaseRecord<'_, [u8], [u8]> =
                BaseRecord::to(topic).partition(*partition).payload(payload);
            producer.send(record).map_err(|(error, _)| failed(error))?;
        }
        producer.flush(DELIVERED_WITHIN).map_err(failed)?;
        for (stage, places) in &back.offsets {
            let list = offsets(places.iter().map(|(topic, partition, offset, metadata)| {
                (topic.as_str(), *partition, *offset, metadata.as_str())
            }));
            let consumer = self.consumer_of(stage)?;
            let metadata = consumer.group_metadata().ok_or_else(|| {
                failed(KafkaError::Global(rdkafka::error::RDKafkaErrorCode::UnknownGroup))
            })?;
            producer.send_offsets_to_transaction(&list, &metadata, CALL).map_err(failed)?;
        }
        producer.commit_transaction(DELIVERED_WITHIN).map_err(failed)
    }
}
