//! Log-in by token, and what the cluster says that we may do: calls of librdkafka without a
//! wrapper, like those of the parent.

use std::collections::BTreeSet;
use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::slice;
use std::time::Duration;

use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka_sys as sys;

use crate::runtime::rights::Operation;

/// Gives a client the token it logs in with. librdkafka would ask the application for a new one
/// when this one ends; ours come with new clients, so it is told that it never does.
pub(in crate::runtime) fn set_token<C: ClientContext>(
    client: &Client<C>,
    token: &str,
) -> Result<(), String> {
    // *Units*: milliseconds since 1970; in the year 2200, past any client's life.
    const NEVER: i64 = 7_258_118_400_000;
    let token = CString::new(token).map_err(|_| "the token holds a zero byte".to_owned())?;
    let mut said = [0 as c_char; 256];
    // SAFETY: the handle is live, both texts are C strings that outlive the call, which copies
    // them; there are no extensions, and `said` is as long as is told.
    let code = unsafe {
        sys::rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            token.as_ptr(),
            NEVER,
            c"driftline".as_ptr(),
            ptr::null_mut(),
            0,
            said.as_mut_ptr(),
            said.len(),
        )
    };
    if code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: librdkafka ends what it writes there with a zero byte.
    Err(unsafe { CStr::from_ptr(said.as_ptr()) }.to_string_lossy().into_owned())
}

/// What the cluster says of a topic or a group, and what we may do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime) struct Described {
    pub name: String,
    pub error: Option<RDKafkaErrorCode>,
    /// Of a topic.
    pub partitions: usize,
    /// Of a topic, where the cluster gives topics ids.
    pub id: Option<String>,
    /// `None` where the cluster does not tell.
    pub allowed: Option<Vec<Operation>>,
    /// Of a group.
    pub members: Vec<GroupMember>,
}

/// A member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime) struct GroupMember {
    pub id: String,
    pub host: String,
    /// Topics of the partitions it holds.
    pub topics: BTreeSet<String>,
}

/// Which resources to describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::runtime) enum Kind {
    Topics,
    Groups,
}

/// Describes topics or groups with what we may do with each; `None` when no answer comes in time.
pub(in crate::runtime) fn describe<C: ClientContext>(
    client: &Client<C>,
    kind: Kind,
    names: &[&str],
    timeout: Duration,
) -> Option<Vec<Described>> {
    let names: Vec<CString> = names.iter().filter_map(|name| CString::new(*name).ok()).collect();
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
    let handle = client.native_ptr();
    let api = match kind {
        Kind::Topics => sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS,
        Kind::Groups => sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS,
    };
    // SAFETY: the handle is live for as long as `client` is borrowed. The names outlive the
    // calls, which copy them. Options, queue, collection and event are ours and destroyed here,
    // each once; the result belongs to the event and is copied before that.
    unsafe {
        let queue = sys::rd_kafka_queue_new(handle);
        let options = sys::rd_kafka_AdminOptions_new(handle, api);
        let error = sys::rd_kafka_AdminOptions_set_include_authorized_operations(options, 1);
        if !error.is_null() {
            sys::rd_kafka_error_destroy(error);
        }
        sys::rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, ptr::null_mut(), 0);
        match kind {
            Kind::Topics => {
                let topics = sys::rd_kafka_TopicCollection_of_topic_names(
                    pointers.as_mut_ptr(),
                    names.len(),
                );
                sys::rd_kafka_DescribeTopics(handle, topics, options, queue);
                sys::rd_kafka_TopicCollection_destroy(topics);
            }
            Kind::Groups => sys::rd_kafka_DescribeConsumerGroups(
                handle,
                pointers.as_mut_ptr(),
                names.len(),
                options,
                queue,
            ),
        }
        let event = sys::rd_kafka_queue_poll(queue, timeout_ms.saturating_add(1000));
        let answers = (!event.is_null() && is_answered(event)).then(|| match kind {
            Kind::Topics => topics_of(event),
            Kind::Groups => groups_of(event),
        });
        if !event.is_null() {
            sys::rd_kafka_event_destroy(event);
        }
        sys::rd_kafka_AdminOptions_destroy(options);
        sys::rd_kafka_queue_destroy(queue);
        answers
    }
}

/// # Safety
/// The event is live.
unsafe fn is_answered(event: *mut sys::rd_kafka_event_t) -> bool {
    let code = unsafe { sys::rd_kafka_event_error(event) };
    code == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
}

/// # Safety
/// The event is live and of described topics.
unsafe fn topics_of(event: *mut sys::rd_kafka_event_t) -> Vec<Described> {
    let (mut count, mut partitions, mut operations) = (0, 0, 0);
    // SAFETY: what the event holds lives as long as it does, in arrays of the lengths told.
    unsafe {
        let result = sys::rd_kafka_event_DescribeTopics_result(event);
        let all = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let one = |index| {
            let topic = *all.add(index);
            sys::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
            let allowed =
                sys::rd_kafka_TopicDescription_authorized_operations(topic, &raw mut operations);
            Described {
                name: text(sys::rd_kafka_TopicDescription_name(topic)),
                error: code(sys::rd_kafka_TopicDescription_error(topic)),
                partitions,
                id: id_of(sys::rd_kafka_TopicDescription_topic_id(topic)),
                allowed: operations_of(allowed, operations),
                members: Vec::new(),
            }
        };
        (0..count).map(one).collect()
    }
}

/// # Safety
/// The event is live and of described groups.
unsafe fn groups_of(event: *mut sys::rd_kafka_event_t) -> Vec<Described> {
    let (mut count, mut operations) = (0, 0);
    // SAFETY: what the event holds lives as long as it does, in arrays of the lengths told.
    unsafe {
        let result = sys::rd_kafka_event_DescribeConsumerGroups_result(event);
        let all = sys::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let one = |index| {
            let group = *all.add(index);
            let allowed = sys::rd_kafka_ConsumerGroupDescription_authorized_operations(
                group,
                &raw mut operations,
            );
            Described {
                name: text(sys::rd_kafka_ConsumerGroupDescription_group_id(group)),
                error: code(sys::rd_kafka_ConsumerGroupDescription_error(group)),
                partitions: 0,
                id: None,
                allowed: operations_of(allowed, operations),
                members: members_of(group),
            }
        };
        (0..count).map(one).collect()
    }
}

/// # Safety
/// A live description.
unsafe fn members_of(group: *const sys::rd_kafka_ConsumerGroupDescription_t) -> Vec<GroupMember> {
    // SAFETY: what a description holds lives as long as it does, and so does each member; a list
    // has as many elements as it says.
    unsafe {
        let one = |index| {
            let member = sys::rd_kafka_ConsumerGroupDescription_member(group, index);
            let assignment = sys::rd_kafka_MemberDescription_assignment(member);
            let held = sys::rd_kafka_MemberAssignment_partitions(assignment).as_ref();
            let places = held.map_or(&[][..], |held| match usize::try_from(held.cnt) {
                Ok(count) if !held.elems.is_null() => slice::from_raw_parts(held.elems, count),
                _ => &[],
            });
            GroupMember {
                id: text(sys::rd_kafka_MemberDescription_consumer_id(member)),
                host: text(sys::rd_kafka_MemberDescription_host(member)),
                topics: places.iter().map(|place| text(place.topic)).collect(),
            }
        };
        (0..sys::rd_kafka_ConsumerGroupDescription_member_count(group)).map(one).collect()
    }
}

/// # Safety
/// A live id, or null.
unsafe fn id_of(id: *const sys::rd_kafka_Uuid_t) -> Option<String> {
    if id.is_null() {
        return None;
    }
    // SAFETY: the id is live, and its text lives as long as it does.
    unsafe {
        let bits = sys::rd_kafka_Uuid_most_significant_bits(id)
            | sys::rd_kafka_Uuid_least_significant_bits(id);
        (bits != 0).then(|| text(sys::rd_kafka_Uuid_base64str(id)))
    }
}

/// # Safety
/// A C string, or null.
unsafe fn text(name: *const c_char) -> String {
    if name.is_null() {
        return String::new();
    }
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// # Safety
/// A live error, or null.
unsafe fn code(error: *const sys::rd_kafka_error_t) -> Option<RDKafkaErrorCode> {
    if error.is_null() {
        return None;
    }
    let code = unsafe { sys::rd_kafka_error_code(error) };
    (code != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

/// # Safety
/// So many operations, or null.
unsafe fn operations_of(
    operations: *const sys::rd_kafka_AclOperation_t,
    count: usize,
) -> Option<Vec<Operation>> {
    use sys::rd_kafka_AclOperation_t as Native;

    if operations.is_null() {
        return None;
    }
    let operations = unsafe { slice::from_raw_parts(operations, count) };
    let known = |operation: &Native| match operation {
        Native::RD_KAFKA_ACL_OPERATION_READ => Some(Operation::Read),
        Native::RD_KAFKA_ACL_OPERATION_WRITE => Some(Operation::Write),
        Native::RD_KAFKA_ACL_OPERATION_DESCRIBE_CONFIGS => Some(Operation::DescribeConfigs),
        _ => None,
    };
    Some(operations.iter().filter_map(known).collect())
}
