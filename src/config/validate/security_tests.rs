//! What is refused about connections, and what librdkafka is told of those that are not.

use std::path::Path;

use crate::config::Config;
use crate::config::deployment::Deployment;
use crate::config::security::KafkaLogin;

const CERTIFICATE: &str = "-----BEGIN CERTIFICATE-----\nMA==\n-----END CERTIFICATE-----\n";
const KEY: &str = "-----BEGIN PRIVATE KEY-----\nMA==\n-----END PRIVATE KEY-----\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (file, text) in
        [("ca.pem", CERTIFICATE), ("own.pem", CERTIFICATE), ("own.key", KEY), ("pass", "s3cret\n")]
    {
        std::fs::write(folder.path().join(file), text).expect("written");
    }
    folder
}

fn planned(folder: &Path, lines: &str) -> Result<Deployment, String> {
    let text = format!("app: a\ndatasets: {{ o: {{ topic: o }} }}\n{lines}\n");
    let path = folder.join("drift.yaml");
    std::fs::write(&path, text).expect("written");
    let planned = Config::load(&path).and_then(|config| config.plan());
    planned.map(|(_, deployment)| deployment).map_err(|error| error.to_string())
}

/// What is wrong with `kafka.security`, without the place; one line each.
fn refused(security: &str) -> Vec<String> {
    let folder = folder();
    let refused = planned(folder.path(), &format!("kafka: {{ security: {{ {security} }} }}"));
    let shown = refused.expect_err(security).replace(&folder.path().display().to_string(), "DIR");
    let after_place = |line: &str| line.splitn(3, ": ").skip(1).collect::<Vec<_>>().join(": ");
    shown.lines().map(after_place).collect()
}

/// Properties that librdkafka is given, secrets and all.
fn given(security: &str) -> Vec<(String, String)> {
    let folder = folder();
    let lines = format!("kafka: {{ security: {{ {security} }} }}");
    let deployment = planned(folder.path(), &lines).unwrap_or_else(|error| panic!("{error}"));
    let properties = deployment.kafka.properties.into_iter();
    properties.map(|(name, value)| (name, value.reveal().to_owned())).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn a_log_in_without_encryption_is_refused_unless_asked_for() {
    for (mechanism, proof) in [
        ("PLAIN", "username: u, password: p"),
        ("SCRAM-SHA-256", "username: u, password: p"),
        ("SCRAM-SHA-512", "username: u, password: p"),
        ("OAUTHBEARER", "token: t"),
    ] {
        let clear = format!("protocol: SASL_PLAINTEXT, mechanism: {mechanism}, {proof}");
        let message = format!(
            "kafka.security.protocol: {mechanism} without encryption gives the log-in away; use \
             `protocol: SASL_SSL`, or `allow_insecure: true`"
        );
        assert_eq!(refused(&clear), [message]);
        assert!(!given(&format!("{clear}, allow_insecure: true")).is_empty());
    }
}

#[test]
fn settings_that_do_not_belong_together_are_refused() {
    let check = |security: &str, expected: &[&str]| assert_eq!(refused(security), expected);
    check(
        "username: u, password: p",
        &["kafka.security.protocol: a log-in is given, but `protocol` uses none; use `protocol: \
           SASL_SSL`"],
    );
    check(
        "protocol: SASL_SSL, mechanism: SCRAM-SHA-512, token: t",
        &[
            "kafka.security.token: SCRAM-SHA-512 does not use it; take it out; SCRAM-SHA-512 uses \
             `username` and `password`",
            "kafka.security.username: SCRAM-SHA-512 needs it; add `username:`",
            "kafka.security.password: SCRAM-SHA-512 needs it; add `password:`",
        ],
    );
    check(
        "protocol: SASL_SSL, mechanism: OAUTHBEARER",
        &["kafka.security.mechanism: OAUTHBEARER takes its tokens from one place; give either \
           `token:` or `oidc:`"],
    );
    check(
        "ca: ca.pem",
        &["kafka.security.protocol: certificates are given, but `protocol` does not encrypt; use \
           `protocol: SSL` or `SASL_SSL`"],
    );
    check(
        "protocol: SSL, certificate: own.pem",
        &["kafka.security: `certificate` and `key` go together; give both or none"],
    );
    check(
        "protocol: SSL, key_password: p",
        &["kafka.security.key_password: there is no key that it could open; add `key:`, or take \
           it out"],
    );
    check(
        "protocol: SSLV3",
        &["kafka.security.protocol: `SSLV3` is not known; use one of PLAINTEXT, SSL, \
           SASL_PLAINTEXT, SASL_SSL"],
    );
    check(
        "protocol: SASL_SSL, mechanism: SCRAM",
        &["kafka.security.mechanism: `SCRAM` is not known; use one of PLAIN, SCRAM-SHA-256, \
           SCRAM-SHA-512, OAUTHBEARER, GSSAPI"],
    );
}

#[test]
fn files_that_are_not_there_or_of_another_kind_are_refused() {
    let check = |security: &str, expected: &str| assert_eq!(refused(security), [expected]);
    check(
        "protocol: SSL, ca: no.pem",
        "kafka.security.ca: cannot read DIR/no.pem: No such file or directory (os error 2); name \
         a file of certificates in PEM",
    );
    check(
        "protocol: SSL, ca: own.key",
        "kafka.security.ca: DIR/own.key holds no certificate in PEM; name a file of certificates \
         in PEM",
    );
    check(
        "protocol: SSL, certificate: own.pem, key: ca.pem",
        "kafka.security.key: DIR/ca.pem holds no private key in PEM; name a file in PEM",
    );
    check(
        "protocol: SSL, certificate: no.pem, key: own.key",
        "kafka.security.certificate: cannot read DIR/no.pem: No such file or directory (os error \
         2); name a file in PEM",
    );
    check(
        "protocol: SASL_SSL, mechanism: PLAIN, username: u, password: { file: no }",
        "kafka.security.password: cannot read DIR/no: No such file or directory (os error 2); \
         create the file, or name another",
    );
}

#[cfg(not(feature = "oidc"))]
#[test]
fn a_build_without_oidc_says_how_to_get_it() {
    let oidc = "protocol: SASL_SSL, mechanism: OAUTHBEARER, oidc: { token_url: \"https://i/t\", \
                client_id: c, client_secret: s }";

    assert_eq!(
        refused(oidc),
        ["kafka.security.oidc: this build cannot ask an identity provider; build it with \
          `--features oidc`, or give `token:`"]
    );
}

#[cfg(feature = "oidc")]
#[test]
fn a_build_with_oidc_asks_the_identity_provider() {
    let oidc = |url: &str| {
        format!(
            "protocol: SASL_SSL, mechanism: OAUTHBEARER, oidc: {{ token_url: \"{url}\", \
             client_id: c, client_secret: {{ file: pass }}, scope: kafka, ca: ca.pem }}"
        )
    };

    assert_eq!(
        given(&oidc("https://i/t")),
        pairs(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.method", "oidc"),
            ("sasl.oauthbearer.token.endpoint.url", "https://i/t"),
            ("sasl.oauthbearer.client.id", "c"),
            ("sasl.oauthbearer.client.secret", "s3cret"),
            ("sasl.oauthbearer.scope", "kafka"),
            ("https.ca.pem", CERTIFICATE),
        ])
    );
    assert_eq!(
        refused(&oidc("http://i/t")),
        ["kafka.security.oidc.token_url: the client secret would travel without encryption; \
             start it with https://, or use `allow_insecure: true`"]
    );
}

#[cfg(not(feature = "gssapi"))]
#[test]
fn a_build_without_kerberos_says_how_to_get_it() {
    let kerberos =
        "protocol: SASL_SSL, mechanism: GSSAPI, kerberos: { principal: p, keytab: pass }";

    assert_eq!(
        refused(kerberos),
        ["kafka.security.mechanism: this build has no Kerberos; build it with `--features gssapi`"]
    );
}

#[test]
fn properties_that_break_promises_are_refused() {
    let folder = folder();
    let check = |lines: &str, expected: &str| {
        let refused = planned(folder.path(), &format!("kafka: {{ {lines} }}")).expect_err(lines);
        let (_, after) = refused.split_once("kafka.properties.").expect("a place");
        assert_eq!(after, expected);
    };
    let verification = "properties: { enable.ssl.certificate.verification: false }";
    check(
        verification,
        "enable.ssl.certificate.verification: `enable.ssl.certificate.verification` lets anyone \
         pass as a broker or as a user; take it out, or say `kafka.security.allow_insecure: true`",
    );
    check(
        "properties: { ssl.endpoint.identification.algorithm: None }",
        "ssl.endpoint.identification.algorithm: `ssl.endpoint.identification.algorithm` lets \
         anyone pass as a broker or as a user; take it out, or say \
         `kafka.security.allow_insecure: true`",
    );
    check(
        "properties: { sasl.mechanisms: PLAIN }",
        "sasl.mechanisms: `sasl.mechanisms` has a key of its own; write it as \
         `kafka.security.mechanism`",
    );
    check(
        "properties: { isolation.level: read_uncommitted }",
        "isolation.level: `isolation.level` is set by Driftline; take it out",
    );
    let allowed =
        format!("kafka: {{ security: {{ protocol: SSL, allow_insecure: true }}, {verification} }}");
    planned(folder.path(), &allowed).expect("asked for");
    let passed = "kafka: { properties: { ssl.endpoint.identification.algorithm: https, \
                  socket.timeout.ms: 5000 } }";
    let passed = planned(folder.path(), passed).expect("harmless").kafka.properties;
    assert_eq!(passed.len(), 2);
}

#[test]
fn certificates_and_passwords_reach_the_client_as_they_are_in_their_files() {
    assert_eq!(
        given(
            "protocol: SASL_SSL, mechanism: SCRAM-SHA-512, username: u, password: { file: pass }, \
             ca: ca.pem, certificate: own.pem, key: own.key, key_password: kp"
        ),
        pairs(&[
            ("security.protocol", "SASL_SSL"),
            ("ssl.ca.pem", CERTIFICATE),
            ("ssl.certificate.pem", CERTIFICATE),
            ("ssl.key.pem", KEY),
            ("ssl.key.password", "kp"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "u"),
            ("sasl.password", "s3cret"),
        ])
    );
    assert_eq!(
        given("protocol: SASL_SSL, mechanism: OAUTHBEARER, token: { file: pass }"),
        pairs(&[
            ("security.protocol", "SASL_SSL"),
            ("sasl.mechanism", "OAUTHBEARER"),
            ("sasl.oauthbearer.config", "s3cret"),
        ])
    );
}

#[test]
fn a_file_is_read_again_when_it_is_asked_for_again() {
    let folder = folder();
    let lines = "kafka: { security: { protocol: SASL_SSL, mechanism: PLAIN, username: u, \
                 password: { file: pass } }, properties: { client.rack: r } }\n\
                 registry: { url: \"https://r\", token: { file: pass }, ca: ca.pem }";
    let deployment = planned(folder.path(), lines).expect("valid");
    let credentials = &deployment.credentials;
    let registry = deployment.registry.as_ref().expect("configured");
    assert_eq!(credentials.kafka(&deployment.kafka).as_ref(), Ok(&deployment.kafka));
    assert_eq!(credentials.registry(registry).as_ref(), Ok(registry));

    std::fs::write(folder.path().join("pass"), "new").expect("written");
    let found = credentials.kafka(&deployment.kafka).expect("readable");

    let values: Vec<&str> = found.properties.iter().map(|(_, value)| value.reveal()).collect();
    assert_eq!(values, ["r", "SASL_SSL", "PLAIN", "u", "new"]);
    assert_ne!(&credentials.registry(registry).expect("readable"), registry);
    std::fs::write(folder.path().join("pass"), "").expect("written");
    let error = credentials.kafka(&deployment.kafka).expect_err("empty").to_string();
    assert!(error.ends_with("pass is empty"), "{error}");
}

#[test]
fn the_registry_takes_one_log_in_and_not_in_the_clear() {
    let folder = folder();
    let refused =
        |lines: &str| planned(folder.path(), &format!("registry: {{ {lines} }}")).expect_err(lines);
    let ends = |lines: &str, end: &str| {
        let refused = refused(lines);
        assert!(refused.ends_with(end), "{refused}");
    };
    ends(
        "url: \"http://r\", token: t",
        "registry.url: a log-in without encryption gives it away; use https://, or \
         `allow_insecure: true`",
    );
    ends(
        "url: \"https://r\", token: t, username: u, password: p",
        "registry.token: there is a user name already; give one log-in",
    );
    ends(
        "url: \"https://r\", certificate: own.pem",
        "registry: `certificate` and `key` go together; give both or none",
    );
    planned(folder.path(), "registry: { url: \"http://r\", token: t, allow_insecure: true }")
        .expect("asked for");
}

#[test]
fn secrets_are_in_no_debug_text_and_no_error() {
    let folder = folder();
    let lines = "kafka: { security: { protocol: SASL_SSL, mechanism: PLAIN, username: u, \
                 password: hunter2, certificate: own.pem, key: own.key, key_password: hunter3 } }\n\
                 registry: { url: \"https://r\", token: hunter4 }";
    let deployment = planned(folder.path(), lines).expect("valid");
    let shown = format!("{deployment:?}");
    assert!(!shown.contains("hunter") && !shown.contains("PRIVATE"), "{shown}");
    let Some(KafkaLogin::Password { password, .. }) = &deployment.credentials.kafka.login else {
        panic!("a password")
    };
    assert!(!format!("{password:?}").contains("hunter"));

    let text = format!("app: a\n{lines}\nunknown: 1\n");
    let error = Config::parse(&text, "drift.yaml").expect_err("unknown key");
    let shown = format!("{error} {error:?} {:?}", error.report());
    assert!(!shown.contains("hunter"), "{shown}");
}
