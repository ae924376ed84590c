//! The few librdkafka calls that the rdkafka crate does not wrap. The only unsafe code here.
//!
//! Each function takes a live client by reference, so that the native handle cannot be freed
//! while it is used, and copies out what it is given before it returns. Nothing is kept.
#![expect(unsafe_code, reason = "calls of librdkafka without a wrapper; argued one by one below")]

use std::ffi::{CStr, CString};

use rdkafka::client::{Client, ClientContext};
use rdkafka_sys as sys;

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
