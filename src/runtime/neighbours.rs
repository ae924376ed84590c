//! Who else is in the app's groups: two deployments under one app would share its offsets, topics
//! and state, each counting what the other does not know of.
//!
//! Asked once, before joining. Members of one deployment read the same topics, or some of the same
//! while its configuration changes; a group that reads none of ours is someone else's. One that is
//! just being rebalanced does not tell what it reads, and is taken for ours. What escapes that,
//! assess tells: a subject that is counted by some process and judged by none.

use std::collections::BTreeSet;

use rdkafka::consumer::Consumer;

use super::client::{self, CALL, Identity, Isolation};
use super::error::RunError;
use super::ffi::{self, GroupMember, Kind};
use super::observe_loop::NAME;
use crate::config::deployment::KafkaAccess;

/// Refuses an app whose sources are read by a deployment that reads none of these. A cluster that
/// does not tell is no reason to wait.
///
/// # Errors
/// Names both.
pub fn check_neighbours(
    access: &KafkaAccess,
    app: &str,
    sources: &[String],
) -> Result<(), RunError> {
    let identity = Identity { app: app.to_owned(), stage: NAME, slot: 0 };
    let consumer = client::unsubscribed(access, &identity, Isolation::Committed)
        .map_err(|source| RunError::Client { stage: NAME, source })?;
    let described = ffi::describe(consumer.client(), Kind::Groups, &[&identity.group()], CALL);
    let members: Vec<GroupMember> =
        described.into_iter().flatten().flat_map(|found| found.members).collect();
    let read: BTreeSet<&str> =
        members.iter().flat_map(|member| member.topics.iter().map(String::as_str)).collect();
    let stranger = members.iter().find(|member| !member.topics.is_empty());
    match stranger.filter(|_| sources.iter().all(|ours| !read.contains(ours.as_str()))) {
        None => Ok(()),
        Some(GroupMember { id, host, .. }) => Err(RunError::OtherDeployment {
            app: app.to_owned(),
            member: id.clone(),
            host: host.trim_start_matches('/').to_owned(),
            theirs: read.into_iter().collect::<Vec<_>>().join(", "),
            ours: sources.join(", "),
        }),
    }
}
