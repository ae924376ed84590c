//! `--property`: librdkafka properties on the command line, with the refusals that the
//! configuration has for them.
//!
//! Keys of the configuration's own, such as the protocol, are properties here: there is no other
//! way to say them.

use clap::Args;

use crate::config::deployment::{KafkaAccess, Secret};
use crate::config::property::{Refused, in_clear, refused};
use crate::config::security::Protocol;

const PROTOCOL: &str = "security.protocol";
const MECHANISM: &str = "sasl.mechanism";
/// What librdkafka logs in by unless told.
const MECHANISM_DEFAULT: &str = "GSSAPI";

/// Flags of verbs that reach Kafka without a configuration.
#[derive(Debug, Default, Args)]
pub(super) struct PropertyArgs {
    /// Further librdkafka property, such as security.protocol=SSL; can be repeated
    #[arg(long = "property", value_name = "NAME=VALUE", value_parser = property)]
    properties: Vec<(String, Secret)>,
    /// Allow a log-in without encryption, and properties that switch off checks of certificates
    #[arg(long)]
    allow_insecure: bool,
}

/// A property that is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("--property: {refused}; {}", fix(refused))]
pub(super) struct RefusedProperty {
    refused: Refused,
}

fn fix(refused: &Refused) -> &'static str {
    match refused {
        Refused::Reserved(name) if name == "bootstrap.servers" => "say --brokers",
        Refused::Reserved(_) => "take it out",
        Refused::Unsafe(_) => "take it out, or say --allow-insecure",
        Refused::InClear(_) => "say --property security.protocol=SASL_SSL, or --allow-insecure",
    }
}

impl PropertyArgs {
    /// How brokers are reached with these properties alone.
    pub(super) fn access(&self, brokers: &str) -> Result<KafkaAccess, RefusedProperty> {
        let servers = brokers.to_owned();
        self.added_to(KafkaAccess { bootstrap_servers: servers, properties: Vec::new() })
    }

    /// The same access with these properties, which come before its own.
    pub(super) fn added_to(&self, mut access: KafkaAccess) -> Result<KafkaAccess, RefusedProperty> {
        for (name, value) in &self.properties {
            match refused(name, value.reveal()) {
                Some(Refused::Unsafe(_)) if self.allow_insecure => {}
                Some(refused) => return Err(RefusedProperty { refused }),
                None => {}
            }
            access.properties.retain(|(known, _)| known != name);
            access.properties.push((name.clone(), value.clone()));
        }
        // What the configuration says by itself was judged with it.
        let is_about_log_in =
            self.properties.iter().any(|(name, _)| [PROTOCOL, MECHANISM].contains(&name.as_str()));
        if is_about_log_in && !self.allow_insecure {
            refuse_in_clear(&access)?;
        }
        Ok(access)
    }
}

fn refuse_in_clear(access: &KafkaAccess) -> Result<(), RefusedProperty> {
    let value = |name: &str| {
        let found = access.properties.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.reveal().trim())
    };
    let protocol = value(PROTOCOL).unwrap_or_default();
    let protocol = Protocol::ALL.into_iter().find(|p| p.name().eq_ignore_ascii_case(protocol));
    let mechanism = value(MECHANISM).unwrap_or(MECHANISM_DEFAULT);
    match in_clear(protocol.unwrap_or_default(), mechanism) {
        Some(refused) => Err(RefusedProperty { refused }),
        None => Ok(()),
    }
}

/// Reads `NAME=VALUE`.
fn property(text: &str) -> Result<(String, Secret), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    let name = match name.trim() {
        // librdkafka's other name for it.
        "sasl.mechanisms" => MECHANISM,
        name => name,
    };
    Ok((name.to_owned(), Secret::new(value.to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn added(written: &[&str], allow_insecure: bool) -> Result<Vec<String>, String> {
        let base = KafkaAccess {
            bootstrap_servers: "b:9092".into(),
            properties: vec![(PROTOCOL.to_owned(), Secret::new("SASL_SSL".to_owned()))],
        };
        let properties = written.iter().map(|text| property(text).expect("a pair")).collect();
        let access = PropertyArgs { properties, allow_insecure }.added_to(base);
        let access = access.map_err(|error| error.to_string())?;
        let pairs = access.properties.iter();
        Ok(pairs.map(|(name, value)| format!("{name}={}", value.reveal())).collect())
    }

    #[test]
    fn what_the_configuration_refuses_is_refused_here() {
        let check = |written: &str, expected: &str| {
            assert_eq!(added(&[written], false), Err(expected.to_owned()));
        };

        check(
            "isolation.level=read_uncommitted",
            "--property: `isolation.level` is set by Driftline; take it out",
        );
        check(
            "bootstrap.servers=b",
            "--property: `bootstrap.servers` is set by Driftline; say --brokers",
        );
        check(
            "enable.ssl.certificate.verification=0",
            "--property: `enable.ssl.certificate.verification` lets anyone pass as a broker or as \
             a user; take it out, or say --allow-insecure",
        );
        assert!(added(&["group.id=g"], true).is_err(), "asked for or not");
    }

    #[test]
    fn a_log_in_without_encryption_is_refused_unless_asked_for() {
        let clear = ["security.protocol=sasl_plaintext", "sasl.mechanisms=PLAIN"];

        assert_eq!(
            added(&clear, false),
            Err("--property: PLAIN without encryption gives the log-in away; say --property \
                 security.protocol=SASL_SSL, or --allow-insecure"
                .to_owned())
        );
        assert_eq!(added(&clear, true).map(|all| all.len()), Ok(2));
        assert!(added(&clear[..1], false).is_ok(), "Kerberos, which shows nothing");
    }

    #[test]
    fn a_property_comes_before_that_of_the_configuration() {
        assert_eq!(
            added(&["security.protocol=SSL", "socket.timeout.ms=1"], false),
            Ok(vec!["security.protocol=SSL".to_owned(), "socket.timeout.ms=1".to_owned()])
        );
    }
}
