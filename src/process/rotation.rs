//! Notices that a password, token or certificate was replaced on disk.
//!
//! The client library cannot take new certificates into a running client. So there is one answer
//! for all of Kafka's: the loops commit and end, and start again with new clients, which static
//! membership and silent replay make as short as a restart in place. The registry's client takes
//! a new log-in in between two calls.
#![expect(clippy::disallowed_methods, reason = "looks at files now and then, by wall time")]

use std::time::{Duration, Instant};

use crate::config::deployment::{Deployment, KafkaAccess, RegistryAccess};
use crate::config::security::{Credentials, Unreadable};
use crate::registry::Registry;
use crate::runtime::try_access;

/// Between two looks. What two looks in a row see is believed: whoever replaces a certificate and
/// its key writes two files.
const LOOK_EVERY: Duration = Duration::from_secs(2);

type Access = (KafkaAccess, Option<RegistryAccess>);

/// The credentials in use, and what was last seen on disk.
pub(super) struct Rotation {
    credentials: Credentials,
    used: Access,
    seen: Option<Access>,
    looked: Instant,
    /// What was last complained of.
    complaint: Option<String>,
}

impl Rotation {
    pub(super) fn new(deployment: &Deployment) -> Rotation {
        Rotation {
            credentials: deployment.credentials.clone(),
            used: (deployment.kafka.clone(), deployment.registry.clone()),
            seen: None,
            looked: Instant::now(),
            complaint: None,
        }
    }

    /// How Kafka is reached now.
    pub(super) fn kafka(&self) -> &KafkaAccess {
        &self.used.0
    }

    /// Whether Kafka's clients must be made anew. New credentials of the registry are handed to
    /// its client here. Does nothing most of the times it is called.
    pub(super) fn look(&mut self, registry: Option<&Registry>) -> bool {
        if self.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked = Instant::now();
        let found = match self.read() {
            Ok(found) if found == self.used => {
                self.seen = None;
                self.complaint = None;
                return false;
            }
            Ok(found) => found,
            Err(error) => {
                self.complain(error.0);
                return false;
            }
        };
        if self.seen.as_ref() != Some(&found) {
            self.seen = Some(found);
            return false;
        }
        self.take_registry(found.1, registry);
        self.take_kafka(found.0)
    }

    fn read(&self) -> Result<Access, Unreadable> {
        let kafka = self.credentials.kafka(&self.used.0)?;
        let registry = self.used.1.as_ref();
        let registry = registry.map(|access| self.credentials.registry(access)).transpose()?;
        Ok((kafka, registry))
    }

    fn take_registry(&mut self, found: Option<RegistryAccess>, registry: Option<&Registry>) {
        let (Some(access), Some(registry)) = (&found, registry) else { return };
        if found == self.used.1 {
            return;
        }
        match registry.replace(access) {
            Ok(()) => {
                self.used.1 = found;
                tracing::info!("new credentials of the registry are used");
            }
            Err(error) => self.complain(error.to_string()),
        }
    }

    fn take_kafka(&mut self, found: KafkaAccess) -> bool {
        if found == self.used.0 {
            return false;
        }
        // A certificate whose key has not come yet makes no client.
        if let Err(error) = try_access(&found) {
            self.complain(error.to_string());
            return false;
        }
        self.used.0 = found;
        tracing::info!("new credentials of Kafka: stages start again with new connections");
        true
    }

    /// Once for each cause; the credentials in use stay.
    fn complain(&mut self, cause: String) {
        if self.complaint.as_ref() != Some(&cause) {
            tracing::warn!(cause, "new credentials cannot be used, the old ones stay");
            self.complaint = Some(cause);
        }
    }
}
