//! A consumer's dealings with its group: rebalances are queued here and answered by the loop.
//!
//! The callback runs inside `poll`; doing work there would stall the whole group. It only takes
//! down what is asked for. Once the consumer is being closed it answers at once instead: a
//! consumer whose revoke nobody answers cannot be dropped.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::quiet::Quiet;

/// A topic and partition.
pub(super) type Place = (String, i32);

/// What the group asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum GroupEvent {
    /// Take these, and nothing but these.
    Assign(Vec<Place>),
    /// Give everything up.
    Revoke {
        /// The group has already given them to others: nothing can be committed any more.
        lost: bool,
    },
}

/// Context of a group's consumer.
#[derive(Debug)]
pub(super) struct Group {
    instance: String,
    events: Mutex<VecDeque<GroupEvent>>,
    closing: AtomicBool,
    quiet: Mutex<Quiet>,
}

impl Group {
    pub(super) fn new(instance: String) -> Group {
        Group {
            instance,
            events: Mutex::default(),
            closing: AtomicBool::new(false),
            quiet: Mutex::default(),
        }
    }

    /// The next thing asked for.
    pub(super) fn next(&self) -> Option<GroupEvent> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// Whether something is asked for. Whoever waits inside a restore must look.
    pub(super) fn is_asking(&self) -> bool {
        !self.events.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// From now on rebalances are answered in the callback. Call before dropping the consumer.
    pub(super) fn close(&self) {
        self.closing.store(true, Ordering::SeqCst);
        self.events.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl ClientContext for Group {
    /// Each connection that is refused is told, several times a second.
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let suppressed =
            self.quiet.lock().unwrap_or_else(PoisonError::into_inner).may_log(facility);
        if let Some(suppressed) = suppressed {
            let instance = &self.instance;
            tracing::warn!(%instance, ?level, facility, message, suppressed, "kafka consumer");
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if code == RDKafkaErrorCode::PartitionEOF {
            // Asked for, and no error: that is how an end is known.
            return;
        }
        let cause = format!("{code:?}");
        let suppressed = self.quiet.lock().unwrap_or_else(PoisonError::into_inner).may_log(&cause);
        if let Some(suppressed) = suppressed {
            tracing::warn!(instance = %self.instance, %reason, suppressed, "kafka client error");
        }
    }
}

impl ConsumerContext for Group {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Group>,
        code: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let assign = code == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.closing.load(Ordering::SeqCst) {
            // Nothing is read any more; an empty answer lets the consumer leave.
            let answer = if assign { consumer.assign(partitions) } else { consumer.unassign() };
            if let Err(error) = answer {
                tracing::debug!(instance = %self.instance, %error, "rebalance while closing");
            }
            return;
        }
        let event = if assign {
            let places = partitions
                .elements()
                .iter()
                .map(|element| (element.topic().to_owned(), element.partition()))
                .collect();
            GroupEvent::Assign(places)
        } else {
            GroupEvent::Revoke { lost: consumer.assignment_lost() }
        };
        self.events.lock().unwrap_or_else(PoisonError::into_inner).push_back(event);
    }
}
