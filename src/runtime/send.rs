//! Hands the messages of a batch to the producer, each to its topic and partition.
//!
//! Partitions are chosen by the stages and set explicitly: no partitioner of a client decides
//! where an internal message goes.

use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord};

use super::topics::TopicNames;
use super::transaction::{Deliveries, EventEncoder};
use crate::event::route::Outbox;
use crate::stage::StateEntry;

/// How long a full queue is waited for: the longest a message may take to be delivered.
const QUEUE_FULL_FOR: Duration = Duration::from_secs(15);

/// Everything that one commit writes.
pub(super) struct Batch<'a> {
    /// Messages and events.
    pub out: &'a Outbox,
    /// State topic and entries by its partition.
    pub state: Option<(&'a str, &'a [(i32, StateEntry)])>,
    /// What was read to make them.
    pub offsets: &'a TopicPartitionList,
}

/// Why a message could not be handed over.
pub(super) enum SendError {
    /// It never can be.
    Unwritable { topic: String, source: KafkaError },
    /// The producer does not take it now.
    Failed(KafkaError),
}

type Producer = BaseProducer<Deliveries>;
type Record<'a> = BaseRecord<'a, [u8], [u8], ()>;

/// Hands over all messages: outputs, events, then state.
pub(super) fn send(
    producer: &Producer,
    batch: &Batch<'_>,
    names: &TopicNames,
    encoder: &EventEncoder,
) -> Result<(), SendError> {
    for message in &batch.out.messages {
        let (topic, partition) = names.place(message.route);
        let mut record: Record<'_> = BaseRecord::to(topic).payload(&message.payload);
        record.partition = partition;
        record.key = message.key.as_deref();
        record.headers = headers(&message.headers);
        hand_over(producer, record)?;
    }
    for event in &batch.out.events {
        let encoded = encoder(event);
        let mut record: Record<'_> = BaseRecord::to(&encoded.topic)
            .key(encoded.key.as_slice())
            .payload(encoded.payload.as_slice());
        record.headers = headers(&encoded.headers);
        hand_over(producer, record)?;
    }
    if let Some((topic, entries)) = batch.state {
        for (partition, (key, value)) in entries {
            let mut record: Record<'_> =
                BaseRecord::to(topic).partition(*partition).key(key.as_slice());
            record.payload = value.as_deref();
            hand_over(producer, record)?;
        }
    }
    Ok(())
}

fn headers(pairs: &[(String, Vec<u8>)]) -> Option<OwnedHeaders> {
    if pairs.is_empty() {
        return None;
    }
    let headers = OwnedHeaders::new_with_capacity(pairs.len());
    Some(pairs.iter().fold(headers, |headers, (key, value)| {
        headers.insert(Header { key, value: Some(value.as_slice()) })
    }))
}

fn hand_over(producer: &Producer, record: Record<'_>) -> Result<(), SendError> {
    let started = Instant::now();
    let mut waiting = record;
    loop {
        let (error, back) = match producer.send(waiting) {
            Ok(()) => return Ok(()),
            Err(refused) => refused,
        };
        let code = error.rdkafka_error_code();
        if code == Some(RDKafkaErrorCode::QueueFull) && started.elapsed() < QUEUE_FULL_FOR {
            producer.poll(Duration::from_millis(5));
            waiting = back;
            continue;
        }
        if is_too_large(&error) {
            return Err(SendError::Unwritable { topic: back.topic.to_owned(), source: error });
        }
        return Err(SendError::Failed(error));
    }
}

/// Whether a message is larger than producer or topic allow: no second try helps.
pub(super) fn is_too_large(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::InvalidMessageSize)
    )
}
