//! Notices that a password, token or certificate was replaced on disk.
//!
//! The client library cannot take new certificates into a running client. So there is one answer
//! for all of Kafka's: the loops commit and end, and start again with new clients, which static
//! membership and silent replay make as short as a restart in place. The registry's client takes
//! a new log-in in between two calls.
#![expect(clippy::disallowed_methods, reason = "looks at files now and then, by wall time")]

use std::time::{Duration, Instant};

use crate::config::certificate;
use crate::config::deployment::{Deployment, KafkaAccess, RegistryAccess};
use crate::config::security::{CERTIFICATE_PROPERTY, Credentials, Unreadable};
use crate::registry::Registry;
use crate::runtime::try_access;
use crate::serve::Metrics;

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
    metrics: Metrics,
}

impl Rotation {
    pub(super) fn new(deployment: &Deployment, metrics: Metrics) -> Rotation {
        let rotation = Rotation {
            credentials: deployment.credentials.clone(),
            used: (deployment.kafka.clone(), deployment.registry.clone()),
            seen: None,
            looked: Instant::now(),
            complaint: None,
            metrics,
        };
        rotation.tell_ends();
        rotation
    }

    /// When the certificates in use end.
    fn tell_ends(&self) {
        let (kafka, registry) = &self.used;
        let shown = kafka.properties.iter().find(|(name, _)| name == CERTIFICATE_PROPERTY);
        let to_kafka = shown.map(|(_, pem)| pem);
        let of_registry = registry.as_ref().and_then(|access| access.tls.client.as_ref());
        let to_registry = of_registry.map(|(pem, _)| pem);
        for (to, pem) in [("kafka", to_kafka), ("registry", to_registry)] {
            if let Some(end_s) = pem.and_then(certificate::end_s) {
                self.metrics.certificate_end(to, end_s);
            }
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
                self.tell_ends();
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
        self.tell_ends();
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::config::certificate::tests::ending;

    #[test]
    fn the_end_of_each_certificate_in_use_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str, end_s: i64| {
            let (certificate, key) = ending(end_s).expect("made");
            std::fs::write(folder.path().join(format!("{name}.pem")), certificate)
                .expect("written");
            std::fs::write(folder.path().join(format!("{name}.key")), key).expect("written");
        };
        write("own", 1_900_000_000);
        write("other", 1_800_000_000);
        let text = "app: a
datasets: { orders: { topic: orders } }
kafka: { security: { protocol: SSL, certificate: own.pem, key: own.key } }
registry: { url: \"https://r\", certificate: other.pem, key: other.key }";
        let path = folder.path().join("drift.yaml");
        std::fs::write(&path, text).expect("written");
        let (_, deployment) = Config::load(&path).and_then(|config| config.plan()).expect("valid");
        let metrics = Metrics::new();
        let end = |to: &str| {
            let text = metrics.render();
            let series = format!("driftline_certificate_end_timestamp_seconds{{to=\"{to}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(&series)).map(str::to_owned)
        };

        let mut rotation = Rotation::new(&deployment, metrics.clone());
        assert_eq!(end("kafka").as_deref(), Some("1900000000"));
        assert_eq!(end("registry").as_deref(), Some("1800000000"));

        write("own", 2_000_000_000);
        let (found, _) = rotation.read().expect("readable");
        assert!(rotation.take_kafka(found));
        assert_eq!(end("kafka").as_deref(), Some("2000000000"));
    }
}
