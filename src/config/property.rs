//! Which librdkafka properties may be passed on as they are: none that Driftline sets itself, and
//! without being asked for none that lets someone pass as someone else or shows the log-in.
//!
//! The rules alone, for the configuration and the command line; who breaks one is told there.

use super::security::Protocol;

/// Properties the runtime sets itself; another value would break what it promises.
pub const RESERVED: &[&str] = &[
    "acks",
    "auto.commit.enable",
    "auto.offset.reset",
    "bootstrap.servers",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "enable.idempotence",
    "enable.partition.eof",
    "group.id",
    "group.instance.id",
    "group.protocol",
    "group.remote.assignor",
    "isolation.level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "max.poll.interval.ms",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "metadata.broker.list",
    "partition.assignment.strategy",
    "request.required.acks",
    "test.mock.num.brokers",
    "transaction.timeout.ms",
    "transactional.id",
];

/// What librdkafka takes for yes and for no, in any case of letters.
const YES: &[&str] = &["true", "t", "1"];
const NO: &[&str] = &["false", "f", "0"];
/// Settings that let anyone pass as a broker or as us.
const UNSAFE: [(&str, &[&str]); 3] = [
    ("enable.ssl.certificate.verification", NO),
    ("ssl.endpoint.identification.algorithm", &["none"]),
    ("enable.sasl.oauthbearer.unsecure.jwt", YES),
];

/// Why a property is not passed on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It is the runtime's own.
    #[error("`{0}` is set by Driftline")]
    Reserved(String),
    /// It switches off a check of who is who.
    #[error("`{0}` lets anyone pass as a broker or as a user")]
    Unsafe(String),
    /// With it the log-in by this mechanism travels unencrypted.
    #[error("{0} without encryption gives the log-in away")]
    InClear(String),
}

/// Why a property with this value is not passed on, if so.
#[must_use]
pub fn refused(name: &str, value: &str) -> Option<Refused> {
    if RESERVED.contains(&name) {
        return Some(Refused::Reserved(name.to_owned()));
    }
    let is = |setting: &&str| value.trim().eq_ignore_ascii_case(setting);
    let is_unsafe = UNSAFE.iter().any(|(of, settings)| *of == name && settings.iter().any(is));
    is_unsafe.then(|| Refused::Unsafe(name.to_owned()))
}

/// Whether a log-in is shown to who listens: PLAIN and OAUTHBEARER give away what proves us, and
/// SCRAM lets him guess it at leisure. Kerberos shows nothing.
#[must_use]
pub fn in_clear(protocol: Protocol, mechanism: &str) -> Option<Refused> {
    let is_shown = protocol.has_login()
        && !protocol.has_tls()
        && !mechanism.trim().eq_ignore_ascii_case("GSSAPI");
    is_shown.then(|| Refused::InClear(mechanism.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_say_no_to_a_check_is_refused() {
        let verification = "enable.ssl.certificate.verification";
        for no in ["false", "False", " f", "0"] {
            let expected = Some(Refused::Unsafe(verification.to_owned()));
            assert_eq!(refused(verification, no), expected, "{no}");
        }
        assert_eq!(refused(verification, "1"), None);
        let unsecure = "enable.sasl.oauthbearer.unsecure.jwt";
        assert!(refused(unsecure, "T").is_some() && refused(unsecure, "0").is_none());
        assert_eq!(refused("ssl.endpoint.identification.algorithm", "https"), None);
    }

    #[test]
    fn only_kerberos_logs_in_without_encryption() {
        assert!(in_clear(Protocol::SaslPlaintext, "SCRAM-SHA-512").is_some());
        assert_eq!(in_clear(Protocol::SaslPlaintext, "GSSAPI"), None);
        assert_eq!(in_clear(Protocol::SaslSsl, "PLAIN"), None);
        assert_eq!(in_clear(Protocol::Plaintext, "PLAIN"), None);
    }
}
