//! One record in the quarantine: what its headers say of it, and the record as it was.

use std::str::FromStr;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord};

use super::transaction::Deliveries;
use crate::event::route::partition_of;
use crate::observe::{QUARANTINE_HEADERS, SOURCE_HEADERS_MAX};

/// A record that was set aside.
#[derive(Debug)]
pub(super) struct SetAsideRecord<'m> {
    /// Why.
    pub(super) reason: &'m str,
    /// Where it came from.
    pub(super) topic: &'m str,
    /// Key, headers and value are all here.
    pub(super) is_whole: bool,
    partition: i32,
    timestamp_ms: i64,
    key: Option<&'m [u8]>,
    payload: &'m [u8],
    headers: Vec<(&'m str, &'m [u8])>,
}

impl<'m> SetAsideRecord<'m> {
    /// Reads a message of the quarantine; `None` when it is none of ours.
    pub(super) fn of<M: Message>(message: &'m M) -> Option<SetAsideRecord<'m>> {
        let all = message.headers()?;
        let ours = |name: &str| -> Option<&'m str> {
            let mut ours = all.iter().filter_map(|header| {
                let own = header.key.strip_prefix(QUARANTINE_HEADERS)?;
                (own == name).then_some(header.value?)
            });
            std::str::from_utf8(ours.next()?).ok()
        };
        let (key, payload) = (message.key(), message.payload().unwrap_or_default());
        let theirs = all.iter().filter(|header| !header.key.starts_with(QUARANTINE_HEADERS));
        let headers: Vec<_> =
            theirs.map(|header| (header.key, header.value.unwrap_or_default())).collect();
        let had: usize = number(ours("headers")?)?;
        let bytes: usize = number(ours("bytes")?)?;
        let key_bytes = ours("key_bytes").map(str::parse::<usize>);
        let has_key = match (key, key_bytes) {
            (None, None) => true,
            (Some(key), Some(Ok(bytes))) => key.len() == bytes,
            _ => false,
        };
        Some(SetAsideRecord {
            reason: ours("reason")?,
            topic: ours("topic")?,
            is_whole: has_key
                && payload.len() == bytes
                && headers.len() == had
                // A record with as many may have had more.
                && had < SOURCE_HEADERS_MAX,
            partition: number(ours("partition")?)?,
            timestamp_ms: number(ours("timestamp")?)?,
            key,
            payload,
            headers,
        })
    }

    /// Bytes of key and value.
    pub(super) fn bytes(&self) -> usize {
        self.payload.len() + self.key.map_or(0, <[u8]>::len)
    }

    /// Writes the record as it was to a topic with so many partitions: back to its own partition,
    /// in another topic to that of its key.
    pub(super) fn send(
        &self,
        producer: &BaseProducer<Deliveries>,
        (to, partitions): (&str, i32),
    ) -> Result<(), KafkaError> {
        let own = (to == self.topic && self.partition < partitions).then_some(self.partition);
        let by_key = || match self.key {
            Some(key) => partition_of(key, partitions),
            None => self.partition.rem_euclid(partitions.max(1)),
        };
        let mut record: BaseRecord<'_, [u8], [u8], ()> =
            BaseRecord::to(to).partition(own.unwrap_or_else(by_key)).payload(self.payload);
        record.key = self.key;
        record.timestamp = (self.timestamp_ms >= 0).then_some(self.timestamp_ms);
        if !self.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(self.headers.len());
            record.headers = Some(self.headers.iter().fold(headers, |headers, (key, value)| {
                headers.insert(Header { key, value: Some(*value) })
            }));
        }
        let mut waiting = record;
        loop {
            let (error, back) = match producer.send(waiting) {
                Ok(()) => return Ok(()),
                Err(refused) => refused,
            };
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(error);
            }
            producer.poll(Duration::from_millis(5));
            waiting = back;
        }
    }
}

fn number<N: FromStr>(text: &str) -> Option<N> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use rdkafka::Timestamp;
    use rdkafka::message::OwnedMessage;

    use super::*;

    fn message(key: Option<&[u8]>, payload: &[u8], headers: &[(&str, &str)]) -> OwnedMessage {
        let headers = headers.iter().fold(OwnedHeaders::new(), |headers, (key, value)| {
            headers.insert(Header { key, value: Some(*value) })
        });
        let (key, payload) = (key.map(<[u8]>::to_vec), Some(payload.to_vec()));
        let (topic, timestamp) = ("app.quarantine".to_owned(), Timestamp::NotAvailable);
        OwnedMessage::new(payload, key, topic, timestamp, 0, 9, Some(headers))
    }

    const SAID: [(&str, &str); 7] = [
        ("driftline.reason", "unknown_schema"),
        ("driftline.topic", "orders"),
        ("driftline.partition", "2"),
        ("driftline.timestamp", "17"),
        ("driftline.bytes", "5"),
        ("driftline.headers", "1"),
        ("driftline.key_bytes", "3"),
    ];

    fn is_whole(key: Option<&[u8]>, payload: &[u8], theirs: &[(&str, &str)]) -> bool {
        let message = message(key, payload, &[&SAID[..], theirs].concat());
        SetAsideRecord::of(&message).expect("one of ours").is_whole
    }

    #[test]
    fn only_a_record_with_all_it_had_is_whole() {
        let app = [("app", "pos-7")];
        assert!(is_whole(Some(b"key"), b"value", &app));
        assert!(!is_whole(Some(b"key"), b"valu", &app), "a cut value");
        assert!(!is_whole(Some(b"key"), b"", &app), "a value that is not kept");
        assert!(!is_whole(None, b"value", &app), "a key that is not kept");
        assert!(!is_whole(Some(b"key"), b"value", &[]), "a header that is not kept");
    }

    #[test]
    fn a_message_that_says_too_little_is_passed_over() {
        for (name, _) in SAID.iter().filter(|(name, _)| *name != "driftline.key_bytes") {
            let said: Vec<_> = SAID.into_iter().filter(|(known, _)| known != name).collect();
            let message = message(Some(b"key"), b"value", &said);
            assert!(SetAsideRecord::of(&message).is_none(), "{name}");
        }
    }
}
