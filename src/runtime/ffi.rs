//! The few librdkafka calls that the rdkafka crate does not wrap. The only unsafe code here.
//!
//! The functions take a live client by reference, so that the native handle cannot be freed
//! while it is used, and copy out what they are given before they return. A [`Queue`] shares the
//! consumer it belongs to, a [`Batch`] borrows its queue and a [`Fetched`] its batch, so none
//! outlives what it points into.
#![expect(unsafe_code, reason = "calls of librdkafka without a wrapper; argued one by one below")]

mod describe;

use std::ffi::{CStr, CString, c_int};
use std::marker::PhantomData;
use std::ptr::{NonNull, null, null_mut};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

pub(super) use describe::{Described, GroupMember, Kind, describe, set_token};

/// How long a batch may fill. A reader that is faster than librdkafka would otherwise wake for a
/// few messages at a time, and take the cores from those who bring them.
const MOMENT: Duration = Duration::from_millis(5);

/// A consumer's place in its group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    /// Generation; below zero while the consumer belongs to none.
    pub generation: i32,
    /// Member id; empty while the consumer belongs to none.
    pub member: String,
}

/// Generation and member id as they would fence a transaction now, or `None` for a consumer
/// without a group. Offsets sent with generation -1 and no member id fence nothing.
pub(super) fn membership<C: ClientContext>(client: &Client<C>) -> Option<Membership> {
    // SAFETY: the handle is live for as long as `client` is borrowed; the metadata is ours until
    // destroyed below, and its member id is a C string owned by it, copied before that.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(client.native_ptr());
        if metadata.is_null() {
            return None;
        }
        let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
        let member = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
        let member = if member.is_null() {
            String::new()
        } else {
            CStr::from_ptr(member).to_string_lossy().into_owned()
        };
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        Some(Membership { generation, member })
    }
}

/// The high watermark the last fetch of a partition told, without asking the broker; `None`
/// before the first fetch.
pub(super) fn cached_high<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<i64> {
    let topic = CString::new(topic).ok()?;
    let (mut low, mut high) = (-1_i64, -1_i64);
    // SAFETY: the handle is live, the name is a C string that outlives the call, and both
    // pointers are to initialised integers of this frame.
    let code = unsafe {
        sys::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
}

/// Takes away the 3 s that a mock cluster lets the first member of a group wait for others.
/// Does nothing on a client without a mock cluster.
pub(super) fn skip_group_delay<C: ClientContext>(client: &Client<C>) {
    // SAFETY: both handles are live; the mock cluster belongs to the client and lives as long.
    unsafe {
        let cluster = sys::rd_kafka_handle_mock_cluster(client.native_ptr());
        if !cluster.is_null() {
            sys::rd_kafka_mock_group_initial_rebalance_delay_ms(cluster, 0);
        }
    }
}

/// A queue beside a consumer's own, read many messages at a time.
///
/// A message taken by `poll` costs an event, a lock and an allocation each; a batch costs one
/// lock per message and no more. The consumer's own queue cannot be read so: rebalances that
/// meet `rd_kafka_consume_batch_queue` are answered by librdkafka itself, with nothing.
pub(super) struct Queue<C: ConsumerContext + 'static> {
    consumer: Arc<BaseConsumer<C>>,
    queue: NonNull<sys::rd_kafka_queue_t>,
    /// Room for a batch; its first `taken` entries are messages that are ours.
    room: Vec<*mut sys::rd_kafka_message_t>,
}

// SAFETY: librdkafka's queues may be used from any thread; the room holds messages only while a
// batch borrows the queue.
unsafe impl<C: ConsumerContext> Send for Queue<C> {}

impl<C: ConsumerContext> Queue<C> {
    /// A queue that gives at most `size` messages at a time; `None` when librdkafka makes none.
    pub(super) fn new(consumer: Arc<BaseConsumer<C>>, size: usize) -> Option<Queue<C>> {
        // SAFETY: the handle is live; the queue is ours until destroyed on drop.
        let queue = unsafe { sys::rd_kafka_queue_new(consumer.client().native_ptr()) };
        let queue = NonNull::new(queue)?;
        Some(Queue { consumer, queue, room: vec![null_mut(); size] })
    }

    /// Lets what is fetched of a partition come here. To be said before each assignment of the
    /// partition, since its end undoes it; before, so that nothing goes to the consumer's queue.
    pub(super) fn bring(&self, topic: &str, partition: i32) {
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: both handles are live, the name is a C string that outlives the call, and the
        // reference to the partition's queue is given back once it is forwarded.
        unsafe {
            let rk = self.consumer.client().native_ptr();
            let from = sys::rd_kafka_queue_get_partition(rk, topic.as_ptr(), partition);
            if !from.is_null() {
                sys::rd_kafka_queue_forward(from, self.queue.as_ptr());
                sys::rd_kafka_queue_destroy(from);
            }
        }
    }

    /// A full batch, or what there is of it within a moment; with nothing there, the first
    /// message to come within the time given, if any.
    pub(super) fn take(&mut self, wait: Duration) -> Batch<'_> {
        let mut taken = self.fill(wait.min(MOMENT), self.room.len());
        if taken == 0 && wait > MOMENT {
            // A full batch would be waited for to the end, so ask for one message.
            taken = self.fill(wait, 1);
        }
        Batch { messages: &self.room[..taken] }
    }

    fn fill(&mut self, wait: Duration, size: usize) -> usize {
        let wait = c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX);
        let size = size.min(self.room.len());
        // SAFETY: the queue is live and has room for that many pointers; librdkafka fills as many
        // as it returns, each to a message that is ours from then on.
        let taken = unsafe {
            let room = self.room.as_mut_ptr();
            sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), wait, room, size)
        };
        usize::try_from(taken).unwrap_or(0)
    }
}

impl<C: ConsumerContext> Drop for Queue<C> {
    fn drop(&mut self) {
        // SAFETY: made in `new`, destroyed once, before the consumer it shares.
        unsafe { sys::rd_kafka_queue_destroy(self.queue.as_ptr()) }
    }
}

/// Messages taken together; destroyed with it.
pub(super) struct Batch<'q> {
    messages: &'q [*mut sys::rd_kafka_message_t],
}

impl Batch<'_> {
    pub(super) fn iter(&self) -> impl Iterator<Item = Fetched<'_>> {
        // librdkafka fills in no null pointers; one would be passed over.
        let messages = self.messages.iter().filter_map(|message| NonNull::new(*message));
        messages.map(|native| Fetched { native, batch: PhantomData })
    }
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        for message in self.messages {
            // SAFETY: ours, and destroyed once; what was borrowed from it borrowed the batch.
            unsafe { sys::rd_kafka_message_destroy(*message) }
        }
    }
}

/// A message, or an error of a partition, among them its end.
#[derive(Clone, Copy)]
pub(super) struct Fetched<'b> {
    native: NonNull<sys::rd_kafka_message_t>,
    batch: PhantomData<&'b sys::rd_kafka_message_t>,
}

impl<'b> Fetched<'b> {
    fn parts(&self) -> &'b sys::rd_kafka_message_t {
        // SAFETY: filled by librdkafka and not destroyed before the batch is; nothing changes the
        // public part of a message.
        unsafe { self.native.as_ref() }
    }

    /// The same for messages of a topic that lie side by side in a batch, as they mostly do.
    pub(super) fn topic_handle(&self) -> usize {
        self.parts().rkt.addr()
    }

    /// Name of the topic, which is UTF-8 in Kafka; empty if it is none.
    pub(super) fn topic(&self) -> &'b str {
        if self.parts().rkt.is_null() {
            return "";
        }
        // SAFETY: the topic lives as long as the message, and its name as long as the topic.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(self.parts().rkt)) };
        name.to_str().unwrap_or_default()
    }

    pub(super) fn partition(&self) -> i32 {
        self.parts().partition
    }

    /// Of a message its offset; of an end the offset the next one will have.
    pub(super) fn offset(&self) -> i64 {
        self.parts().offset
    }

    /// Why this is no message, if it is none.
    pub(super) fn error(&self) -> Option<RDKafkaErrorCode> {
        let code = self.parts().err;
        let fine = code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
        (!fine).then(|| code.into())
    }

    /// Milliseconds since 1970, or -1.
    pub(super) fn timestamp_ms(&self) -> i64 {
        // SAFETY: the message is live; a null pointer means that the type is not asked for.
        unsafe { sys::rd_kafka_message_timestamp(self.native.as_ptr(), null_mut()) }
    }

    pub(super) fn key(&self) -> Option<&'b [u8]> {
        // SAFETY: librdkafka says how long what it points to is; it lives as the message does.
        unsafe { bytes(self.parts().key.cast(), self.parts().key_len) }
    }

    pub(super) fn payload(&self) -> Option<&'b [u8]> {
        // SAFETY: as of the key.
        unsafe { bytes(self.parts().payload.cast(), self.parts().len) }
    }

    /// Puts names and values of the first headers into `found`, and says how many they are. A
    /// header without a value has an empty one; a name that is not UTF-8 is passed over.
    pub(super) fn headers(&self, found: &mut [(&'b str, &'b [u8])]) -> usize {
        let mut count = 0;
        let mut headers = null_mut();
        // SAFETY: the message is live, and its headers live and die with it.
        let code = unsafe { sys::rd_kafka_message_headers(self.native.as_ptr(), &raw mut headers) };
        if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return 0;
        }
        for index in 0..found.len() {
            let (mut name, mut value, mut size) = (null(), null(), 0_usize);
            // SAFETY: the headers are live and all three places are of this frame; name and
            // value belong to the headers.
            let header = unsafe {
                let (name_at, value_at) = (&raw mut name, &raw mut value);
                let code =
                    sys::rd_kafka_header_get_all(headers, index, name_at, value_at, &raw mut size);
                if code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                    break;
                }
                (CStr::from_ptr(name), bytes(value.cast(), size).unwrap_or_default())
            };
            if let Ok(name) = header.0.to_str() {
                found[count] = (name, header.1);
                count += 1;
            }
        }
        count
    }
}

/// # Safety
/// Null, or `size` bytes that live for `'b`.
unsafe fn bytes<'b>(start: *const u8, size: usize) -> Option<&'b [u8]> {
    // SAFETY: as the caller says.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, size) })
}
