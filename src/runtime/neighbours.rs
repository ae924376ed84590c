//! Who else is in the app's groups: two deployments under one app would share its offsets, topics
//! and state, each counting what the other does not know of.
//!
//! Asked once, before joining. Members of one deployment read the same topics, or some of the same
//! while its configuration changes; one that reads none of ours is someone else's. Members of a
//! group that is just being rebalanced do not tell what they read, and are taken for ours. What
//! escapes that, assess tells: a subject that is counted by some process and judged by none.

use rdkafka::consumer::Consumer;

use super::client::{self, CALL, Identity, Isolation};
use super::error::RunError;
use super::observe_loop::NAME;
use super::reader::patiently;
use super::shutdown::Shutdown;
use crate::config::deployment::KafkaAccess;

/// A member of the group.
struct Neighbour {
    member: String,
    host: String,
    topics: Vec<String>,
}

/// Refuses an app whose sources are read by a deployment that reads none of these.
///
/// # Errors
/// Names both; or when nobody answers for long.
pub fn check_neighbours(
    access: &KafkaAccess,
    app: &str,
    sources: &[String],
    shutdown: &Shutdown,
) -> Result<(), RunError> {
    let identity = Identity { app: app.to_owned(), stage: NAME, slot: 0 };
    let failed = |source| RunError::Client { stage: NAME, source };
    let consumer = client::unsubscribed(access, &identity, Isolation::Committed).map_err(failed)?;
    let group = identity.group();
    let ask = || consumer.fetch_group_list(Some(&group), CALL);
    let groups = patiently((NAME, "describing groups"), shutdown, ask)?;
    let members = groups.groups().iter().filter(|found| found.name() == group);
    let neighbours: Vec<Neighbour> = members
        .flat_map(|found| found.members())
        .map(|member| Neighbour {
            member: member.id().to_owned(),
            host: member.client_host().trim_start_matches('/').to_owned(),
            topics: subscribed(member.metadata().unwrap_or_default()).unwrap_or_default(),
        })
        .collect();
    match neighbours.into_iter().find(|neighbour| is_strange(&neighbour.topics, sources)) {
        None => Ok(()),
        Some(Neighbour { member, host, topics }) => {
            let (theirs, ours) = (topics.join(", "), sources.join(", "));
            Err(RunError::OtherDeployment { app: app.to_owned(), member, host, theirs, ours })
        }
    }
}

/// Whether a member that reads these topics, if it tells, has none in common with ours.
fn is_strange(theirs: &[String], ours: &[String]) -> bool {
    !theirs.is_empty() && theirs.iter().all(|topic| !ours.contains(topic))
}

/// Topics in the metadata a member joined with: a version, then their number and names, each with
/// its length before it, big end first; what follows is of no interest here.
fn subscribed(metadata: &[u8]) -> Option<Vec<String>> {
    let (_version, rest) = metadata.split_first_chunk::<2>()?;
    let (count, mut rest) = rest.split_first_chunk::<4>()?;
    let mut topics = Vec::new();
    for _ in 0..i32::from_be_bytes(*count) {
        let (length, after) = rest.split_first_chunk::<2>()?;
        let length = usize::try_from(i16::from_be_bytes(*length)).ok()?;
        let (name, after) = after.split_at_checked(length)?;
        topics.push(String::from_utf8(name.to_vec()).ok()?);
        rest = after;
    }
    Some(topics)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_read_from_what_a_member_joined_with() {
        let metadata = b"\0\x03\0\0\0\x02\0\x06orders\0\x01s\0\0\0\0";

        assert_eq!(subscribed(metadata), Some(vec!["orders".to_owned(), "s".to_owned()]));
        assert_eq!(subscribed(&metadata[..14]), None, "a name that is cut");
        assert_eq!(subscribed(b""), None);
    }

    #[test]
    fn only_a_member_that_reads_none_of_ours_is_strange() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        let ours = names(&["orders", "scores"]);

        assert!(is_strange(&names(&["payments"]), &ours));
        assert!(!is_strange(&names(&["payments", "scores"]), &ours), "a change of configuration");
        assert!(!is_strange(&[], &ours), "it does not tell");
    }
}
